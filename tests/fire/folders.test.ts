/** folders.test.ts - one folder, one signer: a second daemon is refused before it does anything, whatever they share. */
import assert from 'node:assert/strict'
import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import * as Calls from '../crash/Calls.ts'
import * as Daemon from '../crash/Daemon.ts'
import * as Folders from '../crash/Folders.ts'
import * as Ledger from '../crash/Ledger.ts'

const place = Daemon.createPlace(['digits'])
after(place.close)

const inUse = (error: unknown) => error instanceof Daemon.StartFailedError && error.code === 'folder-in-use'

test('two daemons on one home, or on one part of it', { timeout: 120_000 }, async () => {
  const home = place.newHome()
  const ledger = Ledger.create()
  const daemon = await place.start({ home })
  const info = await Calls.nodeInfo(daemon.endpoints.gateway)
  const load = Calls.load(daemon.endpoints.gateway, info, { workers: 2 })
  await assert.rejects(place.start({ home }), inUse)
  // By another name.
  const alias = join(place.folder, 'alias')
  symlinkSync(home, alias)
  await assert.rejects(place.start({ home: alias }), inUse)
  // Another home on the same chain that borrows one signer's folder.
  for (const folder of ['node', 'log', 'witness'] as const) {
    const other = place.newHome()
    mkdirSync(join(other, 'chain'), { recursive: true })
    symlinkSync(join(home, folder), join(other, folder))
    const chainRpcUrl = daemon.endpoints.chain
    await assert.rejects(place.start({ home: other, chainRpcUrl }), (error) => {
      assert.ok(error instanceof Daemon.StartFailedError, String(error))
      return true
    })
    rmSync(other, { recursive: true })
  }
  ledger.addAnswers(await load.stop())
  assert.ok(daemon.isAlive())
  await ledger.checkAnchored(daemon.endpoints, info)
  await daemon.stop()
  ledger.checkFolders(Folders.read(home))
  // Several at once: one wins.
  const started = await Promise.allSettled(Array.from({ length: 4 }, () => place.start({ home })))
  const won = started.filter((one) => one.status === 'fulfilled')
  assert.equal(won.length, 1)
  for (const one of started) if (one.status === 'rejected') assert.ok(inUse(one.reason), String(one.reason))
  for (const one of won) await one.value.stop()
  ledger.checkFolders(Folders.read(home))
})
