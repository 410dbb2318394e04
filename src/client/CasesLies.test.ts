/** What one endpoint only says about a case neither makes a challenger pay for transactions that come to nothing, nor frees its limit. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answerWindow, filled, own, packed, type Words, worldOf } from '../../tests/fakes/Court.ts'
import * as CaseCalls from '../chain/CaseCalls.ts'
import * as Layout from '../chain/Layout.ts'
import { crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cases from './Cases.ts'
import { type CaseState, memoryCaseStore } from './Stores.ts'

const logId = filled(32, 8)
const { caseId, incident } = CaseCalls.entryCase(crypto, logId, 2n)
const bond = 10n ** 15n
const inState = (state: bigint): Words[number] => [
  'faultCases',
  Layout.caseSlot(crypto, caseId),
  packed([own, 160], [20n, 40], [state, 8], [10n ** 6n, 48]),
]
const record = (reward: bigint): Words[number] => [
  'faultCourt',
  Layout.faultSlot(crypto, caseId),
  packed([own, 160], [reward, 88], [17n, 8]),
]
const credit = (wei: bigint): Words[number] => ['faultCases', Layout.creditSlot(crypto, own), Bytes.u256(wei)]
const nothing = { challenger: `0x${'00'.repeat(20)}`, openedAtBlock: 0, state: 0, bondGwei: 0 }
const windows = {
  ...{ graceBlocks: 600, openWindowBlocks: 600, answerBlocks: 30, evidenceBlocks: 600, revealBlocks: 1 },
  bondFloorGwei: 10n ** 6n,
}

/** A challenger with one case; `says`: of what the endpoint says, what is not so. */
async function scene(stage: CaseState['stage'], latest: Words, says: Record<string, unknown>) {
  const cases = memoryCaseStore()
  const made = worldOf({
    latest: [...latest, answerWindow(30n)],
    says: {
      ...{ openCases: 0n, caseTerms: [600n, 30n, bond], getWindows: windows, credit: 0n },
      getCase: { challenger: Bytes.to0x(own), openedAtBlock: 20, state: 3, bondGwei: 10 ** 6 },
      ...says,
    },
    answer: (method) => (method === 'eth_getLogs' ? [] : undefined),
  })
  const state: CaseState = { stage, ...incident, class: 17, challenger: own, bond, index: 2n, openedAtBlock: 20n }
  await cases.save(Bytes.toHex(caseId), state)
  return { ...made, cases, options: { crypto, court: made.court, cases, spendLimit: bond } }
}

test('a reward and a bond that are only said to be owed are not fetched', async () => {
  const says = { getFault: [Bytes.to0x(own), 5n, 17], credit: bond }
  const { world, options } = await scene('expired', [inState(3n), record(0n)], says)
  for (let i = 0; i < 3; i++) await Cases.follow({ ...options, expire: true })
  assert.deepEqual(world.sent, [])
})

test('those that are owed are fetched, whatever is said', async () => {
  const { world, options } = await scene('expired', [inState(3n), record(5n), credit(bond)], {})
  await Cases.follow({ ...options, expire: true })
  assert.deepEqual(world.sent, ['claimReward', 'withdrawCredit'])
})

for (const [what, says, number] of [
  ['is expired', {}, undefined],
  ['had no bond', { getCase: { challenger: Bytes.to0x(own), openedAtBlock: 20, state: 2, bondGwei: 0 } }, undefined],
  [
    'was answered long ago',
    { getCase: { challenger: Bytes.to0x(own), openedAtBlock: 20, state: 2, bondGwei: 10 ** 6 } },
    2n ** 40n,
  ],
] as const)
  test(`a bond is not free because a case that was answered is said to be one that ${what}`, async () => {
    const { world, options } = await scene('answered', [inState(2n)], says)
    const { answer } = world
    world.answer = (method, params) =>
      method === 'eth_blockNumber' && number !== undefined ? `0x${number.toString(16)}` : answer?.(method, params)
    await Cases.follow({ ...options, expire: true })
    world.says.getCase = nothing
    await assert.rejects(Cases.challengeEntry(options, { logId, index: 3n }), { code: 'spend-limit' })
    assert.deepEqual(world.sent, [])
  })
