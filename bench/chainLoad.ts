/**
 * chainLoad.ts - from a receipt to `final` under load: the daemon with its chain, the clients, and this follower of the chain are
 * processes of their own. Every receipt's time counts; memory of every process is sampled all the while.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Layout, Records, Rpc, TrustAnchors } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import type { Ask, Came, Told } from './chainCalls.child.ts'
import type { Started } from './chainDaemon.child.ts'

/** Milliseconds. */
export type Times = { readonly median: number; readonly p99: number; readonly max: number; readonly count: number }

/** Resident memory of one process, MiB, and how it grew in the second half, MiB a minute. */
export type Memory = { readonly first: number; readonly last: number; readonly peak: number; readonly slope: number }

/** What one run came to. */
export type Load = {
  readonly seconds: number
  readonly sent: number
  readonly refused: number
  readonly pending: number
  /** Receipts that came, a second. */
  readonly perSecond: number
  /** From the answer until the chain's finalized block shows an anchored size above the receipt's index, by state proof. */
  readonly toFinal: Times
  /** Receipts that were not final when the follower stopped waiting. */
  readonly notFinal: number
  /** The library's client: from the answer until its verdict under `embedded` is MEETS. */
  readonly client: Times
  readonly memory: ReadonlyMap<'daemon' | 'chain' | 'client', Memory>
  readonly samples: number
}

/** Between two looks at the chain: what a receipt's time can be too long by. */
const lookMs = 200
const sampleMs = 2_000
/** How long what came last may take after the last call. */
const tailMs = 30_000

/** Runs the load. */
export async function measure(options: { readonly seconds: number; readonly perSecond: number }): Promise<Load> {
  const home = mkdtempSync(join(tmpdir(), 'assay-bench-chain-'))
  const stdio = ['ignore', 2, 'inherit', 'ipc'] as const
  const daemon = fork(join(import.meta.dirname, 'chainDaemon.child.ts'), [home], { stdio: [...stdio] })
  let calls: ChildProcess | undefined
  try {
    const started = await once<Started>(daemon)
    calls = fork(join(import.meta.dirname, 'chainCalls.child.ts'), { stdio: [...stdio] })
    return await run(options, started, { daemon, calls })
  } finally {
    calls?.kill()
    await stop(daemon)
    rmSync(home, { recursive: true, force: true })
  }
}

async function run(
  { seconds, perSecond }: { readonly seconds: number; readonly perSecond: number },
  started: Started,
  { daemon, calls }: { readonly daemon: ChildProcess; readonly calls: ChildProcess },
): Promise<Load> {
  const waiting = new Map<string, Came[]>()
  const times: number[] = []
  const followed: number[] = []
  let end: Extract<Told, { kind: 'end' }> | undefined
  let failure: string | undefined
  calls.on('message', (told: Told) => {
    if (told.kind === 'came')
      for (const one of told.receipts) waiting.set(one.log, [...(waiting.get(one.log) ?? []), one])
    else if (told.kind === 'followed') followed.push(told.ms)
    else if (told.kind === 'end') end = told
    else failure = told.error
  })
  calls.once('exit', (code) => {
    if (end === undefined) failure ??= `the clients ended with ${code}`
  })
  const ask: Ask = { daemon: started, seconds, perSecond }
  calls.send(ask)
  const processes = { daemon: daemon.pid, chain: started.chainPid, client: calls.pid } as const
  const memory = watchMemory(processes)
  const look = lookerOf(started)
  const startedMs = performance.now()
  const count = () => [...waiting.values()].reduce((sum, list) => sum + list.length, 0)
  while (performance.now() - startedMs < seconds * 1000 + tailMs) {
    await look(waiting, times)
    if (failure !== undefined) throw new Error(failure)
    if (end !== undefined && count() === 0) break
    await sleep(lookMs)
  }
  const sampled = memory.stop()
  if (end === undefined) throw new Error('the calls did not end')
  const { sent, refused, pending } = end
  return {
    ...{ seconds: end.seconds, sent, refused, pending, perSecond: (times.length + count()) / end.seconds },
    ...{ toFinal: timesOf(times), notFinal: count(), client: timesOf(followed), memory: sampled.memory },
    samples: sampled.samples,
  }
}

