/** Heartbeats.test.ts - each reason for which a heartbeat is not taken, alone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createP256Signer, crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Heartbeat from '../protocol/Heartbeat.ts'
import type { ChainAccess } from './ChainAccess.ts'
import * as Heartbeats from './Heartbeats.ts'

const filled = (length: number, value: number) => new Uint8Array(length).fill(value)
const signer = createP256Signer(filled(32, 4))
const hashOf = (number: bigint) => crypto.sha256(Bytes.u64(number))
const registry = filled(20, 1)
const nodeId = filled(32, 2)
const info = {
  ...{ chainId: 7n, nodeRegistry: registry, anchorLog: filled(20, 3), nodeId, keyEpoch: 1 },
  ...{ publicKey: signer.publicKey, logs: [], models: [] },
}
const base: Heartbeat.Heartbeat = {
  ...{ chainId: 7n, registry, nodeId, keyEpoch: 1, counter: 50n, blockNumber: 40n, blockHash: hashOf(40n) },
}

/** A node whose next heartbeat a test sets, and a chain at block 42. */
function scene() {
  const node = { beat: base, signer, status: 200, text: undefined as string | undefined }
  const memory: Heartbeats.Memory = new Map()
  const fetch = async () => {
    const words = Heartbeat.words(node.beat)
    const signature = await Cose.sign(crypto, node.signer, 'heartbeat', Heartbeat.payload(crypto, words))
    const body = { words: Bytes.toBase64url(words), signature: Bytes.toBase64url(signature) }
    return new Response(node.text ?? JSON.stringify(body), { status: node.status })
  }
  const chain = {
    view: async (numbers: readonly bigint[]) => ({
      chainId: 7n,
      newest: 42n,
      blocks: [42n, ...numbers].filter((number) => number <= 42n).map((number) => ({ number, hash: hashOf(number) })),
    }),
  } as unknown as ChainAccess
  const ask = (change: Partial<Heartbeat.Heartbeat> = {}) => {
    node.beat = { ...base, ...change }
    return Heartbeats.ask({ crypto, fetch, baseUrl: 'http://127.0.0.1:1', info, chain, memory })
  }
  return { node, ask }
}

test('facts: the age by the reader’s own view, and the counter', async () => {
  const { ask } = scene()
  assert.deepEqual(await ask(), { keyEpoch: 1, counter: 50n, blockNumber: 40n, newestBlock: 42n, ageBlocks: 2n })
  const ahead = await ask({ counter: 51n, blockNumber: 44n, blockHash: hashOf(44n) })
  assert.equal(ahead.ageBlocks, 0n)
})

test('the same again is the same; a lower counter, or the same for another block, is refused', async () => {
  const { ask } = scene()
  await ask()
  await ask()
  await assert.rejects(ask({ counter: 49n }), { code: 'heartbeat-went-back' })
  await assert.rejects(ask({ blockNumber: 41n, blockHash: hashOf(41n) }), { code: 'heartbeat-contradiction' })
  await ask({ counter: 51n, blockNumber: 41n, blockHash: hashOf(41n) })
})

test('another chain, registry, node or key epoch is refused', async () => {
  const changes = [{ chainId: 8n }, { registry: filled(20, 9) }, { nodeId: filled(32, 9) }, { keyEpoch: 2 }]
  for (const change of changes) await assert.rejects(scene().ask(change), { code: 'heartbeat-other-node' })
})

test('a block that the reader’s chain does not have is refused: another hash, or too far ahead', async () => {
  await assert.rejects(scene().ask({ blockHash: filled(32, 9) }), { code: 'heartbeat-other-block' })
  await assert.rejects(scene().ask({ blockNumber: 45n, blockHash: hashOf(45n) }), { code: 'heartbeat-other-block' })
})

test('another signer is refused, and so is what is no heartbeat', async () => {
  const { node, ask } = scene()
  node.signer = createP256Signer(filled(32, 5))
  await assert.rejects(ask(), { code: 'signature-mismatch' })
  node.text = '{"words":"*"}'
  await assert.rejects(ask(), { code: 'heartbeat-malformed' })
  node.status = 503
  await assert.rejects(ask(), { code: 'heartbeat-missing' })
})
