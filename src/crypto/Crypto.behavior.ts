/**
 * Crypto.behavior.ts - what every driver of the crypto port must do, run by each driver's test. Other people's vectors
 * decide what is right; where they leave Ed25519 open, the pinned rule and the accept list that follows from it do.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { openVectors } from '../../tests/vectors.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import * as Merkle from '../protocol/Merkle.ts'
import type { Ed25519Signer } from '../protocol/Note.ts'
import * as P256 from '../protocol/P256.ts'

/** The accept list of the pinned rule over the 914 CCTV cases: how many, and SHA-256 of their numbers joined by commas. */
export const ed25519AcceptList = {
  count: 43,
  sha256: '36521713b91ca5d28544f38cd646b5494f5911399bfe4635a8bf2f2a88f13bcf',
}

type Driver = {
  readonly crypto: Crypto
  readonly createP256Signer: (privateKey: Uint8Array) => Cose.Signer
  readonly createEd25519Signer: (seed: Uint8Array) => Ed25519Signer
}

const utf8 = Bytes.fromUtf8
const hex = Bytes.fromHex

export function behavesLikeCrypto(name: string, { crypto, createP256Signer, createEd25519Signer }: Driver): void {
  describe(`${name}: hashes`, () => {
    // FIPS 180-4 examples and the EVM's well-known hash of nothing.
    test('SHA-256', () => {
      const cases = [
        ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
        ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
      ] as const
      for (const [text, expected] of cases) assert.deepEqual(crypto.sha256(utf8(text)), hex(expected))
    })
    test('Keccak-256', () => {
      const empty = 'c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470'
      assert.deepEqual(crypto.keccak256(new Uint8Array(0)), hex(empty))
    })
    test('a digest is a plain Uint8Array with its own memory', () => {
      const digest = crypto.sha256(utf8('a'))
      assert.equal(Object.getPrototypeOf(digest), Uint8Array.prototype)
      assert.equal(digest.buffer.byteLength, 32)
    })
  })

  describe(`${name}: p256Verify`, () => {
    test('wycheproof r || s: as the suite says, and Cose refuses exactly the high S on top', async (t) => {
      const suite = openVectors('wycheproof', t)
      if (suite === undefined) return
      const file = suite.json('testvectors_v1/ecdsa_secp256r1_sha256_p1363_test.json')
      const seen = { valid: 0, invalid: 0, highS: 0 }
      for (const group of file.testGroups) {
        const publicKey = hex(group.publicKey.uncompressed).slice(1)
        for (const { tcId, msg, sig, result } of group.tests) {
          const signature = hex(sig)
          const got = await crypto.p256Verify(publicKey, hex(msg), signature)
          assert.equal(got, result === 'valid', `case ${tcId}`)
          seen[result as 'valid' | 'invalid']++
          const outcome = await Cose.verifyMessage(crypto, hex(msg), signature, publicKey).then(
            () => undefined,
            (error: unknown) => error,
          )
          const high = signature.length === 64 && Bytes.toBigInt(signature.subarray(32)) > P256.halfOrder
          if (result === 'valid' && !high) assert.equal(outcome, undefined, `case ${tcId}`)
          else if (high) assert.ok(outcome instanceof Cose.HighSError, `case ${tcId}`)
          else assert.ok(outcome instanceof Cose.BadSignatureError, `case ${tcId}`)
          if (result === 'valid' && high) seen.highS++
        }
      }
      assert.equal(seen.valid + seen.invalid, file.numberOfTests)
      assert.ok(seen.highS > 0)
    })

    test('wycheproof DER: the same cases after a strict conversion', async (t) => {
      const suite = openVectors('wycheproof', t)
      if (suite === undefined) return
      const file = suite.json('testvectors_v1/ecdsa_secp256r1_sha256_test.json')
      let count = 0
      for (const group of file.testGroups) {
        const publicKey = hex(group.publicKey.uncompressed).slice(1)
        for (const { tcId, msg, sig, result } of group.tests) {
          const signature = fromDer(hex(sig))
          const got = signature !== undefined && (await crypto.p256Verify(publicKey, hex(msg), signature))
          assert.equal(got, result === 'valid', `case ${tcId}`)
          count++
        }
      }
      assert.equal(count, file.numberOfTests)
    })

    test('a key off the curve, outside the field or of a wrong length gives false', async () => {
      const signer = createP256Signer(new Uint8Array(32).fill(1))
      const message = utf8('m')
      const signature = await signer.sign(message)
      assert.equal(await crypto.p256Verify(signer.publicKey, message, signature), true)
      const flipped = Uint8Array.from(signer.publicKey)
      flipped[63] = (flipped[63] as number) ^ 1
      const outside = new Uint8Array(64).fill(0xff)
      for (const key of [flipped, outside, new Uint8Array(64), signer.publicKey.slice(1), new Uint8Array(0)]) {
        assert.equal(await crypto.p256Verify(key, message, signature), false)
      }
      for (const wrong of [signature.slice(1), new Uint8Array(0), Bytes.concat(signature, Uint8Array.of(0))]) {
        assert.equal(await crypto.p256Verify(signer.publicKey, message, wrong), false)
      }
    })

    test('its own signer round-trips through Cose.sign, always with low S', async () => {
      const signer = createP256Signer(hex('c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721'))
      // RFC 6979 A.2.5: the public key of that private key.
      assert.equal(
        Bytes.toHex(signer.publicKey),
        '60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299',
      )
      for (let i = 0; i < 8; i++) {
        const payload = crypto.sha256(Uint8Array.of(i))
        const signature = await Cose.sign(crypto, signer, 'receipt', payload)
        Cose.assertLowS(signature)
        await Cose.verify(crypto, { tag: 'receipt', payload, signature, publicKey: signer.publicKey })
      }
    })
  })

  describe(`${name}: ed25519Verify`, () => {
    test('wycheproof', async (t) => {
      const suite = openVectors('wycheproof', t)
      if (suite === undefined) return
      const file = suite.json('testvectors_v1/ed25519_test.json')
      let count = 0
      for (const group of file.testGroups) {
        for (const { tcId, msg, sig, result } of group.tests) {
          const got = await crypto.ed25519Verify(hex(group.publicKey.pk), hex(msg), hex(sig))
          assert.equal(got, result === 'valid', `case ${tcId}`)
          count++
        }
      }
      assert.equal(count, file.numberOfTests)
    })

    test('CCTV: exactly the pinned accept list, which is what the rule says about the flags', async (t) => {
      const suite = openVectors('cctv-ed25519', t)
      if (suite === undefined) return
      const cases = suite.json('ed25519/ed25519vectors.json') as {
        number: number
        key: string
        sig: string
        msg: string
        flags: string[] | null
      }[]
      assert.equal(cases.length, 914)
      const accepted: number[] = []
      for (const { number, key, sig, msg, flags } of cases) {
        const got = await crypto.ed25519Verify(hex(key), utf8(msg), hex(sig))
        // Small order and non-canonical forms are refused, and without the cofactor a residue does not cancel. A
        // component of small order beside one of large order is allowed: no check of bytes can see it.
        const harmless = ['low_order_component_A', 'low_order_component_R']
        assert.equal(
          got,
          (flags ?? []).every((flag) => harmless.includes(flag)),
          `case ${number}`,
        )
        if (got) accepted.push(number)
      }
      const digest = Bytes.toHex(crypto.sha256(utf8(accepted.join(','))))
      assert.deepEqual({ count: accepted.length, sha256: digest }, ed25519AcceptList)
    })

    test('S is refused once it reaches L, and lengths are exact', async () => {
      const signer = createEd25519Signer(new Uint8Array(32).fill(7))
      const message = utf8('m')
      const signature = await signer.sign(message)
      assert.equal(await crypto.ed25519Verify(signer.publicKey, message, signature), true)
      const order = 2n ** 252n + 27742317777372353535851937790883648493n
      const s = Bytes.toBigInt(Uint8Array.from(signature.subarray(32)).reverse()) + order
      const same = Bytes.concat(signature.subarray(0, 32), Bytes.u256(s).reverse())
      assert.equal(await crypto.ed25519Verify(signer.publicKey, message, same), false)
      assert.equal(await crypto.ed25519Verify(signer.publicKey.slice(1), message, signature), false)
      assert.equal(await crypto.ed25519Verify(signer.publicKey, message, signature.slice(1)), false)
    })
  })

  describe(`${name}: secp256k1Recover`, () => {
    const digest = crypto.sha256(utf8('assay'))
    test('gives no address for a wrong length, recovery byte, zero or high S', () => {
      const recover = crypto.secp256k1Recover
      assert.ok(recover !== undefined)
      const signature = new Uint8Array(65).fill(1)
      assert.equal(recover(digest.slice(1), signature), undefined)
      assert.equal(recover(digest, signature.slice(1)), undefined)
      for (const v of [0, 1, 26, 29, 255]) {
        signature[64] = v
        assert.equal(recover(digest, signature), undefined, `v = ${v}`)
      }
      assert.equal(recover(digest, Bytes.concat(new Uint8Array(64), Uint8Array.of(27))), undefined)
      const high = Bytes.concat(new Uint8Array(32).fill(1), new Uint8Array(32).fill(0xf0), Uint8Array.of(27))
      assert.equal(recover(digest, high), undefined)
    })
  })

  test(`${name}: the tree of the log over this driver's hash`, () => {
    const leaves = [0, 1, 2].map((i) => Merkle.leafHash(crypto, Uint8Array.of(i)))
    assert.equal(Bytes.toHex(Merkle.root(crypto, leaves.slice(0, 1))), Bytes.toHex(crypto.sha256(Uint8Array.of(0, 0))))
  })
}

/** Reads SEQUENCE { INTEGER r, INTEGER s } in DER and nothing else; the length form, padding and sign must be minimal. */
function fromDer(der: Uint8Array): Uint8Array | undefined {
  if (der.length < 8 || der[0] !== 0x30 || der[1] !== der.length - 2 || der.length > 72) return undefined
  const r = derInteger(der.subarray(2))
  if (r === undefined) return undefined
  const s = derInteger(der.subarray(2 + r.length))
  if (s === undefined || 2 + r.length + s.length !== der.length) return undefined
  if (r.value >> 256n !== 0n || s.value >> 256n !== 0n) return undefined
  return Bytes.concat(Bytes.u256(r.value), Bytes.u256(s.value))
}

function derInteger(bytes: Uint8Array): { readonly value: bigint; readonly length: number } | undefined {
  const [tag, length = 0, first = 0, second = 0] = bytes
  if (tag !== 0x02 || length < 1 || length > 33 || bytes.length < 2 + length) return undefined
  if ((first & 0x80) !== 0 || (length > 1 && first === 0 && (second & 0x80) === 0)) return undefined
  return { value: Bytes.toBigInt(bytes.subarray(2, 2 + length)), length: 2 + length }
}
