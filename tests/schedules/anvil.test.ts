/**
 * anvil.test.ts - honest operators on a real chain with the real contracts: blocks taken back, a chain that is killed, stands still or
 * begins anew, an endpoint that drops calls or lies, strangers who anchor a part first or open cases. Nobody can be convicted, and no
 * case expires.
 *
 *     ASSAY_SCHEDULES=5000 node --test tests/schedules/anvil.test.ts     a few dozen of them
 *     ASSAY_SEED=12 node --test tests/schedules/anvil.test.ts            one again
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { CourtCalls } from 'assay/chain'
import { createSender } from '../../apps/node/src/settle/sender.ts'
import { fundOnDevelopmentChain, openWallet } from '../../apps/node/src/settle/wallet.ts'
import * as AnvilChain from './AnvilChain.ts'
import * as AnvilOperator from './AnvilOperator.ts'
import * as Challenger from './Challenger.ts'
import * as Prosecutor from './Prosecutor.ts'
import * as Random from './Random.ts'

const only = process.env.ASSAY_SEED
const count = only !== undefined ? 1 : process.env.ASSAY_SCHEDULES === undefined ? 3 : 40
const first = Number(only ?? 1)

const happenings = [
  'reorganise',
  'kill',
  'freeze',
  'drop',
  'lie',
  'front-run',
  'restart',
  'wipe',
  'case',
  'take-back',
] as const
type Happening = (typeof happenings)[number]
/** In these the chain takes cases and answers back, or keeps the operator from them. */
const troubles: readonly Happening[] = ['reorganise', 'kill', 'freeze', 'drop', 'restart']
const graceBlocks = 600n
/** Half of the blocks in which a case can be answered. */
const answerMs = 30_000

/** What happens under a seed: the first three see everything once, and are the short run. */
function generate(seed: number, random: Random.Random): readonly Happening[] {
  const own = happenings.filter((_, i) => i % 3 === seed % 3)
  return [...own, ...Array.from({ length: seed > 3 ? 4 : 0 }, () => random.pick(happenings))]
}

