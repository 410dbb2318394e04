/**
 * Shape.ts - typed definitions of dCBOR values, read in both directions. Source: RFC 8610; spec/assay.cddl.
 *
 * A shape says once which keys, types, lengths and ranges a value has; `decode` and `encode` refuse everything else,
 * so that what is read and what is written cannot drift apart.
 */
import * as Bytes from './Bytes.ts'
import * as Dcbor from './Dcbor.ts'
import { BaseError, VerificationError } from './errors.ts'

/** Most UTF-8 bytes of a text unless a definition says otherwise: names and pointers are short, prose has no place here. */
export const maxTextBytes = 1024

/** A definition; `at` is the path of keys to the value and holds no content. */
export type Shape<T> = {
  fromValue(value: Dcbor.Value | undefined, at: string): T
  toValue(value: T, at: string): Dcbor.Value
}

/** The type that a shape describes. */
export type TypeOf<S> = S extends Shape<infer T> ? T : never

/** One key of a record. */
export type Field<T, IsOptional extends boolean = false> = {
  readonly key: number
  readonly shape: Shape<T>
  readonly isOptional: IsOptional
}

type Fields = { readonly [name: string]: Field<unknown, boolean> }
type FieldType<F> = F extends Field<infer T, boolean> ? T : never
type RecordOf<F extends Fields> = {
  readonly [name in keyof F as F[name] extends Field<unknown, false> ? name : never]: FieldType<F[name]>
} & { readonly [name in keyof F as F[name] extends Field<unknown, false> ? never : name]?: FieldType<F[name]> }

/** Reads the one encoding of a value of the shape; throws `Shape.MismatchError`. */
export function decode<T>(shape: Shape<T>, bytes: Uint8Array, maxBytes: number): T {
  if (bytes.length > maxBytes) throw new MismatchError('', `${bytes.length} bytes, at most ${maxBytes} allowed`)
  return shape.fromValue(decodeAny(bytes), '')
}

/** Writes a value of the shape; throws `Shape.MismatchError`. */
export function encode<T>(shape: Shape<T>, value: T, maxBytes: number): Uint8Array {
  const plain = shape.toValue(value, '')
  // Every rule of the shape holds for what is written, because reading is where the rules are written down.
  shape.fromValue(plain, '')
  let bytes: Uint8Array
  try {
    bytes = Dcbor.encode(plain)
  } catch (cause) {
    throw new MismatchError('', 'not expressible in dCBOR', cause)
  }
  if (bytes.length > maxBytes) throw new MismatchError('', `${bytes.length} bytes, at most ${maxBytes} allowed`)
  return bytes
}

/** Text of at most `maxBytes` UTF-8 bytes. */
export function text(maxBytes: number = maxTextBytes): Shape<string> {
  return plain((value, at) => {
    if (typeof value !== 'string') throw new MismatchError(at, 'text expected')
    if (isLonger(value, maxBytes)) throw new MismatchError(at, `text of more than ${maxBytes} bytes`)
    return value
  })
}

/** A byte string of one exact length. */
export function bytes(length: number): Shape<Uint8Array> {
  return bytesWithin(length, length)
}

/** A byte string of `min` to `max` bytes. */
export function bytesWithin(min: number, max: number): Shape<Uint8Array> {
  return plain((value, at) => {
    if (!(value instanceof Uint8Array)) throw new MismatchError(at, 'byte string expected')
    if (value.length < min || value.length > max) {
      throw new MismatchError(at, `${value.length} bytes instead of ${min === max ? min : `${min} to ${max}`}`)
    }
    return value
  })
}

/** An integer from `min` to `max`, both safe, as a number. */
export function integer(min: number, max: number): Shape<number> {
  return plain((value, at) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max || Object.is(value, -0)) {
      throw new MismatchError(at, `integer from ${min} to ${max} expected`)
    }
    return value
  })
}

/** True or false. */
export const boolean: Shape<boolean> = plain((value, at) => {
  if (typeof value !== 'boolean') throw new MismatchError(at, 'true or false expected')
  return value
})

/** An integer of 32 bits without sign. */
export const u32: Shape<number> = integer(0, 2 ** 32 - 1)

/** An integer of 64 bits without sign, always as a bigint. */
export const u64: Shape<bigint> = {
  fromValue(value, at) {
    if (typeof value !== 'bigint' && !(typeof value === 'number' && Number.isSafeInteger(value))) {
      throw new MismatchError(at, 'integer expected')
    }
    const wide = BigInt(value)
    if (wide < 0n || wide >= 2n ** 64n) throw new MismatchError(at, 'integer outside 64 bits')
    return wide
  },
  toValue(value, at) {
    if (typeof value !== 'bigint') throw new MismatchError(at, 'bigint expected')
    return value
  },
}

/** Exactly one of a few integers or texts. */
export function oneOf<const T extends string | number>(...options: readonly T[]): Shape<T> {
  return plain((value, at) => {
    const found = options.find((option) => option === value)
    if (found === undefined) throw new MismatchError(at, 'not one of the defined values')
    return found
  })
}

/** Null, or a value of a shape. */
export function nullable<T>(shape: Shape<T>): Shape<T | null> {
  return {
    fromValue: (value, at) => (value === null ? null : shape.fromValue(value, at)),
    toValue: (value, at) => (value === null ? null : shape.toValue(value, at)),
  }
}

/** A list of `min` to `max` values of one shape. */
export function list<T>(item: Shape<T>, min: number, max: number): Shape<readonly T[]> {
  return {
    fromValue(value, at) {
      const items = itemsOf(value, at, min, max)
      return items.map((element, i) => item.fromValue(element, `${at}[${i}]`))
    },
    toValue(value, at) {
      const items: readonly T[] = itemsOf(value, at, min, max)
      return Array.from(items, (element, i) => item.toValue(element, `${at}[${i}]`))
    },
  }
}

