/** The worked example of spec/contracts.md section 5.3 is what the library derives. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as Layout from '../../src/chain/Layout.ts'
import * as Records from '../../src/chain/Records.ts'
import { crypto } from '../../src/crypto/node.ts'
import * as Bytes from '../../src/protocol/Bytes.ts'

const spec = readFileSync(join(import.meta.dirname, '../../spec/contracts.md'), 'utf8')

test('slots of the worked example', () => {
  const [id, keyId] = [new Uint8Array(32).fill(0x11), new Uint8Array(32).fill(0x22)]
  const key = Layout.keyRecordSlots(crypto, id, 2)
  const expected = {
    'node record': Layout.nodeSlots(crypto, id)[0],
    'key epoch 2, word 0': key[0],
    'key epoch 2, word 1': key[1],
    'log record, word 0': Layout.logRecordSlots(crypto, id)[0],
    'log record, head size': Layout.logHeadSlots(crypto, id)[0],
    'step 100,000, word 0': Layout.stepSlots(crypto, id, 100_000n)[0],
    'log of the key': Layout.logOfKeySlot(crypto, keyId),
    'conflict at 100,000': Layout.conflictSlot(crypto, id, 100_000n),
  }
  for (const [name, slot] of Object.entries(expected)) {
    const [, found] = new RegExp(`^ {4}${name} .*= ([0-9a-f]{64})$`, 'm').exec(spec) ?? []
    assert.equal(found, Bytes.toHex(slot), name)
  }
})

test('word of the worked example', () => {
  const [, found = ''] = /^ {4}((?:[0-9a-f]+ ){4}a{40}) /m.exec(spec) ?? []
  assert.deepEqual(Records.keyRecord(new Uint8Array(32).fill(1), Bytes.fromHex(found.replaceAll(' ', ''))), {
    keyId: new Uint8Array(32).fill(1),
    operator: new Uint8Array(20).fill(0xaa),
    role: 1,
    validFromBlock: 100n,
    validUntilBlock: 111n,
  })
})
