/** disk.test.ts - the disk fills up while the daemon works: typed refusals, nothing is said that is not kept, and it comes back. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import * as Calls from '../crash/Calls.ts'
import * as Daemon from '../crash/Daemon.ts'
import * as Folders from '../crash/Folders.ts'
import * as Ledger from '../crash/Ledger.ts'
import * as Silence from '../crash/Silence.ts'

const place = Daemon.createPlace()
after(place.close)

/** Calls one after the other until so many were refused; every answer goes through the ledger. */
async function untilRefused(gateway: string, ledger: Ledger.Ledger, refusals: number): Promise<Calls.Answer[]> {
  const info = await Calls.nodeInfo(gateway)
  const refused: Calls.Answer[] = []
  for (let i = 0; i < 400 && refused.length < refusals; i++) {
    const kinds = ['infer', 'unary', 'stream'] as const
    const answer = await Calls.call(gateway, info, kinds[i % 3] as Calls.Kind, { withOrder: i % 2 === 0 })
    ledger.addAnswers([answer])
    // A call whose head the log's disk did not take is no refusal: its receipt is pending and follows.
    if (answer.status !== 200 || !answer.isWhole) refused.push(answer)
    if (answer.status === 200 && answer.isWhole) assert.notEqual(answer.receipt, undefined)
  }
  return refused
}

async function recovers(daemon: Daemon.Running, ledger: Ledger.Ledger): Promise<void> {
  const { gateway } = daemon.endpoints
  const info = await Calls.nodeInfo(gateway)
  await Daemon.until('a call with a receipt', async () => {
    const answer = await Calls.call(gateway, info, 'infer')
    ledger.addAnswers([answer])
    return typeof answer.receipt === 'object' ? true : undefined
  })
  await ledger.checkRetrievable(gateway, [...ledger.receipts.keys()])
  await ledger.checkAnchored(daemon.endpoints, info)
}

test('databases that may not grow: refused as disk-full, then as before', { timeout: 120_000 }, async (t) => {
  const home = place.newHome()
  const ledger = Ledger.create()
  const daemon = await place.start({ home })
  const info = await Calls.nodeInfo(daemon.endpoints.gateway)
  ledger.addAnswers([await Calls.call(daemon.endpoints.gateway, info, 'unary', { withOrder: true })])
  for (const round of [1, 2]) {
    await daemon.tell({ kind: 'disk', isFull: true })
    const refused = await untilRefused(daemon.endpoints.gateway, ledger, 6)
    assert.equal(refused.length, 6)
    const codes = refused.filter(({ status }) => status === 503).map(({ body }) => JSON.parse(body).error.code)
    assert.ok(codes.includes('disk_full'), `round ${round}: ${codes}`)
    await daemon.tell({ kind: 'disk', isFull: false })
    await recovers(daemon, ledger)
  }
  // Killed while full: what was acknowledged is there.
  await daemon.tell({ kind: 'disk', isFull: true })
  await untilRefused(daemon.endpoints.gateway, ledger, 3)
  await daemon.kill('daemon')
  ledger.checkFolders(Folders.read(home))
  const again = await place.start({ home })
  await recovers(again, ledger)
  await again.stop()
  const held = Folders.read(home)
  ledger.checkFolders(held)
  assert.equal(held.intentStates.get('running') ?? 0, 0)
  t.diagnostic(JSON.stringify(ledger.counts))
  Silence.check(place, home, { receipts: [...ledger.receipts.values()] })
})

// A file system of its own needs a user namespace, which not every machine grants; the test above runs everywhere.
const canMount = spawnSync('unshare', ['-Urm', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0
if (canMount)
  test('a file system without space under all folders, the chain’s too', { timeout: 180_000 }, async (t) => {
    const inside = join(place.folder, 'small')
    mkdirSync(inside)
    const ledger = Ledger.create()
    const script = `mount -t tmpfs -o size=24m tmpfs '${inside}' && exec "$@"`
    const within = ['unshare', '-Urm', 'sh', '-c', script, 'sh']
    const daemon = await place.start({ home: join(inside, 'home'), within })
    // Seen from outside through the process's own root.
    const small = `/proc/${daemon.pid}/root${inside}`
    const home = join(small, 'home')
    const { gateway } = daemon.endpoints
    const info = await Calls.nodeInfo(gateway)
    ledger.addAnswers([await Calls.call(gateway, info, 'unary', { withOrder: true })])
    await ledger.checkAnchored(daemon.endpoints, info)
    const ballast = join(small, 'ballast')
    for (const round of [1, 2]) {
      fill(ballast)
      const refused = await untilRefused(gateway, ledger, 6)
      assert.ok(refused.length >= 6, 'the disk was not full')
      const codes = refused.filter(({ status }) => status === 503).map(({ body }) => JSON.parse(body).error.code)
      t.diagnostic(`round ${round}: ${[...new Set(codes)]}`)
      assert.ok(codes.includes('disk_full'), `${codes}`)
      await sleep(1_500)
      rmSync(ballast)
      await recovers(daemon, ledger)
    }
    ledger.checkFolders(Folders.read(home))
    t.diagnostic(JSON.stringify(ledger.counts))
    Silence.check(place, home, { receipts: [...ledger.receipts.values()] })
    await daemon.stop()
  })

/** Takes all the space there is. */
function fill(path: string): void {
  for (const size of [1024 * 1024, 4096]) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size, 1), { flag: 'a' })
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
    }
  }
}
