import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import OpenAI from 'openai'
import * as FakeGateway from '../../tests/fakes/FakeGateway.ts'
import { createP256Signer, crypto } from '../crypto/node.ts'
import * as Bundle from '../protocol/Bundle.ts'
import * as Bytes from '../protocol/Bytes.ts'
import { BaseError } from '../protocol/errors.ts'
import * as Integrity from '../verify/Integrity.ts'
import { embedded, recorded, strict } from '../verify/policies.ts'
import * as Client from './Client.ts'
import * as Exchange from './Exchange.ts'
import { filePendingStore } from './FileStores.ts'
import * as Graded from './Graded.ts'
import { createFetch, NoReceiptError, OtherServerError } from './gradedFetch.ts'
import * as HttpBody from './HttpBody.ts'
import { memoryAnchorStore, memoryPendingStore, type PendingStore } from './Stores.ts'

const prompt = 'a secret prompt'
const target = '/v1/chat/completions'
const bodyOf = (stream: boolean) =>
  Bytes.fromUtf8(JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: prompt }], stream }))

let gateway: FakeGateway.FakeGateway
beforeEach(async () => {
  gateway = await FakeGateway.start()
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
    names: { operators: gateway.operators, witnesses: gateway.witnesses, rewrites: [] },
    chain: gateway.chain,
    sleep: async () => {},
    ...options,
  })
}

/** Nothing that a person could read of the prompt or the answer is in an error. */
function assertSilent(error: unknown): void {
  assert.ok(BaseError.isInstance(error), String(error))
  const all = `${error.message} ${error.facts.join(' ')} ${String(error.cause)} ${error.stack}`
  assert.ok(!all.includes(prompt) && !all.includes('nobody may see') && !all.includes('anybody may see'), all)
}

describe('Graded', () => {
  for (const stream of [false, true])
    test(`gives the answer against a policy that its receipt meets (${stream ? 'stream' : 'unary'})`, async () => {
      const graded = await create().call(target, bodyOf(stream))
      assert.equal(graded.receiptHash.length, 64)
      const answer = await graded.meets(embedded, { waitSeconds: 5 })
      assert.match(Bytes.toUtf8(Bytes.concat(...answer.chunks)), /nobody may see/)
      assert.equal((await graded.verdict(embedded)).outcome, 'MEETS')
      // What the reader does not know is cut before it is kept.
      assert.equal(Bundle.parse(graded.bundle()).checkpoint?.cosignatures.length, 1)
    })

  test('refuses below the policy, by default strict, and names what is missing', async () => {
    const graded = await create().call(target, bodyOf(false))
    await assert.rejects(graded.meets(), (error) => {
      assert.ok(error instanceof Graded.NotMetError)
      assert.equal(error.verdict.policy.name, 'strict')
      assert.equal(error.verdict.outcome, 'INSUFFICIENT')
      assertSilent(error)
      return true
    })
    assert.match(Bytes.toUtf8(graded.unchecked().chunks[0] as Uint8Array), /nobody may see/)
  })

  test('has no property that holds the answer', async () => {
    const graded = await create().call(target, bodyOf(false))
    assert.deepEqual(Object.keys(graded).sort(), ['bundle', 'meets', 'receiptHash', 'unchecked', 'verdict'])
    assert.ok(!JSON.stringify(graded).includes('nobody'))
  })

  test("asks under the client's own policy where none is named", async () => {
    const graded = await create({ policy: recorded }).call(target, bodyOf(false))
    assert.equal((await graded.verdict()).policy.name, 'recorded')
    await graded.meets(undefined, { waitSeconds: 5 })
  })

  test('stops waiting when asked to, and refuses a wait without end', async () => {
    gateway.isFinal = false
    const graded = await create().call(target, bodyOf(false))
    const signal = AbortSignal.abort(new Error('enough'))
    await assert.rejects(graded.meets(embedded, { waitSeconds: 60, signal }), /enough/)
    for (const waitSeconds of [-1, Number.NaN, Number.POSITIVE_INFINITY])
      await assert.rejects(graded.meets(embedded, { waitSeconds }), Graded.WaitError)
  })

  test('runs the model again once, however often it looks', async () => {
    let runs = 0
    let clock = 0
    const recompute = async () => {
      runs++
      return {}
    }
    const now = () => {
      clock += 100
      return clock
    }
    const graded = await create({ recompute, now }).call(target, bodyOf(false))
    await assert.rejects(graded.meets(strict, { waitSeconds: 3 }), Graded.NotMetError)
    await graded.verdict(embedded)
    assert.equal(runs, 1)
  })

  test('streams come as provisional data before anything is checked', async () => {
    const seen: string[] = []
    await create().call(target, bodyOf(true), { onProvisional: (data) => seen.push(data.provisional) })
    assert.equal(seen.length, 3)
    assert.match(seen[1] as string, /nobody may see/)
  })
})

