import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ed25519 } from '@noble/curves/ed25519.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import { behavesLikeCrypto } from './Crypto.behavior.ts'
import * as Ed25519Rule from './Ed25519Rule.ts'
import * as noble from './noble.ts'
import * as node from './node.ts'

behavesLikeCrypto('node', node)

describe('generateP256, generateEd25519', () => {
  test('make different keys whose bytes give the same signer again', async () => {
    const one = node.generateP256()
    const two = node.generateP256()
    assert.equal(one.privateKey.length, 32)
    assert.notDeepEqual(one.signer.publicKey, two.signer.publicKey)
    assert.deepEqual(noble.createP256Signer(one.privateKey).publicKey, one.signer.publicKey)
    const { seed, signer } = node.generateEd25519()
    assert.deepEqual(noble.createEd25519Signer(seed).publicKey, signer.publicKey)
  })
})

describe('both drivers', () => {
  test('accept what the other signs, and make the same Ed25519 signature', async () => {
    for (let i = 1; i < 10; i++) {
      const secret = new Uint8Array(32).fill(i)
      const message = Bytes.fromUtf8(`message ${i}`)
      const payload = node.crypto.sha256(message)
      for (const [maker, checker] of [
        [noble, node],
        [node, noble],
      ] as const) {
        const signer = maker.createP256Signer(secret)
        const signature = await Cose.sign(maker.crypto, signer, 'pledge', payload)
        await Cose.verify(checker.crypto, { tag: 'pledge', payload, signature, publicKey: signer.publicKey })
      }
      assert.deepEqual(
        await node.createEd25519Signer(secret).sign(message),
        await noble.createEd25519Signer(secret).sign(message),
      )
    }
  })

  test('agree on Ed25519 signatures with one bit flipped anywhere', async () => {
    const signer = node.createEd25519Signer(new Uint8Array(32).fill(9))
    const message = Bytes.fromUtf8('m')
    const whole = Bytes.concat(signer.publicKey, await signer.sign(message))
    for (let bit = 0; bit < whole.length * 8; bit += 5) {
      const changed = Uint8Array.from(whole)
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
      const key = changed.subarray(0, 32)
      const signature = changed.subarray(32)
      assert.equal(await node.crypto.ed25519Verify(key, message, signature), false)
      assert.equal(await noble.crypto.ed25519Verify(key, message, signature), false)
    }
  })

  test('the cache of keys stays bounded and right', async () => {
    const message = Bytes.fromUtf8('m')
    const signer = node.createP256Signer(new Uint8Array(32).fill(3))
    const signature = await signer.sign(message)
    for (let i = 0; i < node.maxCachedKeys + 10; i++) {
      const key = Bytes.concat(Bytes.u32(i), new Uint8Array(28))
      assert.equal(await node.crypto.ed25519Verify(key, message, new Uint8Array(64).fill(2)), false)
    }
    assert.equal(await node.crypto.p256Verify(signer.publicKey, message, signature), true)
    assert.equal(await node.crypto.p256Verify(signer.publicKey, message, signature), true)
  })
})

describe('Ed25519Rule', () => {
  test('lists exactly the points whose order divides 8', () => {
    // A point of small order, found without the list: L times any point keeps only its small component.
    const { Point } = ed25519
    const found = new Set<string>()
    for (let i = 0; found.size < 8 && i < 10_000; i++) {
      try {
        const point = Point.fromBytes(node.crypto.sha256(Bytes.u32(i)), false)
        // multiplyUnsafe takes scalars below L only, so L * P = (L - 1) * P + P.
        found.add(
          Bytes.toHex(
            point
              .multiplyUnsafe(Point.Fn.ORDER - 1n)
              .add(point)
              .toBytes(),
          ),
        )
      } catch {
        // not a point
      }
    }
    assert.equal(found.size, 8)
    const good = noble.createEd25519Signer(new Uint8Array(32).fill(1)).publicKey
    const s = new Uint8Array(32).fill(1)
    assert.equal(Ed25519Rule.isAllowed(good, Bytes.concat(good, s)), true)
    for (const encoded of found) {
      assert.equal(Ed25519Rule.isAllowed(Bytes.fromHex(encoded), Bytes.concat(good, s)), false, encoded)
      assert.equal(Ed25519Rule.isAllowed(good, Bytes.concat(Bytes.fromHex(encoded), s)), false, encoded)
    }
  })
})

describe('secp256k1Recover', () => {
  test('gives the signer of a digest and nobody for the mirrored signature', () => {
    const secret = Bytes.u256(1n)
    const digest = node.crypto.keccak256(Bytes.fromUtf8('assay'))
    const made = secp256k1.sign(digest, secret, { prehash: false, format: 'recovered' })
    // noble puts the recovery bit in front; the EVM puts 27 or 28 behind.
    const signature = Bytes.concat(made.subarray(1), Uint8Array.of(27 + (made[0] as number)))
    const address = '7e5f4552091a69125d5dfcb7b8c2659029395bdf'
    assert.equal(Bytes.toHex(node.crypto.secp256k1Recover?.(digest, signature) ?? new Uint8Array()), address)
    const s = Bytes.toBigInt(signature.subarray(32, 64))
    const order = secp256k1.Point.Fn.ORDER
    const v = (signature[64] as number) === 27 ? 28 : 27
    const mirrored = Bytes.concat(signature.subarray(0, 32), Bytes.u256(order - s), Uint8Array.of(v))
    assert.equal(node.crypto.secp256k1Recover?.(digest, mirrored), undefined)
  })
})
