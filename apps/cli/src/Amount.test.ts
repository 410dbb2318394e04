import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Amount from './Amount.ts'

const one = 10n ** 18n

test('amounts of ASY', () => {
  for (const [text, units] of [
    ['1', one],
    ['1500.25', 1_500n * one + one / 4n],
    ['0.000000000000000001', 1n],
    ['1000000000', 10n ** 9n * one],
  ] as const)
    assert.equal(Amount.parseTokens(text), units)
  for (const text of [
    '',
    '0',
    '0.0',
    '-1',
    '1,000',
    '01',
    '1.',
    '.5',
    '1e3',
    '0.0000000000000000001',
    '10000000000.0x',
    ' 1',
  ])
    assert.equal(Amount.parseTokens(text), undefined, text)
})