describe('a gateway that lies', () => {
  const is =
    (type: new (...args: never[]) => BaseError, code?: string, step?: string) =>
    (error: unknown): boolean => {
      assert.ok(error instanceof type, String(error))
      if (code !== undefined) assert.equal(error.code, code)
      if (step !== undefined) assert.equal((error as Integrity.StepError).step, step)
      assertSilent(error)
      return true
    }
  const cases: Readonly<Partial<Record<FakeGateway.Lie, (error: unknown) => boolean>>> = {
    'gateway-error': is(Exchange.GatewayError, 'gateway-failed'),
    'gateway-refusal': is(Exchange.RefusedError, 'request-refused'),
    'no-receipt': is(Exchange.ReceiptError, 'receipt-missing'),
    'no-secret': is(Exchange.ReceiptError, 'receipt-incomplete'),
    pending: is(Exchange.GatewayError),
    'replayed-receipt': is(Exchange.ReceiptError, 'claims-root-differs'),
    'claim-changed': is(Exchange.ReceiptError, 'claims-root-differs'),
    'claim-left-out': is(Exchange.ReceiptError, 'claims-root-differs'),
    'swapped-response': is(Exchange.ResponseMismatchError, 'response-mismatch'),
    'other-node-key': is(Integrity.StepError, undefined, 'head-signature'),
    'other-request': is(Integrity.StepError, undefined, 'bodies'),
    'other-node-id': is(Integrity.StepError, undefined, 'order'),
    'stranger-pledge': is(Integrity.StepError, undefined, 'pledge-signature'),
  }
  for (const [lie, expected] of Object.entries(cases))
    for (const stream of [false, true])
      test(`${lie} (${stream ? 'stream' : 'unary'}): refused, nothing kept`, async () => {
        const pending = memoryPendingStore()
        const client = create({ pending })
        if (lie === 'replayed-receipt') {
          const graded = await client.call(target, bodyOf(stream))
          await pending.remove(graded.receiptHash)
        }
        gateway.lie = lie as FakeGateway.Lie
        await assert.rejects(client.call(target, bodyOf(stream)), expected)
        assert.deepEqual(await pending.list(), [])
      })

  test('the error of a busy gateway says when to come back', async () => {
    gateway.lie = 'gateway-error'
    await assert.rejects(create().call(target, bodyOf(false)), (error) => {
      assert.ok(error instanceof Exchange.GatewayError)
      assert.deepEqual([error.status, error.gatewayCode, error.retryAfterSeconds], [503, 'overloaded', 7])
      return true
    })
  })

  test('a gateway that is not there, or that the caller gives up on', async () => {
    const signal = AbortSignal.abort()
    await assert.rejects(create().call(target, bodyOf(false), { signal }), { name: 'AbortError' })
    await assert.rejects(
      create({ baseUrl: 'http://127.0.0.1:1' }).call(target, bodyOf(false)),
      is(HttpBody.UnreachableError),
    )
  })

  test('an answer that is too large ends the reading', async () => {
    gateway.lie = 'too-large'
    await assert.rejects(create().call(target, bodyOf(false)), is(HttpBody.TooLargeError))
  })

  test('a value on the wire that has no meaning is refused', async () => {
    gateway.lie = 'malformed-receipt'
    await assert.rejects(create().call(target, bodyOf(false)), (error) => {
      assertSilent(error)
      return (error as BaseError).code === 'wire-receipt'
    })
  })

  test('a stream that ends in the middle gives no answer', async () => {
    gateway.lie = 'stream-without-end'
    await assert.rejects(create().call(target, bodyOf(true)), is(HttpBody.UnreachableError, 'gateway-unreachable'))
  })

  test('a receipt without a pledge meets nothing that asks for one', async () => {
    gateway.lie = 'no-pledge'
    const graded = await create().call(target, bodyOf(false))
    await assert.rejects(graded.meets(recorded), Graded.NotMetError)
  })

  test('a false inclusion proof stops the waiting', async () => {
    gateway.isProofFalse = true
    const graded = await create().call(target, bodyOf(false))
    await assert.rejects(graded.meets(embedded, { waitSeconds: 5 }), (error) => {
      assertSilent(error)
      return (error as BaseError).action === 'stop'
    })
  })
})

