/**
 * Issuer.test.ts - places in the sequence under failures: a crash is a hook that throws, after which only what the store
 * and the log hold is used again.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, Claims, Cose, errors, Head, Slot } from 'assay/protocol'
import * as Issuer from './Issuer.ts'
import type { ReceiptStore, Tip } from './ReceiptStore.ts'
import * as SqliteReceiptStore from './SqliteReceiptStore.ts'

const root = mkdtempSync(join(tmpdir(), 'assay-issuer-'))
after(() => rmSync(root, { recursive: true, force: true }))
let folders = 0

const signer = createP256Signer(new Uint8Array(32).fill(1))
const keyId = Cose.keyId(crypto, signer.publicKey)
const identity = {
  ...{ chainId: 31337n, registry: new Uint8Array(20).fill(1), nodeId: new Uint8Array(32).fill(2), keyEpoch: 0 },
}

let logs = 0

/** A log in memory that checks what it is given as a real one does. */
function createLog() {
  const heads: Uint8Array[] = []
  const log = {
    heads,
    offered: 0,
    delayMs: 0,
    name: new Uint8Array(224).fill(++logs),
    failing: undefined as Error | undefined,
    hold: undefined as Promise<void> | undefined,
    async append(request: { head: Uint8Array; signature: Uint8Array; publicKey: Uint8Array }) {
      log.offered++
      await log.hold
      if (log.delayMs > 0) await sleep(log.delayMs)
      if (log.failing !== undefined) throw log.failing
      const payload = Head.payload(crypto, request.head)
      await Cose.verify(crypto, { tag: 'receipt', payload, signature: request.signature, publicKey: request.publicKey })
      let index = heads.findIndex((head) => Bytes.equal(head, request.head))
      if (index < 0) {
        const { sequence } = Head.parse(request.head)
        assert.ok(!heads.some((head) => Head.parse(head).sequence === sequence), 'one head per place')
        index = heads.push(request.head) - 1
      }
      return { index: BigInt(index), pledge: { words: log.name, signature: new Uint8Array(64) } }
    },
    highest(): Tip | undefined {
      const tips = heads.map((head) => ({ sequence: Head.parse(head).sequence, receiptHash: Head.hash(crypto, head) }))
      return tips.sort((a, b) => (a.sequence < b.sequence ? 1 : -1))[0]
    },
  }
  return log
}

class Down extends errors.UnavailableError<'down'> {
  override readonly name = 'Down'
  constructor() {
    super('down', 'down')
  }
}

class PlaceTaken extends errors.VerificationError<'place-taken'> {
  override readonly name = 'PlaceTaken'
  constructor() {
    super('place-taken', 'taken')
  }
}

function newFolder(): string {
  return join(root, String(folders++))
}

async function callOf(store: ReceiptStore, change: Partial<Issuer.Call> = {}): Promise<Issuer.Call> {
  const intent = await store.openIntent('/v1/chat/completions', 1, change.orderHash)
  const values = new Map([[Slot.indexOf('model'), Claims.encode('model', new Uint8Array(32).fill(intent))]])
  return {
    ...{ intent, modeBits: 4, flags: 0, values, secret: new Uint8Array(32).fill(9), nonce: new Uint8Array(16) },
    orderHash: undefined,
    ...change,
  }
}

type Log = ReturnType<typeof createLog>

const named = (...logs: readonly Log[]) => logs.map((port, i) => ({ name: `log${i + 1}`, port }))
type Named = ReturnType<typeof named>[number]
const timings = { hedgeMs: 40, retryMs: 20, asideMs: 50, maxAsideMs: 200 }

function open(folder: string, log: Log | readonly Log[], hooks?: Issuer.Hooks) {
  const store = SqliteReceiptStore.open({ folder })
  const logs = named(...('append' in log ? [log] : log))
  const events: string[] = []
  const creating = Issuer.create({
    ...{ crypto, identity, signer, store, logs, timings, pledgeTimeoutMs: 200 },
    onLog: ({ kind, log: name }) => events.push(`${name} ${kind}`),
    ...(hooks === undefined ? {} : { hooks }),
  })
  return creating.then(
    (issuer) => ({
      store,
      issuer,
      events,
      close: async () => {
        await issuer.close()
        await store.close()
      },
    }),
    async (error) => {
      await store.close()
      throw error
    },
  )
}

/** The heads of a log are one chain without gap. */
function assertChain(heads: readonly Uint8Array[], length: number): void {
  const sorted = heads.map((head) => ({ head, ...Head.parse(head) })).sort((a, b) => (a.sequence < b.sequence ? -1 : 1))
  assert.deepEqual(
    sorted.map(({ sequence }) => sequence),
    Array.from({ length }, (_, i) => BigInt(i)),
  )
  sorted.forEach(({ previous }, i) => {
    const before = sorted[i - 1]
    assert.deepEqual(previous, before === undefined ? new Uint8Array(32) : Head.hash(crypto, before.head))
  })
}

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
  const { store, issuer, close } = await open(newFolder(), log)
  log.failing = new Down()
  const error = await issuer.issue(await callOf(store)).then(
    () => assert.fail('not refused'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof Issuer.PendingError)
  assert.equal(store.byHash(error.receiptHash)?.released, undefined)
  assert.equal(issuer.unreleased(), 1)
  log.failing = undefined
  for (let i = 0; i < 100 && issuer.unreleased() > 0; i++) await sleep(10)
  assert.equal(issuer.unreleased(), 0)
  assert.equal(store.byHash(error.receiptHash)?.released?.leafIndex, 0n)
  await issuer.issue(await callOf(store))
  assertChain(log.heads, 2)
  await close()
})

