/**
 * What an accused wanted of a challenger and does not get: that a case opened by another keeps it from opening its own, and that cases
 * which the accused opened itself make the bond of an honest one dear.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answerWindow, filled, own, packed, worldOf } from '../../tests/fakes/Court.ts'
import * as CaseCalls from '../chain/CaseCalls.ts'
import * as Layout from '../chain/Layout.ts'
import { crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cases from './Cases.ts'
import { type CaseState, memoryCaseStore } from './Stores.ts'

const nothing = { challenger: `0x${'00'.repeat(20)}`, openedAtBlock: 0, state: 0, bondGwei: 0 }

/** Contracts in memory: no case is there until it is sent; the least bond is a milli-coin. */
function courtWith(open = 0n) {
  const { world, court } = worldOf({
    says: { getCase: nothing, openCases: open, caseTerms: [600n, 300n, 10n ** 15n] },
    latest: [answerWindow(300n)],
    send: (_, [log, index], value) => {
      const { caseId } = CaseCalls.entryCase(crypto, Bytes.from0x(log as string), index as bigint)
      const word = packed([own, 160], [90n, 40], [1n, 8], [value / 10n ** 9n, 48])
      world.latest = [...world.latest, ['faultCases', Layout.caseSlot(crypto, caseId), word]]
    },
  })
  return court
}

const stateOf = (challenger: Uint8Array): CaseState => ({
  ...{ stage: 'open', class: 17, subject: filled(32, 1), keyEpoch: 0, incident: filled(32, 1), index: 1n },
  ...{ challenger, bond: 10n ** 18n, openedAtBlock: 80n, lastBlock: 380n },
})

test('only own bonds are held against the limit: who opens a case first binds his own coin', async () => {
  const asked = { logId: filled(32, 1), index: 2n }
  const cases = memoryCaseStore()
  await cases.save('aa'.repeat(32), stateOf(filled(20, 6)))
  const options = { crypto, court: courtWith(), cases, spendLimit: 10n ** 18n }
  const { state } = await Cases.challengeEntry(options, asked)
  assert.deepEqual([state.stage, state.bond], ['open', 10n ** 15n])
  await cases.save('aa'.repeat(32), stateOf(own))
  await assert.rejects(Cases.challengeEntry({ ...options, court: courtWith() }, { ...asked, index: 3n }), {
    code: 'spend-limit',
  })
})

test('a bond that open cases have doubled more than twice is not paid; it is asked again later', async () => {
  const options = { crypto, cases: memoryCaseStore() }
  for (const [open, times] of [
    [1n, 2n],
    [2n, 4n],
  ] as const) {
    const { state } = await Cases.challengeEntry(
      { ...options, court: courtWith(open) },
      { logId: filled(32, 1), index: open },
    )
    assert.equal(state.bond, times * 10n ** 15n)
  }
  const asked = { logId: filled(32, 1), index: 3n }
  await assert.rejects(Cases.challengeEntry({ ...options, court: courtWith(3n) }, asked), {
    code: 'cases-crowded',
    action: 'decide',
  })
  assert.equal((await options.cases.list()).length, 2, 'nothing is written down')
  await Cases.challengeEntry({ ...options, court: courtWith(2n) }, asked)
})
