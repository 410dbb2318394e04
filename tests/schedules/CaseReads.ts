/** CaseReads.ts - what an endpoint says of cases and anchors: views of the contracts, and the events of a range of blocks. */
import { AnchorLogContract, FaultCasesContract, FaultCourtContract } from 'assay/chain'
import { Bytes } from 'assay/protocol'
import { encodeAbiParameters, encodeEventTopics, type Hex } from 'viem'
import * as CaseRules from './CaseRules.ts'
import type * as Rules from './ContractRules.ts'

type Filter = {
  readonly fromBlock: Hex
  readonly toBlock: Hex
  readonly topics: readonly (Hex | readonly Hex[] | null)[]
}
type Event = { readonly blockNumber: Hex; readonly topics: readonly Hex[]; readonly data: Hex }

const pick = (all: readonly unknown[], names: readonly string[]) =>
  all.filter(
    (one) =>
      (one as { type: string; name: string }).type === 'function' && names.includes((one as { name: string }).name),
  )

/** The views that are modelled; few, because each call is looked up among them. */
export const abi = [
  ...pick(FaultCasesContract.abi, ['getCase', 'openCases', 'credit']),
  ...pick(FaultCourtContract.abi, ['caseTerms']),
  ...pick(AnchorLogContract.abi, ['getStep', 'getLog']),
] as readonly unknown[]

const hex = Bytes.to0x
const zero32 = hex(new Uint8Array(32))
const states = ['none', 'open', 'answered', 'expired']

/** The result of a view, in the form that its ABI gives it; undefined where it is none of these. */
export function read(state: Rules.State, functionName: string, args: readonly unknown[]): unknown {
  const name = String(args[0]).slice(2).toLowerCase()
  switch (functionName) {
    case 'caseTerms':
      return [state.terms.openWindowBlocks, state.terms.answerBlocks, 0n]
    case 'openCases':
      return BigInt(CaseRules.openCases(state.cases, Bytes.fromHex(name)))
    case 'credit':
      return 0n
    case 'getCase': {
      const one = state.cases.get(name)
      return {
        ...{ challenger: hex(one?.challenger ?? new Uint8Array(20)), openedAtBlock: Number(one?.openedAtBlock ?? 0n) },
        ...{ state: states.indexOf(one?.state ?? 'none'), bondGwei: 0 },
      }
    }
    case 'getStep': {
      const step = state.logs.get(name)?.steps.get(args[1] as bigint)
      return { root: hex(step?.root ?? new Uint8Array(32)), blockNumber: step?.blockNumber ?? 0n }
    }
    case 'getLog': {
      const log = state.logs.get(name)
      return {
        ...{
          operator: hex(log?.operator ?? new Uint8Array(20)),
          keyId: zero32,
          x: zero32,
          y: zero32,
          ed25519Key: zero32,
        },
        ...{ pledgeBlocks: log?.pledgeBlocks ?? 0n, headSize: log?.size ?? 0n, headRoot: zero32 },
      }
    }
    default:
      return undefined
  }
}

/** Events under a state, which has all that ever happened in it: nothing is opened or anchored twice. */
export function events(state: Rules.State, { fromBlock, toBlock, topics }: Filter): readonly Event[] {
  const found: Event[] = []
  const from = BigInt(fromBlock)
  const to = BigInt(toBlock)
  const isWanted = (of: readonly Hex[]) =>
    topics.every((wanted, i) => wanted === null || [wanted].flat().some((one) => one === of[i]))
  const add = (block: bigint, of: readonly unknown[], data: Hex) => {
    const topicsOf = of as readonly Hex[]
    if (isWanted(topicsOf)) found.push({ blockNumber: `0x${block.toString(16)}`, topics: topicsOf, data })
  }
  const isIn = (block: bigint) => from <= block && block <= to
  for (const [name, one] of state.cases) {
    const { openedAtBlock, demand } = one
    if (!isIn(openedAtBlock)) continue
    const caseId: Hex = `0x${name}`
    const args = { caseId, subject: hex(one.subject), challenger: hex(one.challenger) }
    const types = [{ type: 'uint8' }, { type: 'uint32' }, { type: 'bytes32' }, { type: 'uint256' }, { type: 'uint256' }]
    const lastBlock = openedAtBlock + state.terms.answerBlocks
    const data = encodeAbiParameters(types, [one.class, one.keyEpoch, hex(one.incident), 0n, lastBlock])
    add(openedAtBlock, encodeEventTopics({ abi: FaultCasesContract.abi, eventName: 'CaseOpened', args }), data)
    if (demand === undefined) continue
    const of = { caseId, receiptHash: hex(demand.receiptHash), slot: demand.slot }
    add(openedAtBlock, encodeEventTopics({ abi: FaultCasesContract.abi, eventName: 'OpeningDemanded', args: of }), '0x')
  }
  for (const [name, { steps }] of state.logs) {
    for (const [size, { root, blockNumber }] of steps) {
      if (!isIn(blockNumber) || topics[1] !== `0x${name}`) continue
      const args = { logId: `0x${name}`, size } as const
      const data = encodeAbiParameters([{ type: 'bytes32' }], [hex(root)])
      add(blockNumber, encodeEventTopics({ abi: AnchorLogContract.abi, eventName: 'Anchored', args }), data)
    }
  }
  return found
}