describe('nothing is sent', () => {
  const assertNothingSent = async (work: Promise<unknown>, code: string) => {
    await assert.rejects(work, (error) => (error as BaseError).code === code)
    assert.deepEqual(gateway.received, [])
  }

  test('to a node on a chain that is not named', async () => {
    await assertNothingSent(create({ anchors: memoryAnchorStore([]) }).call(target, bodyOf(false)), 'untrusted-chain')
  })

  test('to a node with contracts that are not named', async () => {
    const other = { ...gateway.anchors, anchorLog: { ...gateway.anchors.anchorLog, address: new Uint8Array(20) } }
    const client = create({ anchors: memoryAnchorStore([other]) })
    await assertNothingSent(client.call(target, bodyOf(false)), 'untrusted-chain')
  })

  test('to a node whose key is not registered, is another, has another role, or has ended', async () => {
    const good = gateway.keyRecord as NonNullable<typeof gateway.keyRecord>
    for (const record of [
      undefined,
      { ...good, keyId: new Uint8Array(32) },
      { ...good, role: 2 },
      { ...good, validUntilBlock: 120n },
    ]) {
      gateway.keyRecord = record
      await assertNothingSent(create().call(target, bodyOf(false)), 'unregistered-key')
    }
  })

  test('while too many receipts are pending', async () => {
    const full: PendingStore = { ...memoryPendingStore(), list: async () => Array(10_000).fill('0'.repeat(64)) }
    await assertNothingSent(create({ pending: full }).call(target, bodyOf(false)), 'pending-full')
  })
})

describe('pending receipts', () => {
  test('survive a restart and leave the store when final', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'assay-pending-'))
    try {
      gateway.isFinal = false
      const before = create({ pending: filePendingStore(folder) })
      const graded = await before.call(target, bodyOf(false))
      assert.deepEqual((await before.raisePending()).pending, [graded.receiptHash])
      const after = create({ pending: filePendingStore(folder) })
      assert.deepEqual(await filePendingStore(folder).list(), [graded.receiptHash])
      gateway.isFinal = true
      assert.deepEqual(await after.raisePending(), {
        final: [graded.receiptHash],
        pending: [],
        awaited: [],
        failed: [],
        faults: [],
      })
      assert.deepEqual(readdirSync(folder), [])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('rise in the background until told to stop, and what fails in one round is tried in the next', async () => {
    const pending = memoryPendingStore()
    const stop = new AbortController()
    let rounds = 0
    const failing = {
      ...pending,
      list: async () => (++rounds === 2 ? Promise.reject(new HttpBody.UnreachableError(undefined)) : pending.list()),
    }
    const client = create({ pending: failing })
    gateway.isFinal = false
    const graded = await client.call(target, bodyOf(false))
    rounds = 0
    const reports: string[] = []
    await client.keepRaising({
      signal: stop.signal,
      onRound({ final }) {
        reports.push(final.length === 0 ? 'pending' : 'final')
        gateway.isFinal = rounds >= 3
        if (final.includes(graded.receiptHash)) stop.abort()
      },
    })
    assert.deepEqual([rounds, reports], [4, ['pending', 'pending', 'final']])
    assert.deepEqual(await pending.list(), [])
    const started = performance.now()
    const real = Client.create({
      ...{ baseUrl: gateway.url, crypto, signer: createP256Signer(new Uint8Array(32).fill(1)), pending },
      ...{ random: (length) => new Uint8Array(length), anchors: memoryAnchorStore([]) },
    })
    await real.keepRaising({ signal: AbortSignal.timeout(30), everyMs: 60_000 })
    assert.ok(performance.now() - started < 5_000, 'the pause outlasts the signal')
  })

  test('leave the store when the caller waits for finality itself', async () => {
    const pending = memoryPendingStore()
    const graded = await create({ pending }).call(target, bodyOf(false))
    assert.equal((await pending.list()).length, 1)
    await graded.meets(embedded, { waitSeconds: 5 })
    assert.deepEqual(await pending.list(), [])
  })

  test('one that cannot rise does not hold back the others', async () => {
    const pending = memoryPendingStore()
    const client = create({ pending })
    await pending.save('f'.repeat(64), Bytes.fromUtf8('no bundle'))
    const graded = await client.call(target, bodyOf(false))
    const report = await client.raisePending()
    assert.deepEqual(report.final, [graded.receiptHash])
    assert.deepEqual(report.failed, [{ receiptHash: 'f'.repeat(64), code: 'bundle-shape' }])
  })
})

