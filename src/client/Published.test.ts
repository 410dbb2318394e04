/** A log that answers nothing about a receipt: its published files, from wherever they are served, show the place all the same. */
import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import * as World from '../../tests/fakes/World.ts'
import * as Bundle from '../protocol/Bundle.ts'
import * as Merkle from '../protocol/Merkle.ts'
import * as Pledge from '../protocol/Pledge.ts'
import { recorded } from '../verify/policies.ts'
import type { Client } from './Client.ts'
import * as Published from './Published.ts'
import { call, gateway, start } from './watching.t.ts'

const { crypto } = World
const ask = (fetch: typeof globalThis.fetch = globalThis.fetch) => ({ crypto, fetch, baseUrl: gateway.url })

describe('a log that gives no proof of a pledged leaf', () => {
  let client: Client
  let bytes: Uint8Array
  beforeEach(async () => {
    ;({ client } = start())
    gateway.hidden.add('proof')
    bytes = (await call(client)).bundle()
  })

  const raised = async (rounds: number) => {
    for (let round = 0; round < rounds; round++) bytes = (await client.raise(bytes)).bundle
    return Bundle.parse(bytes)
  }

  test('holds no receipt back from being final', async () => {
    const { chain, checkpoint } = await raised(3)
    assert.ok(checkpoint && chain?.anchorLog?.step0)
    assert.equal((await client.verdict(bytes, recorded)).outcome, 'MEETS')
    assert.ok((await client.raise(bytes)).isFinal)
  })

  test('does, where its files are not given either', async () => {
    gateway.hidden.add('tiles')
    assert.equal((await raised(3)).checkpoint, undefined)
    assert.equal((await client.verdict(bytes, recorded)).outcome, 'INSUFFICIENT')
  })

  test('is read only where its signature, the place and every hash hold', async () => {
    const bundle = Bundle.parse(bytes)
    assert.ok(bundle.pledge && bundle.keys.log)
    const pledge = Pledge.parse(bundle.pledge.words)
    const { log } = bundle.keys
    const found = await Published.find(ask(), pledge, log)
    assert.ok(found)
    const { size, root, proof } = found.checkpoint
    Merkle.verifyInclusion(crypto, { leafHash: found.leafHash, index: pledge.leafIndex, size, proof, root })
    const other = World.digestOf('other')
    for (const [what, changed, key] of [
      ['another key', pledge, World.digestOf('key')],
      ['another chain', { ...pledge, chainId: 1n }, log],
      ['another contract', { ...pledge, anchorLog: other.slice(0, 20) }, log],
      ['another log', { ...pledge, logId: other }, log],
      ['a place that is not covered', { ...pledge, leafIndex: size }, log],
    ] as const)
      assert.equal(await Published.find(ask(), changed, key), undefined, what)
    for (const path of ['checkpoint', 'tile/0/']) {
      const spoiled: typeof globalThis.fetch = async (url, init) => {
        const response = await fetch(url, init)
        if (!String(url).includes(path)) return response
        const bytes = new Uint8Array(await response.arrayBuffer())
        bytes[bytes.length - 8] = (bytes[bytes.length - 8] as number) ^ 1
        return new Response(bytes, response)
      }
      assert.equal(await Published.find(ask(spoiled), pledge, log), undefined, path)
    }
  })
})
