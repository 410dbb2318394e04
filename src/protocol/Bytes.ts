/**
 * Bytes.ts - byte strings: comparison, text encodings, big-endian integers and a bounded reader. Source: spec/encoding.md.
 *
 * All codecs are strict: one byte string has one text form, and everything else is refused. Works without Node.
 */
import { UsageError, VerificationError } from './errors.ts'

const utf8Encoder = new TextEncoder()
// ignoreBOM keeps a leading U+FEFF, so that decoding and encoding are exact inverses.
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const hexOfByte: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

const base64Alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const base64urlAlphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const base64Values = valuesOf(base64Alphabet)
const base64urlValues = valuesOf(base64urlAlphabet)

/** Says whether two byte strings have the same content; not constant-time, so not for secrets. */
export function equal(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false
  return true
}

/** Orders byte strings lexicographically by unsigned byte, a prefix before what it begins; returns -1, 0 or 1. */
export function compare(left: Uint8Array, right: Uint8Array): -1 | 0 | 1 {
  const common = Math.min(left.length, right.length)
  for (let i = 0; i < common; i++) {
    const difference = (left[i] as number) - (right[i] as number)
    if (difference !== 0) return difference < 0 ? -1 : 1
  }
  if (left.length === right.length) return 0
  return left.length < right.length ? -1 : 1
}

/** Joins byte strings into a new one. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const joined = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    joined.set(part, offset)
    offset += part.length
  }
  return joined
}

/** Asserts an exact length in bytes; throws `Bytes.LengthError`. */
export function assertLength(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length !== length) throw new LengthError({ what, expected: length, got: bytes.length })
}

/** Reads lower- or upper-case hex of even length without a `0x` prefix; throws `Bytes.EncodingError`. */
export function fromHex(hex: string): Uint8Array {
  if (hex.length % 2 !== 0) throw new EncodingError('hex-odd-length', 'Hex text has an odd number of digits.')
  const bytes = new Uint8Array(hex.length / 2)
  for (let i = 0; i < bytes.length; i++) {
    const high = hexDigit(hex.charCodeAt(2 * i))
    const low = hexDigit(hex.charCodeAt(2 * i + 1))
    if (high < 0 || low < 0) {
      throw new EncodingError('hex-bad-digit', 'Hex text holds a character that is no hex digit.', {
        facts: [`Position: ${high < 0 ? 2 * i : 2 * i + 1}`],
      })
    }
    bytes[i] = high * 16 + low
  }
  return bytes
}

/** Writes lower-case hex without prefix. */
export function toHex(bytes: Uint8Array): string {
  let hex = ''
  for (let i = 0; i < bytes.length; i++) hex += hexOfByte[bytes[i] as number]
  return hex
}

/** Reads hex that begins with `0x`, as EVM interfaces write it; throws `Bytes.EncodingError`. */
export function from0x(hex: string): Uint8Array {
  if (!hex.startsWith('0x')) throw new EncodingError('hex-missing-prefix', 'Hex text does not begin with 0x.')
  return fromHex(hex.slice(2))
}

/** Writes lower-case hex that begins with `0x`, as EVM interfaces expect it. */
export function to0x(bytes: Uint8Array): `0x${string}` {
  return `0x${toHex(bytes)}`
}

/** Encodes text as UTF-8; throws `Bytes.EncodingError` for a lone surrogate (which UTF-8 cannot express). */
export function fromUtf8(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new EncodingError('utf8-lone-surrogate', 'Text holds a lone surrogate.')
  return utf8Encoder.encode(text)
}

/** Decodes UTF-8 exactly, keeping a byte order mark; throws `Bytes.EncodingError` for anything malformed. */
export function toUtf8(bytes: Uint8Array): string {
  try {
    return utf8Decoder.decode(bytes)
  } catch (cause) {
    throw new EncodingError('utf8-malformed', 'Bytes are not UTF-8.', { cause })
  }
}

