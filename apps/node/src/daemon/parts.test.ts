/** parts.test.ts - pieces of a daemon that need no daemon. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maxBlockAgeMs } from '../log/ChainView.ts'
import * as Parts from './parts.ts'

test('orders are judged by the newest block as long as the chain does not stand still', () => {
  const block = { number: 7n, timestampSeconds: 1_800_000_000n, sinceMs: 5_000 }
  const { sinceMs, ...judged } = block
  assert.deepEqual(Parts.blockForOrders(block, sinceMs + maxBlockAgeMs), judged)
  assert.equal(Parts.blockForOrders(block, sinceMs + maxBlockAgeMs + 1), undefined)
  assert.equal(Parts.blockForOrders(undefined, 0), undefined)
})
