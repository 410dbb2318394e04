/**
 * Fault.ts - `.fault` files: evidence against a key that needs no trust in whoever filed it. Source: spec/bundle.md section 3.
 *
 * Each class has one pure function that returns what is shown or throws. A fault accuses a key or a log; whether the
 * key is registered, and to whom, is looked up where the fault is used.
 */
import * as Bytes from './Bytes.ts'
import * as Cose from './Cose.ts'
import type { Crypto, Hash } from './Crypto.ts'
import type * as Dcbor from './Dcbor.ts'
import { BaseError, VerificationError } from './errors.ts'
import * as Head from './Head.ts'
import * as LogEntry from './LogEntry.ts'
import * as Merkle from './Merkle.ts'
import * as Pledge from './Pledge.ts'
import * as Shape from './Shape.ts'

/** Most bytes of a fault file, 16 KiB: the largest class has about 2.5 kB with the longest proof. */
export const maxBytes = 16 * 1024

const { field, record, list, bytes, u64 } = Shape
const hash = bytes(32)
const inclusion = list(hash, 0, 63)

const f1Shape = record({
  headA: field(1, bytes(Head.byteLength)),
  signatureA: field(2, bytes(64)),
  headB: field(3, bytes(Head.byteLength)),
  signatureB: field(4, bytes(64)),
  publicKey: field(5, bytes(64)),
})
const f3Shape = record({
  pledge: field(1, bytes(Pledge.byteLength)),
  signature: field(2, bytes(64)),
  publicKey: field(3, bytes(64)),
  otherLeafHash: field(4, hash),
  size: field(5, u64),
  root: field(6, hash),
  proof: field(7, inclusion),
})
const f5Shape = record({
  entry: field(1, bytes(LogEntry.byteLength)),
  head: field(2, bytes(Head.byteLength)),
  signature: field(3, bytes(64)),
  publicKey: field(4, bytes(64)),
  logId: field(5, hash),
  anchorLog: field(6, bytes(20)),
  index: field(7, u64),
  size: field(8, u64),
  root: field(9, hash),
  proof: field(10, inclusion),
})

/** Two heads of one key in one place. */
export type F1 = Shape.TypeOf<typeof f1Shape>
/** A pledge, and another leaf at its index. */
export type F3 = Shape.TypeOf<typeof f3Shape>
/** A log entry that is not the entry of the head whose hash it carries. */
export type F5 = Shape.TypeOf<typeof f5Shape>

/** A fault file; lengths as in spec/assay.cddl. */
export type Fault =
  | { readonly class: 1; readonly evidence: F1 }
  | { readonly class: 3; readonly evidence: F3 }
  | { readonly class: 5; readonly evidence: F5 }

/** The root that a log has anchored at a size, by the word of somebody whom the caller trusts, else undefined. */
export type Anchored = (logId: Hash, size: bigint) => Hash | undefined

/** What a fault shows. */
export type Finding =
  | { readonly class: 1; readonly keyId: Hash; readonly nodeId: Hash; readonly facts: readonly string[] }
  | { readonly class: 3; readonly keyId: Hash; readonly logId: Hash; readonly facts: readonly string[] }
  | { readonly class: 5; readonly logId: Hash; readonly facts: readonly string[] }

const outer = record({
  version: field(0, Shape.oneOf(1)),
  class: field(1, Shape.oneOf(1, 3, 5)),
  evidence: field(2, any()),
})

/** Reads a fault file; throws `Fault.MalformedFaultError`. */
export function parse(input: Uint8Array): Fault {
  return ofShape(() => {
    const file = Shape.decode(outer, input, maxBytes)
    if (file.class === 1) return { class: 1, evidence: f1Shape.fromValue(file.evidence, '.2') }
    if (file.class === 3) return { class: 3, evidence: f3Shape.fromValue(file.evidence, '.2') }
    return { class: 5, evidence: f5Shape.fromValue(file.evidence, '.2') }
  })
}

