import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as Bytes from '../protocol/Bytes.ts'
import * as Json from './Json.ts'

const parse = (text: string) => Json.parse(Bytes.fromUtf8(text))
const codeOf = (bytes: Uint8Array) => {
  try {
    Json.parse(bytes)
  } catch (error) {
    assert.ok(error instanceof Json.JsonError)
    return error.code
  }
  return 'accepted'
}

describe('parse', () => {
  test('keeps the text of numbers and the order of keys', () => {
    const value = parse(
      ' {"b" : [1.50, -0, 1E+2, 12345678901234567890123], "a":{"__proto__":null}, "c":"x\\u00e9\\n\\ud83d\\ude00"} ',
    )
    assert.deepEqual(
      value,
      new Map<string, Json.Value>([
        ['b', [{ number: '1.50' }, { number: '-0' }, { number: '1E+2' }, { number: '12345678901234567890123' }]],
        ['a', new Map([['__proto__', null]])],
        ['c', 'xé\n😀'],
      ]),
    )
  })

  const refused: readonly (readonly [string, Json.JsonErrorCode])[] = [
    ['', 'unexpected-end'],
    ['{"a":1,"a":2}', 'duplicate-key'],
    ['{"a":1,"\\u0061":2}', 'duplicate-key'],
    ['{"a":1,}', 'unexpected-character'],
    ['[1,]', 'unexpected-character'],
    ['[1', 'unexpected-end'],
    ['{"a"', 'unexpected-end'],
    ['NaN', 'unexpected-character'],
    ['Infinity', 'unexpected-character'],
    ['01', 'trailing-text'],
    ['1.', 'unexpected-end'],
    ['.5', 'unexpected-character'],
    ['+1', 'unexpected-character'],
    ['1e', 'unexpected-end'],
    ['0x10', 'trailing-text'],
    ['nul', 'unexpected-character'],
    ['true false', 'trailing-text'],
    ['"a', 'unexpected-end'],
    ['"\t"', 'unexpected-character'],
    ['"\\x"', 'unexpected-character'],
    ['"\\u12g4"', 'unexpected-character'],
    ['"\\ud800"', 'lone-surrogate'],
    ['"\\udc00\\ud800"', 'lone-surrogate'],
    ['{"\\ud800":1}', 'lone-surrogate'],
    ["{'a':1}", 'unexpected-character'],
    ['[1]\u00a0', 'trailing-text'],
    ['\u00a0[1]', 'unexpected-character'],
    ['// c\n1', 'unexpected-character'],
    ['\ufeff1', 'unexpected-character'],
  ]
  for (const [text, code] of refused) {
    test(`refuses ${JSON.stringify(text)} as ${code}`, () => assert.equal(codeOf(Bytes.fromUtf8(text)), code))
  }

  test('refuses bytes that are not UTF-8', () => {
    for (const bytes of [
      [0x22, 0xff, 0x22],
      [0x22, 0xed, 0xa0, 0x80, 0x22],
      [0x22, 0xc0, 0x80, 0x22],
    ]) {
      assert.equal(codeOf(Uint8Array.from(bytes)), 'not-utf8')
    }
  })

  test('takes depth 32 and refuses depth 33', () => {
    assert.equal(codeOf(Bytes.fromUtf8('['.repeat(32) + ']'.repeat(32))), 'accepted')
    assert.equal(codeOf(Bytes.fromUtf8('['.repeat(33) + ']'.repeat(33))), 'too-deep')
    assert.equal(codeOf(Bytes.fromUtf8(`${'{"a":'.repeat(33)}1${'}'.repeat(33)}`)), 'too-deep')
    assert.equal(codeOf(Bytes.fromUtf8('['.repeat(100_000))), 'too-deep')
  })
})
