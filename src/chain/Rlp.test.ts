import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RLP } from '@ethereumjs/rlp'
import fc from 'fast-check'
import * as Bytes from '../protocol/Bytes.ts'
import * as Rlp from './Rlp.ts'

const runs = Number(process.env.ASSAY_FUZZ_RUNS ?? 200)
const { tree } = fc.letrec<{ tree: Rlp.Item }>((tie) => ({
  tree: fc.oneof({ depthSize: 'small' }, fc.uint8Array({ maxLength: 70 }), fc.array(tie('tree'), { maxLength: 6 })),
}))

describe('Rlp.encode and decode', () => {
  test('agree with a second implementation and invert each other', () => {
    fc.assert(
      fc.property(tree, (item) => {
        const bytes = Rlp.encode(item)
        assert.deepEqual(bytes, RLP.encode(item as never))
        assert.deepEqual(Rlp.decode(bytes), item)
      }),
      { numRuns: runs },
    )
  })

  test('accept only what encode writes, on any bytes', () => {
    const nearly = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.tuple(tree, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([item, at, byte]) => {
        const bytes = Rlp.encode(item)
        bytes[at % bytes.length] = byte
        return bytes
      }),
    )
    fc.assert(
      fc.property(nearly, (bytes) => {
        let item: Rlp.Item
        try {
          item = Rlp.decode(bytes)
        } catch (error) {
          assert.ok(error instanceof Rlp.DecodeError)
          return
        }
        assert.deepEqual(Rlp.encode(item), bytes)
      }),
      { numRuns: runs * 5 },
    )
  })

  for (const [hex, code] of [
    ['', 'rlp-too-short'],
    ['8100', 'rlp-not-canonical'],
    ['b800', 'rlp-not-canonical'],
    ['b90001ff', 'rlp-not-canonical'],
    ['f80100', 'rlp-not-canonical'],
    ['8261', 'rlp-too-short'],
    ['c26182', 'rlp-too-short'],
    ['6161', 'rlp-trailing-bytes'],
    ['bfffffffffffffffff', 'rlp-too-large'],
    ['bbffffffff', 'rlp-too-short'],
  ] as const) {
    test(`refuse ${hex === '' ? 'nothing' : hex.slice(0, 12)}: ${code}`, () => {
      assert.throws(() => Rlp.decode(Bytes.fromHex(hex)), { code })
    })
  }

  test('refuse more than 16 lists deep', () => {
    const nested = (depth: number): Rlp.Item => (depth === 0 ? [] : [nested(depth - 1)])
    assert.deepEqual(Rlp.decode(Rlp.encode(nested(15))), nested(15))
    assert.throws(() => Rlp.decode(Rlp.encode(nested(16))), { code: 'rlp-too-deep' })
  })

  test('refuse a leading zero and too many bytes in an integer', () => {
    assert.equal(Rlp.toInteger(new Uint8Array(0), 8), 0n)
    assert.equal(Rlp.toInteger(Bytes.fromHex('0100'), 8), 256n)
    assert.throws(() => Rlp.toInteger(Uint8Array.of(0), 8), { code: 'rlp-integer' })
    assert.throws(() => Rlp.toInteger(new Uint8Array(9).fill(1), 8), { code: 'rlp-integer' })
    assert.throws(() => Rlp.toInteger([], 8), { code: 'rlp-not-bytes' })
  })
})
