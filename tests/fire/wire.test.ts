/** wire.test.ts - bad input at the gateway's door: every refusal is typed, nothing hangs, nothing grows, nothing is quoted. */
import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NodeInfo } from 'assay/client'
import * as Calls from '../crash/Calls.ts'
import * as Daemon from '../crash/Daemon.ts'
import * as Folders from '../crash/Folders.ts'
import * as Silence from '../crash/Silence.ts'
import * as Raw from './Raw.ts'

const MiB = 1024 * 1024
const disconnects = Number(process.env.ASSAY_FIRE_DISCONNECTS ?? 200)
const mutations = Number(process.env.ASSAY_FIRE_MUTATIONS ?? 400)
// Slow headers are cut after 10 s, slow bodies after 30.
const isLong = process.env.ASSAY_FIRE_LONG === '1'
const chatPath = '/v1/chat/completions'
const inferPath = '/v2/models/digits/infer'
const { marker } = Calls

let place: Daemon.Place
let home: string
let daemon: Daemon.Running
let gateway: string
let info: NodeInfo.NodeInfo
let start: { readonly rss: number; readonly heapUsed: number }
let slow: Promise<readonly Loris[]>

before(async () => {
  place = Daemon.createPlace()
  home = place.newHome()
  daemon = await place.start({ home })
  gateway = daemon.endpoints.gateway
  info = await Calls.nodeInfo(gateway)
  for (const kind of ['unary', 'stream', 'infer'] as const)
    for (let i = 0; i < 5; i++) await Calls.call(gateway, info, kind)
  start = await daemon.tell({ kind: 'memory' })
  slow = holdSlowly()
})

after(() => place?.close())

const chat = (change: object = {}) =>
  JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: marker }], max_tokens: 2, ...change })
const tensor = (change: object = {}) =>
  JSON.stringify({
    inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 64], data: Array(64).fill(1), ...change }],
  })

type Case = readonly [
  what: string,
  status: number,
  path: string,
  body: string | Uint8Array,
  headers?: readonly string[],
]

