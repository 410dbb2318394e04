import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { openVectors } from '../../tests/vectors.ts'
import { crypto } from '../crypto/node.ts'
import * as Bytes from './Bytes.ts'
import type { Hash } from './Crypto.ts'
import * as Merkle from './Merkle.ts'
import * as MerkleFrontier from './MerkleFrontier.ts'
import * as TileHashes from './TileHashes.ts'

const leavesOf = (count: number): Hash[] =>
  Array.from({ length: count }, (_, i) => Merkle.leafHash(crypto, Bytes.u32(i)))
const leaves = leavesOf(70)
const rootOf = (size: number): Hash => Merkle.root(crypto, leaves.slice(0, size))
const flip = (hash: Hash): Hash => Uint8Array.from(hash, (byte, i) => (i === 9 ? byte ^ 4 : byte))

/** The definition of RFC 9162 section 2.1.1, word for word, to compare with. */
function definition(hashes: readonly Hash[]): Hash {
  if (hashes.length === 0) return crypto.sha256(new Uint8Array(0))
  if (hashes.length === 1) return hashes[0] as Hash
  let k = 1
  while (k * 2 < hashes.length) k *= 2
  const left = definition(hashes.slice(0, k))
  const right = definition(hashes.slice(k))
  return crypto.sha256(Bytes.concat(Uint8Array.of(1), left, right))
}

describe('root', () => {
  test('follows the definition for every size up to 70', () => {
    for (let size = 0; size <= 70; size++) assert.deepEqual(rootOf(size), definition(leaves.slice(0, size)))
  })
  test('separates leaves from nodes', () => {
    const pair = Bytes.concat(leaves[0] as Hash, leaves[1] as Hash)
    assert.notDeepEqual(rootOf(2), Merkle.leafHash(crypto, pair))
    assert.deepEqual(Merkle.leafHash(crypto, new Uint8Array(0)), crypto.sha256(Uint8Array.of(0)))
  })
  test('wants hashes of 32 bytes', () => {
    assert.throws(() => Merkle.root(crypto, [new Uint8Array(31)]), { code: 'wrong-length' })
    assert.throws(() => Merkle.nodeHash(crypto, new Uint8Array(32), new Uint8Array(33)), { code: 'wrong-length' })
  })
})

describe('inclusion', () => {
  test('every leaf of every tree up to 70 is shown, and by no other index, size, leaf, root or proof', () => {
    for (let size = 1; size <= 70; size++) {
      const root = rootOf(size)
      for (let index = 0; index < size; index++) {
        const proof = Merkle.inclusionProof(crypto, leaves, BigInt(index), BigInt(size))
        const good = { leafHash: leaves[index] as Hash, index: BigInt(index), size: BigInt(size), proof, root }
        Merkle.verifyInclusion(crypto, good)
        const refuses = (change: Partial<typeof good>, codes: readonly string[]): void =>
          assert.throws(
            () => Merkle.verifyInclusion(crypto, { ...good, ...change }),
            (error) => error instanceof Merkle.InclusionError && codes.includes(error.code),
          )
        refuses({ root: flip(root) }, ['root-mismatch'])
        refuses({ leafHash: flip(good.leafHash) }, ['root-mismatch'])
        refuses({ proof: [...proof, root] }, ['proof-length'])
        refuses({ index: good.size }, ['index-out-of-range'])
        refuses({ index: -1n }, ['index-out-of-range'])
        refuses({ size: 0n }, ['index-out-of-range'])
        if (proof.length > 0) refuses({ proof: proof.slice(1) }, ['proof-length'])
        for (let i = 0; i < proof.length; i++) {
          refuses({ proof: proof.map((hash, j) => (i === j ? flip(hash) : hash)) }, ['root-mismatch'])
        }
        const wrong = (index + 1) % size
        if (wrong !== index) refuses({ index: BigInt(wrong) }, ['root-mismatch', 'proof-length'])
      }
    }
  })
  test('hash lengths and sizes have their own refusals', () => {
    const leafHash = leaves[0] as Hash
    const good = { leafHash, index: 0n, size: 1n, proof: [], root: leafHash }
    Merkle.verifyInclusion(crypto, good)
    assert.throws(() => Merkle.verifyInclusion(crypto, { ...good, root: leafHash.slice(1) }), { code: 'root-mismatch' })
    const short = { ...good, leafHash: leafHash.slice(1) }
    assert.throws(() => Merkle.verifyInclusion(crypto, short), { code: 'hash-length' })
    const pair = { leafHash, index: 0n, size: 2n, proof: [new Uint8Array(33)], root: rootOf(2) }
    assert.throws(() => Merkle.verifyInclusion(crypto, pair), { code: 'hash-length' })
    for (const size of [-1n, 2n ** 63n]) {
      assert.throws(() => Merkle.verifyInclusion(crypto, { ...good, size }), { code: 'size-out-of-range' })
    }
  })
  test('the largest index works without a loop over the tree', () => {
    const index = Merkle.maxSize - 1n
    const proof = Merkle.inclusionRanges(index, Merkle.maxSize).map(() => leaves[0] as Hash)
    const found = Merkle.rootFromInclusion(crypto, { leafHash: leaves[1] as Hash, index, size: Merkle.maxSize, proof })
    assert.equal(found.length, 32)
  })
  test('proofs of leaves that are not there are a usage error', () => {
    for (const [index, size] of [
      [0n, 0n],
      [3n, 3n],
      [-1n, 3n],
      [0n, 71n],
      [0n, -1n],
    ] as const) {
      assert.throws(() => Merkle.inclusionProof(crypto, leaves, index, size), Merkle.TreeRangeError)
    }
  })
})

