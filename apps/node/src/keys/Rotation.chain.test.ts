/**
 * Rotation.chain.test.ts - a node's key is replaced while heads of it are in no log yet: on a real chain, with a real store and a
 * log that is down and comes back.
 */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { crypto } from 'assay/crypto/node'
import { Bytes, Claims, Cose, Head, Slot } from 'assay/protocol'
import * as Issuer from '../receipts/Issuer.ts'
import type { ReceiptStore, Tip } from '../receipts/ReceiptStore.ts'
import * as SqliteReceiptStore from '../receipts/SqliteReceiptStore.ts'
import { findKey, registerKey, registerNode, roles } from '../settle/register.ts'
import { openScene, until } from '../settle/scene.ts'
import * as KeyFile from './KeyFile.ts'
import * as Rotation from './Rotation.ts'

let scene: Awaited<ReturnType<typeof openScene>>
before(async () => {
  scene = await openScene()
})
after(() => scene.close())

/** A log in memory that takes good heads and never two in one place of a key. */
function createLog() {
  const taken = new Map<string, Uint8Array>()
  const tips = new Map<string, Tip>()
  const log = {
    taken,
    isDown: false,
    async append(request: { head: Uint8Array; signature: Uint8Array; publicKey: Uint8Array }) {
      if (log.isDown) throw Object.assign(new Error('down'), { code: 'down' })
      const { head, signature, publicKey } = request
      await Cose.verify(crypto, { tag: 'receipt', payload: Head.payload(crypto, head), signature, publicKey })
      const { sequence } = Head.parse(head)
      const keyId = Bytes.toHex(Cose.keyId(crypto, publicKey))
      const place = `${keyId}/${sequence}`
      assert.deepEqual(taken.get(place) ?? head, head, 'one head for a place')
      taken.set(place, head)
      if ((tips.get(keyId)?.sequence ?? -1n) < sequence)
        tips.set(keyId, { sequence, receiptHash: Head.hash(crypto, head) })
      const pledge = { words: new Uint8Array(224), signature: new Uint8Array(64) }
      return { index: BigInt(taken.size - 1), pledge }
    },
    highest: (keyId: Uint8Array) => tips.get(Bytes.toHex(keyId)),
  }
  return log
}

