import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { crypto, generateP256 } from 'assay/crypto/node'
import { Cose } from 'assay/protocol'
import * as Parallel from './Parallel.ts'

const pool = Parallel.create({ base: crypto, workers: 2 })
after(pool.close)
const { privateKey, signer } = generateP256()
const payload = (i: number): Uint8Array => crypto.sha256(Uint8Array.of(i & 255, i >> 8))

describe('Parallel', () => {
  test('signs what the node driver accepts, and accepts what it signs', async () => {
    const parallel = pool.createSigner(privateKey)
    assert.deepEqual(parallel.publicKey, signer.publicKey)
    const all = Array.from({ length: 300 }, async (_, i) => {
      const signature = await Cose.sign(crypto, parallel, 'pledge', payload(i))
      await Cose.verify(pool.crypto, { tag: 'pledge', payload: payload(i), signature, publicKey: signer.publicKey })
    })
    await Promise.all(all)
  })

  test('tells good from bad within one packet', async () => {
    const message = Uint8Array.of(1, 2, 3)
    const signature = await signer.sign(message)
    const wrong = { key: generateP256().signer.publicKey, message: Uint8Array.of(1, 2), signature: signature.slice(1) }
    const { publicKey } = signer
    const answers = await Promise.all([
      pool.crypto.p256Verify(publicKey, message, signature),
      pool.crypto.p256Verify(wrong.key, message, signature),
      pool.crypto.p256Verify(publicKey, wrong.message, signature),
      pool.crypto.p256Verify(publicKey, message, wrong.signature),
      pool.crypto.p256Verify(new Uint8Array(64), message, signature),
      pool.crypto.p256Verify(publicKey, message, signature),
    ])
    assert.deepEqual(answers, [true, false, false, false, false, true])
  })

  test('what waits when the pool closes fails, and nothing is taken after', async () => {
    const closing = Parallel.create({ base: crypto, workers: 1 })
    const waiting = closing.crypto.p256Verify(signer.publicKey, payload(1), new Uint8Array(64))
    await Promise.all([assert.rejects(Promise.resolve(waiting), { code: 'closed' }), closing.close()])
    await assert.rejects(Promise.resolve(closing.crypto.p256Verify(signer.publicKey, payload(1), new Uint8Array(64))), {
      code: 'closed',
    })
  })
})
