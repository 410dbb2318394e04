/**
 * Cases with real processes: a daemon as `assay up` starts it, and a second person with a home of its own who asks its log and its node
 * for things on chain. The daemon answers in time, also when it was killed in between; nobody is slashed.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { CaseCalls, CourtCalls, Rpc, TrustAnchors } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bundle, Bytes, LogEntry, Pledge } from 'assay/protocol'
import { modelsFolder } from '../../apps/cli/src/Context.ts'
import { execute } from '../../apps/cli/src/execute.ts'
import * as Terminal from '../../apps/cli/src/Terminal.ts'

// Started directly, so that the process that is killed is the daemon itself.
const main = join(import.meta.dirname, '..', '..', 'apps', 'cli', 'src', 'main.ts')
const oneCoin = 10n ** 18n

let work: string
let operator: string
let reader: string
let daemon: ChildProcess | undefined
before(
  async () => {
    work = mkdtempSync(join(tmpdir(), 'assay-cases-'))
    operator = join(work, 'operator')
    reader = join(work, 'reader')
    mkdirSync(reader)
    await start()
    copyFileSync(join(operator, 'anchors.json'), join(reader, 'anchors.json'))
  },
  { timeout: 120_000 },
)
after(async () => {
  await end('SIGTERM')
  rmSync(work, { recursive: true, force: true })
})

/** Starts the daemon and waits until it has written where it is now; the reader learns that too. */
async function start(): Promise<void> {
  const [from, to] = [join(operator, 'reader.json'), join(reader, 'reader.json')]
  const before = existsSync(from) ? readFileSync(from, 'utf8') : ''
  const child = spawn(process.execPath, [main, 'up', '--json', '--port', '0'], {
    ...{ cwd: work, env: { ...process.env, ASSAY_HOME: operator }, stdio: ['ignore', 'ignore', 'pipe'] as const },
  })
  daemon = child
  let errors = ''
  child.stderr.on('data', (data: Buffer) => {
    errors += data
  })
  // Written whole under another name and renamed; its sample calls are made while others ask already.
  while (!existsSync(from) || readFileSync(from, 'utf8') === before) {
    if (child.exitCode !== null) throw new Error(`the daemon ended with ${child.exitCode}: ${errors}`)
    await sleep(50)
  }
  copyFileSync(from, to)
}

async function end(signal: NodeJS.Signals): Promise<void> {
  const child = daemon
  daemon = undefined
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.on('exit', resolve))
  child.kill(signal)
  await ended
}

