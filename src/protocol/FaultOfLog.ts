/**
 * FaultOfLog.ts - faults shown by what a log signed and anchored: two histories (F2), a wrong leaf (F3), an unkept pledge (F4),
 * a false entry (F5); and a witness's two histories (F6). Source: spec/faults.md sections 2 and 7.
 */
import * as Abi from './Abi.ts'
import * as Bytes from './Bytes.ts'
import * as Cose from './Cose.ts'
import type { Crypto, Hash } from './Crypto.ts'
import type { F2, F3, F4, F5, F6, State } from './Fault.ts'
import * as Refusal from './FaultRefusal.ts'
import * as Head from './Head.ts'
import * as LogEntry from './LogEntry.ts'
import * as Pledge from './Pledge.ts'

/** The root that a log has anchored at a size, by the word of somebody whom the caller trusts, else undefined. */
export type Anchored = (logId: Hash, size: bigint) => Hash | undefined

/** Where a log's size was seen: now, in the block of an anchored step, in a block whose head was written down. */
export type How = 0 | 1 | 2

/** What is known of the contracts that a pledge is judged by, by the word of somebody whom the caller trusts. */
export type PledgeTerms = {
  /** Blocks from issue to deadline, of a registered log. */
  readonly pledgeBlocks: (logId: Hash) => bigint | undefined
  /** Blocks from the deadline until a pledge is missing; undefined: not known, and then nothing is. */
  readonly graceBlocks: bigint | undefined
  /** Block and head size that `how` and `at` name: `at` is 0, the step's size, or the block's number. */
  readonly seen: (logId: Hash, how: How, at: bigint) => { readonly block: bigint; readonly size: bigint } | undefined
  /**
   * Of an entry that was demanded (class 17) and that nobody has shown: a block as of which its case had expired, and the last
   * block of the time to answer. Undefined where there is no such case, or it was answered, be it late.
   */
  readonly withheld: (logId: Hash, index: bigint) => { readonly block: bigint; readonly lastBlock: bigint } | undefined
}

/** Whom a statement of a log or about one was made for. */
type Domain = {
  readonly chainId: bigint
  /** AnchorLog, 20 bytes. */
  readonly anchorLog: Uint8Array
  /** 32 bytes. */
  readonly logId: Hash
  readonly facts: readonly string[]
}

/** What two states of a log show; `isSigned` says that both carry the key's signature. */
export type F2Finding = Domain & { readonly class: 2; readonly keyId: Hash; readonly isSigned: boolean }
/** What another leaf at a pledged index shows. */
export type F3Finding = Domain & { readonly class: 3; readonly keyId: Hash; readonly index: bigint }
/** What an unkept pledge shows; the deadline is a block's number. */
export type F4Finding = Domain & {
  readonly class: 4
  readonly keyId: Hash
  readonly missing: boolean
  readonly deadline: bigint
}
/** What an entry beside its head shows; the log is accused by its anchored root. */
export type F5Finding = Omit<Domain, 'chainId'> & { readonly class: 5; readonly index: bigint }
/** What two cosignatures show; nodeId and keyEpoch are those that the file names for the key. */
export type F6Finding = Domain & {
  readonly class: 6
  readonly keyId: Hash
  readonly nodeId: Hash
  readonly keyEpoch: number
}

/**
 * Shows two states of one log that no append explains, each signed by the log's key or anchored.
 *
 * Throws: `Fault.FaultRefusedError`.
 */
export async function judgeF2(crypto: Crypto, evidence: F2, anchored: Anchored): Promise<F2Finding> {
  const { chainId, anchorLog, logId, publicKey, stateA, stateB } = evidence
  assertNotEqual(evidence)
  for (const state of [stateA, stateB]) await assertStateSigned(crypto, 'checkpoint', evidence, state)
  assertLeaves(crypto, evidence)
  for (const { signature, size, root } of [stateA, stateB]) {
    if (signature === undefined) Refusal.assertAnchored(anchored(logId, size), root)
  }
  const isSigned = stateA.signature !== undefined && stateB.signature !== undefined
  const keyId = Cose.keyId(crypto, publicKey)
  return { class: 2, keyId, chainId, anchorLog, logId, isSigned, facts: [`Sizes: ${stateA.size}, ${stateB.size}`] }
}

