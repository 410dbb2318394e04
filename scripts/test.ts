/**
 * test.ts - runs the tests in tiers and adds them up.
 *
 *     npm test                    quick, contracts, whole (what starts chains and daemons or kills processes)
 *     npm test -- quick           quick only: under a minute on two cores
 *     npm test -- src/protocol    quick tests whose path contains the words given
 *     npm run test:contracts      contracts only (scripts/test-contracts.ts)
 *     npm run test:long           everything, with long property tests and 200 kills instead of 20
 */
import { spawn } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'

type Counts = { readonly passed: number; readonly failed: number; readonly skipped: number }
type Tier = { readonly name: string; readonly counts: Counts; readonly seconds: number; readonly note?: string }

const root = join(import.meta.dirname, '..')
const none: Counts = { passed: 0, failed: 0, skipped: 0 }

/** Runs a program, its output shown as it comes; returns exit code and, on request, what it printed. */
function execute(
  command: string,
  args: readonly string[],
  options: { cwd: string; env?: NodeJS.ProcessEnv; keepOutput?: boolean },
) {
  return new Promise<{ code: number; output: string }>((resolve) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', options.keepOutput ? 'pipe' : 'inherit', 'inherit'],
    })
    let output = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk
      process.stdout.write(chunk)
    })
    child.on('error', (error) => {
      console.error(`test: could not start ${command}: ${error.message}`)
      resolve({ code: 1, output })
    })
    child.on('close', (code) => resolve({ code: code ?? 1, output }))
  })
}

/** Test files of the tree, relative to the root, sorted. */
function filesOf(isWanted: (path: string) => boolean): string[] {
  const patterns = ['src', 'apps', 'tests', 'contracts', 'models', 'scripts', 'bench', 'examples'].flatMap((folder) => [
    `${folder}/**/*.test.ts`,
    `${folder}/**/*.fuzz.ts`,
  ])
  return globSync(patterns, { cwd: root, exclude: (name) => /(^|\/)(node_modules|dist|out|cache)$/.test(String(name)) })
    .map((path) => path.replaceAll('\\', '/'))
    .filter(isWanted)
    .sort()
}

/** What one `node --test` is given beside its files. */
type NodeOptions = {
  readonly timeoutMs: number
  readonly fuzzRuns?: number
  readonly crashRounds?: number
  readonly schedules?: number
  readonly faultFiles?: number
}

/**
 * One `node --test`. A run that ends without counts, or fails without a failed test (a crash of the runner, a file that does not load, a
 * test that ends the process), counts as one failure.
 */
async function nodeTest(files: readonly string[], args: readonly string[], options: NodeOptions): Promise<Counts> {
  const folder = mkdtempSync(join(tmpdir(), 'assay-test-'))
  const countsFile = join(folder, 'counts')
  const isGiven = (name: string, value: number | undefined) =>
    value === undefined ? {} : { [name]: process.env[name] ?? String(value) }
  const reporter = '--test-reporter=./scripts/reporter.ts'
  const { code } = await execute(
    process.execPath,
    ['--test', `--test-timeout=${options.timeoutMs}`, reporter, ...args, ...files],
    {
      cwd: root,
      env: {
        // What is compiled once need not be compiled in the next process.
        NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/compiled'),
        ASSAY_TEST_COUNTS: countsFile,
        ...isGiven('ASSAY_FUZZ_RUNS', options.fuzzRuns),
        ...isGiven('ASSAY_CRASH_ROUNDS', options.crashRounds),
        ...isGiven('ASSAY_SCHEDULES', options.schedules),
        ...isGiven('ASSAY_FAULT_FILES', options.faultFiles),
      },
    },
  )
  const isWhole = existsSync(countsFile)
  const counts: Counts = isWhole ? JSON.parse(readFileSync(countsFile, 'utf8')) : none
  rmSync(folder, { recursive: true, force: true })
  if (!isWhole) console.log(`test: ended without totals: ${files.join(' ')}`)
  return (code !== 0 || !isWhole) && counts.failed === 0 ? { ...counts, failed: 1 } : counts
}

