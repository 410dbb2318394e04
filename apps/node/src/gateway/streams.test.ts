import assert from 'node:assert/strict'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { crypto } from 'assay/crypto/node'
import { Body, Bytes, Head, Sse, Wire } from 'assay/protocol'
import * as Scene from './scene.t.ts'

const { chat, chatTarget, createScene, post } = Scene
const value = (comments: ReadonlyMap<string, string>, name: string) => comments.get(`assay-${name}`) ?? ''
const receiptIn = (comments: ReadonlyMap<string, string>) => ({
  ...{ receipt: value(comments, 'receipt'), secret: value(comments, 'secret'), claims: value(comments, 'claims') },
})

for (const [form, headers] of [
  ['comments', {}],
  ['one event', { 'assay-stream': 'event' }],
] as const) {
  test(`a stream ends with its receipt as ${form}, and its chunks are exactly what is committed`, async (context) => {
    const scene = await createScene(context)
    const body = chat({ stream: true, stream_options: { include_usage: true } })
    const response = await post(scene, chatTarget, body, headers)
    assert.deepEqual([response.statusCode, response.headers['content-type']], [200, 'text/event-stream'])
    assert.equal(response.headers['cache-control'], 'no-store, no-transform')
    assert.equal(response.headers['assay-receipt'], undefined)
    const { chunks, comments, done } = Sse.splitStream(new Uint8Array(response.rawPayload))
    assert.equal(done, true)
    assert.ok(response.body.endsWith('data: [DONE]\n\n'))
    assert.deepEqual([...comments.keys()], ['assay-receipt', 'assay-pledge', 'assay-secret', 'assay-claims'])
    const { claim, saltOf, parsed } = await Scene.open(receiptIn(comments))
    assert.equal(parsed.flags, 0)
    assert.deepEqual(claim('response'), {
      ...{ status: 200, mediaType: 'text/event-stream', chunks: chunks.length },
      root: Body.root(crypto, saltOf('response'), chunks),
      bytes: BigInt(chunks.reduce((sum, chunk) => sum + chunk.length, 0)),
    })
    const last = JSON.parse(Bytes.toUtf8(chunks.at(-1) as Uint8Array).slice(1))
    assert.deepEqual([last.choices, last.usage.completion_tokens], [[], 8])
  })
}

test('a model that fails in the middle ends the stream with an error event and a receipt of what was sent', async (context) => {
  const scene = await createScene(context)
  scene.mischief.failAt = 3
  const response = await post(scene, chatTarget, chat({ stream: true }))
  const { chunks, comments, done } = Sse.splitStream(new Uint8Array(response.rawPayload))
  assert.equal(done, true)
  assert.equal(JSON.parse(Bytes.toUtf8(chunks.at(-1) as Uint8Array)).error.code, 'model_failed')
  const { claim, saltOf, parsed } = await Scene.open(receiptIn(comments))
  assert.equal(parsed.flags, Head.flags.notCompleted)
  assert.deepEqual([claim('outcome')?.finish, claim('outcome')?.error], ['error', 'runtime-failed'])
  assert.deepEqual(claim('response')?.root, Body.root(crypto, saltOf('response'), chunks))
  assert.equal(claim('output')?.count, 3)
  assert.ok(!JSON.stringify([response.body, scene.records]).includes('hello'))
})

test('a stream is pending when no log takes the head', async (context) => {
  const scene = await createScene(context)
  scene.log.isDown = true
  const response = await post(scene, chatTarget, chat({ stream: true }), { 'assay-stream': 'event' })
  const { comments, done } = Sse.splitStream(new Uint8Array(response.rawPayload))
  assert.equal(done, true)
  const secret = comments.get('assay-secret') ?? ''
  assert.deepEqual(
    [...comments],
    [
      ['assay-receipt', 'pending'],
      ['assay-secret', secret],
    ],
  )
  Wire.decodeSecret(secret)
})

test('overload is told before the stream begins', async (context) => {
  const scene = await createScene(context)
  scene.mischief.refuse = new Scene.Down()
  const response = await post(scene, chatTarget, chat({ stream: true }))
  assert.deepEqual(
    [response.statusCode, response.json().error.code, response.headers['retry-after']],
    [503, 'down', '1'],
  )
  assert.equal(scene.log.heads.length, 0)
})

