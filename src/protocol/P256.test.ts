import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { p256 } from '@noble/curves/nist.js'
import * as Bytes from './Bytes.ts'
import * as P256 from './P256.ts'

test('the constants are those of the curve', () => {
  assert.equal(P256.prime, p256.Point.Fp.ORDER)
  assert.equal(P256.order, p256.Point.Fn.ORDER)
  assert.equal(P256.halfOrder, (P256.order - 1n) / 2n)
})

describe('isOnCurve', () => {
  const base = p256.Point.BASE.toBytes(false).slice(1)
  test('accepts points and nothing near them', () => {
    let point = p256.Point.BASE
    for (let i = 0; i < 20; i++) {
      const key = point.toBytes(false).slice(1)
      assert.equal(P256.isOnCurve(key), true)
      for (let bit = 0; bit < 512; bit += 7) {
        const changed = Uint8Array.from(key)
        changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
        assert.equal(P256.isOnCurve(changed), false)
      }
      point = point.double().add(p256.Point.BASE)
    }
  })
  test('refuses infinity, wrong lengths and coordinates that are not reduced', () => {
    assert.equal(P256.isOnCurve(new Uint8Array(64)), false)
    assert.equal(P256.isOnCurve(base.slice(1)), false)
    assert.equal(P256.isOnCurve(Bytes.concat(base, Uint8Array.of(0))), false)
    assert.equal(P256.isOnCurve(new Uint8Array(0)), false)
    // The curve has a point with a small x (5); x + p names the same residue and is refused.
    const small = p256.Point.fromBytes(Bytes.concat(Uint8Array.of(2), Bytes.u256(5n)))
      .toBytes(false)
      .slice(1)
    assert.equal(P256.isOnCurve(small), true)
    assert.equal(P256.isOnCurve(Bytes.concat(Bytes.u256(5n + P256.prime), small.subarray(32))), false)
  })
})

test('isInRange wants both halves in 1..n-1', () => {
  const signature = (r: bigint, s: bigint): Uint8Array => Bytes.concat(Bytes.u256(r), Bytes.u256(s))
  const n = P256.order
  for (const [r, s] of [
    [1n, 1n],
    [n - 1n, n - 1n],
  ] as const) {
    assert.equal(P256.isInRange(signature(r, s)), true)
  }
  for (const [r, s] of [
    [0n, 1n],
    [1n, 0n],
    [n, 1n],
    [1n, n],
  ] as const) {
    assert.equal(P256.isInRange(signature(r, s)), false)
  }
  assert.equal(P256.isInRange(new Uint8Array(63).fill(1)), false)
})