/** Moves the receipts that a finalized block covers from `waiting` to `times`. */
function lookerOf(started: Started) {
  const [anchors] = TrustAnchors.parse(started.anchors)
  if (anchors === undefined) throw new Error('no trust anchors')
  const { chainId, anchorLog } = anchors
  const rpc = Rpc.create({ url: started.chain, chainId })
  let last: Uint8Array | undefined
  return async (waiting: Map<string, Came[]>, times: number[]) => {
    const header = await Rpc.finalized(crypto, rpc)
    if (last !== undefined && Bytes.equal(last, header.hash)) return
    for (const [log, receipts] of waiting) {
      const slots = Layout.logHeadSlots(crypto, Bytes.fromHex(log))
      const [word] = await Rpc.readWords(crypto, rpc, { contract: anchorLog, slots, header })
      const size = word === undefined ? 0 : Number(Records.uint64(word))
      const nowMs = performance.timeOrigin + performance.now()
      for (const one of receipts) if (one.index < size) times.push(nowMs - one.atMs)
      waiting.set(
        log,
        (waiting.get(log) ?? []).filter((one) => one.index >= size),
      )
    }
    last = header.hash
  }
}

type Name = 'daemon' | 'chain' | 'client'

function watchMemory(processes: { readonly [name in Name]: number | undefined }) {
  const names = Object.keys(processes) as Name[]
  const samples = new Map<Name, { readonly minute: number; readonly mib: number }[]>(names.map((name) => [name, []]))
  const startedMs = performance.now()
  const sample = () => {
    for (const name of names) {
      const mib = residentMiB(processes[name])
      if (mib !== undefined) samples.get(name)?.push({ minute: (performance.now() - startedMs) / 60_000, mib })
    }
  }
  sample()
  const timer = setInterval(sample, sampleMs)
  return {
    stop() {
      clearInterval(timer)
      sample()
      const memory = new Map([...samples].map(([name, list]) => [name, memoryOf(list)] as const))
      return { memory, samples: samples.get('daemon')?.length ?? 0 }
    },
  }
}

function memoryOf(samples: readonly { readonly minute: number; readonly mib: number }[]): Memory {
  const values = samples.map(({ mib }) => mib)
  const half = samples.slice(Math.floor(samples.length / 2))
  return {
    ...{ first: values[0] ?? 0, last: values.at(-1) ?? 0, peak: Math.max(0, ...values) },
    slope: slopeOf(half.map(({ minute, mib }) => [minute, mib] as const)),
  }
}

/** Least squares. */
function slopeOf(points: readonly (readonly [number, number])[]): number {
  const n = points.length
  if (n < 2) return 0
  const mean = (at: 0 | 1) => points.reduce((sum, point) => sum + point[at], 0) / n
  const [x, y] = [mean(0), mean(1)]
  const over = points.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0)
  const under = points.reduce((sum, [a]) => sum + (a - x) ** 2, 0)
  return under === 0 ? 0 : over / under
}

function residentMiB(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined
  try {
    const [, pages] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')
    return (Number(pages) * 4096) / 2 ** 20
  } catch {
    return undefined
  }
}

function timesOf(values: readonly number[]): Times {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN
  return { median: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? Number.NaN, count: sorted.length }
}

/** The first message of a child. */
function once<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as T))
    child.once('exit', (code) => reject(new Error(`a process of the load ended with ${code}`)))
  })
}

/** Asks it to end its chain too; a daemon that does not is killed. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.send('stop')
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000)
  await ended
  clearTimeout(timer)
}