const cases: readonly Case[] = [
  ['no JSON', 400, chatPath, `${marker} {`],
  ['nothing', 400, chatPath, ''],
  ['cut JSON', 400, chatPath, chat().slice(0, -5)],
  ['two values', 400, chatPath, `${chat()}${chat()}`],
  ['an array', 400, chatPath, `["${marker}"]`],
  ['a name twice', 400, chatPath, `{"model":"tiny","model":"${marker}","messages":[]}`],
  ['deep nesting', 400, chatPath, `{"model":"tiny","messages":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
  [
    'invalid UTF-8',
    400,
    chatPath,
    Buffer.concat([Buffer.from(`{"model":"tiny","${marker}`), Buffer.of(0xff, 0xfe, 0x22)]),
  ],
  ['a lone surrogate', 400, chatPath, `{"model":"tiny","messages":[{"role":"user","content":"${marker}\\ud800"}]}`],
  ['a byte order mark', 400, chatPath, `\ufeff${chat()}`],
  ['a zero byte', 400, chatPath, chat().replace('tiny', 'ti\u0000ny')],
  ['unknown model', 404, chatPath, chat({ model: `../../${marker}` })],
  ['a model that is a name of every object', 404, chatPath, chat({ model: '__proto__' })],
  ['a model of the other kind', 400, chatPath, chat({ model: 'digits' })],
  ['no messages', 400, chatPath, '{"model":"tiny"}'],
  ['messages of a wrong type', 400, chatPath, chat({ messages: marker })],
  ['an unknown role', 400, chatPath, chat({ messages: [{ role: marker, content: 'x' }] })],
  [
    'too many tokens for the context',
    400,
    chatPath,
    chat({ messages: [{ role: 'user', content: `${marker} `.repeat(5_000) }] }),
  ],
  ['not a number', 400, chatPath, chat().replace('"max_tokens":2', '"max_tokens":NaN')],
  ['infinite temperature', 400, chatPath, chat().replace('"max_tokens":2', '"temperature":1e999')],
  ['negative tokens', 400, chatPath, chat({ max_tokens: -1 })],
  ['what is not supported', 400, chatPath, chat({ tools: [{ type: 'function', function: { name: marker } }] })],
  ['more than one answer', 400, chatPath, chat({ n: 2 })],
  ['unknown tensor model', 404, '/v2/models/none/infer', tensor()],
  ['a path upwards', 400, `/v2/models/..%2f..%2f${marker}/infer`, tensor()],
  ['wrong shape', 400, inferPath, tensor({ shape: [1, 63] })],
  ['negative shape', 400, inferPath, tensor({ shape: [-1, 64] })],
  ['a shape beyond memory', 400, inferPath, tensor({ shape: [2 ** 40, 64] })],
  ['fewer values than the shape', 400, inferPath, tensor({ data: [1, 2, 3] })],
  ['a NaN value', 400, inferPath, tensor().replace('[1,1,', '[NaN,1,')],
  ['an infinite value', 400, inferPath, tensor().replace('[1,1,', '[1e999,1,')],
  ['text as a value', 400, inferPath, tensor({ data: [marker] })],
  ['another datatype', 400, inferPath, tensor({ datatype: 'INT64' })],
  ['an unknown tensor', 400, inferPath, tensor({ name: marker })],
  ['another media type', 415, chatPath, chat(), [`Content-Type: text/${marker}`]],
  ['compressed', 415, chatPath, chat(), ['Content-Encoding: gzip']],
  ['a query', 400, `${chatPath}?q=${marker}`, chat()],
  ['an order that is none', 400, chatPath, chat(), [`Assay-Order: ${marker}`]],
  [
    'an order of zeros',
    400,
    chatPath,
    chat(),
    [`Assay-Order: ${'A'.repeat(726)}`, `Assay-Order-Salt: ${'A'.repeat(22)}`],
  ],
  ['an order twice', 400, chatPath, chat(), ['Assay-Order: a', 'Assay-Order: b']],
  ['a salt without an order', 400, chatPath, chat(), [`Assay-Order-Salt: ${'A'.repeat(22)}`]],
  ['a nonce of other length', 400, chatPath, chat(), ['Assay-Nonce: AAAA']],
  ['a nonce in bytes', 400, chatPath, chat(), ['Assay-Nonce: \xff\xfe\xfd']],
  ['a stream form that is none', 400, chatPath, chat(), [`Assay-Stream: ${marker}`]],
  ['a strange origin', 403, chatPath, chat(), ['Origin: http://evil.example']],
  ['an origin null', 403, chatPath, chat(), ['Origin: null']],
  ['headers beyond their limit', 431, chatPath, chat(), [`X-Long: ${marker.repeat(2_000)}`]],
  ['a body beyond its limit', 413, chatPath, chat({ user: marker.repeat(100_000) })],
  ['two lengths', 400, chatPath, '', ['Content-Length: 1', 'Content-Length: 2']],
  ['length and chunks', 400, chatPath, '0\r\n\r\n', ['Content-Length: 5', 'Transfer-Encoding: chunked']],
  ['a chunk that is none', 400, chatPath, `${marker}\r\n`, ['Transfer-Encoding: chunked']],
  ['a header with a line break in it', 400, chatPath, chat(), [`X-A: b\r\n ${marker}: c\rd`]],
]

for (const [what, status, path, body, headers] of cases)
  test(`refused by name: ${what}`, { timeout: 15_000 }, async () => {
    const answer = await Raw.send(
      gateway,
      Raw.request(gateway, path, { body, ...(headers === undefined ? {} : { headers }) }),
    )
    assert.equal(answer.status, status, answer.body.slice(0, 300))
    assertTyped(answer.body)
  })

test('what is no HTTP of ours ends without an answer or with a typed one', { timeout: 60_000 }, async () => {
  const hostile: (string | Uint8Array)[] = [
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    `GET / HTTP/1.1\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: ${marker}\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n`,
    `GET http://${marker}/ HTTP/1.1\r\nHost: evil.example\r\n\r\n`,
    `CONNECT ${marker}:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n`,
    `GET /%00%ff%${marker} HTTP/1.1\r\nHost: ${new URL(gateway).host}\r\n\r\n`,
    `GET /log/../../../etc/passwd HTTP/1.1\r\nHost: ${new URL(gateway).host}\r\n\r\n`,
    `GET / HTTP/9.9\r\n\r\n`,
    randomBytes(4_000),
    Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]),
  ]
  for (const bytes of hostile) {
    const answer = await Raw.send(gateway, bytes, 3_000)
    if (answer.status === undefined) assert.ok(answer.isClosed, 'it neither answered nor ended')
    else {
      assert.ok(answer.status >= 400 && answer.status < 500, `status ${answer.status}`)
      assertTyped(answer.body)
    }
  }
})

