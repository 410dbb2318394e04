/**
 * schedules.test.ts - an honest operator is never slashable: seeded schedules of everything that can happen to it. Within which bounds
 * stands in Schedule.ts (disks), Prosecutor.ts (pledges, F4) and CaseJudge.ts (cases, F17, F18 and F4 by `how` 3).
 *
 *     ASSAY_SCHEDULES=5000 node --test tests/schedules/schedules.test.ts     more of them
 *     ASSAY_SEED=1234 node --test tests/schedules/schedules.test.ts          one again
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as Schedule from './Schedule.ts'

const only = process.env.ASSAY_SEED
const count = only === undefined ? Number(process.env.ASSAY_SCHEDULES ?? 80) : 1
// The short run is the same every time; a long one looks where nobody has looked.
const first = only !== undefined ? Number(only) : count <= 80 ? 1 : 1 + Math.floor(Math.random() * 2 ** 30)

/** Runs a schedule; when it shows what it must not, the shortest one like it is told. */
async function assertJust(schedule: Schedule.Schedule, isUnjust: (outcome: Schedule.Outcome) => boolean) {
  const outcome = await Schedule.run(schedule)
  if (!isUnjust(outcome)) return outcome
  const least = await Schedule.shrink(schedule, async (one) => isUnjust(await Schedule.run(one)))
  const { unjust, givenUp } = await Schedule.run(least)
  const faults = unjust.map(
    (one) => `F${one.class}${one.missing === true ? ' missing' : ''} of ${one.subject.slice(0, 8)}: ${one.detail}`,
  )
  return assert.fail(
    [Schedule.describe(least), ...new Set(faults), ...givenUp, `ASSAY_SEED=${schedule.seed}`].join('\n'),
  )
}

describe('an honest operator', () => {
  test(`is never slashable (${count} schedules from seed ${first})`, async (t) => {
    const startedMs = performance.now()
    const totals: Record<string, number> = {}
    for (let seed = first; seed < first + count; seed++) {
      const outcome = await assertJust(
        Schedule.generate(seed),
        ({ unjust, givenUp }) => unjust.length > 0 || givenUp.length > 0,
      )
      for (const [what, number] of Object.entries(outcome.report)) totals[what] = (totals[what] ?? 0) + number
      for (const one of outcome.convictions) {
        const what = one.withinBounds ? 'signed twice, never left' : `F${one.class} out of bounds`
        totals[what] = (totals[what] ?? 0) + 1
      }
    }
    const perMinute = Math.round((count * 60_000) / (performance.now() - startedMs))
    t.diagnostic(`seeds ${first} to ${first + count - 1}, ${perMinute} schedules a minute`)
    t.diagnostic(JSON.stringify(totals))
    // A schedule in which nothing is signed proves nothing.
    if (only === undefined) assert.ok((totals.pledges ?? 0) > count && (totals.anchored ?? 0) > count)
    const kinds = ['entry', 'opening', 'absent'].map((kind) => totals[`case answered ${kind}`] ?? 0)
    if (only === undefined) assert.ok(Math.min(...kinds) > count / 4 && (totals['cases expired'] ?? 0) > 0)
  })

  const beyond = Math.ceil(count / 4)
  test(`beyond the bounds can only be late (${beyond} schedules from seed ${first})`, async (t) => {
    let convicted = 0
    let lost = 0
    for (let seed = first; seed < first + beyond; seed++) {
      const schedule = Schedule.withLossOfBoth(Schedule.generate(seed), seed)
      const outcome = await assertJust(schedule, ({ unjust }) => unjust.length > 0)
      if (outcome.isBeyond) lost++
      convicted += outcome.convictions.filter((one) => one.class === 4).length
    }
    t.diagnostic(`disk and mirror lost together in ${lost}, ${convicted} pledges broken`)
    if (only === undefined) assert.ok(lost > 0)
  })

  test(`whose log and mirror are older copies of one time can only be late (${beyond} schedules from seed ${first})`, async (t) => {
    let refused = 0
    for (let seed = first; seed < first + beyond; seed++) {
      const schedule = Schedule.withRestoreOfBoth(Schedule.generate(seed), seed)
      const { report } = await assertJust(schedule, ({ unjust }) => unjust.length > 0)
      refused += (report['given up log-behind'] ?? 0) + (report['given up log-forked'] ?? 0)
    }
    t.diagnostic(`the log has ended ${refused} times`)
    if (only === undefined) assert.ok(refused > 0)
  })
})
