/**
 * Text.fuzz.ts - JSON, tokenizer and UTF-8 decoder against the platform's own: strict JSON is a subset that reads the
 * same, tokens give back the bytes of any text, and the decoder agrees with TextDecoder however the bytes are cut.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as Toy from '../../tests/execution/Toy.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Json from './Json.ts'
import * as Tokenizer from './Tokenizer.ts'
import * as Utf8Decoder from './Utf8Decoder.ts'

const numRuns = Number(process.env.ASSAY_FUZZ_RUNS ?? 300)

/** Bytes with many beginnings and ends of characters among them. */
const rawBytes = fc
  .array(
    fc.oneof(
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom(
        0x80,
        0xbf,
        0xc2,
        0xe0,
        0xe2,
        0x82,
        0xac,
        0xed,
        0xa0,
        0xf0,
        0x9f,
        0x98,
        0xf4,
        0x8f,
        0x90,
        0xef,
        0xbb,
      ),
    ),
    { maxLength: 40 },
  )
  .map((bytes) => Uint8Array.from(bytes))

function plain(value: Json.Value): unknown {
  if (Json.isNumber(value)) return Number(value.number)
  if (Json.isArray(value)) return value.map(plain)
  if (Json.isObject(value)) return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]))
  return value
}

test('JSON reads as JSON.parse reads it, whitespace and escapes included', () => {
  fc.assert(
    fc.property(fc.json({ stringUnit: 'binary', maxDepth: 6 }), fc.constantFrom('', ' ', '\n\t'), (text, indent) => {
      const value = JSON.parse(text)
      const written = JSON.stringify(value, null, indent)
      assert.deepEqual(plain(Json.parse(Bytes.fromUtf8(written))), value)
    }),
    { numRuns },
  )
})

test('what strict JSON accepts, JSON.parse accepts; nothing but JsonError escapes', () => {
  const fragments = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"a"',
    '"',
    '\\',
    'u',
    '1',
    '0',
    '-',
    '.',
    'e',
    ' ',
    'true',
    'null',
  )
  fc.assert(
    fc.property(fc.array(fragments, { maxLength: 12 }), (list) => {
      const text = list.join('')
      let value: Json.Value
      try {
        value = Json.parse(Bytes.fromUtf8(text))
      } catch (error) {
        assert.ok(error instanceof Json.JsonError)
        return
      }
      assert.deepEqual(plain(value), JSON.parse(text))
    }),
    { numRuns: numRuns * 10 },
  )
})

test('tokens give back the bytes of any text, by the longest piece at each position', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }).filter((text) => text.isWellFormed()),
    fc
      .array(fc.constantFrom('t', 'th', 'the', ' the', 'ere', 'hello', ' wor', 'STO', 'P', '€', '😀', '<|end|>'))
      .map((list) => list.join('')),
  )
  fc.assert(
    fc.property(texts, (text) => {
      const tokens = Toy.tokenizer.encode(text)
      const bytes = Bytes.fromUtf8(text)
      assert.deepEqual(Bytes.concat(...tokens.map(Toy.tokenizer.bytesOf)), bytes)
      let offset = 0
      for (const token of tokens) {
        assert.ok(token >= Toy.tokenizer.specialCount)
        const rest = bytes.subarray(offset)
        const longest = Toy.pieces
          .filter((piece) => Bytes.equal(rest.subarray(0, piece.length), piece))
          .reduce((best, piece) => (piece.length > best.length ? piece : best))
        assert.deepEqual(Toy.tokenizer.bytesOf(token), longest)
        offset += longest.length
      }
    }),
    { numRuns },
  )
})

test('the tokenizer refuses files that break its rules', () => {
  const file = JSON.parse(Toy.tokenizerText)
  const codeOf = (changes: object) => {
    try {
      Tokenizer.load(Bytes.fromUtf8(JSON.stringify({ ...file, ...changes })))
      return 'accepted'
    } catch (error) {
      return (error as Tokenizer.TokenizerFileError).code
    }
  }
  assert.equal(codeOf({}), 'accepted')
  assert.equal(codeOf({ kind: 'bpe' }), 'unknown-kind')
  assert.equal(codeOf({ extra: 1 }), 'not-a-tokenizer')
  assert.equal(codeOf({ pieces: [...file.pieces, ''] }), 'piece-length')
  assert.equal(codeOf({ pieces: [...file.pieces, file.pieces[0]] }), 'duplicate-piece')
  assert.equal(codeOf({ pieces: file.pieces.slice(1) }), 'missing-byte')
  assert.throws(() => Toy.tokenizer.bytesOf(Toy.tokenizer.size), Tokenizer.TokenError)
})

test('any bytes, cut anyhow, decode as the WHATWG decoder decodes them whole', () => {
  fc.assert(
    fc.property(rawBytes, fc.array(fc.nat({ max: 40 })), (bytes, cuts) => {
      const decoder = Utf8Decoder.create()
      let text = ''
      let start = 0
      for (const cut of [...cuts.sort((left, right) => left - right), bytes.length]) {
        text += decoder.push(bytes.subarray(start, Math.max(start, cut)))
        start = Math.max(start, Math.min(cut, bytes.length))
      }
      assert.equal(text + decoder.flush(), new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes))
    }),
    { numRuns: numRuns * 10 },
  )
})
