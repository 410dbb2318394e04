/**
 * ChainFacts.ts - what a client asks of its chain before it accuses anybody: records, heads and steps, each by state proof. Source:
 * spec/client.md, spec/contracts.md section 5, spec/faults.md section 6.5.
 */
import * as CaseCalls from '../chain/CaseCalls.ts'
import * as Layout from '../chain/Layout.ts'
import * as Records from '../chain/Records.ts'
import * as Rpc from '../chain/Rpc.ts'
import type * as TrustAnchors from '../chain/TrustAnchors.ts'
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import * as Merkle from '../protocol/Merkle.ts'

/** Facts about logs, keys and the court; undefined = the chain shows none. `logId`, `keyId`: 32 bytes. */
export type ChainFacts = {
  /** Addresses of the contracts that are asked, 20 bytes each. */
  readonly contracts: { readonly nodeRegistry: Uint8Array; readonly anchorLog: Uint8Array }
  /** Number of the newest block. */
  newest(): Promise<bigint>
  logRecord(logId: Uint8Array): Promise<Records.LogRecord | undefined>
  /** The log's head and the block under which it was proven. */
  logHead(
    logId: Uint8Array,
  ): Promise<{ readonly size: bigint; readonly root: Hash; readonly block: bigint } | undefined>
  step(logId: Uint8Array, size: bigint): Promise<Records.Step | undefined>
  /** Which node's key this is, and since which epoch. */
  registrationOf(keyId: Uint8Array): Promise<Registration | undefined>
  /** Undefined also when the reader names no court. */
  courtTerms(): Promise<Records.CourtTerms | undefined>
  /** The size of a log's head that was written down in a block. */
  observed(logId: Uint8Array, block: bigint): Promise<bigint | undefined>
  /**
   * A demand for a log's entry that expired and that nobody answered since: the block under which that was proven, and the last
   * block of the time to answer.
   */
  withheld(logId: Uint8Array, index: bigint): Promise<Withheld | undefined>
  /** Where to look, by the chain's events from a block on. Nothing of it is shown: what matters is proven or signed elsewhere. */
  hints(logId: Uint8Array, fromBlock: bigint): Promise<Hints>
}

/** An entry that was demanded and shown to nobody. */
export type Withheld = { readonly block: bigint; readonly lastBlock: bigint }

/** A key as it stands in NodeRegistry. */
export type Registration = { readonly nodeId: Uint8Array; readonly keyEpoch: number; readonly role: number }

/** Sizes that were anchored, blocks in which a head was written down, states that the log is said to have signed beside. */
export type Hints = {
  readonly anchored: readonly bigint[]
  readonly observed: readonly bigint[]
  readonly conflicts: readonly { readonly size: bigint; readonly root: Hash; readonly signature: Uint8Array }[]
}

/** Epochs looked through for a key: a node adds a key a few times a year. */
const maxEpochs = 64
/** Events of one answer that are read: more come with the next look. */
const maxEvents = 4096

type Contracts = Pick<TrustAnchors.TrustAnchors, 'nodeRegistry' | 'anchorLog' | 'stake'>

