import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { openVectors } from '../../tests/vectors.ts'
import { crypto as noble } from '../crypto/noble.ts'
import { createP256Signer, crypto } from '../crypto/node.ts'
import * as Bytes from './Bytes.ts'
import * as Cose from './Cose.ts'
import * as Dcbor from './Dcbor.ts'
import * as P256 from './P256.ts'

const signer = createP256Signer(new Uint8Array(32).fill(5))
const other = createP256Signer(new Uint8Array(32).fill(6))
const payload = crypto.sha256(Bytes.fromUtf8('statement'))

/** A statement that passes, signed afresh. */
async function valid(): Promise<Parameters<typeof Cose.verify>[1]> {
  const signature = await Cose.sign(crypto, signer, 'receipt', payload)
  return { tag: 'receipt', payload, signature, publicKey: signer.publicKey }
}

function flip(bytes: Uint8Array, offset: number): Uint8Array {
  const changed = Uint8Array.from(bytes)
  changed[offset] = (changed[offset] as number) ^ 1
  return changed
}

function highForm(signature: Uint8Array): Uint8Array {
  return Bytes.concat(signature.subarray(0, 32), Bytes.u256(P256.order - Bytes.toBigInt(signature.subarray(32))))
}

describe('sigStructure', () => {
  test('is the Sig_structure of RFC 9052 for every tag', () => {
    assert.equal(Cose.tags.length, 10)
    for (const tag of Cose.tags) {
      assert.equal(Cose.isTag(tag), true)
      const parts = ['Signature1', Bytes.fromHex('a10126'), Bytes.fromUtf8(`assay/${tag}/v1`), payload]
      assert.deepEqual(Cose.sigStructure(tag, payload), Dcbor.encode(parts))
    }
    assert.equal(Cose.isTag('toString'), false)
    assert.equal(Cose.isTag('assay/receipt/v1'), false)
  })
  test('wants a payload of 32 bytes', () => {
    for (const length of [0, 31, 33]) {
      assert.throws(() => Cose.sigStructure('key', new Uint8Array(length)), { code: 'wrong-length' })
    }
  })
})

describe('verify', () => {
  test('accepts and names the key by its hash', async () => {
    const { keyId } = await Cose.verify(crypto, await valid())
    assert.deepEqual(keyId, crypto.sha256(signer.publicKey))
  })

  test('each part alone can refuse', async () => {
    const good = await valid()
    const broken: readonly (readonly [Partial<typeof good>, string])[] = [
      [{ tag: 'pledge' }, 'signature-mismatch'],
      [{ payload: flip(payload, 31) }, 'signature-mismatch'],
      [{ payload: payload.slice(1) }, 'wrong-length'],
      [{ publicKey: other.publicKey }, 'signature-mismatch'],
      [{ publicKey: flip(signer.publicKey, 63) }, 'invalid-key'],
      [{ publicKey: new Uint8Array(64) }, 'invalid-key'],
      [{ publicKey: Bytes.concat(Uint8Array.of(4), signer.publicKey) }, 'invalid-key'],
      [{ signature: flip(good.signature, 5) }, 'signature-mismatch'],
      [{ signature: flip(good.signature, 63) }, 'signature-mismatch'],
      [{ signature: highForm(good.signature) }, 'signature-high-s'],
      [{ signature: good.signature.slice(1) }, 'signature-wrong-length'],
      [{ signature: new Uint8Array(0) }, 'signature-wrong-length'],
      [{ signature: new Uint8Array(64) }, 'signature-out-of-range'],
      [{ signature: Bytes.concat(Bytes.u256(P256.order), Bytes.u256(1n)) }, 'signature-out-of-range'],
    ]
    for (const driver of [crypto, noble]) {
      await Cose.verify(driver, good)
      for (const [change, code] of broken) {
        await assert.rejects(Cose.verify(driver, { ...good, ...change }), { code })
      }
    }
  })

  test('the largest low S passes the rule and one more does not', () => {
    const signature = (s: bigint): Uint8Array => Bytes.concat(Bytes.u256(1n), Bytes.u256(s))
    Cose.assertLowS(signature(P256.halfOrder))
    assert.throws(() => Cose.assertLowS(signature(P256.halfOrder + 1n)), Cose.HighSError)
    assert.deepEqual(Cose.normalizeLowS(signature(P256.halfOrder + 1n)), signature(P256.halfOrder))
    assert.deepEqual(Cose.normalizeLowS(signature(P256.halfOrder)), signature(P256.halfOrder))
    // Out of range stays so: it is refused later and never turned into something else.
    assert.deepEqual(Cose.normalizeLowS(signature(P256.order)), signature(P256.order))
  })
})

describe('sign', () => {
  test('makes the low form even of a signer that gives the high one', async () => {
    const high: Cose.Signer = {
      publicKey: signer.publicKey,
      sign: async (message) => highForm(Cose.normalizeLowS(await signer.sign(message))),
    }
    const signature = await Cose.sign(crypto, high, 'vote', payload)
    await Cose.verify(crypto, { tag: 'vote', payload, signature, publicKey: signer.publicKey })
  })
  test('lets no bad signature of a broken signer out', async () => {
    const broken: Cose.Signer = { publicKey: signer.publicKey, sign: (message) => other.sign(message) }
    await assert.rejects(Cose.sign(crypto, broken, 'vote', payload), Cose.BadSignatureError)
  })
})

