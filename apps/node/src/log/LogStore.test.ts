import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { crypto } from 'assay/crypto/node'
import { behaves, entryOf } from './LogStore.behavior.ts'
import * as MemoryLogStore from './MemoryLogStore.ts'
import * as SqliteLogStore from './SqliteLogStore.ts'

const root = mkdtempSync(join(tmpdir(), 'assay-logstore-'))
after(() => rmSync(root, { recursive: true, force: true }))
let count = 0
const logId = new Uint8Array(32).fill(1)
const open = (folder = join(root, `${++count}`), id = logId) =>
  SqliteLogStore.open({ folder, kind: 'log', logId: id, crypto })

behaves('memory', () => MemoryLogStore.create(crypto))
behaves('sqlite', open)

test('a folder keeps its entries and belongs to one log', async () => {
  const folder = join(root, 'kept')
  const store = open(folder)
  const entry = await entryOf(0n)
  store.write({ entries: [entry], pledges: [{ index: 0n, signature: new Uint8Array(64) }] })
  assert.throws(() => open(folder), { code: 'folder-in-use' })
  store.close()
  assert.throws(() => open(folder, new Uint8Array(32).fill(2)), SqliteLogStore.WrongLogError)
  const again = open(folder)
  assert.deepEqual(again.entry(0n), entry)
  assert.equal(again.pledgedSize(), 1n)
  again.close()
})
