import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { behavesAsReceiptStore } from './ReceiptStore.behavior.ts'
import * as SqliteReceiptStore from './SqliteReceiptStore.ts'

const root = mkdtempSync(join(tmpdir(), 'assay-receipts-'))
after(() => rmSync(root, { recursive: true, force: true }))
let count = 0
const folders = new WeakMap<object, string>()
const open = (folder = join(root, String(count++))) => {
  const store = SqliteReceiptStore.open({ folder })
  folders.set(store, folder)
  return store
}

behavesAsReceiptStore({
  open: () => open(),
  async reopen(store) {
    await store.close()
    return open(folders.get(store))
  },
})

test('a second opener of the folder is refused', async () => {
  const store = open()
  assert.throws(() => open(folders.get(store)), { code: 'folder-in-use' })
  await store.close()
})
