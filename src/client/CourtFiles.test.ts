import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import * as CourtFiles from './CourtFiles.ts'
import * as FileStores from './FileStores.ts'
import { type CaseState, type FaultStore, type FilingState, memoryCaseStore, memoryFaultStore } from './Stores.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'assay-court-files-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const filled = (length: number, byte: number) => new Uint8Array(length).fill(byte)
const [a, b] = ['a'.repeat(64), 'b'.repeat(64)]
const committed: FilingState = {
  ...{ stage: 'committed', faultId: filled(32, 1), salt: filled(32, 2), callData: filled(900, 3) },
  ...{ reporter: filled(20, 4), committedFromBlock: 2n ** 60n, tries: 1 },
}
const done: FilingState = { ...committed, stage: 'rewarded', reward: 10n ** 21n, isFinal: true }
const opened: CaseState = {
  ...{ stage: 'open', class: 18, subject: filled(32, 1), keyEpoch: 3, incident: filled(32, 2), slot: 6 },
  ...{ challenger: filled(20, 3), bond: 10n ** 18n, head: filled(139, 4), openedAtBlock: 7n, lastBlock: 9n },
}

for (const [name, create] of [
  ['memory', () => memoryFaultStore()],
  ['file', () => FileStores.fileFaultStore(join(folder, 'faults'))],
] as const)
  test(`fault files in a ${name} store: kept as they came first, open until their filing is final`, async () => {
    const store: FaultStore = create()
    assert.deepEqual(await store.list(), [])
    await store.save(a, Uint8Array.of(1))
    await store.save(b, Uint8Array.of(2))
    await store.save(a, Uint8Array.of(9))
    assert.deepEqual(await store.load(a), { file: Uint8Array.of(1) })
    assert.equal(await store.load('c'.repeat(64)), undefined)
    await store.saveFiling(a, committed)
    assert.deepEqual((await store.load(a))?.filing, committed)
    assert.deepEqual([...(await store.list('open'))].sort(), [a, b])
    await store.saveFiling(a, done)
    assert.deepEqual((await store.load(a))?.filing, done)
    assert.deepEqual([(await store.list('open')).slice(), [...(await store.list())].sort()], [[b], [a, b]])
    // A reorganisation opens it again.
    await store.saveFiling(a, committed)
    assert.deepEqual((await store.load(a))?.filing, committed)
    assert.equal((await store.list('open')).length, 2)
    for (const state of [committed, done]) {
      await store.saveFiling(a, state)
      await store.saveFiling(a, undefined)
      assert.deepEqual(Object.keys((await store.load(a)) ?? {}), ['file'])
      assert.equal((await store.list('open')).length, 2)
    }
  })

for (const [name, create] of [
  ['memory', () => memoryCaseStore()],
  ['file', () => FileStores.fileCaseStore(join(folder, 'cases'))],
] as const)
  test(`cases in a ${name} store`, async () => {
    const store = create()
    const opening: CaseState = { ...opened, stage: 'opening', nonce: 2n ** 60n, askedAtBlock: 6n }
    await store.save(a, opening)
    assert.deepEqual(await store.load(a), opening)
    await store.save(a, opened)
    assert.deepEqual([await store.list(), await store.load(a), await store.load(b)], [[a], opened, undefined])
    const paid: CaseState = { ...opened, stage: 'expired', reward: 5n * 10n ** 20n, isPaid: true, isFinal: true }
    await store.save(a, paid)
    assert.deepEqual(await store.load(a), paid)
  })

describe('files of the court', () => {
  test('are readable by their owner alone, and have no other names than hashes', async () => {
    const faults = FileStores.fileFaultStore(join(folder, 'faults'))
    const cases = FileStores.fileCaseStore(join(folder, 'cases'))
    await faults.save(a, Uint8Array.of(1))
    await faults.saveFiling(a, committed)
    await cases.save(a, opened)
    for (const path of [`faults/${a}.fault`, `faults/${a}.filing`, `cases/${a}.case`])
      assert.equal(statSync(join(folder, path)).mode & 0o777, 0o600)
    for (const name of ['../x', '', 'A'.repeat(64)]) {
      await assert.rejects(faults.save(name, Uint8Array.of(1)), FileStores.ReceiptNameError)
      await assert.rejects(faults.saveFiling(name, committed), FileStores.ReceiptNameError)
      await assert.rejects(cases.save(name, opened), FileStores.ReceiptNameError)
    }
    await assert.rejects(faults.save(b, filled(16 * 1024 + 1, 0)), FileStores.FaultSizeError)
  })

  test('a state that was not written here is named, never guessed', async () => {
    const faults = FileStores.fileFaultStore(folder)
    await faults.save(a, Uint8Array.of(1))
    for (const text of ['', '{}', '{"stage":"filed"}', new TextDecoder().decode(CourtFiles.serializeCase(opened))]) {
      writeFileSync(join(folder, `${a}.filing`), text)
      await assert.rejects(faults.load(a), FileStores.StoredFileError)
    }
  })

  for (const step of ['written', 'synced', 'renamed'] as const)
    test(`an end at '${step}' leaves the state before or after`, async () => {
      const whole = FileStores.fileFaultStore(folder)
      await whole.save(a, Uint8Array.of(1))
      await whole.saveFiling(a, committed)
      const ending = FileStores.fileFaultStore(folder, {
        reached: (now) => {
          if (now === step) throw new Error('end')
        },
      })
      await assert.rejects(ending.saveFiling(a, done))
      const found = (await whole.load(a))?.filing
      assert.deepEqual(found, step === 'renamed' ? done : committed)
      // Both names at once: the later state counts, and the next write tidies.
      if (step === 'renamed') assert.ok(existsSync(join(folder, `${a}.filing`)))
      await whole.saveFiling(a, done)
      assert.deepEqual(
        readdirSync(folder)
          .filter((name) => name.startsWith(a))
          .sort(),
        [`${a}.fault`, `${a}.filed`],
      )
    })
})
