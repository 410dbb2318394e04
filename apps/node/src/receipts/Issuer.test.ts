/**
 * Issuer.test.ts - places in the sequence under failures: a crash is a hook that throws, after which only what the store
 * and the log hold is used again.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
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

/** A log in memory that checks what it is given as a real one does. */
function createLog() {
  const heads: Uint8Array[] = []
  const log = {
    heads,
    failing: undefined as Error | undefined,
    hold: undefined as Promise<void> | undefined,
    async append(request: { head: Uint8Array; signature: Uint8Array; publicKey: Uint8Array }) {
      await log.hold
      if (log.failing !== undefined) throw log.failing
      const payload = Head.payload(crypto, request.head)
      await Cose.verify(crypto, { tag: 'receipt', payload, signature: request.signature, publicKey: request.publicKey })
      let index = heads.findIndex((head) => Bytes.equal(head, request.head))
      if (index < 0) {
        const { sequence } = Head.parse(request.head)
        assert.ok(!heads.some((head) => Head.parse(head).sequence === sequence), 'one head per place')
        index = heads.push(request.head) - 1
      }
      return { index: BigInt(index), pledge: { words: new Uint8Array(224), signature: new Uint8Array(64) } }
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

function open(folder: string, log: ReturnType<typeof createLog>, hooks?: Issuer.Hooks) {
  const store = SqliteReceiptStore.open({ folder })
  const creating = Issuer.create({
    ...{ crypto, identity, signer, store, log, pledgeTimeoutMs: 200, retryMs: 20 },
    ...(hooks === undefined ? {} : { hooks }),
  })
  return creating.then(
    (issuer) => ({
      store,
      issuer,
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
  const other = await Issuer.create({ crypto, identity, signer, store: failing, log })
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
  const down = { ...log, highest: () => Promise.reject(new Down()) }
  const store = SqliteReceiptStore.open({ folder: newFolder() })
  await assert.rejects(Issuer.create({ crypto, identity, signer, store, log: down }), { code: 'down' })
  await store.close()
})
