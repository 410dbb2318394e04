/**
 * Dcbor.ts - deterministic CBOR, the subset in which claims and bundles are written. Source: RFC 8949 section 4.2.1; spec/encoding.md.
 *
 * Integers from -2^64 to 2^64-1, byte strings, NFC text, arrays, maps with unique sorted keys (integers, text, byte
 * strings), true, false, null. No floats, tags, undefined, other simple values, indefinite lengths or longer heads
 * than needed. One value has one byte string, and `decode` refuses every other.
 */
import * as Bytes from './Bytes.ts'
import { LimitError, UsageError, VerificationError } from './errors.ts'

/** Most containers inside each other; nothing in the specification nests deeper than 8, and recursion stays shallow. */
export const maxDepth = 16
/** Most bytes of one encoded value, 16 MiB: a bundle with all its evidence is far smaller, and memory stays bounded. */
export const maxBytes = 16 * 1024 * 1024
/** Most items (containers, keys and values all count) in one value; at about 100 bytes each this bounds memory to some 25 MiB. */
export const maxItems = 262_144

/** A map key: an integer, text, or a byte string (which JavaScript compares by identity: look it up with `get`). */
export type Key = number | bigint | string | Uint8Array

/** A value of the subset; integers are a number where it is safe and a bigint otherwise. */
export type Value = null | boolean | number | bigint | string | Uint8Array | readonly Value[] | ValueMap

/** A map; after `decode` it iterates in canonical key order. */
export type ValueMap = ReadonlyMap<Key, Value>

/**
 * Encodes a value; map entries may come in any order.
 *
 * Throws: `Dcbor.EncodeError` for what the subset cannot express (text is never normalised on the way: text that is
 * not NFC is refused), `LimitError`.
 *
 * @example
 * Bytes.toHex(Dcbor.encode(new Map([[1, 'a']]))) // => 'a1016161'
 */
export function encode(value: Value): Uint8Array {
  const writer: Writer = { parts: [], byteLength: 0, itemCount: 0 }
  writeValue(writer, value, 0)
  return Bytes.concat(...chunked(writer.parts))
}

/**
 * Decodes exactly one value, refusing trailing bytes and every form that `encode` would not write.
 *
 * - returns: byte strings are copies, integers are numbers where safe and bigints otherwise
 *
 * Throws: `Dcbor.DecodeError`, `LimitError`.
 */
export function decode(bytes: Uint8Array): Value {
  if (bytes.length > maxBytes) throw new LimitError({ what: 'dCBOR byte length', limit: maxBytes, got: bytes.length })
  const input: Input = {
    bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    offset: 0,
    itemCount: 0,
  }
  const value = readValue(input, 0)
  if (input.offset !== bytes.length) throw new DecodeError('trailing-bytes', 'Bytes follow the value.', input.offset)
  // A second, independent gate: whatever a check above may have missed, only the encoder's own bytes pass.
  if (!Bytes.equal(encode(value), bytes)) throw new DecodeError('not-canonical', 'The encoding is not the one form.', 0)
  return value
}

/** Looks up a key by content, so that byte string keys and 1 beside 1n are found; undefined when absent. */
export function get(map: ValueMap, key: Key): Value | undefined {
  const direct = map.get(key)
  if (direct !== undefined) return direct
  const wanted = encode(key)
  for (const [candidate, value] of map) if (Bytes.equal(encode(candidate), wanted)) return value
  return undefined
}

/** Says whether a value is a map. */
export function isMap(value: Value | undefined): value is ValueMap {
  return value instanceof Map
}

type Writer = { readonly parts: Uint8Array[]; byteLength: number; itemCount: number }

function writeValue(writer: Writer, value: Value, depth: number): void {
  countItem(writer)
  if (Array.isArray(value)) {
    enter(depth)
    push(writer, head(4, BigInt(value.length)))
    // An index loop, so that a hole is met as undefined and refused.
    for (let i = 0; i < value.length; i++) writeValue(writer, value[i], depth + 1)
  } else if (isMap(value)) {
    enter(depth)
    writeMap(writer, value, depth)
  } else {
    for (const part of scalar(value as Exclude<Value, readonly Value[]>)) push(writer, part)
  }
}

function scalar(value: Exclude<Value, readonly Value[]>): readonly Uint8Array[] {
  if (value === false) return [Uint8Array.of(0xf4)]
  if (value === true) return [Uint8Array.of(0xf5)]
  if (value === null) return [Uint8Array.of(0xf6)]
  if (typeof value === 'number' || typeof value === 'bigint') return [integer(value)]
  if (typeof value === 'string') {
    const text = textBytes(value)
    return [head(3, BigInt(text.length)), text]
  }
  if (value instanceof Uint8Array) return [head(2, BigInt(value.length)), value]
  throw new EncodeError('unsupported-type', 'The value has a type that the subset does not have.', [
    `Type: ${typeof value}`,
  ])
}

