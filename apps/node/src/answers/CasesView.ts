/**
 * CasesView.ts - what FaultCases holds against the subjects of a daemon: how many cases are open, which they are, until when.
 * Source: spec/faults.md section 6.
 *
 * The contract's count decides whether there are cases; events only say which. Every case that an event names is looked up
 * in the contract, and its identifier is computed here.
 */
import { AnchorLogContract, ContractCall, FaultCasesContract, FaultCourtContract, Rpc } from 'assay/chain'
import { Abi, Bytes, type Crypto, errors } from 'assay/protocol'
import { decodeEventLog, encodeEventTopics, type Hex } from 'viem'

/** A case against one of our subjects. */
export type Case = {
  /** 32 bytes: the fault id that it becomes. */
  readonly caseId: Uint8Array
  readonly class: 17 | 18
  /** 32 bytes: a logId (17) or the nodeId (18). */
  readonly subject: Uint8Array
  readonly keyEpoch: number
  /** 32 bytes. */
  readonly incident: Uint8Array
  readonly openedAtBlock: bigint
  /** Of class 18: whose opening, and which. */
  readonly demand: { readonly receiptHash: Uint8Array; readonly slot: number } | undefined
}

/** Where a case stands: 0 is none. */
export type CaseState = { readonly state: 'none' | 'open' | 'answered' | 'expired'; readonly openedAtBlock: bigint }

/** Parameters of FaultCourt, blocks. */
export type Terms = { readonly openWindowBlocks: bigint; readonly answerBlocks: bigint }

/** The contracts that are asked, 20 bytes each. */
export type Contracts = {
  readonly anchorLog: Uint8Array
  readonly faultCourt: Uint8Array
  readonly faultCases: Uint8Array
}

/** Asks the contracts; every answer is the endpoint's word. All promises reject with `Rpc.RequestError` or `Rpc.LieError`. */
export type CasesView = {
  readonly newest: () => Promise<bigint>
  readonly finalized: () => Promise<bigint>
  readonly terms: () => Promise<Terms>
  /** Open cases against a subject. */
  readonly count: (subject: Uint8Array) => Promise<number>
  readonly stateOf: (caseId: Uint8Array, block?: 'latest' | 'finalized') => Promise<CaseState>
  /** Cases opened in a range of blocks, both ends in it. */
  readonly opened: (from: bigint, to: bigint) => Promise<readonly Case[]>
  /** The block in which a log's size was anchored; undefined if it was not. */
  readonly anchoredIn: (logId: Uint8Array, size: bigint) => Promise<bigint | undefined>
  /** What AnchorLog holds as the log's size. */
  readonly headSize: (logId: Uint8Array) => Promise<bigint>
  /** The largest size that a log anchored in a range of blocks. */
  readonly largestAnchored: (logId: Uint8Array, from: bigint, to: bigint) => Promise<bigint | undefined>
  /** Credit of an account, wei. */
  readonly credit: (account: Uint8Array) => Promise<bigint>
  readonly gasPrice: () => Promise<bigint>
}

/** Most blocks of one question for events; halved when the endpoint refuses. */
export const maxRange = 2_000n
const noCase: CaseState = { state: 'none', openedAtBlock: 0n }
const states = ['none', 'open', 'answered', 'expired'] as const
const hex = Bytes.to0x
const casesAbi = FaultCasesContract.abi
const anchorAbi = AnchorLogContract.abi

type RawLog = { readonly topics: [Hex, ...Hex[]]; readonly data: Hex; readonly blockNumber: Hex }

/** The identifier of a case: Keccak-256(abi.encode(class, subject, keyEpoch, incident)), 32 bytes. */
export function caseId(
  crypto: Crypto,
  of: {
    readonly class: number
    readonly subject: Uint8Array
    readonly keyEpoch: number
    readonly incident: Uint8Array
  },
): Uint8Array {
  const { subject, keyEpoch, incident } = of
  return crypto.keccak256(
    Abi.encode(
      Abi.uint(BigInt(of.class), 8),
      Abi.bytes32(subject),
      Abi.uint(BigInt(keyEpoch), 32),
      Abi.bytes32(incident),
    ),
  )
}

/** The incident of a demanded opening: Keccak-256(receiptHash || slot), 32 bytes. */
export function demandIncident(crypto: Crypto, receiptHash: Uint8Array, slot: number): Uint8Array {
  return crypto.keccak256(Bytes.concat(receiptHash, Uint8Array.of(slot)))
}

