/**
 * Issuer.test.ts - places in the sequence under failures: a crash is a hook that throws, after which only what the store
 * and the log hold is used again.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { crypto } from 'assay/crypto/node'
import { Cose, Head } from 'assay/protocol'
import * as Issuer from './Issuer.ts'
import {
  assertChain,
  callOf,
  createGate,
  createLog,
  Down,
  identity,
  keyId,
  named,
  newFolder,
  open,
  pledgeTimeoutMs,
  signer,
  timings,
  until,
} from './issuing.t.ts'
import type { ReceiptStore, Tip } from './ReceiptStore.ts'
import * as SqliteReceiptStore from './SqliteReceiptStore.ts'

test('calls at the same time get places 0, 1, 2 ... each naming the one before, and good signatures', async () => {
  const log = createLog()
  const folder = newFolder()
  const { store, issuer, close } = await open(folder, log)
  const calls = await Promise.all(Array.from({ length: 50 }, () => callOf(store)))
  const issued = await Promise.all(calls.map((call) => issuer.issue(call)))
  assertChain(log.heads, 50)
  for (const { head, signature, receiptHash } of issued) {
    await Cose.verify(crypto, {
      tag: 'receipt',
      payload: Head.payload(crypto, head),
      signature,
      publicKey: signer.publicKey,
    })
    assert.deepEqual(store.byHash(receiptHash)?.released?.signature, signature)
  }
  assert.equal(issuer.unreleased(), 0)
  await close()

  const again = await open(folder, log)
  await again.issuer.issue(await callOf(again.store))
  assertChain(log.heads, 51)
  await again.close()
})

test('a group that could not be written takes no place', async () => {
  const log = createLog()
  const { store, issuer, close } = await open(newFolder(), log)
  await issuer.issue(await callOf(store))
  const failing: ReceiptStore = { ...store, addHeads: () => Promise.reject(new Down()) }
  const other = await Issuer.create({ crypto, identity, signer, store: failing, logs: named(log) })
  await assert.rejects(other.issue(await callOf(store)), { code: 'down' })
  await issuer.issue(await callOf(store))
  assertChain(log.heads, 2)
  await close()
})

test('a log that is down makes the answer pending, and the receipt follows by itself', async () => {
  const log = createLog()
  const { store, issuer, clock, close } = await open(newFolder(), log)
  log.failing = new Down()
  const error = await issuer.issue(await callOf(store)).then(
    () => assert.fail('not refused'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof Issuer.PendingError)
  assert.equal(store.byHash(error.receiptHash)?.released, undefined)
  assert.equal(issuer.unreleased(), 1)
  log.failing = undefined
  clock.pass(timings.retryMs - 1)
  assert.equal(log.offered, 1)
  clock.pass(1)
  await until('released', () => issuer.unreleased() === 0)
  assert.equal(store.byHash(error.receiptHash)?.released?.leafIndex, 0n)
  await issuer.issue(await callOf(store))
  assertChain(log.heads, 2)
  await close()
})

test('a log that hangs makes the answer pending in bounded time, and its late answer counts', async () => {
  const log = createLog()
  const { store, issuer, clock, close } = await open(newFolder(), log)
  const gate = createGate()
  log.hold = gate.promise
  let isSettled = false
  const issuing = issuer.issue(await callOf(store)).finally(() => {
    isSettled = true
  })
  const pending = assert.rejects(issuing, { code: 'receipt-pending' })
  await until('offered', () => log.offered === 1)
  clock.pass(pledgeTimeoutMs - 1)
  await sleep(5)
  assert.ok(!isSettled)
  clock.pass(1)
  await pending
  gate.open()
  await until('released', () => issuer.unreleased() === 0)
  assert.equal(log.heads.length, 1)
  await close()
})

for (const step of ['head-persisted', 'head-signed', 'head-logged', 'receipt-released'] as const) {
  test(`a crash after '${step}' loses nothing and gives no place twice`, async () => {
    const log = createLog()
    const folder = newFolder()
    const first = await open(folder, log)
    await first.issuer.issue(await callOf(first.store))
    await first.close()

    // From the step on this process does nothing any more: its store refuses, its timers are cleared.
    const crashing = await open(folder, log, {
      reached: (at) => {
        if (at === step) throw new Down()
      },
    })
    await assert.rejects(crashing.issuer.issue(await callOf(crashing.store)))
    await crashing.close()

    const next = await open(folder, log)
    const isWritten = step !== 'head-persisted'
    const tip = next.store.tip(keyId)
    // What was written before the crash is there, is in the log, and keeps its place.
    assert.equal(tip?.sequence, 1n, `written: ${isWritten}`)
    assert.deepEqual(next.store.unreleased(keyId), [])
    await next.issuer.issue(await callOf(next.store))
    assertChain(log.heads, 3)
    await next.close()
  })
}

test('a folder that is older than the log makes the key refuse to sign', async () => {
  const log = createLog()
  const folder = newFolder()
  const { store, issuer, close } = await open(folder, log)
  await issuer.issue(await callOf(store))
  await close()
  await assert.rejects(open(newFolder(), log), { code: 'key-behind' })

  // The same number of receipts, but another one in the last place.
  const other = createLog()
  const fork = await open(newFolder(), other)
  await fork.issuer.issue(await callOf(fork.store, { secret: new Uint8Array(32).fill(8) }))
  await fork.close()
  await assert.rejects(open(folder, other), { code: 'key-behind' })
  await (await open(folder, log)).close()
})

test('a log that cannot be asked stops the start', async () => {
  const log = createLog()
  const down = { ...log, highest: (): Tip => assert.fail('not reached') }
  down.highest = () => {
    throw new Down()
  }
  const store = SqliteReceiptStore.open({ folder: newFolder() })
  await assert.rejects(Issuer.create({ crypto, identity, signer, store, logs: named(createLog(), down) }), {
    code: 'down',
  })
  await store.close()
})
