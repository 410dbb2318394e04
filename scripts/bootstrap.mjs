// Installs what is missing, then runs a file of this project under Node.js 24.
//   node scripts/bootstrap.mjs prod|all <file> [arguments]
// `prod` is what the daemon needs; `all` adds what the tests and checks need. Plain syntax, no dependency: it must run on
// every Node.js from 18 on, in a fresh clone. All its own output goes to stderr; stdout belongs to the file it runs.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fail, find, run } from './node24.mjs'
import { slim } from './slim.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, 'node_modules')
const stampFile = join(modules, '.assay-install.json')
const lockFolder = join(root, '.bootstrap-lock')
const WAIT_LIMIT_MS = 15 * 60_000 // another install on a slow line may take minutes; past this it hangs

const say = (line) => process.stderr.write(`assay: ${line}\n`)
const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

/** What an installed tree must have been made from to count as current. */
function wanted() {
  const lock = readFileSync(join(root, 'package-lock.json'))
  return { lock: createHash('sha256').update(lock).digest('hex'), platform: `${process.platform}-${process.arch}` }
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, 'utf8'))
  } catch {
    return undefined
  }
}

function isCurrent(set) {
  const stamp = readStamp()
  const now = wanted()
  return (
    Boolean(stamp) &&
    stamp.lock === now.lock &&
    stamp.platform === now.platform &&
    (stamp.set === 'all' || stamp.set === set)
  )
}

// ---- one install at a time: a folder that appears with its owner's pid inside, by rename, so it is never seen half made

function ownerOf(folder) {
  try {
    return Number(readFileSync(join(folder, 'pid'), 'utf8'))
  } catch {
    return 0
  }
}

function isAlive(pid) {
  if (!pid) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

async function acquire() {
  const mine = `${lockFolder}-${process.pid}`
  const startedMs = Date.now()
  let told = false
  mkdirSync(mine, { recursive: true })
  writeFileSync(join(mine, 'pid'), String(process.pid))
  for (;;) {
    try {
      renameSync(mine, lockFolder)
      return
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST', 'EPERM'].includes(error.code)) throw error
    }
    const owner = ownerOf(lockFolder)
    if (owner !== 0 && !isAlive(owner)) {
      // Left by a process that died. Move it aside first: of several that try, one succeeds.
      const aside = `${mine}-stale`
      try {
        renameSync(lockFolder, aside)
        if (ownerOf(aside) === owner) rmSync(aside, { recursive: true, force: true })
        else renameSync(aside, lockFolder)
      } catch {
        // somebody else moved it; look again
      }
      continue
    }
    if (!told) say(`another process (pid ${owner}) is installing; waiting for it`)
    told = true
    if (Date.now() - startedMs > WAIT_LIMIT_MS) {
      rmSync(mine, { recursive: true, force: true })
      fail(
        `waited 15 minutes for the install of pid ${owner}. If it hangs, end it, remove ${lockFolder} and try again.`,
      )
    }
    await sleep(300)
  }
}

function release() {
  if (ownerOf(lockFolder) === process.pid) rmSync(lockFolder, { recursive: true, force: true })
}

// ---- the install

function npmCommand() {
  const cli = process.env.npm_execpath
  if (cli && /npm-cli\.c?js$/.test(cli) && existsSync(cli)) return [process.execPath, [cli]]
  return ['npm', []]
}

function npmInstall(set) {
  // `npm install`, not `npm ci`: ci refuses a lock that was written where another platform's optional binaries were not on offer.
  // --no-save leaves the lock as it was committed.
  const options = [
    'install',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--no-save',
    '--prefer-offline',
    '--loglevel=error',
    '--include=optional',
  ]
  options.push(set === 'all' ? '--include=dev' : '--omit=dev')
  const [command, prefix] = npmCommand()
  const startedMs = Date.now()
  return new Promise((done) => {
    const child = spawn(command, prefix.concat(options), { cwd: root, stdio: ['ignore', 2, 2] })
    const progress = setInterval(
      () => say(`still installing, ${Math.round((Date.now() - startedMs) / 1000)} s`),
      15_000,
    )
    const stop = (signal) => child.kill(signal)
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
    for (const signal of signals) process.on(signal, stop)
    const finish = (problem) => {
      clearInterval(progress)
      for (const signal of signals) process.removeListener(signal, stop)
      done(problem)
    }
    child.on('error', (error) =>
      finish(error.code === 'ENOENT' ? 'npm was not found. Install Node.js with npm and try again.' : error.message),
    )
    child.on('exit', (code, signal) =>
      finish(
        code === 0 ? undefined : `npm install ended with ${signal || `exit code ${code}`} (its message is above).`,
      ),
    )
  })
}

async function install(wantedSet) {
  const before = readStamp()
  const now = wanted()
  // A tree that already has the tools for tests keeps them.
  const set =
    wantedSet === 'all' || (before && before.set === 'all') || existsSync(join(modules, '@biomejs', 'biome'))
      ? 'all'
      : 'prod'
  // Another platform's tree (a checkout shared with a container) was slimmed for that platform: start over.
  if (before && before.platform !== now.platform) rmSync(modules, { recursive: true, force: true })
  say(
    `installing the packages named in package-lock.json (${set === 'all' ? 'everything' : 'without test tools'}); the first time takes a minute or two`,
  )
  rmSync(stampFile, { force: true })
  const startedMs = Date.now()
  const problem = await npmInstall(set)
  if (problem) return problem
  slim(root)
  writeFileSync(stampFile, `${JSON.stringify({ lock: now.lock, set, platform: now.platform })}\n`)
  say(`installed in ${Math.round((Date.now() - startedMs) / 1000)} s`)
  return undefined
}

async function main() {
  const [set, file, ...args] = process.argv.slice(2)
  if ((set !== 'prod' && set !== 'all') || !file) fail('usage: node scripts/bootstrap.mjs prod|all <file> [arguments]')
  const target = join(root, file)
  if (!existsSync(target) || !statSync(target).isFile()) fail(`there is no ${file} in this checkout`)
  if (!isCurrent(set)) {
    await acquire()
    let problem
    try {
      if (!isCurrent(set)) problem = await install(set)
    } finally {
      release()
    }
    if (problem)
      fail(
        `${problem}\n  Check the network and the free disk space (about 1 GB while installing) and run the same command again.`,
      )
  }
  let node
  try {
    node = find(root)
  } catch (error) {
    fail(error.message)
  }
  run(node, target, args)
}

await main()
