/** ChainFacts.test.ts - that a record is not there is taken from a proof only, whatever the endpoint says. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createState, headerRlp } from '../../tests/fakes/Trie.ts'
import * as CaseCalls from '../chain/CaseCalls.ts'
import * as Layout from '../chain/Layout.ts'
import * as Rlp from '../chain/Rlp.ts'
import * as Rpc from '../chain/Rpc.ts'
import { crypto } from '../crypto/noble.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as ChainAccess from './ChainAccess.ts'

const digest = (text: string) => crypto.sha256(Bytes.fromUtf8(text))
const contract = (name: string) => ({ address: digest(name).slice(0, 20), codeHash: digest(`${name} code`) })
const nodeRegistry = contract('registry')
const anchorLog = contract('log')
const stake = { stakeManager: contract('manager'), faultCourt: contract('court'), faultCases: contract('cases') }
const anchors = { nodeRegistry, anchorLog, stake }
const [nodeId, logId, keyId] = [digest('node'), digest('log'), digest('key')]
const [empty, unknown] = [digest('empty log'), digest('nobody')]
const word = (value: bigint) => Bytes.u256(value)
const operator = Bytes.toBigInt(contract('operator').address)

/** Of the entries 1, 2 and 3: open, answered, expired. */
function caseOf(index: bigint): Uint8Array {
  return Layout.caseSlot(crypto, CaseCalls.entryCase(crypto, logId, index).caseId)
}
const caseWord = (state: bigint) => operator | (150n << 160n) | (state << 200n) | (7n << 208n)

const stored: readonly (readonly [typeof nodeRegistry, readonly Uint8Array[], readonly Uint8Array[]])[] = [
  [nodeRegistry, [Layout.nodeOfKeySlot(crypto, keyId)], [nodeId]],
  [nodeRegistry, Layout.nodeSlots(crypto, nodeId).slice(0, 1), [word(operator | (90n << 160n) | (1n << 224n))]],
  [nodeRegistry, Layout.keyRecordSlots(crypto, nodeId, 0), [keyId, word(operator | (3n << 160n) | (90n << 168n))]],
  [anchorLog, Layout.logRecordSlots(crypto, logId), [keyId, word(operator | (600n << 160n))]],
  [anchorLog, Layout.logHeadSlots(crypto, logId), [word(5n), digest('root')]],
  [anchorLog, Layout.stepSlots(crypto, logId, 5n), [digest('root'), word(105n)]],
  [anchorLog, Layout.logHeadSlots(crypto, empty).slice(1), [crypto.sha256(new Uint8Array())]],
  [stake.faultCourt, [Layout.courtTermsSlot()], [word(1n)]],
  [stake.faultCourt, [Layout.observedSlot(crypto, logId, 7n)], [word(6n)]],
  [stake.faultCourt, [Layout.courtWindowsSlot()], [word(operator | (1_300n << 160n) | (300n << 192n))]],
  ...([1n, 2n, 3n] as const).map((state) => [stake.faultCases, [caseOf(state)], [word(caseWord(state))]] as const),
]

const fieldNames = [
  ...['parentHash', 'sha3Uncles', 'miner', 'stateRoot', 'transactionsRoot', 'receiptsRoot', 'logsBloom', 'difficulty'],
  ...['number', 'gasLimit', 'gasUsed', 'timestamp', 'extraData', 'mixHash', 'nonce', 'baseFeePerGas'],
]
const integers = ['difficulty', 'number', 'gasLimit', 'gasUsed', 'timestamp', 'baseFeePerGas']

/** `hides`: says zero of every word, with the true proof; `drops`: and gives no proof at all; `made`: the contracts are there. */
async function endpoint(lie: 'none' | 'hides' | 'drops', isMade = true, words = stored): Promise<Rpc.Rpc> {
  const storages = new Map<string, Map<string, Uint8Array>>()
  for (const [{ address }, slots, values] of words) {
    const storage = storages.get(Bytes.toHex(address)) ?? new Map<string, Uint8Array>()
    for (const [i, slot] of slots.entries()) storage.set(Bytes.toHex(slot), values[i] as Uint8Array)
    storages.set(Bytes.toHex(address), storage)
  }
  const all = [nodeRegistry, anchorLog, ...Object.values(stake)]
  const withStorage = all.map((one) => ({ ...one, storage: storages.get(Bytes.toHex(one.address)) ?? new Map() }))
  const state = await createState(isMade ? withStorage : [])
  const header = headerRlp({ stateRoot: state.root, number: 200n, timestampSeconds: 1n })
  const items = Rlp.decodeList(header) as readonly Uint8Array[]
  const hexOf = (name: string, bytes: Uint8Array) =>
    integers.includes(name) ? `0x${Bytes.toBigInt(bytes).toString(16)}` : Bytes.to0x(bytes)
  const block = {
    hash: Bytes.to0x(crypto.keccak256(header)),
    ...Object.fromEntries(fieldNames.map((name, i) => [name, hexOf(name, items[i] as Uint8Array)])),
  }
  const hex = (proof: readonly Uint8Array[]) => proof.map(Bytes.to0x)
  return {
    chainId: 1n,
    assertChain: async () => {},
    async request(method, params) {
      if (method === 'eth_getBlockByNumber') return block
      const [at, slots] = params as [string, string[]]
      const address = Bytes.from0x(at)
      const storageProof: unknown[] = []
      for (const text of slots) {
        const slot = Bytes.from0x(text)
        const value = storages.get(Bytes.toHex(address))?.get(Bytes.toHex(slot)) ?? word(0n)
        storageProof.push({
          value: lie === 'none' && isMade ? `0x${Bytes.toBigInt(value).toString(16)}` : '0x0',
          proof: lie === 'drops' || !isMade ? [] : hex(await state.storage(address, slot)),
        })
      }
      return { accountProof: hex(await state.account(address)), storageProof }
    },
  }
}

