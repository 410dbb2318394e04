/** Pledge.ts - a log's signed word that a leaf has an index, with a deadline that is not its choice. Source: spec/log.md section 3. */
import * as Abi from './Abi.ts'
import * as Bytes from './Bytes.ts'
import type { Crypto, Hash } from './Crypto.ts'
import { type BaseError, VerificationError } from './errors.ts'

/** Bytes of the seven words. */
export const byteLength = 224

/** What a log pledges. */
export type Pledge = {
  /** 0..2^64-1. */
  readonly chainId: bigint
  /** Address of AnchorLog, 20 bytes. */
  readonly anchorLog: Uint8Array
  /** 32 bytes. */
  readonly logId: Uint8Array
  /** 32 bytes, `LogEntry.leafHash`. */
  readonly leafHash: Uint8Array
  readonly leafIndex: bigint
  /** Number of the newest block that the log knew. */
  readonly issuedAtBlock: bigint
  /** Hash of that block, 32 bytes; for readers, contracts ignore it. */
  readonly issuedAtBlockHash: Uint8Array
}

/** The seven words, 224 bytes; throws `Bytes.LengthError`, `Bytes.IntegerError`. */
export function words(pledge: Pledge): Uint8Array {
  return Abi.encode(
    Abi.uint(pledge.chainId, 64),
    Abi.address(pledge.anchorLog),
    Abi.bytes32(pledge.logId),
    Abi.bytes32(pledge.leafHash),
    Abi.uint(pledge.leafIndex, 64),
    Abi.uint(pledge.issuedAtBlock, 64),
    Abi.bytes32(pledge.issuedAtBlockHash),
  )
}

/** Reads 224 bytes of words; throws `Pledge.MalformedPledgeError`. */
export function parse(bytes: Uint8Array): Pledge {
  if (bytes.length !== byteLength) {
    throw new MalformedPledgeError('pledge-length', [`Expected: ${byteLength} bytes`, `Got: ${bytes.length} bytes`])
  }
  try {
    const reader = new Abi.Reader(bytes)
    const pledge: Pledge = {
      chainId: reader.uint(64),
      anchorLog: reader.address(),
      logId: reader.bytes32(),
      leafHash: reader.bytes32(),
      leafIndex: reader.uint(64),
      issuedAtBlock: reader.uint(64),
      issuedAtBlockHash: reader.bytes32(),
    }
    reader.end()
    return pledge
  } catch (cause) {
    if (cause instanceof Abi.WordError) throw new MalformedPledgeError('pledge-word', cause.facts, cause)
    throw cause
  }
}

/** What is signed under tag `pledge`, 32 bytes: SHA-256 of the words. */
export function payload(crypto: Crypto, bytes: Uint8Array): Hash {
  Bytes.assertLength(bytes, byteLength, 'Pledge')
  return crypto.sha256(bytes)
}

/** Codes of `Pledge.MalformedPledgeError`. */
export type MalformedPledgeErrorCode = 'pledge-length' | 'pledge-word'

/** Bytes are no pledge. */
export class MalformedPledgeError extends VerificationError<MalformedPledgeErrorCode> {
  override readonly name = 'Pledge.MalformedPledgeError'
  constructor(code: MalformedPledgeErrorCode, facts: readonly string[], cause?: BaseError) {
    super(code, 'These words are no pledge.', { facts, cause })
  }
}
