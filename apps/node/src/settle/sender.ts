/**
 * sender.ts - the one way transactions leave this daemon: numbers them, waits a bounded time, and sends the same bytes
 * again when the chain has forgotten them (restart, reorganisation).
 *
 * Nothing is kept on disk: after a restart of the daemon its services look at the chain and decide anew.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Rpc } from 'assay/chain'
import { Bytes, errors } from 'assay/protocol'
import type { Hex } from 'viem'
import type { Wallet } from './wallet.ts'

/** What a call needs; `to` is undefined for a creation. */
export type Call = { readonly to: Uint8Array | undefined; readonly data: Uint8Array }

/** Where a transaction came to rest. */
export type Mined = { readonly transactionHash: string; readonly blockNumber: bigint; readonly gasUsed: bigint }

export type Sender = {
  /** 20 bytes. */
  readonly address: Uint8Array
  /**
   * Sends a call and waits until it is in a block.
   *
   * Throws: `CallRevertedError`, `TransactionLostError` (unknown whether it will be mined: look at the chain), `Rpc.RequestError`.
   */
  readonly send: (call: Call) => Promise<Mined>
  /** Stops all waits; sends nothing any more. */
  readonly close: () => void
}

// EIP-7825: no transaction may use more.
const transactionGasCap = 16_777_216n
const priorityFee = 10n ** 9n
// Another service of this daemon sends its own forgotten transactions again at its next look.
const gapMs = 2_000

/**
 * A sender for one account; all services of a daemon share it.
 *
 * - `waitMs`: longest wait for a block, default 30,000; `pollMs`: between looks, default 100
 */
export function createSender(options: {
  readonly rpc: Rpc.Rpc
  readonly wallet: Wallet
  readonly waitMs?: number
  readonly pollMs?: number
}): Sender {
  const { rpc, wallet } = options
  const waitMs = options.waitMs ?? 30_000
  const pollMs = options.pollMs ?? 100
  const address = Bytes.to0x(wallet.address)
  const closing = new AbortController()
  let next: bigint | undefined // undefined: ask the chain
  let waiting = 0
  let turn: Promise<unknown> = Promise.resolve()

  /** Numbers and sends one transaction; one at a time, so that numbers have no gaps. */
  async function submit(call: Call): Promise<{ raw: Hex; hash: string; nonce: bigint }> {
    const request = {
      from: address,
      ...(call.to === undefined ? {} : { to: Bytes.to0x(call.to) }),
      data: Bytes.to0x(call.data),
    }
    const estimate = await ask('eth_estimateGas', [request])
    const gas = estimate + estimate / 3n
    const block = (await rpc.request('eth_getBlockByNumber', ['latest', false])) as { baseFeePerGas?: string }
    const maxFeePerGas = 2n * BigInt(block.baseFeePerGas ?? '0x0') + priorityFee
    for (let attempt = 0; ; attempt++) {
      if (closing.signal.aborted) throw new TransactionLostError('sender closed')
      const pending = await ask('eth_getTransactionCount', [address, 'pending'])
      // While others wait, their numbers may be unknown to the chain for a moment (it restarted); they will send again.
      const nonce: bigint = next === undefined || waiting === 0 || pending > next ? pending : next
      const raw = await wallet.account.signTransaction({
        type: 'eip1559',
        chainId: Number(rpc.chainId),
        nonce: Number(nonce),
        gas: gas < transactionGasCap ? gas : transactionGasCap,
        maxFeePerGas,
        maxPriorityFeePerGas: priorityFee,
        data: request.data,
        ...(request.to === undefined ? {} : { to: request.to }),
      })
      try {
        const hash = (await rpc.request('eth_sendRawTransaction', [raw])) as string
        next = nonce + 1n
        return { raw, hash, nonce }
      } catch (error) {
        // Somebody else uses the same key, or the chain moved: number it anew. Nothing of this attempt can be mined.
        const isNumberTaken = /nonce too low|underpriced/i.test(answerOf(error))
        next = undefined
        if (!isNumberTaken || attempt >= 4) throw asRevert(error)
        await pause(pollMs)
      }
    }
  }

  async function settle(sent: { raw: Hex; hash: string; nonce: bigint }): Promise<Mined> {
    const deadlineMs = performance.now() + waitMs
    let gapSinceMs: number | undefined
    while (performance.now() < deadlineMs && !closing.signal.aborted) {
      try {
        const receipt = (await rpc.request('eth_getTransactionReceipt', [sent.hash])) as Record<string, string> | null
        if (receipt !== null) {
          if (receipt.status !== '0x1') throw new CallRevertedError('reverted in a block')
          const { blockNumber = '0x0', gasUsed = '0x0' } = receipt
          return { transactionHash: sent.hash, blockNumber: BigInt(blockNumber), gasUsed: BigInt(gasUsed) }
        }
        if ((await rpc.request('eth_getTransactionByHash', [sent.hash])) === null) {
          await rpc.request('eth_sendRawTransaction', [sent.raw])
        }
        // One before it was taken back with its block: this one waits for a number that nobody sends again.
        const isNext = (await ask('eth_getTransactionCount', [address, 'pending'])) > sent.nonce
        gapSinceMs = isNext ? undefined : (gapSinceMs ?? performance.now())
        if (gapSinceMs !== undefined && performance.now() - gapSinceMs > gapMs) {
          throw new TransactionLostError('one before it was taken back')
        }
      } catch (error) {
        if (error instanceof CallRevertedError || error instanceof TransactionLostError) throw error
        if (/nonce too low/i.test(answerOf(error))) {
          // Mined between the two questions, or its number went to another transaction: the receipt tells.
          const receipt = await rpc.request('eth_getTransactionReceipt', [sent.hash]).catch(() => undefined)
          if (receipt === null) throw new TransactionLostError('its number was used by another transaction')
        }
        // Anything else: the endpoint is away or the bytes are known already; look again until the time is up.
      }
      await pause(pollMs)
    }
    throw new TransactionLostError(closing.signal.aborted ? 'sender closed' : `not in a block after ${waitMs} ms`)
  }

  async function ask(method: string, params: readonly unknown[]): Promise<bigint> {
    try {
      return BigInt((await rpc.request(method, params)) as string)
    } catch (error) {
      throw asRevert(error)
    }
  }

  function pause(ms: number): Promise<void> {
    return sleep(ms, undefined, { signal: closing.signal }).catch(() => undefined)
  }

  return {
    address: wallet.address,
    close: () => closing.abort(),
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

function asRevert(error: unknown): unknown {
  const answer = answerOf(error)
  return /revert/i.test(answer) ? new CallRevertedError(answer) : error
}

/** The contract refused a call. */
export class CallRevertedError extends errors.UsageError<'call-reverted'> {
  override readonly name = 'CallRevertedError'
  constructor(answer: string) {
    super('call-reverted', 'The contract refused the call.', { facts: [`Answer: ${answer}`] })
  }
}

/** Nobody knows whether a transaction will be mined; look at the chain before sending again. */
export class TransactionLostError extends errors.UnavailableError<'transaction-lost'> {
  override readonly name = 'TransactionLostError'
  constructor(reason: string) {
    super('transaction-lost', 'A transaction did not come into a block in time.', { facts: [`Reason: ${reason}`] })
  }
}
