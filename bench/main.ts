/**
 * main.ts - runs benchmarks and reports them.
 *
 *     npm run bench                       all of them but `start`, a few minutes
 *     npm run bench -- receipt bundle     some of them
 *     npm run bench -- --quick            smaller inputs; goals that need the full input are not judged
 *     npm run -s bench -- --json          one JSON document
 *     npm run bench chain -- --minutes 10 the load of `chain` for as long as its goal says, instead of half a minute
 *     npm run bench start                 first start from a fresh clone with an empty cache: slow, needs a registry
 *
 * Each suite runs in a process of its own, so that memory and compiled code of one do not colour another. What the
 * figures mean: docs/performance.md.
 */
import { fork } from 'node:child_process'
import { parseArgs } from 'node:util'
import * as Machine from './Machine.ts'
import * as Measure from './Measure.ts'
import * as Report from './Report.ts'
import type { Result, Suite } from './Result.ts'

/** Suites with their time limit in seconds. */
const suites: Readonly<
  Record<string, { readonly load: () => Promise<{ run: Suite }>; readonly limitSeconds: number }>
> = {
  control: { load: () => import('./control.bench.ts'), limitSeconds: 60 },
  receipt: { load: () => import('./receipt.bench.ts'), limitSeconds: 300 },
  bundle: { load: () => import('./bundle.bench.ts'), limitSeconds: 300 },
  log: { load: () => import('./logGoals.bench.ts'), limitSeconds: 900 },
  chain: { load: () => import('./chain.bench.ts'), limitSeconds: 300 },
  anchor: { load: () => import('./anchor.bench.ts'), limitSeconds: 120 },
  engine: { load: () => import('./engine.bench.ts'), limitSeconds: 300 },
  gateway: { load: () => import('./gateway.bench.ts'), limitSeconds: 300 },
  start: { load: () => import('./start.bench.ts'), limitSeconds: 1200 },
}

/** Only when asked for by name. */
const slow = ['start']

type Answer = { readonly results: readonly Result[]; readonly consumed: number } | { readonly error: string }

type Ran = {
  readonly suite: string
  readonly seconds: number
  /** Cores that others kept busy on average while the suite ran. */
  readonly othersCores: number
  readonly answer: Answer
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean' },
    quick: { type: 'boolean' },
    suite: { type: 'string' },
    minutes: { type: 'string' },
  },
})
// `npm run bench --json` keeps the option for npm itself and tells the script by its environment.
const isJson = values.json ?? process.env.npm_config_json === 'true'
const isQuick = values.quick ?? process.env.npm_config_quick === 'true'
const minutes = Number(values.minutes ?? process.env.npm_config_minutes ?? 0)

if (values.suite !== undefined) await runSuite(values.suite)
else process.exitCode = await main()

async function main(): Promise<number> {
  if (!(minutes >= 0 && minutes <= 120)) {
    process.stderr.write('--minutes takes a number up to 120.\n')
    return 2
  }
  const unknown = positionals.filter((name) => !Object.hasOwn(suites, name))
  if (unknown.length > 0) {
    process.stderr.write(`There is no benchmark ${unknown.join(', ')}; there are ${Object.keys(suites).join(', ')}.\n`)
    return 2
  }
  const asked = positionals.length > 0 ? positionals : Object.keys(suites).filter((name) => !slow.includes(name))
  const before = Machine.load()
  const ran: Ran[] = []
  for (const suite of new Set(['control', ...asked])) {
    process.stderr.write(`bench: ${suite} ...\n`)
    const one = await spawnSuite(suite)
    ran.push(one)
    if ('error' in one.answer) process.stderr.write(`bench: ${suite} failed: ${one.answer.error}\n`)
    if (suite === 'control' && 'error' in one.answer) break
  }
  const results = ran.flatMap(({ answer }) => ('results' in answer ? answer.results : []))
  const failures = ran.flatMap(({ suite, answer }) => ('error' in answer ? [{ suite, error: answer.error }] : []))
  const document = {
    date: new Date().toISOString(),
    isQuick,
    machine: Machine.machine(),
    load: { before, after: Machine.load() },
    nodeVersion: process.version,
    versions: Machine.versions(),
    commit: Machine.commit(),
    suites: ran.map(({ suite, seconds, othersCores }) => ({ suite, seconds, othersCores })),
    results,
    failures,
  }
  process.stdout.write(isJson ? `${JSON.stringify(document, null, 2)}\n` : `${text(document)}\n`)
  // A goal that is missed is a finding, a suite that fell over is an error.
  return failures.length > 0 ? 1 : 0
}