type Ask = (chain: ChainAccess.ChainAccess) => Promise<unknown>
const there: readonly (readonly [string, Ask])[] = [
  ['the record of a log', (chain) => chain.logRecord(logId)],
  ['the head of a log', (chain) => chain.logHead(logId)],
  ['a step', (chain) => chain.step(logId, 5n)],
  ['the record of a key', (chain) => chain.keyRecord({ nodeId, keyEpoch: 0 })],
  ['the node of a key', (chain) => chain.registrationOf(keyId)],
  ['the terms of the court', (chain) => chain.courtTerms()],
  ['an observation', (chain) => chain.observed(logId, 7n)],
  ['an entry that was never shown', (chain) => chain.withheld(logId, 3n)],
  ['a piece of a key and a step', (chain) => chain.piece({ nodeId, keyEpoch: 0, log: { logId, size: 5n } })],
]
const absent: readonly (readonly [string, Ask])[] = [
  ['the record of a log', (chain) => chain.logRecord(unknown)],
  ['the head of a log', (chain) => chain.logHead(unknown)],
  ['a step', (chain) => chain.step(logId, 6n)],
  ['the record of a key', (chain) => chain.keyRecord({ nodeId, keyEpoch: 1 })],
  ['the node of a key', (chain) => chain.registrationOf(unknown)],
  ['an observation', (chain) => chain.observed(logId, 8n)],
  ['a demand', (chain) => chain.withheld(logId, 4n)],
]
const isLie = (error: unknown) => error instanceof Rpc.LieError && error.code === 'rpc-proof'

describe('what is there', () => {
  for (const [name, ask] of there)
    test(`${name}: shown by an honest endpoint, hidden by none`, async () => {
      const shown = await ask(ChainAccess.overRpc(crypto, await endpoint('none'), anchors))
      assert.notEqual(shown, undefined)
      const hiding = ask(ChainAccess.overRpc(crypto, await endpoint('hides'), anchors))
      if (name.startsWith('a piece') || name === 'the record of a key') await assert.rejects(hiding, isLie)
      else assert.deepEqual(await hiding, shown, 'the proof counts')
      await assert.rejects(ask(ChainAccess.overRpc(crypto, await endpoint('drops'), anchors)), isLie)
    })
})

test('a demand: expired is withheld, with the last block of the time to answer; open and answered are not', async () => {
  const chain = ChainAccess.overRpc(crypto, await endpoint('none'), anchors)
  assert.deepEqual(await chain.withheld(logId, 3n), { block: 200n, lastBlock: 450n })
  for (const index of [1n, 2n]) assert.equal(await chain.withheld(logId, index), undefined)
  const { stake: _, ...without } = anchors
  assert.equal(await ChainAccess.overRpc(crypto, await endpoint('none'), without).withheld(logId, 3n), undefined)
})

describe('what is not there', () => {
  for (const [name, ask] of absent)
    test(`${name}: undefined by a proof, an error without`, async () => {
      assert.equal(await ask(ChainAccess.overRpc(crypto, await endpoint('none'), anchors)), undefined)
      await assert.rejects(ask(ChainAccess.overRpc(crypto, await endpoint('drops'), anchors)), isLie)
    })

  test('a piece: not on the chain by a proof, a lie without', async () => {
    for (const query of [
      { nodeId, keyEpoch: 1 },
      { nodeId, keyEpoch: 0, log: { logId: unknown } },
      { nodeId, keyEpoch: 0, log: { logId, size: 6n } },
    ]) {
      const piece = async (lie: 'none' | 'drops') =>
        ChainAccess.overRpc(crypto, await endpoint(lie), anchors).piece(query)
      await assert.rejects(piece('none'), Rpc.NotOnChainError)
      await assert.rejects(piece('drops'), isLie)
    }
  })

  test('contracts that are not made yet: not on the chain', async () => {
    const chain = ChainAccess.overRpc(crypto, await endpoint('none', false), anchors)
    await assert.rejects(chain.piece({ nodeId, keyEpoch: 0 }), Rpc.NotOnChainError)
    assert.equal(await chain.keyRecord({ nodeId, keyEpoch: 0 }), undefined)
  })

  test('a word whose leaf holds zero, as development chains keep it, is a zero', async () => {
    const kept = [anchorLog, Layout.stepSlots(crypto, logId, 9n), [word(0n), word(0n)]] as const
    const chain = ChainAccess.overRpc(crypto, await endpoint('none', true, [...stored, kept]), anchors)
    assert.equal(await chain.step(logId, 9n), undefined)
    assert.equal((await chain.logRecord(logId))?.pledgeBlocks, 600n)
  })

  test('a log that has anchored nothing has size 0', async () => {
    const chain = ChainAccess.overRpc(crypto, await endpoint('none'), anchors)
    assert.equal((await chain.logHead(empty))?.size, 0n)
  })
})
