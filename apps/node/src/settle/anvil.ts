/**
 * anvil.ts - the embedded development chain: anvil as a child process that is watched, restarted and stopped with its
 * state written. One sequencer, no consensus: nothing here makes it more than a development chain.
 *
 * The last second of blocks is lost when the child is killed (more once the state is large); services that depend on a
 * transaction look at the chain again and send it again. After a restart only the newest state can be proven until new
 * blocks come.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdirSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Rpc } from 'assay/chain'
import { errors } from 'assay/protocol'
import { findAnvil } from './anvil-binary.ts'
import { endOrphan, forgetChild, rememberChild, residentBytes } from './anvil-process.ts'
import { isUnreadable, keepCopy, restoreCopy } from './anvil-state.ts'
import { lockFolder } from './folder-lock.ts'

/** "ASSY" in ASCII: not the 31337 of everybody's test chain, so that a wallet or a script cannot mistake one for the other. */
export const developmentChainId = 0x41535359n

/** How long things may take before they count as failed. */
const limits = Object.freeze({
  firstAnswerMs: 30_000, // loading the state of some 100,000 blocks takes seconds
  stopMs: 5_000, // so does writing it
  stallMs: 5_000, // five missed blocks
  silenceMs: 10_000, // no answer at all
  healthyMs: 30_000, // a run that lasted so long resets the back-off
  restarts: 8, // in a row without a healthy run
  backOffMs: 10_000,
  firstCopyMs: 3_000, // the state file is copied so soon after a start, and then so often
  copyMs: 30_000,
})

export type AnvilOptions = {
  /** Folder of the daemon; the chain lives in `<home>/chain`. */
  readonly home: string
  readonly chainId?: bigint
  /** Port on 127.0.0.1; by default a free one, on an address that cannot be guessed where the system has many. */
  readonly port?: number
  /** Seconds between blocks, default 1. */
  readonly blockTimeSeconds?: number
  /** Resident memory at which the child is restarted, default 1 GiB (it grows by some 250 kB a block and starts again below 100 MB). */
  readonly memoryLimitBytes?: number
  /** How long no answer at all is borne before a restart, default 10,000. */
  readonly silenceMs?: number
  /** Told about restarts and their reasons, one line each. */
  readonly onEvent?: (line: string) => void
}

/** A running development chain. */
export type DevelopmentChain = {
  readonly url: string
  readonly chainId: bigint
  /** Process id of the child of the moment; undefined between a crash and the restart. */
  readonly pid: () => number | undefined
  readonly status: () => { readonly state: 'running' | 'restarting' | 'failed' | 'stopped'; readonly restarts: number }
  /** Ends the child with its state written; safe to call twice. */
  readonly stop: () => Promise<void>
}

/**
 * Starts the chain of a home and waits for its first answer.
 *
 * Throws: `FolderInUseError`, `AnvilMissingError`, `AnvilError`.
 */
export async function startAnvil(options: AnvilOptions): Promise<DevelopmentChain> {
  const program = findAnvil()
  const folder = join(options.home, 'chain')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const unlock = lockFolder(folder)
  try {
    await endOrphan(folder)
    const place = options.port === undefined ? await freePlace() : { host: '127.0.0.1', port: options.port }
    const supervisor = new Supervisor(program, folder, place, options, unlock)
    await supervisor.start()
    return {
      url: supervisor.url,
      chainId: supervisor.chainId,
      pid: () => supervisor.pid(),
      status: () => supervisor.status(),
      stop: () => supervisor.stop(),
    }
  } catch (error) {
    unlock()
    throw error
  }
}

class Supervisor {
  readonly url: string
  readonly chainId: bigint
  readonly #program: string
  readonly #folder: string
  readonly #place: Place
  readonly #blockTimeSeconds: number
  readonly #memoryLimitBytes: number
  readonly #silenceMs: number
  readonly #onEvent: (line: string) => void
  readonly #unlock: () => void
  readonly #rpc: Rpc.Rpc
  readonly #stopping = new AbortController()
  #child: ChildProcess | undefined
  #exited: Promise<string> = Promise.resolve('')
  #watching: Promise<void> = Promise.resolve()
  #state: 'running' | 'restarting' | 'failed' | 'stopped' = 'restarting'
  #restarts = 0