async function run(seed: number, isSilentOnCases = false) {
  const random = Random.create(seed)
  const home = mkdtempSync(join(tmpdir(), 'assay-anvil-'))
  const chain = await AnvilChain.start(home)
  const place = { chainId: chain.chainId, anchorLog: chain.book().anchorLog.address }
  const prosecutor = Prosecutor.create(chain.ledger, graceBlocks, place)
  const operator = AnvilOperator.create({ home, chain, prosecutor, random, isSilentOnCases })
  const challenger = Challenger.create({ home, chain, operator, random })
  const stranger = openWallet(join(home, 'stranger'))
  const events = isSilentOnCases ? (['case'] as const) : generate(seed, random)

  /** Until the chain has what the logs hold, or a moment has passed. */
  async function settle(limitMs: number): Promise<boolean> {
    const untilMs = performance.now() + limitMs
    for (;;) {
      await chain.look(operator.logIds())
      const heads = operator.logs().map(async ({ log }) => {
        const record = await CourtCalls.logRecord(chain.rpc(), chain.book().anchorLog.address, log.identity.logId)
        return record !== undefined && record.headSize >= log.size()
      })
      if (operator.isRunning() && (await Promise.all(heads)).every((isThere) => isThere)) return true
      if (performance.now() > untilMs) return false
      await sleep(100)
    }
  }

  /** Somebody anchors one of the signed states before their log does. */
  async function frontRun(): Promise<void> {
    await operator.call(2)
    await fundOnDevelopmentChain(chain.rpc(), stranger)
    const sender = createSender({ rpc: chain.rpc(), wallet: stranger, pollMs: 40 })
    for (let i = 0; i < 20; i++) {
      for (const { log } of operator.logs()) {
        const [step] = log.unanchored()
        const { logId } = log.identity
        if (step === undefined) continue
        const anchorLog = chain.book().anchorLog.address
        const from = (await CourtCalls.logRecord(chain.rpc(), anchorLog, logId))?.headSize ?? 0n
        if (from >= step.size) continue
        const proof = from === 0n ? [] : await log.consistency(from, step.size)
        await sender.send({ to: anchorLog, data: CourtCalls.anchor(logId, [{ ...step, proof }]) }).catch(() => {})
      }
      await operator.call(1)
      await sleep(30)
    }
    sender.close()
  }

  /** Cases are opened and answered, and only the blocks of the answers are taken back. */
  async function takeBack(): Promise<void> {
    await challenger.challenge()
    const opened = await chain.blockNumber()
    await challenger.areSettled(2_000)
    await sleep(random.below(900))
    const depth = Number((await chain.blockNumber()) - opened)
    if (depth > 0) await chain.reorganise(depth)
  }

  async function happen(what: Happening): Promise<void> {
    switch (what) {
      case 'reorganise':
        return chain.reorganise(1 + random.below(6))
      case 'kill':
        return chain.kill()
      case 'freeze':
        return chain.freeze(800 + random.below(1_500))
      case 'drop':
      case 'lie':
        chain.proxy.mischief = what === 'lie' ? AnvilChain.oldBlocks : () => (random.chance(0.4) ? 'drop' : undefined)
        await operator.call(2)
        await sleep(900)
        chain.proxy.mischief = () => undefined
        return
      case 'front-run':
        return frontRun()
      case 'restart':
        return operator.stop()
      case 'wipe':
        await operator.stop()
        for (const logId of operator.logIds()) prosecutor.abandon(logId)
        await chain.wipe()
        return challenger.begin()
      case 'case':
        return challenger.challenge()
      case 'take-back':
        return takeBack()
    }
  }

  try {
    await challenger.begin()
    await operator.start()
    await operator.call(3)
    await settle(2_000)
    for (const what of events) {
      await operator.call(2)
      if (random.chance(0.4)) await settle(1_000)
      const isChallenged = troubles.includes(what) && random.chance(0.8)
      // By then cases are on their way, open or answered.
      const laterMs = isChallenged ? random.below(1_200) : 0
      await Promise.all([isChallenged ? challenger.challenge() : undefined, sleep(laterMs).then(() => happen(what))])
      await challenger.expire()
      await chain.look(operator.logIds())
      await operator.start()
      await operator.call(1)
      await settle(300)
    }
    // What a daemon that runs does not enter again (its node after a reorganisation) its next start does.
    await operator.stop()
    await operator.start()
    await operator.call(2)
    const isSettled = await settle(20_000)
    await challenger.challenge()
    const isAnswered = await challenger.areSettled(isSilentOnCases ? 1_000 : answerMs)
    await chain.mine(Number(AnvilChain.pledgeBlocks + graceBlocks) + 100)
    await chain.look(operator.logIds())
    const expired = await challenger.expire()
    const report: Record<string, number> = { ...operator.report(), ...challenger.report(), ...prosecutor.counts() }
    return { events, isSettled, isAnswered, expired, convictions: await prosecutor.convict(), report }
  } finally {
    await operator.stop()
    await chain.close()
    rmSync(home, { recursive: true, force: true })
  }
}

for (let seed = first; seed < first + count; seed++) {
  test(`on a real chain an honest operator is never slashable (seed ${seed})`, async (t) => {
    const { events, isSettled, isAnswered, expired, convictions, report } = await run(seed)
    t.diagnostic(`${events.join(', ')}: ${JSON.stringify(report)}`)
    assert.deepEqual(convictions, [], `${events.join(', ')}; ASSAY_SEED=${seed}`)
    assert.deepEqual(expired, [], `${events.join(', ')}; ASSAY_SEED=${seed}`)
    assert.ok(isAnswered, 'every case is answered in half of its time')
    assert.ok(isSettled, 'everything that was pledged is anchored in the end')
    assert.ok((report.pledges ?? 0) > 0 && (report.anchored ?? 0) > 0)
    assert.ok((report['F17 opened'] ?? 0) > 0 && (report['F18 opened'] ?? 0) > 0)
  })
}

test('whoever answers no case is convicted by it', async (t) => {
  const { isAnswered, expired, convictions, report } = await run(first, true)
  t.diagnostic(`${expired.join(', ')}: ${JSON.stringify(report)}`)
  assert.equal(isAnswered, false)
  assert.ok(expired.some((one) => one.startsWith('F17')) && expired.some((one) => one.startsWith('F18')))
  assert.deepEqual(convictions, [], 'of anything else')
})
