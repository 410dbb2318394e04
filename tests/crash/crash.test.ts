/**
 * crash.test.ts - a daemon that is killed at random points under load, again and again, on the same home.
 *
 * ASSAY_CRASH_ROUNDS sets the rounds (20; 200 for a long run). Some rounds kill it while it starts, some kill its chain
 * with it, which loses the chain's last blocks.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import * as Calls from './Calls.ts'
import * as Daemon from './Daemon.ts'
import * as Folders from './Folders.ts'
import * as Ledger from './Ledger.ts'
import * as Silence from './Silence.ts'

const rounds = Number(process.env.ASSAY_CRASH_ROUNDS ?? 20)
// A cold start takes 5 s, a warm one 2 s, a load at most 2 s, and checking grows with the log.
const timeoutMs = 120_000 + rounds * 15_000

test(`${rounds} kills under load: nothing pledged is lost, nothing is said twice`, {
  timeout: timeoutMs,
}, async (t) => {
  const place = Daemon.createPlace()
  t.after(place.close)
  const home = place.newHome()
  const ledger = Ledger.create()

  // The chain's state is copied a few seconds after a start; contracts and registrations shall be in it.
  const first = await place.start({ home })
  await first.stop()
  const second = await place.start({ home })
  await sleep(4_500)
  await second.stop()

  for (let round = 0; round < rounds; round++) {
    const isInStart = round % 5 === 2
    const withChain = round % 4 === 3
    const killAfterMs = isInStart ? { killAfterMs: Math.random() * 1_800 } : {}
    const daemon = await place.start({ home, ...killAfterMs }).catch((error: unknown) => {
      if (isInStart && error instanceof Daemon.KilledError) return undefined
      throw error
    })
    if (daemon !== undefined) {
      const { gateway } = daemon.endpoints
      const info = await Calls.nodeInfo(gateway).catch(() => undefined)
      if (info !== undefined && !isInStart) {
        const all = [...ledger.receipts.keys()]
        // All of the last lives, some of the others.
        const some = [...all.slice(-30), ...all.filter(() => Math.random() < 20 / all.length)]
        await ledger.checkRetrievable(gateway, some)
        await ledger.checkCut(gateway)
        const load = Calls.load(gateway, info)
        await sleep(100 + Math.random() * 1_500)
        await daemon.kill(withChain ? 'group' : 'daemon')
        ledger.addAnswers(await load.stop())
      } else await daemon.kill('daemon')
    }
    ledger.checkFolders(Folders.read(home))
  }

  const last = await place.start({ home })
  const info = await Calls.nodeInfo(last.endpoints.gateway)
  await ledger.checkRetrievable(last.endpoints.gateway, [...ledger.receipts.keys()])
  const load = Calls.load(last.endpoints.gateway, info, { workers: 2 })
  await sleep(500)
  const answers = await load.stop()
  assert.ok(
    answers.every((answer) => answer.isWhole && answer.status === 200),
    'after all this it serves as before',
  )
  ledger.addAnswers(answers)
  const anchored = await ledger.checkAnchored(last.endpoints, info)
  await last.stop()
  ledger.checkFolders(Folders.read(home))
  t.diagnostic(`${JSON.stringify({ ...ledger.counts, ...anchored })}`)

  assert.ok(ledger.counts.whole >= rounds && ledger.counts.cut > 0, 'the load did not reach what it should test')
  Silence.check(place, home, { receipts: [...ledger.receipts.values()] })
})