function writeMap(writer: Writer, map: ValueMap, depth: number): void {
  const entries = [...map].map(([key, value]) => ({ key: keyBytes(key), value }))
  entries.sort((left, right) => Bytes.compare(left.key, right.key))
  push(writer, head(5, BigInt(entries.length)))
  for (const [i, { key, value }] of entries.entries()) {
    const previous = entries[i - 1]
    if (previous !== undefined && Bytes.equal(previous.key, key)) {
      throw new EncodeError('duplicate-key', 'Two keys of a map have the same encoding.')
    }
    countItem(writer)
    push(writer, key)
    writeValue(writer, value, depth + 1)
  }
}

function keyBytes(key: Key): Uint8Array {
  const isKey = ['number', 'bigint', 'string'].includes(typeof key) || key instanceof Uint8Array
  if (!isKey) throw new EncodeError('unsupported-key', 'A map key is no integer, text or byte string.')
  return Bytes.concat(...scalar(key))
}

function textBytes(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new EncodeError('text-lone-surrogate', 'Text holds a lone surrogate.')
  if (text.normalize('NFC') !== text) throw new EncodeError('text-not-nfc', 'Text is not in normalisation form C.')
  return Bytes.fromUtf8(text)
}

function integer(value: number | bigint): Uint8Array {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      throw new EncodeError('not-an-integer', 'A number is no safe integer; use a bigint, or text for a decimal.')
    }
  } else if (value < -(2n ** 64n) || value >= 2n ** 64n) {
    throw new EncodeError('integer-out-of-range', 'An integer does not fit -2^64..2^64-1.')
  }
  const wide = BigInt(value)
  return wide < 0n ? head(1, -1n - wide) : head(0, wide)
}

function head(major: number, argument: bigint): Uint8Array {
  const type = major << 5
  if (argument < 24n) return Uint8Array.of(type | Number(argument))
  if (argument < 2n ** 8n) return Uint8Array.of(type | 24, Number(argument))
  if (argument < 2n ** 16n) return Bytes.concat(Uint8Array.of(type | 25), Bytes.u16(Number(argument)))
  if (argument < 2n ** 32n) return Bytes.concat(Uint8Array.of(type | 26), Bytes.u32(Number(argument)))
  return Bytes.concat(Uint8Array.of(type | 27), Bytes.u64(argument))
}

function push(writer: Writer, part: Uint8Array): void {
  writer.byteLength += part.length
  if (writer.byteLength > maxBytes) {
    throw new LimitError({ what: 'dCBOR byte length', limit: maxBytes, got: writer.byteLength })
  }
  writer.parts.push(part)
}

/** Joins in two steps, because a spread of 262,144 arguments overflows the stack. */
function chunked(parts: readonly Uint8Array[]): Uint8Array[] {
  const chunks: Uint8Array[] = []
  for (let i = 0; i < parts.length; i += 1024) chunks.push(Bytes.concat(...parts.slice(i, i + 1024)))
  return chunks
}

type Input = { readonly bytes: Uint8Array; readonly view: DataView; offset: number; itemCount: number }

function readValue(input: Input, depth: number): Value {
  countItem(input)
  const start = input.offset
  if (start >= input.bytes.length) throw new DecodeError('input-too-short', 'The input ends before the value.', start)
  const initial = input.bytes[start] as number
  const major = initial >> 5
  if (major === 6) throw new DecodeError('tag', 'Tags are not part of the subset.', start)
  if (major === 7) {
    input.offset++
    return simple(initial, start)
  }
  const argument = readArgument(input)
  switch (major) {
    case 0:
      return narrow(argument)
    case 1:
      return narrow(-1n - argument)
    case 2:
      return take(input, argument)
    case 3:
      return text(take(input, argument), start)
    case 4:
      return readArray(input, argument, depth)
    default:
      return readMap(input, argument, depth)
  }
}

function simple(initial: number, offset: number): Value {
  if (initial === 0xf4) return false
  if (initial === 0xf5) return true
  if (initial === 0xf6) return null
  const information = initial & 31
  if (information >= 25 && information <= 27)
    throw new DecodeError('float', 'Floats are not part of the subset.', offset)
  if (information === 31) throw new DecodeError('indefinite-length', 'A break stands outside any value.', offset)
  if (information >= 28) throw new DecodeError('reserved-head', 'The initial byte is reserved.', offset)
  throw new DecodeError('simple-value', 'Only true, false and null are part of the subset.', offset)
}

