/**
 * Sender.ts - the one way transactions leave an account: numbers them, waits a bounded time, and sends the same bytes
 * again when the chain has forgotten them (restart, reorganisation).
 *
 * Nothing is kept on disk: after a restart whoever sends looks at the chain and decides anew.
 */
import { type Hex, keccak256, type TransactionSerializableEIP1559 } from 'viem'
import * as Bytes from '../protocol/Bytes.ts'
import { UnavailableError, UsageError } from '../protocol/errors.ts'
import * as ContractErrors from './ContractErrors.ts'
import * as Rpc from './Rpc.ts'

/** What a call needs; `to` is undefined for a creation; `value` is in wei, default 0. */
export type Call = {
  readonly to: Uint8Array | undefined
  readonly data: Uint8Array
  readonly value?: bigint
  /** Gas for a call that rests on others under way, which no endpoint can estimate; estimated if not given. */
  readonly gas?: bigint
}

/** Where a transaction came to rest. */
export type Mined = { readonly transactionHash: string; readonly blockNumber: bigint; readonly gasUsed: bigint }

/** An account that signs transactions; a viem `LocalAccount` is one. */
export type Account = {
  /** 20 bytes, hex with 0x, any case. */
  readonly address: Hex
  readonly signTransaction: (transaction: TransactionSerializableEIP1559) => Promise<Hex>
}

/** Words of storage to assume in a call: contract, slot and value as hex with 0x, 20 and 32 and 32 bytes. */
export type Assumptions = Readonly<Record<string, Readonly<Record<string, string>>>>

/** Sends for one account. */
export type Sender = {
  /** 20 bytes. */
  readonly address: Uint8Array
  /**
   * Sends a call and waits until it is in a block.
   *
   * Throws: `CallRevertedError`, `NoCoinError`, `TransactionLostError` (unknown whether it will be mined: look at the
   * chain), `Rpc.RequestError`, `Rpc.LieError`.
   */
  readonly send: (call: Call) => Promise<Mined>
  /**
   * Runs a call at the newest block without sending it; returns what the contract returns.
   *
   * - `assumed`: storage that the chain is taken to have for this call
   *
   * Throws: `CallRevertedError`, `Rpc.RequestError`, `Rpc.LieError`.
   */
  readonly call: (call: Call, assumed?: Assumptions) => Promise<Uint8Array>
  /** Stops all waits; sends nothing any more. */
  readonly close: () => void
}

// EIP-7825: no transaction may use more.
const transactionGasCap = 16_777_216n
const priorityFee = 10n ** 9n
// Another service of the same process sends its own forgotten transactions again at its next look.
const gapMs = 2_000

type Sent = { readonly raw: Hex; readonly hash: string; readonly nonce: bigint; readonly request: object }

/**
 * A sender for one account; all services of a process share it.
 *
 * - `waitMs`: longest wait for a block, default 30,000; `pollMs`: between looks, default 100
 */
