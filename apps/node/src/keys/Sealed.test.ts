/** Sealed.test.ts - key files and accounts under a passphrase: each reason not to open one, and conversions cut off halfway. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Bytes } from 'assay/protocol'
import { convertWallet, openWallet, readAddress } from '../settle/wallet.ts'
import * as KeyFile from './KeyFile.ts'
import * as Passphrase from './Passphrase.ts'

const root = mkdtempSync(join(tmpdir(), 'assay-sealed-'))
after(() => rmSync(root, { recursive: true, force: true }))
const passphrase = 'correct horse'
let count = 0
const newFolder = () => join(root, String(count++))
const fileOf = (folder: string) => JSON.parse(readFileSync(join(folder, 'key.json'), 'utf8')) as Record<string, string>
const write = (folder: string, file: unknown) =>
  writeFileSync(join(folder, 'key.json'), JSON.stringify(file), { mode: 0o600 })

test('a key that is made under a passphrase opens with it alone, and says its public half without it', () => {
  const folder = newFolder()
  const key = KeyFile.openKey(folder, 'log', passphrase)
  assert.deepEqual(KeyFile.openKey(folder, 'log', passphrase).signer.publicKey, key.signer.publicKey)
  assert.equal(statSync(join(folder, 'key.json')).mode & 0o777, 0o600)
  const found = KeyFile.readPublic(folder, 'log')
  assert.deepEqual(found, {
    ...{ role: 'log', publicKey: key.signer.publicKey, ed25519: key.ed25519?.publicKey, isSealed: true },
  })
  assert.equal(fileOf(folder).privateKey, undefined)
  assert.throws(() => KeyFile.readKey(folder, 'log'), { code: 'key-locked' })
  assert.throws(
    () => KeyFile.openKey(folder, 'log', 'wrong horse'),
    (error: Error & { code: string; facts: readonly string[] }) => {
      assert.deepEqual([error.code, error.facts.length, error.cause], ['key-passphrase', 0, undefined])
      return true
    },
  )
})

test('whatever is changed in a sealed file, it does not open', () => {
  const folder = newFolder()
  KeyFile.openKey(folder, 'witness', passphrase)
  const other = newFolder()
  KeyFile.openKey(other, 'witness', passphrase)
  const file = fileOf(folder)
  const flipped = (hex: string | undefined) => `${hex?.startsWith('0') ? '1' : '0'}${hex?.slice(1)}`
  for (const change of [
    { sealed: flipped(file.sealed) },
    { sealed: file.sealed?.slice(2) },
    { sealed: '' },
    { salt: flipped(file.salt) },
    { salt: file.salt?.slice(2) },
    { nonce: flipped(file.nonce) },
    { kdf: 'scrypt-2-1-1' },
    { publicKey: fileOf(other).publicKey },
    { ed25519: fileOf(other).ed25519 },
    { extra: 'more' },
  ]) {
    write(folder, { ...file, ...change })
    assert.throws(
      () => KeyFile.openKey(folder, 'witness', passphrase),
      { code: 'key-passphrase' },
      JSON.stringify(change),
    )
  }
})

test('protect and unprotect keep the key; again changes nothing; a wrong passphrase changes nothing', () => {
  const folder = newFolder()
  const key = KeyFile.openKey(folder, 'node')
  const privateKey = fileOf(folder).privateKey as string
  assert.equal(KeyFile.convert(folder, 'node', { from: undefined, to: passphrase }), 1)
  assert.equal(KeyFile.convert(folder, 'node', { from: undefined, to: passphrase }), 0)
  assert.deepEqual(readdirSync(folder), ['key.json'])
  assert.ok(!readFileSync(join(folder, 'key.json'), 'utf8').includes(privateKey))
  const sealed = readFileSync(join(folder, 'key.json'), 'utf8')
  assert.throws(() => KeyFile.convert(folder, 'node', { from: 'wrong horse', to: undefined }), {
    code: 'key-passphrase',
  })
  assert.equal(readFileSync(join(folder, 'key.json'), 'utf8'), sealed)
  assert.equal(KeyFile.convert(folder, 'node', { from: passphrase, to: undefined }), 1)
  assert.deepEqual(KeyFile.openKey(folder, 'node').signer.publicKey, key.signer.publicKey)
})

test('a rotation keeps the old key until it is ended, whichever step a crash cuts off', () => {
  const folder = newFolder()
  const old = KeyFile.openKey(folder, 'node', passphrase)
  // Cut off before the new key was in place: nothing is being replaced.
  writeFileSync(join(folder, 'outgoing.json'), readFileSync(join(folder, 'key.json')), { mode: 0o600 })
  assert.equal(KeyFile.outgoingKey(folder, 'node', passphrase), undefined)
  assert.deepEqual(readdirSync(folder), ['key.json'])

  const next = KeyFile.rotateKey(folder, 'node', passphrase)
  assert.notDeepEqual(next.keyId, old.keyId)
  assert.deepEqual(KeyFile.outgoingKey(folder, 'node', passphrase)?.keyId, old.keyId)
  assert.deepEqual(KeyFile.retiredKeys(folder).map(Bytes.toHex), [Bytes.toHex(old.signer.publicKey)])
  assert.throws(() => KeyFile.rotateKey(folder, 'node', passphrase), { code: 'rotation-under-way' })
  // Both files follow a change of the passphrase.
  assert.equal(KeyFile.convert(folder, 'node', { from: passphrase, to: undefined }), 2)
  assert.deepEqual(KeyFile.outgoingKey(folder, 'node')?.keyId, old.keyId)
  KeyFile.endRotation(folder)
  assert.equal(KeyFile.outgoingKey(folder, 'node'), undefined)
  KeyFile.removeKey(folder, { role: 'node', publicKey: next.signer.publicKey })
  assert.equal(KeyFile.retiredKeys(folder).length, 2)
  assert.deepEqual(readdirSync(folder), ['retired.json'])
})

test('an account’s file is sealed and opened the same way', () => {
  const folder = newFolder()
  const { address } = openWallet(folder)
  const path = join(folder, 'operator.key')
  const privateKey = readFileSync(path, 'utf8').trim()
  assert.deepEqual(readAddress(path), { address, isSealed: false })
  assert.equal(convertWallet(path, { from: undefined, to: passphrase }), true)
  assert.equal(convertWallet(path, { from: undefined, to: passphrase }), false)
  assert.ok(!readFileSync(path, 'utf8').includes(privateKey))
  assert.deepEqual(readAddress(path), { address, isSealed: true })
  assert.throws(() => openWallet(folder), { code: 'key-locked' })
  assert.throws(() => openWallet(folder, 'operator.key', 'wrong horse'), { code: 'key-passphrase' })
  assert.deepEqual(openWallet(folder, 'operator.key', passphrase).address, address)
  assert.equal(convertWallet(path, { from: passphrase, to: undefined }), true)
  assert.equal(readFileSync(path, 'utf8').trim(), privateKey)
  const made = openWallet(folder, 'reporter.key', passphrase)
  assert.deepEqual(readAddress(join(folder, 'reporter.key')), { address: made.address, isSealed: true })
})

test('the passphrase comes from the environment, and a new one is not short', () => {
  assert.equal(Passphrase.ofEnvironment({}), undefined)
  assert.equal(Passphrase.ofEnvironment({ ASSAY_PASSPHRASE: '' }), undefined)
  assert.equal(Passphrase.ofEnvironment({ ASSAY_PASSPHRASE: passphrase }), passphrase)
  assert.throws(() => Passphrase.assertStrong('1234567'), { code: 'passphrase-too-short' })
  Passphrase.assertStrong('12345678')
})
