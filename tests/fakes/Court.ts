/** Court.ts - a court in memory for tests: its state is shown by real proofs, and what it says in calls is another thing. */
import assert from 'node:assert/strict'
import { type Abi, decodeFunctionData, encodeFunctionResult } from 'viem'
import { abi as anchorLogAbi } from '../../src/chain/generated/AnchorLog.ts'
import { abi as casesAbi } from '../../src/chain/generated/FaultCases.ts'
import { abi as courtAbi } from '../../src/chain/generated/FaultCourt.ts'
import * as Header from '../../src/chain/Header.ts'
import * as Layout from '../../src/chain/Layout.ts'
import * as Rlp from '../../src/chain/Rlp.ts'
import type * as Sender from '../../src/chain/Sender.ts'
import type { Court } from '../../src/client/Court.ts'
import { crypto } from '../../src/crypto/node.ts'
import * as Bytes from '../../src/protocol/Bytes.ts'
import { createState, type State } from './Trie.ts'

export const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte)
const contract = (byte: number) => ({ address: filled(20, byte), codeHash: filled(32, byte) })
const abi = [...casesAbi, ...courtAbi, ...anchorLogAbi] as Abi

export const own: Uint8Array = filled(20, 5)
export const registry: Uint8Array = filled(20, 9)
export const contracts = {
  stakeManager: contract(101),
  faultCourt: contract(102),
  faultCases: contract(103),
  anchorLog: contract(104),
}
const finalBlock = 50n

/** Words of storage: contract, slot, word. */
export type Words = readonly (readonly [of: keyof typeof contracts, slot: Uint8Array, word: Uint8Array])[]

/** What the endpoint shows and says; tests change it between calls. */
export type World = {
  /** Shown by proofs under the newest and the final block. */
  latest: Words
  finalized: Words
  /** Number of the newest block. */
  newest: bigint
  /** Said by calls, by function; a function is given the call's arguments. */
  says: Record<string, unknown>
  /** Answers for a call that is tried before it is committed to. */
  trial: (callData: Uint8Array) => void
  /** What becomes of a transaction. */
  send: (functionName: string, args: readonly unknown[], value: bigint) => void
  /** Overrides any answer. */
  answer?: (method: string, params: readonly unknown[]) => unknown
  readonly sent: string[]
}

/** A number of several fields from the low end: values with their bits. */
export function packed(...fields: readonly (readonly [value: bigint | Uint8Array, bits: number])[]): Uint8Array {
  let [word, at] = [0n, 0n]
  for (const [value, bits] of fields) {
    word |= (typeof value === 'bigint' ? value : Bytes.toBigInt(value)) << at
    at += BigInt(bits)
  }
  return Bytes.u256(word)
}

/** The word of FaultCourt that holds how long a case can be answered. */
export function answerWindow(answerBlocks: bigint): Words[number] {
  return ['faultCourt', Layout.courtWindowsSlot(), packed([registry, 160], [600n, 32], [answerBlocks, 32], [1n, 32])]
}

export function worldOf(given: Partial<World> = {}): { readonly world: World; readonly court: Court } {
  const world: World = {
    ...{ latest: [], finalized: [], newest: 100n, trial: () => {}, send: () => {}, sent: [] },
    ...given,
    says: {
      getFault: [`0x${'00'.repeat(20)}`, 0n, 0],
      committedFrom: 0n,
      fixedWindows: [600, 14_400],
      ...given.says,
    },
  }
  const states = new Map<Words, Promise<State>>()
  const stateOf = (words: Words) => {
    const accounts = Object.entries(contracts).map(([name, one]) => ({
      ...one,
      storage: new Map(words.filter(([of]) => of === name).map(([, slot, word]) => [Bytes.toHex(slot), word])),
    }))
    const made = states.get(words) ?? createState(accounts)
    states.set(words, made)
    return made
  }
  const tagOf = (block: unknown) =>
    block === 'finalized' || block === `0x${finalBlock.toString(16)}` ? 'finalized' : 'latest'
  const rpc: Court['rpc'] = {
    chainId: 7n,
    assertChain: async () => {},
    request: async (method, params = []) => {
      const given = world.answer?.(method, params)
      if (given !== undefined) return given
      if (method === 'eth_blockNumber') return `0x${world.newest.toString(16)}`
      if (method === 'eth_getBlockByNumber') {
        const tag = tagOf(params[0])
        return rawBlock((await stateOf(world[tag])).root, tag === 'latest' ? world.newest : finalBlock)
      }
      if (method === 'eth_getProof') {
        const state = await stateOf(world[tagOf(params[2])])
        const address = Bytes.from0x(params[0] as string)
        return {
          accountProof: (await state.account(address)).map(Bytes.to0x),
          storageProof: await Promise.all(
            (params[1] as string[]).map(async (slot) => ({
              value: '0x0',
              proof: (await state.storage(address, Bytes.from0x(slot))).map(Bytes.to0x),
            })),
          ),
        }
      }
      assert.equal(method, 'eth_call')
      const { functionName, args } = decodeFunctionData({ abi, data: (params[0] as { data: `0x${string}` }).data })
      const said = world.says[functionName]
      const result = typeof said === 'function' ? said(...(args ?? [])) : said
      return encodeFunctionResult({ abi, functionName, result: result as never })
    },
  }
  const sender: Sender.Sender = {
    address: own,
    close: () => {},
    call: async ({ data }) => {
      world.trial(data)
      return new Uint8Array(0)
    },
    send: async ({ data, value = 0n }) => {
      const { functionName, args } = decodeFunctionData({ abi, data: Bytes.to0x(data) as `0x${string}` })
      world.sent.push(functionName)
      world.send(functionName, args ?? [], value)
      return { transactionHash: '0x', blockNumber: world.newest, gasUsed: 0n }
    },
  }
  const { anchorLog, ...stake } = contracts
  const court: Court = {
    ...{ chainId: 7n, anchorLog: anchorLog.address, anchorLogCodeHash: anchorLog.codeHash, nodeRegistry: registry },
    ...{ rpc, sender, contracts: stake },
  }
  return { world, court }
}

function rawBlock(stateRoot: Uint8Array, number: bigint) {
  const zeros = (length: number) => Bytes.to0x(new Uint8Array(length))
  const hex = (value: bigint) => `0x${value.toString(16)}`
  const fields = {
    ...{ parentHash: zeros(32), sha3Uncles: zeros(32), miner: zeros(20), stateRoot: Bytes.to0x(stateRoot) },
    ...{ transactionsRoot: zeros(32), receiptsRoot: zeros(32), logsBloom: zeros(256), difficulty: '0x0' },
    ...{ number: hex(number), gasLimit: '0x1', gasUsed: '0x0', timestamp: hex(number), extraData: '0x' },
    ...{ mixHash: zeros(32), nonce: zeros(8), baseFeePerGas: '0x0' },
  }
  const integers = ['difficulty', 'number', 'gasLimit', 'gasUsed', 'timestamp', 'baseFeePerGas']
  const items = Object.entries(fields).map(([name, value]) =>
    integers.includes(name) ? Rlp.fromInteger(BigInt(value)) : Bytes.from0x(value),
  )
  return { ...fields, hash: Bytes.to0x(Header.hash(crypto, Rlp.encode(items))) }
}
