/**
 * refusals.test.ts - requests as text, as they travel, and what a listening gateway answers: status and code. Every answer
 * has OpenAI's shape, no receipt, and quotes nothing of the request.
 */
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { limits } from './limits.ts'
import * as Raw from './raw.t.ts'
import * as Scene from './scene.t.ts'

const { chat } = Scene
const marker = 'heron'
const good = JSON.stringify(chat())

/** POST of a body to a path, with more or other header lines. */
function post(
  body: string | Buffer,
  options: { path?: string; type?: string; lines?: readonly string[] } = {},
): Buffer {
  const { path = '/v1/chat/completions', type = 'application/json', lines = [] } = options
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body)
  const head = [`POST ${path} HTTP/1.1`, 'Host: $HOST', ...(type === '' ? [] : [`Content-Type: ${type}`]), ...lines]
  return Buffer.concat([Buffer.from(`${[...head, `Content-Length: ${bytes.length}`].join('\r\n')}\r\n\r\n`), bytes])
}
const line = (text: string, ...lines: readonly string[]) =>
  Buffer.from(`${[text, 'Host: $HOST', ...lines].join('\r\n')}\r\n\r\n`)
const edited = (change: Record<string, unknown>) => post(JSON.stringify(chat(change)))
const tensors = (a: string, path = '/v2/models/adder/infer') =>
  post(
    `{"inputs":[{"name":"a","datatype":"FP32","shape":[1,2],"data":${a}},{"name":"b","datatype":"INT64","shape":[2],"data":[1,2]}]}`,
    { path },
  )

