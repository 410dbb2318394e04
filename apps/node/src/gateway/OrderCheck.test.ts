/** OrderCheck.test.ts - one flip for each thing that a node checks of an order: only that check can refuse. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, Cose, type Order, Wire } from 'assay/protocol'
import * as Scene from './scene.t.ts'

const { chat, chatTarget, createScene, post } = Scene
const body = JSON.stringify(chat())
const other = (length: number) => new Uint8Array(length).fill(0xee)
const stranger = createP256Signer(other(32))

type Made = Awaited<ReturnType<typeof Scene.order>>
type Headers = Record<string, string | undefined>

/** Changes one byte of a header's decoded value. */
const flip = (value: string, at: number) => {
  const bytes = Bytes.fromBase64url(value)
  bytes[at] = (bytes[at] as number) ^ 1
  return Bytes.toBase64url(bytes)
}

const flips: readonly (readonly [what: string, make: () => Promise<Headers>, code: string])[] = [
  ['nodeId', () => made({ nodeId: other(32) }), 'order_node_mismatch'],
  ['client', () => made({ client: other(32) }), 'order_client_mismatch'],
  ['model', () => made({ model: other(32) }), 'order_model_mismatch'],
  ['requestHash', () => made({ requestHash: other(32) }), 'order_request_mismatch'],
  ['modes', () => made({ modes: 1 }), 'order_modes'],
  ['modes beside a good one', () => made({ modes: 5 }), 'order_modes'],
  ['notAfter', () => made({ notAfter: Scene.blockSeconds - 1n }), 'order_expired'],
  ['exposureTermsHash', () => made({ exposureTermsHash: other(32) }), 'order_terms_mismatch'],
  [
    'terms: parties',
    () => made({}, { terms: { parties: ['somebody'], maxRetentionSeconds: 600 } }),
    'order_terms_exceeded',
  ],
  [
    'terms: retention',
    () => made({}, { terms: { parties: ['node'], maxRetentionSeconds: 599 } }),
    'order_terms_exceeded',
  ],
  [
    'terms missing',
    () => made({}, {}, ({ headers }) => ({ ...headers, 'assay-order-terms': undefined })),
    'order_terms_missing',
  ],
  [
    'terms that are none',
    () => made({}, {}, ({ headers }) => ({ ...headers, 'assay-order-terms': '_' })),
    'header_malformed',
  ],
  [
    'terms without being asked',
    () => made({}, { terms: null }, ({ headers }) => ({ ...headers, 'assay-order-terms': 'oA' })),
    'header_conflict',
  ],
  ['chainId of the domain', () => made({}, { domain: { ...Scene.domain, chainId: 1n } }), 'order_signature'],
  ['registry of the domain', () => made({}, { domain: { ...Scene.domain, registry: other(20) } }), 'order_signature'],
  [
    'salt',
    () =>
      made({}, {}, ({ headers }) => ({
        ...headers,
        'assay-order-salt': flip(headers['assay-order-salt'] as string, 0),
      })),
    'order_request_mismatch',
  ],
  [
    'salt missing',
    () => made({}, {}, ({ headers }) => ({ ...headers, 'assay-order-salt': undefined })),
    'order_salt_missing',
  ],
  [
    'salt too short',
    () => made({}, {}, ({ headers }) => ({ ...headers, 'assay-order-salt': 'AAAA' })),
    'header_malformed',
  ],
  ['signature', () => flipped(416 + 40), 'order_signature'],
  ['signature with high S', highS, 'order_signature'],
  ['public key', strangersKey, 'order_client_mismatch'],
  // What is signed and means nothing here is still signed.
  ['policyCommitment after signing', () => flipped(4 * 32), 'order_signature'],
  ['maxPrice after signing', () => flipped(8 * 32 - 1), 'order_signature'],
  ['nonce after signing', () => flipped(8 * 32), 'order_signature'],
  // Words that are no order at all.
  ['padding of modes', () => flipped(5 * 32), 'order_malformed'],
  ['unknown mode', () => flipped(6 * 32 - 1, 8), 'order_malformed'],
  ['parentsHash', () => flipped(11 * 32), 'order_malformed'],
  ['replyKeyHash', () => flipped(12 * 32), 'order_malformed'],
  [
    'length',
    () => made({}, {}, ({ headers }) => ({ ...headers, 'assay-order': `${headers['assay-order']}AAAA` })),
    'header_malformed',
  ],
  [
    'alphabet',
    () => made({}, {}, ({ headers }) => ({ ...headers, 'assay-order': `+${headers['assay-order']?.slice(1)}` })),
    'header_malformed',
  ],
  [
    'a nonce header beside it',
    () => made({}, {}, ({ headers }) => ({ ...headers, 'assay-nonce': 'A'.repeat(22) })),
    'header_conflict',
  ],
  ['a salt alone', async () => ({ 'assay-order-salt': 'A'.repeat(22) }), 'header_conflict'],
  ['a nonce that is none', async () => ({ 'assay-nonce': 'A'.repeat(21) }), 'header_malformed'],
]

