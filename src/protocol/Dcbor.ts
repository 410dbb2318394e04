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
/**
 * Most bytes of one text string that is not plain ASCII: no text of the specification is longer, and normalising to NFC takes time that grows with
 * the square of a run of combining marks (160 kB take seconds).
 */
export const maxTextBytes = 1024
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
  const bytes = room ?? new Uint8Array(256)
  room = undefined
  try {
    return encodeIn(bytes, value).slice()
  } finally {
    room = bytes
  }
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
  if (!Bytes.equal(encodeIn(new Uint8Array(bytes.length), value), bytes))
    throw new DecodeError('not-canonical', 'The encoding is not the one form.', 0)
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

/** What was written stands in the first `length` bytes of `bytes`, which is replaced by a larger one when it is full. */
type Writer = { bytes: Uint8Array; length: number; itemCount: number }

// Most values are shorter than this, and room for them takes longer to get than to fill: it is lent to one `encode` at a time.
let room: Uint8Array | undefined = new Uint8Array(4096)

/** Encodes into `bytes`, or into a larger array when they are too few. */
function encodeIn(bytes: Uint8Array, value: Value): Uint8Array {
  const writer: Writer = { bytes, length: 0, itemCount: 0 }
  writeValue(writer, value, 0)
  return writer.bytes.subarray(0, writer.length)
}

function writeValue(writer: Writer, value: Value, depth: number): void {
  countItem(writer)
  if (Array.isArray(value)) {
    enter(depth)
    writeHead(writer, 4, value.length)
    // An index loop, so that a hole is met as undefined and refused.
    for (let i = 0; i < value.length; i++) writeValue(writer, value[i], depth + 1)
  } else if (isMap(value)) {
    enter(depth)
    writeMap(writer, value, depth)
  } else writeScalar(writer, value as Exclude<Value, readonly Value[] | ValueMap>)
}

function writeScalar(writer: Writer, value: Exclude<Value, readonly Value[] | ValueMap>): void {
  if (typeof value === 'number' || typeof value === 'bigint') writeInteger(writer, value)
  else if (typeof value === 'string') writeText(writer, value)
  else if (value instanceof Uint8Array) {
    writeHead(writer, 2, value.length)
    append(writer, value)
  } else if (value === false) writeByte(writer, 0xf4)
  else if (value === true) writeByte(writer, 0xf5)
  else if (value === null) writeByte(writer, 0xf6)
  else {
    throw new EncodeError('unsupported-type', 'The value has a type that the subset does not have.', [
      `Type: ${typeof value}`,
    ])
  }
}

function writeMap(writer: Writer, map: ValueMap, depth: number): void {
  writeHead(writer, 5, map.size)
  for (const [key, value] of hasAscendingKeys(map) ? map : sorted(map)) {
    countItem(writer)
    writeScalar(writer, key)
    writeValue(writer, value, depth + 1)
  }
}

/** True for unsigned integers in ascending order, whose encodings then ascend too: every map of the specification. */
function hasAscendingKeys(map: ValueMap): boolean {
  let previous = -1
  for (const key of map.keys()) {
    if (typeof key !== 'number' || !(key > previous)) return false
    previous = key
  }
  return true
}

/** The entries in the order of their keys' encodings. */
function sorted(map: ValueMap): readonly (readonly [Key, Value])[] {
  const entries = [...map].map((entry) => ({ entry, encoded: keyBytes(entry[0]) }))
  entries.sort((left, right) => Bytes.compare(left.encoded, right.encoded))
  for (const [i, { encoded }] of entries.entries()) {
    const previous = entries[i - 1]
    if (previous !== undefined && Bytes.equal(previous.encoded, encoded)) {
      throw new EncodeError('duplicate-key', 'Two keys of a map have the same encoding.')
    }
  }
  return entries.map(({ entry }) => entry)
}

function keyBytes(key: Key): Uint8Array {
  if (!isKey(key)) throw new EncodeError('unsupported-key', 'A map key is no integer, text or byte string.')
  return encodeIn(new Uint8Array(64), key)
}

function isKey(value: unknown): value is Key {
  return (
    typeof value === 'number' || typeof value === 'string' || typeof value === 'bigint' || value instanceof Uint8Array
  )
}

function writeText(writer: Writer, text: string): void {
  if (isAscii(text)) {
    writeHead(writer, 3, text.length)
    reserve(writer, text.length)
    for (let i = 0; i < text.length; i++) writer.bytes[writer.length++] = text.charCodeAt(i)
    return
  }
  // Before anything is normalised; UTF-8 is never shorter than UTF-16 code units.
  assertTextLength(text.length)
  if (!text.isWellFormed()) throw new EncodeError('text-lone-surrogate', 'Text holds a lone surrogate.')
  if (text.normalize('NFC') !== text) throw new EncodeError('text-not-nfc', 'Text is not in normalisation form C.')
  const bytes = Bytes.fromUtf8(text)
  assertTextLength(bytes.length)
  writeHead(writer, 3, bytes.length)
  append(writer, bytes)
}

function assertTextLength(length: number): void {
  if (length > maxTextBytes) throw new LimitError({ what: 'Text byte length', limit: maxTextBytes, got: length })
}

/** ASCII is its own UTF-8 and its own NFC. */
function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 0x80) return false
  return true
}

function writeInteger(writer: Writer, value: number | bigint): void {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      throw new EncodeError('not-an-integer', 'A number is no safe integer; use a bigint, or text for a decimal.')
    }
    if (value < 0) writeHead(writer, 1, -1 - value)
    else writeHead(writer, 0, value)
  } else {
    if (value < -(2n ** 64n) || value >= 2n ** 64n) {
      throw new EncodeError('integer-out-of-range', 'An integer does not fit -2^64..2^64-1.')
    }
    if (value < 0n) writeHead(writer, 1, -1n - value)
    else writeHead(writer, 0, value)
  }
}

