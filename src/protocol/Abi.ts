/**
 * Abi.ts - ABI tuples of static 32-byte words, written and read strictly. Source: Solidity ABI, "Formal Specification of the
 * Encoding"; spec/encodings.md section 1.
 *
 * Integers and addresses are padded with zeros on the left, byte strings of fixed length on the right. Padding that is
 * not zero is refused, so a tuple has one byte form.
 */
import * as Bytes from './Bytes.ts'
import { UsageError, VerificationError } from './errors.ts'

/** An unsigned integer of `bits` bits as a word; throws `Bytes.IntegerError`. */
export function uint(value: bigint, bits: number): Uint8Array {
  if (typeof value !== 'bigint' || value < 0n || value >> BigInt(bits) !== 0n) throw new Bytes.IntegerError(bits, value)
  return Bytes.u256(value)
}

/** An address (20 bytes) as a word; throws `Bytes.LengthError`. */
export function address(value: Uint8Array): Uint8Array {
  Bytes.assertLength(value, 20, 'Address')
  return Bytes.concat(new Uint8Array(12), value)
}

/** A byte string of 1 to 32 bytes as a word, padded on the right; throws `Bytes.LengthError`. */
export function fixedBytes(value: Uint8Array, length: number): Uint8Array {
  Bytes.assertLength(value, length, `bytes${length}`)
  return Bytes.concat(value, new Uint8Array(32 - length))
}

/** A hash (32 bytes) as a word; throws `Bytes.LengthError`. */
export function bytes32(value: Uint8Array): Uint8Array {
  return fixedBytes(value, 32)
}

/** Joins words of 32 bytes; throws `Abi.WordCountError`. */
export function encode(...words: readonly Uint8Array[]): Uint8Array {
  for (const word of words) if (word.length !== 32) throw new WordCountError()
  return Bytes.concat(...words)
}

/** Reads words one after the other; `end` refuses what is left over. */
export class Reader {
  readonly #reader: Bytes.Reader
  constructor(words: Uint8Array) {
    this.#reader = new Bytes.Reader(words)
  }

  /** Reads an unsigned integer of `bits` bits; throws `Abi.WordError`, `Bytes.ReadError`. */
  uint(bits: number): bigint {
    const { offset } = this.#reader
    const value = Bytes.toBigInt(this.#reader.bytes(32))
    if (value >> BigInt(bits) !== 0n) throw new WordError('uint-out-of-range', offset)
    return value
  }

  /** Reads an address, 20 bytes; throws `Abi.WordError`, `Bytes.ReadError`. */
  address(): Uint8Array {
    const { offset } = this.#reader
    const word = this.#reader.bytes(32)
    assertZero(word.subarray(0, 12), offset)
    return word.slice(12)
  }

  /** Reads a byte string of `length` bytes; throws `Abi.WordError`, `Bytes.ReadError`. */
  fixedBytes(length: number): Uint8Array {
    const { offset } = this.#reader
    const word = this.#reader.bytes(32)
    assertZero(word.subarray(length), offset)
    return word.slice(0, length)
  }

  /** Reads a hash, 32 bytes; throws `Bytes.ReadError`. */
  bytes32(): Uint8Array {
    return this.fixedBytes(32)
  }

  /** Asserts that nothing is left; throws `Bytes.ReadError`. */
  end(): void {
    this.#reader.end()
  }
}

/** Says whether all bytes are zero. */
export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}

function assertZero(padding: Uint8Array, offset: number): void {
  if (!isZero(padding)) throw new WordError('padding-not-zero', offset)
}

/** A word is not the one encoding of a value of its type. */
export class WordError extends VerificationError<'uint-out-of-range' | 'padding-not-zero'> {
  override readonly name = 'Abi.WordError'
  constructor(code: 'uint-out-of-range' | 'padding-not-zero', offset: number) {
    super(code, 'A word is not the one encoding of a value of its type.', { facts: [`Offset: ${offset}`] })
  }
}

/** What should be a word is not 32 bytes long. */
export class WordCountError extends UsageError<'wrong-length'> {
  override readonly name = 'Abi.WordCountError'
  constructor() {
    super('wrong-length', 'A word is 32 bytes long.')
  }
}
