/** What a gateway, or whoever stands before it, wanted from a client and does not get. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, test } from 'node:test'
import * as FakeGateway from '../../tests/fakes/FakeGateway.ts'
import * as World from '../../tests/fakes/World.ts'
import { createP256Signer, crypto } from '../crypto/node.ts'
import * as Bundle from '../protocol/Bundle.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Wire from '../protocol/Wire.ts'
import { embedded, recorded } from '../verify/policies.ts'
import * as Client from './Client.ts'
import * as Exchange from './Exchange.ts'
import { createFetch, NoReceiptError } from './gradedFetch.ts'
import * as HttpBody from './HttpBody.ts'
import { memoryAnchorStore, memoryPendingStore } from './Stores.ts'

const target = '/v1/chat/completions'
const body = Bytes.fromUtf8('{"model":"tiny","messages":[{"role":"user","content":"Hello"}]}')
type Fetch = typeof globalThis.fetch

let gateway: FakeGateway.FakeGateway
beforeEach(async () => {
  gateway = await FakeGateway.start()
})
afterEach(() => gateway.close())

function create(options: Partial<Client.Options> = {}): Client.Client {
  return Client.create({
    ...{ baseUrl: gateway.url, crypto, signer: createP256Signer(crypto.sha256(Bytes.fromUtf8('client'))) },
    ...{ random: (length) => new Uint8Array(randomBytes(length)), anchors: memoryAnchorStore([gateway.anchors]) },
    ...{ pending: memoryPendingStore(), chain: gateway.chain, sleep: async () => {} },
    names: { operators: gateway.operators, witnesses: gateway.witnesses, rewrites: [] },
    ...options,
  })
}

/** A gateway before the gateway, which changes answers whose path ends as given. */
function bending(end: string, bend: (response: Response) => Promise<Response> | Response): Fetch {
  return async (input, init) => {
    const response = await fetch(input, init)
    return new URL(String(input)).pathname.endsWith(end) ? bend(response) : response
  }
}

describe('an answer in another form than the receipt says', () => {
  test('an error of the model as a success, JSON as an event stream', async () => {
    const withStatus = bending(target, async (response) => {
      const { headers } = response
      return new Response(await response.arrayBuffer(), { status: 201, headers })
    })
    await assert.rejects(create({ fetch: withStatus }).call(target, body), Exchange.ResponseMismatchError)
    const withType = bending(target, async (response) => {
      const headers = new Headers(response.headers)
      headers.set('content-type', 'text/html')
      return new Response(await response.arrayBuffer(), { headers })
    })
    await assert.rejects(create({ fetch: withType }).call(target, body), Exchange.ResponseMismatchError)
  })

  test("a receipt for another endpoint, whose path the order's hash does not cover", async () => {
    const elsewhere: Fetch = (input, init) =>
      fetch(new URL(String(input).replace('/v2/models/tiny/infer', target)), init)
    const wanted = create({ fetch: elsewhere }).call('/v2/models/tiny/infer', body)
    await assert.rejects(wanted, (error) => (error as { code?: unknown }).code === 'other-endpoint')
  })

  test('more tiny events than a file can hold', async () => {
    const flood = bending(
      target,
      () => new Response('data:\n\n'.repeat(270_000), { headers: { 'content-type': 'text/event-stream' } }),
    )
    await assert.rejects(create({ fetch: flood }).call(target, body), HttpBody.TooLargeError)
  })

  test('leaves that are not the committed ones, or none at all', async () => {
    const other = Wire.encodeReceiptLeaves({ effective: [Uint8Array.of(1)], output: [] })
    const lied = bending('/leaves', () => new Response(other as Uint8Array<ArrayBuffer>))
    await assert.rejects(create({ fetch: lied }).call(target, body), /does not match its claim/)
    const empty = Wire.encodeReceiptLeaves({ effective: [], output: [] })
    const silent = bending('/leaves', () => new Response(empty as Uint8Array<ArrayBuffer>))
    const graded = await create({ fetch: silent }).call(target, body)
    assert.deepEqual(Object.keys(Bundle.parse(graded.bundle()).bodies ?? {}).sort(), ['request', 'response'])
  })
})

describe('a prompt for somebody else', () => {
  for (const to of ['http://127.0.0.1:9/v1/chat/completions', '//127.0.0.1:9/x', '/v1/../v2', 'v1/chat', '/v1?x=1'])
    test(`sent to ${to}`, async () => {
      const asked: string[] = []
      const watched: Fetch = (input, init) => {
        asked.push(String(input))
        return fetch(input, init)
      }
      await assert.rejects(create({ fetch: watched }).call(to, body), Exchange.TargetError)
      assert.ok(asked.every((url) => url.endsWith('/.well-known/assay.json')))
    })
})

