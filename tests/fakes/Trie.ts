/** Trie.ts - a small world state for tests: real Merkle Patricia tries (by @ethereumjs/mpt), so that real proofs are checked. */
import { createMerkleProof, createMPT, type MerklePatriciaTrie } from '@ethereumjs/mpt'
import { crypto } from 'assay/crypto/node'
import * as Rlp from '../../src/chain/Rlp.ts'

export type Account = {
  readonly address: Uint8Array
  readonly codeHash: Uint8Array
  readonly storage: ReadonlyMap<string, Uint8Array>
}

/** The state root and a prover over accounts with storage (words by slot in hex, 32 bytes each). */
export type State = {
  readonly root: Uint8Array
  readonly account: (address: Uint8Array) => Promise<Uint8Array[]>
  readonly storage: (address: Uint8Array, slot: Uint8Array) => Promise<Uint8Array[]>
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

export async function createState(accounts: readonly Account[]): Promise<State> {
  const state = await createMPT()
  const storages = new Map<string, MerklePatriciaTrie>()
  // Strangers, so that paths have branches as on a real chain.
  for (let i = 0; i < 24; i++)
    await state.put(
      crypto.keccak256(new Uint8Array(20).fill(i + 1)),
      accountRlp(BigInt(i), crypto.keccak256(new Uint8Array([i])), crypto.keccak256(new Uint8Array())),
    )
  for (const { address, codeHash, storage } of accounts) {
    const trie = await createMPT()
    for (let i = 0; i < 24; i++)
      await trie.put(crypto.keccak256(new Uint8Array(32).fill(i + 200)), Rlp.encode(new Uint8Array([i + 1])))
    for (const [slot, word] of storage)
      await trie.put(crypto.keccak256(Uint8Array.from(Buffer.from(slot, 'hex'))), Rlp.encode(trimmed(word)))
    storages.set(hex(address), trie)
    await state.put(crypto.keccak256(address), accountRlp(1n, trie.root(), codeHash))
  }
  return {
    root: state.root(),
    account: (address) => createMerkleProof(state, crypto.keccak256(address)),
    storage: async (address, slot) =>
      createMerkleProof(storages.get(hex(address)) as MerklePatriciaTrie, crypto.keccak256(slot)),
  }
}

function accountRlp(nonce: bigint, storageRoot: Uint8Array, codeHash: Uint8Array): Uint8Array {
  return Rlp.encode([Rlp.fromInteger(nonce), Rlp.fromInteger(0n), storageRoot, codeHash])
}

function trimmed(word: Uint8Array): Uint8Array {
  const first = word.findIndex((byte) => byte !== 0)
  return word.slice(first === -1 ? word.length : first)
}

/** RLP of a header with the fields of today's Ethereum; everything that no test needs is filler. */
export function headerRlp(fields: {
  readonly stateRoot: Uint8Array
  readonly number: bigint
  readonly timestampSeconds: bigint
}): Uint8Array {
  const filler = (length: number, byte: number) => new Uint8Array(length).fill(byte)
  return Rlp.encode([
    filler(32, 1),
    filler(32, 2),
    filler(20, 3),
    fields.stateRoot,
    filler(32, 4),
    filler(32, 5),
    filler(256, 0),
    Rlp.fromInteger(0n),
    Rlp.fromInteger(fields.number),
    Rlp.fromInteger(30_000_000n),
    Rlp.fromInteger(21_000n),
    Rlp.fromInteger(fields.timestampSeconds),
    new Uint8Array(),
    filler(32, 6),
    filler(8, 0),
    Rlp.fromInteger(7n),
  ])
}
