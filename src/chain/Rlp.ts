/**
 * Rlp.ts - Ethereum's recursive length prefix, strict: one value has one encoding. Source: Ethereum Yellow Paper,
 * appendix B; spec/contracts.md section 5.
 */
import * as Bytes from '../protocol/Bytes.ts'
import { UsageError, VerificationError } from '../protocol/errors.ts'

/** A byte string or a list of items. */
export type Item = Uint8Array | readonly Item[]

// Headers are 1 deep; trie nodes embed nodes of less than 32 bytes, so they cannot nest deeper than this.
const maxDepth = 16
// The largest value here is a header with committee seals in its extra data; 64 KiB is far above any known.
const maxBytes = 65_536

/**
 * Reads one item that fills all the bytes, at most 64 KiB and 16 lists deep.
 *
 * Throws: `Rlp.DecodeError` for anything that `encode` would not have written.
 */
export function decode(bytes: Uint8Array): Item {
  if (bytes.length > maxBytes) throw new DecodeError('rlp-too-large', `Length: ${bytes.length}, limit: ${maxBytes}`)
  const { item, end } = decodeAt(bytes, 0, bytes.length, 0)
  if (end !== bytes.length) throw new DecodeError('rlp-trailing-bytes', `Left over: ${bytes.length - end}`)
  return item
}

/** Reads a list; throws `Rlp.DecodeError` also when the item is a byte string. */
export function decodeList(bytes: Uint8Array): readonly Item[] {
  const item = decode(bytes)
  if (item instanceof Uint8Array) throw new DecodeError('rlp-not-a-list', 'Expected: a list')
  return item
}

/** Writes an item; throws `Rlp.EncodeError` beyond 64 KiB of contents. */
export function encode(item: Item): Uint8Array {
  if (item instanceof Uint8Array) {
    if (item.length === 1 && (item[0] as number) < 0x80) return Uint8Array.from(item)
    return Bytes.concat(head(0x80, item.length), item)
  }
  const payload = Bytes.concat(...item.map(encode))
  return Bytes.concat(head(0xc0, payload.length), payload)
}

/** Writes an unsigned integer as RLP does: big-endian without leading zeros, 0 as no bytes. */
export function fromInteger(value: bigint): Uint8Array {
  if (value < 0n) throw new EncodeError('rlp-negative', 'Expected: an unsigned integer')
  if (value === 0n) return new Uint8Array(0)
  const hex = value.toString(16)
  return Bytes.fromHex(hex.length % 2 === 0 ? hex : `0${hex}`)
}

/**
 * Reads an unsigned integer of at most `maximumBytes` bytes; a leading zero is refused.
 *
 * Throws: `Rlp.DecodeError`.
 */
export function toInteger(item: Item | undefined, maximumBytes: number): bigint {
  const bytes = toBytes(item)
  if (bytes.length > maximumBytes)
    throw new DecodeError('rlp-integer', `Length: ${bytes.length}, limit: ${maximumBytes}`)
  if (bytes[0] === 0) throw new DecodeError('rlp-integer', 'The integer has a leading zero')
  return Bytes.toBigInt(bytes)
}

/** Takes a byte string, of exactly `length` bytes if given; throws `Rlp.DecodeError`. */
export function toBytes(item: Item | undefined, length?: number): Uint8Array {
  if (!(item instanceof Uint8Array)) throw new DecodeError('rlp-not-bytes', 'Expected: a byte string')
  if (length !== undefined && item.length !== length) {
    throw new DecodeError('rlp-wrong-length', `Expected: ${length} bytes, got: ${item.length}`)
  }
  return item
}

function head(offset: 0x80 | 0xc0, length: number): Uint8Array {
  if (length < 56) return Uint8Array.of(offset + length)
  if (length > maxBytes) throw new EncodeError('rlp-too-large', `Length: ${length}, limit: ${maxBytes}`)
  const lengthBytes = fromInteger(BigInt(length))
  return Bytes.concat(Uint8Array.of(offset + 55 + lengthBytes.length), lengthBytes)
}

function decodeAt(bytes: Uint8Array, start: number, limit: number, depth: number): { item: Item; end: number } {
  const first = bytes[start]
  if (first === undefined || start >= limit) throw new DecodeError('rlp-too-short', `Offset: ${start}`)
  if (first < 0x80) return { item: bytes.slice(start, start + 1), end: start + 1 }
  const isList = first >= 0xc0
  const code = first - (isList ? 0xc0 : 0x80)
  const { contents, length } =
    code < 56 ? { contents: start + 1, length: code } : longLength(bytes, start, limit, code - 55)
  const end = contents + length
  if (end > limit) throw new DecodeError('rlp-too-short', `Offset: ${start}`)
  if (!isList) {
    if (length === 1 && (bytes[contents] as number) < 0x80)
      throw new DecodeError('rlp-not-canonical', `Offset: ${start}`)
    return { item: bytes.slice(contents, end), end }
  }
  if (depth >= maxDepth) throw new DecodeError('rlp-too-deep', `Limit: ${maxDepth} lists`)
  const items: Item[] = []
  for (let offset = contents; offset < end; ) {
    const next = decodeAt(bytes, offset, end, depth + 1)
    items.push(next.item)
    offset = next.end
  }
  return { item: items, end }
}

function longLength(bytes: Uint8Array, start: number, limit: number, lengthBytes: number) {
  const contents = start + 1 + lengthBytes
  if (contents > limit) throw new DecodeError('rlp-too-short', `Offset: ${start}`)
  // Four bytes already say far more than `maxBytes`, and stay exact in a double.
  if (lengthBytes > 4) throw new DecodeError('rlp-too-large', `Offset: ${start}`)
  const length = Number(Bytes.toBigInt(bytes.subarray(start + 1, contents)))
  if (bytes[start + 1] === 0 || length < 56) throw new DecodeError('rlp-not-canonical', `Offset: ${start}`)
  return { contents, length }
}

/** Codes of `Rlp.DecodeError`. */
export type DecodeErrorCode =
  | 'rlp-too-large'
  | 'rlp-too-short'
  | 'rlp-too-deep'
  | 'rlp-trailing-bytes'
  | 'rlp-not-canonical'
  | 'rlp-not-a-list'
  | 'rlp-not-bytes'
  | 'rlp-wrong-length'
  | 'rlp-integer'

/** Bytes are not the one encoding of what was expected. */
export class DecodeError extends VerificationError<DecodeErrorCode> {
  override readonly name = 'Rlp.DecodeError'
  constructor(code: DecodeErrorCode, fact: string) {
    super(code, 'Bytes are not the expected RLP.', { facts: [fact] })
  }
}

/** A value has no encoding here. */
export class EncodeError extends UsageError<'rlp-too-large' | 'rlp-negative'> {
  override readonly name = 'Rlp.EncodeError'
  constructor(code: 'rlp-too-large' | 'rlp-negative', fact: string) {
    super(code, 'The value cannot be written as RLP.', { facts: [fact] })
  }
}