export function create(options: {
  readonly rpc: Rpc.Rpc
  readonly account: Account
  readonly waitMs?: number
  readonly pollMs?: number
}): Sender {
  const { rpc, account } = options
  const waitMs = options.waitMs ?? 30_000
  const pollMs = options.pollMs ?? 100
  const address = account.address.toLowerCase() as Hex
  const closing = new AbortController()
  let next: bigint | undefined // undefined: ask the chain
  let waiting = 0
  let turn: Promise<unknown> = Promise.resolve()

  const requestOf = (call: Call) => ({
    from: address,
    ...(call.to === undefined ? {} : { to: Bytes.to0x(call.to) }),
    ...(call.value === undefined || call.value === 0n ? {} : { value: `0x${call.value.toString(16)}` }),
    data: Bytes.to0x(call.data),
  })

  /** Numbers and sends one transaction; one at a time, so that numbers have no gaps. */
  async function submit(call: Call): Promise<Sent> {
    const request = requestOf(call)
    const estimate = call.gas === undefined ? await ask('eth_estimateGas', [request]) : 0n
    const gas = call.gas ?? estimate + estimate / 3n
    const answer = Rpc.asFormed('eth_getBlockByNumber', await rpc.request('eth_getBlockByNumber', ['latest', false]))
    const block = answer as { readonly baseFeePerGas?: string | null } | null
    const maxFeePerGas = 2n * BigInt(block?.baseFeePerGas ?? '0x0') + priorityFee
    for (let attempt = 0; ; attempt++) {
      if (closing.signal.aborted) throw new TransactionLostError('sender closed')
      const pending = await ask('eth_getTransactionCount', [address, 'pending'])
      // While others wait, their numbers may be unknown to the chain for a moment (it restarted); they will send again.
      const nonce: bigint = next === undefined || waiting === 0 || pending > next ? pending : next
      const raw = await account.signTransaction({
        type: 'eip1559',
        chainId: Number(rpc.chainId),
        nonce: Number(nonce),
        gas: gas < transactionGasCap ? gas : transactionGasCap,
        maxFeePerGas,
        maxPriorityFeePerGas: priorityFee,
        data: request.data,
        ...(call.value === undefined ? {} : { value: call.value }),
        ...(request.to === undefined ? {} : { to: request.to }),
      })
      try {
        await rpc.request('eth_sendRawTransaction', [raw])
        next = nonce + 1n
        // Whatever the endpoint calls it.
        return { raw, hash: keccak256(raw), nonce, request }
      } catch (error) {
        // Somebody else uses the same key, or the chain moved: number it anew. Nothing of this attempt can be mined.
        const isNumberTaken = /nonce too low|underpriced/i.test(answerOf(error))
        next = undefined
        if (!isNumberTaken || attempt >= 4) throw named(error)
        await pause(pollMs)
      }
    }
  }

  async function settle(sent: Sent): Promise<Mined> {
    const deadlineMs = performance.now() + waitMs
    let gapSinceMs: number | undefined
    while (performance.now() < deadlineMs && !closing.signal.aborted) {
      try {
        const receipt = (await rpc.request('eth_getTransactionReceipt', [sent.hash])) as Record<string, string> | null
        if (receipt !== null) {
          const { blockNumber = '0x0', gasUsed = '0x0' } = receipt
          if (receipt.status !== '0x1') throw await reasonOf(sent, blockNumber)
          return { transactionHash: sent.hash, blockNumber: BigInt(blockNumber), gasUsed: BigInt(gasUsed) }
        }
        if ((await rpc.request('eth_getTransactionByHash', [sent.hash])) === null) {
          await rpc.request('eth_sendRawTransaction', [sent.raw])
        }
        // One before it was taken back with its block: this one waits for a number that nobody sends again.
        const isNext = (await ask('eth_getTransactionCount', [address, 'pending'])) > sent.nonce
        gapSinceMs = isNext ? undefined : (gapSinceMs ?? performance.now())
        if (gapSinceMs !== undefined && performance.now() - gapSinceMs > gapMs) {
          throw new TransactionLostError('one before it was taken back', sent.nonce)
        }
      } catch (error) {
        if (error instanceof CallRevertedError || error instanceof TransactionLostError) throw error
        if (/nonce too low/i.test(answerOf(error))) {
          // Mined between the two questions, or its number went to another transaction: the receipt tells.
          const receipt = await rpc.request('eth_getTransactionReceipt', [sent.hash]).catch(() => undefined)
          if (receipt === null) throw new TransactionLostError('its number was used by another transaction', sent.nonce)
        }
        // Anything else: the endpoint is away or the bytes are known already; look again until the time is up.
      }
      await pause(pollMs)
    }
    const reason = closing.signal.aborted ? 'sender closed' : `not in a block after ${waitMs} ms`
    throw new TransactionLostError(reason, sent.nonce)
  }

  /** A receipt does not say why; the same call after that block often does. */
  async function reasonOf(sent: Sent, block: string): Promise<CallRevertedError> {
    try {
      await rpc.request('eth_call', [sent.request, block])
    } catch (error) {
      const reason = named(error)
      if (reason instanceof CallRevertedError) return new CallRevertedError('reverted in a block', reason, true)
    }
    return new CallRevertedError('reverted in a block', undefined, true)
  }

  async function ask(method: string, params: readonly unknown[]): Promise<bigint> {
    try {
      return await Rpc.askNumber(rpc, method, params)
    } catch (error) {
      throw named(error)
    }
  }

  /** An endpoint's refusal as what it means. */
  function named(error: unknown): unknown {
    const answer = answerOf(error)
    if (!/revert/i.test(answer)) return /insufficient (funds|balance)/i.test(answer) ? new NoCoinError(address) : error
    const { data } = error as Rpc.RequestError
    return new CallRevertedError(answer, data === undefined ? undefined : ContractErrors.parse(data))
  }

  function pause(ms: number): Promise<void> {
    if (closing.signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        closing.signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      closing.signal.addEventListener('abort', done)
    })
  }

  return {
    address: Bytes.from0x(address),
    close: () => closing.abort(),
    call: async (call, assumed) => {
      await rpc.assertChain()
      const overrides = Object.entries(assumed ?? {}).map(([contract, stateDiff]) => [contract, { stateDiff }])
      const params = [requestOf(call), 'latest', ...(assumed === undefined ? [] : [Object.fromEntries(overrides)])]
      try {
        return Bytes.from0x(Rpc.asFormed('eth_call', await rpc.request('eth_call', params)) as string)
      } catch (error) {
        throw named(error)
      }
    },
    send: async (call) => {
      await rpc.assertChain()
      const submitted = turn.then(() => submit(call))
      turn = submitted.catch(() => undefined)
      const sent = await submitted
      waiting++
      try {
        return await settle(sent)
      } catch (error) {
        if (error instanceof TransactionLostError) next = undefined
        throw error
      } finally {
        waiting--
      }
    },
  }
}

