/**
 * Endpoint.ts - the chain as one daemon reaches it: view, calls and transactions, each of which can be lost, late, doubled, or
 * a lie about which block is the newest. State proofs keep an endpoint from lying about a block, so a lie is a whole block:
 * an old one, or one that it made up with all the state in it.
 */
import { AnchorLogContract, NodeRegistryContract, Rpc } from 'assay/chain'
import { Bytes } from 'assay/protocol'
import { type AbiFunction, decodeAbiParameters, encodeFunctionResult, type Hex, toFunctionSelector } from 'viem'
import type { ChainView, SeenBlock } from '../../apps/node/src/settle/chain-view.ts'
import { CallRevertedError, type Sender, TransactionLostError } from '../../apps/node/src/settle/sender.ts'
import * as CaseReads from './CaseReads.ts'
import * as Rules from './ContractRules.ts'
import type { Block, ModelChain } from './ModelChain.ts'
import type * as Random from './Random.ts'

/** What a made-up block says. `old`: a true block from before; the others are made up whole. */
export const lies = [
  'old',
  'low-number',
  'high-number',
  'empty-log',
  'longer-log',
  'other-root',
  'other-steps',
  'key-ended',
  'key-unknown',
  'other-epoch',
] as const
/** The same about cases: none was ever opened, or all are answered; and one whose final blocks are ahead of time. */
export const caseLies = ['no-cases', 'all-answered', 'far-final'] as const
export type Lie = (typeof lies)[number] | (typeof caseLies)[number]

/** What is so deep below the newest block is final, and no reorganisation of a schedule takes it back. */
export const finalityBlocks = 32n

/** What becomes of a transaction. */
export const fates = ['mined', 'lost', 'late', 'twice', 'answer-lost'] as const
export type Fate = (typeof fates)[number]

/** An endpoint; its faults can be set at any time. */
export type Endpoint = {
  lost: boolean
  lie: Lie | undefined
  fate: Fate
  /** Milliseconds by which the daemon's clock is wrong. */
  clockMs: number
  /** False once the process that used it is gone. */
  alive: boolean
  readonly nowMs: () => number
  readonly isGood: () => boolean
  readonly view: ChainView
  readonly rpc: Rpc.Rpc
  readonly sender: Sender
}

const functions = new Map(
  ([...NodeRegistryContract.abi, ...AnchorLogContract.abi, ...CaseReads.abi] as readonly AbiFunction[])
    .filter(({ type }) => type === 'function')
    .map((one) => [toFunctionSelector(one), one]),
)
const hex = Bytes.toHex