  constructor(program: string, folder: string, place: Place, options: AnvilOptions, unlock: () => void) {
    this.url = `http://${place.host}:${place.port}`
    this.chainId = options.chainId ?? developmentChainId
    this.#program = program
    this.#folder = folder
    this.#place = place
    this.#blockTimeSeconds = options.blockTimeSeconds ?? 1
    this.#memoryLimitBytes = options.memoryLimitBytes ?? 1024 ** 3
    this.#silenceMs = options.silenceMs ?? limits.silenceMs
    this.#onEvent = options.onEvent ?? (() => {})
    this.#unlock = unlock
    this.#rpc = Rpc.create({ url: this.url, chainId: this.chainId, timeoutMs: 2_000, retries: 0 })
  }

  pid(): number | undefined {
    return this.#child?.pid
  }

  status() {
    return { state: this.#state, restarts: this.#restarts }
  }

  async start(): Promise<void> {
    try {
      await this.#spawn()
    } catch (error) {
      await this.#endChild()
      throw error
    }
    this.#state = 'running'
    this.#watching = this.#watch()
  }

  async stop(): Promise<void> {
    if (this.#state === 'stopped') return
    this.#state = 'stopped'
    this.#stopping.abort()
    await this.#watching
    await this.#endChild()
    forgetChild(this.#folder)
    this.#unlock()
  }

  /** Starts the child, from a copy of its state if it cannot read the state itself. */
  async #spawn(): Promise<void> {
    const state = join(this.#folder, 'state.json')
    for (;;) {
      try {
        return await this.#spawnOnce(state)
      } catch (error) {
        if (!(error instanceof AnvilError) || !isUnreadable(error.message) || !restoreCopy(state)) throw error
        this.#onEvent('development chain: its state cannot be read; an earlier copy is used and newer blocks are lost')
      }
    }
  }

  /** Starts the child and waits until it answers as the chain that it should be. */
  async #spawnOnce(state: string): Promise<void> {
    const child = spawn(this.#program, this.#flags(state), { stdio: ['ignore', 'ignore', 'pipe'] })
    let complaint = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      complaint = (complaint + chunk.toString('utf8')).slice(-2_000)
    })
    this.#child = child
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message))
      child.once('exit', (code, signal) =>
        resolve(`exit ${signal ?? code}${complaint === '' ? '' : `: ${complaint.trim()}`}`),
      )
    })
    let gone: string | undefined
    void this.#exited.then((why) => {
      gone = why
    })
    if (child.pid !== undefined) rememberChild(this.#folder, { pid: child.pid, state })
    const startedMs = performance.now()
    for (;;) {
      if (gone !== undefined) throw new AnvilError('anvil-exited', gone)
      if (this.#stopping.signal.aborted) throw new AnvilError('anvil-exited', 'stopped while starting')
      try {
        await this.#rpc.assertChain()
        return
      } catch (error) {
        // Another program on the port: waiting would not help.
        if (!(error instanceof Rpc.RequestError)) throw error
        if (performance.now() - startedMs > limits.firstAnswerMs)
          throw new AnvilError('anvil-silent', 'no first answer')
      }
      await sleep(25)
    }
  }

  #flags(state: string): string[] {
    return [
      ...['--host', this.#place.host, '--port', String(this.#place.port), '--chain-id', String(this.chainId)],
      ...['--block-time', String(this.#blockTimeSeconds), '--slots-in-an-epoch', '1'],
      // Not --preserve-historical-states: each state repeats all block hashes, 1 GB on disk after an hour of blocks.
      ...['--state', state, '--state-interval', String(this.#stateIntervalSeconds(state)), '--prune-history', '256'],
      // No account with a published key has money here: the operator's own is funded instead.
      ...['--accounts', '0', '--no-cors', '--quiet'],
    ]
  }

  /** The whole state is written anew each time: the larger it is, the more rarely, about 10 MB a second at most. */
  #stateIntervalSeconds(state: string): number {
    const bytes = statSync(state, { throwIfNoEntry: false })?.size ?? 0
    return Math.min(60, Math.max(1, Math.ceil(bytes / 10_000_000)))
  }

  /** Looks once a second until stopped; restarts the child when it is gone, silent, stalled or too large. */
  async #watch(): Promise<void> {
    let failures = 0
    while (!this.#stopping.signal.aborted) {
      const startedMs = performance.now()
      const reason = await this.#watchOneChild()
      if (reason === undefined) return
      if (performance.now() - startedMs > limits.healthyMs) failures = 0
      this.#onEvent(`development chain: ${reason}; restarting`)
      this.#state = 'restarting'
      for (;;) {
        await this.#endChild()
        if (++failures > limits.restarts) {
          this.#state = 'failed'
          this.#onEvent(`development chain: given up after ${limits.restarts} restarts`)
          return
        }
        await this.#pause(Math.min(limits.backOffMs, 100 * 2 ** (failures - 1)))
        if (this.#stopping.signal.aborted) return
        this.#restarts++
        try {
          await this.#spawn()
          break
        } catch (error) {
          this.#onEvent(`development chain: ${(error as Error).message.split('\n')[0]}`)
        }
      }
      this.#state = 'running'
    }
  }

  /** Returns why the child must be replaced, or undefined when the supervisor is stopping. */
  async #watchOneChild(): Promise<string | undefined> {
    let block = -1n
    let movedMs = performance.now()
    let answeredMs = movedMs
    let nudges = 0
    let copyAtMs = movedMs + limits.firstCopyMs
    let gone: string | undefined
    void this.#exited.then((why) => {
      gone = why
    })
    const stallMs = limits.stallMs * this.#blockTimeSeconds
    for (;;) {
      await Promise.race([this.#pause(1_000), this.#exited])
      if (this.#stopping.signal.aborted) return undefined
      if (gone !== undefined) return gone
      const size = this.#child?.pid === undefined ? undefined : residentBytes(this.#child.pid)
      if (size !== undefined && size > this.#memoryLimitBytes) return `uses ${size} bytes of memory`
      try {
        const now = BigInt((await this.#rpc.request('eth_blockNumber')) as string)
        answeredMs = performance.now()
        if (answeredMs > copyAtMs && keepCopy(join(this.#folder, 'state.json'))) copyAtMs = answeredMs + limits.copyMs
        // A reorganisation may also lower it: any change is life.
        if (now !== block) {
          block = now
          movedMs = answeredMs
          nudges = 0
        } else if (answeredMs - movedMs > stallMs) {
          if (nudges >= 3) return 'makes no blocks'
          nudges++
          movedMs = answeredMs
          this.#onEvent('development chain: no block in time; asking for one')
          await this.#rpc.request('evm_mine')
        }
      } catch {
        if (performance.now() - answeredMs > this.#silenceMs) return 'does not answer'
      }
    }
  }

  /** Ends the child: politely, so that it writes its state; by force when it does not go. */
  async #endChild(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    const isGone = await Promise.race([this.#exited.then(() => true), sleep(limits.stopMs, false, { ref: false })])
    if (isGone) return
    child.kill('SIGKILL')
    await this.#exited
  }

  #pause(ms: number): Promise<void> {
    return sleep(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined)
  }
}

type Place = { readonly host: string; readonly port: number }

/**
 * A free port on a loopback address drawn at random. The child takes WebSockets from pages of any origin and asks nobody who
 * they are; a page that would have to try 2^24 addresses does not find it. macOS has 127.0.0.1 alone.
 */
async function freePlace(): Promise<Place> {
  const host = `127.${randomInt(1, 255)}.${randomInt(0, 256)}.${randomInt(1, 255)}`
  try {
    return { host, port: await freePort(host) }
  } catch {
    return { host: '127.0.0.1', port: await freePort('127.0.0.1') }
  }
}

async function freePort(host: string): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, host, resolve)
  })
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new AnvilError('anvil-exited', 'no free port')
  return address.port
}

/** The development chain does not start. */
export class AnvilError extends errors.UnavailableError<'anvil-exited' | 'anvil-silent'> {
  override readonly name = 'AnvilError'
  constructor(code: 'anvil-exited' | 'anvil-silent', why: string) {
    super(code, 'The development chain did not start.', { facts: [`Reason: ${why}`] })
  }
}