async function assay(args: readonly string[], home = reader) {
  const env = { ...process.env, ASSAY_HOME: home, NO_COLOR: '1' }
  const child = spawn(process.execPath, [main, ...args], { cwd: work, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (data: Buffer) => {
    stdout += data
  })
  child.stderr.on('data', (data: Buffer) => {
    stderr += data
  })
  const code = await new Promise<number>((resolve) => child.on('close', (exit) => resolve(exit ?? -1)))
  return { code, stdout, stderr }
}

async function json<T>(args: readonly string[], home = reader): Promise<T> {
  const { code, stdout, stderr } = await assay([...args, '--json'], home)
  assert.equal(code, 0, stderr + stdout)
  return JSON.parse(stdout) as T
}

/** A look in this process: starting one costs most of a second. */
async function look<T>(args: readonly string[], home = reader): Promise<T> {
  let [stdout, stderr] = ['', '']
  const env = { ASSAY_HOME: home }
  const terminal = Terminal.create({
    stdout: {
      write: (text) => {
        stdout += text
      },
    },
    stderr: {
      write: (text) => {
        stderr += text
      },
    },
    env,
  })
  const context = { terminal, env, cwd: work, stopped: new AbortController().signal, modelsFolder }
  assert.equal(await execute(context, [...args, '--json']), 0, stderr + stdout)
  return JSON.parse(stdout) as T
}

type Case = Readonly<Record<'caseId' | 'stage' | 'bond' | 'lastBlock', string>> &
  Readonly<Partial<Record<'entry' | 'value' | 'slot', string>>>

function chain() {
  const [anchors] = TrustAnchors.parse(readFileSync(join(reader, 'anchors.json'), 'utf8'))
  const file = JSON.parse(readFileSync(join(reader, 'reader.json'), 'utf8')) as {
    readonly chainRpcUrl: string
    readonly operators: readonly string[]
  }
  assert.ok(anchors?.stake !== undefined)
  const rpc = Rpc.create({ url: file.chainRpcUrl, chainId: anchors.chainId })
  const account = Bytes.from0x(file.operators[0] as string)
  const { faultCases, faultCourt } = anchors.stake
  return { rpc, account, faultCases: faultCases.address, faultCourt: faultCourt.address }
}

/** Asks until every case is answered; it must be so while only an answer can close them. */
async function answered(count: number): Promise<readonly Case[]> {
  for (let tries = 0; tries < 1_000; tries++) {
    const cases = await look<readonly Case[]>(['fault', 'cases'])
    assert.equal(cases.length, count)
    const { rpc } = chain()
    const newest = BigInt((await rpc.request('eth_blockNumber')) as string)
    assert.ok(cases.every(({ lastBlock }) => newest <= BigInt(lastBlock)))
    if (cases.every(({ stage }) => stage === 'answered')) return cases
    await sleep(250)
  }
  throw new Error('not answered in time')
}

const weiOf = (text: string) => {
  const [whole = '0', rest = ''] = text.split('.')
  return BigInt(whole) * oneCoin + BigInt(rest.padEnd(18, '0'))
}
const named = (cases: readonly Case[], caseId: string) => cases.find((one) => one.caseId === caseId)

/**
 * Three quarters of every bond as it would be with nothing else open are the operator's, paid out already or still as credit; the rest is
 * burnt. On this chain an answer costs less than the least bond, so that is what counts.
 */
async function assertPaid(cases: readonly Case[]): Promise<void> {
  const { rpc, account, faultCases, faultCourt } = chain()
  const floor = await CourtCalls.bondFloor(rpc, faultCourt)
  const due = BigInt(cases.length) * (floor - floor / 4n)
  const bonds = cases.reduce((total, { bond }) => total + weiOf(bond), 0n)
  let sum = 0n
  for (let tries = 0; tries < 240; tries++) {
    const lines = readFileSync(join(operator, 'daemon.log'), 'utf8').trim().split('\n')
    const records = lines.map((line) => JSON.parse(line) as { readonly event?: string; readonly wei?: string })
    sum = records
      .filter(({ event }) => event === 'case-credit-withdrawn')
      .reduce((total, { wei = '0' }) => total + BigInt(wei), 0n)
    if (sum === due && (await CaseCalls.credit(rpc, faultCases, account)) === 0n) break
    await sleep(250)
  }
  assert.equal(sum, due)
  assert.equal(await CaseCalls.credit(rpc, faultCases, new Uint8Array(20)), bonds - due)
}

async function assertNobodySlashed(): Promise<void> {
  const { recorded } = await look<{ readonly recorded: readonly unknown[] }>(['fault', 'list'])
  assert.deepEqual(recorded, [])
  type Status = { readonly subjects: readonly { readonly state: string; readonly selfBond: string }[] }
  const { subjects } = await look<Status>(['stake', 'status'], operator)
  assert.deepEqual(
    subjects.map(({ state, selfBond }) => [state, selfBond]),
    Array.from({ length: 3 }, () => ['bonded', '100,000 ASY']),
  )
}

describe('a daemon that is asked for things on chain', { timeout: 180_000 }, () => {
  let logId: string
  let bundle: Bundle.Bundle
  let opened: readonly Case[]

  test('a receipt of the second person, and its entry asked for in public', async () => {
    await json(['ask', 'What is a receipt?', '--max-tokens', '8', '--save', 'b.receipt'])
    bundle = Bundle.parse(new Uint8Array(readFileSync(join(work, 'b.receipt'))))
    assert.ok(bundle.pledge !== undefined)
    logId = Bytes.toHex(Pledge.parse(bundle.pledge.words).logId)
    type Requested = { readonly leafHash: string; readonly requestedAtBlock: string; readonly new: boolean }
    const first = await json<Requested>(['settle', '--request', 'b.receipt'])
    const entry = LogEntry.fromHead(crypto, bundle.receipt.head)
    assert.deepEqual([first.leafHash, first.new], [Bytes.toHex(LogEntry.leafHash(crypto, entry)), true])
    assert.deepEqual(await look(['settle', '--request', 'b.receipt']), { ...first, new: false })
    const own = await look<{ readonly logs: readonly { readonly states: readonly unknown[] }[] }>([
      'settle',
      '--dry-run',
    ])
    assert.equal(own.logs.length, 2)
  })

  test('an entry, a slot that anybody may see and one of the order alone: all answered, paid for, nobody slashed', async () => {
    assert.ok(bundle.pledge !== undefined)
    const { leafIndex } = Pledge.parse(bundle.pledge.words)
    const [challenged] = await json<readonly Case[]>(['fault', 'challenge', logId, String(leafIndex)])
    const [model] = await json<readonly Case[]>(['fault', 'demand', 'b.receipt', '--slot', 'model'])
    const [response] = await json<readonly Case[]>(['fault', 'demand', 'b.receipt', '--slot', 'response'])
    assert.ok(challenged !== undefined && model !== undefined && response !== undefined)
    opened = await answered(3)
    const entry = named(opened, challenged.caseId)?.entry
    assert.equal(entry, Bytes.toHex(LogEntry.fromHead(crypto, bundle.receipt.head)))
    for (const [one, slot] of [
      [model, 6],
      [response, 4],
    ] as const) {
      const shown = bundle.disclosed.get(slot)
      assert.ok(shown !== undefined)
      assert.equal(named(opened, one.caseId)?.value, Bytes.toHex(shown.value))
    }
    await assertPaid(opened)
    await assertNobodySlashed()
    // What was answered is not expired, and its bond does not come back.
    const still = await look<readonly Case[]>(['fault', 'expire'])
    assert.ok(still.every(({ stage }) => stage === 'answered'))
    assert.deepEqual(await look(['fault', 'withdraw']), { wei: '0' })
  })

  test('killed right after a case was opened, and started again: still in time', async () => {
    // It does nothing from here on, so it cannot have answered when it is killed.
    daemon?.kill('SIGSTOP')
    const [challenged] = await json<readonly Case[]>(['fault', 'challenge', logId, '0'])
    const [engine] = await json<readonly Case[]>(['fault', 'demand', 'b.receipt', '--slot', 'engine'])
    assert.deepEqual([challenged?.stage, engine?.stage], ['open', 'open'])
    await end('SIGKILL')
    await start()
    await assertPaid(await answered(5))
    await assertNobodySlashed()
  })

  test('stake: not from the account of a daemon that runs; the chain of one that does not is started for it', async () => {
    const busy = await assay(['stake', 'bond', '1', '--json'], operator)
    assert.deepEqual([busy.code, JSON.parse(busy.stdout).error.code], [64, 'daemon-runs'])
    const { subjects } = await json<{ readonly subjects: readonly { readonly name: string }[] }>(['stake', 'status'])
    assert.deepEqual(
      subjects.map(({ name }) => name),
      ['node', 'log', 'log2'],
    )
    await end('SIGTERM')
    const [bonded] = await json<readonly { readonly on: string }[]>(['stake', 'bond', '1.5'], operator)
    assert.equal(bonded?.on, 'node')
    type Status = { readonly subjects: readonly { readonly selfBond: string }[] }
    const now = await json<Status>(['stake', 'status', 'node'], operator)
    assert.equal(now.subjects[0]?.selfBond, '100,001.5 ASY')
  })
})
