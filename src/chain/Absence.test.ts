/** Proofs that a trie has no such key: where they hold, and how they must not be had. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createMerkleProof, createMPT } from '@ethereumjs/mpt'
import fc from 'fast-check'
import { crypto } from '../crypto/noble.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Header from './Header.ts'
import * as Rlp from './Rlp.ts'
import * as StateProof from './StateProof.ts'

const runs = Number(process.env.ASSAY_FUZZ_RUNS ?? 15)

/** A trie by raw paths of 32 bytes; a proof leaves out nodes that stand inside their parents, and the root of nothing. */
async function trieOf(entries: readonly (readonly [path: Uint8Array, value: Uint8Array])[]) {
  const trie = await createMPT()
  for (const [path, value] of entries) await trie.put(path, value)
  const prove = async (path: Uint8Array) => {
    const nodes = await createMerkleProof(trie, path)
    return nodes.filter((node, position) => (position === 0 && node.length > 1) || node.length >= 32)
  }
  return { root: trie.root(), prove }
}

const at = (first: number, second = 0, last = 0) => Uint8Array.from([first, second, ...new Array(29).fill(0), last])
const value = (byte: number) => new Uint8Array(32).fill(byte + 1)
const absent = (root: Uint8Array, path: Uint8Array, proof: StateProof.Proof) =>
  StateProof.verifyAbsence(crypto, { root, path, proof })
const present = (root: Uint8Array, path: Uint8Array, proof: StateProof.Proof) =>
  StateProof.verifyPath(crypto, { root, path, proof })

/** One world for each way in which a path can end without a value. */
const ends = [
  { what: 'nothing in the trie', entries: [], path: at(1) },
  { what: 'an empty place of a branch', entries: [at(0x10), at(0x20)], path: at(0x30) },
  { what: 'the leaf of another key', entries: [at(0x10), at(0x20)], path: at(0x10, 1) },
  { what: 'a leaf at the root', entries: [at(0x10)], path: at(0x20) },
  { what: 'an extension that leads elsewhere', entries: [at(0x10, 0x11), at(0x10, 0x12)], path: at(0x10, 0x20) },
  { what: 'an extension below a branch', entries: [at(0x10, 0, 1), at(0x10, 0, 2), at(0x20)], path: at(0x11) },
  {
    what: 'a place inside an embedded branch',
    entries: [at(0x10, 0, 1), at(0x10, 0, 2), at(0x20)],
    path: at(0x10, 0, 3),
  },
]

describe('a path ends at', () => {
  for (const { what, entries, path } of ends) {
    const trie = () =>
      trieOf(entries.map((one, i) => [one, what.includes('embedded') ? Uint8Array.of(i + 1) : value(i)] as const))
    test(what, async () => {
      const { root, prove } = await trie()
      const proof = await prove(path)
      absent(root, path, proof)
      assert.throws(() => present(root, path, proof), { code: 'proof-absent' })
      // Every key that is there is shown, and by no proof can it be absent; nor the other way round.
      for (const [i, key] of entries.entries()) {
        const good = await prove(key)
        assert.deepEqual(present(root, key, good), what.includes('embedded') ? Uint8Array.of(i + 1) : value(i))
        assert.throws(() => absent(root, key, good), { code: 'proof-present' })
        assert.throws(() => absent(root, key, proof), StateProof.ProofError)
        assert.throws(() => present(root, path, good), StateProof.ProofError)
      }
    })
    test(`${what}: one byte flipped, a node too many, too few or in another place`, async () => {
      const { root, prove } = await trie()
      const proof = await prove(path)
      const refused = (changed: StateProof.Proof, message: string) =>
        assert.throws(() => absent(root, path, changed), StateProof.ProofError, message)
      for (const [position, node] of proof.entries()) {
        for (let byte = 0; byte < node.length; byte++)
          for (const bit of [1, 128])
            refused(proof.with(position, node.with(byte, (node[byte] as number) ^ bit)), `${position}:${byte}`)
        refused(proof.toSpliced(position, 1), `without ${position}`)
        refused([...proof, node], `again ${position}`)
        refused(proof.toSpliced(position, 0, node), `twice ${position}`)
      }
      refused([...proof, Uint8Array.of(0x80)], 'the root of nothing behind it')
      for (const key of entries) {
        const other = await prove(key)
        if (other.length > proof.length) refused(other, 'the proof of a neighbour')
      }
      assert.throws(() => absent(root.with(0, (root[0] as number) ^ 1), path, proof), StateProof.ProofError)
    })
  }

  test('the root of nothing, which has no node', () => {
    const root = crypto.keccak256(Uint8Array.of(0x80))
    assert.deepEqual(StateProof.emptyRoot, root)
    absent(root, at(1), [])
    assert.throws(() => absent(root, at(1), [Uint8Array.of(0x80)]), { code: 'proof-trailing' })
    assert.throws(() => absent(value(1), at(1), []), { code: 'proof-too-short' })
  })
})