/** A new endpoint before a chain, for the account `address` (20 bytes). */
export function create(chain: ModelChain, address: Uint8Array, random: Random.Random): Endpoint {
  let tip: { block: Block; seen: SeenBlock } | undefined
  let madeUp: { of: Lie; at: bigint; block: Block } | undefined

  function assertThere(): void {
    if (!endpoint.alive || endpoint.lost) throw new Rpc.RequestError('rpc-unreachable', 'any', '')
  }

  /** The block that this endpoint calls the newest. */
  function claimed(): Block {
    assertThere()
    const { lie } = endpoint
    if (lie === undefined) return chain.newest()
    if (lie === 'old') {
      return chain.block(chain.newest().number - BigInt(1 + random.below(20))) ?? chain.newest()
    }
    const at = chain.newest().number
    if (madeUp?.of !== lie || madeUp.at !== at) madeUp = { of: lie, at, block: fabricate(chain, lie, random) }
    return madeUp.block
  }

  /** What it calls final; no state where there was no block yet. */
  function final(): { readonly number: bigint; readonly state: Rules.State | undefined } {
    const { number, state } = claimed()
    const isMadeUp = endpoint.lie !== undefined && endpoint.lie !== 'old'
    if (endpoint.lie === 'far-final') return { number: number + 1_000_000n, state }
    const at = number > finalityBlocks ? number - finalityBlocks : 0n
    return { number: at, state: isMadeUp ? state : chain.block(at)?.state }
  }

  async function refresh(): Promise<void> {
    try {
      const block = claimed()
      if (tip?.block === block) return
      const { number, hash, timestampSeconds } = block
      const seenAtMs = Math.min(endpoint.nowMs(), Number(timestampSeconds) * 1_000)
      tip = { block, seen: { number, hash, timestampSeconds, seenAtMs, sinceMs: performance.now() } }
    } catch (error) {
      if (!(error instanceof Rpc.RequestError)) throw error
    }
  }

  /** State under the block seen last; a block that the endpoint no longer has is looked for once more. */
  async function state(): Promise<Rules.State> {
    assertThere()
    const isServed = tip !== undefined && (chain.isCanonical(tip.block) || madeUp?.block === tip.block)
    if (!isServed || (endpoint.lie === undefined && madeUp?.block === tip?.block)) await refresh()
    return (tip as { block: Block }).block.state
  }

  const view: ChainView = {
    newest: () => tip?.seen,
    finalized: () => undefined,
    keyRecord: async (nodeId, keyEpoch) => (await state()).keys.get(`${hex(nodeId)}/${keyEpoch}`),
    logHead: async (logId) => {
      const log = (await state()).logs.get(hex(logId))
      return log === undefined ? undefined : { size: log.size, root: log.root }
    },
    step: async (logId, size) => (await state()).logs.get(hex(logId))?.steps.get(size),
    stepRoot: async (logId, size) => (await state()).logs.get(hex(logId))?.steps.get(size)?.root,
    refresh,
    trouble: () => undefined,
    stop: async () => {},
  }

  const rpc: Rpc.Rpc = {
    chainId: Rules.chainId,
    assertChain: async () => assertThere(),
    request: async (method, params) => {
      assertThere()
      switch (method) {
        case 'eth_call': {
          const [{ data }, tag] = params as [{ data: Hex }, string]
          const { state } = tag === 'finalized' ? final() : claimed()
          return state === undefined ? '0x' : call(state, data)
        }
        case 'eth_getBlockByNumber': {
          const { number } = params?.[0] === 'finalized' ? final() : claimed()
          return { number: `0x${number.toString(16)}` }
        }
        case 'eth_getLogs':
          return CaseReads.events(claimed().state, params?.[0] as Parameters<typeof CaseReads.events>[1])
        default:
          throw new Rpc.RequestError('rpc-refused', method, 'not modelled')
      }
    },
  }

  const sender: Sender = {
    address,
    close: () => {},
    send: async ({ to, data }) => {
      assertThere()
      const call = { from: address, to: to as Uint8Array, data }
      // An endpoint that lies answers the estimate from its own state, and the transaction goes nowhere.
      if (endpoint.lie !== undefined) throw new TransactionLostError('not in a block')
      if (endpoint.fate === 'lost') throw new TransactionLostError('not in a block')
      try {
        await chain.submit(call)
      } catch (error) {
        throw error instanceof Rules.RevertError ? new CallRevertedError(error.message) : error
      }
      if (endpoint.fate === 'twice') await chain.submit(call).catch(() => {})
      if (endpoint.fate === 'late' || chain.isHalted()) throw new TransactionLostError('not in a block')
      const block = await chain.mine({ reachable: endpoint.isGood() })
      if (endpoint.fate === 'answer-lost') throw new TransactionLostError('the answer was lost')
      if (!block.calls.includes(call)) throw new CallRevertedError('reverted in a block')
      return { transactionHash: hex(block.hash), blockNumber: block.number, gasUsed: 0n }
    },
  } as Sender

  const endpoint: Endpoint = {
    ...{ lost: false, lie: undefined, fate: 'mined', clockMs: 0, alive: true, view, rpc, sender },
    nowMs: () => Number(chain.seconds()) * 1_000 + endpoint.clockMs,
    isGood: () =>
      endpoint.alive && !endpoint.lost && endpoint.lie === undefined && endpoint.fate === 'mined' && !chain.isHalted(),
  }
  return endpoint
}

/** A block that never was, with a state to the liar's taste. */
function fabricate(chain: ModelChain, lie: Lie, random: Random.Random): Block {
  const newest = chain.newest()
  const back = BigInt(1 + random.below(200))
  const low = newest.number > back ? newest.number - back : 1n
  const number = lie === 'low-number' ? low : lie === 'high-number' ? newest.number + back : newest.number + 1n
  return {
    ...{ number, hash: random.bytes(32), timestampSeconds: chain.seconds(), calls: [], reachable: false },
    state: bent(newest.state, lie, random),
  }
}

