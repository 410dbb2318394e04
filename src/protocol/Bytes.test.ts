import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as Bytes from './Bytes.ts'

const refuses = (code: Bytes.EncodingErrorCode, call: () => unknown): void =>
  assert.throws(call, (error) => error instanceof Bytes.EncodingError && error.code === code)

describe('equal, compare, concat', () => {
  const cases = ['', '00', '0000', '0001', '01', '7f', '80', 'ff', 'ff00'].map(Bytes.fromHex)
  test('agree with the order of the list', () => {
    for (const [i, left] of cases.entries()) {
      for (const [j, right] of cases.entries()) {
        assert.equal(Bytes.compare(left, right), Math.sign(i - j))
        assert.equal(Bytes.equal(left, Uint8Array.from(right)), i === j)
      }
    }
  })
  test('concat copies', () => {
    const part = Uint8Array.of(1)
    const joined = Bytes.concat(part, new Uint8Array(0), Uint8Array.of(2, 3))
    part[0] = 9
    assert.deepEqual(joined, Uint8Array.of(1, 2, 3))
    assert.deepEqual(Bytes.concat(), new Uint8Array(0))
  })
})

describe('hex', () => {
  test('reads both cases, writes lower case', () => {
    const every = Uint8Array.from({ length: 256 }, (_, i) => i)
    assert.equal(Bytes.toHex(every), Buffer.from(every).toString('hex'))
    assert.deepEqual(Bytes.fromHex(Bytes.toHex(every).toUpperCase()), every)
    assert.equal(Bytes.to0x(Uint8Array.of(0xab)), '0xab')
    assert.deepEqual(Bytes.from0x('0xAB'), Uint8Array.of(0xab))
  })
  test('refuses what is not hex', () => {
    refuses('hex-odd-length', () => Bytes.fromHex('abc'))
    for (const bad of ['0x', '0xab', 'g0', '0g', ' a', '-1', '٠٠', '\uff10\uff10']) {
      refuses('hex-bad-digit', () => Bytes.fromHex(bad))
    }
    for (const bad of ['ab', '0Xab', '']) refuses('hex-missing-prefix', () => Bytes.from0x(bad))
    refuses('hex-bad-digit', () => Bytes.from0x('0x0x'))
  })
})

describe('utf8', () => {
  test('is exact in both directions, byte order mark included', () => {
    for (const text of ['', 'a', 'é', '漢', '😀', '\ufeffa', '\u0000', 'e\u0301']) {
      assert.equal(Bytes.toUtf8(Bytes.fromUtf8(text)), text)
    }
  })
  test('refuses lone surrogates, overlong forms and cut sequences', () => {
    refuses('utf8-lone-surrogate', () => Bytes.fromUtf8('\ud800'))
    for (const bad of ['80', 'c080', 'eda080', 'f8', 'e28a', 'f4908080']) {
      refuses('utf8-malformed', () => Bytes.toUtf8(Bytes.fromHex(bad)))
    }
  })
})

describe('base64, base64url', () => {
  // RFC 4648 section 10.
  const cases = { '': '', f: 'Zg==', fo: 'Zm8=', foo: 'Zm9v', foob: 'Zm9vYg==', fooba: 'Zm9vYmE=', foobar: 'Zm9vYmFy' }
  test('write and read the examples of RFC 4648', () => {
    for (const [text, encoded] of Object.entries(cases)) {
      const bare = encoded.replaceAll('=', '')
      assert.equal(Bytes.toBase64(Bytes.fromUtf8(text)), encoded)
      assert.equal(Bytes.toBase64url(Bytes.fromUtf8(text)), bare)
      assert.equal(Bytes.toUtf8(Bytes.fromBase64(encoded)), text)
      assert.equal(Bytes.toUtf8(Bytes.fromBase64url(bare)), text)
    }
    assert.equal(Bytes.toBase64(Uint8Array.of(0xfb, 0xff)), '+/8=')
    assert.equal(Bytes.toBase64url(Uint8Array.of(0xfb, 0xff)), '-_8')
  })
  test('refuse every other form', () => {
    for (const bad of ['Zg', 'Zg=', 'Z', 'Zm9vYg=']) refuses('base64-bad-length', () => Bytes.fromBase64(bad))
    for (const bad of ['====', 'A===', 'Zm9v====', 'Z=m8', '-_8=', 'Zg==Zg==', 'Zm8\n', ' Zm8', 'Zmé=']) {
      assert.throws(() => Bytes.fromBase64(bad), Bytes.EncodingError, bad)
    }
    for (const bad of ['Zh==', 'Zm9=', '//==']) refuses('base64-unused-bits', () => Bytes.fromBase64(bad))
    for (const bad of ['Zh', 'Zm9']) refuses('base64-unused-bits', () => Bytes.fromBase64url(bad))
    for (const bad of ['Zg==', 'Zm8=', '+/8', 'Zm8\u0100']) {
      assert.throws(() => Bytes.fromBase64url(bad), Bytes.EncodingError, bad)
    }
    refuses('base64-bad-length', () => Bytes.fromBase64url('Z'))
  })
})

