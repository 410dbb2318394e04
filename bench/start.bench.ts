/**
 * start.bench.ts - from a fresh clone to a verdict, as a newcomer meets it: `npm start -- --once --json` with an empty
 * npm cache, an empty home folder and no installed packages, and then again. Needs a package registry.
 */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import * as Machine from './Machine.ts'
import * as Result from './Result.ts'

const root = join(import.meta.dirname, '..')
const limitMs = 400_000

type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string }
type Timed = Ended & { readonly wall: number; readonly cpu: number | undefined }

export const run: Result.Suite = async ({ isQuick }) => {
  const folder = mkdtempSync(join(tmpdir(), 'assay-bench-start-'))
  try {
    const clone = join(folder, 'assay')
    execFileSync('git', ['clone', '--local', '--quiet', root, clone], { stdio: ['ignore', 2, 2] })
    if (existsSync(join(clone, 'node_modules'))) throw new Error('The clone brought installed packages with it.')
    const env = environment(folder)
    const first = await start(clone, env)
    const later: Timed[] = []
    for (let i = 0; i < (isQuick ? 1 : 3) && first.code === 0; i++) later.push(await start(clone, env))
    return [
      line('start: first, to verdict', [first], 90, 'clone of HEAD, empty npm cache, empty home folder'),
      line('start: later, to verdict', later, 6, 'the same clone and home folder again'),
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  }
}

function line(name: string, runs: readonly Timed[], atMost: number, input: string): Result.Result {
  const problem = runs.length === 0 ? 'not run, because the first start failed' : runs.map(problemOf).find(Boolean)
  const cpu = runs.flatMap((one) => (one.cpu === undefined ? [] : [one.cpu]))
  const timing = runs.length === 0 ? undefined : Result.timing(runs.map(({ wall }, i) => ({ wall, cpu: cpu[i] ?? 0 })))
  const isTimed = timing !== undefined && problem === undefined
  const result = Result.of({
    ...{ name, unit: 's wall', goal: { atMost }, input, samples: runs.length },
    ...(isTimed ? { timing, value: timing.wall.median / 1e6 } : { value: null }),
    note: problem ?? 'until the process ended with every embedded verdict MEETS; CPU is that of all its processes',
  })
  // A start that fails is slower than any goal; one that was not tried says nothing.
  const meets = isTimed || runs.length === 0 ? result.meets : false
  return { ...result, meets, cpuMicroseconds: isTimed && cpu.length === runs.length ? timing.cpu : null }
}

/** The last line of the output must hold calls that all meet the policy `embedded`. */
function problemOf({ code, stdout, stderr }: Ended): string | undefined {
  const said = stderr.trim().split('\n').slice(-3).join(' | ')
  if (code !== 0) return `ended with ${code ?? 'a signal'}: ${said.replaceAll(tmpdir(), '')}`
  try {
    const last = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as {
      readonly calls: readonly { readonly verdicts: { readonly embedded: { readonly outcome: string } } }[]
    }
    const outcomes = last.calls.map((call) => call.verdicts.embedded.outcome)
    const isGood = outcomes.length > 0 && outcomes.every((outcome) => outcome === 'MEETS')
    return isGood ? undefined : `verdicts: ${outcomes.join(', ') || 'none'}`
  } catch {
    return 'the last line of its output is no document'
  }
}

/** This machine's settings without what an outer npm or this checkout adds. */
function environment(folder: string): NodeJS.ProcessEnv {
  const home = join(folder, 'home')
  mkdirSync(home)
  const env: NodeJS.ProcessEnv = {}
  for (const [name, value] of Object.entries(process.env)) {
    if (/^npm_(?!config_(registry|userconfig|globalconfig|noproxy|https?_proxy|cafile)$)/i.test(name)) continue
    if (/^(INIT_CWD|NODE_OPTIONS|NODE_CHANNEL_|ASSAY_)/.test(name)) continue
    env[name] = value
  }
  // Where packages come from is a setting of the machine, not something that the newcomer lacks.
  const settings = join(homedir(), '.npmrc')
  if (env.npm_config_userconfig === undefined && existsSync(settings)) env.npm_config_userconfig = settings
  env.PATH = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((part) => !part.startsWith(root))
    .join(delimiter)
  return { ...env, HOME: home, ASSAY_HOME: join(home, '.assay'), npm_config_cache: join(folder, 'npm-cache') }
}

async function start(clone: string, env: NodeJS.ProcessEnv): Promise<Timed> {
  const before = Machine.childSeconds()
  const startedMs = performance.now()
  const ended = await npmStart(clone, env)
  const wall = (performance.now() - startedMs) * 1000
  const after = Machine.childSeconds()
  const cpu = before === undefined || after === undefined ? undefined : (after - before) * 1e6
  return { ...ended, wall, cpu }
}

function npmStart(clone: string, env: NodeJS.ProcessEnv): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const args = ['start', '--silent', '--', '--once', '--json']
    // In a group of its own, so that whatever it leaves running ends with it.
    const child = spawn('npm', args, { cwd: clone, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    const output = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (chunk: Buffer) => {
        // The end is what counts.
        output[name] = `${output[name]}${chunk}`.slice(-1_000_000)
      })
    }
    const endGroup = (signal: NodeJS.Signals) => {
      try {
        process.kill(-(child.pid as number), signal)
      } catch {
        // all of them have ended
      }
    }
    const timer = setTimeout(() => endGroup('SIGKILL'), limitMs)
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(timer)
      endGroup('SIGTERM')
      resolve({ code, ...output })
    })
  })
}
