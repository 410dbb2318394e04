/**
 * Sampler.test.ts - the sampler against a second implementation written from the specification's text, the exponential
 * against exact rational arithmetic, and counts of draws against the probabilities that they should have.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as Toy from '../../tests/execution/Toy.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Sampler from './Sampler.ts'

const sampling = (temperature: string, topP: string, seed = 1n) => ({ seed, temperature, topP })
const stateOf = (i: number) => Toy.crypto.sha256(Bytes.u32(i))

/** e^x for x <= 0 as a rational series with 120 terms over BigInt, rounded once: far beyond a double's precision. */
function exactExp(x: number): number {
  const one = 1n << 1400n
  // A double is an integer over 2^1074.
  let scaled = 0n
  for (let rest = x, shift = 0; rest !== 0 && shift <= 1074; shift++) {
    if (Number.isInteger(rest)) {
      scaled = (BigInt(rest) * one) >> BigInt(shift)
      break
    }
    rest *= 2
  }
  const halvings = 12n
  const small = scaled >> halvings
  let term = one
  let sum = one
  for (let i = 1n; i < 120n; i++) {
    term = (term * small) / (one * i)
    sum += term
  }
  for (let i = 0n; i < halvings; i++) sum = (sum * sum) / one
  // To a double: the top 64 bits, scaled in two steps so that no power of two underflows.
  const cut = Math.max(0, sum.toString(2).length - 64)
  return Number(sum >> BigInt(cut)) * 2 ** -500 * 2 ** (cut - 900)
}

/** The specification once more: other data structures, no shared code but SHA-256. */
function second(logits: Float32Array, position: number, s: ReturnType<typeof sampling>): number {
  const T = Number.parseFloat(s.temperature)
  const P = Number.parseFloat(s.topP)
  const rows = Array.from(logits, (logit, id) => ({ id, logit, w: 0 }))
  const top = rows.reduce((best, row) => (row.logit > best.logit ? row : best))
  if (T === 0) return top.id
  for (const row of rows) row.w = e((row.logit - top.logit) / T)
  let kept = rows
  if (P < 1) {
    const total = rows.reduce((sum, row) => sum + row.w, 0)
    const sorted = rows.toSorted((left, right) => (left.w === right.w ? left.id - right.id : right.w - left.w))
    const last = running(sorted).findIndex((sum) => sum >= P * total)
    kept = last < 0 ? sorted : sorted.slice(0, last + 1)
  }
  const message = Buffer.alloc(13)
  message[0] = 6
  message.writeBigUInt64BE(s.seed, 1)
  message.writeUInt32BE(position, 9)
  const first = BigInt(`0x${Buffer.from(Toy.crypto.sha256(message)).toString('hex').slice(0, 16)}`)
  const u = Number(first >> 11n) / 2 ** 53
  const sum = kept.reduce((total, row) => total + row.w, 0)
  const hit = running(kept).findIndex((part) => part > u * sum)
  return (kept.at(hit) as { id: number }).id
}

/** The sums of the first one, two, three ... weights. */
function running(rows: readonly { readonly w: number }[]): number[] {
  const sums: number[] = []
  for (const row of rows) sums.push((sums.at(-1) ?? 0) + row.w)
  return sums
}

function e(x: number): number {
  if (x < -708) return 0
  // biome-ignore lint/suspicious/noApproximativeNumericConstant: the literal is the specification's.
  const k = Math.floor(x * 1.4426950408889634 + 0.5)
  const r = x - k * 0.6931471803691238 - k * 1.9082149292705877e-10
  const p = [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1].reduce((value, i) => 1 + (value * r) / i, 1)
  // 2^k as a bit pattern.
  const power = new DataView(new ArrayBuffer(8))
  power.setBigUint64(0, BigInt(k + 1023) << 52n)
  return p * power.getFloat64(0)
}

