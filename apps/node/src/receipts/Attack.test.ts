/** Attack.test.ts - what could make an honest node sign a sequence with a hole, or lose a call that it answered. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, Claims, Head, Slot } from 'assay/protocol'
import * as Issuer from './Issuer.ts'
import * as SqliteReceiptStore from './SqliteReceiptStore.ts'

const identity = {
  ...{ chainId: 31337n, registry: new Uint8Array(20).fill(1), nodeId: new Uint8Array(32).fill(2), keyEpoch: 0 },
}

test('a call that cannot be placed fails alone and leaves no hole in the sequence', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'assay-issuer-attack-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const heads: Uint8Array[] = []
  const log: Issuer.LogPort = {
    append: async ({ head }) => {
      heads.push(head)
      return { index: BigInt(heads.length - 1), pledge: { words: new Uint8Array(224), signature: new Uint8Array(64) } }
    },
    highest: () => undefined,
  }
  const store = SqliteReceiptStore.open({ folder })
  const signer = createP256Signer(new Uint8Array(32).fill(1))
  const issuer = await Issuer.create({ crypto, identity, signer, store, logs: [{ name: 'log', port: log }] })
  const callOf = async (nonce = new Uint8Array(16), slot = Slot.indexOf('model')): Promise<Issuer.Call> => ({
    intent: await store.openIntent('/v1/chat/completions', 1, undefined),
    values: new Map([[slot, Claims.encode('model', new Uint8Array(32))]]),
    ...{ modeBits: 4, flags: 0, secret: new Uint8Array(32).fill(9), nonce, orderHash: undefined },
  })
  const calls = [
    await callOf(),
    await callOf(new Uint8Array(15)),
    await callOf(),
    await callOf(undefined, 16),
    await callOf(),
  ]
  const settled = await Promise.allSettled(calls.map(issuer.issue))
  assert.deepEqual(
    settled.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'],
  )
  await issuer.issue(await callOf())
  const sorted = heads.map((head) => ({ head, ...Head.parse(head) })).sort((a, b) => (a.sequence < b.sequence ? -1 : 1))
  assert.deepEqual(
    sorted.map(({ sequence }) => sequence),
    [0n, 1n, 2n, 3n],
  )
  for (const [i, { previous }] of sorted.entries()) {
    const before = sorted[i - 1]
    assert.ok(Bytes.equal(previous, before === undefined ? new Uint8Array(32) : Head.hash(crypto, before.head)))
  }
  await issuer.close()
  await store.close()
})
