/** Proofs through several endpoints: one that gives none, or one that does not hold, is passed over; what is false never comes through. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createState, type State } from '../../tests/fakes/Trie.ts'
import { crypto } from '../crypto/noble.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Header from './Header.ts'
import * as Quorum from './Quorum.ts'
import * as Rlp from './Rlp.ts'
import * as Rpc from './Rpc.ts'

const contract = { address: new Uint8Array(20).fill(1), codeHash: new Uint8Array(32).fill(2) }
const [there, missing] = [new Uint8Array(32).fill(3), new Uint8Array(32).fill(4)]
const of = (value: bigint) =>
  createState([{ ...contract, storage: new Map([[Bytes.toHex(there), Bytes.u256(value)]]) }])
const zeros = (length: number) => Bytes.to0x(new Uint8Array(length))

function rawBlock(stateRoot: Uint8Array) {
  const fields = {
    ...{ parentHash: zeros(32), sha3Uncles: zeros(32), miner: zeros(20), stateRoot: Bytes.to0x(stateRoot) },
    ...{
      transactionsRoot: zeros(32),
      receiptsRoot: zeros(32),
      logsBloom: zeros(256),
      difficulty: '0x0',
      number: '0x5',
    },
    ...{ gasLimit: '0x1', gasUsed: '0x0', timestamp: '0x5', extraData: '0x', mixHash: zeros(32), nonce: zeros(8) },
  }
  const integers = ['difficulty', 'number', 'gasLimit', 'gasUsed', 'timestamp']
  const items = Object.entries(fields).map(([name, value]) =>
    integers.includes(name) ? Rlp.fromInteger(BigInt(value)) : Bytes.from0x(value),
  )
  return { ...fields, hash: Bytes.to0x(Header.hash(crypto, Rlp.encode(items))) }
}

type Proof = { accountProof: string[]; storageProof: { value: string; proof: string[] }[] }

/** What an endpoint does to a proof that holds; `undefined` where it is honest. */
function endpoint(truth: State, bend?: (proof: Proof) => unknown): Rpc.Rpc & { asked: number } {
  const rpc = {
    ...{ chainId: 1n, asked: 0, assertChain: async () => {} },
    request: async (method: string, params: readonly unknown[] = []) => {
      if (method === 'eth_getBlockByNumber') return rawBlock(truth.root)
      assert.equal(method, 'eth_getProof')
      rpc.asked++
      const address = Bytes.from0x(params[0] as string)
      const proof: Proof = {
        accountProof: (await truth.account(address)).map(Bytes.to0x),
        storageProof: await Promise.all(
          (params[1] as string[]).map(async (slot) => ({
            value: '0x1',
            proof: (await truth.storage(contract.address, Bytes.from0x(slot))).map(Bytes.to0x),
          })),
        ),
      }
      return bend === undefined ? proof : bend(proof)
    },
  }
  return rpc
}

test('a proof that is missing, bent or of another state is passed over; an error only when all fail', async () => {
  const [truth, other] = [await of(5n), await of(6n)]
  const bends: readonly ((proof: Proof) => unknown)[] = [
    () => null,
    () => ({}),
    () => {
      throw new Rpc.RequestError('rpc-refused', 'eth_getProof', 'pruned')
    },
    (proof) => ({ ...proof, accountProof: proof.accountProof.slice(1) }),
    (proof) => ({ ...proof, storageProof: proof.storageProof.slice(1) }),
    (proof) => ({ ...proof, storageProof: proof.storageProof.map(() => ({ value: '0x0', proof: [] })) }),
  ]
  const read = async (...endpoints: readonly Rpc.Rpc[]) => {
    const rpc = Quorum.create(crypto, endpoints, Quorum.majority(endpoints.length))
    const header = await Rpc.fetchHeader(crypto, rpc, 5n)
    return Rpc.readWords(crypto, rpc, { contract, slots: [there, missing], header })
  }
  for (const [i, bend] of bends.entries()) {
    const [bad, good] = [endpoint(truth, bend), endpoint(truth)]
    assert.deepEqual(await read(bad, bad, good), [Bytes.u256(5n), undefined], String(i))
    assert.deepEqual([bad.asked, good.asked], [2, 1])
    await assert.rejects(read(bad, bad), (error: Error) => /^Rpc\./.test(error.name))
  }
  // Agreed header, proof of another state.
  const strange = endpoint(other)
  const mixed = {
    ...endpoint(truth),
    request: async (method: string, params?: readonly unknown[]) =>
      (method === 'eth_getProof' ? strange : endpoint(truth)).request(method, params),
  }
  assert.deepEqual(await read(mixed, endpoint(truth)), [Bytes.u256(5n), undefined])
})

test('an account that is not there is a proof as any other', async () => {
  const truth = await of(5n)
  const one = endpoint(truth)
  const rpc = Quorum.create(crypto, [one, endpoint(truth)], 2)
  const stranger = new Uint8Array(20).fill(77)
  const answer = (await rpc.request('eth_getProof', [Bytes.to0x(stranger), [], '0x5'])) as Proof
  assert.ok(answer.accountProof.length > 0)
  assert.equal(one.asked, 1)
})