/** The shortest head; an argument is a safe integer or a bigint of up to 64 bits. */
function writeHead(writer: Writer, major: number, argument: number | bigint): void {
  const type = major << 5
  if (argument < 24) writeByte(writer, type | Number(argument))
  else if (argument < 2 ** 8) writeLongHead(writer, type | 24, Number(argument), 1)
  else if (argument < 2 ** 16) writeLongHead(writer, type | 25, Number(argument), 2)
  else if (argument < 2 ** 32) writeLongHead(writer, type | 26, Number(argument), 4)
  else {
    writeByte(writer, type | 27)
    append(writer, Bytes.u64(BigInt(argument)))
  }
}

function writeLongHead(writer: Writer, initial: number, argument: number, size: 1 | 2 | 4): void {
  reserve(writer, 1 + size)
  writer.bytes[writer.length++] = initial
  for (let shift = 8 * (size - 1); shift >= 0; shift -= 8) writer.bytes[writer.length++] = (argument >>> shift) & 0xff
}

function append(writer: Writer, bytes: Uint8Array): void {
  reserve(writer, bytes.length)
  writer.bytes.set(bytes, writer.length)
  writer.length += bytes.length
}

function writeByte(writer: Writer, byte: number): void {
  reserve(writer, 1)
  writer.bytes[writer.length++] = byte
}

/** Makes room for `count` more bytes. */
function reserve(writer: Writer, count: number): void {
  const wanted = writer.length + count
  if (wanted > maxBytes) throw new LimitError({ what: 'dCBOR byte length', limit: maxBytes, got: wanted })
  if (wanted <= writer.bytes.length) return
  const grown = new Uint8Array(Math.max(wanted, 2 * writer.bytes.length))
  grown.set(writer.bytes)
  writer.bytes = grown
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
      return argument
    case 1:
      return narrow(-1n - BigInt(argument))
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

/** Reads the argument of a head: a number if it is safe, else a bigint. */
function readArgument(input: Input): number | bigint {
  const start = input.offset
  const information = (input.bytes[start] as number) & 31
  input.offset++
  if (information < 24) return information
  if (information === 31) throw new DecodeError('indefinite-length', 'Indefinite lengths are refused.', start)
  if (information > 27) throw new DecodeError('reserved-head', 'The initial byte is reserved.', start)
  const size = 2 ** (information - 24)
  if (input.bytes.length - input.offset < size) {
    throw new DecodeError('input-too-short', 'The input ends inside a head.', start)
  }
  let argument: number | bigint
  if (size === 8) argument = narrow(input.view.getBigUint64(input.offset))
  else if (size === 4) argument = input.view.getUint32(input.offset)
  else if (size === 2) argument = input.view.getUint16(input.offset)
  else argument = input.view.getUint8(input.offset)
  input.offset += size
  const least = size === 1 ? 24 : 2 ** (4 * size)
  if (argument < least) throw new DecodeError('head-not-shortest', 'A head is longer than it needs to be.', start)
  return argument
}

function narrow(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

function take(input: Input, length: number | bigint): Uint8Array {
  const start = input.offset
  if (length > input.bytes.length - start) {
    throw new DecodeError('input-too-short', 'The input ends inside a string.', start)
  }
  input.offset += Number(length)
  return input.bytes.slice(start, input.offset)
}

function text(bytes: Uint8Array, offset: number): string {
  if (bytes.length > maxTextBytes && bytes.some((byte) => byte > 0x7f)) assertTextLength(bytes.length)
  let decoded: string
  try {
    decoded = Bytes.toUtf8(bytes)
  } catch (cause) {
    throw new DecodeError('text-not-utf8', 'Text is not UTF-8.', offset, cause)
  }
  if (!isAscii(decoded) && decoded.normalize('NFC') !== decoded) {
    throw new DecodeError('text-not-nfc', 'Text is not in normalisation form C.', offset)
  }
  return decoded
}

function readArray(input: Input, count: number | bigint, depth: number): Value[] {
  enter(depth)
  // Each item takes a byte at least, so a larger count is false before anything is allocated.
  requireBytes(input, count)
  const items: Value[] = []
  for (let i = 0; i < count; i++) items.push(readValue(input, depth + 1))
  return items
}

function readMap(input: Input, count: number | bigint, depth: number): ValueMap {
  enter(depth)
  requireBytes(input, 2n * BigInt(count))
  const map = new Map<Key, Value>()
  let previous: Uint8Array | undefined
  for (let i = 0; i < count; i++) {
    const start = input.offset
    const key = readValue(input, depth + 1)
    if (!isKey(key)) throw new DecodeError('unsupported-key', 'A map key is no integer, text or byte string.', start)
    const encoded = input.bytes.subarray(start, input.offset)
    const order = previous === undefined ? -1 : Bytes.compare(previous, encoded)
    if (order === 0) throw new DecodeError('duplicate-key', 'A map holds a key twice.', start)
    if (order > 0) throw new DecodeError('keys-not-sorted', 'The keys of a map are out of order.', start)
    previous = encoded
    map.set(key, readValue(input, depth + 1))
  }
  return map
}

function requireBytes(input: Input, count: number | bigint): void {
  if (count > input.bytes.length - input.offset) {
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

/** Codes of `Dcbor.DecodeError`. */
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

/** Codes of `Dcbor.EncodeError`. */
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
