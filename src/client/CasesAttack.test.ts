/**
 * What an accused wanted of a challenger and does not get: that a case opened by another keeps it from opening its own, and that cases
 * which the accused opened itself make the bond of an honest one dear.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Abi, decodeFunctionData, encodeFunctionResult } from 'viem'
import { abi as casesAbi } from '../chain/generated/FaultCases.ts'
import { abi as courtAbi } from '../chain/generated/FaultCourt.ts'
import type * as Sender from '../chain/Sender.ts'
import { crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cases from './Cases.ts'
import type { Court } from './Court.ts'
import { type CaseState, memoryCaseStore } from './Stores.ts'

const filled = (length: number, byte: number) => new Uint8Array(length).fill(byte)
const contract = (byte: number) => ({ address: filled(20, byte), codeHash: filled(32, byte) })
const own = filled(20, 5)
const abi = [...casesAbi, ...courtAbi] as Abi

/** Contracts in memory: no case is there until it is sent; the least bond is a milli-coin. */
function courtWith(open = 0n) {
  let sent: bigint | undefined
  const answers = (): Readonly<Record<string, unknown>> => ({
    getCase: {
      challenger: sent === undefined ? `0x${'00'.repeat(20)}` : Bytes.to0x(own),
      ...{ openedAtBlock: 90, state: sent === undefined ? 0 : 1, bondGwei: Number((sent ?? 0n) / 10n ** 9n) },
    },
    openCases: open,
    caseTerms: [600n, 300n, 10n ** 15n],
    getWindows: {
      ...{ graceBlocks: 600, openWindowBlocks: 600, answerBlocks: 300, evidenceBlocks: 600, revealBlocks: 1 },
      bondFloorGwei: 10n ** 6n,
    },
  })
  const sender: Sender.Sender = {
    ...{ address: own, close: () => {}, call: async () => new Uint8Array(0) },
    send: async ({ value }) => {
      sent = value
      return { transactionHash: '0x', blockNumber: 90n, gasUsed: 0n }
    },
  }
  const court: Court = {
    ...{ chainId: 7n, anchorLog: filled(20, 8), nodeRegistry: filled(20, 9), sender },
    contracts: { stakeManager: contract(1), faultCourt: contract(2), faultCases: contract(3) },
    rpc: {
      chainId: 7n,
      assertChain: async () => {},
      request: async (method, params = []) => {
        if (method === 'eth_blockNumber') return '0x64'
        if (method === 'eth_getBlockByNumber') return { baseFeePerGas: '0x0' }
        assert.equal(method, 'eth_call')
        const { functionName } = decodeFunctionData({ abi, data: (params[0] as { data: `0x${string}` }).data })
        return encodeFunctionResult({ abi, functionName, result: answers()[functionName] as never })
      },
    },
  }
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
