/**
 * The demonstration of faults as a person runs it: real processes, real HTTP, a chain of its own. Parties that cheat are caught by a
 * default client and slashed; the same parties without cheating are left alone.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { crypto } from 'assay/crypto/node'
import { Fault } from 'assay/protocol'

const bin = join(import.meta.dirname, '..', '..', 'apps', 'cli', 'bin', 'assay.mjs')
/** Every fault of the contracts, with what it costs of 100,000 ASY: percent of what is there, in the order in which they come. */
const percents: Readonly<Record<string, bigint>> = {
  ...{ F1: 100n, F2: 100n, F3: 100n, F4: 1n, 'F4-missing': 100n, F5: 100n, F6: 100n, F13: 100n, F17: 20n, F18: 5n },
}
const bond = 100_000n * 10n ** 18n

type Row = { readonly id: string; readonly caught: boolean } & Readonly<Record<'slashed' | 'before' | 'after', string>>
type Ran = { readonly code: number; readonly faults: readonly Row[]; readonly stderr: string; readonly seconds: number }

let work: string
before(() => {
  work = mkdtempSync(join(tmpdir(), 'assay-fraud-'))
})
after(() => rmSync(work, { recursive: true, force: true }))

async function fraud(...args: string[]): Promise<Ran> {
  const startedMs = performance.now()
  const child = spawn(process.execPath, [bin, 'demo', 'fraud', '--json', ...args], {
    ...{ cwd: work, stdio: ['ignore', 'pipe', 'pipe'] as const },
    // A home that would be seen if it were used.
    env: { ...process.env, ASSAY_HOME: join(work, 'home'), TMPDIR: work },
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (data: Buffer) => {
    stdout += data
  })
  child.stderr.on('data', (data: Buffer) => {
    stderr += data
  })
  const code = await new Promise<number>((resolve) => child.on('close', (exit) => resolve(exit ?? -1)))
  const lines = stdout.trimEnd().split('\n')
  assert.notEqual(stdout, '', stderr)
  const value = JSON.parse(lines.at(-1) as string) as { readonly faults: readonly Row[] }
  assert.deepEqual(Object.keys(value), ['faults'], stderr)
  return { code, faults: value.faults, stderr, seconds: (performance.now() - startedMs) / 1000 }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(join('/proc', pid, 'cmdline'), 'utf8')
  } catch {
    return ''
  }
}

describe('assay demo fraud', { timeout: 300_000 }, () => {
  test('every fault is really committed, caught by a default client, and paid for', async (t) => {
    const { code, faults, stderr, seconds } = await fraud('--keep', 'kept')
    t.diagnostic(`${seconds.toFixed(1)} s`)
    assert.deepEqual(
      faults.map(({ id }) => id),
      Object.keys(percents),
    )
    for (const { id, caught, slashed, before: was, after: is } of faults) {
      assert.equal(caught, true, `${id}\n${stderr}`)
      // What was slashed for lateness is missing when the pledge is missing.
      const stake = id === 'F4-missing' ? (bond * 99n) / 100n : bond
      const lost = (stake * (percents[id] as bigint)) / 100n
      assert.deepEqual([slashed, was, is], [lost, stake, stake - lost].map(String), id)
    }
    assert.equal(code, 0, stderr)
    // The evidence is what a stranger would take: it shows its fault by itself, where a file can.
    for (const id of ['F1', 'F6', 'F13']) {
      const folder = join(work, 'kept', id, 'faults')
      const files = readdirSync(folder).filter((name) => name.endsWith('.fault'))
      const classes = await Promise.all(
        files.map(async (name) => {
          const fault = Fault.parse(new Uint8Array(readFileSync(join(folder, name))))
          if (`F${fault.class}` !== id) return undefined
          return (await Fault.judge(crypto, fault, () => undefined)).class
        }),
      )
      assert.ok(classes.includes(Number(id.slice(1)) as never), id)
    }
  })

  test('the same parties without cheating: receipts become final, nobody is accused, nobody pays', async (t) => {
    const { code, faults, stderr, seconds } = await fraud('--honest')
    t.diagnostic(`${seconds.toFixed(1)} s`)
    for (const row of faults)
      assert.deepEqual(
        row,
        { id: row.id, caught: false, slashed: '0', before: String(bond), after: String(bond) },
        stderr,
      )
    assert.equal(faults.length, Object.keys(percents).length)
    assert.equal(code, 0, stderr)
  })

  test('stopped by a person it ends, and says so', async () => {
    const child = spawn(process.execPath, [bin, 'demo', 'fraud', '--only', 'F4-missing'], {
      ...{ cwd: work, stdio: ['ignore', 'ignore', 'pipe'] as const, env: { ...process.env, TMPDIR: work } },
    })
    child.stderr.on('data', (data: Buffer) => {
      if (String(data).includes('never anchors')) child.kill('SIGINT')
    })
    assert.equal(await new Promise((resolve) => child.on('close', resolve)), 130)
  })

  test('leaves nothing behind: no home, no folder, no process', () => {
    assert.deepEqual(readdirSync(work).sort(), ['kept'])
    // The chain's command line names its folder.
    const left = (existsSync('/proc') ? readdirSync('/proc') : []).filter(
      (pid) => /^\d+$/.test(pid) && commandOf(pid).includes(work),
    )
    assert.deepEqual(left, [])
  })

  test('a fault that is not there is refused', async () => {
    const child = spawn(process.execPath, [bin, 'demo', 'fraud', '--only', 'F9'], { cwd: work, stdio: 'ignore' })
    assert.equal(await new Promise((resolve) => child.on('close', resolve)), 64)
  })
})