function answerOf(error: unknown): string {
  return error instanceof Rpc.RequestError ? error.answer : ''
}

/** The contract refused a call; `errorName` and `args` are what it said, if an error of this release's contracts. */
export class CallRevertedError extends UsageError<'call-reverted'> {
  override readonly name = 'Sender.CallRevertedError'
  readonly errorName: string | undefined
  readonly args: readonly ContractErrors.Argument[]
  /** Whether the transaction is in a block, so that its gas is spent. */
  readonly isMined: boolean
  constructor(
    answer: string,
    reason?: { readonly errorName: string | undefined; readonly args: readonly ContractErrors.Argument[] },
    isMined = false,
  ) {
    const said = reason?.errorName === undefined ? [] : [`Error: ${reason.errorName}(${reason.args.join(', ')})`]
    super('call-reverted', 'The contract refused the call.', { facts: [...said, `Answer: ${answer}`] })
    this.errorName = reason?.errorName
    this.args = reason?.args ?? []
    this.isMined = isMined
  }
}

/** The account cannot pay; `address` is the one to fund, hex with 0x. */
export class NoCoinError extends UsageError<'no-coin'> {
  override readonly name = 'Sender.NoCoinError'
  readonly address: string
  constructor(address: string) {
    super('no-coin', "The account has too little of the chain's coin to pay for a transaction.", {
      facts: [`Fund: ${address}`],
    })
    this.address = address
  }
}

/** Nobody knows whether a transaction will be mined; look at the chain before sending again. */
export class TransactionLostError extends UnavailableError<'transaction-lost'> {
  override readonly name = 'Sender.TransactionLostError'
  /** Its number among the account's transactions: once another one has it, it can no longer be mined. Undefined if it was not sent. */
  readonly nonce: bigint | undefined
  constructor(reason: string, nonce?: bigint) {
    super('transaction-lost', 'A transaction did not come into a block in time.', { facts: [`Reason: ${reason}`] })
    this.nonce = nonce
  }
}