/** Facts through one JSON-RPC endpoint, for the contracts that the reader trusts. */
export function overRpc(crypto: Crypto, rpc: Rpc.Rpc, anchors: Contracts): ChainFacts {
  const { nodeRegistry, anchorLog, stake } = anchors

  /** A reorganisation between two calls looks like a lie, so what does not hold is asked once more. */
  async function words(contract: TrustAnchors.Contract, slots: readonly Uint8Array[]) {
    const once = async () => {
      const header = await Rpc.newest(crypto, rpc)
      return { block: header.number, words: await Rpc.readWords(crypto, rpc, { contract, slots, header }) }
    }
    try {
      return await once()
    } catch (error) {
      if (!(error instanceof Rpc.LieError) || error.code === 'rpc-code-hash' || error.code === 'rpc-chain-id')
        throw error
      return await once()
    }
  }

  async function registrationOf(keyId: Uint8Array): Promise<Registration | undefined> {
    const [nodeId] = (await words(nodeRegistry, [Layout.nodeOfKeySlot(crypto, keyId)])).words
    if (nodeId === undefined) return undefined
    const [node] = (await words(nodeRegistry, Layout.nodeSlots(crypto, nodeId))).words
    if (node === undefined) return undefined
    const { nextKeyEpoch } = Records.nodeRecord(node)
    const last = Math.max(0, nextKeyEpoch - maxEpochs)
    for (let keyEpoch = nextKeyEpoch - 1; keyEpoch >= last; keyEpoch--) {
      const [word0, word1] = (await words(nodeRegistry, Layout.keyRecordSlots(crypto, nodeId, keyEpoch))).words
      if (word0 === undefined || word1 === undefined) continue
      const record = Records.keyRecord(word0, word1)
      if (Bytes.equal(record.keyId, keyId)) return { nodeId, keyEpoch, role: record.role }
    }
    return undefined
  }

  return {
    contracts: { nodeRegistry: nodeRegistry.address, anchorLog: anchorLog.address },
    registrationOf,
    async newest() {
      return (await Rpc.newest(crypto, rpc)).number
    },
    async logRecord(logId) {
      const [word0, word1] = (await words(anchorLog, Layout.logRecordSlots(crypto, logId))).words
      return word0 === undefined || word1 === undefined ? undefined : Records.logRecord(word0, word1)
    },
    async logHead(logId) {
      const { block, words: found } = await words(anchorLog, Layout.logHeadSlots(crypto, logId))
      const [size, root] = found
      if (root === undefined) return undefined
      if (size !== undefined) return { size: Records.uint64(size), root, block }
      // That nothing is anchored is shown by the root, not by the endpoint's word.
      return Bytes.equal(root, Merkle.emptyRoot(crypto)) ? { size: 0n, root, block } : undefined
    },
    async step(logId, size) {
      const [word0, word1] = (await words(anchorLog, Layout.stepSlots(crypto, logId, size))).words
      return word0 === undefined || word1 === undefined ? undefined : Records.step(word0, word1)
    },
    async courtTerms() {
      if (stake === undefined) return undefined
      const [word] = (await words(stake.faultCourt, [Layout.courtTermsSlot()])).words
      return word === undefined ? undefined : Records.courtTerms(word)
    },
    async observed(logId, block) {
      if (stake === undefined) return undefined
      const [word] = (await words(stake.faultCourt, [Layout.observedSlot(crypto, logId, block)])).words
      return word === undefined ? undefined : Records.uint64(word) - 1n
    },
    async withheld(logId, index) {
      if (stake === undefined) return undefined
      const { caseId } = CaseCalls.entryCase(crypto, logId, index)
      const found = await words(stake.faultCases, [Layout.caseSlot(crypto, caseId)])
      const record = found.words[0] && Records.caseRecord(found.words[0])
      if (record?.state !== 'expired') return undefined
      const [windows] = (await words(stake.faultCourt, [Layout.courtWindowsSlot()])).words
      if (windows === undefined) return undefined
      return { block: found.block, lastBlock: record.openedAtBlock + Records.courtWindows(windows).answerBlocks }
    },
    hints: (logId, fromBlock) => hintsOf(crypto, rpc, anchors, logId, fromBlock),
  }
}

type Event = { readonly topics: readonly Uint8Array[]; readonly data: Uint8Array }

async function hintsOf(
  crypto: Crypto,
  rpc: Rpc.Rpc,
  anchors: Contracts,
  logId: Uint8Array,
  fromBlock: bigint,
): Promise<Hints> {
  const topicOf = (event: string) => crypto.keccak256(Bytes.fromUtf8(event))
  const anchored = topicOf('Anchored(bytes32,uint64,bytes32)')
  const conflict = topicOf('ConflictRecorded(bytes32,uint64,bytes32,bytes32,bytes)')
  const observed = topicOf('HeadObserved(bytes32,uint256,uint64)')
  const addresses = [anchors.anchorLog, ...(anchors.stake === undefined ? [] : [anchors.stake.faultCourt])]
  const filter = {
    address: addresses.map(({ address }) => Bytes.to0x(address)),
    fromBlock: `0x${fromBlock.toString(16)}`,
    topics: [[anchored, conflict, observed].map(Bytes.to0x), Bytes.to0x(logId)],
  }
  const found = { anchored: [] as bigint[], observed: [] as bigint[], conflicts: [] as Hints['conflicts'][number][] }
  for (const { topics, data } of await eventsOf(rpc, filter)) {
    const [kind, , number] = topics
    if (kind === undefined || number === undefined || number.length !== 32) continue
    if (Bytes.equal(kind, anchored)) found.anchored.push(Bytes.toBigInt(number))
    if (Bytes.equal(kind, observed)) found.observed.push(Bytes.toBigInt(number))
    // anchoredRoot, conflictingRoot, offset and length of the signature, r, s.
    if (Bytes.equal(kind, conflict) && data.length === 6 * 32)
      found.conflicts.push({ size: Bytes.toBigInt(number), root: data.slice(32, 64), signature: data.slice(128) })
  }
  return found
}

/** Hints are hints: an endpoint that does not give them takes nothing away but the hint. */
async function eventsOf(rpc: Rpc.Rpc, filter: unknown): Promise<readonly Event[]> {
  let answer: unknown
  try {
    answer = await rpc.request('eth_getLogs', [filter])
  } catch (error) {
    if (BaseError.isInstance(error)) return []
    throw error
  }
  if (!Array.isArray(answer)) return []
  return answer.slice(0, maxEvents).flatMap((item: { topics?: unknown; data?: unknown } | null) => {
    const texts = [...(Array.isArray(item?.topics) ? (item.topics as unknown[]) : [])]
    if (!texts.every(isHex) || !isHex(item?.data)) return []
    return [{ topics: texts.map((text) => Bytes.from0x(text)), data: Bytes.from0x(item?.data as string) }]
  })
}

function isHex(value: unknown): value is string {
  return typeof value === 'string' && /^0x([0-9a-f]{2}){0,4096}$/.test(value)
}
