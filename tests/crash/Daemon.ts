/** Daemon.ts - starts, watches, kills and stops daemons as processes; keeps every byte that they print. */
import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** What a test tells a daemon. */
export type Order =
  | { readonly kind: 'clock'; readonly ms: number }
  /** `of`: only the databases in these folders of the home; default all. */
  | { readonly kind: 'disk'; readonly isFull: boolean; readonly of?: readonly string[] }
  | { readonly kind: 'memory' }
  | { readonly kind: 'stop' }

/** What a daemon tells a test. */
export type Told =
  | { readonly kind: 'ready'; readonly endpoints: Endpoints }
  | { readonly kind: 'failed'; readonly name: string; readonly code: string; readonly message: string }
  | { readonly kind: 'done'; readonly rss: number; readonly heapUsed: number }

export type Endpoints = { readonly gateway: string; readonly log: string; readonly chain: string }

/** A daemon's process. */
export type Running = {
  readonly pid: number
  readonly endpoints: Endpoints
  /** Ends the daemon alone, or it and its chain, at once. */
  readonly kill: (what: 'daemon' | 'group') => Promise<void>
  /** Politely, as a person would. */
  readonly stop: () => Promise<void>
  /** Gives an order; returns the memory in use after it. */
  readonly tell: (order: Order) => Promise<{ readonly rss: number; readonly heapUsed: number }>
  /** Everything printed so far. */
  readonly output: () => string
  readonly isAlive: () => boolean
}

export type Options = {
  readonly home: string
  readonly models: string
  readonly chainRpcUrl?: string
  /** Kills it so many milliseconds after its start, ready or not. */
  readonly killAfterMs?: number
  /** A command that runs the command after it. */
  readonly within?: readonly string[]
}

const program = join(import.meta.dirname, 'daemon.child.ts')
const startMs = 60_000
const stopMs = 20_000

/** A place for the homes of one test file, all output of its daemons, and the end of everything it started. */
export function createPlace(models: readonly ('tiny' | 'digits')[] = ['tiny', 'digits']) {
  const folder = mkdtempSync(join(tmpdir(), 'assay-fire-'))
  const modelsFolder = join(folder, 'models')
  // Copied: the folder of the repository may be worked on.
  for (const model of models) {
    const from = join(import.meta.dirname, '../../models', model)
    for (const file of readdirSync(from, { withFileTypes: true }))
      if (file.isFile()) cpSync(join(from, file.name), join(modelsFolder, model, file.name))
  }
  const groups: number[] = []
  const outputs: string[] = []
  return {
    folder,
    models: modelsFolder,
    newHome: () => mkdtempSync(join(folder, 'home-')),
    /** Everything that any daemon of this place printed. */
    output: () => outputs.join(''),
    async start(options: Omit<Options, 'models'>): Promise<Running> {
      return start({ ...options, models: modelsFolder }, groups, outputs)
    },
    close() {
      // A killed daemon leaves its chain behind; both are in the group that was made for them.
      for (const group of groups) endGroup(group)
      rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
    },
  }
}

export type Place = ReturnType<typeof createPlace>

async function start(options: Options, groups: number[], outputs: string[]): Promise<Running> {
  const { home, models, chainRpcUrl = '', within = [] } = options
  const [command, ...args] = [...within, process.execPath, '--expose-gc', program, home, models, chainRpcUrl]
  const child = spawn(command as string, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  const pid = child.pid as number
  groups.push(pid)
  const slot = outputs.push('') - 1
  const keep = (chunk: Buffer) => {
    outputs[slot] += chunk.toString('utf8')
  }
  child.stdout?.on('data', keep)
  child.stderr?.on('data', keep)
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const isAlive = () => child.exitCode === null && child.signalCode === null
  const kill = async (what: 'daemon' | 'group') => {
    if (what === 'daemon') child.kill('SIGKILL')
    else endGroup(pid)
    await exited
  }
  if (options.killAfterMs !== undefined) setTimeout(() => child.kill('SIGKILL'), options.killAfterMs)
  const told = await Promise.race([
    next(child, (message) => message.kind !== 'done'),
    exited.then(() => undefined),
    sleep(startMs, 'late' as const, { ref: false }),
  ])
  if (told === 'late') await kill('group')
  if (told === undefined || told === 'late') throw new KilledError(told === 'late', outputs[slot] as string)
  if (told.kind === 'failed') {
    await exited
    throw new StartFailedError(told.name, told.code, told.message)
  }
  if (told.kind !== 'ready') throw new Error('the child said something else')
  return {
    pid,
    endpoints: told.endpoints,
    kill,
    isAlive,
    output: () => outputs[slot] as string,
    async stop() {
      if (!isAlive()) return
      child.send({ kind: 'stop' } satisfies Order)
      const isLate = await Promise.race([exited.then(() => false), sleep(stopMs, true, { ref: false })])
      if (isLate) {
        await kill('group')
        throw new Error(`the daemon did not stop: ${outputs[slot]}`)
      }
    },
    async tell(order) {
      const answer = next(child, (message) => message.kind === 'done')
      child.send(order)
      return (await answer) as Extract<Told, { kind: 'done' }>
    },
  }
}

function next(child: ChildProcess, isWanted: (message: Told) => boolean): Promise<Told> {
  return new Promise((resolve) => {
    const listen = (message: Told) => {
      if (!isWanted(message)) return
      child.off('message', listen)
      resolve(message)
    }
    child.on('message', listen)
  })
}

/** Ends all processes of a group that a test made. */
export function endGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL')
  } catch {
    // Nobody of it is left.
  }
}

/** Asks until there is a value. */
export async function until<T>(
  what: string,
  read: () => Promise<T | undefined> | T | undefined,
  limitMs = 90_000,
): Promise<T> {
  const startedMs = performance.now()
  for (;;) {
    const value = await read()
    if (value !== undefined) return value
    if (performance.now() - startedMs > limitMs) throw new Error(`not in time: ${what}`)
    await sleep(100)
  }
}

/** The process ended before it was ready. */
export class KilledError extends Error {
  override readonly name = 'KilledError'
  constructor(isLate: boolean, output: string) {
    super(`${isLate ? 'not ready in time' : 'ended before it was ready'}: ${output.slice(-2000)}`)
  }
}

/** The daemon refused to start, with one of its typed errors. */
export class StartFailedError extends Error {
  override readonly name = 'StartFailedError'
  readonly kind: string
  readonly code: string
  constructor(kind: string, code: string, message: string) {
    super(`${kind} ${code}: ${message}`)
    this.kind = kind
    this.code = code
  }
}