/** Reads standard base64 (RFC 4648 section 4) with its padding; refuses white space and non-zero unused bits. */
export function fromBase64(text: string): Uint8Array {
  if (text.length % 4 !== 0)
    throw new EncodingError('base64-bad-length', 'Base64 text is not padded to a multiple of 4.')
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  return decodeSextets(text.slice(0, text.length - padding), base64Values)
}

/** Writes standard base64 with padding. */
export function toBase64(bytes: Uint8Array): string {
  const text = encodeSextets(bytes, base64Alphabet)
  return text.padEnd(Math.ceil(text.length / 4) * 4, '=')
}

/** Reads base64url (RFC 4648 section 5) without padding; refuses `=`, white space and non-zero unused bits. */
export function fromBase64url(text: string): Uint8Array {
  return decodeSextets(text, base64urlValues)
}

/** Writes base64url without padding. */
export function toBase64url(bytes: Uint8Array): string {
  return encodeSextets(bytes, base64urlAlphabet)
}

/** One byte; throws `Bytes.IntegerError` outside 0..255. */
export function u8(value: number): Uint8Array {
  return unsigned(value, 1)
}

/** Two bytes, big-endian; throws `Bytes.IntegerError` outside 0..2^16-1. */
export function u16(value: number): Uint8Array {
  return unsigned(value, 2)
}

/** Four bytes, big-endian; throws `Bytes.IntegerError` outside 0..2^32-1. */
export function u32(value: number): Uint8Array {
  return unsigned(value, 4)
}

/** Eight bytes, big-endian; throws `Bytes.IntegerError` outside 0..2^64-1. */
export function u64(value: bigint): Uint8Array {
  if (typeof value !== 'bigint' || value < 0n || value > 0xffffffffffffffffn) throw new IntegerError(64, value)
  const bytes = new Uint8Array(8)
  // Not with a DataView: a small array has no buffer of its own until somebody asks for it.
  bytes.set(u32(Number(value >> 32n)))
  bytes.set(u32(Number(value & 0xffffffffn)), 4)
  return bytes
}

/** Thirty-two bytes, big-endian, as one EVM word; throws `Bytes.IntegerError` outside 0..2^256-1. */
export function u256(value: bigint): Uint8Array {
  if (typeof value !== 'bigint' || value < 0n || value >> 256n !== 0n) throw new IntegerError(256, value)
  return fromHex(value.toString(16).padStart(64, '0'))
}

/** Reads all bytes as one unsigned big-endian integer; no bytes give 0. */
export function toBigInt(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${toHex(bytes)}`)
}

/** Reads a byte string from front to back; every read is bounded and `end` refuses what is left over. */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #offset = 0

  /** The bytes are not copied: do not change them while reading. */
  constructor(bytes: Uint8Array) {
    // A plain view: slice() of a Node Buffer would share memory instead of copying.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#offset
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.#bytes.length - this.#offset
  }

  /** Reads one byte. */
  u8(): number {
    return this.#view.getUint8(this.#advance(1))
  }

  /** Reads two bytes, big-endian. */
  u16(): number {
    return this.#view.getUint16(this.#advance(2))
  }

  /** Reads four bytes, big-endian. */
  u32(): number {
    return this.#view.getUint32(this.#advance(4))
  }

  /** Reads eight bytes, big-endian. */
  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8))
  }

  /** Reads `length` bytes as a copy; throws `Bytes.ReadError` when fewer are left. */
  bytes(length: number): Uint8Array {
    const start = this.#advance(length)
    return this.#bytes.slice(start, start + length)
  }

  /** Asserts that nothing is left; throws `Bytes.ReadError`. */
  end(): void {
    if (this.remaining !== 0) {
      throw new ReadError('trailing-bytes', 'Bytes are left over after the end.', {
        facts: [`Left over: ${this.remaining}`],
      })
    }
  }

  #advance(length: number): number {
    if (!Number.isSafeInteger(length) || length < 0 || length > this.remaining) {
      throw new ReadError('input-too-short', 'The input ends before the value does.', {
        facts: [`Wanted: ${length} bytes at offset ${this.#offset}`, `Left: ${this.remaining}`],
      })
    }
    const start = this.#offset
    this.#offset += length
    return start
  }
}