/** A list of fixed length whose places have names. */
export function tuple<F extends { readonly [name: string]: Shape<unknown> }>(
  places: F,
): Shape<{ readonly [name in keyof F]: TypeOf<F[name]> }> {
  const names = Object.keys(places)
  return {
    fromValue(value, at) {
      const items: readonly Dcbor.Value[] = itemsOf(value, at, names.length, names.length)
      const read = names.map((name, i) => [name, (places[name] as Shape<unknown>).fromValue(items[i], `${at}[${i}]`)])
      return Object.fromEntries(read)
    },
    toValue(value, at) {
      assertNames(value, names, at)
      return names.map((name, i) => (places[name] as Shape<unknown>).toValue(value[name] as never, `${at}[${i}]`))
    },
  }
}

/** A required key of a record. */
export function field<T>(key: number, shape: Shape<T>): Field<T, false> {
  return { key, shape, isOptional: false }
}

/** A key that a record may lack. */
export function optional<T>(key: number, shape: Shape<T>): Field<T, true> {
  return { key, shape, isOptional: true }
}

/** A map with integer keys whose values have names; unknown keys and unknown names are refused. */
export function record<F extends Fields>(fields: F): Shape<RecordOf<F>> & { readonly names: readonly string[] } {
  const entries = Object.entries(fields)
  const names = entries.map(([name]) => name)
  return {
    names,
    fromValue(value, at) {
      if (!Dcbor.isMap(value)) throw new MismatchError(at, 'map expected')
      let known = 0
      const read: Record<string, unknown> = {}
      for (const [name, { key, shape, isOptional }] of entries) {
        const element = value.get(key)
        if (element === undefined) {
          if (!isOptional) throw new MismatchError(`${at}.${key}`, 'missing')
          continue
        }
        known++
        read[name] = shape.fromValue(element, `${at}.${key}`)
      }
      if (known !== value.size) throw new MismatchError(at, 'unknown key')
      return read as RecordOf<F>
    },
    toValue(value, at) {
      assertNames(value, names, at)
      const map = new Map<Dcbor.Key, Dcbor.Value>()
      for (const [name, { key, shape, isOptional }] of entries) {
        const element: unknown = (value as { readonly [name: string]: unknown })[name]
        if (element !== undefined) map.set(key, shape.toValue(element, `${at}.${key}`))
        else if (!isOptional) throw new MismatchError(`${at}.${key}`, 'missing')
      }
      return map
    },
  }
}

/** A map from integers of a closed list to values of one shape. */
export function numbered<T>(keys: readonly number[], item: Shape<T>): Shape<ReadonlyMap<number, T>> {
  const known = new Set<unknown>(keys)
  return {
    fromValue(value, at) {
      if (!Dcbor.isMap(value)) throw new MismatchError(at, 'map expected')
      const read = new Map<number, T>()
      for (const [key, element] of value) {
        if (!known.has(key)) throw new MismatchError(at, 'unknown key')
        read.set(key as number, item.fromValue(element, `${at}.${key as number}`))
      }
      return read
    },
    toValue(value, at) {
      if (!(value instanceof Map)) throw new MismatchError(at, 'map expected')
      const map = new Map<Dcbor.Key, Dcbor.Value>()
      for (const [key, element] of value as ReadonlyMap<number, T>) {
        if (!known.has(key)) throw new MismatchError(at, 'unknown key')
        map.set(key, item.toValue(element, `${at}.${key}`))
      }
      return map
    },
  }
}

function plain<T extends Dcbor.Value>(read: (value: unknown, at: string) => T): Shape<T> {
  return { fromValue: read, toValue: read }
}

/** A UTF-16 unit is one to three bytes of UTF-8, so most texts need no measuring. */
function isLonger(text: string, maxBytes: number): boolean {
  if (3 * text.length <= maxBytes) return false
  return text.length > maxBytes || Bytes.fromUtf8(text.toWellFormed()).length > maxBytes
}

function itemsOf<T>(value: T, at: string, min: number, max: number): T & readonly never[] {
  if (!Array.isArray(value)) throw new MismatchError(at, 'list expected')
  if (value.length < min || value.length > max) {
    throw new MismatchError(at, `${value.length} elements instead of ${min === max ? min : `${min} to ${max}`}`)
  }
  return value as T & readonly never[]
}

/** Refuses properties that the shape does not have: what cannot be written must not get lost silently. */
function assertNames(value: unknown, names: readonly string[], at: string): void {
  if (typeof value !== 'object' || value === null) throw new MismatchError(at, 'object expected')
  for (const name of Object.keys(value)) if (!names.includes(name)) throw new MismatchError(at, 'unknown property')
}

function decodeAny(bytes: Uint8Array): Dcbor.Value {
  try {
    return Dcbor.decode(bytes)
  } catch (cause) {
    if (!BaseError.isInstance(cause)) throw cause
    throw new MismatchError('', `not deterministic CBOR (${cause.code})`, cause)
  }
}

/** A value is not of the defined shape. */
export class MismatchError extends VerificationError<'shape-mismatch'> {
  override readonly name = 'Shape.MismatchError'
  /** Path of keys and indices to the value; empty for the whole. */
  readonly at: string
  constructor(at: string, problem: string, cause?: unknown) {
    super('shape-mismatch', 'The value does not have the defined shape.', {
      facts: [`At: ${at === '' ? 'the whole' : at}`, `Problem: ${problem}`],
      cause,
    })
    this.at = at
  }
}
