// Recorded answers of a real client; lies and stalls are tested against a live chain where the daemon's code is.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openVectors } from '../../tests/vectors.ts'
import { crypto } from '../crypto/noble.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Rpc from './Rpc.ts'

/** An endpoint that gives one answer per method. */
function recorded(answers: Readonly<Record<string, unknown>>): Rpc.Rpc {
  return { chainId: 1n, assertChain: async () => {}, request: async (method) => answers[method] }
}

test('a recorded block becomes a header with its own hash, and recorded proofs hold under it', async (t) => {
  const suite = openVectors('eth-getproof', t)
  if (suite === undefined) return
  const answerOf = (path: string) => JSON.parse(/^<< (.*)$/m.exec(suite.text(path))?.[1] as string).result
  const block = answerOf('tests/eth_getBlockByNumber/get-finalized.io')
  const proof = answerOf('tests/eth_getProof/get-account-proof-with-storage.io')
  const rpc = recorded({ eth_getBlockByNumber: block, eth_getProof: proof })
  const header = await Rpc.finalized(crypto, rpc)
  assert.equal(Bytes.to0x(header.hash), block.hash)
  assert.equal(header.number, BigInt(block.number))
  assert.deepEqual((await Rpc.fetchHeader(crypto, rpc, header.number)).rlp, header.rlp)
  await assert.rejects(Rpc.fetchHeader(crypto, rpc, header.number + 1n), { code: 'rpc-header-number' })

  const contract = { address: Bytes.from0x(proof.address), codeHash: Bytes.from0x(proof.codeHash) }
  const slots = proof.storageProof.map((one: { key: string }) => Bytes.u256(BigInt(one.key)))
  const words = await Rpc.readWords(crypto, rpc, { contract, slots, header })
  assert.deepEqual(
    words,
    proof.storageProof.map((one: { value: string }) => Bytes.u256(BigInt(one.value))),
  )

  for (const [change, code] of [
    [{ hash: block.parentHash }, 'rpc-header-hash'],
    [{ gasUsed: '0x1' }, 'rpc-header-hash'],
    [{ requestsHash: undefined }, 'rpc-header-hash'],
    [{ stateRoot: '0x00' }, 'rpc-malformed'],
    [{ logsBloom: 'bloom' }, 'rpc-malformed'],
    [{ number: 54 }, 'rpc-malformed'],
  ] as const) {
    await assert.rejects(Rpc.newest(crypto, recorded({ eth_getBlockByNumber: { ...block, ...change } })), { code })
  }
  await assert.rejects(Rpc.newest(crypto, recorded({ eth_getBlockByNumber: null })), { what: 'block' })
  await assert.rejects(Rpc.newest(crypto, recorded({ eth_getBlockByNumber: [] })), { code: 'rpc-malformed' })
})