/** Runs jobs, at most `width` at a time, and adds up what they count. */
async function tierOf(name: string, width: number, jobs: readonly (() => Promise<Counts>)[]): Promise<Tier> {
  const startedMs = performance.now()
  const waiting = [...jobs]
  const done: Counts[] = []
  const worker = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) done.push(await job())
  }
  await Promise.all(Array.from({ length: width }, worker))
  const sum = (key: keyof Counts) => done.reduce((total, counts) => total + counts[key], 0)
  const counts = { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') }
  return { name, counts, seconds: (performance.now() - startedMs) / 1000 }
}

/** Each file in a process of its own, one after the other. */
function runAlone(name: string, files: readonly string[], options: NodeOptions): Promise<Tier> {
  if (files.length === 0) return Promise.resolve({ name, counts: none, seconds: 0, note: 'no files' })
  console.log(`\n== ${name}: ${files.length} files`)
  return tierOf(name, 1, [() => nodeTest(files, ['--test-concurrency=1'], options)])
}

/**
 * Files that share processes, two processes at a time: to load what nearly all of them import takes longer than most of them run.
 * A hook for each test at the root of a file would be a hook for each test of its neighbours: such a file stays alone.
 */
function runShared(name: string, files: readonly string[], options: NodeOptions): Promise<Tier> {
  console.log(`\n== ${name}: ${files.length} files`)
  const alone = files.filter((file) => hooksEachTest(file))
  const shared = files.filter((file) => !alone.includes(file))
  const count = Math.ceil(shared.length / filesTogether)
  // Dealt out like cards: neighbours in a folder tend to be slow together.
  const hands = Array.from({ length: count }, (_, hand) => shared.filter((_, i) => i % count === hand))
  const groups = [...hands, ...alone.map((file) => [file])]
  return tierOf(
    name,
    2,
    groups.map((group) => () => nodeTest(group, ['--test-isolation=none'], options)),
  )
}

/** Large enough that loading is a small part, small enough that two processes end at about the same time. */
const filesTogether = 12