describe('to spoil a good receipt while it rises', () => {
  type Proof = { signature: string; cosignatures: { publicKey: string; signature: string }[] }
  const proofOf = (bend: (proof: Proof) => void): Fetch =>
    bending('/proof', async (response) => {
      const proof = (await response.json()) as Proof
      bend(proof)
      return Response.json(proof)
    })

  test("with a checkpoint that the log's key did not sign: not kept, and good again afterwards", async () => {
    let lies = true
    const stranger = Bytes.toBase64url(
      await Cose.sign(crypto, World.signers.stranger, 'checkpoint', new Uint8Array(32)),
    )
    const bent = proofOf((proof) => {
      if (lies) proof.signature = stranger
    })
    const pending = memoryPendingStore()
    const client = create({ fetch: bent, pending })
    const graded = await client.call(target, body)
    await assert.rejects(graded.meets(embedded, { waitSeconds: 5 }), Cose.BadSignatureError)
    const report = await client.raisePending()
    assert.deepEqual(report.failed, [{ receiptHash: graded.receiptHash, code: 'signature-mismatch' }])
    assert.equal(Bundle.parse(graded.bundle()).checkpoint, undefined)
    lies = false
    await graded.meets(embedded, { waitSeconds: 5 })
  })

  test('with lines of a known witness that do not hold or stand twice: left out', async () => {
    const bent = proofOf((proof) => {
      const [good] = proof.cosignatures
      assert.ok(good)
      const bytes = Bytes.fromBase64url(good.signature)
      bytes[5] = (bytes[5] as number) ^ 1
      const bad = { ...good, signature: Bytes.toBase64url(bytes) }
      proof.cosignatures = [bad, good, good, { publicKey: 'AAAA', signature: 'AAAA' }]
    })
    const graded = await create({ fetch: bent }).call(target, body)
    await graded.meets(embedded, { waitSeconds: 5 })
    assert.equal(Bundle.parse(graded.bundle()).checkpoint?.cosignatures.length, 1)
  })

  test('with a state that shows another root: not kept', async () => {
    let lies = true
    const chain: Client.Options['chain'] = {
      ...gateway.chain,
      piece: (query) => {
        const log = query.log
        const wrong = log?.size === undefined || !lies ? query : { ...query, log: { ...log, size: log.size - 1n } }
        return gateway.chain.piece(wrong)
      },
    }
    const graded = await create({ chain }).call(target, body)
    await assert.rejects(
      graded.meets(embedded, { waitSeconds: 5 }),
      (error) => (error as { step?: string }).step === 'log-proof',
    )
    lies = false
    await graded.meets(embedded, { waitSeconds: 5 })
  })

  for (const answer of [
    'null',
    '[]',
    '{"size":"-1"}',
    '{"size":"9999999999999999999"}',
    '{',
    '{"size":"2","proof":[1]}',
  ])
    test(`with the proof ${answer}`, async () => {
      const bent = bending('/proof', () => new Response(answer))
      const graded = await create({ fetch: bent }).call(target, body)
      await assert.rejects(
        graded.meets(embedded, { waitSeconds: 1 }),
        (error) => (error as { action?: string }).action === 'stop',
      )
    })
})

test('words that cannot be read get a verdict, not an error', async () => {
  const world = await World.create()
  const { pledge, chain } = world.bundle
  assert.ok(pledge && chain)
  const words = pledge.words.slice()
  words[0] = 1
  const client = create()
  const bent = { ...world.bundle, pledge: { ...pledge, words } }
  assert.equal((await client.verdict(Bundle.serialize(bent), recorded)).step, 'pledge')
  const header = { ...world.bundle, chain: { ...chain, header: Uint8Array.of(0xc0) } }
  assert.equal((await client.verdict(Bundle.serialize(header), recorded)).step, 'header')
})

test('text through a drop-in fetch by way of a reading that carries no receipt', async () => {
  const graded = createFetch(create(), { policy: embedded })
  for (const path of [
    '/v1/chat/completions/chatcmpl-1',
    '/v1/chat/completions/',
    '/v1/chat%2Fcompletions',
    '/v1/responses/resp_1',
    '/v1/threads/t/messages',
    '/v2/models/tiny/infer/x',
  ])
    await assert.rejects(graded(`${gateway.url}${path}`), NoReceiptError, path)
  assert.equal((await graded(`${gateway.url}/v1/models`)).status, 200)
})

test('a status without a body does not crash the drop-in fetch', async () => {
  const client = {
    baseUrl: gateway.url,
    policy: embedded,
    call: async () => ({
      meets: async () => ({ status: 204, mediaType: 'application/json', chunks: [new Uint8Array(0)] }),
    }),
  } as unknown as Client.Client
  assert.equal((await createFetch(client)(`${gateway.url}${target}`, { method: 'POST', body: '{}' })).status, 204)
})