/** Looks at the cases against `subjects` (32 bytes each). */
export function create(options: {
  readonly crypto: Crypto
  readonly rpc: Rpc.Rpc
  readonly contracts: Contracts
  readonly subjects: readonly Uint8Array[]
}): CasesView {
  const { crypto, rpc, contracts, subjects } = options
  const { anchorLog, faultCases, faultCourt } = contracts

  async function logsOf(
    address: Uint8Array,
    topics: readonly unknown[],
    from: bigint,
    to: bigint,
  ): Promise<readonly RawLog[]> {
    if (to < from) return []
    try {
      const filter = { address: hex(address), topics, fromBlock: quantity(from), toBlock: quantity(to) }
      return logList(await rpc.request('eth_getLogs', [filter]))
    } catch (error) {
      // Too much for one answer, or more blocks than this endpoint gives at once.
      if (!(error instanceof Rpc.RequestError) || error.code !== 'rpc-refused' || from === to) throw error
      const middle = (from + to) / 2n
      return [...(await logsOf(address, topics, from, middle)), ...(await logsOf(address, topics, middle + 1n, to))]
    }
  }

  async function demandOf(id: Uint8Array, block: bigint): Promise<Case['demand']> {
    const topics = encodeEventTopics({ abi: casesAbi, eventName: 'OpeningDemanded', args: { caseId: hex(id) } })
    for (const log of await logsOf(faultCases, topics, block, block)) {
      const { args } = decodeEventLog({ abi: casesAbi, eventName: 'OpeningDemanded', ...log })
      return { receiptHash: Bytes.from0x(args.receiptHash), slot: args.slot }
    }
    return undefined
  }

  async function toCase(log: RawLog): Promise<Case | undefined> {
    const { args } = decodeEventLog({ abi: casesAbi, eventName: 'CaseOpened', ...log })
    const subject = Bytes.from0x(args.subject)
    if ((args.class !== 17 && args.class !== 18) || !subjects.some((one) => Bytes.equal(one, subject))) return undefined
    const of = { class: args.class, subject, keyEpoch: args.keyEpoch, incident: Bytes.from0x(args.incident) } as const
    const id = caseId(crypto, of)
    const openedAtBlock = BigInt(log.blockNumber)
    if (of.class === 17) return { ...of, caseId: id, openedAtBlock, demand: undefined }
    const demand = await demandOf(id, openedAtBlock)
    if (demand === undefined) return undefined
    if (!Bytes.equal(demandIncident(crypto, demand.receiptHash, demand.slot), of.incident)) return undefined
    return { ...of, caseId: id, openedAtBlock, demand }
  }

  const block = async (tag: 'latest' | 'finalized') => {
    const answer = (await rpc.request('eth_getBlockByNumber', [tag, false])) as { readonly number?: unknown } | null
    return toNumber(answer?.number, 'eth_getBlockByNumber')
  }

  return {
    newest: () => block('latest'),
    finalized: () => block('finalized'),
    async terms() {
      const call = { abi: FaultCourtContract.abi, functionName: 'caseTerms', args: [] } as const
      const [openWindowBlocks, answerBlocks] = await ContractCall.read(rpc, faultCourt, call)
      return { openWindowBlocks, answerBlocks }
    },
    async count(subject) {
      const call = { abi: casesAbi, functionName: 'openCases', args: [hex(subject)] } as const
      return Number(await ContractCall.read(rpc, faultCases, call))
    },
    async stateOf(id, tag) {
      const call = { abi: casesAbi, functionName: 'getCase', args: [hex(id)] } as const
      let found: Awaited<ReturnType<typeof ContractCall.read<typeof casesAbi, 'getCase', readonly [Hex]>>>
      try {
        found = await ContractCall.read(rpc, faultCases, call, tag)
      } catch (error) {
        // Younger than what is final.
        if (tag === 'finalized' && error instanceof ContractCall.NoContractError) return noCase
        throw error
      }
      const { state, openedAtBlock } = found
      return { state: states[state] ?? 'none', openedAtBlock: BigInt(openedAtBlock) }
    },
    async opened(from, to) {
      const topics = encodeEventTopics({ abi: casesAbi, eventName: 'CaseOpened', args: { subject: subjects.map(hex) } })
      const found: Case[] = []
      for (const log of await logsOf(faultCases, topics, from, to)) {
        const one = await toCase(log)
        if (one !== undefined) found.push(one)
      }
      return found
    },
    async anchoredIn(logId, size) {
      const call = { abi: anchorAbi, functionName: 'getStep', args: [hex(logId), size] } as const
      const { blockNumber } = await ContractCall.read(rpc, anchorLog, call)
      return BigInt(blockNumber) === 0n ? undefined : BigInt(blockNumber)
    },
    async headSize(logId) {
      const call = { abi: anchorAbi, functionName: 'getLog', args: [hex(logId)] } as const
      return (await ContractCall.read(rpc, anchorLog, call)).headSize
    },
    async largestAnchored(logId, from, to) {
      const topics = encodeEventTopics({ abi: anchorAbi, eventName: 'Anchored', args: { logId: hex(logId) } })
      let largest: bigint | undefined
      for (const log of await logsOf(anchorLog, topics, from, to)) {
        const { size } = decodeEventLog({ abi: anchorAbi, eventName: 'Anchored', ...log }).args
        if (largest === undefined || size > largest) largest = size
      }
      return largest
    },
    async credit(account) {
      const call = { abi: casesAbi, functionName: 'credit', args: [hex(account)] } as const
      return ContractCall.read(rpc, faultCases, call)
    },
    async gasPrice() {
      return toNumber(await rpc.request('eth_gasPrice'), 'eth_gasPrice')
    },
  }
}

function quantity(value: bigint): Hex {
  return `0x${value.toString(16)}`
}

function toNumber(value: unknown, method: string): bigint {
  if (typeof value !== 'string' || !/^0x[0-9a-f]{1,64}$/i.test(value)) throw new EventsError(method)
  return BigInt(value)
}

function logList(value: unknown): readonly RawLog[] {
  if (!Array.isArray(value)) throw new EventsError('eth_getLogs')
  for (const { topics, data, blockNumber } of value as readonly Partial<RawLog>[]) {
    const isLog = Array.isArray(topics) && topics.length > 0 && typeof data === 'string'
    if (!isLog || !/^0x[0-9a-f]{1,16}$/i.test(String(blockNumber))) throw new EventsError('eth_getLogs')
  }
  return value as readonly RawLog[]
}

/** The endpoint's answer is none. */
export class EventsError extends errors.UnavailableError<'rpc-answer'> {
  override readonly name = 'CasesView.EventsError'
  constructor(method: string) {
    super('rpc-answer', 'The chain endpoint gave no usable answer.', { facts: [`Method: ${method}`] })
  }
}
