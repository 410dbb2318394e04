/** LogStore.behavior.ts - what every `LogStore` must do; each driver's test runs it. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { crypto } from 'assay/crypto/node'
import { Cose } from 'assay/protocol'
import type { Entry, LogStore, StoredCheckpoint } from './LogStore.ts'
import * as scene from './scene.ts'

const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)
const keyId = Cose.keyId(crypto, scene.signers.node.publicKey)
const checkpoint = (size: bigint, change: Partial<StoredCheckpoint> = {}): StoredCheckpoint => ({
  ...{ size, root: bytes(32, Number(size)), signature: bytes(64, 9), lines: [] },
  ...{ cosignatures: [], anchored: undefined },
  ...change,
})
const cosignature = (value: number) => ({
  publicKey: bytes(64, value),
  signature: bytes(64, value + 1),
  lines: [{ name: 'w', keyId: bytes(4, value), blob: bytes(64, value + 1) }],
})

export async function entryOf(index: bigint, sequence = index): Promise<Entry> {
  const pair = { issuedAtBlock: 100n, issuedAtBlockHash: scene.blockHash(100n) }
  return { index, ...(await scene.request(sequence)), ...pair }
}

export function behaves(name: string, open: () => LogStore): void {
  describe(`LogStore: ${name}`, () => {
    test('is empty at first', () => {
      const store = open()
      assert.equal(store.size(), 0n)
      assert.equal(store.pledgedSize(), 0n)
      assert.equal(store.entry(0n), undefined)
      assert.equal(store.highest(keyId), undefined)
      assert.equal(store.latestCheckpoint(), undefined)
      assert.deepEqual(store.conflicts(), [])
      store.close()
    })

    test('gives back what was written', async () => {
      const store = open()
      const entries = [await entryOf(0n, 5n), await entryOf(1n, 2n ** 64n - 1n), await entryOf(2n, 7n)]
      const hashes = bytes(16_352, 3)
      store.write({
        entries,
        tiles: [{ level: 1, number: 4n, hashes }],
        pledges: [{ index: 1n, signature: bytes(64, 1) }],
      })
      assert.equal(store.size(), 3n)
      assert.deepEqual(store.entry(1n), entries[1])
      assert.deepEqual(store.entries(1n, 9n), entries.slice(1))
      assert.deepEqual(store.placeOf(keyId, 7n), { sequence: 7n, index: 2n })
      assert.equal(store.placeOf(keyId, 6n), undefined)
      assert.equal(store.placeOf(bytes(32, 1), 7n), undefined)
      // The largest number that a sequence can be, so no order by sign.
      assert.deepEqual(store.highest(keyId), { sequence: 2n ** 64n - 1n, index: 1n })
      assert.deepEqual(store.pledge(1n), bytes(64, 1))
      assert.equal(store.pledge(0n), undefined)
      assert.equal(store.pledgedSize(), 2n)
      assert.deepEqual(store.tile(1, 4n), hashes)
      assert.equal(store.tile(1, 5n), undefined)
      store.close()
    })

    test('a write is kept whole or not at all', async () => {
      const store = open()
      store.write({ entries: [await entryOf(0n)] })
      const other = await entryOf(1n)
      const samePlace = await entryOf(2n, 0n)
      assert.throws(() => store.write({ entries: [other, samePlace], conflicts: [{ ...samePlace, index: 0n }] }))
      const sameIndex = await entryOf(0n, 3n)
      assert.throws(() => store.write({ entries: [sameIndex] }))
      assert.equal(store.size(), 1n)
      assert.equal(store.placeOf(keyId, 1n), undefined)
      assert.deepEqual(store.conflicts(), [])
      store.write({ entries: [other] })
      assert.deepEqual(store.entry(1n), other)
      store.close()
    })

    test('an entry gets one pledge; before that its block can change', async () => {
      const store = open()
      const entry = await entryOf(0n)
      const pair = { issuedAtBlock: 120n, issuedAtBlockHash: scene.blockHash(120n) }
      store.write({ entries: [entry] })
      store.write({ replans: [{ index: 0n, ...pair }] })
      assert.deepEqual(store.entry(0n), { ...entry, ...pair })
      store.write({ pledges: [{ index: 0n, signature: bytes(64, 1) }] })
      assert.throws(() => store.write({ pledges: [{ index: 0n, signature: bytes(64, 2) }] }))
      assert.deepEqual(store.pledge(0n), bytes(64, 1))
      store.close()
    })

    test('keeps the first conflict of an index', async () => {
      const store = open()
      store.write({ entries: [await entryOf(0n)] })
      const first = { index: 0n, head: bytes(139, 1), signature: bytes(64, 1) }
      store.write({ conflicts: [first] })
      store.write({ conflicts: [{ ...first, head: bytes(139, 2) }] })
      assert.deepEqual(store.conflicts(), [first])
      store.close()
    })

    test('finds checkpoints by what became of them', () => {
      const store = open()
      const anchoredAt = (block: bigint, passed = false) => ({ anchored: { block, passed } })
      const all = [
        checkpoint(10n, anchoredAt(5n, true)),
        checkpoint(20n, anchoredAt(5n)),
        checkpoint(30n, anchoredAt(8n)),
        checkpoint(40n),
        checkpoint(50n, { signature: undefined, lines: [] }),
      ]
      store.write({ checkpoints: all })
      assert.deepEqual(store.checkpoint(30n), all[2])
      assert.equal(store.checkpoint(31n), undefined)
      assert.deepEqual(store.latestCheckpoint(), all[4])
      assert.deepEqual(store.unanchored(), all.slice(3))
      assert.deepEqual(store.anchoredSince(8n), [all[2]])
      assert.deepEqual(store.firstAnchored(1n), all[1])
      assert.deepEqual(store.firstAnchored(20n), all[1])
      assert.equal(store.firstAnchored(31n), undefined)
      store.close()
    })

    test('cosignatures gather, sorted by key, one per key', () => {
      const store = open()
      store.write({ checkpoints: [checkpoint(10n, { cosignatures: [cosignature(2)] }), checkpoint(20n)] })
      store.write({ checkpoints: [checkpoint(10n, { cosignatures: [cosignature(1)] })] })
      assert.deepEqual(store.checkpoint(10n)?.cosignatures, [cosignature(1), cosignature(2)])
      assert.equal(store.latestCosigned(bytes(64, 2))?.size, 10n)
      assert.equal(store.latestCosigned(bytes(64, 3)), undefined)
      store.close()
    })
  })
}