function text(document: {
  readonly date: string
  readonly isQuick: boolean
  readonly machine: ReturnType<typeof Machine.machine>
  readonly load: { readonly before: readonly number[]; readonly after: readonly number[] }
  readonly nodeVersion: string
  readonly commit: string
  readonly suites: readonly Omit<Ran, 'answer'>[]
  readonly results: readonly Result[]
  readonly failures: readonly { readonly suite: string; readonly error: string }[]
}): string {
  const { machine, load, results, failures } = document
  const others = document.suites.map(({ suite, othersCores }) => `${suite} ${othersCores.toFixed(1)}`).join(', ')
  const judged = results.filter((result) => result.meets !== null && !result.name.startsWith('control'))
  return [
    Report.table(results),
    '',
    `${document.date}  ${document.isQuick ? 'quick' : 'full'}  Node.js ${document.nodeVersion}  commit ${document.commit}`,
    `${machine.model}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.platform}`,
    `load before ${load.before.join(' ')}, after ${load.after.join(' ')}; cores that others kept busy: ${others}`,
    `${judged.filter((result) => result.meets).length} of ${judged.length} judged goals met`,
    ...failures.map(({ suite, error }) => `FAILED ${suite}: ${error}`),
  ].join('\n')
}

/** Runs one suite in a child and ends it when it takes too long. */
async function spawnSuite(suite: string): Promise<Ran> {
  const { limitSeconds } = suites[suite] as (typeof suites)[string]
  const startedMs = performance.now()
  const busy = Machine.busySeconds()
  const args = ['--suite', suite, '--minutes', String(minutes), ...(isQuick ? ['--quick'] : [])]
  const child = fork(import.meta.filename, args, { stdio: ['ignore', 2, 'inherit', 'ipc'], serialization: 'advanced' })
  const timer = setTimeout(() => child.kill('SIGKILL'), (limitSeconds + 60 * minutes) * 1000)
  let answer: Answer | undefined
  let ownSeconds = 0
  child.on('message', (message: { readonly answer: Answer; readonly ownSeconds: number }) => {
    answer = message.answer
    ownSeconds = message.ownSeconds
  })
  const signal = await new Promise<NodeJS.Signals | null>((resolve) => child.on('exit', (_, why) => resolve(why)))
  clearTimeout(timer)
  const seconds = (performance.now() - startedMs) / 1000
  const othersCores = Math.max(0, (Machine.busySeconds() - busy - ownSeconds) / seconds)
  const error = signal === 'SIGKILL' ? `took longer than ${limitSeconds} s` : 'ended without results'
  return { suite, seconds, othersCores, answer: answer ?? { error } }
}

async function runSuite(name: string): Promise<void> {
  let answer: Answer
  try {
    const { run } = await (suites[name] as (typeof suites)[string]).load()
    answer = {
      results: await run({ isQuick, ...(minutes === 0 ? {} : { minutes }) }),
      consumed: Measure.consumedSoFar(),
    }
  } catch (error) {
    answer = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
  const { user, system } = process.cpuUsage()
  const ownSeconds = (user + system) / 1e6 + (Machine.childSeconds() ?? 0)
  process.send?.({ answer, ownSeconds }, () => process.exit())
}
