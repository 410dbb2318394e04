import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import * as KeyBinding from './KeyBinding.ts'

const id = (value: number) => new Uint8Array(32).fill(value)
const log = (value: number, key = value) => ({ logId: id(value), publicKey: new Uint8Array(64).fill(key) })

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'assay-binding-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('a key stays with its logs and may get more', (t) => {
  const folder = folderOf(t)
  KeyBinding.bind(folder, id(1), [log(2)])
  KeyBinding.bind(folder, id(1), [log(2)])
  KeyBinding.bind(folder, id(1), [log(3), log(2)])
  assert.throws(() => KeyBinding.bind(folder, id(1), [log(2)]), KeyBinding.OtherLogsError)
  assert.throws(() => KeyBinding.bind(folder, id(1), [log(2), log(4)]), KeyBinding.OtherLogsError)
})

test('another log under the same identifier is another log', (t) => {
  const folder = folderOf(t)
  KeyBinding.bind(folder, id(1), [log(2), log(3)])
  assert.throws(() => KeyBinding.bind(folder, id(1), [log(2, 9), log(3)]), KeyBinding.OtherLogsError)
  KeyBinding.bind(folder, id(1), [log(3), log(2)])
})

test('a list that names identifiers alone is read, and names keys from then on', (t) => {
  const folder = folderOf(t)
  const text = { version: 1, keyId: '01'.repeat(32), logs: ['02'.repeat(32)] }
  writeFileSync(join(folder, 'logs.json'), JSON.stringify(text))
  assert.throws(() => KeyBinding.bind(folder, id(1), [log(3)]), KeyBinding.OtherLogsError)
  KeyBinding.bind(folder, id(1), [log(2)])
  assert.throws(() => KeyBinding.bind(folder, id(1), [log(2, 9)]), KeyBinding.OtherLogsError)
})

test('another key begins anew', (t) => {
  const folder = folderOf(t)
  KeyBinding.bind(folder, id(1), [log(2)])
  KeyBinding.bind(folder, id(5), [log(6)])
})

test('a list that cannot be read may have named any log', (t) => {
  const folder = folderOf(t)
  for (const text of ['', '{}', '{"version":3,"keyId":"","logs":[]}']) {
    writeFileSync(join(folder, 'logs.json'), text)
    assert.throws(() => KeyBinding.bind(folder, id(1), [log(2)]), KeyBinding.OtherLogsError)
  }
})