describe('integers', () => {
  test('are big-endian and bounded', () => {
    assert.deepEqual(Bytes.u8(255), Uint8Array.of(255))
    assert.deepEqual(Bytes.u16(0x0102), Uint8Array.of(1, 2))
    assert.deepEqual(Bytes.u32(0xfffefdfc), Uint8Array.of(255, 254, 253, 252))
    assert.equal(Bytes.toHex(Bytes.u64(0x0102030405060708n)), '0102030405060708')
    assert.equal(Bytes.toHex(Bytes.u256(1n)), '1'.padStart(64, '0'))
    assert.equal(Bytes.toBigInt(Uint8Array.of(1, 0)), 256n)
    assert.equal(Bytes.toBigInt(new Uint8Array(0)), 0n)
    const calls = [
      ...[-1, 256, 1.5, Number.NaN, -0].map((value) => () => Bytes.u8(value)),
      ...[-1, 65_536].map((value) => () => Bytes.u16(value)),
      ...[-1, 2 ** 32].map((value) => () => Bytes.u32(value)),
      ...[-1n, 2n ** 64n, 1 as never].map((value) => () => Bytes.u64(value)),
      ...[-1n, 2n ** 256n].map((value) => () => Bytes.u256(value)),
    ]
    for (const call of calls) assert.throws(call, Bytes.IntegerError)
  })
})

describe('Reader', () => {
  test('reads in order and refuses leftovers', () => {
    const reader = new Bytes.Reader(Bytes.fromHex('01000200000003000000000000000405'))
    assert.deepEqual([reader.u8(), reader.u16(), reader.u32(), reader.u64()], [1, 2, 3, 4n])
    assert.deepEqual([reader.offset, reader.remaining], [15, 1])
    assert.throws(() => reader.end(), { code: 'trailing-bytes' })
    assert.deepEqual(reader.bytes(1), Uint8Array.of(5))
    reader.end()
  })
  test('refuses to read past the end, and stays where it was', () => {
    const reader = new Bytes.Reader(Uint8Array.of(1))
    for (const call of [() => reader.u16(), () => reader.u32(), () => reader.u64(), () => reader.bytes(2)]) {
      assert.throws(call, { code: 'input-too-short' })
    }
    for (const length of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => reader.bytes(length), Bytes.ReadError)
    }
    assert.equal(reader.u8(), 1)
    assert.throws(() => reader.u8(), Bytes.ReadError)
  })
  test('reads a view at its offset and copies even out of a Buffer', () => {
    const buffer = Buffer.from([9, 1, 2, 3])
    const read = new Bytes.Reader(buffer.subarray(1)).bytes(3)
    buffer.fill(0)
    assert.deepEqual(read, Uint8Array.of(1, 2, 3))
  })
})

test('assertLength names what is wrong', () => {
  Bytes.assertLength(new Uint8Array(2), 2, 'Salt')
  assert.throws(() => Bytes.assertLength(new Uint8Array(3), 2, 'Salt'), {
    code: 'wrong-length',
    shortMessage: 'Salt has the wrong length.',
    facts: ['Expected: 2 bytes', 'Got: 3 bytes'],
  })
})
