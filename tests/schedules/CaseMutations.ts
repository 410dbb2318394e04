/** CaseMutations.ts - answering services with one bug each: what CaseJudge.ts has to find. */
import { FaultCasesContract } from 'assay/chain'
import { decodeFunctionResult, encodeFunctionResult, type Hex, toFunctionSelector } from 'viem'
import type * as Answering from '../../apps/node/src/answers/Answering.ts'
import type { Mutation } from './Parts.ts'
import * as Schedule from './Schedule.ts'

type Request = Answering.Options['rpc']['request']
type Filter = { readonly fromBlock: Hex; readonly toBlock: Hex }
type Case = {
  readonly challenger: Hex
  readonly openedAtBlock: number
  readonly state: number
  readonly bondGwei: number
}

const { abi } = FaultCasesContract
const getCase = toFunctionSelector('getCase(bytes32)')
const [answered, expired] = [2, 3]
const quantity = (value: bigint): Hex => `0x${value.toString(16)}`
const number = (block: unknown) => BigInt((block as { readonly number: Hex }).number)

/** A service that hears something else of the chain; each process has its own. */
const hearing = (change: (request: Request) => Request): Mutation => ({
  answers: (options) => ({ ...options, rpc: { ...options.rpc, request: change(options.rpc.request) } }),
})

/** Events of blocks below a number are not there for it. */
const readingFrom = (lowest: (filter: Filter) => bigint): ((request: Request) => Request) => {
  return (request) => async (method, params) => {
    if (method !== 'eth_getLogs') return request(method, params)
    const [filter] = params as [Filter]
    const from = lowest(filter)
    if (from > BigInt(filter.toBlock)) return []
    const fromBlock = BigInt(filter.fromBlock) < from ? quantity(from) : filter.fromBlock
    return request(method, [{ ...filter, fromBlock }])
  }
}

/** What the contract says of a case is taken for something else. */
const casesAs = (change: (one: Case, id: string) => Case): Mutation =>
  hearing((request) => async (method, params) => {
    const answer = await request(method, params)
    const data = method === 'eth_call' ? (params as [{ data: Hex }])[0].data : '0x'
    if (!data.startsWith(getCase) || answer === '0x') return answer
    const functionName = 'getCase'
    const one = decodeFunctionResult({ abi, functionName, data: answer as Hex })
    return encodeFunctionResult({ abi, functionName, result: change(one, data) })
  })

/** What was opened before it came up is not looked for. */
const noLookBack = (): Mutation =>
  hearing((request) => {
    let started: bigint | undefined
    const reading = readingFrom(() => started ?? 0n)(request)
    return async (method, params) => {
      const answer = await reading(method, params)
      if (method === 'eth_getBlockByNumber') started ??= number(answer)
      return answer
    }
  })

/** A block that was read is not read again, whatever stands in its place. */
const readOnce = (): Mutation =>
  hearing((request) => {
    let next = 0n
    let newest = 0n
    const reading = readingFrom(() => next)(request)
    return async (method, params) => {
      // Within a round it reads as it likes.
      if (method === 'eth_getBlockByNumber' && params?.[0] === 'latest') {
        next = newest
        const answer = await request(method, params)
        newest = number(answer) + 1n
        return answer
      }
      return reading(method, params)
    }
  })

/** Who has expired is past help. */
const neverLate = (): Mutation => casesAs((one) => (one.state === expired ? { ...one, state: answered } : one))

/** An answer that was in a block once counts for good. */
const answeredForGood = (): Mutation => {
  const known = new Set<string>()
  return casesAs((one, id) => {
    if (one.state === answered) known.add(id)
    return known.has(id) ? { ...one, state: answered } : one
  })
}

/** Openings go while they can still be demanded. */
const forgetful = (): Mutation => {
  const { openWindowBlocks, answerBlocks } = Schedule.caseTerms
  const early = openWindowBlocks / 2n + answerBlocks
  const changed = hearing((request) => async (method, params) => {
    const isFinal = method === 'eth_getBlockByNumber' && params?.[0] === 'finalized'
    if (!isFinal) return request(method, params)
    return { number: quantity(number(await request(method, ['latest', false])) + early) }
  })
  return { answers: (options) => ({ ...options, ...changed.answers?.(options), confirmMs: 0 }) }
}

/** What an endpoint says once of final blocks is enough. */
const credulous = (): Mutation => ({ answers: (options) => ({ ...options, confirmMs: 0 }) })

/** What could not be sent once is not sent again. */
const onlyOnce = (): Mutation => ({
  answers: (options) => {
    const failed = new Set<string>()
    const send: typeof options.sender.send = async (call) => {
      const name = Buffer.from(call.data).toString('hex')
      if (failed.has(name)) throw new Error('not again')
      failed.add(name)
      const mined = await options.sender.send(call)
      failed.delete(name)
      return mined
    }
    return { ...options, sender: { ...options.sender, send } }
  },
})

/** Each with what it is convicted of. */
export const all: readonly {
  readonly name: string
  readonly make: () => Mutation
  readonly classes: readonly number[]
}[] = [
  { name: 'cases opened while the service was away are not looked for', make: noLookBack, classes: [17, 18] },
  { name: 'a block is read once, whatever takes its place', make: readOnce, classes: [17, 18] },
  { name: 'an answer that was in a block once counts for good', make: answeredForGood, classes: [17, 18] },
  { name: 'an entry whose case has expired is not shown', make: neverLate, classes: [4] },
  { name: 'openings are thrown away too early', make: forgetful, classes: [18] },
  { name: 'openings are thrown away at one word of an endpoint', make: credulous, classes: [18] },
  { name: 'an answer that failed is not sent again', make: onlyOnce, classes: [17, 18] },
]
