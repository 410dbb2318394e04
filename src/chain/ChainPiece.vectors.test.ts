import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { plain } from '../../scripts/vector-files/cases.ts'
import { crypto } from '../crypto/noble.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as ChainPiece from './ChainPiece.ts'
import * as Layout from './Layout.ts'

const path = join(import.meta.dirname, '..', '..', 'vectors', 'chain.json')
const { cases } = JSON.parse(readFileSync(path, 'utf8'))

/** Hex text to bytes, through lists and objects. */
function bytesIn(value: unknown): unknown {
  if (typeof value === 'string') return Bytes.fromHex(value)
  if (Array.isArray(value)) return value.map(bytesIn)
  return Object.fromEntries(Object.entries(value as object).map(([name, one]) => [name, bytesIn(one)]))
}

for (const one of cases) {
  test(`vectors/chain.json: ${one.name}`, () => {
    const of = one.subject
    const subject: ChainPiece.Subject = {
      registry: { address: Bytes.fromHex(of.registry), nodeId: Bytes.fromHex(of.nodeId), keyEpoch: of.keyEpoch },
      log: { address: Bytes.fromHex(of.anchorLog), logId: Bytes.fromHex(of.logId), size: BigInt(of.size) },
    }
    const check = () =>
      ChainPiece.verify(crypto, bytesIn(one.piece) as ChainPiece.ChainPiece, subject, {
        nodeKeyId: Bytes.fromHex(one.nodeKeyId),
        logKeyId: Bytes.fromHex(one.logKeyId),
        root: Bytes.fromHex(one.root),
      })
    if (one.mustFail !== undefined) return assert.throws(check, { code: one.mustFail, step: one.mustFail })

    const { registry } = subject
    const keySlots = Layout.keyRecordSlots(crypto, registry.nodeId, registry.keyEpoch)
    assert.deepEqual(keySlots.map(Bytes.toHex), one.slots.keyRecord)
    assert.deepEqual(Layout.logRecordSlots(crypto, Bytes.fromHex(of.logId)).map(Bytes.toHex), one.slots.logRecord)
    assert.deepEqual(
      Layout.stepSlots(crypto, Bytes.fromHex(of.logId), BigInt(of.size)).map(Bytes.toHex),
      one.slots.step,
    )

    const facts = check()
    assert.equal(Bytes.toHex(facts.header.hash), one.piece.blockHash)
    assert.equal(facts.header.number, BigInt(one.blockNumber))
    assert.equal(facts.anchorLog?.step?.blockNumber, BigInt(one.anchoredInBlock))
    assert.equal(Bytes.toHex(facts.registry.codeHash), one.codeHashes.nodeRegistry)
    assert.equal(Bytes.toHex(facts.anchorLog?.codeHash as Uint8Array), one.codeHashes.anchorLog)
    assert.deepEqual(plain(facts.stake), one.stake)
  })
}