describe('create', () => {
  test('temperature 0 takes the highest logit, the lowest id on ties', () => {
    const pick = Sampler.create(Toy.crypto, sampling('0', '1'))
    assert.equal(pick(Float32Array.of(1, 3, 3, 2), 0), 1)
    assert.equal(pick(Float32Array.of(-0, 0), 0), 0)
    assert.equal(Sampler.create(Toy.crypto, sampling('0.00', '0.1'))(Float32Array.of(1, 2), 0), 1)
    assert.equal(Sampler.create(Toy.crypto, sampling('1e-400', '1'))(Float32Array.of(1, 2), 0), 1)
  })

  test('agrees with a second implementation', () => {
    let agreed = 0
    for (const temperature of ['0', '0.001', '0.3', '0.70', '1', '1.5', '2', '1e-300']) {
      for (const topP of ['1', '0.95', '0.9999999999999999', '0.5', '1e-9']) {
        for (let i = 0; i < 12; i++) {
          const s = sampling(temperature, topP, BigInt.asUintN(64, BigInt(i) * 0x9e3779b97f4a7c15n))
          const logits = Toy.logitsOf(stateOf(i))
          assert.equal(Sampler.create(Toy.crypto, s)(logits, i), second(logits, i, s))
          agreed++
        }
      }
    }
    assert.equal(agreed, 480)
  })

  test('draws tokens as often as their probability says', () => {
    const probabilities = [0.5, 0.25, 0.125, 0.125]
    const logits = Float32Array.from(probabilities, Math.log)
    const pick = Sampler.create(Toy.crypto, sampling('1', '1', 99n))
    const nucleus = Sampler.create(Toy.crypto, sampling('1', '0.7', 99n))
    const counts = [0, 0, 0, 0]
    const kept = [0, 0, 0, 0]
    const draws = 20_000
    for (let i = 0; i < draws; i++) {
      counts[pick(logits, i)]!++
      kept[nucleus(logits, i)]!++
    }
    for (const [id, probability] of probabilities.entries()) {
      const deviation = Math.sqrt(draws * probability * (1 - probability))
      assert.ok(Math.abs(counts[id]! - draws * probability) < 5 * deviation, `${counts}`)
    }
    assert.deepEqual(kept.slice(2), [0, 0])
    assert.ok(Math.abs(kept[0]! - (draws * 2) / 3) < 5 * Math.sqrt((draws * 2) / 9))
  })

  test('masked logits are never drawn; NaN, +Infinity and nothing finite are refused', () => {
    const { POSITIVE_INFINITY, NEGATIVE_INFINITY, NaN: nan } = Number
    const pick = Sampler.create(Toy.crypto, sampling('2', '1'))
    for (let i = 0; i < 50; i++) assert.equal(pick(Float32Array.of(NEGATIVE_INFINITY, 1, NEGATIVE_INFINITY), i), 1)
    for (const logits of [[1, nan], [nan], [1, POSITIVE_INFINITY], [NEGATIVE_INFINITY], []]) {
      assert.throws(() => pick(Float32Array.from(logits), 0), Sampler.LogitsError)
    }
  })
})

describe('exp', () => {
  test('is within 4 units of the last place of the true exponential and never above 1', () => {
    assert.equal(Sampler.exp(0), 1)
    assert.equal(Sampler.exp(-708.0000001), 0)
    assert.equal(Sampler.exp(Number.NEGATIVE_INFINITY), 0)
    for (let i = 0; i < 400; i++) {
      const x = i < 300 ? -(i * i) / 1000 - 1 / 3 : -708 + (i - 300) / 7
      const exact = exactExp(x)
      const difference = Math.abs(Sampler.exp(x) - exact) / exact
      assert.ok(difference < 4 * 2 ** -52, `${x}: ${difference}`)
      assert.ok(Sampler.exp(x) <= 1)
    }
  })
})

describe('draw', () => {
  test('is a multiple of 2^-53 in [0, 1) and depends on seed and position', () => {
    const seen = new Set<number>()
    for (let i = 0; i < 1000; i++) {
      const u = Sampler.draw(Toy.crypto, BigInt(i % 10), Math.floor(i / 10))
      assert.ok(u >= 0 && u < 1 && Number.isInteger(u * 2 ** 53))
      seen.add(u)
    }
    assert.equal(seen.size, 1000)
  })
})