test('the old key’s heads come into the log, then it ends; no place is given twice and no receipt is lost', async () => {
  const registrar = { crypto, rpc: scene.rpc, sender: scene.sender, book: scene.book }
  const folder = join(scene.home, 'node')
  const nodeId = await registerNode(registrar, { endpoint: '' })
  const log = createLog()
  const logs = [{ name: 'log', port: log }]
  const identity = { chainId: scene.book.chainId, registry: scene.book.nodeRegistry.address, nodeId }

  /** What a daemon does between start and stop. */
  async function run(work: (issuer: Issuer.Issuer, store: ReceiptStore) => Promise<void>) {
    const store = SqliteReceiptStore.open({ folder })
    const { signer } = KeyFile.openKey(folder, 'node')
    const { keyEpoch } = await registerKey(registrar, { nodeId, role: roles.node, signer })
    const issuer = await Issuer.create({
      ...{ crypto, identity: { ...identity, keyEpoch }, signer, store, logs, pledgeTimeoutMs: 10_000 },
    })
    try {
      await work(issuer, store)
    } finally {
      await issuer.close()
      await store.close()
    }
  }
  async function call(issuer: Issuer.Issuer, store: ReceiptStore): Promise<Issuer.Issued | undefined> {
    const intent = await store.openIntent('/v1/chat/completions', 1, undefined)
    const values = new Map([[Slot.indexOf('model'), Claims.encode('model', new Uint8Array(32).fill(intent))]])
    const secret = new Uint8Array(32).fill(intent)
    const nonce = new Uint8Array(16)
    const made = { intent, modeBits: 4, flags: 0, values, secret, nonce, orderHash: undefined }
    return issuer.issue(made).catch((error) => {
      assert.equal(error.code, 'receipt-pending')
      return undefined
    })
  }

  const old = KeyFile.openKey(folder, 'node')
  const hashes: Uint8Array[] = []
  await run(async (issuer, store) => {
    assert.ok(await call(issuer, store))
    log.isDown = true
    await Promise.all([1, 2, 3].map(() => call(issuer, store)))
    hashes.push(...store.unreleased(old.keyId).map(({ receiptHash }) => receiptHash))
    assert.equal(hashes.length, 3)
  })
  const next = KeyFile.rotateKey(folder, 'node')

  // A start while the log is still down, cut off by a stop.
  const steps: Rotation.Step[] = []
  const onStep = (step: Rotation.Step) => steps.push(step)
  await run(async (issuer, store) => {
    assert.deepEqual(issuer.publicKey, next.signer.publicKey)
    const rotation = Rotation.finishNode({ folder, registrar, nodeId, store, logs, onStep })
    await until('draining', () => steps[0])
    assert.equal(await call(issuer, store), undefined)
    await rotation.stop()
    assert.equal(store.unreleased(old.keyId).length, 3)
  })
  assert.ok(readdirSync(folder).includes('outgoing.json'))
  const ofOld = { nodeId, role: roles.node, signer: old.signer }
  assert.equal((await findKey(registrar, ofOld))?.record.validUntilBlock, 0n, 'not ended before its heads are in a log')

  await run(async (issuer, store) => {
    const rotation = Rotation.finishNode({ folder, registrar, nodeId, store, logs, onStep })
    await sleep(50)
    log.isDown = false
    await rotation.done
    assert.deepEqual(steps.at(-1), { kind: 'ended', keyEpoch: 0 })
    for (const receiptHash of hashes) {
      const stored = store.byHash(receiptHash)
      const signature = stored?.released?.signature as Uint8Array
      const payload = Head.payload(crypto, stored?.head as Uint8Array)
      await Cose.verify(crypto, { tag: 'receipt', payload, signature, publicKey: old.signer.publicKey })
    }
    const after_ = await call(issuer, store)
    assert.equal(Head.parse(after_?.head as Uint8Array).sequence, 1n, 'behind the one that was pending in between')
  })
  assert.ok(((await findKey(registrar, ofOld))?.record.validUntilBlock ?? 0n) > 0n)
  assert.deepEqual(KeyFile.retiredKeys(folder), [old.signer.publicKey])
  assert.ok(!readdirSync(folder).includes('outgoing.json'))
  assert.equal(log.taken.size, 6)
})

test('a witness’s old key ends at once, and a key that never entered leaves nothing', async () => {
  const registrar = { crypto, rpc: scene.rpc, sender: scene.sender, book: scene.book }
  const folder = join(scene.home, 'witness')
  const nodeId = await registerNode(registrar, { endpoint: '' })
  const first = KeyFile.openKey(folder, 'witness')
  await registerKey(registrar, { nodeId, role: roles.witness, signer: first.signer })
  const second = KeyFile.rotateKey(folder, 'witness')
  await registerKey(registrar, { nodeId, role: roles.witness, signer: second.signer })
  assert.equal((await Rotation.finishWitness({ folder, registrar, nodeId }))?.kind, 'ended')
  assert.equal(await Rotation.finishWitness({ folder, registrar, nodeId }), undefined)
  const found = await findKey(registrar, { nodeId, role: roles.witness, signer: first.signer })
  assert.ok((found?.record.validUntilBlock ?? 0n) > 0n)
  KeyFile.rotateKey(folder, 'witness')
  KeyFile.endRotation(folder)
  KeyFile.rotateKey(folder, 'witness')
  assert.deepEqual(await Rotation.finishWitness({ folder, registrar, nodeId }), { kind: 'ended', keyEpoch: undefined })
})
