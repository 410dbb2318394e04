/**
 * chainProof.ts - what it costs to check offline that a receipt is anchored, and that its node and log are staked: state proofs that a
 * chain gave, under the header that they came with.
 */
import { createHash } from 'node:crypto'
import type { Stage } from '@assay/node/demo/Stage'
import { trustAnchorsOf } from '@assay/node/settle/deploy'
import { verifyMerkleProof } from '@ethereumjs/mpt'
import { ChainPiece, Header, Layout, StateProof } from 'assay/chain'
import { ChainAccess } from 'assay/client'
import { crypto as noble } from 'assay/crypto/noble'
import { crypto } from 'assay/crypto/node'
import { Bytes, Cose, Merkle } from 'assay/protocol'
import * as ChainGas from './chainGas.ts'
import * as Measure from './Measure.ts'

/** Accounts and slots of others, so that the tries have a few levels. */
const others = 2_000
const size = 5_000

/** Times of one check, by name, and how large the proofs are. */
export type Proofs = {
  readonly timings: ReadonlyMap<string, Measure.Timing>
  readonly bytes: { readonly plain: number; readonly staked: number }
  readonly nodes: { readonly account: number; readonly storage: number }
}

/** Measures; `samples` of each subject. */
export async function measure(stage: Stage, samples: number): Promise<Proofs> {
  const subject = await ChainGas.openSubject(stage, 'proofs')
  const tree = ChainGas.leavesOf(size)
  await fill(stage)
  await ChainGas.anchor(subject, tree, 0, size)
  const { nodeId, logId } = subject
  const trusted = trustAnchorsOf(stage.book)
  const access = ChainAccess.overRpc(crypto, stage.rpc, trusted)
  const query = { nodeId, keyEpoch: 0, log: { logId, size: BigInt(size) } }
  // The finalized block is two below: until then the piece is of the newest one, which serves as well.
  await stage.mine(3n)
  const { piece: staked } = await access.piece(query)
  if (staked.stake === undefined) throw new Error('the chain shows no stake')
  const { stake: _, ...plain } = staked
  const about: ChainPiece.Subject = {
    registry: { address: trusted.nodeRegistry.address, nodeId, keyEpoch: 0 },
    log: { address: trusted.anchorLog.address, logId, size: BigInt(size) },
  }
  const expected: ChainPiece.Expected = {
    nodeKeyId: Cose.keyId(crypto, subject.node.publicKey),
    logKeyId: Cose.keyId(crypto, subject.log.publicKey),
    root: Merkle.root(crypto, tree),
  }
  const index = 3_210n
  const leafHash = tree[Number(index)] as Uint8Array
  const inclusion = { leafHash, index, size: BigInt(size), root: expected.root as Uint8Array }
  const path = Merkle.inclusionProof(crypto, tree, index)
  const check = (using: typeof crypto, piece: ChainPiece.ChainPiece) => () => {
    Merkle.verifyInclusion(using, { ...inclusion, proof: path })
    return ChainPiece.verify(using, piece, about, expected).header.stateRoot
  }
  const timings = await Measure.interleave(
    [
      { name: 'plain', iterations: 40, run: check(crypto, plain) },
      { name: 'staked', iterations: 20, run: check(crypto, staked) },
      { name: 'noble', iterations: 20, run: check(noble, staked) },
      { name: 'ours', iterations: 40, run: ours(plain, about) },
      { name: 'mpt', iterations: 20, run: theirs(plain, about) },
    ],
    { samples, warmUp: 6 },
  )
  return {
    timings,
    bytes: { plain: bytesOf(plain), staked: bytesOf(staked) },
    nodes: { account: plain.registry.account.length, storage: plain.anchorLog?.record0.length ?? 0 },
  }
}

/** Accounts with a coin, and words in AnchorLog that nobody reads, so that paths are as long as in a small network. */
async function fill(stage: Stage): Promise<void> {
  const anchorLog = Bytes.to0x(stage.book.anchorLog.address)
  const name = (i: number) => createHash('sha256').update(`other ${i}`).digest()
  for (let start = 0; start < others; start += 100) {
    await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const digest = name(start + i)
        await stage.rpc.request('anvil_setBalance', [Bytes.to0x(digest.subarray(0, 20)), '0x1'])
        await stage.rpc.request('anvil_setStorageAt', [anchorLog, Bytes.to0x(digest), Bytes.to0x(digest)])
      }),
    )
  }
}

type Path = { readonly root: Uint8Array; readonly key: Uint8Array; readonly proof: readonly Uint8Array[] }

/** Every trie path of a piece without stake. */
function pathsOf(piece: ChainPiece.ChainPiece, { registry, log }: ChainPiece.Subject) {
  const { anchorLog } = piece
  if (anchorLog === undefined || log?.size === undefined) throw new Error('the piece shows no anchor')
  const keySlots = Layout.keyRecordSlots(noble, registry.nodeId, registry.keyEpoch)
  const logSlots = Layout.logRecordSlots(noble, log.logId)
  const stepSlots = Layout.stepSlots(noble, log.logId, log.size)
  return [
    {
      ...{ address: registry.address, account: piece.registry.account },
      words: [
        { slot: keySlots[0], proof: piece.registry.word0 },
        { slot: keySlots[1], proof: piece.registry.word1 },
      ],
    },
    {
      ...{ address: log.address, account: anchorLog.account },
      words: [
        { slot: logSlots[0], proof: anchorLog.record0 },
        { slot: logSlots[1], proof: anchorLog.record1 },
        { slot: stepSlots[0], proof: anchorLog.step0 ?? [] },
        { slot: stepSlots[1], proof: anchorLog.step1 ?? [] },
      ],
    },
  ]
}

function ours(piece: ChainPiece.ChainPiece, about: ChainPiece.Subject): () => number {
  const contracts = pathsOf(piece, about)
  const { stateRoot } = Header.parse(piece.header)
  return () => {
    let read = 0
    for (const { address, account, words } of contracts) {
      const { storageRoot } = StateProof.verifyAccount(noble, { stateRoot, address, proof: account })
      for (const word of words) read += StateProof.verifyStorage(noble, { storageRoot, ...word }).length
    }
    return read
  }
}

function theirs(piece: ChainPiece.ChainPiece, about: ChainPiece.Subject): () => Promise<number> {
  const { stateRoot } = Header.parse(piece.header)
  const paths = pathsOf(piece, about).flatMap(({ address, account, words }): Path[] => {
    const { storageRoot } = StateProof.verifyAccount(noble, { stateRoot, address, proof: account })
    return [
      { root: stateRoot, key: noble.keccak256(address), proof: account },
      ...words.map(({ slot, proof }) => ({ root: storageRoot, key: noble.keccak256(slot), proof })),
    ]
  })
  return async () => {
    let read = 0
    for (const { root, key, proof } of paths) {
      const value = await verifyMerkleProof(key, [...proof], { root })
      if (value === null) throw new Error('the peer found no value')
      read += value.length
    }
    return read
  }
}

function bytesOf(value: unknown): number {
  if (value instanceof Uint8Array) return value.length
  if (typeof value !== 'object' || value === null) return 0
  return Object.values(value).reduce((sum: number, one) => sum + bytesOf(one), 0)
}
