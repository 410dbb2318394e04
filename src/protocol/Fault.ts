/**
 * Fault.ts - `.fault` files: evidence against a key that needs no trust in whoever filed it. Source: spec/bundle.md section 3,
 * spec/faults.md section 7.
 *
 * Each class has one pure function that returns what is shown or throws; what only contracts know is an argument. A
 * fault accuses a key or a log; whether the key is registered, and to whom, is looked up where the fault is used.
 */
import * as Abi from './Abi.ts'
import * as Bytes from './Bytes.ts'
import type { Crypto, Hash } from './Crypto.ts'
import type * as Dcbor from './Dcbor.ts'
import { type BaseError, VerificationError } from './errors.ts'
import * as FaultOfLog from './FaultOfLog.ts'
import * as FaultOfNode from './FaultOfNode.ts'
import * as Head from './Head.ts'
import * as LogEntry from './LogEntry.ts'
import * as Pledge from './Pledge.ts'
import * as Shape from './Shape.ts'

export type { Anchored, PledgeTerms } from './FaultOfLog.ts'
export { judgeF2, judgeF3, judgeF4, judgeF5, judgeF6 } from './FaultOfLog.ts'
export { judgeF1, judgeF13 } from './FaultOfNode.ts'
export { FaultRefusedError, type FaultRefusedErrorCode } from './FaultRefusal.ts'

/** Most bytes of a fault file, 16 KiB: the largest class has about 5 kB with the longest proofs. */
export const maxBytes = 16 * 1024

const { field, optional, record, list, bytes, u32, u64 } = Shape
const hash = bytes(32)
const proof = list(hash, 0, 63)

const headsShape = record({
  headA: field(1, bytes(Head.byteLength)),
  signatureA: field(2, bytes(64)),
  headB: field(3, bytes(Head.byteLength)),
  signatureB: field(4, bytes(64)),
  publicKey: field(5, bytes(64)),
})
const place = { leaf: optional(4, hash), proof: optional(5, proof) }
const stateShape = record({ size: field(1, u64), root: field(2, hash), signature: optional(3, bytes(64)), ...place })
const signedShape = record({ size: field(1, u64), root: field(2, hash), signature: field(3, bytes(64)), ...place })
const ofLog = {
  chainId: field(1, u64),
  anchorLog: field(2, bytes(20)),
  logId: field(3, hash),
  publicKey: field(4, bytes(64)),
}
const f2Shape = record({
  ...ofLog,
  stateA: field(5, stateShape),
  stateB: field(6, stateShape),
  index: optional(7, u64),
})
const f3Shape = record({
  pledge: field(1, bytes(Pledge.byteLength)),
  signature: field(2, bytes(64)),
  publicKey: field(3, bytes(64)),
  otherLeafHash: field(4, hash),
  size: field(5, u64),
  root: field(6, hash),
  proof: field(7, proof),
})
const f4Shape = record({
  pledge: field(1, bytes(Pledge.byteLength)),
  signature: field(2, bytes(64)),
  publicKey: field(3, bytes(64)),
  missing: field(4, Shape.boolean),
  how: field(5, Shape.oneOf(0, 1, 2, 3)),
  at: field(6, u64),
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
  proof: field(10, proof),
})
const f6Shape = record({
  ...ofLog,
  nodeId: field(5, hash),
  keyEpoch: field(6, u32),
  stateA: field(7, signedShape),
  stateB: field(8, signedShape),
  index: optional(9, u64),
})

/** Two heads of one key in one place. */
export type F1 = Shape.TypeOf<typeof headsShape>
/** A state of a log; leaf and proof are for the index of the evidence. */
export type State = Shape.TypeOf<typeof stateShape>
/** Two states of one log; one without a signature is meant as anchored. */
export type F2 = Shape.TypeOf<typeof f2Shape>
/** A pledge, and another leaf at its index. */
export type F3 = Shape.TypeOf<typeof f3Shape>
/**
 * A pledge, and where the log's size was seen: `how` 0 now, 1 in the step of size `at`, 2 as written down in block `at`; or 3, of a
 * missing one, that it is covered and that nobody was shown what stands there although it was demanded.
 */
export type F4 = Shape.TypeOf<typeof f4Shape>
/** A log entry that is not the entry of the head whose hash it carries. */
export type F5 = Shape.TypeOf<typeof f5Shape>
/** Two states of one log, cosigned by one witness. */
export type F6 = Shape.TypeOf<typeof f6Shape>
/** Two heads of one key with neighbouring numbers. */
export type F13 = Shape.TypeOf<typeof headsShape>

/** A fault file; lengths as in spec/assay.cddl. */
export type Fault =
  | { readonly class: 1; readonly evidence: F1 }
  | { readonly class: 2; readonly evidence: F2 }
  | { readonly class: 3; readonly evidence: F3 }
  | { readonly class: 4; readonly evidence: F4 }
  | { readonly class: 5; readonly evidence: F5 }
  | { readonly class: 6; readonly evidence: F6 }
  | { readonly class: 13; readonly evidence: F13 }

/** What a fault shows. */
export type Finding =
  | FaultOfNode.HeadsFinding<1>
  | FaultOfLog.F2Finding
  | FaultOfLog.F3Finding
  | FaultOfLog.F4Finding
  | FaultOfLog.F5Finding
  | FaultOfLog.F6Finding
  | FaultOfNode.HeadsFinding<13>

