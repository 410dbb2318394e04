/** Offering.test.ts - a node with two logs: which of them gets a head, when, and what stands when one is slow, down or wrong. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import * as Issuer from './Issuer.ts'
import {
  assertChain,
  callOf,
  createGate,
  createLog,
  Down,
  identity,
  keyId,
  type Named,
  named,
  newFolder,
  open,
  PlaceTaken,
  pledgeTimeoutMs,
  signer,
  timings,
  until,
} from './issuing.t.ts'
import * as SqliteReceiptStore from './SqliteReceiptStore.ts'

describe('two logs', () => {
  test('the first gets the heads while it is well, and the other none', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, clock, close, events } = await open(newFolder(), [first, second])
    for (let i = 0; i < 5; i++) assert.deepEqual((await issuer.issue(await callOf(store))).pledge.words, first.name)
    clock.pass(60_000)
    await sleep(20)
    assert.deepEqual([first.offered, second.offered, events], [5, 0, []])
    await close()
  })

  test('a first log that is slow and alive: the head goes to both, the receipt keeps the first pledge, the other is stored', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, clock, close, events } = await open(newFolder(), [first, second])
    const [other, slow] = [createGate(), createGate()]
    first.hold = other.promise
    const otherIssuing = issuer.issue(await callOf(store))
    await until('the other head is offered', () => first.offered === 1)
    clock.pass(5)
    first.hold = slow.promise
    const issuing = issuer.issue(await callOf(store))
    await until('the head is offered', () => first.offered === 2)
    clock.pass(5)
    // Another head is pledged meanwhile: the log is alive.
    other.open()
    assert.deepEqual((await otherIssuing).pledge.words, first.name)
    clock.pass(timings.hedgeMs - 6)
    assert.equal(second.offered, 0)
    clock.pass(1)
    const issued = await issuing
    assert.deepEqual(issued.pledge.words, second.name)
    assert.deepEqual(store.otherPledges(issued.receiptHash), [])
    slow.open()
    await until('the later pledge is kept', () => store.otherPledges(issued.receiptHash).length === 1)
    assert.deepEqual(store.otherPledges(issued.receiptHash)[0]?.pledgeWords, first.name)
    assert.deepEqual(store.byHash(issued.receiptHash)?.released?.pledgeWords, second.name)
    assert.ok(first.heads.some((head) => Bytes.equal(head, issued.head)))
    assert.ok(second.heads.some((head) => Bytes.equal(head, issued.head)))
    assert.deepEqual((await issuer.issue(await callOf(store))).pledge.words, first.name)
    assert.deepEqual(events, [])
    await close()
  })

  test('a first log that fails is left aside, and taken back when it is well', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, clock, close, events } = await open(newFolder(), [first, second])
    first.failing = new Down()
    // The failure passes the head on at once (the clock stands); then the log is not asked.
    for (let i = 0; i < 4; i++) assert.deepEqual((await issuer.issue(await callOf(store))).pledge.words, second.name)
    assert.deepEqual([first.offered, events], [1, ['log1 aside']])
    first.failing = undefined
    clock.pass(timings.asideMs - 1)
    assert.deepEqual((await issuer.issue(await callOf(store))).pledge.words, second.name)
    clock.pass(1)
    assert.deepEqual((await issuer.issue(await callOf(store))).pledge.words, first.name)
    assert.deepEqual((await issuer.issue(await callOf(store))).pledge.words, first.name)
    assert.deepEqual(events, ['log1 aside', 'log1 back'])
    assertChain([...first.heads, ...second.heads], 7)
    await close()
  })

  test('a log that stays down is asked less and less often, and never again and again at once', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, clock, close } = await open(newFolder(), [first, second])
    first.failing = new Down()
    const askedAtMs: number[] = []
    for (let atMs = 0; atMs < 800; atMs += 10) {
      const before = first.offered
      await issuer.issue(await callOf(store))
      if (first.offered > before) askedAtMs.push(atMs)
      clock.pass(10)
    }
    assert.deepEqual(askedAtMs, [0, 50, 150, 350, 550, 750])
    assert.equal(first.offered, askedAtMs.length)
    await close()
  })

  test('a first log that stands still delays one head by the short time, and the next ones not at all', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, clock, close, events } = await open(newFolder(), [first, second])
    const gate = createGate()
    first.hold = gate.promise
    const issuing = issuer.issue(await callOf(store))
    await until('offered', () => first.offered === 1)
    clock.pass(timings.hedgeMs - 1)
    assert.deepEqual([second.offered, events], [0, []])
    clock.pass(1)
    assert.deepEqual((await issuing).pledge.words, second.name)
    assert.deepEqual(events, ['log1 aside'])
    // The clock stands: any wait at all would last for ever.
    assert.deepEqual((await issuer.issue(await callOf(store))).pledge.words, second.name)
    assert.deepEqual([first.offered, second.offered], [1, 2])
    gate.open()
    await close()
  })

  test('heads that fail together count as one failure', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, clock, close } = await open(newFolder(), [first, second])
    const gate = createGate()
    first.hold = gate.promise
    first.failing = new Down()
    const issuing = [1, 2, 3].map(async () => issuer.issue(await callOf(store)))
    await until('offered', () => first.offered === 3)
    gate.open()
    for (const { pledge } of await Promise.all(issuing)) assert.deepEqual(pledge.words, second.name)
    first.failing = undefined
    clock.pass(timings.asideMs)
    assert.deepEqual((await issuer.issue(await callOf(store))).pledge.words, first.name)
    await close()
  })

  test('a log that comes back slow is not back', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, clock, close, events } = await open(newFolder(), [first, second])
    first.failing = new Down()
    await issuer.issue(await callOf(store))
    const gate = createGate()
    first.failing = undefined
    first.hold = gate.promise
    clock.pass(timings.asideMs)
    const issuing = issuer.issue(await callOf(store))
    await until('the log is tried', () => first.offered === 2)
    clock.pass(timings.hedgeMs + 1)
    const { receiptHash, pledge } = await issuing
    assert.deepEqual(pledge.words, second.name)
    gate.open()
    await until('the late pledge is kept', () => store.otherPledges(receiptHash).length === 1)
    assert.deepEqual((await issuer.issue(await callOf(store))).pledge.words, second.name)
    assert.deepEqual([first.offered, events], [2, ['log1 aside']])
    await close()
  })

  test('both too slow: pending in bounded time, and released when the first of them pledges', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, clock, close } = await open(newFolder(), [first, second])
    const gate = createGate()
    first.hold = second.hold = gate.promise
    const issuing = issuer.issue(await callOf(store)).then(
      () => assert.fail('not pending'),
      (reason: unknown) => reason,
    )
    await until('the first has it', () => first.offered === 1)
    clock.pass(timings.hedgeMs)
    await until('the second has it', () => second.offered === 1)
    clock.pass(pledgeTimeoutMs - timings.hedgeMs)
    const error = await issuing
    assert.ok(error instanceof Issuer.PendingError)
    assert.equal(store.byHash(error.receiptHash)?.released, undefined)
    gate.open()
    await until('released', () => issuer.unreleased() === 0)
    assert.ok(store.byHash(error.receiptHash)?.released !== undefined)
    await close()
  })

  for (const step of ['head-persisted', 'head-signed', 'head-logged', 'receipt-released'] as const) {
    test(`a crash after '${step}' while the first log is down: nothing is lost, no place is given twice`, async () => {
      const [first, second] = [createLog(), createLog()]
      const folder = newFolder()
      first.failing = new Down()
      const crashing = await open(folder, [first, second], {
        reached: (at) => {
          if (at === step) throw new Down()
        },
      })
      await assert.rejects(crashing.issuer.issue(await callOf(crashing.store)))
      await crashing.close()

      first.failing = undefined
      const next = await open(folder, [first, second])
      assert.deepEqual(next.store.unreleased(keyId), [])
      await next.issuer.issue(await callOf(next.store))
      const all = new Map([...first.heads, ...second.heads].map((head) => [Bytes.toHex(head), head]))
      assertChain([...all.values()], 2)
      await next.close()
    })
  }

  test('a folder that is older than the second log alone makes the key refuse to sign', async () => {
    const [first, second] = [createLog(), createLog()]
    first.failing = new Down()
    const { store, issuer, close } = await open(newFolder(), [first, second])
    await issuer.issue(await callOf(store))
    await close()
    assert.deepEqual([first.heads.length, second.heads.length], [0, 1])
    await assert.rejects(open(newFolder(), [first, second]), { code: 'key-behind' })
  })

  test('a log that has ended is asked what it knows and gets no head', async () => {
    const [first, second] = [createLog(), createLog()]
    const folder = newFolder()
    const { store, issuer, close } = await open(folder, [first, second])
    await issuer.issue(await callOf(store))
    await close()
    const create = (at: string) => {
      const store = SqliteReceiptStore.open({ folder: at })
      const [one, other] = named(first, second) as [Named, Named]
      const logs = [{ ...one, isEnded: true }, other]
      return { store, creating: Issuer.create({ crypto, identity, signer, store, logs, timings }) }
    }
    const next = create(folder)
    const again = await next.creating
    assert.deepEqual((await again.issue(await callOf(next.store))).pledge.words, second.name)
    assert.deepEqual([first.heads.length, second.heads.length], [1, 1])
    await again.close()
    await next.store.close()
    second.heads.length = 0
    const empty = create(newFolder())
    await assert.rejects(empty.creating, { code: 'key-behind' })
    await empty.store.close()
  })

  test('a log that holds another head in the place stops the head: it goes to no other log', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, clock, close } = await open(newFolder(), [first, second])
    first.failing = new PlaceTaken()
    await assert.rejects(issuer.issue(await callOf(store)), { code: 'receipt-pending' })
    clock.pass(60_000)
    await sleep(20)
    assert.deepEqual([first.offered, second.offered], [1, 0])
    await close()
  })
})
