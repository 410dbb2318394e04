/** cases.ts - the form of the files in vectors/: inputs, what they give, and which error they must fail with. */
import * as Bytes from '../../src/protocol/Bytes.ts'

/** One case; bytes are hex, integers of 64 bits decimal strings. */
export type Case = { readonly name: string } & (
  | { readonly [key: string]: Json; readonly mustFail?: never }
  | { readonly [key: string]: Json; readonly mustFail: string }
)

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json } | undefined

/** One file. */
export type VectorFile = { readonly description: string; readonly spec: string; readonly cases: readonly Case[] }

/** Hex, as all vectors write bytes. */
export const hex = Bytes.toHex

/** Renders any value of the library: bytes as hex, bigints as decimal strings, maps as lists of pairs. */
export function plain(value: unknown): Json {
  if (value instanceof Uint8Array) return hex(value)
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Map) return [...value].map(([key, item]) => [plain(key), plain(item)])
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]))
  }
  return value as Json
}

/** A copy with one byte changed: replaced, or by default with its lowest bit flipped. */
export function changed(bytes: Uint8Array, offset: number, to?: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[offset] = to ?? (copy[offset] as number) ^ 1
  return copy
}

/** A copy with other bytes at an offset. */
export function patched(bytes: Uint8Array, offset: number, part: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy.set(part, offset)
  return copy
}

/** Cases that must fail, each an input in hex and a code. */
export function failures(list: readonly (readonly [name: string, input: Uint8Array, code: string])[]): Case[] {
  return list.map(([name, input, mustFail]) => ({ name, input: hex(input), mustFail }))
}
