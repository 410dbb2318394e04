import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import * as KeyBinding from './KeyBinding.ts'

const id = (value: number) => new Uint8Array(32).fill(value)

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'assay-binding-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('a key stays with its logs and may get more', (t) => {
  const folder = folderOf(t)
  KeyBinding.bind(folder, id(1), [id(2)])
  KeyBinding.bind(folder, id(1), [id(2)])
  KeyBinding.bind(folder, id(1), [id(3), id(2)])
  assert.throws(() => KeyBinding.bind(folder, id(1), [id(2)]), KeyBinding.OtherLogsError)
  assert.throws(() => KeyBinding.bind(folder, id(1), [id(2), id(4)]), KeyBinding.OtherLogsError)
})

test('another key begins anew', (t) => {
  const folder = folderOf(t)
  KeyBinding.bind(folder, id(1), [id(2)])
  KeyBinding.bind(folder, id(5), [id(6)])
})

test('a list that cannot be read may have named any log', (t) => {
  const folder = folderOf(t)
  for (const text of ['', '{}', '{"version":2,"keyId":"","logs":[]}']) {
    writeFileSync(join(folder, 'logs.json'), text)
    assert.throws(() => KeyBinding.bind(folder, id(1), [id(2)]), KeyBinding.OtherLogsError)
  }
})
