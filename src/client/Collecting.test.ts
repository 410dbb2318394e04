/** What an endpoint says about an expired case ends nothing: that reward and bond are fetched for good, the final state shows. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answerWindow, filled, own, packed, type Words, worldOf } from '../../tests/fakes/Court.ts'
import * as CaseCalls from '../chain/CaseCalls.ts'
import * as Layout from '../chain/Layout.ts'
import { crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cases from './Cases.ts'
import * as Collecting from './Collecting.ts'
import { type CaseState, memoryCaseStore } from './Stores.ts'

const { caseId, incident } = CaseCalls.entryCase(crypto, filled(32, 8), 2n)
const other = filled(20, 6)
type Word = Words[number]

const caseIn = (state: bigint): Word => [
  'faultCases',
  Layout.caseSlot(crypto, caseId),
  packed([own, 160], [20n, 40], [state, 8], [10n ** 6n, 48]),
]
const credit = (account: Uint8Array, wei: bigint): Word => [
  'faultCases',
  Layout.creditSlot(crypto, account),
  Bytes.u256(wei),
]
const record = (reward: bigint): Word => [
  'faultCourt',
  Layout.faultSlot(crypto, caseId),
  packed([own, 160], [reward, 88], [17n, 8]),
]
const settled: Words = [caseIn(3n), record(0n)]

/** In the newest block all is fetched; `finalized` is what the final state shows. */
async function isFinal(finalized: Words, challenger = own, isShown = true): Promise<boolean> {
  const cases = memoryCaseStore()
  const { court, world } = worldOf({ finalized, latest: [caseIn(3n), record(0n)] })
  if (!isShown)
    world.answer = (method, [, slots, block]) => {
      if (method !== 'eth_getProof' || block !== '0x32') return undefined
      return { accountProof: [], storageProof: (slots as string[]).map(() => ({ value: '0x0', proof: [] })) }
    }
  const state: CaseState = { stage: 'expired', ...incident, class: 17, challenger, bond: 10n ** 15n, index: 2n }
  const id = Bytes.toHex(caseId)
  await cases.save(id, state)
  const next = await Collecting.collect(crypto, court, cases, id, state)
  assert.deepEqual(world.sent, [])
  assert.deepEqual(await cases.load(id), next)
  return next.isFinal === true
}

test('an own case is over when the final state shows it expired, and owes neither reward nor bond', async () => {
  assert.equal(await isFinal(settled), true)
  assert.equal(await isFinal([...settled, credit(other, 1n)]), true)
})

test('not while it only is said to be expired', async () => {
  assert.equal(await isFinal([caseIn(1n), record(0n)]), false)
  assert.equal(await isFinal([record(0n)]), false)
})

test('not while the reward is owed there, or no fault is on record', async () => {
  assert.equal(await isFinal([caseIn(3n), record(1n)]), false)
  assert.equal(await isFinal([caseIn(3n)]), false)
})

test('not while the bond lies there', async () => {
  assert.equal(await isFinal([...settled, credit(own, 1n)]), false)
})

test('not while the final state is not shown', async () => {
  assert.equal(await isFinal(settled, own, false), false)
})

test('a case of another needs to be expired there, and no more', async () => {
  assert.equal(await isFinal([caseIn(3n), credit(own, 1n)], other), true)
  assert.equal(await isFinal([caseIn(1n)], other), false)
})

test('a case that was answered after it had expired is over by the fault on record, and owes the same', async () => {
  assert.equal(await isFinal([caseIn(2n), record(0n)]), true)
  assert.equal(await isFinal([caseIn(2n), record(1n)]), false)
  assert.equal(await isFinal([caseIn(2n), record(0n), credit(own, 1n)]), false)
  assert.equal(await isFinal([caseIn(2n)]), false)
  assert.equal(await isFinal([caseIn(2n)], other), false)
})

test('what a case answered late owes is fetched by its challenger, and its bond is not counted as lost', async () => {
  for (const isLate of [true, false]) {
    const cases = memoryCaseStore()
    const owed = isLate ? [record(5n)] : []
    const { court, world } = worldOf({
      latest: [caseIn(2n), credit(own, 10n ** 15n), answerWindow(30n), ...owed],
      answer: (method) => (method === 'eth_getLogs' ? [] : undefined),
    })
    const state: CaseState = { stage: 'open', ...incident, class: 17, challenger: own, bond: 10n ** 15n, index: 2n }
    await cases.save(Bytes.toHex(caseId), state)
    const [followed] = await Cases.follow({ crypto, court, cases, expire: true })
    assert.equal(followed?.state.stage, isLate ? 'expired' : 'answered')
    assert.deepEqual(world.sent, isLate ? ['claimReward', 'withdrawCredit'] : [])
  }
})
