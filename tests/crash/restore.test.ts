/** restore.test.ts - a folder is put back from an older copy: its signer must notice before it signs. */
import assert from 'node:assert/strict'
import { cpSync, existsSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, type TestContext, test } from 'node:test'
import type { NodeInfo } from 'assay/client'
import { Bytes, Head } from 'assay/protocol'
import * as Calls from './Calls.ts'
import * as Daemon from './Daemon.ts'
import * as Folders from './Folders.ts'
import * as Ledger from './Ledger.ts'
import * as Silence from './Silence.ts'

const timeout = 120_000

const folders = ['node', 'log', 'witness', 'chain'] as const
type Folder = (typeof folders)[number]

const place = Daemon.createPlace(['digits'])
after(place.close)
let past: Promise<Past> | undefined

type Past = { readonly home: string; readonly info: NodeInfo.NodeInfo; readonly answers: readonly Calls.Answer[] }

/** A home with two lives behind it, and an older copy of every folder from between them; all entries are anchored. */
async function live(): Promise<Past> {
  const home = place.newHome()
  const answers: Calls.Answer[] = []
  const once = async (...groups: readonly number[]) => {
    const daemon = await place.start({ home })
    const info = await Calls.nodeInfo(daemon.endpoints.gateway)
    // Each group is anchored by itself: several steps of the log are in the contract.
    for (const count of groups) {
      answers.push(...(await infer(daemon.endpoints.gateway, info, count)))
      const ledger = Ledger.create()
      ledger.addAnswers(answers)
      await ledger.checkAnchored(daemon.endpoints, info)
    }
    await daemon.stop()
    return info
  }
  const info = await once(2, 2)
  for (const folder of folders) cpSync(join(home, folder), join(place.folder, 'older', folder), { recursive: true })
  await once(3, 3)
  return { home, info, answers }
}

/** A copy of that home for one test. */
async function twoLives(t: TestContext) {
  past ??= live()
  const { info, answers, ...from } = await past
  const home = place.newHome()
  cpSync(from.home, home, { recursive: true })
  t.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }))
  const ledger = Ledger.create()
  ledger.addAnswers(answers)
  const held = Folders.read(home)
  ledger.checkFolders(held)
  const restore = (folder: Folder) => {
    rmSync(join(home, folder), { recursive: true })
    cpSync(join(place.folder, 'older', folder), join(home, folder), { recursive: true })
  }
  return { home, ledger, info, restore, held }
}

async function infer(gateway: string, info: NodeInfo.NodeInfo, count: number): Promise<Calls.Answer[]> {
  return Promise.all(
    Array.from({ length: count }, (_, i) => Calls.call(gateway, info, 'infer', { withOrder: i % 2 > 0 })),
  )
}

const refuses = (code: string) => (error: unknown) => {
  assert.ok(error instanceof Daemon.StartFailedError, String(error))
  assert.equal(error.code, code, error.message)
  return true
}

test('an older node folder: its key never signs again, a new epoch begins at 0', { timeout }, async (t) => {
  const { home, ledger, info, restore, held } = await twoLives(t)
  restore('node')
  const daemon = await place.start({ home })
  const now = await Calls.nodeInfo(daemon.endpoints.gateway)
  assert.ok(now.keyEpoch > info.keyEpoch, 'the epoch is the old one')
  assert.notDeepEqual(now.publicKey, info.publicKey)
  const answers = await infer(daemon.endpoints.gateway, now, 4)
  // The ledger knows every place of the old key and would see it used again.
  ledger.addAnswers(answers)
  const sequences = answers.map(({ receipt }) => {
    assert.ok(typeof receipt === 'object')
    const head = Head.parse(receipt.head)
    assert.equal(head.keyEpoch, now.keyEpoch)
    return Number(head.sequence)
  })
  assert.deepEqual(
    sequences.sort((a, b) => a - b),
    [0, 1, 2, 3],
  )
  // What the log took is still there, also what the node forgot.
  await ledger.checkAnchored(daemon.endpoints, now)
  await daemon.stop()
  const after = Folders.read(home)
  assert.deepEqual(after.log.slice(0, held.log.length), held.log)
  assert.equal(after.conflicts, 0)

  // The same old copy once more: the old epoch has ended for good.
  restore('node')
  const again = await place.start({ home })
  const third = await Calls.nodeInfo(again.endpoints.gateway)
  assert.ok(third.keyEpoch > now.keyEpoch)
  await again.stop()
  Silence.check(place, home, { receipts: [...ledger.receipts.values()] })
})

test('an older log folder: it takes what it lacks from its mirror before it signs', { timeout }, async (t) => {
  const { home, ledger, restore, held } = await twoLives(t)
  restore('log')
  assert.ok(Folders.read(home).log.length < held.log.length)
  const daemon = await place.start({ home })
  const info = await Calls.nodeInfo(daemon.endpoints.gateway)
  ledger.addAnswers(await infer(daemon.endpoints.gateway, info, 4))
  await ledger.checkAnchored(daemon.endpoints, info)
  await daemon.stop()
  const after = Folders.read(home)
  ledger.checkFolders(after)
  assert.deepEqual(after.log.slice(0, held.log.length), held.log)
  assert.equal(after.heads.size, held.heads.size + 4)
})

