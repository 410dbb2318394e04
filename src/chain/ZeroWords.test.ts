/** Words that an endpoint says are zero: only the state tells. Who believed the endpoint would let evidence go on its word. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createState } from '../../tests/fakes/Trie.ts'
import { crypto } from '../crypto/noble.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Rpc from './Rpc.ts'

const contract = { address: new Uint8Array(20).fill(1), codeHash: new Uint8Array(32).fill(2) }
const [there, missing] = [new Uint8Array(32).fill(3), new Uint8Array(32).fill(4)]
const word = Bytes.u256(5n)

test('a word is zero where the state shows it, whatever the endpoint says', async () => {
  const state = await createState([{ ...contract, storage: new Map([[Bytes.toHex(there), word]]) }])
  const nodes = (proof: readonly Uint8Array[]) => proof.map(Bytes.to0x)
  const endpoint = (value: string, proofOf: (slot: Uint8Array) => Promise<readonly Uint8Array[]>): Rpc.Rpc => ({
    chainId: 1n,
    assertChain: async () => {},
    request: async (_, params = []) => ({
      accountProof: nodes(await state.account(contract.address)),
      storageProof: await Promise.all(
        (params[1] as string[]).map(async (slot) => ({ value, proof: nodes(await proofOf(Bytes.from0x(slot))) })),
      ),
    }),
  })
  const header = { stateRoot: state.root, number: 1n } as Rpc.FetchedHeader
  const read = (rpc: Rpc.Rpc, ...slots: Uint8Array[]) => Rpc.readWords(crypto, rpc, { contract, slots, header })
  const proofOf = (slot: Uint8Array) => state.storage(contract.address, slot)
  for (const value of ['0x0', '0x5'])
    assert.deepEqual(await read(endpoint(value, proofOf), there, missing), [word, undefined])
  for (const lie of [async () => [], () => proofOf(there)])
    await assert.rejects(read(endpoint('0x0', lie), missing), { code: 'rpc-proof' })
  for (const lie of [async () => [], () => proofOf(missing)])
    await assert.rejects(read(endpoint('0x0', lie), there), { code: 'rpc-proof' })
})