describe('encode, decode', () => {
  const envelope = { keyId: new Uint8Array(32).fill(1), payload, signature: new Uint8Array(64).fill(2) }
  const bytes = Cose.encode(envelope)
  test('are inverse, and the bytes are the CBOR they should be', () => {
    assert.equal(bytes.length, Cose.envelopeLength)
    assert.deepEqual(Cose.decode(bytes), envelope)
    const header = new Map([[4, envelope.keyId]])
    const parts = [Bytes.fromHex('a10126'), header, payload, envelope.signature]
    assert.deepEqual(bytes, Dcbor.encode(parts))
  })
  test('every change of the frame is refused, every change of a value is carried', () => {
    const frame = new Set([...Array(9).keys(), 41, 42, 75, 76])
    for (let offset = 0; offset < bytes.length; offset++) {
      const changed = flip(bytes, offset)
      if (frame.has(offset)) assert.throws(() => Cose.decode(changed), Cose.EnvelopeError, `${offset}`)
      else assert.notDeepEqual(Cose.decode(changed), envelope)
    }
    for (const wrong of [
      bytes.slice(1),
      bytes.slice(0, -1),
      Bytes.concat(bytes, Uint8Array.of(0)),
      new Uint8Array(0),
    ]) {
      assert.throws(() => Cose.decode(wrong), Cose.EnvelopeError)
    }
    assert.throws(() => Cose.decode(Bytes.concat(Uint8Array.of(0xd2), bytes.slice(0, -1))), Cose.EnvelopeError)
  })
  test('arbitrary bytes give an envelope or one error', () => {
    const property = (input: Uint8Array): void => {
      try {
        assert.deepEqual(Cose.encode(Cose.decode(input)), Uint8Array.from(input))
      } catch (error) {
        if (!(error instanceof Cose.EnvelopeError)) throw error
      }
    }
    fc.assert(fc.property(fc.uint8Array({ minLength: 139, maxLength: 143 }), property))
  })
})

describe('COSE working group examples', () => {
  test('ES256 messages verify over their own Sig_structure, and none has our fixed shape', async (t) => {
    const suite = openVectors('cose-examples', t)
    if (suite === undefined) return
    const seen: string[] = []
    for (const folder of ['sign1-tests/', 'ecdsa-examples/', 'RFC8152/']) {
      for (const path of suite.list(folder).filter((name) => name.endsWith('.json'))) {
        const { input, intermediates, output, fail } = suite.json(path)
        const sign1 = input.sign0
        if (sign1 === undefined || sign1.alg !== 'ES256' || sign1.key.crv !== 'P-256') continue
        assert.throws(() => Cose.decode(Bytes.fromHex(output.cbor)), Cose.EnvelopeError, path)
        const verdict = await check(output.cbor, sign1, intermediates.ToBeSign_hex)
        seen.push(`${path}: ${fail === true ? 'must fail' : 'must pass'}, ${verdict}`)
      }
    }
    assert.deepEqual(seen, [
      'sign1-tests/sign-fail-01.json: must fail, another tag',
      'sign1-tests/sign-fail-02.json: must fail, other structure, signature-mismatch',
      'sign1-tests/sign-fail-03.json: must fail, other structure, signature-mismatch',
      'sign1-tests/sign-pass-01.json: must pass, published structure, valid',
      'sign1-tests/sign-pass-02.json: must pass, published structure, valid',
      'sign1-tests/sign-pass-03.json: must pass, published structure, valid',
      'ecdsa-examples/ecdsa-sig-01.json: must pass, published structure, valid',
      'RFC8152/Appendix_C_2_1.json: must pass, published structure, valid',
    ])
  })
})

/** Checks a published example by parsing it loosely, as its own shape demands, with our signature core. */
async function check(cbor: string, sign1: { key: Jwk; external?: string }, published: string): Promise<string> {
  const bytes = Bytes.fromHex(cbor)
  const isTagged = bytes[0] === 0xd2
  if (!isTagged && bytes[0] !== 0x84) return 'another tag'
  const parts = Dcbor.decode(bytes.subarray(isTagged ? 1 : 0))
  const [header, , content, signature] = parts as readonly Uint8Array[]
  if (header === undefined || content === undefined || signature === undefined) return 'incomplete'
  // RFC 9052 section 4.4: an empty protected header enters the structure as no bytes, however it was sent.
  const protectedHeader = Bytes.toHex(header) === 'a0' ? new Uint8Array(0) : header
  const external = Bytes.fromHex(sign1.external ?? '')
  const message = Dcbor.encode(['Signature1', protectedHeader, external, content])
  const same = Bytes.toHex(message) === published.toLowerCase() ? 'published structure' : 'other structure'
  const publicKey = Bytes.concat(Bytes.fromBase64url(sign1.key.x), Bytes.fromBase64url(sign1.key.y))
  try {
    await Cose.verifyMessage(crypto, message, Cose.normalizeLowS(signature), publicKey)
    return `${same}, valid`
  } catch (error) {
    return `${same}, ${(error as { code: string }).code}`
  }
}

type Jwk = { readonly x: string; readonly y: string }
