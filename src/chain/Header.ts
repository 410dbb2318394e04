/**
 * Header.ts - a block header as RLP: its hash and the few fields that readers need. Source: Ethereum Yellow Paper
 * section 4.4.3 and the later EIPs that append fields (1559, 4895, 4844, 4788, 7685); spec/contracts.md section 5.
 */
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import { VerificationError } from '../protocol/errors.ts'
import * as Rlp from './Rlp.ts'

/** What a header says; all of it is covered by its hash. */
export type Header = {
  /** 32 bytes. */
  readonly parentHash: Hash
  /** Root of the state trie after the block, 32 bytes. */
  readonly stateRoot: Hash
  readonly number: bigint
  /** Unix seconds, as the block's producer wrote it. */
  readonly timestampSeconds: bigint
}

/** Fewest and most fields: 15 of the first headers, 25 to leave room for what future forks append. */
export const fieldCounts = Object.freeze({ minimum: 15, maximum: 25 })

// Byte lengths of the first fifteen fields; 'integer' has no leading zero, 'any' is extra data.
const shapes = Object.freeze([
  32,
  32,
  20,
  32,
  32,
  32,
  256,
  'integer',
  'integer',
  'integer',
  'integer',
  'integer',
  'any',
  32,
  8,
])

/** The hash of a header: Keccak-256 of its RLP, 32 bytes. */
export function hash(crypto: Crypto, rlp: Uint8Array): Hash {
  return crypto.keccak256(rlp)
}

/**
 * Reads a header by the position of its fields: 15 to 25 byte strings, the first fifteen of their known lengths.
 *
 * Fields after the fifteenth are not interpreted (the hash covers them); a chain whose headers differ in the first
 * fifteen is not readable here. Throws: `Header.HeaderError`.
 */
export function parse(rlp: Uint8Array): Header {
  try {
    const fields = Rlp.decodeList(rlp)
    if (fields.length < fieldCounts.minimum || fields.length > fieldCounts.maximum) {
      throw new HeaderError(`Fields: ${fields.length}, expected ${fieldCounts.minimum}..${fieldCounts.maximum}`)
    }
    for (const [position, field] of fields.entries()) {
      const shape = shapes[position] ?? 'any'
      if (shape === 'integer') Rlp.toInteger(field, 32)
      else Rlp.toBytes(field, shape === 'any' ? undefined : (shape as number))
    }
    return {
      parentHash: Rlp.toBytes(fields[0], 32),
      stateRoot: Rlp.toBytes(fields[3], 32),
      number: Rlp.toInteger(fields[8], 8),
      timestampSeconds: Rlp.toInteger(fields[11], 8),
    }
  } catch (cause) {
    if (cause instanceof Rlp.DecodeError) throw new HeaderError(cause.facts[0] ?? cause.code, cause)
    throw cause
  }
}

/** Bytes are no block header. */
export class HeaderError extends VerificationError<'header-malformed'> {
  override readonly name = 'Header.HeaderError'
  constructor(fact: string, cause?: unknown) {
    super('header-malformed', 'Bytes are no block header.', { facts: [fact], cause })
  }
}
