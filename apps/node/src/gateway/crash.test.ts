/**
 * crash.test.ts - kill -9 of a gateway under load, at any moment. Afterwards: every answer that reached its last byte has its
 * receipt, in the place that the answer named; no place and no index was given twice; the sequence has no gap.
 * `ASSAY_CRASH_ROUNDS` sets the number of rounds (20).
 */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { crypto } from 'assay/crypto/node'
import { Bytes, Cose, Head, LogEntry, Pledge, Sse, Wire } from 'assay/protocol'
import { signers } from '../log/scene.ts'
import * as Scene from './scene.t.ts'

const rounds = Number(process.env.ASSAY_CRASH_ROUNDS ?? 20)
const folder = mkdtempSync(join(tmpdir(), 'assay-gateway-crash-'))
const children = new Set<ChildProcess>()
after(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

type Answer = { readonly head: Uint8Array; readonly signature: Uint8Array; readonly pledge: Wire.SignedPledge }

async function start() {
  const child = fork(join(import.meta.dirname, 'crash.child.t.ts'), [folder], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  children.add(child)
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const told = <T>() =>
    new Promise<T>((resolve, reject) => {
      child.once('message', (message) => resolve(message as T))
      child.once('exit', () => reject(new Error('the child ended')))
    })
  const { url, interrupted } = await told<{ url: string; interrupted: number }>()
  return {
    ...{ url, interrupted },
    heads: async () => {
      const answer = told<{ heads: string[] }>()
      child.send('heads')
      return (await answer).heads
    },
    kill: async () => {
      child.kill('SIGKILL')
      await exited
      children.delete(child)
    },
  }
}

/** Calls until the connection breaks; keeps what was answered to its last byte. */
async function load(url: string, stream: boolean, answers: Answer[]): Promise<void> {
  for (;;) {
    try {
      const response = await fetch(`${url}${Scene.chatTarget}`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
        body: JSON.stringify(Scene.chat({ stream, max_tokens: 3 })),
      })
      const body = new Uint8Array(await response.arrayBuffer())
      // The toy's line is short on purpose.
      if (response.status === 503) continue
      assert.equal(response.status, 200)
      const values = stream ? Sse.splitStream(body) : undefined
      if (values !== undefined && !values.done) return
      const value = (name: string) =>
        (values === undefined ? response.headers.get(`assay-${name}`) : values.comments.get(`assay-${name}`)) ?? ''
      if (value('receipt') === 'pending') continue
      answers.push({ ...Wire.decodeReceipt(value('receipt')), pledge: Wire.decodePledge(value('pledge')) })
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error
      return
    }
  }
}

test(`${rounds} times killed under load`, async () => {
  const answers: Answer[] = []
  let interrupted = 0
  for (let round = 0; round < rounds; round++) {
    const node = await start()
    interrupted += node.interrupted
    const loads = [false, false, true, true].map((stream) => load(node.url, stream, answers))
    await sleep(30 + Math.random() * 250)
    await node.kill()
    await Promise.all(loads)
  }
  const node = await start()
  interrupted += node.interrupted
  const heads = (await node.heads()).map(Bytes.fromHex)
  assert.ok(answers.length > rounds, `${answers.length} answers`)

  // One chain of places without gap; whatever was written before a kill is in the log by now.
  const bySequence = heads
    .map((head) => ({ head, ...Head.parse(head) }))
    .sort((a, b) => (a.sequence < b.sequence ? -1 : 1))
  bySequence.forEach(({ sequence, previous }, i) => {
    const before = bySequence[i - 1]
    assert.equal(sequence, BigInt(i))
    assert.deepEqual(previous, before === undefined ? new Uint8Array(32) : Head.hash(crypto, before.head))
  })
  const seen = new Set<string>()
  for (const { head, signature, pledge } of answers) {
    const hash = Bytes.toHex(Head.hash(crypto, head))
    assert.ok(!seen.has(hash), 'a receipt was given for two calls')
    seen.add(hash)
    await Cose.verify(crypto, {
      tag: 'receipt',
      payload: Head.payload(crypto, head),
      signature,
      publicKey: signers.node.publicKey,
    })
    const { leafIndex, leafHash } = Pledge.parse(pledge.words)
    assert.deepEqual(heads[Number(leafIndex)], head)
    assert.deepEqual(leafHash, LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, head)))
    const kept = (await (await fetch(`${node.url}/v1/receipts/${hash}`)).json()) as { head: string; signature: string }
    assert.deepEqual([kept.head, kept.signature], [Bytes.toBase64url(head), Bytes.toBase64url(signature)])
  }
  // Calls that the kills cut off are listed, and are no more than were running.
  assert.ok(interrupted <= rounds * 4)
  await node.kill()
})
