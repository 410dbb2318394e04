import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crypto } from '../crypto/noble.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Layout from './Layout.ts'
import * as Records from './Records.ts'

// The worked example of spec/contracts.md section 5.3, which was computed by the contracts' own tests.
const id = new Uint8Array(32).fill(0x11)
const keyId = new Uint8Array(32).fill(0x22)
const hex = (slots: readonly Uint8Array[]) => slots.map(Bytes.toHex)

test('Layout gives the slots of the worked example', () => {
  assert.deepEqual(hex(Layout.nodeSlots(crypto, id)), [
    'cf3a25d1b2fbf5769a2f8891c95bc5b38555577eaa0f9a33d29f9759392fff3b',
  ])
  assert.deepEqual(hex(Layout.keyRecordSlots(crypto, id, 2)), [
    '8ebc71243b9f685fc8fef96894ace800c4e3fb9f789ed2f243ce2d5ff032d209',
    '8ebc71243b9f685fc8fef96894ace800c4e3fb9f789ed2f243ce2d5ff032d20a',
  ])
  assert.equal(
    hex(Layout.logRecordSlots(crypto, id))[0],
    '3b31255a9f930bb80359c3ba2fef22133cd773f2653bd87c6035861658aa0882',
  )
  assert.equal(
    hex(Layout.logHeadSlots(crypto, id))[0],
    '3b31255a9f930bb80359c3ba2fef22133cd773f2653bd87c6035861658aa0887',
  )
  assert.equal(
    hex(Layout.stepSlots(crypto, id, 100_000n))[0],
    '86b4b896d61893a749d9acd4323c1a59a5701437aed1426f18b8e14c75088ba1',
  )
  assert.deepEqual(hex([Layout.logOfKeySlot(crypto, keyId), Layout.conflictSlot(crypto, id, 100_000n)]), [
    '59e58ae9bc4be1d3e8832a400b5d61e4720d50b6b3e3a935c912827ffe36f96a',
    '3e7726929f2d437d659eae7e4f4ccfd2f7b96709b2f938ba32682746fd1ebc3d',
  ])
})

test('Records reads the packed word of the worked example, and its bounds', () => {
  const word = Bytes.fromHex(`00000000006f000000006401${'aa'.repeat(20)}`)
  const record = Records.keyRecord(keyId, word)
  const operator = new Uint8Array(20).fill(0xaa)
  assert.deepEqual(record, { keyId, operator, role: 1, validFromBlock: 100n, validUntilBlock: 111n })
  assert.throws(() => Records.keyRecord(new Uint8Array(32), word), { code: 'zero-word' })
  assert.throws(() => Records.keyRecord(keyId, Bytes.fromHex(`01${'00'.repeat(31)}`)), { code: 'unused-bits' })
})
