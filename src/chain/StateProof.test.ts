import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createMerkleProof, createMPT, type MerklePatriciaTrie } from '@ethereumjs/mpt'
import fc from 'fast-check'
import { openVectors } from '../../tests/vectors.ts'
import { crypto } from '../crypto/noble.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Rlp from './Rlp.ts'
import * as StateProof from './StateProof.ts'

const runs = Number(process.env.ASSAY_FUZZ_RUNS ?? 15)

async function storageTrie(words: ReadonlyMap<bigint, bigint>): Promise<MerklePatriciaTrie> {
  const trie = await createMPT({ useKeyHashing: true })
  for (const [slot, word] of words) await trie.put(Bytes.u256(slot), Rlp.encode(Rlp.fromInteger(word)))
  return trie
}

/** A trie by raw paths of 32 bytes, so that a test can choose what is embedded. */
async function pathTrie(entries: readonly (readonly [path: Uint8Array, value: Uint8Array])[]) {
  const trie = await createMPT()
  for (const [path, value] of entries) await trie.put(path, value)
  return { root: trie.root(), prove: (path: Uint8Array) => createMerkleProof(trie, path) }
}

describe('StateProof against a second implementation', () => {
  test('every stored word is read, every other slot is refused', async () => {
    const words = fc.uniqueArray(fc.tuple(fc.bigInt(0n, 500n), fc.bigInt(1n, 2n ** 256n - 1n)), {
      selector: ([slot]) => slot,
      minLength: 1,
      maxLength: 60,
    })
    await fc.assert(
      fc.asyncProperty(words, fc.bigInt(501n, 1000n), async (pairs, absent) => {
        const trie = await storageTrie(new Map(pairs))
        const storageRoot = trie.root()
        for (const [slot, word] of pairs) {
          const proof = await createMerkleProof(trie, Bytes.u256(slot))
          const got = StateProof.verifyStorage(crypto, { storageRoot, slot: Bytes.u256(slot), proof })
          assert.deepEqual(got, Bytes.u256(word))
        }
        const proof = await createMerkleProof(trie, Bytes.u256(absent))
        assert.throws(() => StateProof.verifyStorage(crypto, { storageRoot, slot: Bytes.u256(absent), proof }), {
          code: 'proof-absent',
        })
      }),
      { numRuns: runs },
    )
  })

  test('embedded nodes are read in place and not as nodes of the proof', async () => {
    // Paths that differ only in their last nibbles give leaves and a branch of less than 32 bytes.
    const base = new Uint8Array(32).fill(0x11)
    const at = (last: number) => Uint8Array.from([...base.subarray(0, 31), last])
    const entries = [0x10, 0x11, 0x12, 0x20].map((last) => [at(last), Uint8Array.of(last)] as const)
    const { root, prove } = await pathTrie(entries)
    for (const [path, value] of entries) {
      const listed = await prove(path)
      const proof = listed.filter((node, position) => position === 0 || node.length >= 32)
      assert.deepEqual(StateProof.verifyPath(crypto, { root, path, proof }), value)
    }
    assert.throws(() => StateProof.verifyPath(crypto, { root, path: at(0x21), proof: [] }), { code: 'proof-too-short' })
    const proof = (await prove(at(0x13))).filter((node, position) => position === 0 || node.length >= 32)
    assert.throws(() => StateProof.verifyPath(crypto, { root, path: at(0x13), proof }), { code: 'proof-absent' })
  })
})

