/** issuing.t.ts - an issuer over logs in memory, with a clock that is moved by hand: what is claimed about time holds on a machine of any speed. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, Claims, Cose, errors, Head, Slot } from 'assay/protocol'
import * as Issuer from './Issuer.ts'
import type * as Offering from './Offering.ts'
import type { ReceiptStore, Tip } from './ReceiptStore.ts'
import * as SqliteReceiptStore from './SqliteReceiptStore.ts'

const root = mkdtempSync(join(tmpdir(), 'assay-issuer-'))
after(() => rmSync(root, { recursive: true, force: true }))
let folders = 0

export const signer = createP256Signer(new Uint8Array(32).fill(1))
export const keyId = Cose.keyId(crypto, signer.publicKey)
export const identity = {
  ...{ chainId: 31337n, registry: new Uint8Array(20).fill(1), nodeId: new Uint8Array(32).fill(2), keyEpoch: 0 },
}

let logs = 0

/** A log in memory that checks what it is given as a real one does. */
export function createLog() {
  const heads: Uint8Array[] = []
  const log = {
    heads,
    offered: 0,
    name: new Uint8Array(224).fill(++logs),
    failing: undefined as Error | undefined,
    hold: undefined as Promise<void> | undefined,
    async append(request: { head: Uint8Array; signature: Uint8Array; publicKey: Uint8Array }) {
      log.offered++
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
      return { index: BigInt(index), pledge: { words: log.name, signature: new Uint8Array(64) } }
    },
    highest(): Tip | undefined {
      const tips = heads.map((head) => ({ sequence: Head.parse(head).sequence, receiptHash: Head.hash(crypto, head) }))
      return tips.sort((a, b) => (a.sequence < b.sequence ? 1 : -1))[0]
    },
  }
  return log
}

export class Down extends errors.UnavailableError<'down'> {
  override readonly name = 'Down'
  constructor() {
    super('down', 'down')
  }
}

export class PlaceTaken extends errors.VerificationError<'place-taken'> {
  override readonly name = 'PlaceTaken'
  constructor() {
    super('place-taken', 'taken')
  }
}

export function newFolder(): string {
  return join(root, String(folders++))
}

export async function callOf(store: ReceiptStore, change: Partial<Issuer.Call> = {}): Promise<Issuer.Call> {
  const intent = await store.openIntent('/v1/chat/completions', 1, change.orderHash)
  const values = new Map([[Slot.indexOf('model'), Claims.encode('model', new Uint8Array(32).fill(intent))]])
  return {
    ...{ intent, modeBits: 4, flags: 0, values, secret: new Uint8Array(32).fill(9), nonce: new Uint8Array(16) },
    orderHash: undefined,
    ...change,
  }
}

export type Log = ReturnType<typeof createLog>

export const named = (...logs: readonly Log[]) => logs.map((port, i) => ({ name: `log${i + 1}`, port }))
export type Named = ReturnType<typeof named>[number]
export const timings = { hedgeMs: 40, retryMs: 100, asideMs: 50, maxAsideMs: 200 }
export const pledgeTimeoutMs = 200

/** A clock that stands still until it is moved on. */
export function createClock() {
  let nowMs = 0
  const timers = new Set<{ readonly atMs: number; readonly work: () => void }>()
  return {
    now: () => nowMs,
    later(ms: number, work: () => void) {
      const timer = { atMs: nowMs + ms, work }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    /** Runs what falls due in these milliseconds, in its order and at its time. */
    pass(ms: number): void {
      const endMs = nowMs + ms
      for (;;) {
        const [next] = [...timers].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)
        if (next === undefined) break
        timers.delete(next)
        nowMs = next.atMs
        next.work()
      }
      nowMs = endMs
    },
  } satisfies Offering.Clock & Record<string, unknown>
}

/** A promise that is kept when told. */
export function createGate() {
  let open = () => {}
  const promise = new Promise<void>((resolve) => {
    open = resolve
  })
  return { promise, open }
}

export function open(folder: string, log: Log | readonly Log[], hooks?: Issuer.Hooks, clock = createClock()) {
  const store = SqliteReceiptStore.open({ folder })
  const logs = named(...('append' in log ? [log] : log))
  const events: string[] = []
  const creating = Issuer.create({
    ...{ crypto, identity, signer, store, logs, timings, pledgeTimeoutMs, clock },
    onLog: ({ kind, log: name }) => events.push(`${name} ${kind}`),
    ...(hooks === undefined ? {} : { hooks }),
  })
  return creating.then(
    (issuer) => ({
      store,
      issuer,
      events,
      clock,
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

/** Waits for work that is under way; the clock stands still meanwhile. */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 10_000 && !isSo(); i++) await sleep(1)
  assert.ok(isSo(), what)
}

/** The heads of a log are one chain without gap. */
export function assertChain(heads: readonly Uint8Array[], length: number): void {
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
