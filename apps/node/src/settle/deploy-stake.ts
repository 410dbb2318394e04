/**
 * deploy-stake.ts - creates the contracts that hold stake: the timelock and the token through the CREATE2 deployer, then
 * StakeManager, FaultCourt and FaultCases, which name each other, at three consecutive nonces of the operator.
 * Source: spec/stake.md section 1.
 *
 * The first nonce is written down before anything is sent. A start that was cut off goes on where its group stands; if
 * another transaction took a nonce in between, the group is begun anew, for half a group serves nobody.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import {
  AssayTimelockContract,
  AssayTokenContract,
  FaultCasesContract,
  FaultCourtContract,
  type Rpc,
  StakeManagerContract,
  type TrustAnchors,
} from 'assay/chain'
import { Bytes, type Crypto, errors } from 'assay/protocol'
import { encodeDeployData, getContractAddress } from 'viem'
import { type Registries, readCodeHash, readLinks, type StakeBook } from './address-book.ts'
import { ensure, settled } from './create2.ts'
import { type ChainParameters, penalties, timelockSeconds } from './parameters.ts'
import { CallRevertedError, type Sender, TransactionLostError } from './sender.ts'

export type StakeOptions = {
  readonly crypto: Crypto
  readonly rpc: Rpc.Rpc
  readonly sender: Sender
  readonly parameters: ChainParameters
  /** Nonce of StakeManager's creation, if an earlier start chose one. */
  readonly firstNonce: bigint | undefined
  /** Durable before it returns. */
  readonly saveFirstNonce: (nonce: bigint) => void
}

const groupSize = 3n
const maxAttempts = 4
const settleMs = 30_000
/**
 * Gas of the three creations on a development chain, where they go into one block: nobody can estimate a creation that asks
 * a contract which is not there yet.
 */
const developmentGas = [5_000_000n, 8_000_000n, 6_500_000n] as const

/** The timelock and the token of an operator; side by side with other creations. */
export async function deployBase(
  options: Pick<StakeOptions, 'crypto' | 'rpc' | 'sender'>,
): Promise<Pick<StakeBook, 'timelock' | 'token'>> {
  const operator = Bytes.to0x(options.sender.address)
  const [timelock, token] = await settled([
    ensure(options, 'AssayTimelock', AssayTimelockContract.codeHash, {
      abi: AssayTimelockContract.abi,
      bytecode: AssayTimelockContract.bytecode,
      args: [timelockSeconds, [operator], [operator]],
    }),
    ensure(options, 'AssayToken', undefined, {
      abi: AssayTokenContract.abi,
      bytecode: AssayTokenContract.bytecode,
      args: [operator],
    }),
  ])
  return { timelock, token }
}

/**
 * StakeManager, FaultCourt and FaultCases over given contracts: found, finished or created.
 *
 * Throws: `GroupError` when the operator's nonces are used by somebody else all the time,
 * `CallRevertedError`, `Rpc.RequestError`.
 */
export async function deployGroup(
  options: StakeOptions,
  base: Pick<StakeBook, 'timelock' | 'token'>,
  registries: Omit<Registries, 'chainId'>,
): Promise<TrustAnchors.StakeContracts> {
  let { firstNonce } = options
  let failure: unknown
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const next = await settledNonce(options)
    const done = firstNonce === undefined ? undefined : await progress(options, firstNonce, next, base, registries)
    if (firstNonce === undefined || done === undefined) {
      firstNonce = next
      options.saveFirstNonce(firstNonce)
    }
    const group = groupAddresses(options.sender.address, firstNonce)
    if (done !== groupSize) {
      failure = await create(options, firstNonce, group, done ?? 0n, base, registries)
      if (failure !== undefined && !isWorthAnother(failure)) throw failure
    }
    if ((await progress(options, firstNonce, firstNonce + groupSize, base, registries)) === groupSize)
      return withCode(group)
  }
  throw failure ?? new GroupError()
}

type Group = readonly [manager: Uint8Array, court: Uint8Array, cases: Uint8Array]

const groupCode = [StakeManagerContract, FaultCourtContract, FaultCasesContract] as const
const groupNames = ['StakeManager', 'FaultCourt', 'FaultCases'] as const

/** How much of a group is there: 0 to 3, undefined when it can not be finished any more. */
async function progress(
  options: Pick<StakeOptions, 'crypto' | 'rpc' | 'sender'>,
  firstNonce: bigint,
  next: bigint,
  base: Pick<StakeBook, 'timelock' | 'token'>,
  registries: Omit<Registries, 'chainId'>,
): Promise<bigint | undefined> {
  const { crypto, rpc, sender } = options
  const done = next - firstNonce
  if (done < 0n) return undefined
  const group = groupAddresses(sender.address, firstNonce)
  const codes = await Promise.all(group.map((address) => readCodeHash(crypto, rpc, address)))
  for (const [i, codeHash] of codes.entries()) {
    const isThere = codeHash !== undefined && Bytes.to0x(codeHash) === groupCode[i]?.codeHash
    // Below the next nonce everything must be there; above it nothing can be.
    if (isThere !== BigInt(i) < done) return undefined
  }
  if (done < groupSize) return done
  const found = await readLinks(rpc, withCode(group))
  const isOurs =
    Bytes.equal(found["StakeManager's token"], base.token.address) &&
    Bytes.equal(found["StakeManager's timelock"], base.timelock.address) &&
    Bytes.equal(found["StakeManager's NodeRegistry"], registries.nodeRegistry.address) &&
    Bytes.equal(found["StakeManager's AnchorLog"], registries.anchorLog.address)
  return isOurs ? groupSize : undefined
}

