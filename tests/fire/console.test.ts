/** console.test.ts - `assay up` as a person runs it: what it prints and what it writes to its log file hold no word of a call. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import * as Calls from '../crash/Calls.ts'
import * as Daemon from '../crash/Daemon.ts'
import * as Silence from '../crash/Silence.ts'

const place = Daemon.createPlace()
after(place.close)

test('`assay up --verbose` and its log file', { timeout: 120_000 }, async () => {
  const home = place.newHome()
  const program = join(import.meta.dirname, '../../apps/cli/src/main.ts')
  const child = spawn(process.execPath, [program, 'up', '--json', '--verbose', '--port', '0', '--home', home], {
    env: { ...process.env, ASSAY_MODELS: place.models, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString('utf8')
  })
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString('utf8')
  })
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  try {
    const shown = await Daemon.until(
      'the last line',
      () => {
        if (child.exitCode !== null) throw new Error(err)
        return out.includes('\n') ? (JSON.parse(out) as { endpoints: { gateway: string } }) : undefined
      },
      90_000,
    )
    const { gateway } = shown.endpoints
    const info = await Calls.nodeInfo(gateway)
    const answers: Calls.Answer[] = []
    for (const kind of ['unary', 'stream', 'infer', 'unary'] as const)
      answers.push(await Calls.call(gateway, info, kind, { withOrder: kind === 'unary' }))
    // Refusals too: their reasons are logged.
    for (const change of [{ messages: Calls.marker }, { model: Calls.marker }, { tools: [{ name: Calls.marker }] }])
      answers.push(await Calls.call(gateway, info, 'unary', { change }))
    const receipts = answers.flatMap(({ receipt }) => (typeof receipt === 'object' ? [receipt] : []))
    assert.equal(receipts.length, 4)
    child.kill('SIGTERM')
    assert.equal(await ended, 0, err.slice(-2_000))
    const file = join(home, 'daemon.log')
    assert.ok(existsSync(file) && readFileSync(file, 'utf8').includes('"event":"call"'), 'it logs nothing at all')
    Silence.check({ output: () => out + err }, home, { receipts })
  } finally {
    // With its chain, if a failure left them running.
    Daemon.endGroup(child.pid as number)
  }
})
