/** Forgetting.test.ts - what one false word of an endpoint must not do: throw away openings that can still be demanded. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Bytes, Pledge } from 'assay/protocol'
import type { StoredReceipt } from '../receipts/ReceiptStore.ts'
import type { CasesView } from './CasesView.ts'
import * as Forgetting from './Forgetting.ts'
import type { LogPort } from './Places.ts'

const filled = (length: number, value: number) => new Uint8Array(length).fill(value)
const logId = filled(32, 1)
const hourMs = Forgetting.confirmMs

/** Receipts of which the n-th was first anchored in block 100 n, and an endpoint that says what it is told. */
function scene(count: number) {
  const said = { finalized: 0n, anchoredIn: (size: bigint): bigint => size * 100n }
  const held = new Set(Array.from({ length: count }, (_, i) => i + 1))
  const receipt = (row: number) => {
    const issued = { issuedAtBlock: 1n, issuedAtBlockHash: filled(32, 1), leafHash: filled(32, 1) }
    const pledge = { chainId: 1n, anchorLog: filled(20, 1), logId, leafIndex: BigInt(row - 1), ...issued }
    const released = { pledgeWords: Pledge.words(pledge), leafIndex: pledge.leafIndex }
    return { receiptHash: Bytes.u256(BigInt(row)), released } as unknown as StoredReceipt
  }
  const view = {
    finalized: async () => said.finalized,
    terms: async () => ({ openWindowBlocks: 1_000n, answerBlocks: 300n }),
    anchoredIn: async (_: Uint8Array, size: bigint) => said.anchoredIn(size),
  } as unknown as CasesView
  const log = { logId, proof: async ({ index }: { index: bigint }) => ({ size: index + 1n, proof: [] }) }
  const { sweep } = Forgetting.create({
    ...{ view, logs: [log as unknown as LogPort], minKeptBlocks: 0n },
    store: {
      opened: (after, limit) =>
        [...held]
          .filter((row) => row > after)
          .slice(0, limit)
          .map((row) => ({ row, receipt: receipt(row) })),
      forgetOpenings: async (rows) => {
        for (const row of rows) held.delete(row)
      },
    },
  })
  /** Looks every minute for some time; gives the rows that are left. */
  async function look(fromMs: number, ms: number, asked: readonly number[] = []) {
    const cases = asked.map((row) => ({ demand: { receiptHash: Bytes.u256(BigInt(row)), slot: 1 } })) as never
    for (let nowMs = fromMs; nowMs <= fromMs + ms; nowMs += 60_000) await sweep(cases, nowMs)
    return [...held]
  }
  return { said, look }
}

describe('an opening is thrown away', () => {
  test('when its time is over in every look of an hour, and not before', async () => {
    const { said, look } = scene(3)
    said.finalized = 1_501n
    assert.deepEqual(await look(0, hourMs - 60_000), [1, 2, 3])
    assert.deepEqual(await look(hourMs, 0), [3])
    // The third is over from here on.
    said.finalized = 1_601n
    assert.deepEqual(await look(hourMs + 60_000, hourMs - 60_000), [3])
    assert.deepEqual(await look(2 * hourMs + 60_000, 60_000), [])
  })

  test('later, when it is demanded', async () => {
    const { said, look } = scene(3)
    said.finalized = 2_000n
    assert.deepEqual(await look(0, 2 * hourMs, [2]), [2])
    assert.deepEqual(await look(2 * hourMs + 60_000, 60_000), [])
  })

  test('not by an endpoint that calls a block final which is far ahead, for less than an hour', async () => {
    const { said, look } = scene(3)
    for (let at = 0; at < 4 * hourMs; at += hourMs) {
      said.finalized = 1_000_000n
      assert.deepEqual(await look(at, hourMs - 120_000), [1, 2, 3])
      said.finalized = 400n
      assert.deepEqual(await look(at + hourMs - 60_000, 0), [1, 2, 3])
    }
    // One true look between two hours is enough.
    said.finalized = 1_501n
    assert.deepEqual(await look(4 * hourMs, hourMs), [3])
  })

  test('not by one that says for less than an hour that a size was anchored long ago', async () => {
    const { said, look } = scene(3)
    said.finalized = 1_350n
    said.anchoredIn = () => 1n
    assert.deepEqual(await look(0, hourMs - 60_000), [1, 2, 3])
    said.anchoredIn = (size) => size * 100n
    assert.deepEqual(await look(hourMs, 3 * hourMs), [1, 2, 3])
  })

  test('also behind more openings than are looked at in one go that cannot go', async () => {
    const { said, look } = scene(600)
    said.finalized = 1_000_000n
    const asked = Array.from({ length: 300 }, (_, i) => i + 1)
    assert.deepEqual(await look(0, 2 * hourMs, asked), asked)
  })
})
