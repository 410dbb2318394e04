/**
 * MirrorChain.ts - the chain of a dishonest party as its client sees it: blocks with real state proofs of keys, of one log and of
 * stake; blocks that are taken back, a chain that stands still, an endpoint that is gone or old.
 */
import { Header, Layout, type TrustAnchors } from 'assay/chain'
import type { ChainAccess } from 'assay/client'
import { Bytes, type Cose, Merkle } from 'assay/protocol'
import { ChainSilence } from '../fakes/FakeChain.ts'
import * as Stake from '../fakes/Stake.ts'
import { createState, headerRlp, type State as Trie } from '../fakes/Trie.ts'
import * as World from '../fakes/World.ts'

const { anchorLog, chainId, crypto, keyIdOf, logId, logOperator, nodeId, nodeOperator, registry } = World

/** Longer than a pledge counts by its block being new (verdict.md), so that a late one is late for every reader. */
export const pledgeBlocks = 40n
export const graceBlocks = 24n
/** Blocks above a final one; nothing deeper is ever taken back. */
export const finalityBlocks = 4n

const subjects = { node: { id: nodeId, operator: nodeOperator }, log: { id: logId, operator: logOperator } }
const witnessNode = World.digestOf('witness node')
const firstBlock = 100n

type State = {
  /** What is anchored. */
  readonly leaves: readonly Uint8Array[]
  readonly steps: ReadonlyMap<bigint, { readonly root: Uint8Array; readonly blockNumber: bigint }>
  readonly keys: readonly { readonly keyId: Uint8Array; readonly from: bigint; readonly until: bigint }[]
}
type Block = {
  readonly number: bigint
  readonly hash: Uint8Array
  readonly header: Uint8Array
  readonly state: State
}

export type MirrorChain = {
  readonly access: ChainAccess.ChainAccess
  readonly anchors: TrustAnchors.TrustAnchors
  readonly newest: () => Block
  /** Roots that were ever anchored for a size, in blocks that were taken back too. */
  readonly roots: (size: bigint) => readonly Uint8Array[]
  isHalted: boolean
  /** The endpoint does not answer. */
  isLost: boolean
  /** It answers as it did so many blocks ago. */
  old: bigint
  /** A block, with what waits: leaves to anchor, a key that takes the place of the one before. */
  readonly mine: (calls?: { readonly anchor?: readonly Uint8Array[]; readonly key?: Cose.Signer }) => Promise<void>
  /** Replaces the newest blocks by others without their calls. */
  readonly reorganise: (depth: bigint) => Promise<void>
}