describe('absence is refused', () => {
  const rootOf = (nodes: readonly Rlp.Item[]) => {
    const proof = nodes.map(Rlp.encode)
    return { root: crypto.keccak256(proof[0] as Uint8Array), proof }
  }
  const leafPath = (nibbles: string) => Bytes.fromHex(nibbles)

  test('at a leaf or an extension that no trie of 64 nibbles has', () => {
    const short = rootOf([[leafPath('2011'), value(1)]])
    assert.throws(() => absent(short.root, at(0x20), short.proof), { code: 'proof-node' })
    const none = rootOf([[leafPath(`20${'11'.repeat(32)}`), new Uint8Array(0)]])
    assert.throws(() => absent(none.root, at(0x20), none.proof), { code: 'proof-node' })
    const long = rootOf([[leafPath(`00${'11'.repeat(32)}`), value(1)]])
    assert.throws(() => absent(long.root, at(0x20), long.proof), { code: 'proof-node' })
    const empty = rootOf([[leafPath('00'), value(1)]])
    assert.throws(() => absent(empty.root, at(0x20), empty.proof), { code: 'proof-node' })
    const nowhere = rootOf([[leafPath('0011'), new Uint8Array(0)]])
    assert.throws(() => absent(nowhere.root, at(0x20), nowhere.proof), { code: 'proof-node' })
    const padded = rootOf([[leafPath(`21${'11'.repeat(32)}`), value(1)]])
    assert.throws(() => absent(padded.root, at(0x20), padded.proof), { code: 'proof-node' })
  })

  test('at a branch with a value, with a wrong reference, or with 16 or 18 places', () => {
    const places = (count: number): Rlp.Item[] => new Array(count).fill(new Uint8Array(0))
    for (const [branch, code] of [
      [[...places(16), value(1)], 'proof-node'],
      [places(16), 'proof-node'],
      [places(18), 'proof-node'],
      [places(17).with(3, new Uint8Array(31)), 'proof-node'],
    ] as const) {
      const { root, proof } = rootOf([branch])
      assert.throws(() => absent(root, at(0x30), proof), { code })
    }
    const { root, proof } = rootOf([places(17).with(1, value(1)).with(2, value(2))])
    absent(root, at(0x30), proof)
  })
})

