/**
 * Attack.test.ts - what somebody who may send any bytes tries against a gateway: claims that are not what was received,
 * other callers' data, work without end. Each case was an attack; those that worked once stand here with their fix.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { crypto } from 'assay/crypto/node'
import { Body, Bytes, Wire } from 'assay/protocol'
import * as Gateway from './Gateway.ts'
import * as Raw from './raw.t.ts'
import * as Scene from './scene.t.ts'

const { chat, chatTarget } = Scene

async function listening(context: Parameters<typeof Scene.createScene>[0]) {
  const scene = await Scene.createScene(context)
  const { port, host } = new URL(await scene.gateway.listen({ host: '127.0.0.1', port: 0 }))
  return { scene, host, open: () => connect(Number(port), '127.0.0.1') }
}

/** A request as it travels; the body goes as it is. */
function request(host: string, path: string, body: string, lines: readonly string[] = []): string {
  const head = [`POST ${path} HTTP/1.1`, `Host: ${host}`, 'Content-Type: application/json', ...lines]
  return `${[...head, `Content-Length: ${Buffer.byteLength(body)}`].join('\r\n')}\r\n\r\n${body}`
}

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1])

const tensors = JSON.stringify({
  inputs: [
    { name: 'a', datatype: 'FP32', shape: [1, 2], data: [1, 2] },
    { name: 'b', datatype: 'INT64', shape: [2], data: [1, 2] },
  ],
})

test('a target in another spelling than slot 2 would claim is refused', async (context) => {
  const { scene, host, open } = await listening(context)
  const spellings: readonly (readonly [path: string, body: string])[] = [
    ['/v1/chat/%63ompletions', JSON.stringify(chat())],
    ['/v1/chat/completions#part', JSON.stringify(chat())],
    [`http://${host}/v1/chat/completions`, JSON.stringify(chat())],
    ['http://example.com/v1/chat/completions', JSON.stringify(chat())],
    ['/v2/models/%61dder/infer', tensors],
    ['/v2/models/adder/infer#part', tensors],
    ['/v2/models/adder/%69nfer', tensors],
  ]
  for (const [path, body] of spellings) {
    const answer = await Raw.exchange(open(), request(host, path, body))
    assert.ok(statusOf(answer) >= 400 && statusOf(answer) < 500, `${path}: ${answer.slice(0, 200)}`)
    assert.doesNotMatch(answer, /assay-receipt/i, path)
  }
  assert.equal(scene.log.heads.length, 0)
  assert.equal(statusOf(await Raw.exchange(open(), request(host, '/v2/models/adder/infer', tensors))), 200)
})

test('calls that were sent one behind the other on a connection stop when it is gone', async (context) => {
  const { scene, host, open } = await listening(context)
  scene.mischief.gate = () => sleep(20)
  const socket = open()
  socket.on('error', () => {})
  socket.write(request(host, chatTarget, JSON.stringify(chat({ max_tokens: 60 }))).repeat(3))
  for (let i = 0; i < 1_000 && scene.mischief.runs < 3; i++) await sleep(10)
  socket.destroy()
  for (let i = 0; i < 1_000 && scene.log.heads.length < 3; i++) await sleep(10)
  assert.equal(scene.log.heads.length, 3)
  // A little of the first one, and nothing of those that waited behind it.
  assert.ok(scene.mischief.runs < 20, `${scene.mischief.runs} runs`)
})

test('readers who take nothing lose their connection', async (context) => {
  const scene = await Scene.createScene(context)
  const gateway = Gateway.create(scene.served, { stalledReaderMs: 300 })
  context.after(gateway.close)
  const { port, host } = new URL(await gateway.listen({ host: '127.0.0.1', port: 0 }))
  const accepted = once(gateway.app.server, 'connection')
  const socket = connect(Number(port), '127.0.0.1')
  context.after(async () => void socket.destroy())
  socket.on('error', () => {})
  socket.pause()
  const connections = () =>
    new Promise<number>((resolve) => gateway.app.server.getConnections((_, count) => resolve(count)))
  const one = `GET /.well-known/assay.json HTTP/1.1\r\nHost: ${host}\r\n\r\n`
  for (let i = 0; i < 40; i++) socket.write(one.repeat(200))
  await accepted
  for (let i = 0; i < 300 && (await connections()) > 0; i++) await sleep(100)
  assert.equal(await connections(), 0)
})

