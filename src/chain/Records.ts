/**
 * Records.ts - what the words of NodeRegistry and AnchorLog mean. Source: spec/contracts.md section 5.
 *
 * Packed words are read from the low end; a bit that no field uses must be zero.
 */
import * as Bytes from '../protocol/Bytes.ts'
import { VerificationError } from '../protocol/errors.ts'

/** A signing key in a node's history. */
export type KeyRecord = {
  /** SHA-256(x || y), 32 bytes. */
  readonly keyId: Uint8Array
  /** 20 bytes. */
  readonly operator: Uint8Array
  /** 1 node, 2 log, 3 witness, 4 verifier. */
  readonly role: number
  /** First block in which the key is valid. */
  readonly validFromBlock: bigint
  /** First block in which it no longer is; 0 = still valid. */
  readonly validUntilBlock: bigint
}

/** The part of a log's record that never changes. */
export type LogRecord = {
  /** SHA-256(x || y) of the ES256 key, 32 bytes. */
  readonly keyId: Uint8Array
  /** 20 bytes. */
  readonly operator: Uint8Array
  /** Blocks from a pledge's issue to its deadline. */
  readonly pledgeBlocks: bigint
}

/** A node's record. */
export type NodeRecord = {
  /** 20 bytes. */
  readonly operator: Uint8Array
  readonly registeredAtBlock: bigint
  /** Epoch that the next key gets = number of keys so far. */
  readonly nextKeyEpoch: number
}

/** An anchored state of a log. */
export type Step = {
  /** RFC 9162 root, 32 bytes. */
  readonly root: Uint8Array
  /** Block in which it was anchored. */
  readonly blockNumber: bigint
}

/** Reads a key record from its two words, 32 bytes each; throws `Records.WordError`. */
export function keyRecord(word0: Uint8Array, word1: Uint8Array): KeyRecord {
  const fields = unpack('key record', word1, [160, 8, 40, 40])
  return {
    keyId: present('key record', word0),
    operator: Bytes.u256(fields[0] as bigint).slice(12),
    role: Number(fields[1]),
    validFromBlock: fields[2] as bigint,
    validUntilBlock: fields[3] as bigint,
  }
}

/** Reads a log record from its first two words, 32 bytes each; throws `Records.WordError`. */
export function logRecord(word0: Uint8Array, word1: Uint8Array): LogRecord {
  const fields = unpack('log record', word1, [160, 64])
  return {
    keyId: present('log record', word0),
    operator: Bytes.u256(fields[0] as bigint).slice(12),
    pledgeBlocks: fields[1] as bigint,
  }
}

/** Reads a node's record from its word, 32 bytes; throws `Records.WordError`. */
export function nodeRecord(word: Uint8Array): NodeRecord {
  const fields = unpack('node', present('node', word), [160, 64, 32])
  return {
    operator: Bytes.u256(fields[0] as bigint).slice(12),
    registeredAtBlock: fields[1] as bigint,
    nextKeyEpoch: Number(fields[2]),
  }
}

/** Reads an anchored step from its two words, 32 bytes each; throws `Records.WordError`. */
export function step(word0: Uint8Array, word1: Uint8Array): Step {
  const fields = unpack('step', present('step', word1), [64])
  return { root: present('step', word0), blockNumber: fields[0] as bigint }
}

/** Reads a word that holds one u64; throws `Records.WordError`. */
export function uint64(word: Uint8Array): bigint {
  return unpack('u64', word, [64])[0] as bigint
}

function unpack(what: string, word: Uint8Array, widths: readonly number[]): bigint[] {
  Bytes.assertLength(word, 32, 'Storage word')
  let rest = Bytes.toBigInt(word)
  const fields = widths.map((width) => {
    const field = rest & (2n ** BigInt(width) - 1n)
    rest >>= BigInt(width)
    return field
  })
  if (rest !== 0n) throw new WordError('unused-bits', what)
  return fields
}

function present(what: string, word: Uint8Array): Uint8Array {
  Bytes.assertLength(word, 32, 'Storage word')
  if (word.every((byte) => byte === 0)) throw new WordError('zero-word', what)
  return word
}

/** Storage words are not what these contracts write. */
export class WordError extends VerificationError<'unused-bits' | 'zero-word'> {
  override readonly name = 'Records.WordError'
  constructor(code: 'unused-bits' | 'zero-word', what: string) {
    super(code, `A storage word of a ${what} ${code === 'zero-word' ? 'is zero' : 'has bits that no field uses'}.`)
  }
}
