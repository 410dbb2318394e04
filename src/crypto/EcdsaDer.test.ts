import assert from 'node:assert/strict'
import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { describe, test } from 'node:test'
import * as Bytes from '../protocol/Bytes.ts'
import * as EcdsaDer from './EcdsaDer.ts'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const coordinate = (hex: string) => Bytes.fromHex(hex.padStart(64, '0'))

describe('EcdsaDer', () => {
  test('agrees with OpenSSL in both directions', () => {
    // One in 256 coordinates is shorter than 32 bytes, half of them need a zero in front.
    for (let i = 0; i < 600; i++) {
      const message = Bytes.u32(i)
      const der = new Uint8Array(sign('sha256', message, privateKey))
      const plain = EcdsaDer.decode(der)
      assert.deepEqual(EcdsaDer.encode(plain), der)
      assert.ok(verify('sha256', message, { key: publicKey, dsaEncoding: 'ieee-p1363' }, plain))
    }
  })

  for (const [r, s, der] of [
    ['01', '7f', '300602010102017f'],
    ['80', 'ff01', '300902020080020300ff01'],
    ['00', '00', '3006020100020100'],
    ['ff'.repeat(32), '01', `3026022100${'ff'.repeat(32)}020101`],
  ] as const) {
    test(`${r}, ${s}`, () => {
      const plain = Bytes.concat(coordinate(r), coordinate(s))
      assert.equal(Bytes.toHex(EcdsaDer.encode(plain)), der)
      assert.deepEqual(EcdsaDer.decode(Bytes.fromHex(der)), plain)
    })
  }

  for (const [why, der] of [
    ['nothing', ''],
    ['another tag', '310602010102017f'],
    ['a wrong length', '300702010102017f'],
    ['no integer', '300604010102017f'],
    ['an empty integer', '300502000201017f'],
    ['a negative integer', '3006020181020101'],
    ['a zero too many', '300702020001020101'],
    ['an integer of 33 bytes', `3026022101${'ff'.repeat(32)}020101`],
    ['an integer that ends too late', '300602010102027f'],
    ['bytes after the end', '300702010102017f00'],
    ['a second integer that is missing', '3003020101'],
  ] as const) {
    test(`refuses ${why}`, () => {
      assert.throws(() => EcdsaDer.decode(Bytes.fromHex(der)), EcdsaDer.MalformedSignatureError)
    })
  }
})