/** Starts with a registered node key, an empty log, and stake on both. */
export async function create(key: Cose.Signer): Promise<MirrorChain> {
  const tries = new Map<State, Promise<Trie>>()
  const blocks: Block[] = []
  const anchoredRoots = new Map<bigint, Uint8Array[]>()
  let salt = 0n
  const trieOf = (state: State): Promise<Trie> => {
    const known = tries.get(state) ?? trie(state)
    tries.set(state, known)
    return known
  }

  async function add(state: State): Promise<void> {
    const number = firstBlock + BigInt(blocks.length)
    const { root } = await trieOf(state)
    const header = headerRlp({ stateRoot: root, number, timestampSeconds: 1_900_000_000n + number * 2n + ++salt })
    blocks.push({ number, hash: Header.hash(crypto, header), header, state })
  }

  const newest = (): Block => blocks.at(-1) as Block
  const at = (number: bigint): Block | undefined => blocks[Number(number - firstBlock)]

  /** The block that the endpoint calls the newest. */
  function seen(): Block {
    if (chain.isLost) throw new ChainSilence()
    return at(newest().number - chain.old) ?? (blocks[0] as Block)
  }

  const isLog = (id: Uint8Array) => Bytes.equal(id, logId)
  const keyOf = (state: State, epoch: number) => {
    const found = state.keys[epoch]
    if (found === undefined) return undefined
    return {
      keyId: found.keyId,
      operator: nodeOperator,
      role: 1,
      validFromBlock: found.from,
      validUntilBlock: found.until,
    }
  }

  const access: ChainAccess.ChainAccess = {
    chainId,
    contracts: { nodeRegistry: registry, anchorLog },
    async view(numbers) {
      const tip = seen()
      const known = [...new Set([...numbers, tip.number])].flatMap((number) => {
        const block = number <= tip.number ? at(number) : undefined
        return block === undefined ? [] : [{ number, hash: block.hash }]
      })
      return { chainId, newest: tip.number, blocks: known }
    },
    newest: async () => seen().number,
    async logRecord(id) {
      seen()
      return isLog(id) ? { keyId: keyIdOf(World.signers.log), operator: logOperator, pledgeBlocks } : undefined
    },
    async logHead(id) {
      const { state, number } = seen()
      const { leaves } = state
      return isLog(id) ? { size: BigInt(leaves.length), root: Merkle.root(crypto, leaves), block: number } : undefined
    },
    async step(id, size) {
      const { state } = seen()
      return isLog(id) ? state.steps.get(size) : undefined
    },
    async registrationOf(keyId) {
      seen()
      if (!Bytes.equal(keyId, keyIdOf(World.signers.witness))) return undefined
      return { nodeId: witnessNode, keyEpoch: 0, role: 3 }
    },
    async courtTerms() {
      seen()
      return { graceBlocks, incidentBlocks: 100n }
    },
    async observed() {
      seen()
      return undefined
    },
    async withheld() {
      seen()
      return undefined
    },
    async hints(id, fromBlock) {
      const { state } = seen()
      const steps = isLog(id) ? [...state.steps] : []
      const anchored = steps.filter(([, step]) => step.blockNumber >= fromBlock).map(([size]) => size)
      return { anchored, observed: [], conflicts: [] }
    },
    async keyRecord(query) {
      const { state } = seen()
      if (Bytes.equal(query.nodeId, nodeId)) return keyOf(state, query.keyEpoch)
      if (!Bytes.equal(query.nodeId, witnessNode) || query.keyEpoch !== 0) return undefined
      const keyId = keyIdOf(World.signers.witness)
      return { keyId, operator: nodeOperator, role: 3, validFromBlock: firstBlock, validUntilBlock: 0n }
    },
    async piece({ nodeId: asked, keyEpoch, log }) {
      const tip = seen()
      const final = at(tip.number - finalityBlocks)
      const shows = (block: Block | undefined) =>
        block !== undefined &&
        Bytes.equal(asked, nodeId) &&
        keyOf(block.state, keyEpoch) !== undefined &&
        (log?.size === undefined || block.state.steps.has(log.size))
      const block = shows(final) ? (final as Block) : tip
      if (!shows(block)) throw new ChainSilence()
      const state = await trieOf(block.state)
      const [key0, key1] = Layout.keyRecordSlots(crypto, nodeId, keyEpoch)
      const [log0, log1] = Layout.logRecordSlots(crypto, logId)
      const of = (slot: Uint8Array) => state.storage(anchorLog, slot)
      const step = log?.size === undefined ? undefined : Layout.stepSlots(crypto, logId, log.size)
      return {
        piece: {
          ...{ header: block.header, blockHash: block.hash, stake: await Stake.piece(state, subjects) },
          registry: {
            account: await state.account(registry),
            word0: await state.storage(registry, key0),
            word1: await state.storage(registry, key1),
          },
          anchorLog: {
            ...{ account: await state.account(anchorLog), record0: await of(log0), record1: await of(log1) },
            ...(step === undefined ? {} : { step0: await of(step[0]), step1: await of(step[1]) }),
          },
        },
        ...{ header: { number: block.number, hash: block.hash }, isFinal: block === final, isStakeOpen: false },
      }
    },
  }

  const chain: MirrorChain = {
    ...{ roots: (size) => anchoredRoots.get(size) ?? [] },
    ...{ access, newest, isHalted: false, isLost: false, old: 0n },
    anchors: {
      ...{ chainId, finality: 'development', headers: [], stake: Stake.contracts },
      nodeRegistry: { address: registry, codeHash: World.registryCode },
      anchorLog: { address: anchorLog, codeHash: World.anchorLogCode },
    },
    async mine({ anchor, key: next } = {}) {
      if (chain.isHalted) return
      let { state } = newest()
      const blockNumber = newest().number + 1n
      if (anchor !== undefined && anchor.length > state.leaves.length) {
        const step = { root: Merkle.root(crypto, anchor), blockNumber }
        const size = BigInt(anchor.length)
        anchoredRoots.set(size, [...(anchoredRoots.get(size) ?? []), step.root])
        state = { ...state, leaves: [...anchor], steps: new Map(state.steps).set(BigInt(anchor.length), step) }
      }
      if (next !== undefined) {
        const ended = state.keys.map((one) => (one.until === 0n ? { ...one, until: blockNumber } : one))
        state = { ...state, keys: [...ended, { keyId: keyIdOf(next), from: blockNumber, until: 0n }] }
      }
      await add(state)
    },
    async reorganise(depth) {
      const count = Math.min(Number(depth), Number(finalityBlocks) - 1, blocks.length - 1)
      const { keys } = newest().state
      blocks.splice(blocks.length - count)
      // A key that was entered is entered again at once: what this is about are anchors.
      const { state } = newest()
      const kept = keys.length === state.keys.length ? state : { ...state, keys }
      for (let i = 0; i < count; i++) await add(kept)
    },
  }
  await add({ leaves: [], steps: new Map(), keys: [{ keyId: keyIdOf(key), from: firstBlock, until: 0n }] })
  return chain
}

function trie({ steps, keys }: State): Promise<Trie> {
  const hex = Bytes.toHex
  const word = Bytes.u256
  const [log0, log1] = Layout.logRecordSlots(crypto, logId)
  return createState([
    ...Stake.accounts(subjects, {}),
    {
      ...{ address: registry, codeHash: World.registryCode },
      storage: new Map(
        keys.flatMap(({ keyId, from, until }, epoch) => {
          const [slot0, slot1] = Layout.keyRecordSlots(crypto, nodeId, epoch)
          const packed = Bytes.toBigInt(nodeOperator) | (1n << 160n) | (from << 168n) | (until << 208n)
          return [
            [hex(slot0), keyId],
            [hex(slot1), word(packed)],
          ] as const
        }),
      ),
    },
    {
      ...{ address: anchorLog, codeHash: World.anchorLogCode },
      storage: new Map([
        [hex(log0), keyIdOf(World.signers.log)],
        [hex(log1), word(Bytes.toBigInt(logOperator) | (pledgeBlocks << 160n))],
        ...[...steps].flatMap(([size, { root, blockNumber }]) => {
          const [slot0, slot1] = Layout.stepSlots(crypto, logId, size)
          return [
            [hex(slot0), root],
            [hex(slot1), word(blockNumber)],
          ] as const
        }),
      ]),
    },
  ])
}
