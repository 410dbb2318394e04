/**
 * ChainPiece.ts - what a bundle's chain piece shows: a header, and under its state root the records of a node key,
 * of a log and of their stake. Source: spec/bundle.md section 1 (key 8), spec/verdict.md section 5 steps 14 to 17,
 * spec/contracts.md section 5.
 *
 * It says nothing about trust: whether the header counts is judged by `Finality` against the reader's anchors.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import { BaseError, VerificationError } from '../protocol/errors.ts'
import * as Header from './Header.ts'
import * as Layout from './Layout.ts'
import * as Records from './Records.ts'
import * as StakePiece from './StakePiece.ts'
import type { Proof } from './StateProof.ts'
import * as StateProof from './StateProof.ts'

/** The piece as it stands in a bundle. */
export type ChainPiece = {
  /** RLP of the block header. */
  readonly header: Uint8Array
  /** 32 bytes. */
  readonly blockHash: Hash
  readonly registry: { readonly account: Proof; readonly word0: Proof; readonly word1: Proof }
  readonly anchorLog?:
    | {
        readonly account: Proof
        readonly record0: Proof
        readonly record1: Proof
        /** Both or none. */
        readonly step0?: Proof | undefined
        readonly step1?: Proof | undefined
      }
    | undefined
  /** Only beside `anchorLog`. */
  readonly stake?: StakePiece.StakePiece | undefined
}

/** Which records the piece is about. */
export type Subject = {
  readonly registry: {
    /** NodeRegistry, 20 bytes: the head's. */
    readonly address: Uint8Array
    /** 32 bytes. */
    readonly nodeId: Uint8Array
    readonly keyEpoch: number
  }
  /** Needed when the piece has `anchorLog`. */
  readonly log?:
    | {
        /** AnchorLog, 20 bytes: the pledge's. */
        readonly address: Uint8Array
        /** 32 bytes. */
        readonly logId: Uint8Array
        /** The checkpoint's size; needed when the piece has a step. */
        readonly size?: bigint | undefined
      }
    | undefined
}

/** What the records must agree with. */
export type Expected = {
  /** SHA-256(x || y) of the key that signed the head, 32 bytes. */
  readonly nodeKeyId: Uint8Array
  /** SHA-256(x || y) of the key that signed the pledge, 32 bytes; needed when the piece has `anchorLog`. */
  readonly logKeyId?: Uint8Array | undefined
  /** The checkpoint's root, 32 bytes; needed when the piece has a step. */
  readonly root?: Uint8Array | undefined
}

/** A contract as the state shows it. */
export type ProvenContract = { readonly address: Uint8Array; readonly codeHash: Hash }

/** What the piece shows if its header is a header of the chain. */
export type Facts = {
  readonly header: Header.Header & { /** 32 bytes, recomputed. */ readonly hash: Hash }
  readonly registry: ProvenContract & { readonly keyRecord: Records.KeyRecord }
  readonly anchorLog?: ProvenContract & { readonly logRecord: Records.LogRecord; readonly step?: Records.Step }
  readonly stake?: StakePiece.Facts
}

/** The steps of a verdict that this module does, in order. */
export type StepName = 'header' | 'registry-proof' | 'log-proof' | 'stake-proof'

/**
 * Checks a piece and compares its records with what the receipt says, in the order of the verdict's steps.
 *
 * Throws: `ChainPiece.ContradictionError` with the step.
 */
export function verify(crypto: Crypto, piece: ChainPiece, subject: Subject, expected: Expected): Facts {
  const header = readHeader(crypto, piece)
  const known: StateProof.KnownNodes = []
  const registry = readRegistry(crypto, piece, subject, header.stateRoot, known)
  if (!Bytes.equal(registry.keyRecord.keyId, expected.nodeKeyId)) {
    throw new ContradictionError('registry-proof', 'The registered key is not the key of the receipt.')
  }
  const anchorLog = readAnchorLog(crypto, piece, subject, header.stateRoot, known)
  if (anchorLog === undefined)
    return { header, registry, ...readStake(crypto, piece, subject, { header, registry }, known) }
  if (expected.logKeyId === undefined || !Bytes.equal(anchorLog.logRecord.keyId, expected.logKeyId)) {
    throw new ContradictionError('log-proof', 'The registered key is not the key of the pledge.')
  }
  if (anchorLog.step !== undefined) {
    if (expected.root === undefined || !Bytes.equal(anchorLog.step.root, expected.root)) {
      throw new ContradictionError('log-proof', 'The anchored root is not the root of the checkpoint.')
    }
    if (anchorLog.step.blockNumber > header.number) {
      throw new ContradictionError('log-proof', 'The anchor is younger than the header that shows it.')
    }
  }
  return { header, registry, anchorLog, ...readStake(crypto, piece, subject, { header, registry, anchorLog }, known) }
}