describe('consistency', () => {
  test('every pair of sizes up to 40 is shown, and no other', () => {
    for (let size2 = 1; size2 <= 40; size2++) {
      for (let size1 = 1; size1 <= size2; size1++) {
        const proof = Merkle.consistencyProof(crypto, leaves, BigInt(size1), BigInt(size2))
        const good = { size1: BigInt(size1), root1: rootOf(size1), size2: BigInt(size2), root2: rootOf(size2), proof }
        Merkle.verifyConsistency(crypto, good)
        const refuses = (change: Partial<typeof good>, codes: readonly string[]): void =>
          assert.throws(
            () => Merkle.verifyConsistency(crypto, { ...good, ...change }),
            (error) => error instanceof Merkle.ConsistencyError && codes.includes(error.code),
          )
        refuses({ root1: flip(good.root1) }, ['root-mismatch'])
        refuses({ root2: flip(good.root2) }, ['root-mismatch'])
        refuses({ proof: [...proof, good.root1] }, ['proof-length'])
        refuses({ size1: 0n }, ['size-out-of-range'])
        refuses({ size1: good.size2 + 1n }, ['size-out-of-range'])
        refuses({ size2: 2n ** 63n }, ['size-out-of-range'])
        if (proof.length > 0) refuses({ proof: proof.slice(1) }, ['proof-length'])
        for (let i = 0; i < proof.length; i++) {
          refuses({ proof: proof.map((hash, j) => (i === j ? flip(hash) : hash)) }, ['root-mismatch'])
          refuses({ proof: proof.map((hash, j) => (i === j ? hash.slice(1) : hash)) }, ['hash-length'])
        }
        if (size1 < size2) {
          refuses({ root1: good.root2, root2: good.root1 }, ['root-mismatch'])
          refuses({ size1: good.size1 + 1n }, ['root-mismatch', 'proof-length'])
        }
      }
    }
  })
  test('from size 0 there is nothing to prove, so it is refused, even with the empty root', () => {
    const root1 = Merkle.emptyRoot(crypto)
    for (const [size2, root2] of [
      [0n, root1],
      [3n, rootOf(3)],
    ] as const) {
      const subject = { size1: 0n, root1, size2, root2, proof: [] }
      assert.throws(() => Merkle.verifyConsistency(crypto, subject), { code: 'size-out-of-range' })
      assert.throws(() => Merkle.consistencyProof(crypto, leaves, 0n, size2), Merkle.TreeRangeError)
    }
  })
})

