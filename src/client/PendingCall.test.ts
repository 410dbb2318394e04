/** PendingCall.test.ts - an answer without a pledge: nothing is handed out before its receipt is there, and a restart goes on with it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import * as FakeGateway from '../../tests/fakes/FakeGateway.ts'
import { createP256Signer, crypto } from '../crypto/node.ts'
import * as Bundle from '../protocol/Bundle.ts'
import * as Bytes from '../protocol/Bytes.ts'
import { embedded, strict } from '../verify/policies.ts'
import * as Client from './Client.ts'
import { fileCallStore, filePendingStore } from './FileStores.ts'
import * as Graded from './Graded.ts'
import { createFetch } from './gradedFetch.ts'
import * as PendingCall from './PendingCall.ts'
import { memoryAnchorStore, memoryPendingStore } from './Stores.ts'

const target = '/v1/chat/completions'
const bodyOf = (stream: boolean) =>
  Bytes.fromUtf8(JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'a secret prompt' }], stream }))

let gateway: FakeGateway.FakeGateway
beforeEach(async () => {
  gateway = await FakeGateway.start()
  gateway.lie = 'late'
})
afterEach(() => gateway.close())

function create(options: Partial<Client.Options> = {}): Client.Client {
  return Client.create({
    baseUrl: gateway.url,
    crypto,
    signer: createP256Signer(crypto.sha256(Bytes.fromUtf8('client'))),
    random: (length) => new Uint8Array(randomBytes(length)),
    anchors: memoryAnchorStore([gateway.anchors]),
    pending: memoryPendingStore(),
    calls: memoryPendingStore(),
    names: { operators: gateway.operators, witnesses: gateway.witnesses, rewrites: [] },
    chain: gateway.chain,
    sleep: async () => {},
    ...options,
  })
}

const isPending = (error: unknown) => {
  assert.ok(error instanceof Graded.NotMetError)
  assert.equal(error.verdict.outcome, 'INSUFFICIENT')
  assert.match(error.verdict.requirements[0]?.because ?? '', /^pending: /)
  return true
}

describe('a pending answer', () => {
  for (const stream of [false, true])
    test(`is INSUFFICIENT(pending) and hands nothing out until its receipt is there (${stream ? 'stream' : 'unary'})`, async () => {
      const [pending, calls] = [memoryPendingStore(), memoryPendingStore()]
      const graded = await create({ pending, calls }).call(target, bodyOf(stream))
      const verdict = await graded.verdict(embedded)
      assert.deepEqual([verdict.outcome, verdict.receiptHash, verdict.consequence], ['INSUFFICIENT', null, 'none'])
      assert.match(verdict.requirements[0]?.because ?? '', /^pending: /)
      for (const ask of [graded.bundle, graded.unchecked]) assert.throws(ask, { code: 'receipt-pending' })
      await assert.rejects(graded.meets(embedded), isPending)
      assert.match(graded.receiptHash, /^pending-[0-9a-f]{64}$/)
      assert.deepEqual([(await pending.list()).length, (await calls.list()).length], [0, 1])

      gateway.lateReceipts = 'there'
      const answer = await graded.meets(embedded, { waitSeconds: 5 })
      assert.ok(answer.chunks.some((chunk) => Bytes.toUtf8(chunk).includes(FakeGateway.answerText)))
      assert.equal(graded.receiptHash, answer.receiptHash)
      assert.ok(Bundle.parse(graded.bundle()).order !== undefined)
      assert.equal((await graded.verdict(embedded)).outcome, 'MEETS')
      assert.equal(graded.unchecked().status, 200)
      assert.deepEqual(await calls.list(), [])
    })

  test('is asked after with growing pauses, also while nobody answers, and met when the receipt comes', async () => {
    const pauses: number[] = []
    let asked = 0
    const client = create({
      sleep: async (ms) => {
        pauses.push(ms)
        gateway.lateReceipts = pauses.length < 3 ? 'pending' : pauses.length < 5 ? 'down' : 'there'
      },
      fetch: (input, init) => {
        if (String(input).includes('/by-order/')) asked++
        return fetch(input, init)
      },
    })
    const outcomes: string[] = []
    const graded = await client.call(target, bodyOf(false))
    await graded.meets(embedded, { waitSeconds: 60, onVerdict: ({ outcome }) => outcomes.push(outcome) })
    assert.deepEqual(pauses.slice(0, 5), [100, 200, 400, 800, 1600])
    assert.equal(asked, 6)
    assert.deepEqual(outcomes.slice(0, 5), Array(5).fill('INSUFFICIENT'))
    assert.equal(outcomes.at(-1), 'MEETS')
  })

  test('is gone on with after a restart, from files', async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'assay-calls-'))
    context.after(() => rmSync(folder, { recursive: true, force: true }))
    const stores = () => ({ pending: filePendingStore(folder), calls: fileCallStore(folder) })
    const graded = await create(stores()).call(target, bodyOf(true))
    const order = graded.receiptHash.slice('pending-'.length)
    assert.deepEqual(readdirSync(folder), [`${order}.call`])

    let nowMs = Date.now()
    const again = create({ ...stores(), now: () => nowMs })
    assert.deepEqual((await again.raisePending()).awaited, [order])
    gateway.lateReceipts = 'there'
    // Not due yet, then due.
    assert.deepEqual((await again.raisePending()).awaited, [order])
    nowMs += 1_000
    const report = await again.raisePending()
    assert.deepEqual([report.awaited, report.failed, report.final.length], [[], [], 1])
    assert.deepEqual(readdirSync(folder), [])
  })

  test('a crash between keeping the receipt and dropping the call keeps the same receipt once', async () => {
    const [pending, calls] = [memoryPendingStore(), memoryPendingStore()]
    gateway.isFinal = false
    gateway.lateReceipts = 'there'
    await create({ pending, calls }).call(target, bodyOf(false))
    const dying = {
      ...calls,
      remove: async () => {
        throw new Error('the process ends here')
      },
    }
    await assert.rejects(create({ pending, calls: dying }).raisePending(), /ends here/)
    const before = await pending.list()
    assert.deepEqual([before.length, (await calls.list()).length], [1, 1])
    await create({ pending, calls }).raisePending()
    assert.deepEqual([await pending.list(), await calls.list()], [before, []])
  })

  test('a node that knows of no receipt, or gives another call’s, is named, and nothing is handed out', async () => {
    const lost = create()
    const graded = await lost.call(target, bodyOf(false))
    gateway.lateReceipts = 'lost'
    await assert.rejects(graded.meets(embedded, { waitSeconds: 5 }), { code: 'receipt-lost' })
    assert.deepEqual(
      (await lost.raisePending()).failed.map(({ code }) => code),
      ['receipt-lost'],
    )
    gateway.lateReceipts = 'there'
    gateway.lie = 'late-other-receipt'
    const other = await create().call(target, bodyOf(false))
    await assert.rejects(other.meets(embedded, { waitSeconds: 5 }), { code: 'claims-root-differs' })
    assert.throws(other.unchecked, { code: 'receipt-pending' })
  })

  test('is asked after for a day and no longer', async () => {
    const calls = memoryPendingStore()
    let nowMs = Date.now()
    const client = create({ calls, now: () => nowMs })
    await client.call(target, bodyOf(false))
    nowMs += Number(PendingCall.followSeconds) * 1000 - 5_000
    assert.equal((await client.raisePending()).awaited.length, 1)
    nowMs += 10_000
    assert.deepEqual(
      (await client.raisePending()).failed.map(({ code }) => code),
      ['receipt-never-pledged'],
    )
    assert.deepEqual(await calls.list(), [])
  })

  test('without its secret nobody could ever read it: refused as before', async () => {
    gateway.lie = 'pending'
    await assert.rejects(create().call(target, bodyOf(false)), { code: 'gateway-failed' })
  })

  test('a drop-in fetch hands out its text only once the receipt meets the policy', async () => {
    await assert.rejects(createFetch(create(), { policy: embedded })(new URL(target, gateway.url), post()), isPending)
    gateway.lateReceipts = 'there'
    const response = await createFetch(create(), { policy: embedded, waitSeconds: 5 })(
      new URL(target, gateway.url),
      post(),
    )
    assert.ok((await response.text()).includes(FakeGateway.answerText))
    await assert.rejects(
      createFetch(create(), { policy: strict })(new URL(target, gateway.url), post()),
      Graded.NotMetError,
    )
  })
})

const post = () => ({ method: 'POST', body: bodyOf(false) as Uint8Array<ArrayBuffer> })

test('a record reads back as it was written, and anything else is refused', () => {
  const call: PendingCall.PendingCall = {
    ...{ orderHash: new Uint8Array(32).fill(1), askedSeconds: 7n, target, body: bodyOf(true), status: 200 },
    ...{ mediaType: 'text/event-stream', chunks: [new Uint8Array(3), new Uint8Array(0)] },
    secret: new Uint8Array(32).fill(2),
    order: {
      ...{ words: new Uint8Array(416).fill(3), signature: new Uint8Array(64), publicKey: new Uint8Array(64) },
      ...{ terms: new Uint8Array(5), requestSalt: new Uint8Array(16) },
    },
  }
  const bytes = PendingCall.serialize(call)
  assert.deepEqual(PendingCall.parse(bytes), call)
  for (const wrong of [bytes.subarray(1), bytes.subarray(0, -1), Bytes.concat(bytes, new Uint8Array(1))])
    assert.throws(() => PendingCall.parse(wrong))
})