test('slot 2 commits to the bytes that came, however they came', async (context) => {
  const { host, open } = await listening(context)
  const body = `  ${JSON.stringify(chat({ seed: '-9223372036854775808' })).replace(/"(-\d+)"/, '$1')}\r\n\t `
  const nonce = new Uint8Array(16).fill(5)
  const chunked = [
    `POST ${chatTarget} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Type: text/plain\r\n`,
    `X-HTTP-Method-Override: DELETE\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nAssay-Nonce: ${Wire.encodeNonce(nonce)}\r\n`,
    'Transfer-Encoding: chunked\r\nTrailer: Content-Type, Assay-Order\r\n\r\n',
    ...[...body].map((character) => `1;extension="x"\r\n${character}\r\n`),
    '0\r\nAssay-Order: AAAA\r\nContent-Encoding: gzip\r\n\r\n',
  ].join('')
  const answer = await Raw.exchange(open(), chunked)
  assert.equal(statusOf(answer), 200, answer)
  const header = (name: string) => new RegExp(`^${name}: (.*)$`, 'im').exec(answer)?.[1]?.trim() ?? ''
  const opened = await Scene.open(
    { receipt: header('assay-receipt'), secret: header('assay-secret'), claims: header('assay-claims') },
    nonce,
  )
  const asked = opened.claim('request')
  assert.deepEqual(asked?.hash, Body.requestHash(crypto, opened.saltOf('request'), Bytes.fromUtf8(body)))
  assert.deepEqual([asked?.method, asked?.target, asked?.bytes], ['POST', chatTarget, BigInt(body.length)])
  assert.equal(opened.claim('order'), undefined)
  const sent = new Uint8Array(Buffer.from(/\r\n\r\n(\{.*\})$/s.exec(answer)?.[1] ?? '', 'latin1'))
  assert.deepEqual(opened.claim('response')?.root, Body.root(crypto, opened.saltOf('response'), [sent]))
  assert.equal(opened.claim('engine')?.sampling?.seed, 2n ** 63n)
})

test('encodings that would make others read other bytes are refused', async (context) => {
  const { scene, host, open } = await listening(context)
  const body = JSON.stringify(chat())
  const order = await Scene.order(body)
  const orderLine = `Assay-Order: ${order.headers['assay-order']}`
  const cases: readonly (readonly string[])[] = [
    ['Content-Encoding: identity', 'Content-Encoding: gzip'],
    ['Content-Encoding: identity, deflate'],
    ['Content-Encoding: br'],
    ['Assay-Stream: event', 'Assay-Stream: event'],
    ['Assay-Nonce: AAAAAAAAAAAAAAAAAAAAAA', 'Assay-Nonce: AAAAAAAAAAAAAAAAAAAAAA'],
    ['Assay-Nonce: AAAAAAAAAAAAAAAAAAAAAB'],
    [orderLine, orderLine, `Assay-Order-Salt: ${order.headers['assay-order-salt']}`],
    [`Assay-Order-Salt: ${order.headers['assay-order-salt']}`],
    ['Transfer-Encoding: gzip'],
  ]
  for (const lines of cases) {
    const answer = await Raw.exchange(open(), request(host, chatTarget, body, lines))
    assert.ok([400, 415].includes(statusOf(answer)), `${lines}: ${answer.slice(0, 200)}`)
  }
  const gzip = `POST ${chatTarget} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\n\u001f\u008b\u0008\r\n0\r\n\r\n`
  assert.equal(statusOf(await Raw.exchange(open(), gzip)), 400)
  assert.equal(scene.mischief.runs, 0)
  assert.equal(scene.log.heads.length, 0)
})

test('numbers at the edge of their form are used as recorded, or refused', async (context) => {
  const scene = await Scene.createScene(context)
  for (const [text, status] of [
    ['-0', 200],
    ['0e9', 200],
    ['1e-400', 200],
    ['5e-324', 200],
    ['2.00000000000000000', 200],
    ['2.000000000000000000000', 400],
    ['2e0000000000000000', 200],
    ['+1', 400],
    ['01', 400],
    ['.5', 400],
    ['1e400', 400],
  ] as const) {
    const response = await Scene.post(
      scene,
      chatTarget,
      JSON.stringify(chat({ temperature: 0.123 })).replace('0.123', text),
    )
    assert.equal(response.statusCode, status, `${text}: ${response.body}`)
    if (status !== 200) continue
    const opened = await Scene.open(Scene.receiptOf(response.headers))
    assert.equal(opened.claim('engine')?.sampling?.temperature, text)
  }
  for (const stop of [['\u{1f600}'], ['e\u0301', '\u00e9'], ['\u0000'], ['a'.repeat(1024)]]) {
    const response = await Scene.post(scene, chatTarget, chat({ stop, max_tokens: 4294967295 }))
    assert.equal(response.statusCode, 200, response.body)
    await Scene.open(Scene.receiptOf(response.headers))
  }
})

