/** chain.ts - one block of the fixed world, with state tries made by another implementation (@ethereumjs/mpt). */
import { createMerkleProof, createMPT, type MerklePatriciaTrie } from '@ethereumjs/mpt'
import * as Header from '../../src/chain/Header.ts'
import * as Layout from '../../src/chain/Layout.ts'
import * as Rlp from '../../src/chain/Rlp.ts'
import * as StakePiece from '../../src/chain/StakePiece.ts'
import type * as Bundle from '../../src/protocol/Bundle.ts'
import * as Bytes from '../../src/protocol/Bytes.ts'
import * as Cose from '../../src/protocol/Cose.ts'
import * as Stake from '../../tests/fakes/Stake.ts'
import { type Case, changed, hex, type Json, plain, type VectorFile } from './cases.ts'
import * as World from './world.ts'

const { crypto } = World
const zero = (length: number) => new Uint8Array(length)
const integer = (value: bigint) => Rlp.fromInteger(value)

/** A storage trie of some words, among others that make its paths longer. */
async function storage(words: readonly (readonly [slot: Uint8Array, word: Uint8Array])[]): Promise<MerklePatriciaTrie> {
  const trie = await createMPT({ useKeyHashing: true })
  const others = Array.from({ length: 20 }, (_, i) => [World.digest(`slot ${i}`), World.digest(`word ${i}`)] as const)
  for (const [slot, word] of [...others, ...words]) await trie.put(slot, Rlp.encode(integer(Bytes.toBigInt(word))))
  return trie
}

const operatorWord = (operator: Uint8Array, above: bigint) => Bytes.u256(Bytes.toBigInt(operator) | (above << 160n))

const keySlots = Layout.keyRecordSlots(crypto, World.nodeId, World.head.keyEpoch)
const recordSlots = Layout.logRecordSlots(crypto, World.logId)
const stepSlots = Layout.stepSlots(crypto, World.logId, World.size)
// Role node, valid from block 900 and not ended.
const keyWord = operatorWord(World.nodeOperator, 1n | (900n << 8n))
const registry = await storage([
  [keySlots[0], Cose.keyId(crypto, World.node.publicKey)],
  [keySlots[1], keyWord],
])
// 600 blocks to a pledge's deadline; the step was anchored in block 1010.
const anchorLog = await storage([
  [recordSlots[0], Cose.keyId(crypto, World.log.publicKey)],
  [recordSlots[1], operatorWord(World.logOperator, 600n)],
  [stepSlots[0], World.root],
  [stepSlots[1], Bytes.u256(1010n)],
])

export const codeHashes = { nodeRegistry: World.digest('registry code'), anchorLog: World.digest('anchor log code') }
const account = (storageRoot: Uint8Array, codeHash: Uint8Array) =>
  Rlp.encode([Uint8Array.of(1), zero(0), storageRoot, codeHash])

/** The state of one block: registries, strangers, and whatever else there is. */
async function stateWith(others: readonly (readonly [address: Uint8Array, account: Uint8Array])[]) {
  const state = await createMPT({ useKeyHashing: true })
  for (let i = 0; i < 20; i++) {
    await state.put(
      World.digest(`account ${i}`).slice(0, 20),
      account(World.digest(`root ${i}`), World.digest(`code ${i}`)),
    )
  }
  await state.put(World.registry, account(registry.root(), codeHashes.nodeRegistry))
  await state.put(World.anchorLog, account(anchorLog.root(), codeHashes.anchorLog))
  for (const [address, rlp] of others) await state.put(address, rlp)
  return state
}

const headerOf = (state: MerklePatriciaTrie) =>
  Rlp.encode([
    World.digest('parent'),
    World.digest('ommers'),
    zero(20),
    state.root(),
    World.digest('transactions'),
    World.digest('receipts'),
    zero(256),
    zero(0),
    integer(1020n),
    integer(30_000_000n),
    zero(0),
    integer(1_790_000_100n),
    zero(0),
    zero(32),
    zero(8),
    integer(7n),
  ])

async function pieceIn(state: MerklePatriciaTrie): Promise<Bundle.ChainPiece> {
  const rlp = headerOf(state)
  return {
    header: rlp,
    blockHash: Header.hash(crypto, rlp),
    registry: {
      account: await createMerkleProof(state, World.registry),
      word0: await createMerkleProof(registry, keySlots[0]),
      word1: await createMerkleProof(registry, keySlots[1]),
    },
    anchorLog: {
      account: await createMerkleProof(state, World.anchorLog),
      record0: await createMerkleProof(anchorLog, recordSlots[0]),
      record1: await createMerkleProof(anchorLog, recordSlots[1]),
      step0: await createMerkleProof(anchorLog, stepSlots[0]),
      step1: await createMerkleProof(anchorLog, stepSlots[1]),
    },
  }
}