/** Writes a fault file; throws `Fault.MalformedFaultError`. */
export function serialize(fault: Fault): Uint8Array {
  return ofShape(() => {
    const output = Shape.encode(outer, { version: 1, class: fault.class, evidence: evidenceOf(fault) }, maxBytes)
    parse(output)
    return output
  })
}

/**
 * Judges a fault of any class.
 *
 * Throws: `Fault.FaultRefusedError` when it shows nothing.
 */
export async function judge(crypto: Crypto, fault: Fault, anchored: Anchored): Promise<Finding> {
  if (fault.class === 1) return judgeF1(crypto, fault.evidence)
  if (fault.class === 3) return judgeF3(crypto, fault.evidence, anchored)
  return judgeF5(crypto, fault.evidence, anchored)
}

/**
 * Shows that one key signed two different heads with the same number.
 *
 * Throws: `Fault.FaultRefusedError`.
 */
export async function judgeF1(crypto: Crypto, evidence: F1): Promise<Finding & { readonly class: 1 }> {
  assertVersion(evidence.headA)
  assertVersion(evidence.headB)
  if (Bytes.equal(evidence.headA, evidence.headB)) throw new FaultRefusedError('same-head')
  // chainId, registry, nodeId, keyEpoch and sequence stand side by side.
  const isSamePlace = Bytes.equal(evidence.headA.subarray(1, 73), evidence.headB.subarray(1, 73))
  if (!isSamePlace) throw new FaultRefusedError('fields-differ')
  for (const [head, signature] of [
    [evidence.headA, evidence.signatureA],
    [evidence.headB, evidence.signatureB],
  ] as const) {
    await assertSigned(crypto, 'receipt', Head.payload(crypto, head), signature, evidence.publicKey)
  }
  const keyId = Cose.keyId(crypto, evidence.publicKey)
  const sequence = Bytes.toBigInt(evidence.headA.subarray(65, 73))
  return { class: 1, keyId, nodeId: evidence.headA.slice(29, 61), facts: [`Sequence: ${sequence}`] }
}

/**
 * Shows that a log anchored another leaf at the index that it had pledged.
 *
 * Throws: `Fault.FaultRefusedError`.
 */
export async function judgeF3(
  crypto: Crypto,
  evidence: F3,
  anchored: Anchored,
): Promise<Finding & { readonly class: 3 }> {
  const pledge = refusing('malformed', () => Pledge.parse(evidence.pledge))
  if (Bytes.equal(pledge.leafHash, evidence.otherLeafHash)) throw new FaultRefusedError('leaf-equal')
  await assertSigned(crypto, 'pledge', Pledge.payload(crypto, evidence.pledge), evidence.signature, evidence.publicKey)
  const { size, root, proof, otherLeafHash } = evidence
  assertIncluded(crypto, { leafHash: otherLeafHash, index: pledge.leafIndex, size, root, proof })
  assertAnchored(anchored, pledge.logId, size, root)
  const keyId = Cose.keyId(crypto, evidence.publicKey)
  return { class: 3, keyId, logId: pledge.logId, facts: [`Index: ${pledge.leafIndex}`, `Size: ${size}`] }
}

/**
 * Shows that a log anchored an entry that is not the entry of the signed head whose hash it carries.
 *
 * Throws: `Fault.FaultRefusedError`.
 */
export async function judgeF5(
  crypto: Crypto,
  evidence: F5,
  anchored: Anchored,
): Promise<Finding & { readonly class: 5 }> {
  assertVersion(evidence.head)
  if (!Bytes.equal(evidence.entry.subarray(1, 33), Head.hash(crypto, evidence.head))) {
    throw new FaultRefusedError('other-receipt')
  }
  if (Bytes.equal(evidence.entry, entryOf(crypto, evidence.head))) throw new FaultRefusedError('entry-correct')
  await assertSigned(crypto, 'receipt', Head.payload(crypto, evidence.head), evidence.signature, evidence.publicKey)
  const { logId, index, size, root, proof } = evidence
  assertIncluded(crypto, { leafHash: LogEntry.leafHash(crypto, evidence.entry), index, size, root, proof })
  assertAnchored(anchored, logId, size, root)
  return { class: 5, logId, facts: [`Index: ${index}`, `Size: ${size}`] }
}

