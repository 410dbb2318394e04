/**
 * CourtEvents.ts - events of FaultCourt, FaultCases and StakeManager, read in bounded ranges of blocks. They are the endpoint's
 * word; what was published can be checked against heads and roots. Source: spec/faults.md sections 4 and 6.
 */
import {
  type DecodeFunctionDataReturnType,
  decodeEventLog,
  decodeFunctionData,
  encodeEventTopics,
  type Hex,
} from 'viem'
import * as Bytes from '../protocol/Bytes.ts'
import type { Hash } from '../protocol/Crypto.ts'
import { abi as anchorLogAbi } from './generated/AnchorLog.ts'
import { abi as casesAbi } from './generated/FaultCases.ts'
import { abi as courtAbi } from './generated/FaultCourt.ts'
import { abi as stakeAbi } from './generated/StakeManager.ts'
import { asDecoded, asFormed, RequestError, type Rpc } from './Rpc.ts'

/** Blocks from `from` to `to`, both included. */
export type Blocks = { readonly from: bigint; readonly to: bigint }

/** A fault on record, with what it cost. */
export type FaultRecorded = {
  /** 32 bytes. */
  readonly faultId: Hash
  readonly subject: Hash
  /** 20 bytes. */
  readonly reporter: Uint8Array
  readonly class: number
  readonly keyEpoch: number
  readonly incident: Hash
  readonly blockNumber: bigint
  readonly transactionHash: string
  /** Undefined when nothing was staked. Token units. */
  readonly slashed:
    | {
        readonly percent: number
        readonly fromSelf: bigint
        readonly fromDelegated: bigint
        readonly reward: bigint
      }
    | undefined
}

/** An entry that was given to a challenge. */
export type EntryPublished = {
  readonly entry: Uint8Array
  readonly head: Uint8Array
  readonly signature: Uint8Array
  /** 64 bytes. */
  readonly publicKey: Uint8Array
  /** Where it stands, under the root anchored at `size`; undefined when the answer came through another contract. */
  readonly place: { readonly size: bigint; readonly proof: readonly Hash[] } | undefined
  /** Whether the endpoint showed the transaction of the answer at all. */
  readonly isCallShown: boolean
  readonly blockNumber: bigint
}

/** A slot that was opened for a demand; `path` is undefined when the answer came through another contract. */
export type SlotPublished = {
  /** 16 bytes. */
  readonly salt: Uint8Array
  readonly value: Uint8Array
  readonly path: readonly Hash[] | undefined
  readonly blockNumber: bigint
}

/** Most blocks asked for at once; an endpoint that refuses is asked for fewer. */
const rangeBlocks = 5_000n
/** When reading ends before the last block: questions are bounded, because that block may be a number that an endpoint made up. */
type Most = { readonly events: number; readonly questions: number }
const all: Most = { events: Number.POSITIVE_INFINITY, questions: Number.POSITIVE_INFINITY }
const bounded: Most = { ...all, questions: 1_000 }
const first: Most = { ...bounded, events: 1 }

type Log = {
  readonly address: string
  readonly topics: [Hex, ...Hex[]]
  readonly data: Hex
  readonly blockNumber: string
  readonly transactionHash: string
}

const hex = Bytes.to0x

/** Faults recorded in some blocks, oldest first. */
export async function faultsRecorded(
  rpc: Rpc,
  contracts: { readonly faultCourt: Uint8Array; readonly stakeManager: Uint8Array },
  blocks: Blocks,
  subject?: Hash,
): Promise<readonly FaultRecorded[]> {
  const args = subject === undefined ? {} : { subject: hex(subject) }
  const found = await logs(rpc, contracts.faultCourt, topicsOf(courtAbi, 'FaultRecorded', args), blocks, all)
  const slashes = await logs(rpc, contracts.stakeManager, topicsOf(stakeAbi, 'Slashed', args), blocks, all)
  return found.map((log) => {
    const { args: said } = asDecoded('eth_getLogs', () =>
      decodeEventLog({ abi: courtAbi, eventName: 'FaultRecorded', ...log }),
    )
    const isOfFault = (one: Log) => one.transactionHash === log.transactionHash && one.topics[1] === said.subject
    const slash = slashes.find(isOfFault)
    return {
      faultId: Bytes.from0x(said.faultId),
      subject: Bytes.from0x(said.subject),
      reporter: Bytes.from0x(said.reporter.toLowerCase()),
      class: said.class,
      keyEpoch: said.keyEpoch,
      incident: Bytes.from0x(said.incident),
      blockNumber: BigInt(log.blockNumber),
      transactionHash: log.transactionHash,
      slashed: slash === undefined ? undefined : slashOf(slash),
    }
  })
}

function slashOf(log: Log) {
  const { args } = asDecoded('eth_getLogs', () => decodeEventLog({ abi: stakeAbi, eventName: 'Slashed', ...log }))
  return {
    percent: Number(args.percent),
    fromSelf: args.fromSelf,
    fromDelegated: args.fromDelegated,
    reward: args.reward,
  }
}

/** The entry that was published for a challenge, undefined if none was, in the first five million of the blocks. */
export async function entryPublished(
  rpc: Rpc,
  faultCases: Uint8Array,
  of: { readonly logId: Hash; readonly index: bigint },
  blocks: Blocks,
): Promise<EntryPublished | undefined> {
  const topics = topicsOf(casesAbi, 'EntryPublished', { logId: hex(of.logId), index: of.index })
  const log = (await logs(rpc, faultCases, topics, blocks, first))[0]
  if (log === undefined) return undefined
  const { args } = asDecoded('eth_getLogs', () =>
    decodeEventLog({ abi: casesAbi, eventName: 'EntryPublished', ...log }),
  )
  const { call, isShown } = await callOf(rpc, faultCases, log)
  return {
    place: placeOf(call, of, args.entry),
    isCallShown: isShown,
    entry: Bytes.from0x(args.entry),
    head: Bytes.from0x(args.head),
    signature: Bytes.from0x(args.signature),
    publicKey: Bytes.concat(Bytes.from0x(args.x), Bytes.from0x(args.y)),
    blockNumber: BigInt(log.blockNumber),
  }
}

