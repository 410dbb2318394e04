/** Forgetting.test.ts - one wrong answer of the chain's endpoint throws away no opening that can still be demanded. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pledge } from 'assay/protocol'
import type { StoredReceipt } from '../receipts/ReceiptStore.ts'
import type { CasesView } from './CasesView.ts'
import * as Forgetting from './Forgetting.ts'

const filled = (length: number, byte: number) => new Uint8Array(length).fill(byte)
const logId = filled(32, 1)
const leaf = { leafHash: filled(32, 2), leafIndex: 0n, issuedAtBlock: 1n, issuedAtBlockHash: filled(32, 3) }
const pledgeWords = Pledge.words({ chainId: 7n, anchorLog: filled(20, 4), logId, ...leaf })
const receipt = { receiptHash: filled(32, 5), released: { pledgeWords } } as unknown as StoredReceipt
const log = {
  ...{ logId, size: () => 1n, entry: () => undefined, inclusion: async () => [] },
  proof: async () => ({ size: 1n, proof: [] }),
}

/** A sweeper of one opening whose receipt was anchored in block 1,000 and is kept for 900 blocks. */
function scene() {
  const chain = { finalized: 1_001n, openWindowBlocks: 600n, answerBlocks: 300n }
  const forgotten: number[] = []
  const { sweep } = Forgetting.create({
    view: {
      finalized: async () => chain.finalized,
      terms: async () => chain,
      anchoredIn: async () => 1_000n,
    } as unknown as CasesView,
    logs: [log],
    store: {
      opened: () => (forgotten.length > 0 ? [] : [{ row: 1, receipt }]),
      forgetOpenings: async (rows) => void forgotten.push(...rows),
    },
    minKeptBlocks: 0n,
  })
  return { chain, forgotten, sweep: () => sweep([]) }
}

test('an opening goes once its time is over, and is seen to be over again', async () => {
  const { chain, forgotten, sweep } = scene()
  await sweep()
  chain.finalized = 1_900n
  for (let i = 0; i < 3; i++) await sweep()
  assert.deepEqual(forgotten, [])
  chain.finalized = 1_901n
  for (let i = 0; i < 2; i++) await sweep()
  assert.deepEqual(forgotten, [1])
})

for (const [what, wrong] of [
  ['block', { finalized: 10n ** 9n }],
  ['window', { openWindowBlocks: 0n, answerBlocks: 0n }],
] as const)
  test(`none goes by one wrong ${what}, be it the first that is named`, async () => {
    for (const rounds of [0, 1, 2]) {
      const { chain, forgotten, sweep } = scene()
      chain.finalized = 1_500n
      const right = { ...chain }
      for (let i = 0; i < rounds; i++) await sweep()
      Object.assign(chain, wrong)
      await sweep()
      Object.assign(chain, right)
      for (let i = 0; i < 3; i++) await sweep()
      assert.deepEqual(forgotten, [])
    }
  })
