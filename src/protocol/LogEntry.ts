/** LogEntry.ts - the 75 public bytes of a receipt in a log. Source: spec/log.md section 2. */
import * as Bytes from './Bytes.ts'
import type { Crypto, Hash } from './Crypto.ts'
import { VerificationError } from './errors.ts'
import * as Head from './Head.ts'
import * as Merkle from './Merkle.ts'

/** Bytes of an entry. */
export const byteLength = 75

/** What a log stores of a receipt. */
export type LogEntry = {
  /** 32 bytes. */
  readonly receiptHash: Uint8Array
  /** 32 bytes. */
  readonly nodeId: Uint8Array
  readonly sequence: bigint
  readonly modeBits: number
  readonly flags: number
}

/** The one entry of a head of 139 bytes; 75 bytes. Throws `Head.MalformedHeadError`. */
export function fromHead(crypto: Crypto, headBytes: Uint8Array): Uint8Array {
  const head = Head.parse(headBytes)
  return serialize({
    receiptHash: Head.hash(crypto, headBytes),
    nodeId: head.nodeId,
    sequence: head.sequence,
    modeBits: head.modeBits,
    flags: head.flags,
  })
}

/** Reads an entry of 75 bytes; throws `LogEntry.MalformedEntryError`. */
export function parse(bytes: Uint8Array): LogEntry {
  if (bytes.length !== byteLength) {
    throw new MalformedEntryError('entry-length', [`Expected: ${byteLength} bytes`, `Got: ${bytes.length} bytes`])
  }
  const reader = new Bytes.Reader(bytes)
  const version = reader.u8()
  if (version !== 1) throw new MalformedEntryError('entry-version', ['Expected: 1', `Got: ${version}`])
  const entry: LogEntry = {
    receiptHash: reader.bytes(32),
    nodeId: reader.bytes(32),
    sequence: reader.u64(),
    modeBits: reader.u8(),
    flags: reader.u8(),
  }
  reader.end()
  assertRules(entry)
  return entry
}

/** Writes an entry, 75 bytes; throws `LogEntry.MalformedEntryError`, `Bytes.LengthError`, `Bytes.IntegerError`. */
export function serialize(entry: LogEntry): Uint8Array {
  Bytes.assertLength(entry.receiptHash, 32, 'Receipt hash')
  Bytes.assertLength(entry.nodeId, 32, 'Node identifier')
  assertRules(entry)
  return Bytes.concat(
    Uint8Array.of(1),
    entry.receiptHash,
    entry.nodeId,
    Bytes.u64(entry.sequence),
    Bytes.u8(entry.modeBits),
    Bytes.u8(entry.flags),
  )
}

/** The leaf of an entry of 75 bytes: SHA-256(0x00 || entry), 32 bytes. */
export function leafHash(crypto: Crypto, entry: Uint8Array): Hash {
  Bytes.assertLength(entry, byteLength, 'Log entry')
  return Merkle.leafHash(crypto, entry)
}

function assertRules(entry: LogEntry): void {
  if ((entry.modeBits & ~7) !== 0) throw new MalformedEntryError('entry-mode-bits', ['Known bits: 1, 2, 4'])
  if ((entry.flags & ~1) !== 0) throw new MalformedEntryError('entry-flags', ['Known bits: 1'])
}

/** Codes of `LogEntry.MalformedEntryError`. */
export type MalformedEntryErrorCode = 'entry-length' | 'entry-version' | 'entry-mode-bits' | 'entry-flags'

/** Bytes or fields are no log entry of version 1. */
export class MalformedEntryError extends VerificationError<MalformedEntryErrorCode> {
  override readonly name = 'LogEntry.MalformedEntryError'
  constructor(code: MalformedEntryErrorCode, facts: readonly string[]) {
    super(code, 'This is no log entry of version 1.', { facts })
  }
}