/** Sends what is missing; returns why that failed, if it did. */
async function create(
  options: StakeOptions,
  firstNonce: bigint,
  group: Group,
  done: bigint,
  base: Pick<StakeBook, 'timelock' | 'token'>,
  registries: Omit<Registries, 'chainId'>,
): Promise<unknown> {
  const { parameters, sender } = options
  const calls = creations(parameters, group, base, registries).slice(Number(done))
  try {
    if (parameters.development) {
      const gas: readonly bigint[] = developmentGas.slice(Number(done))
      const sent = await Promise.allSettled(
        calls.map((data, i) => sender.send({ to: undefined, data, gas: gas[i] as bigint })),
      )
      for (const one of sent) if (one.status === 'rejected') throw one.reason
      return undefined
    }
    for (const [i, data] of calls.entries()) {
      // Somebody else used the operator's account: what follows would stand at addresses that nobody named.
      if ((await nonceOf(options, 'pending')) !== firstNonce + done + BigInt(i)) return new GroupError()
      await sender.send({ to: undefined, data })
    }
    return undefined
  } catch (error) {
    return error
  }
}

function creations(
  parameters: ChainParameters,
  group: Group,
  base: Pick<StakeBook, 'timelock' | 'token'>,
  registries: Omit<Registries, 'chainId'>,
): readonly Uint8Array[] {
  const hex = Bytes.to0x
  const [manager, court, cases] = group
  const { incidentBlocks, capWindowBlocks, minSelfPercent, unbondBlocks, windows } = parameters
  const timelock = hex(base.timelock.address)
  return [
    encodeDeployData({
      abi: StakeManagerContract.abi,
      bytecode: StakeManagerContract.bytecode,
      args: [
        ...([timelock, hex(base.token.address), hex(court)] as const),
        ...([hex(registries.nodeRegistry.address), hex(registries.anchorLog.address)] as const),
        unbondBlocks,
        minSelfPercent,
      ],
    }),
    encodeDeployData({
      abi: FaultCourtContract.abi,
      bytecode: FaultCourtContract.bytecode,
      args: [timelock, hex(manager), hex(cases), incidentBlocks, capWindowBlocks, penalties, windows],
    }),
    encodeDeployData({ abi: FaultCasesContract.abi, bytecode: FaultCasesContract.bytecode, args: [hex(court)] }),
  ].map(Bytes.from0x)
}

/** Another transaction may have come in between, or blocks were taken back: looking again tells. */
function isWorthAnother(error: unknown): boolean {
  return error instanceof GroupError || error instanceof CallRevertedError || error instanceof TransactionLostError
}

/** Where the group stands that begins at a nonce, 20 bytes each. */
export function groupAddresses(operator: Uint8Array, firstNonce: bigint): Group {
  const at = (nonce: bigint) =>
    Bytes.from0x(getContractAddress({ from: Bytes.to0x(operator), nonce }).toLowerCase() as `0x${string}`)
  return [at(firstNonce), at(firstNonce + 1n), at(firstNonce + 2n)]
}

function withCode(group: Group): TrustAnchors.StakeContracts {
  const contract = (i: 0 | 1 | 2) => ({ address: group[i], codeHash: Bytes.from0x(groupCode[i].codeHash) })
  return { stakeManager: contract(0), faultCourt: contract(1), faultCases: contract(2) }
}

/** The next nonce, once nothing of an earlier start waits for a block any more. */
async function settledNonce(options: Pick<StakeOptions, 'rpc' | 'sender'>): Promise<bigint> {
  const deadlineMs = performance.now() + settleMs
  for (;;) {
    const [pending, latest] = await Promise.all([nonceOf(options, 'pending'), nonceOf(options, 'latest')])
    if (pending <= latest) return latest
    if (performance.now() > deadlineMs) throw new GroupError()
    await sleep(100)
  }
}

async function nonceOf({ rpc, sender }: Pick<StakeOptions, 'rpc' | 'sender'>, block: string): Promise<bigint> {
  return BigInt((await rpc.request('eth_getTransactionCount', [Bytes.to0x(sender.address), block])) as string)
}

/** Somebody else sends transactions of the operator's account while its contracts are created. */
export class GroupError extends errors.UnavailableError<'deployment-disturbed'> {
  override readonly name = 'GroupError'
  constructor() {
    super('deployment-disturbed', "Other transactions of the operator's account came between those of its contracts.", {
      facts: [`Contracts: ${groupNames.join(', ')}`, 'Nothing is lost; the next start begins them anew.'],
    })
  }
}
