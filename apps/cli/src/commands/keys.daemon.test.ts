/**
 * keys.daemon.test.ts - `assay keys` around a real daemon: replaced while receipts wait, sealed, ended; what was signed stays good,
 * and nothing private is printed.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Daemon, startDaemon } from '@assay/node/daemon'
import { Bytes, Head } from 'assay/protocol'
import { modelsFolder } from '../Context.ts'
import { execute } from '../execute.ts'
import * as Terminal from '../Terminal.ts'

const root = mkdtempSync(join(tmpdir(), 'assay-keys-cli-'))
const home = join(root, 'home')
const passphrase = 'correct horse'
let daemon: Daemon | undefined
const printed: string[] = []
after(async () => {
  await daemon?.stop()
  delete process.env.ASSAY_PASSPHRASE
  rmSync(root, { recursive: true, force: true })
})

async function keys(args: readonly string[], env: Record<string, string> = {}) {
  const out = { stdout: '', stderr: '' }
  const output = (name: 'stdout' | 'stderr') => ({
    write: (text: string) => {
      out[name] += text
    },
  })
  const all = { ASSAY_HOME: home, ...env }
  const terminal = Terminal.create({ stdout: output('stdout'), stderr: output('stderr'), env: all })
  const context = { terminal, env: all, cwd: root, stopped: new AbortController().signal, modelsFolder }
  const code = await execute(context, ['keys', ...args, '--json'])
  printed.push(out.stdout, out.stderr)
  return { code, value: JSON.parse(out.stdout.trim().split('\n').at(-1) ?? 'null') }
}

async function start(): Promise<Daemon> {
  daemon = await startDaemon({ home, port: 0, models: modelsFolder, log: () => {} })
  return daemon
}

async function ask({ endpoints }: Daemon) {
  const body = JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'Hello' }], max_tokens: 2 })
  const response = await fetch(`${endpoints.gateway}/v1/chat/completions`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body },
  })
  assert.equal(response.status, 200)
  await response.text()
  const link = /receipts\/([0-9a-f]{64})/.exec(response.headers.get('link') ?? '')?.[1]
  assert.ok(link !== undefined)
  for (let i = 0; i < 300; i++) {
    const kept = await fetch(`${endpoints.gateway}/v1/receipts/${link}`)
    if (kept.status === 200) return { hash: link, ...((await kept.json()) as { head: string; publicKey: string }) }
    await sleep(100)
  }
  throw new Error('no receipt')
}
const headOf = ({ head }: { head: string }) => Head.parse(Bytes.fromBase64url(head))

test('replacing, sealing and ending keys', async () => {
  assert.deepEqual((await keys(['create'])).value, {
    ...{ created: ['node', 'log', 'log2', 'witness', 'client', 'operator'], encrypted: false },
  })
  assert.deepEqual((await keys(['create'])).value.created, [])
  let running = await start()
  const first = await ask(running)
  const held = await keys(['rotate', 'node'])
  assert.deepEqual([held.code, held.value.error.code], [64, 'folder-in-use'], 'a running daemon holds its keys')
  await running.stop()

  assert.equal((await keys(['protect'], { ASSAY_PASSPHRASE: 'short' })).value.error.code, 'passphrase-too-short')
  assert.equal((await keys(['protect'])).value.error.code, 'passphrase-missing')
  const sealed = await keys(['protect'], { ASSAY_PASSPHRASE: passphrase })
  assert.deepEqual(sealed.value, { encrypted: ['node', 'log', 'log2', 'witness', 'client', 'operator'] })
  assert.equal((await keys(['unprotect'], { ASSAY_PASSPHRASE: 'wrong horse' })).value.error.code, 'key-passphrase')
  assert.equal((await keys(['rotate', 'node'], { ASSAY_PASSPHRASE: 'wrong horse' })).value.error.code, 'key-passphrase')
  await assert.rejects(start(), { code: 'key-locked' })

  const rotated = await keys(['rotate', 'node'], { ASSAY_PASSPHRASE: passphrase })
  assert.equal(rotated.value.pending, 0)
  const { keyEpoch } = headOf(first)
  assert.deepEqual([rotated.value.keyEpoch > keyEpoch, rotated.value.endedEpoch], [true, keyEpoch])
  const witness = await keys(['rotate', 'witness'], { ASSAY_PASSPHRASE: passphrase })
  assert.ok(witness.value.keyEpoch > rotated.value.keyEpoch)
  assert.equal((await keys(['rotate', 'log'], { ASSAY_PASSPHRASE: passphrase })).value.error.code, 'key-not-rotated')
  assert.equal((await keys(['rotate', 'cat'])).value.error.code, 'key-unknown')

  process.env.ASSAY_PASSPHRASE = passphrase
  running = await start()
  const second = await ask(running)
  assert.deepEqual([headOf(second).keyEpoch, headOf(second).sequence], [rotated.value.keyEpoch, 0n])
  const old = (await (await fetch(`${running.endpoints.gateway}/v1/receipts/${first.hash}`)).json()) as typeof first
  assert.deepEqual([old.head, old.publicKey], [first.head, first.publicKey], 'the old key’s receipt is what it was')
  assert.equal(Bytes.toHex(running.reader.witness), witness.value.keyId)
  const beat = await fetch(`${running.endpoints.gateway}/v1/heartbeat`)
  assert.equal(((await beat.json()) as { publicKey: string }).publicKey, second.publicKey)
  const listed = (await keys(['list'], { ASSAY_CHAIN_RPC: running.endpoints.chain })).value.keys as Record<
    string,
    unknown
  >[]
  const row = (key: string) => listed.find((one) => one.key === key)
  assert.equal(row('node')?.epoch, rotated.value.keyEpoch)
  assert.ok(Number(row('node (replaced)')?.until) > 0)
  assert.deepEqual([row('operator')?.encrypted, row('log2')?.encrypted], [true, true])
  const exportedNow = async () => (await keys(['export'])).value.keys as { key: string; vkey?: string }[]
  const vkeyOf = (list: { key: string; vkey?: string }[]) => list.find(({ key }) => key === 'log')?.vkey
  let exported = await exportedNow()
  // A log's line names its logId, which the first published checkpoint brings.
  for (let i = 0; i < 200 && !vkeyOf(exported); i++) {
    await sleep(100)
    exported = await exportedNow()
  }
  assert.match(vkeyOf(exported) ?? '', /^assay\/[0-9a-f]{64}\+/)
  assert.match(exported.find(({ key }) => key === 'witness')?.vkey ?? '', /^assay-witness\//)
  await running.stop()

  assert.equal((await keys(['retire', 'log'])).value.error.code, 'not-confirmed')
  let ended = await keys(['retire', 'log', '--yes'], { ASSAY_PASSPHRASE: passphrase })
  for (let i = 0; ended.value.error?.code === 'log-not-anchored' && i < 20; i++) {
    running = await start()
    await sleep(3_000)
    await running.stop()
    ended = await keys(['retire', 'log', '--yes'], { ASSAY_PASSPHRASE: passphrase })
  }
  assert.match(String(ended.value.logId), /^[0-9a-f]{64}$/)
  assert.ok(readdirSync(home).includes(`log.ended-${ended.value.logId}`))
  assert.ok(!readdirSync(join(home, `log.ended-${ended.value.logId}`)).includes('key.json'))
  const retired = await keys(['retire', 'node', '--yes'], { ASSAY_PASSPHRASE: passphrase })
  assert.equal(retired.value.endedEpoch, rotated.value.keyEpoch)
  running = await start()
  assert.ok(!running.endpoints.log.includes(String(ended.value.logId)), 'another log')
  const third = await ask(running)
  assert.ok(headOf(third).keyEpoch > witness.value.keyEpoch)
  await running.stop()

  const opened = await keys(['unprotect'], { ASSAY_PASSPHRASE: passphrase })
  assert.equal(opened.value.opened.length, 6)
  const said = printed.join('\n')
  assert.ok(!said.includes(passphrase))
  for (const folder of ['node', 'log', 'log2', 'witness', 'client']) {
    const file = JSON.parse(readFileSync(join(home, folder, 'key.json'), 'utf8')) as Record<string, string>
    assert.ok(!said.includes(file.privateKey ?? 'none'))
  }
})