/** Checks a piece as `verify` does but compares its records with nothing; for whoever makes pieces. */
export function read(crypto: Crypto, piece: ChainPiece, subject: Subject): Facts {
  const header = readHeader(crypto, piece)
  const known: StateProof.KnownNodes = []
  const registry = readRegistry(crypto, piece, subject, header.stateRoot, known)
  const anchorLog = readAnchorLog(crypto, piece, subject, header.stateRoot, known)
  const facts = anchorLog === undefined ? { header, registry } : { header, registry, anchorLog }
  return { ...facts, ...readStake(crypto, piece, subject, facts, known) }
}

function readHeader(crypto: Crypto, piece: ChainPiece): Facts['header'] {
  return asStep('header', () => {
    const hash = Header.hash(crypto, piece.header)
    if (!Bytes.equal(hash, piece.blockHash)) {
      throw new ContradictionError('header', 'The block hash is not the hash of the header.')
    }
    return { ...Header.parse(piece.header), hash }
  })
}

function readRegistry(
  crypto: Crypto,
  piece: ChainPiece,
  subject: Subject,
  stateRoot: Hash,
  known: StateProof.KnownNodes,
): Facts['registry'] {
  return asStep('registry-proof', () => {
    const { address, nodeId, keyEpoch } = subject.registry
    const account = StateProof.verifyAccount(crypto, { stateRoot, address, proof: piece.registry.account }, known)
    const slots = Layout.keyRecordSlots(crypto, nodeId, keyEpoch)
    const word = (slot: Uint8Array, proof: Proof) =>
      StateProof.verifyStorage(crypto, { storageRoot: account.storageRoot, slot, proof }, known)
    const keyRecord = Records.keyRecord(word(slots[0], piece.registry.word0), word(slots[1], piece.registry.word1))
    return { address, codeHash: account.codeHash, keyRecord }
  })
}

function readAnchorLog(
  crypto: Crypto,
  piece: ChainPiece,
  subject: Subject,
  stateRoot: Hash,
  known: StateProof.KnownNodes,
): Facts['anchorLog'] {
  const proofs = piece.anchorLog
  if (proofs === undefined) return undefined
  return asStep('log-proof', () => {
    const { log } = subject
    if (log === undefined) throw new ContradictionError('log-proof', 'A log is proven that the receipt does not name.')
    const { address, logId } = log
    const account = StateProof.verifyAccount(crypto, { stateRoot, address, proof: proofs.account }, known)
    const word = (slot: Uint8Array, proof: Proof) =>
      StateProof.verifyStorage(crypto, { storageRoot: account.storageRoot, slot, proof }, known)
    const slots = Layout.logRecordSlots(crypto, logId)
    const logRecord = Records.logRecord(word(slots[0], proofs.record0), word(slots[1], proofs.record1))
    const contract = { address, codeHash: account.codeHash, logRecord }
    if (proofs.step0 === undefined && proofs.step1 === undefined) return contract
    if (proofs.step0 === undefined || proofs.step1 === undefined || log.size === undefined) {
      throw new ContradictionError('log-proof', 'A step needs both of its words and the size of the checkpoint.')
    }
    const stepSlots = Layout.stepSlots(crypto, logId, log.size)
    return { ...contract, step: Records.step(word(stepSlots[0], proofs.step0), word(stepSlots[1], proofs.step1)) }
  })
}

function readStake(
  crypto: Crypto,
  piece: ChainPiece,
  subject: Subject,
  facts: Omit<Facts, 'stake'>,
  known: StateProof.KnownNodes,
): Pick<Facts, 'stake'> {
  const { stake } = piece
  if (stake === undefined) return {}
  return asStep('stake-proof', () => {
    if (subject.log === undefined || facts.anchorLog === undefined) {
      throw new ContradictionError('stake-proof', 'A stake is shown without the record of the log.')
    }
    const of = {
      nodeId: subject.registry.nodeId,
      logId: subject.log.logId,
      nodeOperator: facts.registry.keyRecord.operator,
      logOperator: facts.anchorLog.logRecord.operator,
    }
    return { stake: StakePiece.read(crypto, stake, of, facts.header.stateRoot, known) }
  })
}

function asStep<T>(step: StepName, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof ContradictionError || !(cause instanceof BaseError)) throw cause
    throw new ContradictionError(step, cause.shortMessage, cause)
  }
}

/** A piece contradicts itself or the receipt; `step` is the verdict's step. */
export class ContradictionError extends VerificationError<StepName> {
  override readonly name = 'ChainPiece.ContradictionError'
  readonly step: StepName
  constructor(step: StepName, shortMessage: string, cause?: BaseError) {
    super(step, shortMessage, { facts: cause?.facts ?? [], cause })
    this.step = step
  }
}