test('a stream whose receipt could not be written is cut, so that it does not look whole', async (context) => {
  const scene = await createScene(context)
  const { url } = await listening(scene)
  const issue = scene.issuer.issue
  Object.assign(scene.issuer, { issue: () => Promise.reject(new Scene.Down()) })
  const { text, failed } = await read(await send(url, chat({ stream: true })))
  assert.equal(failed, true)
  assert.ok(text.includes('data: {') && !text.includes('[DONE]'))
  Object.assign(scene.issuer, { issue })
})

test('a client that leaves stops the model, and the call has a receipt over what was sent', async (context) => {
  const scene = await createScene(context)
  const { url } = await listening(scene)
  let runs = 0
  scene.mischief.gate = async () => {
    if (++runs > 3) await sleep(50)
  }
  const body = JSON.stringify(chat({ stream: true, max_tokens: 60 }))
  const { headers, hash } = await Scene.order(body)
  const message = await send(url, body, headers)
  const sent: Buffer[] = []
  await new Promise<void>((resolve) =>
    message.on('data', (bytes: Buffer) => {
      sent.push(bytes)
      if (sent.length === 3) resolve()
    }),
  )
  message.destroy()
  for (let i = 0; i < 1_000 && scene.store.byOrder(hash)?.released === undefined; i++) await sleep(10)
  const stored = scene.store.byOrder(hash)
  assert.ok(stored?.released !== undefined)
  assert.ok(scene.mischief.runs < 60)
  const parsed = Head.parse(stored.head)
  assert.equal(parsed.flags, Head.flags.notCompleted)
  const claims = Wire.decodeClaims(Bytes.toBase64url(stored.claims))
  const opened = await Scene.open(
    {
      receipt: Wire.encodeReceipt({ head: stored.head, signature: stored.released.signature }),
      secret: Wire.encodeSecret(stored.secret),
      claims: Wire.encodeClaims(claims),
    },
    (await orderNonce(headers)) as Uint8Array,
  )
  assert.deepEqual(
    [opened.claim('outcome')?.finish, opened.claim('outcome')?.error],
    ['cancelled', 'client-disconnected'],
  )
  assert.ok((opened.claim('response')?.chunks ?? 0) >= 3)
  // The engine is free for the next.
  delete scene.mischief.gate
  assert.equal((await post(scene, chatTarget, chat(), { host: url.host })).statusCode, 200)
})

test('a client that leaves while it waits for an answer in one piece stops the model too', async (context) => {
  const scene = await createScene(context)
  const { url } = await listening(scene)
  scene.mischief.gate = () => sleep(20)
  const body = JSON.stringify(chat({ max_tokens: 60 }))
  const { headers, hash } = await Scene.order(body)
  const leaving = new AbortController()
  const sending = send(url, body, headers, leaving.signal).catch(() => undefined)
  for (let i = 0; i < 1_000 && scene.mischief.runs < 2; i++) await sleep(10)
  leaving.abort()
  await sending
  for (let i = 0; i < 1_000 && scene.store.byOrder(hash)?.released === undefined; i++) await sleep(10)
  const stored = scene.store.byOrder(hash)
  assert.equal(stored === undefined ? undefined : Head.parse(stored.head).flags, 1)
  const claims = Wire.decodeClaims(Bytes.toBase64url(stored?.claims ?? new Uint8Array()))
  // No answer was begun, so none is claimed.
  assert.equal(claims.has(4), false)
  assert.ok(scene.mischief.runs < 60)
})

async function orderNonce(headers: Readonly<Record<string, string>>): Promise<Uint8Array | undefined> {
  return Wire.decodeOrder(headers['assay-order'] as string).words.slice(8 * 32, 8 * 32 + 16)
}

async function listening(scene: Scene.Scene) {
  return { url: new URL(await scene.gateway.listen({ host: '127.0.0.1', port: 0 })) }
}

function send(
  url: URL,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
  leaving?: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(new URL(chatTarget, url), {
      ...{ method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
      ...(leaving === undefined ? {} : { signal: leaving }),
    })
    outgoing.on('response', resolve)
    outgoing.on('error', reject)
    outgoing.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
}

async function read(message: IncomingMessage): Promise<{ text: string; failed: boolean }> {
  let text = ''
  try {
    for await (const bytes of message) text += String(bytes)
    return { text, failed: false }
  } catch {
    return { text, failed: true }
  }
}