/** A call of a view, which says what it says under a state. */
function call(state: Rules.State, data: Hex): Hex {
  const one = functions.get(data.slice(0, 10) as Hex)
  if (one === undefined) throw new Rpc.RequestError('rpc-refused', 'eth_call', 'not modelled')
  const args = decodeAbiParameters(one.inputs, `0x${data.slice(10)}`)
  const result = CaseReads.read(state, one.name, args) ?? read(state, one.name, args)
  return encodeFunctionResult({ abi: [one], functionName: one.name, result } as never)
}

function bent(state: Rules.State, lie: Lie, random: Random.Random): Rules.State {
  const logs = (change: (log: Rules.LogState) => Partial<Rules.LogState>): Rules.State => ({
    ...state,
    logs: new Map([...state.logs].map(([name, log]) => [name, { ...log, ...change(log) }])),
  })
  const keys = (
    change: (name: string, key: NonNullable<ReturnType<typeof state.keys.get>>) => [string, typeof key][],
  ) => ({
    ...state,
    keys: new Map([...state.keys].flatMap(([name, key]) => change(name, key))),
  })
  switch (lie) {
    case 'empty-log':
      return logs((log) => {
        const first = log.steps.get(0n) as Rules.Step
        return { size: 0n, root: first.root, steps: new Map([[0n, first]]) }
      })
    case 'longer-log':
      return logs((log) => ({ size: log.size + BigInt(1 + random.below(5)), root: random.bytes(32) }))
    case 'other-root':
      return logs(() => ({ root: random.bytes(32) }))
    case 'other-steps':
      return logs((log) => ({
        steps: new Map([...log.steps].map(([size, step]) => [size, { ...step, root: random.bytes(32) }])),
      }))
    case 'key-ended':
      return keys((name, key) => [[name, { ...key, validUntilBlock: key.validFromBlock + 1n }]])
    case 'key-unknown':
      return { ...state, keys: new Map(), nodeOfKey: new Map() }
    case 'no-cases':
      return { ...state, cases: new Map() }
    case 'all-answered':
      return { ...state, cases: new Map([...state.cases].map(([id, one]) => [id, { ...one, state: 'answered' }])) }
    case 'other-epoch':
      return keys((name, key) => {
        const [nodeId, epoch] = name.split('/') as [string, string]
        return [[`${nodeId}/${Number(epoch) ^ 1}`, key]]
      })
    default:
      return state
  }
}

const zero32 = `0x${'00'.repeat(32)}` as const
const zero20 = `0x${'00'.repeat(20)}` as const

function read(state: Rules.State, functionName: string, args: readonly unknown[]): unknown {
  const [first, second] = args as [string, number]
  const name = first?.slice(2).toLowerCase()
  switch (functionName) {
    case 'nodeCount':
      return state.nodeCounts.get(name) ?? 0n
    case 'logCount':
      return state.logCounts.get(name) ?? 0n
    case 'instance':
      return Bytes.to0x(state.instance)
    case 'nodeOfKey':
      return Bytes.to0x(state.nodeOfKey.get(name) ?? new Uint8Array(32))
    case 'logOfKey':
      return Bytes.to0x(state.logOfKey.get(name) ?? new Uint8Array(32))
    case 'getNode': {
      const node = state.nodes.get(name)
      if (node === undefined) return { operator: zero20, registeredAtBlock: 0n, nextKeyEpoch: 0 }
      return { ...node, operator: Bytes.to0x(node.operator) }
    }
    case 'getKey': {
      const key = state.keys.get(`${name}/${second}`)
      if (key === undefined) return { keyId: zero32, operator: zero20, role: 0, validFromBlock: 0, validUntilBlock: 0 }
      return {
        ...{ keyId: Bytes.to0x(key.keyId), operator: Bytes.to0x(key.operator), role: key.role },
        ...{ validFromBlock: Number(key.validFromBlock), validUntilBlock: Number(key.validUntilBlock) },
      }
    }
    default:
      throw new Rpc.RequestError('rpc-refused', 'eth_call', `not modelled: ${functionName}`)
  }
}
