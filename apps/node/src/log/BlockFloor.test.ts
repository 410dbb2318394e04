import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as BlockFloor from './BlockFloor.ts'

const newFloor = (): BlockFloor.BlockFloor => ({ highest: 1_000n, fallenSinceMs: undefined })

test('a short reorganisation passes, a low number does not', () => {
  const floor = newFloor()
  assert.equal(BlockFloor.admits(floor, 925n, 600n, 0), true)
  assert.equal(BlockFloor.admits(floor, 924n, 600n, 0), false)
  assert.equal(BlockFloor.admits(floor, 10n, 600n, 1), false)
  assert.equal(BlockFloor.admits(floor, 1_001n, 600n, 2), true)
  assert.equal(floor.highest, 1_001n)
})

test('a chain that stays low is believed after ten minutes without a break', () => {
  const floor = newFloor()
  assert.equal(BlockFloor.admits(floor, 10n, 600n, 0), false)
  assert.equal(BlockFloor.admits(floor, 1_000n, 600n, 300_000), true)
  assert.equal(BlockFloor.admits(floor, 10n, 600n, 400_000), false)
  assert.equal(BlockFloor.admits(floor, 300n, 600n, 999_999), false)
  assert.equal(BlockFloor.admits(floor, 301n, 600n, 1_000_000), true)
  assert.equal(BlockFloor.admits(floor, 302n, 600n, 1_000_001), true)
})

test('only what is higher is noted', () => {
  const floor = newFloor()
  BlockFloor.note(floor, undefined)
  BlockFloor.note(floor, { number: 5n })
  assert.equal(floor.highest, 1_000n)
  BlockFloor.note(floor, { number: 1_005n })
  assert.equal(floor.highest, 1_005n)
})
