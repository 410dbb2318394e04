/**
 * Json.ts - a strict JSON reader that keeps the text of numbers. Source: RFC 8259; spec/execution.md section 2.1.
 *
 * One request has one reading: UTF-8 without byte order mark, no duplicate keys, no lone surrogates, depth at most 32,
 * nothing after the value. Numbers stay text, so that `0.70` is recorded as it was written.
 */
import * as Bytes from '../protocol/Bytes.ts'
import { UsageError } from '../protocol/errors.ts'

/** Most objects and arrays inside each other; recursion stays shallow and no request format nests deeper than 8. */
export const maxDepth = 32

/** A number as it was written. */
export type JsonNumber = { readonly number: string }

/** An object; a `Map`, so that no key such as `__proto__` is special. */
export type JsonObject = ReadonlyMap<string, Value>

/** A value as read. */
export type Value = null | boolean | string | JsonNumber | readonly Value[] | JsonObject

/**
 * Reads exactly one JSON text.
 *
 * Throws: `Json.JsonError` with the position (a byte count is never a quote from the text).
 *
 * @example
 * Json.parse(Bytes.fromUtf8('{"a":1.0}')) // => Map { 'a' => { number: '1.0' } }
 */
export function parse(bytes: Uint8Array): Value {
  let text: string
  try {
    text = Bytes.toUtf8(bytes)
  } catch {
    throw new JsonError('not-utf8', 0)
  }
  const input: Input = { text, offset: 0 }
  const value = readValue(input, 0)
  skipSpace(input)
  if (input.offset !== text.length) throw new JsonError('trailing-text', input.offset)
  return value
}

/** Says whether a value is an object. */
export function isObject(value: Value | undefined): value is JsonObject {
  return value instanceof Map
}

/** Says whether a value is an array. */
export function isArray(value: Value | undefined): value is readonly Value[] {
  return Array.isArray(value)
}

/** Says whether a value is a number. */
export function isNumber(value: Value | undefined): value is JsonNumber {
  return typeof value === 'object' && value !== null && 'number' in value
}

type Input = { readonly text: string; offset: number }

function readValue(input: Input, depth: number): Value {
  skipSpace(input)
  const start = input.text.charCodeAt(input.offset)
  switch (start) {
    case 0x7b:
      return readObject(input, depth + 1)
    case 0x5b:
      return readArray(input, depth + 1)
    case 0x22:
      return readString(input)
    case 0x74:
      return readWord(input, 'true', true)
    case 0x66:
      return readWord(input, 'false', false)
    case 0x6e:
      return readWord(input, 'null', null)
    default:
      return readNumber(input)
  }
}

function readObject(input: Input, depth: number): JsonObject {
  if (depth > maxDepth) throw new JsonError('too-deep', input.offset)
  const object = new Map<string, Value>()
  input.offset++
  skipSpace(input)
  if (take(input, 0x7d)) return object
  while (true) {
    skipSpace(input)
    const at = input.offset
    if (input.text.charCodeAt(at) !== 0x22) throw unexpected(input)
    const key = readString(input)
    if (object.has(key)) throw new JsonError('duplicate-key', at)
    skipSpace(input)
    if (!take(input, 0x3a)) throw unexpected(input)
    object.set(key, readValue(input, depth))
    skipSpace(input)
    if (take(input, 0x7d)) return object
    if (!take(input, 0x2c)) throw unexpected(input)
  }
}

function readArray(input: Input, depth: number): Value[] {
  if (depth > maxDepth) throw new JsonError('too-deep', input.offset)
  const array: Value[] = []
  input.offset++
  skipSpace(input)
  if (take(input, 0x5d)) return array
  while (true) {
    array.push(readValue(input, depth))
    skipSpace(input)
    if (take(input, 0x5d)) return array
    if (!take(input, 0x2c)) throw unexpected(input)
  }
}

function readString(input: Input): string {
  const { text } = input
  const at = input.offset
  let parts = ''
  let start = ++input.offset
  while (true) {
    if (input.offset >= text.length) throw new JsonError('unexpected-end', input.offset)
    const code = text.charCodeAt(input.offset)
    if (code < 0x20) throw unexpected(input)
    if (code === 0x22) break
    if (code === 0x5c) {
      parts += text.slice(start, input.offset) + readEscape(input)
      start = input.offset
    } else input.offset++
  }
  const string = parts + text.slice(start, input.offset++)
  // Only an escape can bring a lone surrogate: the text came from UTF-8.
  if (parts !== '' && !string.isWellFormed()) throw new JsonError('lone-surrogate', at)
  return string
}

const escapes: { readonly [letter: string]: string } = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
}

function readEscape(input: Input): string {
  const letter = input.text.charAt(input.offset + 1)
  if (letter === 'u') {
    const digits = input.text.slice(input.offset + 2, input.offset + 6)
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw unexpected(input)
    input.offset += 6
    return String.fromCharCode(Number.parseInt(digits, 16))
  }
  const character = Object.hasOwn(escapes, letter) ? escapes[letter] : undefined
  if (character === undefined) throw unexpected(input)
  input.offset += 2
  return character
}

function readWord<T extends Value>(input: Input, word: string, value: T): T {
  if (!input.text.startsWith(word, input.offset)) throw unexpected(input)
  input.offset += word.length
  return value
}

function readNumber(input: Input): JsonNumber {
  const start = input.offset
  take(input, 0x2d)
  if (!take(input, 0x30)) skipDigits(input)
  if (take(input, 0x2e)) skipDigits(input)
  if (take(input, 0x65) || take(input, 0x45)) {
    if (!take(input, 0x2b)) take(input, 0x2d)
    skipDigits(input)
  }
  return { number: input.text.slice(start, input.offset) }
}

/** At least one digit. */
function skipDigits(input: Input): void {
  const start = input.offset
  for (let code = input.text.charCodeAt(start); code >= 0x30 && code <= 0x39; ) {
    code = input.text.charCodeAt(++input.offset)
  }
  if (input.offset === start) throw unexpected(input)
}

function skipSpace(input: Input): void {
  for (let code = input.text.charCodeAt(input.offset); isSpace(code); ) code = input.text.charCodeAt(++input.offset)
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09
}

function take(input: Input, code: number): boolean {
  if (input.text.charCodeAt(input.offset) !== code) return false
  input.offset++
  return true
}

function unexpected(input: Input): JsonError {
  return new JsonError(input.offset >= input.text.length ? 'unexpected-end' : 'unexpected-character', input.offset)
}

/** Codes of `Json.JsonError`. */
export type JsonErrorCode =
  | 'not-utf8'
  | 'unexpected-end'
  | 'unexpected-character'
  | 'trailing-text'
  | 'duplicate-key'
  | 'lone-surrogate'
  | 'too-deep'

/** The bytes are not one strict JSON text; `position` counts UTF-16 code units from the start. */
export class JsonError extends UsageError<JsonErrorCode> {
  override readonly name = 'Json.JsonError'
  readonly position: number
  constructor(code: JsonErrorCode, position: number) {
    super(code, `The text is not strict JSON (${code}).`, { facts: [`Position: ${position}`] })
    this.position = position
  }
}