/** The slot that was opened for a demand, undefined if it was not, in the first five million of the blocks. */
export async function slotPublished(
  rpc: Rpc,
  faultCases: Uint8Array,
  of: { readonly receiptHash: Hash; readonly slot: number },
  blocks: Blocks,
): Promise<SlotPublished | undefined> {
  const topics = topicsOf(casesAbi, 'SlotPublished', { receiptHash: hex(of.receiptHash), slot: of.slot })
  const log = (await logs(rpc, faultCases, topics, blocks, first))[0]
  if (log === undefined) return undefined
  const { args } = asDecoded('eth_getLogs', () => decodeEventLog({ abi: casesAbi, eventName: 'SlotPublished', ...log }))
  const { salt, value } = args
  const path = await pathOf(rpc, faultCases, log, { salt, value })
  return { salt: Bytes.from0x(salt), value: Bytes.from0x(value), path, blockNumber: BigInt(log.blockNumber) }
}

/** Place and proof stand in the answer's call and not in its event, as do the siblings of a slot. */
function placeOf(
  call: CasesCall | undefined,
  of: { readonly logId: Hash; readonly index: bigint },
  entry: Hex,
): EntryPublished['place'] {
  if (call?.functionName !== 'answerEntry') return undefined
  const [{ logId, index, size, proof }, shown] = call.args
  if (logId !== hex(of.logId) || index !== of.index || shown !== entry) return undefined
  return { size, proof: proof.map(Bytes.from0x) }
}

async function pathOf(rpc: Rpc, faultCases: Uint8Array, log: Log, of: { readonly salt: Hex; readonly value: Hex }) {
  const { call } = await callOf(rpc, faultCases, log)
  if (call?.functionName !== 'answerOpening') return undefined
  const opening = call.args[2]
  return opening.value === of.value && opening.salt === of.salt ? opening.path.map(Bytes.from0x) : undefined
}

type CasesCall = DecodeFunctionDataReturnType<typeof casesAbi>

/** The call that an event came of, undefined when it came through another contract, or the endpoint does not show it. */
async function callOf(
  rpc: Rpc,
  faultCases: Uint8Array,
  log: Log,
): Promise<{ readonly call?: CasesCall; readonly isShown: boolean }> {
  const found = (await rpc.request('eth_getTransactionByHash', [log.transactionHash])) as {
    readonly to?: string | null
    readonly input?: Hex | null
  } | null
  if (typeof found?.input !== 'string') return { isShown: false }
  if (found.to?.toLowerCase() !== hex(faultCases)) return { isShown: true }
  try {
    return { call: decodeFunctionData({ abi: casesAbi, data: found.input }), isShown: true }
  } catch {
    return { isShown: true }
  }
}

/** Sizes that a log anchored in some blocks (five million at most), oldest first. */
export async function anchoredSizes(
  rpc: Rpc,
  anchorLog: Uint8Array,
  logId: Hash,
  blocks: Blocks,
): Promise<readonly { readonly size: bigint; readonly blockNumber: bigint }[]> {
  const found = await logs(rpc, anchorLog, topicsOf(anchorLogAbi, 'Anchored', { logId: hex(logId) }), blocks, bounded)
  return found.map((log) => ({ size: BigInt(log.topics[2] ?? 0), blockNumber: BigInt(log.blockNumber) }))
}

/** Head sizes of a log that were written down in some blocks (five million at most), oldest first. */
export async function observations(
  rpc: Rpc,
  faultCourt: Uint8Array,
  logId: Hash,
  blocks: Blocks,
): Promise<readonly { readonly size: bigint; readonly blockNumber: bigint }[]> {
  const found = await logs(rpc, faultCourt, topicsOf(courtAbi, 'HeadObserved', { logId: hex(logId) }), blocks, bounded)
  return found.map((log) => ({
    size: asDecoded('eth_getLogs', () => BigInt(log.data)),
    blockNumber: BigInt(log.blockNumber),
  }))
}

function topicsOf(abi: readonly unknown[], eventName: string, args: Readonly<Record<string, unknown>>): unknown[] {
  return encodeEventTopics({ abi, eventName, args } as never)
}

async function logs(
  rpc: Rpc,
  address: Uint8Array,
  topics: unknown[],
  { from, to }: Blocks,
  most: Most,
): Promise<readonly Log[]> {
  await rpc.assertChain()
  const found: Log[] = []
  let step = rangeBlocks
  let questions = 0
  for (let start = from; start <= to && found.length < most.events && questions < most.questions; questions++) {
    const end = start + step - 1n < to ? start + step - 1n : to
    const range = { fromBlock: `0x${start.toString(16)}`, toBlock: `0x${end.toString(16)}` }
    try {
      const answer = await rpc.request('eth_getLogs', [{ address: hex(address), topics, ...range }])
      const some = asFormed('eth_getLogs', answer) as readonly Log[]
      // What was not asked for is no answer.
      found.push(...some.filter((log) => log.address.toLowerCase() === hex(address)))
      start = end + 1n
    } catch (error) {
      if (!(error instanceof RequestError) || error.code !== 'rpc-refused' || step === 1n) throw error
      step = step / 4n > 0n ? step / 4n : 1n
    }
  }
  return found
}