/** A shape that takes any value: the class decides later what the evidence must be. */
function any(): Shape.Shape<Dcbor.Value> {
  return {
    fromValue(value, at) {
      if (value === undefined) throw new Shape.MismatchError(at, 'missing')
      return value
    },
    toValue: (value) => value,
  }
}

function evidenceOf(fault: Fault): Dcbor.Value {
  if (fault.class === 1) return f1Shape.toValue(fault.evidence, '.2')
  if (fault.class === 3) return f3Shape.toValue(fault.evidence, '.2')
  return f5Shape.toValue(fault.evidence, '.2')
}

/** Only the version: a key that signs heads with unknown bits is no less to blame for signing two. */
function assertVersion(head: Uint8Array): void {
  if (head[0] !== 1) throw new FaultRefusedError('malformed')
}

/** As `LogEntry.fromHead`, and also for heads with unknown bits, by copying. */
function entryOf(crypto: Crypto, head: Uint8Array): Uint8Array {
  const [nodeId, sequence, bits] = [head.subarray(29, 61), head.subarray(65, 73), head.subarray(105, 107)]
  return Bytes.concat(Uint8Array.of(1), Head.hash(crypto, head), nodeId, sequence, bits)
}

async function assertSigned(
  crypto: Crypto,
  tag: Cose.Tag,
  payload: Hash,
  signature: Uint8Array,
  publicKey: Uint8Array,
): Promise<void> {
  try {
    await Cose.verify(crypto, { tag, payload, signature, publicKey })
  } catch (cause) {
    if (BaseError.isInstance(cause)) throw new FaultRefusedError('bad-signature', cause)
    throw cause
  }
}

function assertIncluded(crypto: Crypto, subject: Parameters<typeof Merkle.verifyInclusion>[1]): void {
  refusing('not-included', () => Merkle.verifyInclusion(crypto, subject))
}

function assertAnchored(anchored: Anchored, logId: Hash, size: bigint, root: Hash): void {
  const known = anchored(logId, size)
  if (known === undefined || !Bytes.equal(known, root)) throw new FaultRefusedError('not-anchored')
}

function refusing<T>(code: FaultRefusedErrorCode, body: () => T): T {
  try {
    return body()
  } catch (cause) {
    if (BaseError.isInstance(cause)) throw new FaultRefusedError(code, cause)
    throw cause
  }
}

function ofShape<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof Shape.MismatchError) throw new MalformedFaultError(cause)
    throw cause
  }
}

/** Bytes or fields are no fault file of version 1. */
export class MalformedFaultError extends VerificationError<'fault-shape'> {
  override readonly name = 'Fault.MalformedFaultError'
  constructor(cause: BaseError) {
    super('fault-shape', 'This is no fault file of version 1.', { facts: cause.facts, cause })
  }
}

export type FaultRefusedErrorCode =
  | 'malformed'
  | 'same-head'
  | 'fields-differ'
  | 'bad-signature'
  | 'leaf-equal'
  | 'other-receipt'
  | 'entry-correct'
  | 'not-included'
  | 'not-anchored'

const refusals: { readonly [code in FaultRefusedErrorCode]: string } = {
  malformed: 'a head is not of version 1, or the words are no pledge',
  'same-head': 'both heads are the same',
  'fields-differ': 'the heads do not stand in the same place',
  'bad-signature': 'a signature does not hold under the key',
  'leaf-equal': 'the leaf is the pledged one',
  'other-receipt': 'the entry carries the hash of another receipt',
  'entry-correct': "the entry is the head's own",
  'not-included': 'the inclusion proof does not hold',
  'not-anchored': 'the log is not known to have anchored this size and root',
}

/** A fault file shows no fault. */
export class FaultRefusedError extends VerificationError<FaultRefusedErrorCode> {
  override readonly name = 'Fault.FaultRefusedError'
  constructor(code: FaultRefusedErrorCode, cause?: BaseError) {
    super(code, 'The file shows no fault.', { facts: [`Reason: ${refusals[code]}`], cause })
  }
}
