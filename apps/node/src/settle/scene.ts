/** scene.ts - what the tests of this folder stand on: a chain with contracts, a log in memory, and an endpoint that misbehaves. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Rpc } from 'assay/chain'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, Cose, Merkle } from 'assay/protocol'
import type { AnchoredLog, SignedCheckpoint } from './anchoring.ts'
import { startAnvil } from './anvil.ts'
import { type AddressBook, deploy } from './deploy.ts'
import { createSender } from './sender.ts'
import { fundOnDevelopmentChain, openWallet } from './wallet.ts'

export const pledgeBlocks = 600n

/** A P-256 key of its own. */
export function newSigner(): Cose.Signer {
  // The top byte keeps it below the group's order.
  return createP256Signer(Uint8Array.from([1, ...randomBytes(31)]))
}

/** Starts a chain in a fresh folder, funds an operator and deploys the contracts. */
export async function openScene(options: { blockTimeSeconds?: number } = {}) {
  const home = mkdtempSync(join(tmpdir(), 'assay-settle-'))
  const chain = await startAnvil({ home, ...options })
  const rpc = Rpc.create({ url: chain.url, chainId: chain.chainId })
  const wallet = openWallet(home)
  const sender = createSender({ rpc, wallet })
  const close = async () => {
    sender.close()
    await chain.stop()
    rmSync(home, { recursive: true, force: true })
  }
  try {
    await fundOnDevelopmentChain(rpc, wallet)
    const book = await deploy({ home, crypto, rpc, sender, development: true })
    return { home, chain, rpc, wallet, sender, book, crypto, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Waits for a value, asking every 50 ms. */
export async function until<T>(
  what: string,
  read: () => Promise<T | undefined> | T | undefined,
  limitMs = 20_000,
): Promise<T> {
  const startedMs = performance.now()
  while (performance.now() - startedMs < limitMs) {
    const value = await read()
    if (value !== undefined) return value
    await sleep(50)
  }
  throw new Error(`not in time: ${what}`)
}

/** A log in memory with the rules that anchoring relies on. */
export function memoryLog(book: AddressBook, logId: Uint8Array, signer: Cose.Signer) {
  const leaves: Uint8Array[] = []
  const signed = new Map<bigint, SignedCheckpoint>()
  const anchored = new Map<bigint, bigint>()
  let settled = 0n
  let signatures = 0
  const log: AnchoredLog = {
    logId,
    size: () => BigInt(leaves.length),
    unanchored: () => [...signed.values()].filter((one) => one.size > settled),
    signCheckpoint: async (size) => {
      const known = signed.get(size)
      if (known !== undefined) return known
      if (log.unanchored().length >= 8) throw new Error('a ninth signed, unanchored checkpoint')
      const root = Merkle.root(crypto, leaves.slice(0, Number(size)))
      const statement = Bytes.concat(
        Bytes.u256(book.chainId),
        Bytes.u256(Bytes.toBigInt(book.anchorLog.address)),
        logId,
        Bytes.u256(size),
        root,
      )
      const signature = await Cose.sign(crypto, signer, 'checkpoint', crypto.sha256(statement))
      signatures++
      const checkpoint = { size, root, signature }
      signed.set(size, checkpoint)
      return checkpoint
    },
    consistency: async (from, to) => Merkle.consistencyProof(crypto, leaves.slice(0, Number(to)), from, to),
    markAnchored: (size, block) => {
      anchored.set(size, block)
      if (size > settled) settled = size
    },
  }
  const append = (count = 1) => {
    for (let i = 0; i < count; i++) leaves.push(crypto.sha256(randomBytes(8)))
  }
  return { log, append, anchored, signatures: () => signatures, settled: () => settled }
}

export type Call = { readonly id: unknown; readonly method: string; readonly params: readonly unknown[] }

/** What the proxy does with one call: nothing (pass on), never answer, drop the connection, or change the result. */
export type Mischief = 'stall' | 'drop' | ((result: never, call: Call) => unknown) | undefined

/** An endpoint before the real one; `mischief` is asked for every call and can be replaced at any time. */
export async function openProxy(target: string) {
  const proxy = { url: '', target, mischief: (_: Call): Mischief => undefined, close: async () => {} }
  const server = createServer((request, response) => void answer(request, response).catch(() => response.destroy()))
  async function answer(request: IncomingMessage, response: ServerResponse) {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const call = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Call
    const mischief = proxy.mischief(call)
    if (mischief === 'stall') return
    if (mischief === 'drop') return void response.destroy()
    const real = await fetch(proxy.target, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(call),
    })
    const body = (await real.json()) as { result?: unknown }
    if (typeof mischief === 'function' && body.result !== undefined) body.result = mischief(body.result as never, call)
    response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  proxy.close = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return proxy
}