describe('nodes that are known', () => {
  test('are not hashed again, and nothing else passes for them', async () => {
    const trie = await storageTrie(new Map(Array.from({ length: 40 }, (_, i) => [BigInt(i), BigInt(i) + 7n])))
    const storageRoot = trie.root()
    const known: StateProof.KnownNodes = []
    let hashes = 0
    const keccak256 = (bytes: Uint8Array): Uint8Array => {
      hashes++
      return crypto.keccak256(bytes)
    }
    const counting = { ...crypto, keccak256 }
    const read = (slot: Uint8Array, proof: StateProof.Proof) =>
      StateProof.verifyStorage(counting, { storageRoot, slot, proof }, known)
    const slots = [5n, 5n, 6n].map((slot) => Bytes.u256(slot))
    const proofs = await Promise.all(slots.map((slot) => createMerkleProof(trie, slot)))
    const counts = slots.map((slot, i) => {
      hashes = 0
      assert.deepEqual(read(slot, proofs[i] as Uint8Array[]), Bytes.u256(7n + Bytes.toBigInt(slot)))
      return hashes
    })
    const [first, again, other] = proofs.map((proof) => proof.length)
    // One more for the slot; the same proof again needs no other, and all proofs share the root node.
    assert.deepEqual(counts.slice(0, 2), [1 + (first as number), 1])
    assert.ok(again === first && (counts[2] as number) <= (other as number))
    for (const [position, node] of (proofs[0] as Uint8Array[]).entries()) {
      for (let at = 0; at < node.length; at++) {
        const changed = (proofs[0] as Uint8Array[]).slice()
        changed[position] = node.with(at, (node[at] as number) ^ 1)
        assert.throws(() => read(slots[0] as Uint8Array, changed), { code: 'proof-hash' })
      }
    }
  })
})

describe('StateProof refuses', () => {
  test('any flipped byte, any missing, added or swapped node', async () => {
    const trie = await storageTrie(new Map(Array.from({ length: 40 }, (_, i) => [BigInt(i), BigInt(i) + 7n])))
    const storageRoot = trie.root()
    const slot = Bytes.u256(5n)
    const good = await createMerkleProof(trie, slot)
    const isRefused = (proof: readonly Uint8Array[], what: string) =>
      assert.throws(() => StateProof.verifyStorage(crypto, { storageRoot, slot, proof }), StateProof.ProofError, what)
    assert.deepEqual(StateProof.verifyStorage(crypto, { storageRoot, slot, proof: good }), Bytes.u256(12n))
    for (const [position, node] of good.entries()) {
      for (let at = 0; at < node.length; at++) {
        const flipped = Uint8Array.from(node)
        flipped[at] = (flipped[at] as number) ^ 1
        isRefused(good.with(position, flipped), `flip ${position}:${at}`)
      }
      isRefused(good.toSpliced(position, 1), `without ${position}`)
      isRefused(good.toSpliced(position, 0, node), `twice ${position}`)
      isRefused([...good, node], `trailing ${position}`)
    }
    isRefused([], 'empty')
    isRefused(good.toReversed(), 'reversed')
    isRefused(
      Array.from({ length: 66 }, () => good[0] as Uint8Array),
      'too long',
    )
    const other = Bytes.u256(6n)
    assert.throws(
      () => StateProof.verifyStorage(crypto, { storageRoot, slot: other, proof: good }),
      StateProof.ProofError,
    )
  })

  const path = crypto.keccak256(Bytes.u256(0n))
  const leaf = (prefix: Uint8Array, value: Uint8Array) => Rlp.encode([prefix, value])
  const even = (flag: number, nibbleBytes: Uint8Array) => Bytes.concat(Uint8Array.of(flag), nibbleBytes)
  const readRoot = (node: Uint8Array, rest: readonly Uint8Array[] = []) =>
    StateProof.verifyPath(crypto, { root: crypto.keccak256(node), path, proof: [node, ...rest] })

  test('a leaf in any but its one form', () => {
    assert.deepEqual(readRoot(leaf(even(0x20, path), Uint8Array.of(1))), Uint8Array.of(1))
    for (const flag of [0x21, 0x2f, 0x30, 0x40, 0x60, 0xf0]) {
      assert.throws(() => readRoot(leaf(even(flag, path), Uint8Array.of(1))), StateProof.ProofError, flag.toString(16))
    }
    assert.throws(() => readRoot(Rlp.encode([even(0x20, path), [Uint8Array.of(1)]])), { code: 'proof-node' })
    assert.throws(() => readRoot(Rlp.encode([even(0x20, path)])), { code: 'proof-node' })
    assert.throws(() => readRoot(leaf(new Uint8Array(0), Uint8Array.of(1))), { code: 'proof-node' })
    assert.throws(() => readRoot(Bytes.concat(leaf(even(0x20, path), Uint8Array.of(1)), Uint8Array.of(0))), {
      code: 'proof-node',
    })
  })

  test('an extension that is empty, leads nowhere, or leads to a leaf', () => {
    const rest = leaf(even(0x20, path.subarray(1)), Uint8Array.of(1))
    const extension = (prefix: Uint8Array, child: Rlp.Item) => Rlp.encode([prefix, child])
    const first = path.subarray(0, 1)
    assert.throws(() => readRoot(extension(even(0x00, first), crypto.keccak256(rest)), [rest]), { code: 'proof-node' })
    assert.throws(() => readRoot(extension(even(0x00, new Uint8Array(0)), crypto.keccak256(rest)), [rest]), {
      code: 'proof-node',
    })
    assert.throws(() => readRoot(extension(even(0x00, first), new Uint8Array(0))), { code: 'proof-node' })
    assert.throws(() => readRoot(extension(even(0x00, first), new Uint8Array(31))), { code: 'proof-node' })
  })

  test('a branch with a value, a small node behind a hash, a large node embedded', () => {
    const items: Rlp.Item[] = Array.from({ length: 17 }, () => new Uint8Array(0))
    const nibble = (path[0] as number) >> 4
    const childPath = Uint8Array.from(path)
    childPath[0] = 0x30 | ((path[0] as number) & 15)
    const child = leaf(childPath, Uint8Array.of(1))
    const good = items.with(nibble, crypto.keccak256(child))
    assert.deepEqual(readRoot(Rlp.encode(good), [child]), Uint8Array.of(1))
    assert.throws(() => readRoot(Rlp.encode(good.with(16, Uint8Array.of(1))), [child]), { code: 'proof-node' })
    assert.throws(() => readRoot(Rlp.encode(items.with(nibble, Rlp.decode(child)))), { code: 'proof-node' })
    const small = Rlp.encode([Uint8Array.of(0x20), Uint8Array.of(1)])
    assert.throws(() => readRoot(Rlp.encode(items.with(nibble, crypto.keccak256(small))), [small]), {
      code: 'proof-node',
    })
  })

  for (const [what, value] of [
    ['a leading zero', Rlp.encode(Bytes.u256(1n))],
    ['a zero', Uint8Array.of(0x80)],
    ['33 bytes', Rlp.encode(new Uint8Array(33).fill(1))],
    ['a list', Rlp.encode([])],
    ['no RLP', Uint8Array.of(0x81, 0x01)],
  ] as const) {
    test(`a storage value with ${what}`, () => {
      const node = leaf(even(0x20, path), value)
      const subject = { storageRoot: crypto.keccak256(node), slot: Bytes.u256(0n), proof: [node] }
      assert.throws(() => StateProof.verifyStorage(crypto, subject), { code: 'proof-value' })
    })
  }
})