test('an older log folder without its mirror: it refuses, and comes back with it', { timeout }, async (t) => {
  const { home, ledger, restore, held } = await twoLives(t)
  restore('log')
  const older = Folders.read(home)
  const witness = join(home, 'witness')
  const aside = join(place.folder, `witness-${Math.random()}`)
  const unchanged = () => {
    const now = Folders.read(home)
    assert.deepEqual(now.log, older.log, 'it wrote entries')
    assert.deepEqual([...now.checkpoints], [...older.checkpoints], 'it signed a checkpoint')
  }

  // Gone: the contract still knows more than the log.
  renameSync(witness, aside)
  await assert.rejects(place.start({ home }), refuses('log-behind'))
  unchanged()
  rmSync(witness, { recursive: true })

  // Held by another process.
  renameSync(aside, witness)
  const other = new DatabaseSync(join(witness, 'mirror/log.db'))
  other.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  await assert.rejects(place.start({ home }), refuses('folder-in-use'))
  other.close()
  unchanged()

  // Damaged.
  const database = join(witness, 'mirror/log.db')
  cpSync(database, `${aside}.db`)
  writeFileSync(database, Buffer.alloc(8192, 0x5a))
  await assert.rejects(place.start({ home }), refuses('storage-corrupt'))
  cpSync(`${aside}.db`, database)
  unchanged()

  const daemon = await place.start({ home })
  const info = await Calls.nodeInfo(daemon.endpoints.gateway)
  await ledger.checkAnchored(daemon.endpoints, info)
  await daemon.stop()
  assert.deepEqual(Folders.read(home).log, held.log)
})

test('an older witness folder: it cosigns nothing any more, the log goes on', { timeout }, async (t) => {
  const { home, ledger, restore, held } = await twoLives(t)
  restore('witness')
  const before = Folders.read(home)
  assert.ok((before.cosigned?.size ?? 0) < (held.cosigned?.size ?? 0))
  for (const life of [1, 2]) {
    const daemon = await place.start({ home })
    const info = await Calls.nodeInfo(daemon.endpoints.gateway)
    const answers = await infer(daemon.endpoints.gateway, info, 3)
    ledger.addAnswers(answers)
    await ledger.checkAnchored(daemon.endpoints, info)
    assert.match(daemon.output(), /"not-cosigned","code":"witness-stopped"/)
    const { index } = [...ledger.receipts.values()].filter(({ slot }) => slot === 0).at(-1) as { index: number }
    const proof = (await (await fetch(`${daemon.endpoints.log}/proof?index=${index}`)).json()) as Record<
      string,
      unknown
    >
    assert.deepEqual(proof.cosignatures, [])
    await daemon.stop()
    const after = Folders.read(home)
    ledger.checkFolders(after)
    assert.deepEqual(after.cosigned, before.cosigned, 'it cosigned again')
    assert.match(String(after.stopped), /^behind-/)
    assert.equal(after.heads.size, held.heads.size + 3 * life)
    assert.equal(after.mirror.length, after.log.length)
  }
})

test('node, log and witness older, the chain not: it refuses', { timeout }, async (t) => {
  const { home, restore } = await twoLives(t)
  for (const folder of ['node', 'log', 'witness'] as const) restore(folder)
  const older = Folders.read(home)
  await assert.rejects(place.start({ home }), refuses('log-behind'))
  const after = Folders.read(home)
  assert.deepEqual(after.log, older.log)
  assert.deepEqual(after.receipts, older.receipts)
  assert.deepEqual([...after.checkpoints], [...older.checkpoints])
})

test('an older chain: what it forgot is anchored again, and no proof names a step that is not there', {
  timeout,
}, async (t) => {
  const { home, ledger, restore, held } = await twoLives(t)
  restore('chain')
  const daemon = await place.start({ home })
  const info = await Calls.nodeInfo(daemon.endpoints.gateway)
  // Nothing new is called: the old entries must come back by themselves.
  await ledger.checkAnchored(daemon.endpoints, info)
  ledger.addAnswers(await infer(daemon.endpoints.gateway, info, 3))
  await ledger.checkAnchored(daemon.endpoints, info)
  await daemon.stop()
  const after = Folders.read(home)
  ledger.checkFolders(after)
  assert.deepEqual(after.log.slice(0, held.log.length), held.log)
})

test('an older chain with calls at once: the same', { timeout }, async (t) => {
  const { home, ledger, restore } = await twoLives(t)
  restore('chain')
  const daemon = await place.start({ home })
  const info = await Calls.nodeInfo(daemon.endpoints.gateway)
  ledger.addAnswers(await infer(daemon.endpoints.gateway, info, 3))
  await ledger.checkAnchored(daemon.endpoints, info)
  await daemon.stop()
  ledger.checkFolders(Folders.read(home))
})

test('a wiped chain: refused by name, with and without its address book', { timeout }, async (t) => {
  const { home, held } = await twoLives(t)
  const chain = join(home, 'chain')
  for (const file of ['state.json', 'state.json.1', 'state.json.2']) rmSync(join(chain, file), { force: true })
  await assert.rejects(place.start({ home }), refuses('chain-changed'))
  rmSync(chain, { recursive: true })
  await assert.rejects(place.start({ home }), refuses('wrong-log'))
  const after = Folders.read(home)
  assert.deepEqual(after.log, held.log)
  assert.deepEqual(after.receipts, held.receipts)
  assert.ok(existsSync(join(home, 'node')))
  assert.equal(
    Bytes.toHex(after.receipts[0]?.head ?? new Uint8Array()),
    Bytes.toHex(held.receipts[0]?.head ?? new Uint8Array()),
  )
})