const state = await stateWith([])
export const header = headerOf(state)

/** The chain piece of the complete bundle: records of node and log, and the step of its checkpoint. */
export const piece: Bundle.ChainPiece = await pieceIn(state)

/** The same where node and log have stake: some of the log's is on its way out and two cases are open against it. */
export const stakedPiece: Bundle.ChainPiece = await (async () => {
  const subjects = {
    node: { id: World.nodeId, operator: World.nodeOperator },
    log: { id: World.logId, operator: World.logOperator },
  }
  const delegated = 40_000n * Stake.token
  const log = { delegated, delegatedUnbonding: delegated / 2n, extraPledgeBlocks: 40n, openCases: 2 }
  const tries = new Map<string, MerklePatriciaTrie>()
  const accounts = Stake.accounts(subjects, { log, percents: [100, 100, 100, 1, 100, 100, 80, 100, 20, 5, 25, 20] })
  const others = await Promise.all(
    accounts.map(async ({ address, codeHash, storage: words }) => {
      const trie = await storage([...words].map(([slot, word]) => [Bytes.fromHex(slot), word] as const))
      tries.set(hex(address), trie)
      return [address, account(trie.root(), codeHash)] as const
    }),
  )
  const whole = await stateWith(others)
  const proofs = {
    root: whole.root(),
    account: (address: Uint8Array) => createMerkleProof(whole, address),
    storage: (address: Uint8Array, slot: Uint8Array) =>
      createMerkleProof(tries.get(hex(address)) as MerklePatriciaTrie, slot),
  }
  return { ...(await pieceIn(whole)), stake: await Stake.piece(proofs, subjects) }
})()

type Whole = {
  readonly subject: {
    readonly chainId: bigint
    readonly registry: Uint8Array
    readonly nodeId: Uint8Array
    readonly keyEpoch: number
    readonly anchorLog: Uint8Array
    readonly logId: Uint8Array
    readonly size: bigint
  }
  readonly piece: Bundle.ChainPiece
  readonly nodeKeyId: Uint8Array
  readonly logKeyId: Uint8Array
  readonly root: Uint8Array
}

const whole: Whole = {
  subject: {
    ...{ chainId: World.chainId, registry: World.registry, nodeId: World.nodeId, keyEpoch: World.head.keyEpoch },
    ...{ anchorLog: World.anchorLog, logId: World.logId, size: World.size },
  },
  piece,
  nodeKeyId: Cose.keyId(crypto, World.node.publicKey),
  logKeyId: Cose.keyId(crypto, World.log.publicKey),
  root: World.root,
}

/** Each differs from the whole in one thing. */
function broken(): Case[] {
  const { registry: proofs, anchorLog: logProofs } = piece
  if (logProofs === undefined) throw new Error('the piece has a log')
  const { step1: _, ...oneWord } = logProofs
  const subject = (changes: Partial<Whole['subject']>) => ({ subject: { ...whole.subject, ...changes } })
  const inPiece = (changes: Partial<Bundle.ChainPiece>) => ({ piece: { ...piece, ...changes } })
  const inRegistry = (changes: Partial<typeof proofs>) => inPiece({ registry: { ...proofs, ...changes } })
  const withHeader = (rlp: Uint8Array) => inPiece({ header: rlp, blockHash: Header.hash(crypto, rlp) })
  const fields = Rlp.decodeList(header)
  const first = (proof: readonly Uint8Array[]) => proof[0] as Uint8Array
  const list: readonly (readonly [name: string, step: string, changes: Partial<Whole>])[] = [
    ['the hash of another header', 'header', inPiece({ blockHash: World.digest('other block') })],
    ['a byte after the header', 'header', withHeader(Bytes.concat(header, zero(1)))],
    ['a header of fourteen fields', 'header', withHeader(Rlp.encode(fields.slice(0, 14)))],
    ['a number with a zero before it', 'header', withHeader(Rlp.encode(fields.with(8, Uint8Array.of(0, 3, 252))))],
    ['a header of another state', 'registry-proof', withHeader(Rlp.encode(fields.with(3, World.digest('state'))))],
    [
      'a changed node',
      'registry-proof',
      inRegistry({ account: proofs.account.with(0, changed(first(proofs.account), 9)) }),
    ],
    ['a proof that lacks its last node', 'registry-proof', inRegistry({ word0: proofs.word0.slice(0, -1) })],
    ['a proof with a node too many', 'registry-proof', inRegistry({ word0: [...proofs.word0, first(proofs.word0)] })],
    ['one word in the place of the other', 'registry-proof', inRegistry({ word0: proofs.word1, word1: proofs.word0 })],
    ['a key epoch that has no record', 'registry-proof', subject({ keyEpoch: World.head.keyEpoch + 1 })],
    ['the record of another key', 'registry-proof', { nodeKeyId: World.digest('another key') }],
    ['a log that has no record', 'log-proof', subject({ logId: World.digest('another log') })],
    ['the record of another log key', 'log-proof', { logKeyId: World.digest('another key') }],
    ['a size that was not anchored', 'log-proof', subject({ size: World.size + 1n })],
    ['another root at that size', 'log-proof', { root: World.digest('another root') }],
    ['one word of a step', 'log-proof', inPiece({ anchorLog: oneWord })],
  ]
  return [...list, ...brokenStake()].map(([name, mustFail, changes]) => ({
    name,
    ...rendered({ ...whole, ...changes }),
    mustFail,
  }))
}

