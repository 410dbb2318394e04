import assert from 'node:assert/strict'
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Bytes } from 'assay/protocol'
import * as KeyFile from './KeyFile.ts'

function folderOf(context: { after: (work: () => void) => void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'assay-keys-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('a key is made once, is the same at every opening, and is its owner’s alone', (context) => {
  const folder = join(folderOf(context), 'node')
  const key = KeyFile.openKey(folder, 'node')
  assert.equal(key.signer.publicKey.length, 64)
  assert.equal(key.ed25519, undefined)
  assert.deepEqual(KeyFile.openKey(folder, 'node').signer.publicKey, key.signer.publicKey)
  assert.equal(statSync(join(folder, 'key.json')).mode & 0o777, 0o600)
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  assert.deepEqual(readdirSync(folder), ['key.json'])
})

test('logs and witnesses have an Ed25519 key for notes as well', (context) => {
  const folder = folderOf(context)
  for (const role of ['log', 'witness'] as const) {
    const key = KeyFile.openKey(join(folder, role), role)
    assert.equal(key.ed25519?.publicKey.length, 32)
    assert.deepEqual(KeyFile.openKey(join(folder, role), role).ed25519?.publicKey, key.ed25519?.publicKey)
  }
})

test('a file that others may read or change is refused', (context) => {
  const folder = folderOf(context)
  KeyFile.openKey(folder, 'node')
  for (const mode of [0o640, 0o604, 0o620, 0o602, 0o644]) {
    chmodSync(join(folder, 'key.json'), mode)
    assert.throws(() => KeyFile.openKey(folder, 'node'), { name: 'KeyFile.ExposedKeyError', code: 'key-exposed' })
  }
})

test('damaged, foreign and linked files are refused, and nothing of them is quoted', (context) => {
  const folder = folderOf(context)
  KeyFile.openKey(folder, 'node')
  const path = join(folder, 'key.json')
  const whole = readFileSync(path, 'utf8')
  const file = JSON.parse(whole) as Record<string, string>
  const broken = [
    whole.slice(0, -20),
    '',
    'null',
    JSON.stringify({ ...file, version: 2 }),
    JSON.stringify({ ...file, privateKey: '00'.repeat(32) }),
    JSON.stringify({ ...file, privateKey: `${file.privateKey}00` }),
    JSON.stringify({ ...file, publicKey: '00'.repeat(64) }),
    JSON.stringify({ ...file, ed25519Seed: '01'.repeat(32) }),
    ' '.repeat(5000),
  ]
  for (const text of broken) {
    writeFileSync(path, text, { mode: 0o600 })
    assert.throws(
      () => KeyFile.openKey(folder, 'node'),
      (error: Error) => {
        assert.equal(error.name, 'KeyFile.MalformedKeyError')
        assert.equal(error.cause, undefined)
        assert.ok(!error.message.includes(String(file.privateKey)))
        return true
      },
    )
  }
  writeFileSync(path, whole, { mode: 0o600 })
  assert.throws(() => KeyFile.openKey(folder, 'log'), { code: 'key-malformed' })
  const linked = join(folder, 'linked')
  KeyFile.openKey(linked, 'node')
  rmSync(join(linked, 'key.json'))
  symlinkSync(path, join(linked, 'key.json'))
  assert.throws(() => KeyFile.openKey(linked, 'node'), { code: 'key-malformed' })
})

test('a replaced key leaves its public half alone', (context) => {
  const folder = folderOf(context)
  const first = KeyFile.openKey(folder, 'node')
  const privateKey = (JSON.parse(readFileSync(join(folder, 'key.json'), 'utf8')) as { privateKey: string }).privateKey
  const second = KeyFile.replaceKey(folder, first)
  const third = KeyFile.replaceKey(folder, second)
  assert.notDeepEqual(second.signer.publicKey, first.signer.publicKey)
  assert.deepEqual(KeyFile.openKey(folder, 'node').signer.publicKey, third.signer.publicKey)
  assert.deepEqual(
    KeyFile.retiredKeys(folder).map(Bytes.toHex),
    [first, second].map(({ signer }) => Bytes.toHex(signer.publicKey)),
  )
  for (const name of readdirSync(folder)) assert.ok(!readFileSync(join(folder, name), 'utf8').includes(privateKey))
})

test('what lies where the new file is written first is not followed and not kept', (context) => {
  const folder = folderOf(context)
  const elsewhere = join(folder, 'elsewhere')
  writeFileSync(elsewhere, 'theirs', { mode: 0o644 })
  const beside = join(folder, `key.json.${process.pid}.new`)
  for (const plant of [
    () => symlinkSync(elsewhere, beside),
    () => writeFileSync(beside, 'left behind', { mode: 0o666 }),
  ]) {
    rmSync(join(folder, 'key.json'), { force: true })
    plant()
    KeyFile.openKey(folder, 'node')
    assert.equal(readFileSync(elsewhere, 'utf8'), 'theirs')
    assert.equal(statSync(join(folder, 'key.json')).mode & 0o777, 0o600)
  }
})
