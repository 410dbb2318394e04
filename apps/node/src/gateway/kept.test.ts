/** kept.test.ts - the gateway on what a node no longer holds, and on its heartbeat. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crypto } from 'assay/crypto/node'
import { Bytes, Heartbeat, Wire } from 'assay/protocol'
import * as Gateway from './Gateway.ts'
import * as Scene from './scene.t.ts'

test('claims whose opening was thrown away are gone, also for who comes with the token of nothing; the head stays', async (t) => {
  const scene = await Scene.createScene(t)
  const body = { model: 'toy', messages: [{ role: 'user', content: 'hello' }], max_tokens: 2 }
  const answer = await Scene.post(scene, '/v1/chat/completions', body)
  const { hash, token } = await Scene.open(Scene.receiptOf(answer.headers))
  const get = (path: string, bearer: string) =>
    scene.app.inject({ url: path, headers: { host: Scene.host, authorization: `Bearer ${bearer}` } })
  assert.equal((await get(`/v1/receipts/${hash}/claims`, token)).statusCode, 200)
  await scene.store.forgetOpenings(scene.store.opened(0, 9).map(({ row }) => row))
  const ofNothing = Bytes.toHex(crypto.sha256(Uint8Array.of(4)))
  for (const bearer of [token, ofNothing, Bytes.toHex(Wire.readToken(crypto, new Uint8Array(32)))]) {
    const gone = await get(`/v1/receipts/${hash}/claims`, bearer)
    assert.deepEqual([gone.statusCode, gone.json().error.code], [410, 'opening_gone'])
  }
  assert.equal((await get(`/v1/receipts/${hash}`, token)).statusCode, 200)
})

test('a heartbeat is served, and named in the node’s description, where there is one', async (t) => {
  const scene = await Scene.createScene(t)
  const ask = (served: typeof scene.served, url: string) =>
    Gateway.create(served, { port: Scene.port }).app.inject({ url, headers: { host: Scene.host } })
  const { heart: _, ...without } = scene.served
  assert.equal((await ask(without, '/v1/heartbeat')).statusCode, 404)
  assert.equal((await ask(without, '/.well-known/assay.json')).json().heartbeat, undefined)
  const signed = { words: new Uint8Array(Heartbeat.byteLength).fill(1), signature: new Uint8Array(64).fill(2) }
  const heart = { publicKey: Scene.nodeSigner.publicKey, beat: async () => signed }
  const answer = await ask({ ...without, heart }, '/v1/heartbeat')
  assert.deepEqual([answer.statusCode, answer.headers['cache-control']], [200, 'no-store'])
  assert.deepEqual(Bytes.fromBase64url(answer.json().words), signed.words)
  assert.deepEqual(Bytes.fromBase64url(answer.json().signature), signed.signature)
  assert.equal((await ask({ ...without, heart }, '/.well-known/assay.json')).json().heartbeat, '/v1/heartbeat')
})
