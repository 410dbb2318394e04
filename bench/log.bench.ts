/**
 * log.bench.ts - how fast a log takes heads and answers questions, on real folders and with real signatures.
 *
 * Appends: a fixed rate of heads (signed beforehand) for some seconds, each through intake, group commit, mirror and
 * pledge. Questions: a log filled to `entries` (rows written directly, with signatures that nobody checks), then
 * inclusion and consistency proofs at random places; then a process under load on the same folders is killed and the time
 * from opening the folders to the first pledge is taken.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import * as Intake from '@assay/node/log/Intake'
import * as Parallel from '@assay/node/log/Parallel'
import * as SqliteLogStore from '@assay/node/log/SqliteLogStore'
import * as scene from '@assay/node/log/scene'
import * as Tree from '@assay/node/log/Tree'
import { crypto } from 'assay/crypto/node'
import { Bytes, Cose, Head, Merkle } from 'assay/protocol'
import * as Measure from './Measure.ts'

/** What was measured; times in milliseconds unless named otherwise. */
export type Results = {
  readonly appends: {
    readonly targetPerSecond: number
    readonly perSecond: number
    readonly seconds: number
    readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number }
    readonly cpuMicrosPerAppend: number
    readonly mainThreadCpuMicrosPerAppend: number
  }
  readonly entries: number
  readonly fillSeconds: number
  /** Writing all tiles and bundles of the filled log, which a log in service does bit by bit. */
  readonly publishSeconds: number
  readonly bytesPerEntry: { readonly log: number; readonly mirror: number }
  readonly inclusionMs: { readonly p50: number; readonly p99: number; readonly max: number; readonly coldMax: number }
  readonly consistencyMs: { readonly p50: number; readonly p99: number; readonly max: number }
  readonly startAfterKillMs: { readonly open: number; readonly firstPledge: number }
  /** CPU time in microseconds, worker threads included; of each proof, of the whole fill and of the whole start. */
  readonly cpuMicros: {
    readonly inclusion: Measure.Spread
    readonly consistency: Measure.Spread
    readonly fill: number
    readonly start: number
  }
}

const targetPerSecond = 5000

