/**
 * AnvilChain.ts - a real development chain with the real contracts for schedules: it is killed, stopped, turned back and begun anew; and
 * what the prosecutor knows of it: every state that a contract ever showed, in blocks that were taken back too.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CourtCalls, Rpc } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import { startAnvil } from '../../apps/node/src/settle/anvil.ts'
import { type AddressBook, deploy, developmentPledgeBlocks } from '../../apps/node/src/settle/deploy.ts'
import { type Call, openProxy } from '../../apps/node/src/settle/scene.ts'
import { createSender } from '../../apps/node/src/settle/sender.ts'
import { fundOnDevelopmentChain, openWallet } from '../../apps/node/src/settle/wallet.ts'
import type { LogState } from './ContractRules.ts'
import type { AnchoredStep, Block } from './ModelChain.ts'

export const pledgeBlocks = developmentPledgeBlocks
/** Longer than any test waits: a chain that comes back took its time to. */
const patienceMs = 30_000
const blockTimeSeconds = 0.2

export type AnvilChain = {
  readonly chainId: bigint
  /** Through which the operator reaches it; what stands in between can lose calls and lie. */
  readonly proxy: Awaited<ReturnType<typeof openProxy>>
  /** Without anything in between. */
  readonly rpc: () => Rpc.Rpc
  readonly book: () => AddressBook
  readonly blockNumber: () => Promise<bigint>
  /** Looks at logs: tells the prosecutor. */
  readonly look: (logIds: readonly Uint8Array[]) => Promise<void>
  readonly ledger: {
    readonly onBlock: (listener: (block: Block) => void) => void
    readonly block: (number: bigint) => Block | undefined
    readonly anchored: () => readonly AnchoredStep[]
  }
  readonly mine: (count: number) => Promise<void>
  readonly reorganise: (depth: number) => Promise<void>
  /** No block and no answer for a while. */
  readonly freeze: (ms: number) => Promise<void>
  /** The process is killed; it comes back with a state of a moment before. */
  readonly kill: () => Promise<void>
  /** Begun anew, with the same chain id and contracts at the same addresses. */
  readonly wipe: () => Promise<void>
  readonly close: () => Promise<void>
}

/** Starts a chain in `home`, with contracts made by the account in `home/operator`. */
export async function start(home: string): Promise<AnvilChain> {
  let chain = await startAnvil({ home, blockTimeSeconds })
  const { chainId } = chain
  let rpc = Rpc.create({ url: chain.url, chainId })
  let book = await contracts()
  const proxy = await openProxy(chain.url)
  const anchored = new Map<string, AnchoredStep>()
  const listeners: ((block: Block) => void)[] = []

  async function contracts(): Promise<AddressBook> {
    const wallet = openWallet(join(home, 'operator'))
    await fundOnDevelopmentChain(rpc, wallet)
    const sender = createSender({ rpc, wallet, pollMs: 40 })
    try {
      return await deploy({ home, crypto, rpc, sender, development: true })
    } finally {
      sender.close()
    }
  }

  async function blockNumber(): Promise<bigint> {
    return BigInt((await rpc.request('eth_blockNumber')) as string)
  }

  /** Until it answers and makes blocks again. */
  async function back(): Promise<void> {
    const untilMs = performance.now() + patienceMs
    for (let first: bigint | undefined; ; await sleep(50)) {
      try {
        const number = await blockNumber()
        first ??= number
        if (number > first + 1n) return
      } catch (error) {
        if (performance.now() > untilMs) throw error
      }
      if (performance.now() > untilMs) throw new Error('the chain does not come back')
    }
  }

  async function remember(logId: Uint8Array, publicKey: Uint8Array): Promise<void> {
    const topic = Bytes.to0x(crypto.keccak256(Bytes.fromUtf8('Anchored(bytes32,uint64,bytes32)')))
    const address = Bytes.to0x(book.anchorLog.address)
    const filter = { address, fromBlock: '0x0', topics: [topic, Bytes.to0x(logId)] }
    const events = (await rpc.request('eth_getLogs', [filter])) as { topics: readonly string[]; data: string }[]
    for (const { topics, data } of events) {
      const step = { logId, publicKey, size: BigInt(topics[2] as string), root: Bytes.from0x(data).slice(0, 32) }
      // Size 0 is the registration.
      if (step.size > 0n) anchored.set([logId, publicKey, step.root].map(Bytes.toHex).join('/') + step.size, step)
    }
  }

  return {
    ...{ chainId, proxy, rpc: () => rpc, book: () => book, blockNumber },
    async look(logIds) {
      const logs = new Map<string, LogState>()
      for (const logId of logIds) {
        const record = await CourtCalls.logRecord(rpc, book.anchorLog.address, logId)
        if (record === undefined) continue
        const { publicKey, headSize: size, headRoot: root } = record
        await remember(logId, publicKey)
        // Registered from the beginning: a pledge from before is no excuse here.
        const steps = new Map([[0n, { root, blockNumber: 0n }]])
        const operator = new Uint8Array(20)
        const state = { logId, operator, publicKey, pledgeBlocks: record.pledgeBlocks, size, root, steps }
        logs.set(Bytes.toHex(logId), { ...state, conflicts: new Map() })
      }
      const number = await blockNumber()
      for (const listener of listeners) listener({ number, state: { logs } } as unknown as Block)
    },
    ledger: {
      onBlock: (listener) => void listeners.push(listener),
      // Outages of a schedule are short beside 600 blocks.
      block: () => ({ reachable: true }) as Block,
      anchored: () => [...anchored.values()],
    },
    async mine(count) {
      // In pieces: a chain that works for seconds on one request looks dead to its supervisor.
      for (let left = count; left > 0; left -= 50)
        await rpc.request('anvil_mine', [`0x${Math.min(left, 50).toString(16)}`, '0x0'])
    },
    reorganise: async (depth) => void (await rpc.request('anvil_reorg', [depth, []])),
    async freeze(ms) {
      const pid = chain.pid()
      if (pid === undefined) return
      process.kill(pid, 'SIGSTOP')
      await sleep(ms)
      process.kill(pid, 'SIGCONT')
      await back()
    },
    async kill() {
      const pid = chain.pid()
      if (pid !== undefined) process.kill(pid, 'SIGKILL')
      await back()
    },
    async wipe() {
      await chain.stop()
      rmSync(join(home, 'chain'), { recursive: true, force: true })
      chain = await startAnvil({ home, blockTimeSeconds })
      rpc = Rpc.create({ url: chain.url, chainId })
      proxy.target = chain.url
      book = await contracts()
    },
    async close() {
      await proxy.close()
      await chain.stop()
    },
  }
}

/** Answers about the newest block from a while ago, as an endpoint behind a slow cache gives them. */
export function oldBlocks(call: Call): ((result: never) => unknown) | undefined {
  if (call.method !== 'eth_getBlockByNumber' || call.params[0] !== 'latest') return undefined
  return (result: unknown) => {
    const block = result as { number: string }
    return { ...block, number: `0x${(BigInt(block.number) - 3n).toString(16)}` }
  }
}