test('storage words: what is there reads as it is, what is not reads as zero, and no proof serves both', async () => {
  const pairs = fc.uniqueArray(fc.tuple(fc.bigInt(0n, 300n), fc.bigInt(1n, 2n ** 256n - 1n)), {
    selector: ([slot]) => slot,
    maxLength: 40,
  })
  await fc.assert(
    fc.asyncProperty(pairs, fc.bigInt(301n, 900n), async (words, other) => {
      const { root: storageRoot, prove } = await trieOf(
        words.map(([slot, word]) => [crypto.keccak256(Bytes.u256(slot)), Rlp.encode(Rlp.fromInteger(word))] as const),
      )
      const read = (slot: bigint, proof: StateProof.Proof) =>
        StateProof.verifyStorageOrZero(crypto, { storageRoot, slot: Bytes.u256(slot), proof })
      const proofOf = (slot: bigint) => prove(crypto.keccak256(Bytes.u256(slot)))
      const ofOther = await proofOf(other)
      assert.deepEqual(read(other, ofOther), new Uint8Array(32))
      for (const [slot, word] of words) {
        const proof = await proofOf(slot)
        assert.deepEqual(read(slot, proof), Bytes.u256(word))
        // A shared path ends in one place only: whatever a foreign proof gives, it is not a zero for a word that is there.
        try {
          assert.deepEqual(read(slot, ofOther), Bytes.u256(word))
        } catch (error) {
          assert.ok(error instanceof StateProof.ProofError)
        }
        try {
          assert.deepEqual(read(other, proof), new Uint8Array(32))
        } catch (error) {
          assert.ok(error instanceof StateProof.ProofError)
        }
      }
    }),
    { numRuns: runs },
  )
})

describe('vectors/absence.json: answers of a real chain', () => {
  type Case = {
    readonly name: string
    readonly header: string
    readonly address: string
    readonly account: readonly string[]
    readonly storage: readonly { readonly slot: string; readonly word: string; readonly proof: readonly string[] }[]
  }
  const path = join(import.meta.dirname, '..', '..', 'vectors', 'absence.json')
  const { cases } = JSON.parse(readFileSync(path, 'utf8')) as { readonly cases: readonly Case[] }
  const nodesOf = (proof: readonly string[]) => proof.map(Bytes.from0x)
  let zeros = 0
  for (const { name, header, address, account, storage } of cases)
    test(name, () => {
      const { stateRoot } = Header.parse(Bytes.from0x(header))
      const of = { address: Bytes.from0x(address), proof: nodesOf(account) }
      if (name === 'no account') {
        const state = { root: stateRoot, path: crypto.keccak256(of.address), proof: of.proof }
        StateProof.verifyAbsence(crypto, state)
        return assert.throws(() => StateProof.verifyAccount(crypto, { stateRoot, ...of }), { code: 'proof-absent' })
      }
      const { storageRoot } = StateProof.verifyAccount(crypto, { stateRoot, ...of })
      assert.throws(
        () => absent(stateRoot, crypto.keccak256(of.address), of.proof),
        { code: 'proof-present' },
        'the account is there',
      )
      const isEmpty = Bytes.equal(storageRoot, StateProof.emptyRoot)
      const words = storage.map(({ slot, word, proof }) => ({
        slot: Bytes.from0x(slot),
        word: Bytes.from0x(word),
        // This client writes the root of nothing as a node of one byte.
        proof: isEmpty ? [] : nodesOf(proof),
      }))
      const read = (slot: Uint8Array, proof: StateProof.Proof) =>
        StateProof.verifyStorageOrZero(crypto, { storageRoot, slot, proof })
      for (const { slot, word, proof } of words) {
        assert.deepEqual(read(slot, proof), word)
        const isZero = word.every((byte) => byte === 0)
        const strict = () => StateProof.verifyStorage(crypto, { storageRoot, slot, proof })
        if (isZero) assert.throws(strict, { code: 'proof-absent' })
        else assert.deepEqual(strict(), word)
        zeros += isZero ? 1 : 0
        for (const [position, node] of proof.entries())
          for (let byte = 0; byte < node.length; byte++)
            assert.throws(
              () => read(slot, proof.with(position, node.with(byte, (node[byte] as number) ^ 1))),
              StateProof.ProofError,
            )
        for (const other of words) {
          // Whatever proof is tried, a slot has the one word that it has, or no answer.
          try {
            assert.deepEqual(read(slot, other.proof), word)
          } catch (error) {
            assert.ok(error instanceof StateProof.ProofError)
          }
        }
      }
    })
  test('have zeros of every kind', () => assert.ok(zeros > 15))
})