function unsigned(value: number, length: 1 | 2 | 4): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * length) || Object.is(value, -0)) {
    throw new IntegerError(8 * length, value)
  }
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = Math.floor(value / 2 ** (8 * (length - 1 - i)))
  return bytes
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  if (code >= 97 && code <= 102) return code - 87
  if (code >= 65 && code <= 70) return code - 55
  return -1
}

function valuesOf(alphabet: string): Int8Array {
  const values = new Int8Array(128).fill(-1)
  for (let i = 0; i < alphabet.length; i++) values[alphabet.charCodeAt(i)] = i
  return values
}

function decodeSextets(text: string, values: Int8Array): Uint8Array {
  if (text.length % 4 === 1) throw new EncodingError('base64-bad-length', 'Base64 text has an impossible length.')
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4))
  let bits = 0
  let bitCount = 0
  let offset = 0
  for (let i = 0; i < text.length; i++) {
    const value = values[text.charCodeAt(i)] ?? -1
    if (value < 0) {
      throw new EncodingError('base64-bad-character', 'Base64 text holds a character outside its alphabet.', {
        facts: [`Position: ${i}`],
      })
    }
    bits = ((bits << 6) | value) & 0xffff
    bitCount += 6
    if (bitCount >= 8) {
      bitCount -= 8
      bytes[offset++] = (bits >> bitCount) & 0xff
    }
  }
  if ((bits & ((1 << bitCount) - 1)) !== 0) {
    throw new EncodingError('base64-unused-bits', 'Base64 text has non-zero unused bits, so it is not the only form.')
  }
  return bytes
}

function encodeSextets(bytes: Uint8Array, alphabet: string): string {
  let text = ''
  let bits = 0
  let bitCount = 0
  for (let i = 0; i < bytes.length; i++) {
    bits = ((bits << 8) | (bytes[i] as number)) & 0xffff
    bitCount += 8
    while (bitCount >= 6) {
      bitCount -= 6
      text += alphabet[(bits >> bitCount) & 63]
    }
  }
  if (bitCount > 0) text += alphabet[(bits << (6 - bitCount)) & 63]
  return text
}

/** Codes of `Bytes.EncodingError`. */
export type EncodingErrorCode =
  | 'hex-odd-length'
  | 'hex-bad-digit'
  | 'hex-missing-prefix'
  | 'utf8-lone-surrogate'
  | 'utf8-malformed'
  | 'base64-bad-length'
  | 'base64-bad-character'
  | 'base64-unused-bits'

/** Text or bytes are not in the one allowed form of their encoding. */
export class EncodingError extends UsageError<EncodingErrorCode> {
  override readonly name = 'Bytes.EncodingError'
}

/** A byte string has the wrong length. */
export class LengthError extends UsageError<'wrong-length'> {
  override readonly name = 'Bytes.LengthError'
  constructor(options: { readonly what: string; readonly expected: number; readonly got: number }) {
    super('wrong-length', `${options.what} has the wrong length.`, {
      facts: [`Expected: ${options.expected} bytes`, `Got: ${options.got} bytes`],
    })
  }
}

/** A number does not fit the unsigned integer it should be written as. */
export class IntegerError extends UsageError<'integer-out-of-range'> {
  override readonly name = 'Bytes.IntegerError'
  constructor(bitCount: number, value: unknown) {
    super('integer-out-of-range', `The value is no unsigned integer of ${bitCount} bits.`, {
      facts: [`Got: ${typeof value === 'bigint' || typeof value === 'number' ? value : typeof value}`],
    })
  }
}

/** A fixed layout is cut short or followed by more bytes. */
export class ReadError extends VerificationError<'input-too-short' | 'trailing-bytes'> {
  override readonly name = 'Bytes.ReadError'
}