test("what belongs to another caller stays there: tokens of nobody, of others' receipts, of other forms", async (context) => {
  const scene = await Scene.createScene(context)
  const calls = []
  for (let i = 0; i < 2; i++) {
    const response = await Scene.post(scene, chatTarget, chat())
    calls.push(await Scene.open(Scene.receiptOf(response.headers)))
  }
  const [mine, other] = calls as [(typeof calls)[0], (typeof calls)[0]]
  const ofNobody = Bytes.toHex(Wire.readToken(crypto, new Uint8Array(32)))
  for (const part of ['claims', 'leaves']) {
    for (const [hash, token] of [
      [other.hash, mine.token],
      [other.hash, ofNobody],
      [other.hash, '0'.repeat(64)],
      [other.hash, Bytes.toHex(other.secret)],
      [other.hash, other.token.toUpperCase()],
      [other.hash, `${other.token} `.repeat(2)],
      ['ab'.repeat(32), ofNobody],
      ['ab'.repeat(32), '0'.repeat(64)],
    ] as const) {
      const { statusCode, body } = await Scene.get(scene, `/v1/receipts/${hash}/${part}`, {
        authorization: `Bearer ${token}`,
      })
      // A body that tells the one case from the other would tell which hashes exist.
      assert.equal(statusCode, token === other.token.toUpperCase() && !/[a-f]/.test(other.token) ? 200 : 401)
      assert.match(body, /"code":"read_token"/)
    }
  }
  for (const url of [
    `/v1/receipts/${other.hash.toUpperCase()}`,
    `/v1/receipts/by-order/${other.hash}`,
    `/v1/receipts/${other.hash}/claims/`,
    `/v1/receipts/${other.hash}%2fclaims`,
  ]) {
    const { statusCode, body } = await Scene.get(scene, url, { authorization: `Bearer ${mine.token}` })
    assert.ok(statusCode >= 400, url)
    assert.ok(!body.includes(other.hash), url)
  }
  const { statusCode } = await Scene.get(scene, `/v1/receipts/${other.hash}/leaves`, {
    authorization: `Bearer ${other.token}`,
  })
  assert.equal(statusCode, 200)
})

test('no path of the log leads out of its published files', async (context) => {
  const { scene, host, open } = await listening(context)
  const base = `/log/${Bytes.toHex(Scene.logId)}`
  for (const path of [
    '/tile/../../secret',
    '/tile/%2e%2e/%2e%2e/secret',
    '/tile/..%2f..%2fsecret',
    '/tile/0/000.p/..%2f..%2f..%2f..%2fsecret',
    '/tile/0/000.p/1%00',
    '/tile/0/000.p/1%0a',
    '/tile/0/000.p/',
    '/tile/0/000.p',
    '/tile/0/./000.p/1',
    '/tile//0/000.p/1',
    '/tile/00/000.p/1',
    '/tile/0\\000.p\\1',
    '/tile/64/000',
    '/checkpoint%00',
    '/../secret',
  ]) {
    const answer = await Raw.exchange(open(), `GET ${base}${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    assert.ok([400, 404].includes(statusOf(answer)), `${path}: ${answer.slice(0, 100)}`)
    assert.match(answer, /\r\n\r\n\{"error":/, path)
  }
  assert.equal((await Scene.get(scene, `${base}/tile/0/000.p/1`, { host })).statusCode, 200)
})

test('an order that is sent twenty times at once runs once, and never again', async (context) => {
  const scene = await Scene.createScene(context)
  const body = JSON.stringify(chat())
  const { headers, hash } = await Scene.order(body)
  const answers = await Promise.all(Array.from({ length: 20 }, () => Scene.post(scene, chatTarget, body, headers)))
  const statuses = answers.map(({ statusCode }) => statusCode)
  assert.equal(statuses.filter((status) => status === 200).length, 1, String(statuses))
  assert.ok(statuses.every((status) => status === 200 || status === 409))
  assert.equal(scene.log.heads.length, 1)
  assert.equal(scene.store.hasOrder(hash), true)
  // A call that never ran gives its order back, to one taker.
  const second = await Scene.order(body)
  scene.mischief.refuse = new Scene.Down()
  assert.equal((await Scene.post(scene, chatTarget, body, second.headers)).statusCode, 503)
  delete scene.mischief.refuse
  const again = await Promise.all([1, 2].map(() => Scene.post(scene, chatTarget, body, second.headers)))
  assert.deepEqual(again.map(({ statusCode }) => statusCode).sort(), [200, 409])
})