function brokenStake(): (readonly [name: string, step: string, changes: Partial<Whole>])[] {
  const { stake } = stakedPiece
  if (stake === undefined) throw new Error('the piece has stake')
  type Stake = typeof stake
  const inStake = (changes: Partial<Stake>) => ({ piece: { ...stakedPiece, stake: { ...stake, ...changes } } })
  const { anchorLog: _, ...withoutLog } = stakedPiece
  return [
    ['stake without the record of the log', 'stake-proof', { piece: withoutLog }],
    ['stake under another header', 'stake-proof', { piece: { ...piece, stake } }],
    ['the stake of the log for that of the node', 'stake-proof', inStake({ node: stake.log })],
    [
      'open cases, passed off as absent',
      'stake-proof',
      inStake({ log: { ...stake.log, openCases: stake.node.openCases } }),
    ],
    [
      'a stake of nothing',
      'stake-proof',
      inStake({ node: { ...stake.node, word0: stake.node.word2, word2: stake.node.word2 } }),
    ],
    [
      'an absence with a node too many',
      'stake-proof',
      inStake({ node: { ...stake.node, word2: [...stake.node.word2, Uint8Array.of(0x80)] } }),
    ],
    [
      'an absence with a node too few',
      'stake-proof',
      inStake({ node: { ...stake.node, word2: stake.node.word2.slice(0, -1) } }),
    ],
    [
      'another court than the stake manager names',
      'stake-proof',
      inStake({ faultCourt: { ...stake.faultCourt, address: stake.faultCases.address } }),
    ],
  ]
}

function stakeFacts() {
  const { nodeId, logId } = World
  const subject = { nodeId, logId, nodeOperator: World.nodeOperator, logOperator: World.logOperator }
  const { stateRoot } = Header.parse(stakedPiece.header)
  return StakePiece.read(crypto, stakedPiece.stake as StakePiece.StakePiece, subject, stateRoot)
}

const rendered = (one: Whole) =>
  Object.fromEntries(Object.entries(one).map(([name, value]) => [name, plain(value)])) as { [key: string]: Json }

export function chainFile(): VectorFile {
  return {
    description:
      'The chain piece of the complete bundle with what it is about and what it shows: storage slots, words, code hashes, block. A case that fails names the step of spec/verdict.md section 5.',
    spec: 'spec/bundle.md section 1; spec/contracts.md',
    cases: [
      {
        name: 'records of node and log, and the step of the checkpoint',
        ...rendered(whole),
        slots: plain({ keyRecord: keySlots, logRecord: recordSlots, step: stepSlots }),
        nodeWord: hex(keyWord),
        blockNumber: '1020',
        anchoredInBlock: '1010',
        codeHashes: plain(codeHashes),
      },
      {
        name: 'the same with the stake of node and log',
        ...rendered({ ...whole, piece: stakedPiece }),
        slots: plain({ keyRecord: keySlots, logRecord: recordSlots, step: stepSlots }),
        nodeWord: hex(keyWord),
        blockNumber: '1020',
        anchoredInBlock: '1010',
        codeHashes: plain(codeHashes),
        stake: plain(stakeFacts()),
      },
      ...broken(),
    ],
  }
}