test(`${mutations} mutated requests: answered or refused by name`, { timeout: 120_000 }, async (t) => {
  const counts = new Map<number, number>()
  const one = async () => {
    const isChat = Math.random() < 0.6
    const bytes = mutate(Buffer.from(isChat ? chat({ max_tokens: 1 }) : tensor()))
    const answer = await Raw.send(gateway, Raw.request(gateway, isChat ? chatPath : inferPath, { body: bytes }), 20_000)
    counts.set(answer.status ?? 0, (counts.get(answer.status ?? 0) ?? 0) + 1)
    assert.ok(
      [200, 400, 404, 503].includes(answer.status ?? 0),
      `status ${answer.status}: ${answer.body.slice(0, 200)}`,
    )
    if (answer.status !== 200) assertTyped(answer.body)
  }
  for (let i = 0; i < mutations; i += 8) await Promise.all(Array.from({ length: 8 }, one))
  t.diagnostic(JSON.stringify([...counts]))
})

test('a body without an end is cut at its limit', { timeout: 60_000 }, async () => {
  const before = await daemon.tell({ kind: 'memory' })
  const { socket, received } = Raw.open(gateway)
  const isClosed = new Promise<boolean>((resolve) => socket.once('close', () => resolve(true)))
  socket.write(Raw.request(gateway, chatPath, { headers: ['Transfer-Encoding: chunked'] }))
  const piece = Buffer.alloc(64 * 1024, 0x61)
  let sent = 0
  while (!socket.destroyed && sent < 64 * MiB) {
    socket.write(`${piece.length.toString(16)}\r\n`)
    socket.write(piece)
    if (!socket.write('\r\n')) await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), sleep(200)])
    sent += piece.length
  }
  assert.ok(await Promise.race([isClosed, sleep(10_000, false)]), 'it read on')
  assert.ok(sent < 32 * MiB, `it took ${sent} bytes`)
  if (received() !== '') assert.match(received(), /^HTTP\/1\.1 413 /)
  const now = await daemon.tell({ kind: 'memory' })
  assert.ok(now.heapUsed - before.heapUsed < 16 * MiB, `${now.heapUsed - before.heapUsed} bytes stayed`)
})

test(`${disconnects} disconnects in mid-stream: each is known, none runs on`, { timeout: 180_000 }, async (t) => {
  const before = Folders.read(home).receipts.length
  let cut = 0
  const one = async () => {
    const controller = new AbortController()
    try {
      const { path, body } = Calls.request('stream', { max_tokens: 160, temperature: 1, seed: randomInt(1e6) })
      const headers = { 'content-type': 'application/json' }
      const response = await fetch(`${gateway}${path}`, { method: 'POST', headers, body, signal: controller.signal })
      const reader = (response.body as ReadableStream<Uint8Array>).getReader()
      for (let chunks = randomInt(3); chunks >= 0; chunks--) await reader.read()
      cut++
    } catch {
      // Refused while the line is long.
    } finally {
      controller.abort()
    }
  }
  for (let i = 0; i < disconnects; i += 10) await Promise.all(Array.from({ length: 10 }, one))
  const held = await Daemon.until('the end of every call', () => {
    const now = Folders.read(home)
    return (now.intentStates.get('running') ?? 0) === 0 ? now : undefined
  })
  const fresh = held.receipts.length - before
  t.diagnostic(`${cut} streams begun and cut, ${fresh} receipts`)
  assert.ok(cut > disconnects / 2)
  assert.ok(fresh >= cut, 'a begun stream has no receipt')
})