/**
 * Shows that one witness cosigned two states of one log that no append explains.
 *
 * Throws: `Fault.FaultRefusedError`.
 */
export async function judgeF6(crypto: Crypto, evidence: F6): Promise<F6Finding> {
  const { chainId, anchorLog, logId, publicKey, nodeId, keyEpoch, stateA, stateB } = evidence
  assertNotEqual(evidence)
  for (const state of [stateA, stateB]) await assertStateSigned(crypto, 'cosign', evidence, state)
  assertLeaves(crypto, evidence)
  const facts = [`Log: ${Bytes.toHex(logId)}`, `Sizes: ${stateA.size}, ${stateB.size}`]
  return { class: 6, keyId: Cose.keyId(crypto, publicKey), nodeId, keyEpoch, chainId, anchorLog, logId, facts }
}

/**
 * Shows that a log anchored another leaf at the index that it had pledged.
 *
 * Throws: `Fault.FaultRefusedError`.
 */
export async function judgeF3(crypto: Crypto, evidence: F3, anchored: Anchored): Promise<F3Finding> {
  const pledge = Refusal.refusing('malformed', () => Pledge.parse(evidence.pledge))
  const { size, root, proof, otherLeafHash } = evidence
  if (Bytes.equal(pledge.leafHash, otherLeafHash)) throw new Refusal.FaultRefusedError('leaf-equal')
  const { keyId } = await assertPledgeSigned(crypto, evidence)
  Refusal.assertIncluded(crypto, { leafHash: otherLeafHash, index: pledge.leafIndex, size, root, proof })
  Refusal.assertAnchored(anchored(pledge.logId, size), root)
  const { chainId, anchorLog, logId, leafIndex: index } = pledge
  return { class: 3, keyId, chainId, anchorLog, logId, index, facts: [`Index: ${index}`, `Size: ${size}`] }
}

/**
 * Shows that a log had not anchored a pledged leaf in a block after the deadline (late) or after deadline and grace (missing), or
 * that it covers the leaf and has shown nobody what stands there, with the grace after the case about it as well (missing).
 *
 * Throws: `Fault.FaultRefusedError`.
 */
export async function judgeF4(crypto: Crypto, evidence: F4, terms: PledgeTerms): Promise<F4Finding> {
  const pledge = Refusal.refusing('malformed', () => Pledge.parse(evidence.pledge))
  const { missing, how, at } = evidence
  const { keyId } = await assertPledgeSigned(crypto, evidence)
  const { chainId, anchorLog, logId, leafIndex, issuedAtBlock } = pledge
  const pledgeBlocks = terms.pledgeBlocks(logId)
  const withheld = how === 3 && missing && at === 0n ? terms.withheld(logId, leafIndex) : undefined
  const seen = how === 3 ? withheld && { block: withheld.block, size: leafIndex } : terms.seen(logId, how, at)
  const grace = missing ? terms.graceBlocks : 0n
  if (pledgeBlocks === undefined || seen === undefined || grace === undefined) {
    throw new Refusal.FaultRefusedError('not-seen')
  }
  if (seen.size > leafIndex) throw new Refusal.FaultRefusedError('kept')
  const deadline = issuedAtBlock + pledgeBlocks
  const from = withheld !== undefined && withheld.lastBlock > deadline ? withheld.lastBlock : deadline
  if (seen.block <= from + grace) throw new Refusal.FaultRefusedError('not-due')
  const facts = [
    `${missing ? 'Missing' : 'Late'}: index ${leafIndex}, deadline ${deadline}`,
    withheld === undefined
      ? `Block ${seen.block}: size ${seen.size}`
      : `Block ${seen.block}: covered, demanded until block ${withheld.lastBlock}, and shown to nobody`,
  ]
  return { class: 4, keyId, chainId, anchorLog, logId, missing, deadline, facts }
}

