/**
 * crash.test.ts - kill -9 under load. A child process appends, signs checkpoints, cosigns and "anchors" (this test is the
 * contract); it is killed at a random moment or between two named steps. After every kill the folders are opened again and
 * everything that the child ever printed must still hold. `ASSAY_CRASH_ROUNDS` sets the number of rounds (20).
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { crypto } from 'assay/crypto/node'
import { Bytes, Cose, Merkle, Pledge } from 'assay/protocol'
import * as Intake from './Intake.ts'
import * as scene from './scene.ts'

const rounds = Number(process.env.ASSAY_CRASH_ROUNDS ?? 20)

const steps = [
  'entries-written',
  'entries-mirrored',
  'pledges-signed',
  'pledges-written',
  'checkpoint-planned',
  'checkpoint-signed',
  'checkpoint-written',
  'cosign-persisted',
  'cosign-signed',
] as const

type Answer = { readonly index: bigint; readonly words: string; readonly signature: string }

test('what was pledged survives kill -9 at any moment', { timeout: 120_000 + rounds * 10_000 }, async (t) => {
  const folder = scene.temporaryFolder(t)
  const answers = new Map<bigint, Answer>()
  const roots = new Map<bigint, string>()
  let cosigned = 0n
  const chain = scene.createChain()
  let slowestStartMs = 0

  for (let round = 0; round < rounds; round++) {
    const head = { size: `${chain.head?.size}`, root: Bytes.toHex(chain.head?.root as Uint8Array) }
    const step = round % 2 === 1 ? steps[(round >> 1) % steps.length] : undefined
    const kill = step === undefined ? undefined : { step, count: 1 + Math.floor(Math.random() * 3) }
    await runChild({ folder, head, kill, width: 1 + Math.floor(Math.random() * 40) }, (line) => {
      if (line.words !== undefined) {
        const { index, words, signature } = line
        answers.set(BigInt(line.sequence as string), {
          index: BigInt(index as string),
          words,
          signature: signature as string,
        })
      }
      const size = BigInt(line.signed ?? line.cosigned ?? line.anchored ?? 0)
      if (line.root !== undefined) {
        assert.equal(roots.get(size) ?? line.root, line.root, 'one root per size')
        roots.set(size, line.root)
      }
      if (line.cosigned !== undefined) cosigned = size
      if (line.anchored !== undefined) chain.head = { size, root: Bytes.fromHex(line.root as string) }
    })

    const startedMs = performance.now()
    const { log, witness, close } = await scene.openBoth(folder, chain)
    slowestStartMs = Math.max(slowestStartMs, performance.now() - startedMs)
    assert.equal(new Set([...answers.values()].map((answer) => answer.index)).size, answers.size, 'no index twice')
    for (const [sequence, answer] of sample([...answers], 60)) {
      const request = await scene.request(sequence)
      const again = await log.append(request)
      assert.equal(again.index, answer.index)
      assert.equal(Bytes.toHex(again.pledge.words), answer.words)
      assert.equal(Bytes.toHex(again.pledge.signature), answer.signature)
      assert.deepEqual(log.entry(answer.index)?.head, request.head)
    }
    for (const [size, root] of sample([...roots], 30)) assert.equal(Bytes.toHex(await log.root(size)), root)
    assert.equal(log.mirroredSize(), log.size())
    assert.equal(await witness.mirror.size(), log.size())
    assert.equal(witness.stopped(), undefined)
    assert.ok((witness.last()?.size ?? 0n) >= cosigned)
    await close()
  }

  const { log, witness, close } = await scene.openBoth(folder, chain)
  for (const { words, signature } of answers.values()) {
    const pledge = Bytes.fromHex(words)
    const payload = Pledge.payload(crypto, pledge)
    const { publicKey } = scene.signers.log
    await Cose.verify(crypto, { tag: 'pledge', payload, signature: Bytes.fromHex(signature), publicKey })
    const { leafIndex, leafHash } = Pledge.parse(pledge)
    assert.deepEqual(Intake.leafHash(crypto, log.entry(leafIndex)?.head as Uint8Array), leafHash)
  }
  const leafHashes = Array.from({ length: Number(log.size()) }, (_, i) =>
    Intake.leafHash(crypto, log.entry(BigInt(i))?.head as Uint8Array),
  )
  assert.deepEqual(await log.root(log.size()), Merkle.root(crypto, leafHashes))
  for (const [size, root] of roots) {
    assert.equal(Bytes.toHex(Merkle.root(crypto, leafHashes.slice(0, Number(size)))), root)
  }
  assert.deepEqual(await witness.mirror.root(log.size()), await log.root(log.size()))
  await close()
  assert.ok(answers.size > rounds * 2, `only ${answers.size} answers`)
  t.diagnostic(`${answers.size} pledges, ${roots.size} checkpoints, slowest start ${slowestStartMs.toFixed(0)} ms`)
})

type Line = Partial<
  Record<'sequence' | 'index' | 'words' | 'signature' | 'signed' | 'cosigned' | 'anchored' | 'root', string>
>

/** Runs the child until it is dead by SIGKILL; dead by anything else is a failure. */
async function runChild(options: Record<string, unknown>, onLine: (line: Line) => void): Promise<void> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'crash.child.ts'), JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let problem = ''
  child.stderr.on('data', (data) => {
    problem += data
  })
  const exited = new Promise<NodeJS.Signals | null>((resolve) => child.on('close', (_, signal) => resolve(signal)))
  // A child that waits for a step it never reaches must die as well.
  const bound = setTimeout(() => child.kill('SIGKILL'), 60_000)
  for await (const text of createInterface({ input: child.stdout })) {
    const line = JSON.parse(text) as Line & { ready?: boolean }
    if (line.ready === true && options.kill === undefined) {
      setTimeout(() => child.kill('SIGKILL'), Math.random() * 400)
    }
    onLine(line)
  }
  assert.equal(await exited, 'SIGKILL', problem)
  clearTimeout(bound)
}

function sample<T>(all: readonly T[], count: number): T[] {
  // The newest are the most at risk.
  const newest = all.slice(-count / 2)
  return [
    ...newest,
    ...Array.from({ length: Math.min(count / 2, all.length) }, () => all[Math.floor(Math.random() * all.length)] as T),
  ]
}
