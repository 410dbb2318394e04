import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Rpc } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { type DevelopmentChain, developmentChainId, startAnvil } from './anvil.ts'
import { findAnvil } from './anvil-binary.ts'

const home = mkdtempSync(join(tmpdir(), 'assay-anvil-'))
const running: DevelopmentChain[] = []
const start = async (options: Partial<Parameters<typeof startAnvil>[0]> = {}) => {
  const chain = await startAnvil({ home, ...options })
  running.push(chain)
  return chain
}
after(async () => {
  for (const chain of running) await chain.stop()
  rmSync(home, { recursive: true, force: true })
})

const until = async <T>(
  what: string,
  read: () => Promise<T | undefined> | T | undefined,
  limitMs = 15_000,
): Promise<T> => {
  for (const startedMs = performance.now(); performance.now() - startedMs < limitMs; ) {
    const value = await read()
    if (value !== undefined) return value
    await sleep(50)
  }
  throw new Error(`not in time: ${what}`)
}

test('a chain keeps its blocks over a stop, refuses a second owner, and is restarted after a kill', async () => {
  let chain = await start()
  assert.equal(chain.chainId, developmentChainId)
  let rpc = Rpc.create({ url: chain.url, chainId: chain.chainId })
  const third = await until('block 3', () => Rpc.fetchHeader(crypto, rpc, 3n).catch(() => undefined))
  await assert.rejects(startAnvil({ home }), { code: 'folder-in-use' })
  await chain.stop()
  await chain.stop()
  assert.equal(chain.pid(), undefined)

  const lines: string[] = []
  chain = await start({ silenceMs: 2_000, onEvent: (line) => lines.push(line) })
  rpc = Rpc.create({ url: chain.url, chainId: chain.chainId })
  assert.deepEqual(await Rpc.fetchHeader(crypto, rpc, 3n), third)
  const finalized = await until('finality', async () => {
    const header = await Rpc.finalized(crypto, rpc)
    return header.number >= 3n ? header : undefined
  })
  assert.deepEqual(await Rpc.fetchTrustedHeader(crypto, rpc, 3n), { number: 3n, hash: third.hash })
  const tip = finalized.number + 1_000n
  await assert.rejects(Rpc.fetchTrustedHeader(crypto, rpc, tip), { code: 'not-on-chain', what: 'finality' })

  await sleep(1_500)
  process.kill(chain.pid() as number, 'SIGKILL')
  await until('restart', () => (chain.status().restarts === 1 && chain.status().state === 'running' ? true : undefined))
  assert.deepEqual(await Rpc.fetchHeader(crypto, rpc, 3n), third)
  assert.match(lines.join('\n'), /SIGKILL; restarting/)

  // A frozen child answers nothing: the watchdog ends it by force.
  process.kill(chain.pid() as number, 'SIGSTOP')
  await until(
    'second restart',
    () => (chain.status().restarts === 2 && chain.status().state === 'running' ? true : undefined),
    40_000,
  )
  assert.deepEqual(await Rpc.fetchHeader(crypto, rpc, 3n), third)
  await chain.stop()
})

test('half a state file is set aside and a copy is used; a process that a killed daemon left is ended', async () => {
  const lines: string[] = []
  const state = join(home, 'chain', 'state.json')
  let chain = await start()
  await until('a copy', () => (existsSync(`${state}.1`) ? true : undefined))
  const rpc = (url: string) => Rpc.create({ url, chainId: chain.chainId })
  const early = await Rpc.fetchHeader(crypto, rpc(chain.url), 2n)
  await chain.stop()
  const text = readFileSync(state, 'utf8')
  writeFileSync(state, text.slice(0, text.length / 2))
  // What a daemon that was killed leaves behind: a process that works on this state file. One that does not is left alone.
  const orphan = spawn(findAnvil(), ['--port', '0', '--state', `${state}.orphan`, '--quiet'])
  const stranger = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'])
  try {
    writeFileSync(join(home, 'chain', 'process.json'), JSON.stringify({ pid: stranger.pid, state }))
    chain = await start({ onEvent: (line) => lines.push(line) })
    assert.match(lines.join('\n'), /an earlier copy is used/)
    assert.deepEqual(await Rpc.fetchHeader(crypto, rpc(chain.url), 2n), early)
    assert.equal(stranger.exitCode ?? stranger.signalCode, null)
    await chain.stop()
    writeFileSync(join(home, 'chain', 'process.json'), JSON.stringify({ pid: orphan.pid, state }))
    chain = await start()
    await until('the orphan', () => orphan.signalCode ?? orphan.exitCode ?? undefined)
    await chain.stop()
  } finally {
    orphan.kill('SIGKILL')
    stranger.kill('SIGKILL')
  }
})

test('a child over its memory limit is restarted', async () => {
  const chain = await start({ memoryLimitBytes: 1 })
  await until('restart', () => (chain.status().restarts >= 1 ? true : undefined))
  await chain.stop()
})