const cases: readonly (readonly [what: string, request: Buffer, status: number, code: string])[] = [
  ['not JSON', post(`{"${marker}`), 400, 'invalid_json'],
  ['empty body', post(''), 400, 'invalid_json'],
  ['not an object', post('[]'), 400, 'invalid_type'],
  [
    'invalid UTF-8',
    post(Buffer.concat([Buffer.from('{"model":"'), Buffer.from([0xff]), Buffer.from('"}')])),
    400,
    'invalid_json',
  ],
  ['a byte order mark', post(Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(good)])), 400, 'invalid_json'],
  ['a lone surrogate', post(good.replace('hello', '\\ud800')), 400, 'invalid_json'],
  ['NaN', post(good.replace('"temperature":0', '"temperature":NaN')), 400, 'invalid_json'],
  ['duplicate keys', post(good.replace('{', '{"model":"toy",')), 400, 'invalid_json'],
  ['two values', post(`${good}${good}`), 400, 'invalid_json'],
  ['too deep', post(good.replace('"hello there"', `${'['.repeat(40)}${']'.repeat(40)}`)), 400, 'invalid_json'],
  ['unknown field', edited({ [marker]: 1 }), 400, 'unsupported_field'],
  ['unsupported field', edited({ logit_bias: {} }), 400, 'unsupported_field'],
  ['two answers', edited({ n: 2 }), 400, 'unsupported_value'],
  ['tools', edited({ tools: [{}] }), 400, 'unsupported_value'],
  ['no model', post('{"messages":[]}'), 400, 'missing_field'],
  ['model of another type', edited({ model: 7 }), 400, 'invalid_type'],
  ['unknown model', edited({ model: marker }), 404, 'model_not_found'],
  ['a tensor model', edited({ model: 'adder' }), 400, 'model_kind'],
  ['no messages', edited({ messages: [] }), 400, 'invalid_value'],
  ['unknown role', edited({ messages: [{ role: marker, content: 'x' }] }), 400, 'unsupported_value'],
  ['an image', edited({ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }), 400, 'unsupported_value'],
  ['too hot', edited({ temperature: 3 }), 400, 'invalid_value'],
  ['limit of zero', edited({ max_tokens: 0 }), 400, 'invalid_value'],
  ['two limits', edited({ max_completion_tokens: 3 }), 400, 'conflicting_fields'],
  ['an empty stop', edited({ stop: '' }), 400, 'invalid_value'],
  ['stream options without a stream', edited({ stream_options: {} }), 400, 'conflicting_fields'],
  [
    'a prompt longer than the context',
    edited({ messages: [{ role: 'user', content: `${marker} `.repeat(100) }] }),
    400,
    'context_length_exceeded',
  ],
  ['a body over its limit', post(' '.repeat(limits.bodyBytes + 1)), 413, 'body_too_large'],
  ['text', post(good, { type: 'text/plain' }), 415, 'unsupported_media_type'],
  ['a form', post(good, { type: 'application/x-www-form-urlencoded' }), 415, 'unsupported_media_type'],
  ['no type', post(good, { type: '' }), 415, 'unsupported_media_type'],
  ['another character set', post(good, { type: 'application/json; charset=latin1' }), 415, 'unsupported_media_type'],
  ['a compressed body', post(good, { lines: ['Content-Encoding: gzip'] }), 415, 'unsupported_content_encoding'],
  ['a query', post(good, { path: `/v1/chat/completions?${marker}=1` }), 400, 'query_not_allowed'],
  ['an unknown stream form', post(good, { lines: [`Assay-Stream: ${marker}`] }), 400, 'header_malformed'],
  ['tensor: NaN', tensors('[NaN,1]'), 400, 'invalid_json'],
  ['tensor: infinite', tensors('[1e39,1]'), 400, 'invalid_value'],
  ['tensor: wrong shape', tensors('[1]'), 400, 'wrong_shape'],
  ['tensor: text', tensors('["1",1]'), 400, 'invalid_type'],
  ['tensor: unknown model', tensors('[1,1]', `/v2/models/${marker}/infer`), 404, 'model_not_found'],
  ['tensor: a chat model', tensors('[1,1]', '/v2/models/toy/infer'), 400, 'model_kind'],
  ['unknown path', line(`GET /${marker} HTTP/1.1`), 404, 'unknown_route'],
  ['a path above the root', line('GET /../../etc/passwd HTTP/1.1'), 404, 'unknown_route'],
  ['a broken escape', line('GET /v1/models/%zz HTTP/1.1'), 400, 'bad_request'],
  ['wrong method', line('GET /v1/chat/completions HTTP/1.1'), 405, 'method_not_allowed'],
  ['deleting', line('DELETE /v1/models HTTP/1.1'), 405, 'method_not_allowed'],
  ['OPTIONS of nothing', line(`OPTIONS /${marker} HTTP/1.1`), 404, 'unknown_route'],
  ['another host', Buffer.from('GET /v1/models HTTP/1.1\r\nHost: example.com\r\n\r\n'), 403, 'forbidden_host'],
  [
    'a host that only begins well',
    Buffer.from('GET /v1/models HTTP/1.1\r\nHost: $HOST.example.com\r\n\r\n'),
    403,
    'forbidden_host',
  ],
  ['another port', Buffer.from('GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n'), 403, 'forbidden_host'],
  ['no host', Buffer.from('GET /v1/models HTTP/1.1\r\n\r\n'), 403, 'forbidden_host'],
  ['two hosts', line('GET /v1/models HTTP/1.1', 'Host: example.com'), 403, 'forbidden_host'],
  ['another origin', line('GET /v1/models HTTP/1.1', 'Origin: https://example.com'), 403, 'forbidden_origin'],
  ['the null origin', line('GET /v1/models HTTP/1.1', 'Origin: null'), 403, 'forbidden_origin'],
  [
    'another origin asks first',
    line('OPTIONS /v1/chat/completions HTTP/1.1', 'Origin: https://example.com'),
    403,
    'forbidden_origin',
  ],
  [
    'headers over their limit',
    line('GET /v1/models HTTP/1.1', `X-Long: ${'x'.repeat(limits.headerBytes)}`),
    431,
    'headers_too_large',
  ],
  ['no HTTP', Buffer.from(`${marker}\r\n\r\n`), 400, 'malformed_http'],
  [
    'two lengths',
    line('POST /v1/chat/completions HTTP/1.1', 'Content-Length: 1', 'Content-Length: 2'),
    400,
    'malformed_http',
  ],
  [
    'smuggling',
    line('POST /v1/chat/completions HTTP/1.1', 'Content-Length: 4', 'Transfer-Encoding: chunked'),
    400,
    'malformed_http',
  ],
]

/** Sends bytes and collects the answer until `done` or the end of the connection. */
const exchange = (port: number, request: Buffer, isDone?: (text: string) => boolean) =>
  Raw.exchange(connect(port, '127.0.0.1'), request, isDone)

