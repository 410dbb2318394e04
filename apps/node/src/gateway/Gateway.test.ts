import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { crypto } from 'assay/crypto/node'
import { Body, Bytes, Claims, Cose, Dcbor, Head, Pledge, Slot, Wire } from 'assay/protocol'
import * as Toy from '../../../../tests/execution/Toy.ts'
import { DiskFullError } from '../store/Database.ts'
import { limits } from './limits.ts'
import * as ReceiptOut from './ReceiptOut.ts'
import * as Scene from './scene.t.ts'

const { chat, chatTarget, createScene, get, post, receiptOf } = Scene
const addition = {
  inputs: [
    { name: 'a', datatype: 'FP32', shape: [2, 2], data: [1, 2, 3, 4] },
    { name: 'b', datatype: 'INT64', shape: [2], data: [5, 6] },
  ],
}

describe('chat in one piece', () => {
  test('comes with a receipt whose claims commit to exactly what was sent, run and answered', async (context) => {
    const scene = await createScene(context)
    const body = JSON.stringify(chat({ user: 'somebody' }))
    const response = await post(scene, chatTarget, body)
    assert.equal(response.statusCode, 200, response.body)
    assert.match(
      response.body,
      /^\{"id":"chatcmpl-[0-9a-f]{32}","object":"chat.completion","created":1800000000,"model":"toy",/,
    )
    const { parsed, claim, saltOf, head } = await Scene.open(receiptOf(response.headers))
    assert.deepEqual([parsed.modeBits, parsed.flags, parsed.sequence], [4, 0, 0n])
    assert.deepEqual(
      [...(await Scene.open(receiptOf(response.headers))).claims.keys()],
      [0, 2, 3, 4, 5, 6, 7, 8, 10, 15],
    )
    const sent = Bytes.fromUtf8(body)
    assert.deepEqual(claim('request'), {
      ...{ method: 'POST', target: chatTarget, mediaType: 'application/json', bytes: BigInt(sent.length) },
      hash: Body.requestHash(crypto, saltOf('request'), sent),
    })
    const answer = new Uint8Array(response.rawPayload)
    assert.deepEqual(claim('response'), {
      ...{ status: 200, mediaType: 'application/json', chunks: 1, bytes: BigInt(answer.length) },
      root: Body.root(crypto, saltOf('response'), [answer]),
    })
    assert.deepEqual(claim('effectiveRequest')?.rewrites, [
      { code: 'default', path: '/top_p', detail: '1' },
      { code: 'default', path: '/seed', detail: '0' },
      { code: 'drop', path: '/user', detail: '' },
    ])
    assert.deepEqual(claim('model'), Toy.manifestHash)
    assert.deepEqual(claim('weights'), Toy.weightsRoot)
    assert.deepEqual(claim('engine')?.sampling, { seed: 0n, temperature: '0', topP: '1' })
    assert.deepEqual(claim('exposure'), scene.served.exposure)
    assert.deepEqual(claim('node'), { version: '0.1.0', config: scene.served.config.digest })
    const usage = JSON.parse(response.body).usage
    assert.deepEqual(claim('outcome')?.usage, {
      prompt: BigInt(usage.prompt_tokens),
      completion: BigInt(usage.completion_tokens),
    })
    const { words, signature } = Wire.decodePledge(String(response.headers['assay-pledge']))
    await Cose.verify(crypto, {
      tag: 'pledge',
      payload: Pledge.payload(crypto, words),
      signature,
      publicKey: Scene.logSigner.publicKey,
    })
    assert.deepEqual(scene.log.heads, [head])
  })

  test('uses the salts of the given nonce, and names itself not exact on a native engine', async (context) => {
    const scene = await createScene(context)
    const nonce = new Uint8Array(16).fill(0xab)
    const headers = { 'assay-nonce': Wire.encodeNonce(nonce) }
    const response = await post(scene, chatTarget, chat({ model: 'toy-native' }), headers)
    const values = receiptOf(response.headers)
    const { parsed, claim } = await Scene.open(values, nonce)
    assert.equal(parsed.modeBits, 0)
    assert.equal(claim('effectiveRequest')?.rewrites[0]?.code, 'alias')
    await assert.rejects(Scene.open(values))
  })

  test('a model that fails gives a 500 with a receipt that says so, and no word of the prompt', async (context) => {
    const scene = await createScene(context)
    scene.mischief.failAt = 2
    const response = await post(scene, chatTarget, chat())
    assert.equal(response.statusCode, 500)
    assert.equal(JSON.parse(response.body).error.code, 'model_failed')
    const { parsed, claim, saltOf } = await Scene.open(receiptOf(response.headers))
    assert.equal(parsed.flags, Head.flags.notCompleted)
    assert.equal(claim('outcome')?.finish, 'error')
    assert.equal(claim('outcome')?.error, 'runtime-failed')
    assert.equal(claim('output')?.count, 2)
    assert.deepEqual(
      claim('response')?.root,
      Body.root(crypto, saltOf('response'), [new Uint8Array(response.rawPayload)]),
    )
    assert.ok(!JSON.stringify([scene.records, response.body, response.headers]).includes('hello'))
  })

  test('is pending when no log takes the head; the receipt follows by its order', async (context) => {
    const scene = await createScene(context)
    scene.log.isDown = true
    const body = JSON.stringify(chat())
    const { headers, hash } = await Scene.order(body)
    const response = await post(scene, chatTarget, body, headers)
    assert.equal(response.statusCode, 200)
    assert.equal(response.headers['assay-receipt'], 'pending')
    // Nothing signed, and what finds and reads the receipt later.
    for (const name of ['assay-pledge', 'assay-claims']) assert.equal(response.headers[name], undefined)
    const secret = Wire.decodeSecret(String(response.headers['assay-secret']))
    const path = `/v1/receipts/by-order/${Bytes.toHex(hash)}`
    const early = await get(scene, path)
    assert.deepEqual(
      [early.statusCode, early.json().error.code, early.headers['retry-after']],
      [404, 'receipt_pending', '1'],
    )
    scene.log.isDown = false
    for (let i = 0; i < 1_000 && scene.issuer.unreleased() > 0; i++)
      await new Promise((resolve) => setTimeout(resolve, 10))
    const found = await get(scene, path)
    assert.equal(found.statusCode, 200)
    const link = `</v1/receipts/${found.json().hash}>; rel="receipt"`
    assert.equal(response.headers.link, link)
    const token = `Bearer ${Bytes.toHex(Wire.readToken(crypto, secret))}`
    const claims = await get(scene, `/v1/receipts/${found.json().hash}/claims`, { authorization: token })
    const { head, pledge } = Wire.decodeReceiptClaims(new Uint8Array(claims.rawPayload))
    assert.equal(Bytes.toBase64url(head), found.json().head)
    assert.ok(pledge !== undefined)
  })

  test('a call that could not be written leaves its order free, as soon as the disk writes again', async (context) => {
    const scene = await createScene(context)
    const body = JSON.stringify(chat())
    const { headers } = await Scene.order(body)
    scene.disk.isFull = true
    const failed = await post(scene, chatTarget, body, headers)
    assert.deepEqual([failed.statusCode, failed.json().error.code], [503, 'down'])
    assert.equal(scene.log.heads.length, 0)
    scene.disk.isFull = false
    let again = await post(scene, chatTarget, body, headers)
    for (let i = 0; i < 500 && again.statusCode === 409; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      again = await post(scene, chatTarget, body, headers)
    }
    assert.equal(again.statusCode, 200)
    assert.equal(scene.log.heads.length, 1)
    assert.equal((await post(scene, chatTarget, body, headers)).statusCode, 409)
  })

  test('too many callers in line get a 503 with Retry-After and no receipt, and may use their order again', async (context) => {
    const scene = await createScene(context)
    let letGo = () => {}
    const gate = new Promise<void>((resolve) => {
      letGo = resolve
    })
    scene.mischief.gate = () => gate
    const running = [0, 1, 2].map(() => post(scene, chatTarget, chat()))
    while (scene.mischief.runs === 0 || scene.served.engines.get('toy')?.waiting() !== 2)
      await new Promise((resolve) => setImmediate(resolve))
    const body = JSON.stringify(chat())
    const { headers } = await Scene.order(body)
    const refused = await post(scene, chatTarget, body, headers)
    assert.deepEqual(
      [refused.statusCode, refused.json().error.code, refused.headers['retry-after']],
      [503, 'engine_overloaded', '2'],
    )
    assert.equal(refused.headers['assay-receipt'], undefined)
    letGo()
    for (const response of await Promise.all(running)) assert.equal(response.statusCode, 200)
    assert.equal((await post(scene, chatTarget, body, headers)).statusCode, 200)
  })
})

describe('a disk or a log that cannot keep up', () => {
  test('a full disk refuses before and after the model ran, gives no answer without its receipt, and works again', async (context) => {
    const scene = await createScene(context)
    const { openIntent } = scene.store
    const { issue } = scene.issuer
    const full = () => Promise.reject(new DiskFullError('node'))
    Object.assign(scene.store, { openIntent: full })
    const before = await post(scene, chatTarget, chat())
    assert.deepEqual(
      [before.statusCode, before.json().error.code, before.headers['retry-after']],
      [503, 'disk_full', '30'],
    )
    assert.equal(scene.mischief.runs, 0)
    Object.assign(scene.store, { openIntent })
    Object.assign(scene.issuer, { issue: full })
    const late = await post(scene, chatTarget, chat())
    assert.deepEqual([late.statusCode, Object.keys(late.json())], [503, ['error']])
    Object.assign(scene.issuer, { issue })
    assert.equal((await post(scene, chatTarget, chat())).statusCode, 200)
  })

  test('too many heads without a log refuse new calls before they run', async (context) => {
    const scene = await createScene(context)
    Object.assign(scene.issuer, { unreleased: () => limits.unreleasedHeads })
    const response = await post(scene, chatTarget, chat())
    assert.deepEqual(
      [response.statusCode, response.json().error.code, response.headers['retry-after']],
      [503, 'overloaded', '2'],
    )
    assert.equal(scene.mischief.runs, 0)
  })
})

describe('tensors', () => {
  test('come with a receipt', async (context) => {
    const scene = await createScene(context)
    const response = await post(scene, '/v2/models/adder/infer', { ...addition, id: 'one' })
    assert.equal(
      response.body,
      '{"model_name":"adder","model_version":"1","id":"one","outputs":[{"name":"sum","datatype":"FP32","shape":[2],"data":[3,7]},{"name":"count","datatype":"INT64","shape":[1],"data":[2]}]}',
    )
    const { claim, parsed } = await Scene.open(receiptOf(response.headers))
    assert.equal(parsed.modeBits, 4)
    assert.deepEqual([claim('output')?.kind, claim('output')?.count], [2, 3])
    assert.equal(claim('request')?.target, '/v2/models/adder/infer')
    assert.equal(claim('engine')?.sampling, undefined)
  })

  test('a failing model gives a receipt with flag 1', async (context) => {
    const scene = await createScene(context)
    scene.mischief.failAt = 0
    const response = await post(scene, '/v2/models/adder/infer', addition)
    assert.equal(response.statusCode, 500)
    const { claim, parsed } = await Scene.open(receiptOf(response.headers))
    assert.deepEqual([parsed.flags, claim('outcome')?.error, claim('output')], [1, 'runtime-failed', undefined])
  })

  test('a model describes itself', async (context) => {
    const scene = await createScene(context)
    assert.deepEqual((await get(scene, '/v2/models/adder')).json(), {
      ...{ name: 'adder', versions: ['1'], platform: 'onnx-wasm/1' },
      inputs: [
        { name: 'a', datatype: 'FP32', shape: [-1, 2] },
        { name: 'b', datatype: 'INT64', shape: [2] },
      ],
      outputs: [
        { name: 'sum', datatype: 'FP32', shape: [-1] },
        { name: 'count', datatype: 'INT64', shape: [1] },
      ],
    })
    assert.deepEqual((await get(scene, '/v2')).json(), { name: 'assay', version: '0.1.0', extensions: [] })
  })
})

describe('receipts', () => {
  test('the head is for anybody, claims and leaves for the read token', async (context) => {
    const scene = await createScene(context)
    const body = JSON.stringify(chat())
    const { headers, hash: orderHash, nonce } = await Scene.order(body)
    const response = await post(scene, chatTarget, body, headers)
    const { hash, token, head, claims, claim, saltOf } = await Scene.open(receiptOf(response.headers), nonce)
    assert.equal(response.headers.link, `</v1/receipts/${hash}>; rel="receipt"`)
    const { signature } = Wire.decodeReceipt(String(response.headers['assay-receipt']))
    const expected = {
      ...{ hash, head: Bytes.toBase64url(head), signature: Bytes.toBase64url(signature) },
      publicKey: Bytes.toBase64url(Scene.nodeSigner.publicKey),
    }
    assert.deepEqual((await get(scene, `/v1/receipts/${hash}`)).json(), expected)
    assert.deepEqual((await get(scene, `/v1/receipts/by-order/${Bytes.toHex(orderHash)}`)).json(), expected)
    assert.deepEqual(claim('order'), orderHash)

    const authorization = `Bearer ${token}`
    const kept = Wire.decodeReceiptClaims(
      new Uint8Array((await get(scene, `/v1/receipts/${hash}/claims`, { authorization })).rawPayload),
    )
    assert.deepEqual(kept.claims, claims)
    assert.deepEqual(kept.pledge, Wire.decodePledge(String(response.headers['assay-pledge'])))
    const path = `/v1/receipts/${hash}/leaves`
    const leaves = Wire.decodeReceiptLeaves(new Uint8Array((await get(scene, path, { authorization })).rawPayload))
    assert.deepEqual(Body.root(crypto, saltOf('effective'), leaves.effective), claim('effectiveRequest')?.root)
    assert.deepEqual(Body.root(crypto, saltOf('output'), leaves.output), claim('output')?.root)

    for (const bad of [
      '',
      'Bearer',
      `Bearer ${'0'.repeat(64)}`,
      `Bearer ${token.slice(1)}`,
      `bearer ${token}`,
      `Basic ${token}`,
    ]) {
      const refused = await get(scene, path, { authorization: bad })
      assert.deepEqual([refused.statusCode, refused.json().error.code], [401, 'read_token'])
    }
    // Which receipts exist is not told to who has no token.
    assert.equal((await get(scene, `/v1/receipts/${'0'.repeat(64)}/claims`, { authorization })).statusCode, 401)
    scene.clock.nowMs += limits.leavesSeconds * 1000
    assert.equal((await get(scene, path, { authorization })).json().error.code, 'leaves_not_found')
  })

  test('unknown and malformed hashes are refused', async (context) => {
    const scene = await createScene(context)
    assert.equal((await get(scene, `/v1/receipts/${'0'.repeat(64)}`)).statusCode, 404)
    for (const hash of ['0', 'A'.repeat(64), '%00', 'x'.repeat(301)]) {
      const { statusCode, body } = await get(scene, `/v1/receipts/${hash}`)
      assert.ok([400, 404, 414].includes(statusCode), String(statusCode))
      assert.equal(typeof JSON.parse(body).error.message, 'string')
    }
  })

  test('an order is good for one call', async (context) => {
    const scene = await createScene(context)
    const body = JSON.stringify(chat())
    const { headers } = await Scene.order(body)
    const both = await Promise.all([post(scene, chatTarget, body, headers), post(scene, chatTarget, body, headers)])
    assert.deepEqual(both.map(({ statusCode }) => statusCode).sort(), [200, 409])
    const third = await post(scene, chatTarget, body, headers)
    assert.deepEqual([third.statusCode, third.json().error.code], [409, 'order_used'])
    assert.equal(scene.log.heads.length, 1)
  })
})

describe('receipt headers', () => {
  const long = (length: number) =>
    new Map([
      [Slot.indexOf('node'), Claims.encode('node', { version: 'v'.repeat(length), config: new Uint8Array(32) })],
    ])
  const outgoing = (values: ReadonlyMap<number, Uint8Array>) => ({
    isPending: false as const,
    ...{
      receiptHash: new Uint8Array(32),
      head: new Uint8Array(139),
      signature: new Uint8Array(64),
      secret: new Uint8Array(32),
    },
    ...{ pledge: { words: new Uint8Array(224), signature: new Uint8Array(64) }, claims: Dcbor.encode(values) },
  })

  test('stay within 3 kB whatever the claims are', () => {
    let inline = 0
    for (let length = 1; length <= 1024; length += 31) {
      for (const copies of [1, 2, 3]) {
        const one = long(length).get(0) as Uint8Array
        const values = new Map(Array.from({ length: copies }, (_, slot) => [slot, one]))
        const headers = ReceiptOut.toHeaders(outgoing(values))
        assert.ok(ReceiptOut.byteLength(headers) <= 3_000)
        if (headers['Assay-Claims'] !== undefined) inline++
      }
    }
    assert.ok(inline > 40)
  })

  test('a real call is inline, and smaller', async (context) => {
    const scene = await createScene(context)
    const body = JSON.stringify(chat({ user: 'u', metadata: {}, store: false }))
    const { headers } = await Scene.order(body)
    const response = await post(scene, chatTarget, body, headers)
    const names = [
      'assay-receipt',
      'assay-pledge',
      'assay-secret',
      'assay-claims',
      'link',
      'cache-control',
      'access-control-expose-headers',
    ]
    const sent = Object.fromEntries(names.map((name) => [name, String(response.headers[name])]))
    assert.ok(ReceiptOut.byteLength(sent) <= 2_600, String(ReceiptOut.byteLength(sent)))
  })
})

describe('what the node says of itself', () => {
  test('assay.json has the fields of spec/wire.md section 4 and nothing else', async (context) => {
    const scene = await createScene(context)
    const json = (await get(scene, '/.well-known/assay.json')).json()
    const toy = {
      kind: 'causal-lm',
      manifestHash: Bytes.toHex(Toy.manifestHash),
      weightsRoot: Bytes.toHex(Toy.weightsRoot),
    }
    const engine = { name: 'toy', version: '1', build: '08'.repeat(32) }
    const { bytes, digest } = scene.served.config
    assert.deepEqual(json, {
      version: 1,
      chain: { chainId: '31337', nodeRegistry: `0x${'11'.repeat(20)}`, anchorLog: `0x${'22'.repeat(20)}` },
      node: {
        ...{ nodeId: '55'.repeat(32), keyEpoch: 0, operator: `0x${'33'.repeat(20)}` },
        publicKey: Bytes.toBase64url(Scene.nodeSigner.publicKey),
      },
      logs: [
        {
          ...{ logId: '44'.repeat(32), publicKey: Bytes.toBase64url(Scene.logSigner.publicKey) },
          ...{ ed25519: Bytes.toBase64url(new Uint8Array(32).fill(0x66)), url: `/log/${'44'.repeat(32)}` },
        },
      ],
      witnesses: [{ publicKey: Bytes.toBase64url(new Uint8Array(64).fill(0x77)) }],
      models: [
        { id: 'toy', ...toy, profile: 'onnx-wasm/1', exact: true, engine },
        { id: 'toy-native', ...toy, profile: 'onnx/1', exact: false, engine },
        json.models[2],
      ],
      config: { digest: Bytes.toHex(digest), bytes: Bytes.toBase64url(bytes) },
    })
    assert.deepEqual(digest, crypto.sha256(bytes))
    const config = Dcbor.decode(bytes) as ReadonlyMap<Dcbor.Key, Dcbor.Value>
    assert.deepEqual([...config.keys()], [1, 2, 3, 4, 5])
    assert.deepEqual([config.get(3), config.get(4), config.get(5)], [[], [], 600])
  })

  test('models, health, log files and proofs', async (context) => {
    const scene = await createScene(context)
    const list = (await get(scene, '/v1/models')).json()
    assert.deepEqual(
      list.data.map(({ id }: { id: string }) => id),
      ['toy', 'toy-native', 'adder'],
    )
    assert.deepEqual((await get(scene, '/v1/models/toy')).json(), list.data[0])
    assert.equal((await get(scene, '/v1/models/gpt-9')).json().error.code, 'model_not_found')
    assert.deepEqual((await get(scene, '/v2/health/live')).json(), { live: true })
    assert.deepEqual((await get(scene, '/v2/health/ready')).json(), { ready: true })
    scene.clock.block = undefined
    const notReady = await get(scene, '/v2/health/ready')
    assert.deepEqual([notReady.statusCode, notReady.json()], [503, { ready: false, reason: 'chain' }])

    const base = `/log/${'44'.repeat(32)}`
    assert.equal((await get(scene, `${base}/checkpoint`)).body, 'a checkpoint\n')
    assert.equal((await get(scene, `${base}/tile/0/000.p/1`)).rawPayload.length, 32)
    for (const path of [
      'tile/0/001',
      'tile/0/000.p/2',
      'tile/0/../../secret',
      'tile/0/%2e%2e/%2e%2e/%2e%2e/secret',
      'tile/64/000',
      'tile/entries',
      'tile/0/000.p',
    ]) {
      assert.equal((await get(scene, `${base}/${path}`)).statusCode, 404, path)
    }
    assert.equal((await get(scene, `/log/${'45'.repeat(32)}/checkpoint`)).json().error.code, 'log_not_found')
    const unanchored = (await get(scene, `${base}/unanchored`)).json()
    const state = {
      size: '3',
      root: Bytes.toBase64url(new Uint8Array(32).fill(8)),
      signature: Bytes.toBase64url(new Uint8Array(64).fill(9)),
    }
    assert.deepEqual(unanchored, { checkpoints: [state] })
    const proof = (await get(scene, `${base}/proof?index=0`)).json()
    assert.deepEqual(Object.keys(proof), ['size', 'root', 'signature', 'proof', 'cosignatures'])
    assert.equal(proof.size, '2')
    const later = await get(scene, `${base}/proof?index=1`)
    assert.deepEqual(
      [later.statusCode, later.json().error.code, later.headers['retry-after']],
      [404, 'not_anchored', '2'],
    )
    for (const query of [
      '',
      '?index=-1',
      '?index=01',
      '?index=1e3',
      '?index=0&size=x',
      '?index=0&index=1',
      '?index=0&other=1',
    ]) {
      assert.equal((await get(scene, `${base}/proof${query}`)).statusCode, 400, query)
    }
  })
})
