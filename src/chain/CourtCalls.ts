/**
 * CourtCalls.ts - what a reporter sends to FaultCourt and reads of it, of AnchorLog and of StakeManager. Answers are the
 * endpoint's word: a reporter who is lied to loses its own gas, nobody else anything. Source: spec/faults.md section 4.
 */
import * as Abi from '../protocol/Abi.ts'
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import type * as Fault from '../protocol/Fault.ts'
import * as ContractCall from './ContractCall.ts'
import { abi as anchorLogAbi } from './generated/AnchorLog.ts'
import { abi } from './generated/FaultCourt.ts'
import { abi as stakeAbi } from './generated/StakeManager.ts'
import type { Rpc } from './Rpc.ts'

const hex = Bytes.to0x
// Storage slot of the commitments. Source: spec/faults.md section 6.5.
const commitmentsSlot = 6n

/** The call that commits to a filing; `commitment`: 32 bytes. */
export function commit(commitment: Hash): Uint8Array {
  return ContractCall.encode({ abi, functionName: 'commit', args: [hex(commitment)] })
}

/** The call that pays a reward to the recorded reporter. */
export function claimReward(of: Fault.Incident): Uint8Array {
  const args = [of.class, hex(of.subject), of.keyEpoch, hex(of.incident)] as const
  return ContractCall.encode({ abi, functionName: 'claimReward', args })
}

/** The call that writes down a log's head size in its block; `logId`: 32 bytes. */
export function observe(logId: Hash): Uint8Array {
  return ContractCall.encode({ abi, functionName: 'observe', args: [hex(logId)] })
}

/** The storage that makes a filing look committed, for a call that is only tried. */
export function asCommitted(
  crypto: Crypto,
  faultCourt: Uint8Array,
  commitment: Hash,
): Readonly<Record<string, Readonly<Record<string, string>>>> {
  const slot = crypto.keccak256(Abi.encode(Abi.bytes32(commitment), Bytes.u256(commitmentsSlot)))
  return { [hex(faultCourt)]: { [hex(slot)]: hex(Bytes.u256(1n)) } }
}

/** First block in which a commitment may be used; 0n when there is none, or it was used. */
export function committedFrom(rpc: Rpc, faultCourt: Uint8Array, commitment: Hash): Promise<bigint> {
  return ContractCall.read(rpc, faultCourt, { abi, functionName: 'committedFrom', args: [hex(commitment)] })
}

/** A recorded fault. */
export type Recorded = {
  /** 20 bytes. */
  readonly reporter: Uint8Array
  /** What the reporter has not fetched yet, token units. */
  readonly reward: bigint
  readonly class: number
}

/** A fault by its name as the endpoint says, undefined if it is not on record. */
export async function recorded(rpc: Rpc, faultCourt: Uint8Array, faultId: Hash): Promise<Recorded | undefined> {
  const call = { abi, functionName: 'getFault', args: [hex(faultId)] } as const
  const [reporter, reward, faultClass] = await ContractCall.read(rpc, faultCourt, call)
  if (BigInt(reporter) === 0n) return undefined
  return { reporter: Bytes.from0x(reporter.toLowerCase()), reward, class: faultClass }
}

/** The two windows that are in fault ids and counters, blocks. */
export async function fixedWindows(
  rpc: Rpc,
  faultCourt: Uint8Array,
): Promise<{ readonly incidentBlocks: bigint; readonly capWindowBlocks: bigint }> {
  const [incident, cap] = await ContractCall.read(rpc, faultCourt, { abi, functionName: 'fixedWindows', args: [] })
  return { incidentBlocks: BigInt(incident), capWindowBlocks: BigInt(cap) }
}

/** The windows that the timelock may change, blocks. */
export type Windows = {
  readonly graceBlocks: bigint
  readonly openWindowBlocks: bigint
  readonly answerBlocks: bigint
  readonly revealBlocks: bigint
}

/** The windows that hold now. */
export async function windows(rpc: Rpc, faultCourt: Uint8Array): Promise<Windows> {
  const now = await ContractCall.read(rpc, faultCourt, { abi, functionName: 'getWindows', args: [] })
  return {
    graceBlocks: BigInt(now.graceBlocks),
    openWindowBlocks: BigInt(now.openWindowBlocks),
    answerBlocks: BigInt(now.answerBlocks),
    revealBlocks: BigInt(now.revealBlocks),
  }
}