test('a log that hangs makes the answer pending in bounded time, and its late answer counts', async () => {
  const log = createLog()
  const { store, issuer, close } = await open(newFolder(), log)
  let letGo = () => {}
  log.hold = new Promise((resolve) => {
    letGo = resolve
  })
  const startedMs = performance.now()
  await assert.rejects(issuer.issue(await callOf(store)), { code: 'receipt-pending' })
  assert.ok(performance.now() - startedMs < 2_000)
  letGo()
  for (let i = 0; i < 100 && issuer.unreleased() > 0; i++) await sleep(10)
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

const until = async (what: string, isSo: () => boolean) => {
  for (let i = 0; i < 200 && !isSo(); i++) await sleep(10)
  assert.ok(isSo(), what)
}

describe('two logs', () => {
  test('the first gets the heads while it is well, and the other none', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, close, events } = await open(newFolder(), [first, second])
    for (let i = 0; i < 5; i++) assert.deepEqual((await issuer.issue(await callOf(store))).pledge.words, first.name)
    await sleep(60)
    assert.deepEqual([first.offered, second.offered, events], [5, 0, []])
    await close()
  })

  test('a first log that is slow and alive: the head goes to both, the receipt keeps the first pledge, the other is stored', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, close, events } = await open(newFolder(), [first, second])
    first.delayMs = 120
    // Others are pledged meanwhile: the log is alive.
    const busy = setInterval(async () => void issuer.issue(await callOf(store)).catch(() => {}), 15)
    await sleep(150)
    const issued = await issuer.issue(await callOf(store))
    clearInterval(busy)
    assert.deepEqual(issued.pledge.words, second.name)
    await until('the later pledge is kept', () => store.otherPledges(issued.receiptHash).length === 1)
    assert.deepEqual(store.otherPledges(issued.receiptHash)[0]?.pledgeWords, first.name)
    assert.deepEqual(store.byHash(issued.receiptHash)?.released?.pledgeWords, second.name)
    assert.ok(first.heads.some((head) => Bytes.equal(head, issued.head)))
    assert.ok(second.heads.some((head) => Bytes.equal(head, issued.head)))
    assert.ok(events.length <= 1)
    await close()
  })

  test('a first log that fails is left aside, and taken back when it is well', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, close, events } = await open(newFolder(), [first, second])
    first.failing = new Down()
    const startedMs = performance.now()
    for (let i = 0; i < 4; i++) assert.deepEqual((await issuer.issue(await callOf(store))).pledge.words, second.name)
    // The failure passes the head on at once; then the log is not asked.
    assert.ok(performance.now() - startedMs < 150)
    assert.deepEqual([first.offered, events], [1, ['log1 aside']])
    first.failing = undefined
    await sleep(60)
    await issuer.issue(await callOf(store))
    assert.deepEqual((await issuer.issue(await callOf(store))).pledge.words, first.name)
    assert.deepEqual(events, ['log1 aside', 'log1 back'])
    assertChain([...first.heads, ...second.heads], 6)
    await close()
  })

  test('a log that stays down is asked less and less often, and never again and again at once', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, close } = await open(newFolder(), [first, second])
    first.failing = new Down()
    const endMs = performance.now() + 450
    while (performance.now() < endMs) {
      await issuer.issue(await callOf(store))
      await sleep(5)
    }
    // At 0, 50, 150 and 350 ms.
    assert.ok(first.offered <= 5, `${first.offered} times`)
    await close()
  })

  test('a first log that stands still delays one head by the short time, and the next ones not at all', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, close } = await open(newFolder(), [first, second])
    first.hold = new Promise(() => {})
    await issuer.issue(await callOf(store))
    const startedMs = performance.now()
    const issued = await issuer.issue(await callOf(store))
    assert.ok(performance.now() - startedMs < timings.hedgeMs)
    assert.deepEqual(issued.pledge.words, second.name)
    await close()
  })

  test('both too slow: pending in bounded time, and released when the first of them pledges', async () => {
    const [first, second] = [createLog(), createLog()]
    const { store, issuer, close } = await open(newFolder(), [first, second])
    let letGo = () => {}
    first.hold = second.hold = new Promise((resolve) => {
      letGo = resolve
    })
    const startedMs = performance.now()
    const error = await issuer.issue(await callOf(store)).then(
      () => assert.fail('not pending'),
      (reason: unknown) => reason,
    )
    assert.ok(error instanceof Issuer.PendingError && performance.now() - startedMs < 400)
    assert.equal(store.byHash(error.receiptHash)?.released, undefined)
    letGo()
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
    const { store, issuer, close } = await open(newFolder(), [first, second])
    first.failing = new PlaceTaken()
    await assert.rejects(issuer.issue(await callOf(store)), { code: 'receipt-pending' })
    await sleep(100)
    assert.deepEqual([first.offered, second.offered], [1, 0])
    await close()
  })
})