function readArgument(input: Input): bigint {
  const start = input.offset
  const information = (input.bytes[start] as number) & 31
  input.offset++
  if (information < 24) return BigInt(information)
  if (information === 31) throw new DecodeError('indefinite-length', 'Indefinite lengths are refused.', start)
  if (information > 27) throw new DecodeError('reserved-head', 'The initial byte is reserved.', start)
  const size = 2 ** (information - 24)
  if (input.bytes.length - input.offset < size) {
    throw new DecodeError('input-too-short', 'The input ends inside a head.', start)
  }
  let argument: bigint
  if (size === 8) argument = input.view.getBigUint64(input.offset)
  else if (size === 4) argument = BigInt(input.view.getUint32(input.offset))
  else if (size === 2) argument = BigInt(input.view.getUint16(input.offset))
  else argument = BigInt(input.view.getUint8(input.offset))
  input.offset += size
  const least = size === 1 ? 24n : 1n << BigInt(4 * size)
  if (argument < least) throw new DecodeError('head-not-shortest', 'A head is longer than it needs to be.', start)
  return argument
}

function narrow(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

function take(input: Input, length: bigint): Uint8Array {
  const start = input.offset
  if (length > BigInt(input.bytes.length - start)) {
    throw new DecodeError('input-too-short', 'The input ends inside a string.', start)
  }
  input.offset += Number(length)
  return input.bytes.slice(start, input.offset)
}

function text(bytes: Uint8Array, offset: number): string {
  let decoded: string
  try {
    decoded = Bytes.toUtf8(bytes)
  } catch (cause) {
    throw new DecodeError('text-not-utf8', 'Text is not UTF-8.', offset, cause)
  }
  if (decoded.normalize('NFC') !== decoded) {
    throw new DecodeError('text-not-nfc', 'Text is not in normalisation form C.', offset)
  }
  return decoded
}

function readArray(input: Input, count: bigint, depth: number): Value[] {
  enter(depth)
  // Each item takes a byte at least, so a larger count is false before anything is allocated.
  requireBytes(input, count)
  const items: Value[] = []
  for (let i = 0n; i < count; i++) items.push(readValue(input, depth + 1))
  return items
}

function readMap(input: Input, count: bigint, depth: number): ValueMap {
  enter(depth)
  requireBytes(input, 2n * count)
  const map = new Map<Key, Value>()
  let previous: Uint8Array | undefined
  for (let i = 0n; i < count; i++) {
    const start = input.offset
    const key = readValue(input, depth + 1)
    if (typeof key !== 'number' && typeof key !== 'bigint' && typeof key !== 'string' && !(key instanceof Uint8Array)) {
      throw new DecodeError('unsupported-key', 'A map key is no integer, text or byte string.', start)
    }
    const encoded = input.bytes.subarray(start, input.offset)
    const order = previous === undefined ? -1 : Bytes.compare(previous, encoded)
    if (order === 0) throw new DecodeError('duplicate-key', 'A map holds a key twice.', start)
    if (order > 0) throw new DecodeError('keys-not-sorted', 'The keys of a map are out of order.', start)
    previous = encoded
    map.set(key, readValue(input, depth + 1))
  }
  return map
}

function requireBytes(input: Input, count: bigint): void {
  if (count > BigInt(input.bytes.length - input.offset)) {
    throw new DecodeError('input-too-short', 'The input ends inside a container.', input.offset)
  }
}

function enter(depth: number): void {
  if (depth >= maxDepth) throw new LimitError({ what: 'dCBOR nesting depth', limit: maxDepth, got: depth + 1 })
}

function countItem(counter: { itemCount: number }): void {
  counter.itemCount++
  if (counter.itemCount > maxItems) throw new LimitError({ what: 'dCBOR item count', limit: maxItems })
}

export type DecodeErrorCode =
  | 'input-too-short'
  | 'trailing-bytes'
  | 'head-not-shortest'
  | 'reserved-head'
  | 'indefinite-length'
  | 'tag'
  | 'float'
  | 'simple-value'
  | 'text-not-utf8'
  | 'text-not-nfc'
  | 'unsupported-key'
  | 'duplicate-key'
  | 'keys-not-sorted'
  | 'not-canonical'

/** Bytes are not the one encoding of a value of the subset. */
export class DecodeError extends VerificationError<DecodeErrorCode> {
  override readonly name = 'Dcbor.DecodeError'
  /** Where in the input, in bytes. */
  readonly offset: number
  constructor(code: DecodeErrorCode, shortMessage: string, offset: number, cause?: unknown) {
    super(code, shortMessage, { facts: [`Offset: ${offset}`], cause })
    this.offset = offset
  }
}

export type EncodeErrorCode =
  | 'unsupported-type'
  | 'unsupported-key'
  | 'duplicate-key'
  | 'not-an-integer'
  | 'integer-out-of-range'
  | 'text-lone-surrogate'
  | 'text-not-nfc'

/** A JavaScript value cannot be written in the subset. */
export class EncodeError extends UsageError<EncodeErrorCode> {
  override readonly name = 'Dcbor.EncodeError'
  constructor(code: EncodeErrorCode, shortMessage: string, facts: readonly string[] = []) {
    super(code, shortMessage, { facts })
  }
}