async function made(
  change: Partial<Order.Order>,
  options: Parameters<typeof Scene.order>[2] = {},
  edit: (made: Made) => Headers = ({ headers }) => headers,
): Promise<Headers> {
  return edit(await Scene.order(body, change, options))
}

function flipped(at: number, mask = 1): Promise<Headers> {
  return made({}, {}, ({ headers }) => {
    const bytes = Bytes.fromBase64url(headers['assay-order'] as string)
    bytes[at] = (bytes[at] as number) ^ mask
    return { ...headers, 'assay-order': Bytes.toBase64url(bytes) }
  })
}

function highS(): Promise<Headers> {
  return made({}, {}, ({ headers }) => {
    const { words, signature, publicKey } = Wire.decodeOrder(headers['assay-order'] as string)
    const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
    const s = n - Bytes.toBigInt(signature.subarray(32))
    const high = Bytes.concat(signature.subarray(0, 32), Bytes.u256(s))
    return { ...headers, 'assay-order': Wire.encodeOrder({ words, signature: high, publicKey }) }
  })
}

async function strangersKey(): Promise<Headers> {
  const { headers, hash } = await Scene.order(body)
  const { words } = Wire.decodeOrder(headers['assay-order'] as string)
  const signature = await Cose.sign(crypto, stranger, 'order', hash)
  return { ...headers, 'assay-order': Wire.encodeOrder({ words, signature, publicKey: stranger.publicKey }) }
}

const present = (headers: Headers) =>
  Object.fromEntries(Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined))

test('each check alone refuses, before anything runs, without a receipt, and a good order is taken', async (context) => {
  const scene = await createScene(context)
  for (const [what, make, code] of flips) {
    const response = await post(scene, chatTarget, body, present(await make()))
    assert.deepEqual([response.statusCode, response.json().error.code], [400, code], what)
    assert.equal(response.json().error.type, 'invalid_request_error')
    assert.equal(response.headers['assay-receipt'], undefined, what)
  }
  assert.equal(scene.mischief.runs, 0)
  assert.equal(scene.log.heads.length, 0)
  for (const change of [
    {},
    { model: new Uint8Array(32) },
    { modes: 0 },
    { notAfter: Scene.blockSeconds },
    { maxPrice: 5n },
  ]) {
    const { headers, hash, nonce } = await Scene.order(body, change)
    const response = await post(scene, chatTarget, body, headers)
    assert.equal(response.statusCode, 200, response.body)
    const { claim } = await Scene.open(Scene.receiptOf(response.headers), nonce)
    assert.deepEqual(claim('order'), hash)
  }
  const without = await Scene.order(body, {}, { terms: null })
  assert.equal((await post(scene, chatTarget, body, without.headers)).statusCode, 200)
})

test('exact bytes count: the same JSON with another space is another request', async (context) => {
  const scene = await createScene(context)
  const { headers } = await Scene.order(body)
  const response = await post(scene, chatTarget, `${body} `, headers)
  assert.equal(response.json().error.code, 'order_request_mismatch')
})

test('an order for the exact engine is refused on the native one', async (context) => {
  const scene = await createScene(context)
  const native = JSON.stringify(chat({ model: 'toy-native' }))
  const { headers } = await Scene.order(native)
  assert.equal((await post(scene, chatTarget, native, headers)).json().error.code, 'order_modes')
})

test('without any block the deadline cannot be judged', async (context) => {
  const scene = await createScene(context)
  scene.clock.block = undefined
  const { headers } = await Scene.order(body)
  const response = await post(scene, chatTarget, body, headers)
  assert.deepEqual([response.statusCode, response.json().error.code], [503, 'not_ready'])
})
