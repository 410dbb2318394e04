/** Dcbor.fuzz.ts - random values round-trip, another library agrees, and no bytes at all escape the listed errors. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encode as encodeOther, rfc8949EncodeOptions } from 'cborg'
import fc from 'fast-check'
import * as Bytes from './Bytes.ts'
import * as Dcbor from './Dcbor.ts'
import { LimitError } from './errors.ts'

const numRuns = Number(process.env.ASSAY_FUZZ_RUNS ?? 300)

const integers = fc.oneof(
  fc.maxSafeInteger(),
  fc.integer({ min: -300, max: 300 }).map((value) => value + 0),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: -(2n ** 64n), max: -(2n ** 53n) }),
)
const text = fc.string({ unit: 'binary', maxLength: 40 }).map((value) => value.normalize('NFC'))
const bytes = fc.uint8Array({ maxLength: 300 }).map((value) => Uint8Array.from(value))
const { value: values } = fc.letrec<{ value: Dcbor.Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    integers,
    text,
    bytes,
    fc.constantFrom(null, true, false),
    fc.array(tie('value'), { maxLength: 6 }),
    fc
      .uniqueArray(fc.tuple(fc.oneof(integers, text, bytes), tie('value')), {
        maxLength: 6,
        selector: ([key]) => Bytes.toHex(Dcbor.encode(key)),
      })
      .map((entries) => new Map<Dcbor.Key, Dcbor.Value>(entries)),
  ),
}))

test('what is encoded decodes to an equal value and the same bytes', () => {
  fc.assert(
    fc.property(values, (value) => {
      const encoded = Dcbor.encode(value)
      assert.deepEqual(Dcbor.encode(Dcbor.decode(encoded)), encoded)
      assert.deepEqual(sorted(Dcbor.decode(encoded)), sorted(value))
    }),
    { numRuns },
  )
})

test('cborg under RFC 8949 rules writes the same bytes', () => {
  fc.assert(
    fc.property(values, (value) => {
      fc.pre(!holdsBelow64(value))
      assert.deepEqual(Dcbor.encode(value), Uint8Array.from(encodeOther(value, rfc8949EncodeOptions)))
    }),
    { numRuns },
  )
})

test('any bytes give a value that encodes to them, or one of two errors', () => {
  const property = (input: Uint8Array): void => {
    try {
      assert.deepEqual(Dcbor.encode(Dcbor.decode(input)), Uint8Array.from(input))
    } catch (error) {
      if (!(error instanceof Dcbor.DecodeError || error instanceof LimitError)) throw error
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), property), { numRuns: numRuns * 10 })
  // One byte changed, inserted or removed in a good encoding reaches deeper than noise does.
  const mutated = fc.tuple(values, fc.nat(), fc.nat(255), fc.nat(2)).map(([value, at, byte, kind]) => {
    const encoded = Dcbor.encode(value)
    const offset = at % encoded.length
    const rest = encoded.subarray(kind === 1 ? offset : offset + 1)
    return Bytes.concat(encoded.subarray(0, offset), kind === 2 ? new Uint8Array(0) : Uint8Array.of(byte), rest)
  })
  fc.assert(fc.property(mutated, property), { numRuns: numRuns * 10 })
})

/** The same value with map entries in canonical order and bigints narrowed, for comparison. */
function sorted(value: Dcbor.Value): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (!Dcbor.isMap(value)) return value
  const entries = [...value].map(([key, item]) => [Bytes.toHex(Dcbor.encode(key)), sorted(item)] as const)
  return entries.sort(([left], [right]) => (left < right ? -1 : 1))
}

/** cborg refuses integers below -2^63, which CBOR has. */
function holdsBelow64(value: Dcbor.Value): boolean {
  if (typeof value === 'bigint') return value < -(2n ** 63n)
  if (Array.isArray(value)) return value.some(holdsBelow64)
  if (!Dcbor.isMap(value)) return false
  return [...value].some(([key, item]) => holdsBelow64(key) || holdsBelow64(item))
}
