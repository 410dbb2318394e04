/**
 * ModelChain.ts - a chain in memory with the contracts that signers look at: blocks, reorganisations, halts, and a wipe
 * that leaves the chain id as it was. Everything that was ever anchored in any history is remembered for the prosecutor.
 */
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import type * as CaseRules from './CaseRules.ts'
import * as Rules from './ContractRules.ts'
import type * as Random from './Random.ts'

export const blockSeconds = 2n

export type Block = {
  readonly number: bigint
  readonly hash: Uint8Array
  readonly timestampSeconds: bigint
  readonly state: Rules.State
  readonly calls: readonly Rules.Call[]
  /** Whether a log that wanted to could put a transaction into this block; a block that replaced another never counts. */
  readonly reachable: boolean
}

/** A state that some history of the chain holds or held. */
export type AnchoredStep = {
  readonly logId: Uint8Array
  /** Of the log's registration in that history. */
  readonly publicKey: Uint8Array
  readonly size: bigint
  readonly root: Uint8Array
}

export type ModelChain = {
  readonly newest: () => Block
  readonly block: (number: bigint) => Block | undefined
  readonly isCanonical: (block: Block) => boolean
  readonly isHalted: () => boolean
  readonly halt: (isHalted: boolean) => void
  /** Puts a call where the next block takes it from; throws `RevertError` when it would fail now. */
  readonly submit: (call: Rules.Call) => Promise<void>
  /** Makes a block of everything that waits; calls that fail by now are dropped. No block while halted. */
  readonly mine: (options?: { readonly reachable?: boolean }) => Promise<Block>
  /**
   * Replaces the newest blocks by as many others. Of their calls each is taken again, comes late or is gone.
   */
  readonly reorganise: (depth: number, random: Random.Random) => Promise<void>
  /** The same chain id with another history; the contracts stand at their addresses. */
  readonly wipe: (random: Random.Random) => void
  /** All steps above size 0 of all histories. */
  readonly anchored: () => readonly AnchoredStep[]
  /** Told of every new block. */
  readonly onBlock: (listener: (block: Block) => void) => void
  readonly seconds: () => bigint
  readonly pass: (seconds: bigint) => void
}

/** Starts a chain whose contracts were deployed in block 5. */
export function create(random: Random.Random, minPledgeBlocks: bigint, terms?: CaseRules.Terms): ModelChain {
  let blocks: Block[] = []
  let waiting: Rules.Call[] = []
  let late: { call: Rules.Call; fromBlock: bigint }[] = []
  let halted = false
  let seconds = 1_900_000_000n
  const anchored = new Map<string, AnchoredStep>()
  const listeners: ((block: Block) => void)[] = []

  function begin(source: Random.Random): void {
    const instance = source.bytes(32)
    blocks = [block(5n, instance, Rules.empty(instance, minPledgeBlocks, terms), [], false)]
  }

  function block(
    number: bigint,
    salt: Uint8Array,
    state: Rules.State,
    calls: readonly Rules.Call[],
    reachable: boolean,
  ): Block {
    const parent = blocks.at(-1)?.hash ?? new Uint8Array(32)
    const hash = crypto.sha256(Bytes.concat(parent, Bytes.u256(number), salt))
    return { number, hash, timestampSeconds: seconds, state, calls, reachable }
  }

  const newest = (): Block => blocks.at(-1) as Block

  function remember(state: Rules.State): void {
    for (const { logId, publicKey, steps } of state.logs.values()) {
      for (const [size, { root }] of steps) {
        if (size === 0n) continue
        const name = [logId, publicKey, root].map(Bytes.toHex).join('/')
        anchored.set(`${name}/${size}`, { logId, publicKey, size, root })
      }
    }
  }

  async function extend(calls: readonly Rules.Call[], salt: Uint8Array, reachable: boolean): Promise<Block> {
    const number = newest().number + 1n
    let { state } = newest()
    const taken: Rules.Call[] = []
    for (const call of calls) {
      try {
        state = await Rules.apply(state, call, number)
        taken.push(call)
      } catch (error) {
        if (!(error instanceof Rules.RevertError)) throw error
      }
    }
    seconds += blockSeconds
    const made = block(number, salt, state, taken, reachable)
    blocks.push(made)
    if (taken.length > 0) remember(state)
    for (const listener of listeners) listener(made)
    return made
  }

  begin(random)
  return {
    newest,
    block: (number) => blocks[Number(number - (blocks[0] as Block).number)],
    isCanonical: (one) => blocks[Number(one.number - (blocks[0] as Block).number)] === one,
    isHalted: () => halted,
    halt: (isHalted) => {
      halted = isHalted
    },
    submit: async (call) => {
      await Rules.apply(newest().state, call, newest().number + 1n)
      waiting.push(call)
    },
    mine: async ({ reachable = false } = {}) => {
      if (halted) return newest()
      const due = late.filter(({ fromBlock }) => fromBlock <= newest().number + 1n)
      late = late.filter((one) => !due.includes(one))
      const calls = [...due.map(({ call }) => call), ...waiting]
      waiting = []
      return extend(calls, random.bytes(8), reachable)
    },
    reorganise: async (depth, source) => {
      const count = Math.min(depth, blocks.length - 1)
      if (count === 0) return
      const gone = blocks.splice(-count)
      for (const { calls } of gone) {
        for (const call of calls) {
          const fate = source.below(3)
          if (fate === 0) waiting.push(call)
          if (fate === 1) late.push({ call, fromBlock: newest().number + BigInt(count + 1 + source.below(6)) })
        }
      }
      const again = waiting
      waiting = []
      const at = source.below(count)
      for (let i = 0; i < count; i++) await extend(i === at ? again : [], source.bytes(8), false)
    },
    wipe: (source) => {
      waiting = []
      late = []
      begin(source)
    },
    anchored: () => [...anchored.values()],
    onBlock: (listener) => void listeners.push(listener),
    seconds: () => seconds,
    pass: (more) => {
      seconds += more
    },
  }
}