test('StateProof reads recorded eth_getProof answers', (t) => {
  const suite = openVectors('eth-getproof', t)
  if (suite === undefined) return
  let words = 0
  for (const path of suite.list('tests/eth_getProof/')) {
    const line = suite
      .text(path)
      .split('\n')
      .find((one) => one.startsWith('<<'))
    const { result } = JSON.parse((line as string).slice(3))
    const proof: Uint8Array[] = result.accountProof.map(Bytes.from0x)
    const account = StateProof.verifyAccount(crypto, {
      stateRoot: crypto.keccak256(proof[0] as Uint8Array),
      address: Bytes.from0x(result.address),
      proof,
    })
    assert.deepEqual(account, {
      nonce: BigInt(result.nonce),
      balance: BigInt(result.balance),
      storageRoot: Bytes.from0x(result.storageHash),
      codeHash: Bytes.from0x(result.codeHash),
    })
    for (const { key, value, proof: nodes } of result.storageProof) {
      const word = StateProof.verifyStorage(crypto, {
        storageRoot: account.storageRoot,
        slot: Bytes.u256(BigInt(key)),
        proof: nodes.map(Bytes.from0x),
      })
      assert.equal(Bytes.toBigInt(word), BigInt(value))
      words++
    }
  }
  assert.ok(words > 0)
})
