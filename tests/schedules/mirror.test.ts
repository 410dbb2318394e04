/**
 * mirror.test.ts - the other side of the schedules: who is dishonest in them is caught by a default client, or what came of it is worth
 * nothing under `bonded`; and who is honest in them is not accused.
 *
 *     ASSAY_SCHEDULES=5000 node --test tests/schedules/mirror.test.ts     more of them
 *     ASSAY_SEED=1234 node --test tests/schedules/mirror.test.ts          one again
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as Dishonest from './Dishonest.ts'

const only = process.env.ASSAY_SEED
const share = Math.max(2, Math.ceil(Number(process.env.ASSAY_SCHEDULES ?? 33) / (Dishonest.acts.length + 1)))
const count = only === undefined ? share : 1
const first = only !== undefined ? Number(only) : count <= 8 ? 1 : 1 + Math.floor(Math.random() * 2 ** 30)

describe(`in the same schedules (seeds ${first} to ${first + count - 1})`, () => {
  test('who is honest is not accused, and is relied on', async () => {
    const outcomes: string[] = []
    for (let seed = first; seed < first + count; seed++) {
      const outcome = await Dishonest.run(seed, 'none')
      assert.deepEqual(outcome.violations, [], `ASSAY_SEED=${seed}`)
      outcomes.push(...outcome.outcomes)
    }
    assert.ok(outcomes.includes('MEETS'), 'otherwise the rest of this file says nothing')
  })

  for (const act of Dishonest.acts) {
    test(`${act} is caught or worth nothing`, async (t) => {
      let touched = 0
      let restarts = 0
      for (let seed = first; seed < first + count; seed++) {
        const outcome = await Dishonest.run(seed, act)
        assert.deepEqual(outcome.violations, [], `${act}, ASSAY_SEED=${seed}`)
        touched += outcome.touched
        restarts += outcome.restarts
      }
      t.diagnostic(`${touched} receipts touched, ${restarts} restarts of the client`)
    })
  }
})

/** What has no contradiction to remember is worth nothing by itself. */
const unforgettable = Dishonest.acts.filter((act) => act !== 'F17' && act !== 'F18')

test('a client whose watch is switched off is found out', async () => {
  const relied: string[] = []
  for (const act of unforgettable) {
    const { violations } = await Dishonest.run(first, act, true)
    assert.ok(violations.length > 0, `${act}, ASSAY_SEED=${first}`)
    if (violations.some((one) => one.startsWith('MEETS'))) relied.push(act)
  }
  assert.ok(relied.length > 0, 'no verdict would have been false without it')
})
