/** Cases that were answered: who answers on chain alone, or an endpoint beside it, must not make a client ask about them without end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Abi,
  encodeAbiParameters,
  encodeEventTopics,
  encodeFunctionData,
  type Hex,
  parseAbiParameters,
} from 'viem'
import { answerWindow, contracts, filled, own, packed, type Words, worldOf } from '../../tests/fakes/Court.ts'
import * as CaseCalls from '../chain/CaseCalls.ts'
import { abi as casesAbi } from '../chain/generated/FaultCases.ts'
import * as Layout from '../chain/Layout.ts'
import { createP256Signer, crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Head from '../protocol/Head.ts'
import * as LogEntry from '../protocol/LogEntry.ts'
import * as Cases from './Cases.ts'
import { type CaseState, memoryCaseStore } from './Stores.ts'

const logId = filled(32, 8)
const { caseId, incident } = CaseCalls.entryCase(crypto, logId, 2n)
const name = Bytes.toHex(caseId)
const inState = (state: bigint): Words[number] => [
  'faultCases',
  Layout.caseSlot(crypto, caseId),
  packed([own, 160], [20n, 40], [state, 8], [10n ** 6n, 48]),
]
const signer = createP256Signer(filled(32, 21))
const head = Head.serialize({
  ...{ chainId: 7n, registry: filled(20, 9), nodeId: filled(32, 3), keyEpoch: 0, sequence: 2n, modeBits: 4, flags: 0 },
  ...{ previous: filled(32, 2), claimsRoot: filled(32, 1) },
})
const signature = await Cose.sign(crypto, signer, 'receipt', Head.payload(crypto, head))
const hex = (bytes: Uint8Array) => Bytes.to0x(bytes) as Hex
const event = {
  address: hex(contracts.faultCases.address),
  topics: encodeEventTopics({
    abi: casesAbi as Abi,
    eventName: 'EntryPublished',
    args: { logId: hex(logId), index: 2n },
  }),
  data: encodeAbiParameters(parseAbiParameters('bytes, bytes, bytes, bytes32, bytes32'), [
    ...([hex(LogEntry.fromHead(crypto, head)), hex(head), hex(signature)] as const),
    ...([hex(signer.publicKey.slice(0, 32)), hex(signer.publicKey.slice(32))] as const),
  ]),
  ...{ blockNumber: '0x15', transactionHash: hex(filled(32, 4)) },
}

/** An answer that came through another contract. */
const elsewhere = { to: hex(filled(20, 1)), input: '0x12345678' }

/** A challenger with a case that the contract calls answered. */
async function scene(finalized: Words, events: readonly unknown[], newest = 100n, transaction: unknown = elsewhere) {
  const cases = memoryCaseStore()
  let asked = 0
  const { court, world } = worldOf({
    ...{ finalized, latest: [inState(2n), answerWindow(30n)], newest },
    answer: (method) => {
      if (method === 'eth_getTransactionByHash') return transaction
      if (method !== 'eth_getLogs') return undefined
      if (++asked > 5_000) throw new Error('it asks without end')
      return asked === 1 ? events : []
    },
  })
  const state: CaseState = { stage: 'open', ...incident, class: 17, challenger: own, bond: 10n ** 15n, index: 2n }
  await cases.save(name, state)
  const options = { crypto, court, cases }
  const follow = async () => (await Cases.follow({ ...options, expire: true }))[0]
  return { options, world, follow, asked: () => asked }
}

test('an endpoint that names a block far ahead is asked a bounded number of times what was published', async () => {
  const { follow } = await scene([], [], 2n ** 63n)
  assert.equal((await follow())?.state.stage, 'answered')
})

test('the first publication is enough: later blocks are not asked about', async () => {
  const { follow, asked } = await scene([], [event], 10n ** 6n)
  assert.deepEqual((await follow())?.entry?.head, head)
  assert.equal(asked(), 1)
})

test('a case whose answer is final and was seen is followed no longer, and still gives it to who asks for it', async () => {
  const { follow, options, world, asked } = await scene([inState(2n)], [event])
  assert.deepEqual((await follow())?.entry?.head, head)
  const before = asked()
  const { answer } = world
  world.answer = () => assert.fail('it asks')
  assert.equal((await follow())?.state.stage, 'answered')
  assert.equal(asked(), before)
  assert.ok(answer !== undefined)
  const shown: Record<string, unknown> = { eth_getLogs: [event], eth_getTransactionByHash: elsewhere }
  world.answer = (method) => shown[method]
  assert.deepEqual((await Cases.challengeEntry(options, { logId, index: 2n })).entry?.head, head)
  assert.equal((await options.cases.load(name))?.isFinal, true)
})

test('nor is it given up before that: not final, not published, or without its call', async () => {
  for (const [finalized, events, transaction] of [
    [[inState(1n)], [event]],
    [[], [event]],
    [[inState(2n)], []],
    [[inState(2n)], [event], null],
  ] as const) {
    const { follow, options } = await scene(finalized, events, undefined, transaction)
    await follow()
    assert.equal((await options.cases.load(name))?.isFinal, undefined)
  }
})

test('where the entry stands is read from the call that answered, if that was for this entry and contract', async () => {
  const place = { logId: hex(logId), index: 2n, size: 5n, proof: [hex(filled(32, 6))] }
  const signed = { head: hex(head), signature: hex(signature), x: hex(filled(32, 1)), y: hex(filled(32, 2)) }
  const inputOf = (change: object, entry = LogEntry.fromHead(crypto, head)) => {
    const args = [{ ...place, ...change }, hex(entry), signed]
    return encodeFunctionData({ abi: casesAbi as Abi, functionName: 'answerEntry', args })
  }
  const to = hex(contracts.faultCases.address)
  for (const [transaction, expected] of [
    [
      { to, input: inputOf({}) },
      { size: 5n, proof: [filled(32, 6)] },
    ],
    [{ to, input: inputOf({ index: 3n }) }, undefined],
    [{ to, input: inputOf({ logId: hex(filled(32, 7)) }) }, undefined],
    [{ to, input: inputOf({}, filled(75, 1)) }, undefined],
    [{ ...elsewhere, input: inputOf({}) }, undefined],
    [{ to, input: '0x12345678' }, undefined],
    [null, undefined],
  ] as const) {
    const { follow } = await scene([], [event], undefined, transaction)
    assert.deepEqual((await follow())?.entry?.place, expected)
  }
})

test('an answer after the end is none in time, whatever older blocks are called final in between', async () => {
  const late: Words = [
    inState(2n),
    ['faultCourt', Layout.faultSlot(crypto, caseId), packed([own, 160], [9n, 88], [17n, 8])],
  ]
  const { follow, options, world } = await scene(late, [event])
  const { answer } = world
  world.answer = (method, params) => {
    if (method === 'eth_getBlockByNumber' && params[0] === 'finalized') {
      world.finalized = world.finalized === late ? older : late
    }
    return answer?.(method, params)
  }
  const older: Words = [inState(1n)]
  world.finalized = older
  await follow()
  assert.equal((await options.cases.load(name))?.isFinal, undefined)
})
