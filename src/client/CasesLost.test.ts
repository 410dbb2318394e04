/** Cases that never came to be, and one that cannot be followed: neither binds the limit or the others for ever. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answerWindow, filled, own, packed, type Words, worldOf } from '../../tests/fakes/Court.ts'
import * as CaseCalls from '../chain/CaseCalls.ts'
import * as Layout from '../chain/Layout.ts'
import * as Rpc from '../chain/Rpc.ts'
import * as Sender from '../chain/Sender.ts'
import { crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cases from './Cases.ts'
import { memoryCaseStore } from './Stores.ts'

const logId = filled(32, 8)
const asked = { logId, index: 2n }
const nothing = { challenger: `0x${'00'.repeat(20)}`, openedAtBlock: 0, state: 0, bondGwei: 0 }
const slotOf = (index: bigint) => Layout.caseSlot(crypto, CaseCalls.entryCase(crypto, logId, index).caseId)
const opened = (index: bigint): Words[number] => [
  'faultCases',
  slotOf(index),
  packed([own, 160], [90n, 40], [1n, 8], [10n ** 6n, 48]),
]
const shown: Words = [opened(2n), answerWindow(300n)]

/** A challenger whose limit is one bond; its transactions are lost, with or without a number that is known. */
function scene(nonce: bigint | undefined) {
  const cases = memoryCaseStore()
  const { world, court } = worldOf({
    says: {
      ...{ getCase: nothing, openCases: 0n, caseTerms: [600n, 300n, 10n ** 15n] },
      getWindows: {
        ...{ graceBlocks: 600, openWindowBlocks: 600, answerBlocks: 300, evidenceBlocks: 600, revealBlocks: 1 },
        bondFloorGwei: 10n ** 6n,
      },
    },
    send: () => {
      throw new Sender.TransactionLostError('not in a block', nonce)
    },
  })
  const chain = { count: 0n }
  world.answer = (method) => {
    if (method === 'eth_getTransactionCount') return `0x${chain.count.toString(16)}`
    return undefined
  }
  const options = { crypto, court, cases, spendLimit: 10n ** 15n }
  const isFree = async () => {
    await Cases.follow(options)
    return Cases.challengeEntry(options, { logId, index: 3n }).then(
      () => assert.fail('lost'),
      (error) => error instanceof Sender.TransactionLostError,
    )
  }
  return { world, court, cases, options, chain, isFree }
}
const lost = { code: 'transaction-lost' }

test('a bond that was never paid is free again once its number is used and the final state has no such case', async () => {
  const { world, options, chain, isFree, cases } = scene(5n)
  await assert.rejects(Cases.challengeEntry(options, asked), lost)
  assert.equal(await isFree(), false)
  chain.count = 5n
  assert.equal(await isFree(), false)
  chain.count = 6n
  world.finalized = shown
  assert.equal(await isFree(), false)
  world.finalized = []
  assert.equal(await isFree(), true)
  const [first] = await cases.list()
  assert.equal((await cases.load(first as string))?.stage, 'failed')
  // What comes after all is found, and bound again.
  world.latest = shown
  assert.equal((await Cases.follow(options))[0]?.state.stage, 'open')
})

test('without a number, after enough blocks', async () => {
  const { world, options, isFree, cases } = scene(undefined)
  await assert.rejects(Cases.challengeEntry(options, asked), lost)
  await Cases.follow(options)
  const [id] = (await cases.list()) as [string]
  const written = await cases.load(id)
  assert.ok(written !== undefined)
  assert.equal(written.askedAtBlock, 100n)
  assert.equal(await isFree(), false)
  // The final block of this chain is 50.
  await cases.save(id, { ...written, askedAtBlock: 0n })
  assert.equal(await isFree(), false)
  await cases.save(id, { ...written, askedAtBlock: 50n - 7_201n })
  world.finalized = shown
  assert.equal(await isFree(), false)
  world.finalized = []
  assert.equal(await isFree(), true)
})

test('one that cannot be followed does not hold back the others, and is told', async () => {
  const { world, options, cases } = scene(5n)
  for (const index of [1n, 2n, 3n]) {
    const { caseId, incident } = CaseCalls.entryCase(crypto, logId, index)
    const state = { stage: 'open', ...incident, class: 17, challenger: own, bond: 1n, index } as const
    await cases.save(Bytes.toHex(caseId), state)
  }
  world.latest = [opened(1n), opened(2n), opened(3n), answerWindow(300n)]
  const refusing = (code: Rpc.RequestErrorCode, slot?: string) => (method: string, params: readonly unknown[]) => {
    if (method !== 'eth_getProof' || (slot !== undefined && !(params[1] as string[]).includes(slot))) return undefined
    throw new Rpc.RequestError(code, method, 'too large')
  }
  world.answer = refusing('rpc-refused', Bytes.to0x(slotOf(1n)))
  const followed = await Cases.follow(options)
  assert.deepEqual(
    followed.map(({ state, failure }) => [state.lastBlock, failure?.code]),
    [
      [undefined, 'rpc-refused'],
      [390n, undefined],
      [390n, undefined],
    ],
  )
  world.answer = refusing('rpc-unreachable')
  await assert.rejects(Cases.follow(options), { code: 'rpc-unreachable' })
})