/** Measures; `seconds` of appends and a log of `entries`. */
export async function run(options: { readonly seconds: number; readonly entries: number }): Promise<Results> {
  const folder = mkdtempSync(join(tmpdir(), 'assay-bench-log-'))
  try {
    const appends = await measureAppends(join(folder, 'appends'), options.seconds)
    return { appends, ...(await measureBigLog(join(folder, 'big'), options.entries)) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measureAppends(folder: string, seconds: number): Promise<Results['appends']> {
  const requests = await signedRequests(targetPerSecond * seconds)
  const chain = scene.createChain()
  const pool = Parallel.create({ base: crypto })
  const signer = pool.createSigner(new Uint8Array(32).fill(3))
  const { log, close } = await scene.openBoth(folder, chain, { crypto: pool.crypto, signer })
  const latencies: number[] = []
  const waiting: Promise<unknown>[] = []
  const cpu = process.cpuUsage()
  const thread = process.threadCpuUsage()
  const startedMs = performance.now()
  for (let sent = 0; sent < requests.length; ) {
    const elapsedMs = performance.now() - startedMs
    chain.seenAtMs = Date.now()
    const due = Math.min(requests.length, Math.floor((elapsedMs * targetPerSecond) / 1000))
    // A queue that is full would refuse; the sender waits as a node would.
    for (; sent < due && log.depth() < 5000; sent++) {
      const sentMs = performance.now()
      waiting.push(log.append(requests[sent] as Intake.Request).then(() => latencies.push(performance.now() - sentMs)))
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await Promise.all(waiting)
  const elapsedMs = performance.now() - startedMs
  const { user, system } = process.cpuUsage(cpu)
  const main = process.threadCpuUsage(thread)
  await close()
  await pool.close()
  return {
    targetPerSecond,
    perSecond: (requests.length / elapsedMs) * 1000,
    seconds: elapsedMs / 1000,
    latencyMs: quantiles(latencies),
    cpuMicrosPerAppend: (user + system) / requests.length,
    mainThreadCpuMicrosPerAppend: (main.user + main.system) / requests.length,
  }
}

async function measureBigLog(folder: string, entries: number): Promise<Omit<Results, 'appends'>> {
  const filled = await Measure.once(() => fill(folder, entries))
  const { root, bytes } = filled.value
  const chain = scene.createChain()
  chain.head = { size: BigInt(entries), root }

  const { log, close } = await scene.openBoth(folder, chain)
  const publishedMs = performance.now()
  await log.signCheckpoint(BigInt(entries))
  log.markAnchored(BigInt(entries), 100n)
  const publishSeconds = (performance.now() - publishedMs) / 1000
  const inclusion: { readonly cpu: number; readonly wall: number }[] = []
  const consistency: { readonly cpu: number; readonly wall: number }[] = []
  for (let i = 0; i < 2000; i++) {
    const index = BigInt(Math.floor(Math.random() * entries))
    inclusion.push(await Measure.once(() => log.inclusion(index, BigInt(entries))))
    consistency.push(await Measure.once(() => log.consistency(index + 1n, BigInt(entries))))
  }
  await close()
  await killUnderLoad(folder, entries, root)

  const startedMs = performance.now()
  let open = 0
  const start = await Measure.once(async () => {
    const again = await scene.openBoth(folder, chain)
    open = performance.now() - startedMs
    const keyId = Cose.keyId(crypto, scene.signers.node.publicKey)
    await again.log.append(await scene.request((again.log.highest(keyId)?.sequence ?? -1n) + 1n))
    return again
  })
  await start.value.close()
  const inclusionMs = inclusion.map(({ wall }) => wall / 1000)
  const cpuOf = (samples: readonly { readonly cpu: number }[]) => Measure.spread(samples.map(({ cpu }) => cpu))
  return {
    entries,
    fillSeconds: filled.wall / 1e6,
    publishSeconds,
    bytesPerEntry: { log: bytes.log / entries, mirror: bytes.mirror / entries },
    inclusionMs: { ...quantiles(inclusionMs), coldMax: Math.max(...inclusionMs.slice(0, 20)) },
    consistencyMs: quantiles(consistency.map(({ wall }) => wall / 1000)),
    startAfterKillMs: { open, firstPledge: start.wall / 1000 },
    cpuMicros: {
      ...{ inclusion: cpuOf(inclusion), consistency: cpuOf(consistency) },
      ...{ fill: filled.cpu, start: start.cpu },
    },
  }
}

/** Writes the same rows as a log and its mirror would. */
function fill(folder: string, entries: number): { root: Uint8Array; bytes: { log: number; mirror: number } } {
  const { logId } = scene.identity
  const logFolder = join(folder, 'log')
  const mirrorFolder = join(folder, 'witness', 'mirror')
  const stores = [logFolder, mirrorFolder].map((path) =>
    SqliteLogStore.open({ folder: path, kind: 'bench', logId, crypto }),
  )
  const { publicKey } = scene.signers.node
  const signature = new Uint8Array(64).fill(7)
  let tree = Tree.empty
  for (let start = 0; start < entries; start += 4096) {
    const heads = Array.from({ length: Math.min(4096, entries - start) }, (_, i) => headOf(BigInt(start + i)))
    const { tree: next, completed } = Tree.append(
      crypto,
      tree,
      heads.map((head) => Intake.leafHash(crypto, head)),
    )
    tree = next
    const rows = heads.map((head, i) => ({
      ...{ index: BigInt(start + i), head, signature, publicKey },
      ...{ issuedAtBlock: 100n, issuedAtBlockHash: scene.blockHash(100n) },
    }))
    const pledges = rows.map(({ index }) => ({ index, signature }))
    stores[0]?.write({ entries: rows, tiles: completed, pledges })
    stores[1]?.write({ entries: rows, tiles: completed })
  }
  for (const store of stores) store.close()
  const sizeOf = (path: string): number => statSync(join(path, 'log.db')).size
  return { root: Tree.root(crypto, tree), bytes: { log: sizeOf(logFolder), mirror: sizeOf(mirrorFolder) } }
}

/** Lets a process append for a second and kills it. */
async function killUnderLoad(folder: string, entries: number, root: Uint8Array): Promise<void> {
  const options = { folder, head: { size: `${entries}`, root: Bytes.toHex(root) }, width: 64 }
  const path = join(import.meta.dirname, '../apps/node/src/log/crash.child.ts')
  const child = spawn(process.execPath, [path, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = new Promise((resolve) => child.on('close', resolve))
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.includes('ready')) setTimeout(() => child.kill('SIGKILL'), 1000)
  }
  await exited
}

async function signedRequests(count: number): Promise<Intake.Request[]> {
  const { publicKey } = scene.signers.node
  const pool = Parallel.create({ base: crypto })
  const signer = pool.createSigner(new Uint8Array(32).fill(1))
  const requests: Intake.Request[] = []
  for (let start = 0; start < count; start += 1000) {
    const heads = Array.from({ length: Math.min(1000, count - start) }, (_, i) => headOf(BigInt(start + i)))
    const signed = heads.map(async (head) => {
      const message = Cose.sigStructure('receipt', Head.payload(crypto, head))
      return { head, publicKey, signature: Cose.normalizeLowS(await signer.sign(message)) }
    })
    requests.push(...(await Promise.all(signed)))
  }
  await pool.close()
  return requests
}

function headOf(sequence: bigint): Uint8Array {
  const { chainId, registry } = scene.identity
  return Head.serialize({
    ...{ chainId, registry, nodeId: scene.nodeId, keyEpoch: 0, sequence, modeBits: 4, flags: 0 },
    previous: sequence === 0n ? new Uint8Array(32) : crypto.sha256(Bytes.u64(sequence)),
    claimsRoot: Merkle.leafHash(crypto, Bytes.u64(sequence)),
  })
}

function quantiles(values: readonly number[]): { p50: number; p99: number; max: number } {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}
