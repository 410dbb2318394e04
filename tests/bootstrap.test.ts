/** The way in, tried on a copy of its scripts with a stand-in for npm that counts how often it is called. */
import assert from 'node:assert/strict'
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'

const repository = join(import.meta.dirname, '..')

const standInNpm = `
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
appendFileSync('calls', process.argv.slice(2).join(' ') + '\\n')
await new Promise((done) => setTimeout(done, 300))
if (process.env.NPM_FAILS) process.exit(3)
mkdirSync('node_modules', { recursive: true })
if (process.argv.includes('--include=dev')) mkdirSync('node_modules/@biomejs/biome', { recursive: true })
process.stdout.write('npm talks on stdout\\n')
`

/** A checkout with only the scripts, a lock and a program that shows its arguments. */
function makeCheckout(): string {
  const folder = mkdtempSync(join(tmpdir(), 'assay-bootstrap-'))
  mkdirSync(join(folder, 'scripts'))
  for (const name of ['bootstrap.mjs', 'node24.mjs', 'slim.mjs'])
    cpSync(join(repository, 'scripts', name), join(folder, 'scripts', name))
  mkdirSync(join(folder, 'npm'))
  writeFileSync(join(folder, 'npm/npm-cli.js'), standInNpm)
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder, 'package-lock.json'), '{}')
  writeFileSync(
    join(folder, 'main.ts'),
    `const words: string[] = process.argv.slice(2)
if (words.includes('--serve')) {
  process.on('SIGTERM', () => process.exit(7))
  setInterval(() => {}, 1000)
}
if (words.includes('--fail')) process.exitCode = 5
console.log(JSON.stringify({ words, isMain: import.meta.main, node: process.version }))
`,
  )
  return folder
}

const environment = (folder: string, more: NodeJS.ProcessEnv = {}) => ({
  ...process.env,
  npm_execpath: join(folder, 'npm/npm-cli.js'),
  NODE_OPTIONS: '',
  ...more,
})

function run(folder: string, args: readonly string[], more?: NodeJS.ProcessEnv): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, ['scripts/bootstrap.mjs', ...args], {
    cwd: folder,
    encoding: 'utf8',
    env: environment(folder, more),
  })
}

const callsOf = (folder: string) =>
  existsSync(join(folder, 'calls')) ? readFileSync(join(folder, 'calls'), 'utf8').trim().split('\n') : []

describe('bootstrap', () => {
  test('installs once, passes arguments and exit code on, and leaves stdout to the program', () => {
    const folder = makeCheckout()
    const first = run(folder, ['prod', 'main.ts', 'up', '--once', '--fail'])
    assert.equal(first.status, 5)
    assert.deepEqual(JSON.parse(first.stdout), {
      words: ['up', '--once', '--fail'],
      isMain: true,
      node: process.version,
    })
    assert.match(first.stderr, /installing/)
    assert.equal(run(folder, ['prod', 'main.ts']).stderr, '')
    assert.equal(callsOf(folder).length, 1)
    assert.match(callsOf(folder)[0] ?? '', /^install --ignore-scripts .*--omit=dev$/)
    assert.equal(existsSync(join(folder, '.bootstrap-lock')), false)
    rmSync(folder, { recursive: true })
  })

  test('adds the test tools when they are wanted, and never takes them away again', () => {
    const folder = makeCheckout()
    for (const set of ['prod', 'all', 'prod']) run(folder, [set, 'main.ts'])
    assert.deepEqual(
      callsOf(folder).map((call) => call.split(' ').at(-1)),
      ['--omit=dev', '--include=dev'],
    )
    writeFileSync(join(folder, 'package-lock.json'), '{"changed":true}')
    run(folder, ['prod', 'main.ts'])
    assert.match(callsOf(folder)[2] ?? '', /--include=dev$/)
    rmSync(folder, { recursive: true })
  })

  test('two at once install once; what a dead process left behind does not stop them', async () => {
    const folder = makeCheckout()
    mkdirSync(join(folder, '.bootstrap-lock'))
    const dead = spawnSync(process.execPath, ['-e', '']).pid
    writeFileSync(join(folder, '.bootstrap-lock/pid'), String(dead))
    const codes = await Promise.all(
      [1, 2, 3].map(
        () =>
          new Promise((resolve) => {
            const child = spawn(process.execPath, ['scripts/bootstrap.mjs', 'prod', 'main.ts'], {
              cwd: folder,
              env: environment(folder),
              stdio: 'ignore',
            })
            child.on('exit', resolve)
          }),
      ),
    )
    assert.deepEqual(codes, [0, 0, 0])
    assert.equal(callsOf(folder).length, 1)
    rmSync(folder, { recursive: true })
  })

  test('says what to do when the install fails, and tries again the next time', () => {
    const folder = makeCheckout()
    const failed = run(folder, ['prod', 'main.ts'], { NPM_FAILS: '1' })
    assert.equal(failed.status, 1)
    assert.equal(failed.stdout, '')
    assert.match(failed.stderr, /npm install ended with exit code 3[\s\S]*run the same command again/)
    assert.equal(run(folder, ['prod', 'main.ts']).status, 0)
    rmSync(folder, { recursive: true })
  })

  test('passes signals on', async () => {
    const folder = makeCheckout()
    const child = spawn(process.execPath, ['scripts/bootstrap.mjs', 'prod', 'main.ts', '--serve'], {
      cwd: folder,
      env: environment(folder),
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const exit = new Promise((resolve) => child.on('exit', resolve))
    await new Promise((resolve) => child.stdout.once('data', resolve))
    child.kill('SIGTERM')
    assert.equal(await exit, 7)
    rmSync(folder, { recursive: true })
  })
})