test('slow writers are cut off in time, and hold up nobody', { timeout: 60_000 }, async (t) => {
  const held = await slow
  assert.ok(
    held.every(({ isClosed }) => isClosed),
    'a slow connection is still open',
  )
  const longest = Math.max(...held.map(({ seconds }) => seconds))
  assert.ok(longest < (isLong ? 36 : 16), `held for ${longest} s`)
  for (const { answer } of held) if (answer !== '') assert.match(answer, /^HTTP\/1\.1 408 /)
  t.diagnostic(`${held.length} connections, longest ${longest.toFixed(1)} s`)
})

test('after all of it: it serves, its memory is what it was, nothing was quoted', { timeout: 60_000 }, async (t) => {
  assert.ok(daemon.isAlive())
  const answers: Calls.Answer[] = []
  for (const kind of ['unary', 'stream', 'infer'] as const) {
    const answer = await Calls.call(gateway, info, kind, { withOrder: true })
    assert.ok(answer.isWhole && answer.status === 200 && typeof answer.receipt === 'object', kind)
    answers.push(answer)
  }
  const now = await daemon.tell({ kind: 'memory' })
  const grown = { heap: (now.heapUsed - start.heapUsed) / MiB, rss: (now.rss - start.rss) / MiB }
  t.diagnostic(`heap ${grown.heap.toFixed(1)} MiB, resident ${grown.rss.toFixed(1)} MiB more than at the start`)
  // Kept on purpose: leaves of some hundred calls, caches of keys and tiles. A leak of one body a request would be 100 MiB.
  assert.ok(grown.heap < 32, `the heap grew by ${grown.heap} MiB`)
  // Resident memory keeps the peak: 128 connections of 1 MiB each, and what the allocator does not give back.
  assert.ok(grown.rss < 192, `resident memory grew by ${grown.rss} MiB`)
  assert.ok(!/"event":"request-failed"/.test(daemon.output()), daemon.output().slice(-2000))
  const texts = answers.filter(({ kind }) => kind === 'unary').map(({ body }) => contentOf(body))
  const receipts = answers.map(({ receipt }) => receipt as Calls.Receipt)
  await daemon.stop()
  Silence.check(place, home, { receipts, texts })
})

function contentOf(body: string): string {
  return (JSON.parse(body) as { choices: [{ message: { content: string } }] }).choices[0].message.content
}

function assertTyped(body: string): void {
  const { error } = JSON.parse(body) as { error: Record<string, unknown> }
  assert.deepEqual(Object.keys(error), ['message', 'type', 'param', 'code'])
  assert.match(String(error.code), /^[a-z0-9_]+$/)
  assert.ok(String(error.message).length > 10)
  assert.ok(!body.includes(marker), `the refusal quotes the request: ${body}`)
}

function mutate(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes)
  for (let count = randomInt(1, 4); count > 0; count--) {
    const at = randomInt(changed.length)
    const how = randomInt(3)
    if (how === 0) changed[at] = randomInt(256)
    else if (how === 1) changed[at] = '{}[]",:0e-\\'.charCodeAt(randomInt(11))
    else changed.copy(changed, at, Math.max(0, at - 8), at)
  }
  return changed
}

type Loris = { readonly isClosed: boolean; readonly seconds: number; readonly answer: string }

/** Headers and bodies that come one byte at a time. */
async function holdSlowly(): Promise<readonly Loris[]> {
  const head = `POST ${chatPath} HTTP/1.1\r\nHost: ${new URL(gateway).host}\r\nX-Slow: `
  const body = `${head}a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n`
  const hold = async (first: string): Promise<Loris> => {
    const { socket, received } = Raw.open(gateway)
    const startedMs = performance.now()
    let isClosed = false
    socket.once('close', () => {
      isClosed = true
    })
    socket.write(first)
    while (!isClosed && performance.now() - startedMs < 40_000) {
      await sleep(500)
      if (!socket.destroyed) socket.write('a')
    }
    socket.destroy()
    return { isClosed, seconds: (performance.now() - startedMs) / 1_000, answer: received() }
  }
  return Promise.all(Array.from({ length: 60 }, (_, i) => hold(isLong && i % 2 === 0 ? body : head)))
}
