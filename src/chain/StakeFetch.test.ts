/** What an endpoint says about stake: shown, shown to be none, or neither; only the state tells the last two apart. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as Stake from '../../tests/fakes/Stake.ts'
import { createState } from '../../tests/fakes/Trie.ts'
import { crypto } from '../crypto/noble.ts'
import * as Rpc from './Rpc.ts'
import * as StakeFetch from './StakeFetch.ts'
import * as StakePiece from './StakePiece.ts'

const [nodeId, logId] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
const operator = new Uint8Array(20).fill(3)
const subjects = { node: { id: nodeId, operator }, log: { id: logId, operator } }
const nobody = { node0: 0n, node1: 0n, node2: 0n, node5: 0n } as const

/** An endpoint over a true state; `bend` changes what it says. */
async function endpoint(
  changes: Stake.Changes = {},
  bend: (answers: StakeFetch.Answers, address: Uint8Array) => StakeFetch.Answers = (answers) => answers,
) {
  const accounts = Stake.accounts(subjects, changes)
  const state = await createState(accounts)
  const ask: StakeFetch.Ask = async (address, slots) => {
    const { storage } = accounts.find((one) => Buffer.from(one.address).equals(address)) ?? assert.fail()
    const words = slots.map(async (slot) => ({
      isZero: !storage.has(Buffer.from(slot).toString('hex')),
      proof: await state.storage(address, slot),
    }))
    return bend({ account: await state.account(address), words: await Promise.all(words) }, address)
  }
  return { ask, stateRoot: state.root }
}

async function fetch(
  { ask, stateRoot }: Awaited<ReturnType<typeof endpoint>>,
  stake = Stake.contracts,
): Promise<StakeFetch.Found> {
  return StakeFetch.fetchStake(crypto, ask, { stake, nodeId, logId, stateRoot })
}

/** Says of every word that it is zero, with the proofs as they are. */
const denying = (answers: StakeFetch.Answers): StakeFetch.Answers => ({
  ...answers,
  words: answers.words.map((word) => ({ ...word, isZero: true })),
})
const open = { piece: undefined, isAbsent: false }
const absent = { piece: undefined, isAbsent: true }

describe('stake by an endpoint', () => {
  test('is shown with every proof', async () => {
    const at = await endpoint()
    const { piece } = await fetch(at)
    assert.ok(piece)
    const of = { nodeId, logId, nodeOperator: operator, logOperator: operator }
    assert.equal(StakePiece.read(crypto, piece, of, at.stateRoot).log.selfShares, 100_000n * Stake.token)
  })

  test('is shown to be none where a word that every staked subject has is proven to be zero', async () => {
    assert.deepEqual(await fetch(await endpoint({ words: nobody })), absent)
    assert.deepEqual(await fetch(await endpoint({ words: { log0: 0n } })), absent)
  })

  test('stays open when an endpoint denies what is there, or leaves the proof out', async () => {
    assert.deepEqual(await fetch(await endpoint({}, denying)), open)
    const bare = (answers: StakeFetch.Answers) => ({
      ...answers,
      words: answers.words.map(() => ({ isZero: true, proof: [] })),
    })
    assert.deepEqual(await fetch(await endpoint({ words: nobody }, bare)), open)
    // Proofs of another place of the same trie.
    const moved = (answers: StakeFetch.Answers) => ({
      ...answers,
      words: answers.words.map((word) => ({ ...word, proof: answers.words[0]?.proof ?? [] })),
    })
    assert.deepEqual(await fetch(await endpoint({ words: nobody }, moved)), open)
  })

  test('stays open when the endpoint is away, or the contract is another one', async () => {
    const { stateRoot } = await endpoint()
    const away: StakeFetch.Ask = async () => {
      throw Rpc.RequestError.from('eth_getProof', new Error('away'))
    }
    assert.deepEqual(await fetch({ ask: away, stateRoot }), open)
    const { stakeManager } = Stake.contracts
    const other = { ...Stake.contracts, stakeManager: { ...stakeManager, codeHash: new Uint8Array(32) } }
    assert.deepEqual(await fetch(await endpoint({ words: nobody }), other), open)
  })

  test('a subject whose shares do not leave is no absence: word 2 is zero then', async () => {
    const { piece } = await fetch(await endpoint({ log: { selfUnbonding: 1n } }))
    assert.ok(piece)
  })
})