const shapes = { 1: headsShape, 2: f2Shape, 3: f3Shape, 4: f4Shape, 5: f5Shape, 6: f6Shape, 13: headsShape } as const

const outer = record({
  version: field(0, Shape.oneOf(1)),
  class: field(1, Shape.oneOf(1, 2, 3, 4, 5, 6, 13)),
  evidence: field(2, any()),
})

/** Reads a fault file; throws `Fault.MalformedFaultError`. */
export function parse(input: Uint8Array): Fault {
  return ofShape(() => {
    const file = Shape.decode(outer, input, maxBytes)
    const fault = { class: file.class, evidence: shapes[file.class].fromValue(file.evidence, '.2') } as Fault
    assertForm(fault)
    return fault
  })
}

/** Writes a fault file; throws `Fault.MalformedFaultError`. */
export function serialize(fault: Fault): Uint8Array {
  return ofShape(() => {
    // The table holds the shape of each class, which the type of a table cannot say.
    const shape = shapes[fault.class] as Shape.Shape<unknown> | undefined
    if (shape === undefined) throw new Shape.MismatchError('.1', 'not one of the defined values')
    const evidence = shape.toValue(fault.evidence, '.2')
    const output = Shape.encode(outer, { version: 1, class: fault.class, evidence }, maxBytes)
    parse(output)
    return output
  })
}

/**
 * Judges a fault of any class.
 *
 * - `anchored`: for classes 2, 3, 5; `terms`: for class 4, which shows nothing without them
 *
 * Throws: `Fault.FaultRefusedError` when it shows nothing.
 */
export async function judge(
  crypto: Crypto,
  fault: Fault,
  anchored: FaultOfLog.Anchored,
  terms: FaultOfLog.PledgeTerms = noTerms,
): Promise<Finding> {
  switch (fault.class) {
    case 1:
      return FaultOfNode.judgeF1(crypto, fault.evidence)
    case 2:
      return FaultOfLog.judgeF2(crypto, fault.evidence, anchored)
    case 3:
      return FaultOfLog.judgeF3(crypto, fault.evidence, anchored)
    case 4:
      return FaultOfLog.judgeF4(crypto, fault.evidence, terms)
    case 5:
      return FaultOfLog.judgeF5(crypto, fault.evidence, anchored)
    case 6:
      return FaultOfLog.judgeF6(crypto, fault.evidence)
    case 13:
      return FaultOfNode.judgeF13(crypto, fault.evidence)
  }
}

/** What counts once, as FaultCourt records it. */
export type Incident = {
  /** 1, 2, 3, 4 (late), 104 (missing), 5, 6, 13. */
  readonly class: number
  /** Who pays: nodeId or logId, 32 bytes. */
  readonly subject: Hash
  /** 0 for a log. */
  readonly keyEpoch: number
  /** 32 bytes. */
  readonly incident: Hash
}

/**
 * What a finding counts as.
 *
 * - `incidentBlocks`: of the FaultCourt, above 0; enters for class 4 only
 */
export function incidentOf(finding: Finding, incidentBlocks: bigint): Incident {
  const number = Bytes.u256
  switch (finding.class) {
    case 1:
    case 13: {
      const { nodeId: subject, keyEpoch, sequence } = finding
      return { class: finding.class, subject, keyEpoch, incident: number(sequence) }
    }
    case 2:
      return { class: 2, subject: finding.logId, keyEpoch: 0, incident: number(0n) }
    case 3:
    case 5:
      return { class: finding.class, subject: finding.logId, keyEpoch: 0, incident: number(finding.index) }
    case 4: {
      const incident = number(finding.deadline / incidentBlocks)
      return { class: finding.missing ? 104 : 4, subject: finding.logId, keyEpoch: 0, incident }
    }
    case 6:
      return { class: 6, subject: finding.nodeId, keyEpoch: finding.keyEpoch, incident: finding.logId }
  }
}

/** The name under which FaultCourt records a fault, once: Keccak-256(abi.encode(class, subject, keyEpoch, incident)), 32 bytes. */
export function faultId(crypto: Crypto, of: Incident): Hash {
  return crypto.keccak256(
    Abi.encode(
      Abi.uint(BigInt(of.class), 8),
      Abi.bytes32(of.subject),
      Abi.uint(BigInt(of.keyEpoch), 32),
      Abi.bytes32(of.incident),
    ),
  )
}

const noTerms: FaultOfLog.PledgeTerms = {
  pledgeBlocks: () => undefined,
  graceBlocks: undefined,
  seen: () => undefined,
  withheld: () => undefined,
}

/** What keys depend on: every byte of a file is read by its judge, or there is no such file. */
function assertForm(fault: Fault): void {
  if (fault.class === 4) {
    const { missing, how, at } = fault.evidence
    if ((how === 0 || how === 3) && at !== 0n) throw new Shape.MismatchError('.2.6', '0 expected')
    if (how === 3 && !missing) throw new Shape.MismatchError('.2.4', 'true expected')
  }
  if (fault.class !== 2 && fault.class !== 6) return
  const { stateA, stateB, index } = fault.evidence
  const hasIndex = stateA.size !== stateB.size
  for (const part of [index, stateA.leaf, stateA.proof, stateB.leaf, stateB.proof]) {
    if ((part !== undefined) !== hasIndex) {
      throw new Shape.MismatchError('.2', 'index, leaves and proofs if and only if the sizes differ')
    }
  }
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