/**
 * Shows that a log anchored an entry that is not the entry of the signed head whose hash it carries.
 *
 * Throws: `Fault.FaultRefusedError`.
 */
export async function judgeF5(crypto: Crypto, evidence: F5, anchored: Anchored): Promise<F5Finding> {
  const { entry, head, signature, publicKey, logId, anchorLog, index, size, root, proof } = evidence
  Refusal.assertVersion(head)
  if (!Bytes.equal(entry.subarray(1, 33), Head.hash(crypto, head))) {
    throw new Refusal.FaultRefusedError('other-receipt')
  }
  if (Bytes.equal(entry, entryOf(crypto, head))) throw new Refusal.FaultRefusedError('entry-correct')
  await Refusal.assertSigned(crypto, { tag: 'receipt', payload: Head.payload(crypto, head), signature, publicKey })
  Refusal.assertIncluded(crypto, { leafHash: LogEntry.leafHash(crypto, entry), index, size, root, proof })
  Refusal.assertAnchored(anchored(logId, size), root)
  return { class: 5, logId, anchorLog, index, facts: [`Index: ${index}`, `Size: ${size}`] }
}

/** Equal sizes need different roots; different sizes need different leaves, whose proofs come later. */
function assertNotEqual({ stateA, stateB }: F2 | F6): void {
  const [a, b] =
    stateA.size === stateB.size ? [stateA.root, stateB.root] : [leafOf(stateA).leafHash, leafOf(stateB).leafHash]
  if (Bytes.equal(a, b)) throw new Refusal.FaultRefusedError('not-contradictory')
}

async function assertStateSigned(
  crypto: Crypto,
  tag: 'checkpoint' | 'cosign',
  { chainId, anchorLog, logId, publicKey }: F2 | F6,
  { size, root, signature }: State,
): Promise<void> {
  if (signature === undefined) return
  // Not `Checkpoint.words`: who signs for a size that no tree has is no less to blame for signing two.
  const words = Abi.encode(
    ...[Abi.uint(chainId, 64), Abi.address(anchorLog), Abi.bytes32(logId), Abi.uint(size, 64), Abi.bytes32(root)],
  )
  await Refusal.assertSigned(crypto, { tag, payload: crypto.sha256(words), signature, publicKey })
}

function assertLeaves(crypto: Crypto, { index, stateA, stateB }: F2 | F6): void {
  if (index === undefined) return
  for (const state of [stateA, stateB]) {
    Refusal.assertIncluded(crypto, { ...leafOf(state), index, size: state.size, root: state.root })
  }
}

/** The shape of the file puts both there when the sizes differ; evidence that was never one may lack them. */
function leafOf({ leaf, proof }: State): { readonly leafHash: Hash; readonly proof: readonly Hash[] } {
  if (leaf === undefined || proof === undefined) throw new Refusal.FaultRefusedError('not-included')
  return { leafHash: leaf, proof }
}

async function assertPledgeSigned(crypto: Crypto, evidence: F3 | F4): Promise<{ readonly keyId: Hash }> {
  const { pledge, signature, publicKey } = evidence
  await Refusal.assertSigned(crypto, { tag: 'pledge', payload: Pledge.payload(crypto, pledge), signature, publicKey })
  return { keyId: Cose.keyId(crypto, publicKey) }
}

/** As `LogEntry.fromHead`, and also for heads with unknown bits, by copying. */
function entryOf(crypto: Crypto, head: Uint8Array): Uint8Array {
  const [nodeId, sequence, bits] = [head.subarray(29, 61), head.subarray(65, 73), head.subarray(105, 107)]
  return Bytes.concat(Uint8Array.of(1), Head.hash(crypto, head), nodeId, sequence, bits)
}
