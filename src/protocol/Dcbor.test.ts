import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { openVectors } from '../../tests/vectors.ts'
import { crypto } from '../crypto/node.ts'
import * as Bytes from './Bytes.ts'
import * as Dcbor from './Dcbor.ts'
import { LimitError } from './errors.ts'

const hex = Bytes.fromHex

/** What decoding gives: 'accept' or the code of the refusal. */
function outcome(encoded: string): string {
  try {
    Dcbor.decode(hex(encoded))
    return 'accept'
  } catch (error) {
    if (error instanceof Dcbor.DecodeError || error instanceof LimitError) return error.code
    throw error
  }
}

function refusesToEncode(value: unknown, code: Dcbor.EncodeErrorCode): void {
  assert.throws(
    () => Dcbor.encode(value as Dcbor.Value),
    (error) => error instanceof Dcbor.EncodeError && error.code === code,
  )
}

describe('encode, decode', () => {
  const pairs: readonly (readonly [Dcbor.Value, string])[] = [
    [null, 'f6'],
    [false, 'f4'],
    [true, 'f5'],
    [0, '00'],
    [23, '17'],
    [24, '1818'],
    [255, '18ff'],
    [256, '190100'],
    [65_535, '19ffff'],
    [65_536, '1a00010000'],
    [4_294_967_295, '1affffffff'],
    [4_294_967_296, '1b0000000100000000'],
    [Number.MAX_SAFE_INTEGER, '1b001fffffffffffff'],
    [2n ** 53n, '1b0020000000000000'],
    [2n ** 64n - 1n, '1bffffffffffffffff'],
    [-1, '20'],
    [-24, '37'],
    [-25, '3818'],
    [Number.MIN_SAFE_INTEGER, '3b001ffffffffffffe'],
    [-(2n ** 53n), '3b001fffffffffffff'],
    [-(2n ** 64n), '3bffffffffffffffff'],
    [new Uint8Array(0), '40'],
    [Uint8Array.of(1, 2), '420102'],
    ['', '60'],
    ['é', '62c3a9'],
    ['\ufeff', '63efbbbf'],
    ['\u0000', '6100'],
    [[], '80'],
    [[1, [2]], '82018102'],
    [new Map(), 'a0'],
    [new Map<Dcbor.Key, Dcbor.Value>([[1, 'a']]), 'a1016161'],
  ]
  test('are inverse and exact', () => {
    for (const [value, encoded] of pairs) {
      assert.equal(Bytes.toHex(Dcbor.encode(value)), encoded)
      assert.deepEqual(Dcbor.decode(hex(encoded)), value)
    }
  })

  test('keys are sorted by their encoded bytes, not by length first', () => {
    // RFC 8949 section 4.2.1 orders 10, 100, -1, "z", "aa" so; the older length-first rule would put -1 before 100.
    const map = new Map<Dcbor.Key, Dcbor.Value>([
      ['aa', 5],
      [-1, 3],
      [Uint8Array.of(0), 9],
      [100, 2],
      ['z', 4],
      [10, 1],
    ])
    const encoded = Dcbor.encode(map)
    assert.equal(Bytes.toHex(encoded), 'a60a01186402200341000961' + '7a0462616105')
    const decoded = Dcbor.decode(encoded) as Dcbor.ValueMap
    assert.deepEqual([...decoded.keys()], [10, 100, -1, Uint8Array.of(0), 'z', 'aa'])
    assert.equal(Dcbor.get(decoded, Uint8Array.of(0)), 9)
    assert.equal(Dcbor.get(decoded, 10n), 1)
    assert.equal(Dcbor.get(decoded, 'none'), undefined)
  })

  test('what is decoded shares no memory with the input, even a Buffer', () => {
    const input = Buffer.from('420102', 'hex')
    const decoded = Dcbor.decode(input)
    input.fill(0)
    assert.deepEqual(decoded, Uint8Array.of(1, 2))
  })

  test('a view into a larger buffer is read from its own start', () => {
    assert.equal(Dcbor.decode(hex('ffff190100ff').subarray(2, 5)), 256)
  })
})

