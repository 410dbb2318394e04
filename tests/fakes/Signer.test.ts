/** Signer.test.ts - the signer of the fakes against RFC 6979 and against the library's deterministic one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createP256Signer, crypto as noble } from 'assay/crypto/noble'
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import * as Signer from './Signer.ts'

test('the example of RFC 6979, A.2.5, with SHA-256', async () => {
  const signer = Signer.create(Bytes.fromHex('c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721'))
  const r = 'efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716'
  const s = 0xf7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8n
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
  assert.equal(
    Bytes.toHex(await signer.sign(Bytes.fromUtf8('sample'))),
    r + Bytes.toHex(Bytes.u256(2n * s > order ? order - s : s)),
  )
})

test('signs as the library does, and both drivers take it', async () => {
  for (let i = 0; i < 100; i++) {
    const privateKey = crypto.sha256(Bytes.fromUtf8(`key ${i}`))
    const message = crypto.sha256(Bytes.fromUtf8(`message ${i}`)).subarray(i % 32)
    const [one, other] = [Signer.create(privateKey), createP256Signer(privateKey)]
    assert.deepEqual(one.publicKey, other.publicKey)
    const signature = await one.sign(message)
    assert.deepEqual(signature, await other.sign(message))
    assert.ok(crypto.p256Verify(one.publicKey, message, signature))
    assert.ok(noble.p256Verify(one.publicKey, message, signature))
  }
})