/** The least bond of a case, wei. */
export async function bondFloor(rpc: Rpc, faultCourt: Uint8Array): Promise<bigint> {
  return (await ContractCall.read(rpc, faultCourt, { abi, functionName: 'caseTerms', args: [] }))[2]
}

/** Blocks from a pledge to its deadline, 0n for a log that is not registered. */
export async function pledgeBlocks(rpc: Rpc, anchorLog: Uint8Array, logId: Hash): Promise<bigint> {
  const call = { abi: anchorLogAbi, functionName: 'getLog', args: [hex(logId)] } as const
  return (await ContractCall.read(rpc, anchorLog, call)).pledgeBlocks
}

/** The root that a log has anchored at a size, and in which block; undefined if it has not. */
export async function anchoredStep(
  rpc: Rpc,
  anchorLog: Uint8Array,
  logId: Hash,
  size: bigint,
): Promise<{ readonly root: Hash; readonly blockNumber: bigint } | undefined> {
  const call = { abi: anchorLogAbi, functionName: 'getStep', args: [hex(logId), size] } as const
  const { root, blockNumber } = await ContractCall.read(rpc, anchorLog, call)
  return blockNumber === 0n ? undefined : { root: Bytes.from0x(root), blockNumber: BigInt(blockNumber) }
}

/** The head size that was written down in a block, undefined if nobody did. */
export async function observedSize(
  rpc: Rpc,
  faultCourt: Uint8Array,
  logId: Hash,
  block: bigint,
): Promise<bigint | undefined> {
  const call = { abi, functionName: 'observed', args: [hex(logId), block] } as const
  const sizePlusOne = await ContractCall.read(rpc, faultCourt, call)
  return sizePlusOne === 0n ? undefined : sizePlusOne - 1n
}

/** What a log is on chain, undefined if it is not registered. */
export async function logRecord(
  rpc: Rpc,
  anchorLog: Uint8Array,
  logId: Hash,
): Promise<
  | {
      readonly publicKey: Uint8Array
      readonly pledgeBlocks: bigint
      readonly headSize: bigint
      readonly headRoot: Hash
    }
  | undefined
> {
  const call = { abi: anchorLogAbi, functionName: 'getLog', args: [hex(logId)] } as const
  const record = await ContractCall.read(rpc, anchorLog, call)
  if (BigInt(record.keyId) === 0n) return undefined
  return {
    publicKey: Bytes.concat(Bytes.from0x(record.x), Bytes.from0x(record.y)),
    pledgeBlocks: record.pledgeBlocks,
    headSize: record.headSize,
    headRoot: Bytes.from0x(record.headRoot),
  }
}

/** The call that anchors states of a log: the first proof is from its head, each further one from the state before. */
export function anchor(
  logId: Hash,
  steps: readonly {
    readonly size: bigint
    readonly root: Hash
    readonly signature: Uint8Array
    readonly proof: readonly Hash[]
  }[],
): Uint8Array {
  const list = steps.map(({ size, root, signature, proof }) => ({
    ...{ size, root: hex(root), signature: hex(signature), consistencyProof: proof.map(hex) },
  }))
  return ContractCall.encode({ abi: anchorLogAbi, functionName: 'anchor', args: [hex(logId), list] })
}

/** The call that writes down, for everybody to see, that an entry is wanted in a log. */
export function request(leafHash: Hash): Uint8Array {
  return ContractCall.encode({ abi: anchorLogAbi, functionName: 'request', args: [hex(leafHash)] })
}

/** The block in which an entry was first asked for, 0n if it never was. */
export function requestedAt(rpc: Rpc, anchorLog: Uint8Array, leafHash: Hash): Promise<bigint> {
  const call = { abi: anchorLogAbi, functionName: 'requestedAt', args: [hex(leafHash)] } as const
  return ContractCall.read(rpc, anchorLog, call)
}

/** What a subject has at stake: token units of its own and of others, and whether a fatal fault ended it. */
export async function stakeOf(
  rpc: Rpc,
  stakeManager: Uint8Array,
  subject: Hash,
): Promise<{ readonly self: bigint; readonly delegated: bigint; readonly isEnded: boolean }> {
  const call = { abi: stakeAbi, functionName: 'getSubject', args: [hex(subject)] } as const
  const { selfShares, delegatedShares, index, endedAtBlock } = await ContractCall.read(rpc, stakeManager, call)
  const valueOf = (shares: bigint) => (shares * index) / 10n ** 18n
  return { self: valueOf(selfShares), delegated: valueOf(delegatedShares), isEnded: endedAtBlock !== 0 }
}
