/** Merkle.fuzz.ts - proofs of random trees hold, and no change of sizes, hashes or proofs does. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { crypto } from '../crypto/node.ts'
import type { Hash } from './Crypto.ts'
import * as Merkle from './Merkle.ts'

const numRuns = Number(process.env.ASSAY_FUZZ_RUNS ?? 200)
const leaves = Array.from({ length: 300 }, (_, i) => Merkle.leafHash(crypto, Uint8Array.of(i >> 8, i & 255)))
const size = fc.integer({ min: 1, max: leaves.length })

function outcome(call: () => void, allowed: readonly (abstract new (...args: never[]) => Error)[]): boolean {
  try {
    call()
    return true
  } catch (error) {
    assert.ok(
      allowed.some((type) => error instanceof type),
      String(error),
    )
    return false
  }
}

test('inclusion', () => {
  fc.assert(
    fc.property(size, fc.nat(), fc.nat(), (treeSize, nth, other) => {
      const index = BigInt(nth % treeSize)
      const wide = BigInt(treeSize)
      const proof = Merkle.inclusionProof(crypto, leaves, index, wide)
      const root = Merkle.root(crypto, leaves.slice(0, treeSize))
      const good = { leafHash: leaves[nth % treeSize] as Hash, index, size: wide, proof, root }
      Merkle.verifyInclusion(crypto, good)
      const wrongIndex = BigInt(other % (2 * treeSize))
      if (wrongIndex !== index) {
        assert.equal(
          outcome(() => Merkle.verifyInclusion(crypto, { ...good, index: wrongIndex }), [Merkle.InclusionError]),
          false,
        )
      }
      const swapped = [...proof].reverse()
      if (proof.length > 1) {
        assert.equal(
          outcome(() => Merkle.verifyInclusion(crypto, { ...good, proof: swapped }), [Merkle.InclusionError]),
          false,
        )
      }
    }),
    { numRuns },
  )
})

test('consistency', () => {
  fc.assert(
    fc.property(size, fc.nat(), fc.nat(), (treeSize, nth, other) => {
      const size1 = BigInt((nth % treeSize) + 1)
      const size2 = BigInt(treeSize)
      const proof = Merkle.consistencyProof(crypto, leaves, size1, size2)
      const root1 = Merkle.root(crypto, leaves.slice(0, Number(size1)))
      const root2 = Merkle.root(crypto, leaves.slice(0, treeSize))
      const good = { size1, root1, size2, root2, proof }
      Merkle.verifyConsistency(crypto, good)
      // A tree that differs in one old leaf is never shown to extend it.
      const changed = leaves.slice(0, treeSize)
      const at = other % Number(size1)
      changed[at] = crypto.sha256(changed[at] as Hash)
      const forged = Merkle.consistencyProof(crypto, changed, size1, size2)
      const bad = { ...good, root2: Merkle.root(crypto, changed), proof: forged }
      assert.equal(
        outcome(() => Merkle.verifyConsistency(crypto, bad), [Merkle.ConsistencyError]),
        false,
      )
    }),
    { numRuns },
  )
})

test('whatever the numbers and hashes, only the listed errors are thrown', () => {
  const number = fc.oneof(fc.bigInt({ min: -2n, max: 70n }), fc.bigInt({ min: -1n, max: 2n ** 65n }))
  const hash = fc.uint8Array({ minLength: 31, maxLength: 33 })
  fc.assert(
    fc.property(number, number, hash, hash, fc.array(hash, { maxLength: 8 }), (first, second, one, two, proof) => {
      const inclusion = { leafHash: one, index: first, size: second, proof, root: two }
      outcome(() => Merkle.verifyInclusion(crypto, inclusion), [Merkle.InclusionError])
      const consistency = { size1: first, root1: one, size2: second, root2: two, proof }
      outcome(() => Merkle.verifyConsistency(crypto, consistency), [Merkle.ConsistencyError])
    }),
    { numRuns: numRuns * 4 },
  )
})