describe('vectors of transparency-dev/merkle', () => {
  const hashOf = (base64: string): Hash => Bytes.fromBase64(base64)
  test('inclusion: every case', (t) => {
    const suite = openVectors('rfc6962-merkle', t)
    if (suite === undefined) return
    const paths = suite.list('testdata/inclusion/').filter((path) => path.endsWith('.json'))
    const stricter: string[] = []
    for (const path of paths) {
      const { leafIdx, treeSize, root, leafHash, proof, wantErr } = suite.json(path)
      const call = (): void =>
        Merkle.verifyInclusion(crypto, {
          leafHash: hashOf(leafHash),
          index: BigInt(leafIdx),
          size: BigInt(treeSize),
          proof: (proof ?? []).map(hashOf),
          root: hashOf(root),
        })
      const isHash = hashOf(root).length === 32
      if (!wantErr && !isHash) stricter.push(path)
      if (!wantErr && isHash) assert.doesNotThrow(call, path)
      else assert.throws(call, Merkle.InclusionError, path)
    }
    assert.deepEqual({ count: paths.length, stricter }, { count: 68, stricter: [] })
  })
  test('consistency: every case', (t) => {
    const suite = openVectors('rfc6962-merkle', t)
    if (suite === undefined) return
    const paths = suite.list('testdata/consistency/').filter((path) => path.endsWith('.json'))
    const stricter: string[] = []
    for (const path of paths) {
      const { size1, size2, root1, root2, proof, wantErr } = suite.json(path)
      const call = (): void =>
        Merkle.verifyConsistency(crypto, {
          size1: BigInt(size1),
          root1: hashOf(root1),
          size2: BigInt(size2),
          root2: hashOf(root2),
          proof: (proof ?? []).map(hashOf),
        })
      if (wantErr) assert.throws(call, Merkle.ConsistencyError, path)
      else if (hashOf(root1).length !== 32 || size1 === 0) {
        assert.throws(call, Merkle.ConsistencyError, path)
        stricter.push(path)
      } else assert.doesNotThrow(call, path)
    }
    assert.deepEqual(
      { count: paths.length, stricter },
      {
        count: 68,
        // Its roots are the text "don't care": equal, but no hashes. The same case with hashes passes above.
        stricter: ['testdata/consistency/additional/sizes-are-equal-one-and-proof-is-empty.json'],
      },
    )
  })
})

describe('MerkleFrontier', () => {
  test('grows to the same root as the batch, one by one or many at a time, from any stored state', () => {
    let one = MerkleFrontier.empty
    assert.deepEqual(MerkleFrontier.root(crypto, one), Merkle.emptyRoot(crypto))
    for (let size = 1; size <= 70; size++) {
      one = MerkleFrontier.append(crypto, MerkleFrontier.parse(MerkleFrontier.serialize(one)), [
        leaves[size - 1] as Hash,
      ])
      assert.equal(one.size, BigInt(size))
      assert.deepEqual(MerkleFrontier.root(crypto, one), rootOf(size))
      const split = size >> 1
      const half = MerkleFrontier.append(crypto, MerkleFrontier.empty, leaves.slice(0, split))
      assert.deepEqual(MerkleFrontier.append(crypto, half, leaves.slice(split, size)), one)
    }
    assert.equal(MerkleFrontier.empty.size, 0n)
  })
  test('reports every perfect subtree once, children before parents', () => {
    const nodes = new Map<string, Hash>()
    MerkleFrontier.append(crypto, MerkleFrontier.empty, leaves, (level, index, hash) => {
      const key = `${level}/${index}`
      assert.equal(nodes.has(key), false)
      const width = 2 ** level
      const start = Number(index) * width
      assert.deepEqual(hash, definition(leaves.slice(start, start + width)), key)
      nodes.set(key, hash)
    })
    assert.equal(nodes.size, 70 + 35 + 17 + 8 + 4 + 2 + 1)
  })
  test('parse refuses other lengths and sizes', () => {
    const bytes = MerkleFrontier.serialize(MerkleFrontier.append(crypto, MerkleFrontier.empty, leaves.slice(0, 5)))
    assert.equal(bytes.length, 8 + 64)
    assert.throws(() => MerkleFrontier.parse(bytes.slice(0, -1)), Bytes.ReadError)
    assert.throws(() => MerkleFrontier.parse(Bytes.concat(bytes, Uint8Array.of(0))), Bytes.ReadError)
    assert.throws(() => MerkleFrontier.parse(Bytes.u64(2n ** 63n)), MerkleFrontier.FrontierError)
    assert.throws(() => MerkleFrontier.append(crypto, MerkleFrontier.empty, [new Uint8Array(31)]), Bytes.LengthError)
  })
})