async function listening(context: Parameters<typeof Scene.createScene>[0]) {
  const scene = await Scene.createScene(context)
  const url = new URL(await scene.gateway.listen({ host: '127.0.0.1', port: 0 }))
  return { scene, port: Number(url.port), host: url.host }
}

test('requests that are refused', async (context) => {
  const { scene, port, host } = await listening(context)
  for (const [what, request, status, code] of cases) {
    const named = Buffer.from(request.toString('latin1').replace('$HOST', host), 'latin1')
    const text = await exchange(port, named)
    assert.equal(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]), status, `${what}: ${text}`)
    const [head = '', body = ''] = text.split('\r\n\r\n', 2)
    assert.match(body, /^\{"error":\{/, `${what}: ${text}`)
    const { error, ...rest } = JSON.parse(body)
    assert.deepEqual(rest, {}, what)
    assert.deepEqual(Object.keys(error), ['message', 'type', 'param', 'code'], what)
    assert.equal(error.code, code, what)
    assert.match(head, /content-type: application\/json/i, what)
    assert.doesNotMatch(head, /assay-receipt/i, what)
    assert.doesNotMatch(text, new RegExp(marker), what)
    if (code !== 'malformed_http' && code !== 'headers_too_large')
      assert.match(head, /x-request-id: req_[0-9a-f]{24}/, what)
  }
  assert.equal(scene.mischief.runs, 0)
  assert.equal(scene.log.heads.length, 0)
  assert.ok(!JSON.stringify(scene.records).includes(marker))
  // After all that it still serves.
  assert.match(await exchange(port, Buffer.from(post(good).toString().replace('$HOST', host))), /^HTTP\/1\.1 200/)
})

test('HEAD and OPTIONS', async (context) => {
  const { port, host } = await listening(context)
  const named = (request: Buffer) => Buffer.from(request.toString().replaceAll('$HOST', host))
  const head = await exchange(port, named(line('HEAD /v1/models HTTP/1.1')), (text) => text.endsWith('\r\n\r\n'))
  assert.match(head, /^HTTP\/1\.1 200/)
  const options = await exchange(
    port,
    named(line('OPTIONS /v1/chat/completions HTTP/1.1', 'Origin: http://$HOST')),
    (text) => text.endsWith('\r\n\r\n'),
  )
  assert.match(options, /^HTTP\/1\.1 204/)
  assert.match(options, /access-control-allow-methods: POST\r\n/i)
  assert.ok(options.toLowerCase().includes(`access-control-allow-origin: http://${host}\r\n`))
})

test('a body in small pieces is taken, and one that never ends is cut off in bounded time', async (context) => {
  const { scene, port, host } = await listening(context)
  // The limits are for real networks; here they are shortened to be seen.
  scene.app.server.headersTimeout = 300
  scene.app.server.requestTimeout = 1_500
  const open = (text: string): Socket => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(text)
    return socket
  }
  const ended = (socket: Socket) =>
    new Promise<string>((resolve) => {
      let text = ''
      socket.on('data', (bytes) => (text += bytes.toString()))
      socket.on('close', () => resolve(text))
    })
  const slow = open(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${good.length}\r\n\r\n`,
  )
  const answer = new Promise<string>((resolve) => slow.once('data', (bytes) => resolve(bytes.toString())))
  for (let at = 0; at < good.length; at += 20) {
    slow.write(good.slice(at, at + 20))
    await sleep(5)
  }
  assert.match(await answer, /^HTTP\/1\.1 200/)
  slow.destroy()

  const startedMs = performance.now()
  const drips = Array.from({ length: 20 }, () => open(`GET /v1/models HTTP/1.1\r\nHost: ${host}\r\nX-Slow: `))
  const stuck = open(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
  )
  const timer = setInterval(() => {
    for (const socket of drips) if (socket.writable) socket.write('x')
  }, 100)
  // Others are served meanwhile.
  assert.match(await exchange(port, Buffer.from(post(good).toString().replace('$HOST', host))), /^HTTP\/1\.1 200/)
  const texts = await Promise.all([...drips, stuck].map(ended))
  clearInterval(timer)
  assert.ok(performance.now() - startedMs < 15_000)
  for (const text of texts) assert.match(text, /^(HTTP\/1\.1 408 .*"code":"request_timeout".*)?$/s)
})