/** Whether a file, or what it imports of scenes, has `beforeEach` or `afterEach` outside of any suite. */
function hooksEachTest(file: string, seen: Set<string> = new Set()): boolean {
  if (seen.has(file)) return false
  seen.add(file)
  const text = readFileSync(join(root, file), 'utf8')
  // Alone in a process it still hides its own tests; in a shared one it would hide its neighbours' too.
  if (/^(before|after)Each\(/m.test(text) || /\b(test|it|describe)\.only\(|\bonly: true/.test(text)) return true
  const scenes = [...text.matchAll(/(?:from|import) '(\.[^']*\.t\.ts)'/g)].map(([, path]) => path as string)
  return scenes.some((path) => hooksEachTest(join(dirname(file), path), seen))
}

/** The forge binary of this machine, when its package is installed. */
function findForge(): string | undefined {
  const cpu = process.arch === 'x64' ? 'amd64' : process.arch
  const path = join(root, `node_modules/@foundry-rs/forge-${process.platform}-${cpu}/bin/forge`)
  return existsSync(path) ? path : undefined
}

async function runContracts(): Promise<Tier> {
  const name = 'contracts'
  if (!existsSync(join(root, 'contracts/foundry.toml')))
    return { name, counts: none, seconds: 0, note: 'no contracts/foundry.toml' }
  const forge = findForge()
  if (forge === undefined) {
    const note = `NOT RUN: no forge for ${process.platform}-${process.arch} among the installed packages`
    console.log(`\n!! contracts ${note}`)
    return { name, counts: { ...none, skipped: 1 }, seconds: 0, note }
  }
  console.log('\n== contracts: forge test')
  const startedMs = performance.now()
  // The compiler is a script started through `env node`: it must find this Node.js first.
  const path = `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ''}`
  const { code, output } = await execute(forge, ['test', '--offline', '--color=never'], {
    cwd: join(root, 'contracts'),
    env: { PATH: path },
    keepOutput: true,
  })
  const totals = /(\d+) tests passed, (\d+) failed, (\d+) skipped \(/.exec(output)
  const counts = totals ? { passed: Number(totals[1]), failed: Number(totals[2]), skipped: Number(totals[3]) } : none
  const seconds = (performance.now() - startedMs) / 1000
  return { name, seconds, counts: code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts }
}

/** What starts chains and daemons, or kills processes: real, and too slow for every save. */
const isWhole = (path: string) =>
  /^(tests\/(e2e|crash|fire|schedules|tidy)|contracts\/driver|apps\/node\/src\/settle)\//.test(path) ||
  // Tidy tests are what `npm run check` runs; the last three wait for a password’s work, a package manager, and test runs of their own.
  /(^|[/.])(chain|crash|daemon|process|Sealed|bootstrap|runner)\.test\.ts$/.test(path)
/** What kills processes, runs schedules or compares with contracts again and again: in a long run it has a tier of its own, with more rounds. */
const isRepeated = (path: string) =>
  /(^|\/)(crash|schedules|mirror|schedules\/anvil|driver\/faults)\.test\.ts$/.test(path)

async function main(): Promise<number> {
  const given = process.argv.slice(2)
  const flags = new Set(given.filter((word) => word.startsWith('--')))
  const words = given.filter((word) => !word.startsWith('--'))
  const unknown = [...flags].filter((flag) => flag !== '--long')
  if (unknown.length > 0) {
    console.error(`test: unknown ${unknown.join(' ')}; there are: quick, --long, or parts of paths`)
    return 2
  }
  const paths = words.filter((word) => word !== 'quick')
  const isEverything = flags.size === 0 && words.length === 0
  const isLongRun = flags.has('--long')

  const tiers: Tier[] = []
  const files =
    paths.length === 0
      ? filesOf((path) => !isWhole(path))
      : filesOf((path) => paths.some((part) => path.includes(part)))
  if (files.length === 0) {
    console.error(`test: no test file matches ${paths.join(' ')}`)
    return 2
  }
  const timeoutMs = isLongRun ? 1_800_000 : 180_000
  // What is asked for by name may be what starts chains and kills processes.
  const run = files.some(isWhole) ? runAlone : runShared
  tiers.push(await run('quick', files, { timeoutMs, ...(isLongRun ? { fuzzRuns: 5_000 } : {}) }))
  if (isEverything || isLongRun) tiers.push(await runContracts())
  // Whole-system tests start several processes each: one file at a time on two cores.
  if (isEverything || isLongRun)
    tiers.push(
      await runAlone(
        'whole',
        filesOf((path) => isWhole(path) && !(isLongRun && isRepeated(path))),
        { timeoutMs: 600_000 },
      ),
    )
  if (isLongRun)
    tiers.push(
      await runAlone('long', filesOf(isRepeated), {
        timeoutMs: 7_200_000,
        crashRounds: 200,
        schedules: 5_000,
        faultFiles: 100_000,
      }),
    )

  console.log('')
  for (const { name, counts, seconds, note } of tiers) {
    const rest = `${counts.skipped > 0 ? `, ${counts.skipped} not run` : ''}${note === undefined ? '' : ` - ${note}`}`
    console.log(
      `${name.padEnd(10)} ${seconds.toFixed(1).padStart(7)} s  ${counts.passed} passed, ${counts.failed} failed${rest}`,
    )
  }
  const sum = (key: keyof Counts) => tiers.reduce((total, tier) => total + tier.counts[key], 0)
  const skipped = sum('skipped')
  console.log(`${sum('passed')} passed, ${sum('failed')} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  return sum('failed') > 0 ? 1 : 0
}

process.exitCode = await main()