describe('drop-in fetch under the stock OpenAI client', () => {
  const openai = (client: Client.Client, options?: Parameters<typeof createFetch>[1]) =>
    new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'local', maxRetries: 0, fetch: createFetch(client, options) })
  const messages = [{ role: 'user' as const, content: prompt }]

  test('refuses below the policy, streams included', async () => {
    const api = openai(create())
    const causeOf = (error: unknown) => (error as { cause?: unknown }).cause
    await assert.rejects(
      api.chat.completions.create({ model: 'tiny', messages }),
      (error) => causeOf(error) instanceof Graded.NotMetError,
    )
    await assert.rejects(
      api.chat.completions.create({ model: 'tiny', messages, stream: true }),
      (error) => causeOf(error) instanceof Graded.NotMetError,
    )
  })

  test('gives the same answers once the policy is met', async () => {
    const api = openai(create(), { policy: embedded, waitSeconds: 5 })
    const whole = await api.chat.completions.create({ model: 'tiny', messages })
    assert.equal(whole.choices[0]?.message.content, FakeGateway.answerText)
    let text = ''
    for await (const chunk of await api.chat.completions.create({ model: 'tiny', messages, stream: true }))
      text += chunk.choices[0]?.delta.content ?? ''
    assert.equal(text, FakeGateway.answerText)
    assert.equal((await api.models.list()).data[0]?.id, 'tiny')
  })

  test('sends nothing to endpoints without receipts, or to another server', async () => {
    const fetch = createFetch(create())
    await assert.rejects(fetch(`${gateway.url}/v1/embeddings`, { method: 'POST', body: '{}' }), NoReceiptError)
    await assert.rejects(
      fetch('http://127.0.0.1:1/v1/chat/completions', { method: 'POST', body: '{}' }),
      OtherServerError,
    )
    await assert.rejects(fetch(`${gateway.url}${target}`), /POST only/)
    assert.deepEqual(gateway.received, [])
  })
})

describe('every default is the strict one', () => {
  test('policy, terms, names, waiting, recomputation', async () => {
    assert.equal(Client.defaultPolicy, strict)
    assert.deepEqual(Client.defaultTerms, { parties: ['node'], maxRetentionSeconds: 600 })
    const client = create()
    assert.equal(client.policy, strict)
    const graded = await client.call(target, bodyOf(false))
    assert.equal((await client.verdict(graded.bundle())).policy.name, 'strict')
    assert.equal((await graded.verdict()).policy.name, 'strict')
    const unnamed = Client.create({
      ...{ baseUrl: gateway.url, crypto, signer: createP256Signer(crypto.sha256(Bytes.fromUtf8('client'))) },
      ...{ random: (length: number) => new Uint8Array(randomBytes(length)) },
      ...{ anchors: memoryAnchorStore([gateway.anchors]), pending: memoryPendingStore() },
    })
    const verdict = await unnamed.verdict(graded.bundle())
    const witness = verdict.requirements.find((result) => result.requirement.startsWith('witnessed'))
    assert.deepEqual([witness?.status, witness?.because], ['UNCHECKED', 'name a witness or log'])
    const executed = verdict.rows.find((row) => row.proposition === 'executed')
    assert.deepEqual(executed?.backing, ['asserted'])
    let waited = 0
    const fetch = createFetch(create({ sleep: async () => void waited++ }))
    await assert.rejects(
      fetch(`${gateway.url}${target}`, { method: 'POST', body: bodyOf(false) as Uint8Array<ArrayBuffer> }),
    )
    assert.equal(waited, 0)
  })
})
