/** Anvil.ts - a chain for one test file: a fresh anvil on a free port of the loopback, ended with the test. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Abi, decodeFunctionResult, encodeDeployData, encodeFunctionData } from 'viem'

export type Hex = `0x${string}`

/** A transaction as mined. */
export type Mined = {
  readonly gasUsed: bigint
  readonly blockNumber: bigint
  readonly contractAddress: Hex | null
  readonly succeeded: boolean
}

/** A contract of our build. */
export type Built = { readonly abi: Abi; readonly bytecode: Hex }

/** A running chain; `from` of transactions is one of its unlocked accounts. */
export type Chain = {
  readonly accounts: readonly Hex[]
  readonly request: <Result>(method: string, params?: readonly unknown[]) => Promise<Result>
  /** Creates a contract and returns its address. */
  readonly deploy: (contract: Built, args: readonly unknown[]) => Promise<Hex>
  /** Sends a transaction and waits until it is mined; a revert is in `succeeded`. */
  readonly send: (to: Hex, abi: Abi, functionName: string, args: readonly unknown[], from?: Hex) => Promise<Mined>
  /** Calls a function without a transaction. */
  readonly call: (to: Hex, abi: Abi, functionName: string, args: readonly unknown[]) => Promise<unknown>
  readonly stop: () => Promise<void>
}

const cpu = process.arch === 'x64' ? 'amd64' : process.arch
const binary = join(import.meta.dirname, `../../node_modules/@foundry-rs/anvil-${process.platform}-${cpu}/bin/anvil`)

/** Whether this machine has an anvil. */
export const isAvailable: boolean = existsSync(binary)

/** Starts a chain with the rules of a fork: `osaka` has the P-256 precompile, `prague` has not. */
export async function start(hardfork: 'osaka' | 'prague'): Promise<Chain> {
  const child = spawn(binary, ['--host', '127.0.0.1', '--port', '0', '--hardfork', hardfork, '--chain-id', '31337'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const url = await new Promise<string>((resolve, reject) => {
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk
      const [, address] = /Listening on (127\.0\.0\.1:\d+)/.exec(output) ?? []
      if (address !== undefined) resolve(`http://${address}`)
    })
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`anvil ended with ${code} before it listened`)))
  })

  let nextId = 1
  async function request<Result>(method: string, params: readonly unknown[] = []): Promise<Result> {
    const body = JSON.stringify({ jsonrpc: '2.0', id: nextId++, method, params })
    const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    const answer = (await response.json()) as { result: Result; error?: { message: string; data?: string } }
    if (answer.error !== undefined) throw new Error(`${method}: ${answer.error.message} ${answer.error.data ?? ''}`)
    return answer.result
  }

  const accounts = await request<Hex[]>('eth_accounts')
  async function transact(transaction: { to?: Hex; data: Hex; from?: Hex }): Promise<Mined> {
    // A fixed limit: an estimate would refuse what is sent here to be seen reverting.
    const full = { from: accounts[0], gas: '0xffffff', ...transaction }
    const hash = await request<Hex>('eth_sendTransaction', [full])
    for (;;) {
      const receipt = await request<Record<string, Hex | null> | null>('eth_getTransactionReceipt', [hash])
      if (receipt === null) continue
      return {
        gasUsed: BigInt(receipt.gasUsed ?? 0),
        blockNumber: BigInt(receipt.blockNumber ?? 0),
        contractAddress: receipt.contractAddress ?? null,
        succeeded: receipt.status === '0x1',
      }
    }
  }

  return {
    accounts,
    request,
    deploy: async ({ abi, bytecode }, args) => {
      const { contractAddress, succeeded } = await transact({ data: encodeDeployData({ abi, bytecode, args }) })
      if (!succeeded || contractAddress === null) throw new Error('deployment reverted')
      return contractAddress
    },
    send: (to, abi, functionName, args, from = accounts[0] as Hex) =>
      transact({ to, from, data: encodeFunctionData({ abi, functionName, args }) }),
    call: async (to, abi, functionName, args) => {
      const data = await request<Hex>('eth_call', [{ to, data: encodeFunctionData({ abi, functionName, args }) }])
      return decodeFunctionResult({ abi, functionName, data })
    },
    stop: () => {
      child.kill()
      return ended
    },
  }
}