describe('encode refuses', () => {
  test('numbers that are no integer of the subset', () => {
    for (const value of [-0, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, -(2 ** 53)]) {
      refusesToEncode(value, 'not-an-integer')
      // A Map turns the key -0 into 0 by itself.
      if (value !== 0) refusesToEncode(new Map([[value, 1]]), 'not-an-integer')
    }
    for (const value of [2n ** 64n, -(2n ** 64n) - 1n]) refusesToEncode(value, 'integer-out-of-range')
  })
  test('text that is not well-formed NFC, instead of changing it', () => {
    refusesToEncode('\ud800', 'text-lone-surrogate')
    refusesToEncode('e\u0301', 'text-not-nfc')
    refusesToEncode(new Map([['\u212b', 1]]), 'text-not-nfc')
  })
  test('other types, holes and other keys', () => {
    for (const value of [undefined, {}, Symbol('x'), () => 1, new Date(0), new Set([1]), new Uint16Array(1)]) {
      refusesToEncode(value, 'unsupported-type')
      refusesToEncode([value], 'unsupported-type')
    }
    refusesToEncode(new Array(1), 'unsupported-type')
    for (const key of [null, true, undefined, [], new Map()]) refusesToEncode(new Map([[key, 1]]), 'unsupported-key')
  })
  test('keys that only JavaScript holds apart', () => {
    const one = [
      [1, 'a'],
      [1n, 'b'],
    ] as const
    refusesToEncode(new Map<Dcbor.Key, Dcbor.Value>(one), 'duplicate-key')
    const bytes = [
      [Uint8Array.of(1), 1],
      [Uint8Array.of(1), 2],
    ] as const
    refusesToEncode(new Map(bytes), 'duplicate-key')
  })
})

test('encoding within an encoding leaves both alone', () => {
  const outer = Object.defineProperty([0, 2], 0, { get: () => Dcbor.encode('inner') })
  assert.equal(Bytes.toHex(Dcbor.encode(outer)), '824665696e6e657202')
  assert.equal(Bytes.toHex(Dcbor.encode([Dcbor.encode('inner'), 2])), '824665696e6e657202')
})

describe('limits', () => {
  const nested = (depth: number): Dcbor.Value => (depth === 0 ? 0 : [nested(depth - 1)])
  test('depth: 16 containers pass, 17 do not, in both directions', () => {
    assert.deepEqual(Dcbor.decode(Dcbor.encode(nested(16))), nested(16))
    assert.throws(() => Dcbor.encode(nested(17)), LimitError)
    assert.equal(outcome(`${'81'.repeat(16)}00`), 'accept')
    assert.equal(outcome(`${'81'.repeat(17)}00`), 'limit-exceeded')
    assert.equal(outcome(`${'a100'.repeat(17)}00`), 'limit-exceeded')
    assert.equal(outcome('81'.repeat(100_000)), 'limit-exceeded')
  })
  test('a cycle ends at the depth limit', () => {
    const cycle: Dcbor.Value[] = []
    cycle.push(cycle)
    assert.throws(() => Dcbor.encode(cycle), LimitError)
  })
  test('items: 262,144 with the container pass, one more does not', () => {
    const most = new Array(Dcbor.maxItems - 1).fill(0) as number[]
    const encoded = Dcbor.encode(most)
    assert.equal((Dcbor.decode(encoded) as unknown[]).length, most.length)
    assert.throws(() => Dcbor.encode([...most, 0]), LimitError)
    const more = Bytes.concat(hex('9a'), Bytes.u32(Dcbor.maxItems), new Uint8Array(Dcbor.maxItems))
    assert.throws(() => Dcbor.decode(more), LimitError)
  })
  test('bytes: 16 MiB pass, one more does not', () => {
    const content = new Uint8Array(Dcbor.maxBytes - 5)
    assert.equal(Dcbor.encode(content).length, Dcbor.maxBytes)
    assert.throws(() => Dcbor.encode(new Uint8Array(Dcbor.maxBytes - 4)), LimitError)
    assert.throws(() => Dcbor.decode(new Uint8Array(Dcbor.maxBytes + 1)), LimitError)
  })
  test('a huge count costs nothing', () => {
    for (const head of ['9b', 'bb', '5b', '7b']) assert.equal(outcome(`${head}7fffffffffffffff`), 'input-too-short')
  })
})