describe('TileHashes', () => {
  test('gives the same roots and proofs as the array, from complete subtrees only', async () => {
    for (let size = 1; size <= 40; size++) {
      const read = (level: number, index: bigint): Hash => {
        const start = Number(index) * 2 ** level
        assert.ok(start + 2 ** level <= size, `level ${level} index ${index} is not complete at ${size}`)
        return definition(leaves.slice(start, start + 2 ** level))
      }
      const wide = BigInt(size)
      assert.deepEqual(await TileHashes.root(crypto, read, wide), rootOf(size))
      for (let other = 1; other <= size; other++) {
        const index = BigInt(other - 1)
        assert.deepEqual(
          await TileHashes.inclusionProof(crypto, read, index, wide),
          Merkle.inclusionProof(crypto, leaves, index, wide),
        )
        assert.deepEqual(
          await TileHashes.consistencyProof(crypto, read, BigInt(other), wide),
          Merkle.consistencyProof(crypto, leaves, BigInt(other), wide),
        )
      }
    }
    const never = (): Hash => assert.fail()
    assert.deepEqual(await TileHashes.root(crypto, never, 0n), Merkle.emptyRoot(crypto))
    for (const size of [-1n, 2n ** 63n])
      await assert.rejects(TileHashes.root(crypto, never, size), Merkle.TreeRangeError)
    await assert.rejects(TileHashes.inclusionProof(crypto, never, 5n, 5n), Merkle.TreeRangeError)
    await assert.rejects(
      TileHashes.root(crypto, () => new Uint8Array(31), 1n),
      Bytes.LengthError,
    )
  })

  test('a log of a million entries proves with about 2 * log2(n) reads', async () => {
    // All leaves are equal here, so a perfect subtree's root depends on its level alone.
    const byLevel = [Merkle.leafHash(crypto, new Uint8Array(0))]
    for (let level = 1; level <= 20; level++) {
      const child = byLevel[level - 1] as Hash
      byLevel.push(Merkle.nodeHash(crypto, child, child))
    }
    let reads = 0
    const read = async (level: number): Promise<Hash> => {
      reads++
      return byLevel[level] as Hash
    }
    const size = 1_048_575n
    const root = await TileHashes.root(crypto, read, size)
    assert.equal(reads, 20)
    for (const index of [0n, 1n, 524_287n, 524_288n, 777_777n, size - 1n]) {
      reads = 0
      const proof = await TileHashes.inclusionProof(crypto, read, index, size)
      assert.ok(reads <= 40, `${reads} reads`)
      Merkle.verifyInclusion(crypto, { leafHash: byLevel[0] as Hash, index, size, proof, root })
    }
    for (const size1 of [1n, 65_536n, 999_999n]) {
      const root1 = await TileHashes.root(crypto, read, size1)
      reads = 0
      const proof = await TileHashes.consistencyProof(crypto, read, size1, size)
      assert.ok(reads <= 40, `${reads} reads`)
      Merkle.verifyConsistency(crypto, { size1, root1, size2: size, root2: root, proof })
    }
  })
})
