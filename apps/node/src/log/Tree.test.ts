import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { crypto } from 'assay/crypto/node'
import { Merkle, TileHashes } from 'assay/protocol'
import * as Tree from './Tree.ts'

const leaf = (i: number): Uint8Array => Merkle.leafHash(crypto, new TextEncoder().encode(`${i}`))
const leaves = Array.from({ length: 70_000 }, (_, i) => leaf(i))

/** Appends in groups of uneven size and keeps the complete tiles, as a store does. */
function grow(size: number, group = 301) {
  const tiles = new Map<string, Uint8Array>()
  let tree = Tree.empty
  for (let start = 0; start < size; start += group) {
    const appended = Tree.append(crypto, tree, leaves.slice(start, Math.min(size, start + group)))
    for (const { level, number, hashes } of appended.completed) tiles.set(`${level}/${number}`, hashes)
    tree = appended.tree
  }
  return { tree, read: (level: number, number: bigint) => tiles.get(`${level}/${number}`), tiles }
}

describe('Tree', () => {
  for (const size of [0, 1, 2, 255, 256, 257, 511, 512, 700, 65_535, 65_536, 65_537, 70_000]) {
    test(`${size} leaves: root, loading, tiles`, () => {
      const { tree, read } = grow(size)
      assert.deepEqual(Tree.root(crypto, tree), Merkle.root(crypto, leaves.slice(0, size)))
      const loaded = Tree.load(crypto, BigInt(size), leaves.slice(size - (size % 256), size), read)
      assert.deepEqual(loaded, tree)
    })
  }

  test('proofs and older roots equal those over all leaves', async () => {
    const { tree, read } = grow(1500)
    const hashes = leaves.slice(0, 1500)
    const reader = Tree.reader(tree, read)
    for (const [a, b] of [
      [0n, 1n],
      [3n, 256n],
      [255n, 257n],
      [700n, 1500n],
      [1499n, 1500n],
      [512n, 1024n],
    ] as const) {
      assert.deepEqual(
        await TileHashes.inclusionProof(crypto, reader, a, b),
        Merkle.inclusionProof(crypto, hashes, a, b),
      )
      assert.deepEqual(await Tree.rootAt(crypto, tree, read, b), Merkle.root(crypto, hashes.slice(0, Number(b))))
      const proof = await TileHashes.consistencyProof(crypto, reader, a + 1n, b)
      assert.deepEqual(proof, Merkle.consistencyProof(crypto, hashes, a + 1n, b))
    }
  })

  test('appending leaves the tree before as it was', () => {
    const { tree } = grow(300)
    const before = structuredClone(tree)
    Tree.append(crypto, tree, leaves.slice(300, 600))
    assert.deepEqual(tree, before)
  })
})