describe('decode refuses', () => {
  const cases: Readonly<Record<Dcbor.DecodeErrorCode, readonly string[]>> = {
    'input-too-short': ['', '18', '4101'.slice(0, 2), '6261', '82', '8200', 'a100', '1b00'],
    'trailing-bytes': ['0000', 'f6f6', 'a000'],
    'head-not-shortest': ['1800', '1817', '190017', '1a0000ffff', '1b00000000ffffffff', '5800', '7801', '9800', 'b800'],
    'reserved-head': ['1c', '3d', '5e', '9c', 'fc', 'fd', 'fe'],
    'indefinite-length': ['5f4100ff', '7f6161ff', '9fff', 'bfff', 'ff', '1f'],
    tag: ['c000', 'd81800', 'd9d9f700', 'c2'],
    float: ['f90000', 'fa00000000', 'fb0000000000000000', 'f97e00'],
    'simple-value': ['f7', 'e0', 'f3', 'f820', 'f814'],
    'text-not-utf8': ['6180', '63eda080', '62c080'],
    'text-not-nfc': ['6365cc81', '63e284ab'],
    'unsupported-key': ['a1f600', 'a1f500', 'a18000', 'a1a000'],
    'duplicate-key': ['a201000100', 'a241000041' + '0000'],
    'keys-not-sorted': ['a202000100', 'a2200018' + '6400', 'a2626161000100'],
    // The second gate: no input is known that reaches it.
    'not-canonical': [],
  }
  for (const [code, inputs] of Object.entries(cases)) {
    test(code, () => {
      for (const input of inputs) assert.equal(outcome(input), code, input)
    })
  }
})

describe('vectors of another dCBOR implementation', () => {
  test('decode: each case is accepted or refused, and where we are stricter the reason is a tag or a float', (t) => {
    const suite = openVectors('dcbor', t)
    if (suite === undefined) return
    const { vectors, count } = suite.json('tests/vectors/decode-vectors.json')
    const tally: Record<string, number> = {}
    for (const { hex: input, expect } of vectors) {
      const line = `${expect.ok ? 'accept' : expect.code}: ${outcome(input)}`
      tally[line] = (tally[line] ?? 0) + 1
    }
    assert.deepEqual(tally, {
      'accept: accept': 35,
      // Theirs has floats and tags, ours has neither.
      'accept: float': 16,
      'accept: tag': 13,
      'Underrun: input-too-short': 32,
      'Underrun: tag': 5,
      'Underrun: float': 4,
      'Underrun: simple-value': 1,
      'UnsupportedHeaderValue: reserved-head': 20,
      'UnsupportedHeaderValue: indefinite-length': 8,
      'UnsupportedHeaderValue: tag': 5,
      'NonCanonicalNumeric: head-not-shortest': 23,
      'NonCanonicalNumeric: float': 32,
      'NonCanonicalNumeric: tag': 8,
      'NonCanonicalNumeric: simple-value': 3,
      'InvalidSimpleValue: simple-value': 12,
      'InvalidSimpleValue: tag': 1,
      'InvalidUtf8: text-not-utf8': 7,
      'InvalidUtf8: tag': 1,
      'NonCanonicalString: text-not-nfc': 3,
      'UnusedData: trailing-bytes': 3,
      'DuplicateMapKey: duplicate-key': 2,
      // {1, 2, 1}: a repeated key that is not adjacent is seen as out of order.
      'DuplicateMapKey: keys-not-sorted': 1,
      'MisorderedMapKey: keys-not-sorted': 5,
      'MisorderedMapKey: tag': 1,
    })
    assert.equal(vectors.length, count)
  })

  test('encode: their bytes are ours wherever the value is in both subsets', (t) => {
    const suite = openVectors('dcbor', t)
    if (suite === undefined) return
    const { vectors, count } = suite.json('tests/vectors/encode-vectors.json')
    const tally: Record<string, number> = {}
    for (const { name, recipe, expect } of vectors) {
      const value = valueOf(recipe)
      let got: string
      if (value === undefined) got = 'not in our subset'
      else {
        try {
          const bytes = Dcbor.encode(value.value)
          if (expect.hex !== undefined) assert.equal(Bytes.toHex(bytes), expect.hex, name)
          else assert.equal(Bytes.toHex(crypto.sha256(bytes)), expect.sha256, name)
          got = 'same'
        } catch (error) {
          if (!(error instanceof Dcbor.EncodeError || error instanceof LimitError)) throw error
          got = error.code
        }
      }
      const line = `${expect.ok ? 'ok' : expect.code}: ${got}`
      tally[line] = (tally[line] ?? 0) + 1
    }
    assert.deepEqual(tally, {
      'ok: same': 155,
      // Floats, negative zero, and numbers beyond 2^53 that they take for integers and we want as bigints.
      'ok: not-an-integer': 54,
      // They normalise or replace; we refuse to change text.
      'ok: text-not-nfc': 5,
      'ok: text-lone-surrogate': 1,
      // They let the later of 1 and 1n win.
      'ok: duplicate-key': 2,
      'ok: unsupported-key': 3,
      // Depth 32.
      'ok: limit-exceeded': 1,
      // Tags, dates, big numbers, sets, plain objects, undefined.
      'ok: not in our subset': 107,
      'OutOfRange: integer-out-of-range': 3,
      'OutOfRange: not in our subset': 1,
      'WrongType: not in our subset': 1,
      'Custom: not in our subset': 10,
      'InvalidDate: not in our subset': 3,
    })
    assert.equal(vectors.length, count)
  })
})

