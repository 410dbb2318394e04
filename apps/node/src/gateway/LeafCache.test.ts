import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as LeafCache from './LeafCache.ts'

const leaves = (bytes: number) => ({ effective: [new Uint8Array(bytes)], output: [] })

test('what is held is bounded in bytes, the least recently used first out', (context) => {
  const cache = LeafCache.create({ maxBytes: 10_000, maxAgeMs: 1_000, now: () => 0 })
  context.after(cache.clear)
  for (let i = 0; i < 100; i++) {
    cache.put(String(i), leaves(2_000))
    cache.get('0')
    assert.ok(cache.size() <= 10_000)
  }
  assert.ok(cache.get('0') !== undefined)
  assert.ok(cache.get('99') !== undefined)
  assert.equal(cache.get('50'), undefined)
  cache.put('large', leaves(20_000))
  assert.equal(cache.get('large'), undefined)
  // Many small leaves cost more than their bytes.
  cache.put('many', { effective: Array.from({ length: 49 }, () => new Uint8Array(4)), output: [] })
  assert.equal(cache.get('0'), undefined)
  cache.put('many', leaves(1))
  assert.ok(cache.size() < 1_000)
})

test('what is held is bounded in time, also when the clock jumps', (context) => {
  let now = 5_000
  const cache = LeafCache.create({ maxBytes: 10_000, maxAgeMs: 1_000, now: () => now })
  context.after(cache.clear)
  cache.put('a', leaves(1))
  now = 5_999
  assert.ok(cache.get('a') !== undefined)
  now = 6_000
  assert.equal(cache.get('a'), undefined)
  cache.put('b', leaves(1))
  now = 0
  assert.equal(cache.get('b'), undefined)
  assert.equal(cache.size(), 0)
})

test('what nobody asks for is gone when its time is up, not at some later look', (context) => {
  context.mock.timers.enable({ apis: ['setInterval', 'Date'] })
  const cache = LeafCache.create({ maxBytes: 10_000, maxAgeMs: 600_000, now: Date.now })
  context.after(cache.clear)
  // In steps, because a look sees the time at the end of a step.
  const until = (ms: number) => {
    while (Date.now() < ms) context.mock.timers.tick(1_000)
  }
  for (let i = 0; i < 10; i++) {
    until(7_000 * i)
    cache.put(String(i), leaves(1))
  }
  until(540_000)
  assert.ok(cache.get('0') !== undefined)
  until(663_000)
  assert.equal(cache.size(), 0)
})