// biome-ignore lint/suspicious/noExplicitAny: the recipes of the suite have one shape per kind
function valueOf(recipe: any): { readonly value: Dcbor.Value } | undefined {
  switch (recipe.k) {
    case 'n':
      return { value: Number(recipe.v) }
    case 'bi':
    case 'rawuint':
      return { value: BigInt(recipe.v) }
    case 's':
      return { value: recipe.v }
    case 'b':
      return { value: recipe.v }
    case 'null':
      return { value: null }
    case 'rawnegmag':
      return { value: -1n - BigInt(recipe.v) }
    case 'sr':
      return { value: recipe.unit.repeat(recipe.count) }
    case 'br':
      return { value: Uint8Array.from({ length: recipe.count }, (_, i) => (recipe.start + i) & 0xff) }
    case 'intarr':
      return { value: Array.from({ length: recipe.count }, (_, i) => i % 24) }
    case 'intmap':
      return { value: new Map(Array.from({ length: recipe.count }, (_, i) => [i, `v${i}`])) }
    case 'bytes':
    case 'bytestring':
      return { value: hex(recipe.hex) }
    case 'arr': {
      const items = recipe.items.map(valueOf)
      return items.includes(undefined) ? undefined : { value: items.map((item: { value: Dcbor.Value }) => item.value) }
    }
    case 'map':
    case 'jsmap': {
      const entries = recipe.entries.map((entry: unknown[]) => entry.map(valueOf))
      if (entries.flat().includes(undefined)) return undefined
      return { value: new Map(entries.map((entry: { value: Dcbor.Value }[]) => entry.map((item) => item.value))) }
    }
    default:
      return undefined
  }
}

test('text over the limit is refused before it is normalised, which takes quadratic time', () => {
  const long = Bytes.fromUtf8(`a${'\u0301'.repeat(40_000)}${'\u0316'.repeat(40_000)}`)
  const startedMs = performance.now()
  assert.throws(() => Dcbor.decode(Bytes.concat(Bytes.fromHex('7a'), Bytes.u32(long.length), long)), {
    code: 'limit-exceeded',
  })
  assert.throws(() => Dcbor.encode(Bytes.toUtf8(long)), { code: 'limit-exceeded' })
  assert.ok(performance.now() - startedMs < 2_000)
  const most = 'é'.repeat(512)
  assert.equal(Dcbor.decode(Dcbor.encode(most)), most)
  assert.throws(() => Dcbor.encode(`${most}a`), { code: 'limit-exceeded' })
  assert.equal(Dcbor.decode(Dcbor.encode('a'.repeat(2000))), 'a'.repeat(2000))
})
