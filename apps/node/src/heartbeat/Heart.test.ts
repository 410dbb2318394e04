/** Heart.test.ts - the counter of heartbeats under restarts, crashes and folders that are older than they should be. */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Heartbeat } from 'assay/protocol'
import * as Heart from './Heart.ts'

const root = mkdtempSync(join(tmpdir(), 'assay-heart-'))
after(() => rmSync(root, { recursive: true, force: true }))
const signer = createP256Signer(new Uint8Array(32).fill(3))
const identity = { chainId: 7n, registry: new Uint8Array(20), nodeId: new Uint8Array(32).fill(1), keyEpoch: 2 }

function scene(hooks?: Heart.Hooks) {
  const folder = mkdtempSync(join(root, 'node-'))
  const chain = { number: 100n, fork: 1, seenAtMs: 1_000_000, nowMs: 1_000_000 }
  let signatures = 0
  const counting = {
    ...signer,
    sign: (message: Uint8Array) => {
      signatures++
      return signer.sign(message)
    },
  }
  const open = (from = folder, hooked = hooks) =>
    Heart.createHeart({
      ...{ folder: from, crypto, identity, signer: counting, now: () => chain.nowMs },
      chain: {
        newest: () => ({
          ...{ number: chain.number, seenAtMs: chain.seenAtMs },
          hash: crypto.sha256(Uint8Array.of(Number(chain.number & 255n), chain.fork)),
        }),
      },
      ...(hooked === undefined ? {} : { hooks: hooked }),
    })
  const counterOf = async (heart: Heart.Heart) => {
    const { words, signature } = await heart.beat()
    return (await Heartbeat.verify(crypto, { words, signature, publicKey: heart.publicKey })).counter
  }
  return { folder, chain, open, counterOf, signatures: () => signatures }
}

test('one signature for a block, however many ask, and a larger counter for the next', async () => {
  const { chain, open, counterOf, signatures } = scene()
  const heart = open()
  assert.deepEqual(await Promise.all([1, 2, 3].map(() => counterOf(heart))), [100n, 100n, 100n])
  assert.equal(signatures(), 1)
  chain.number = 101n
  assert.equal(await counterOf(heart), 101n)
  chain.fork = 2
  assert.equal(await counterOf(heart), 102n, 'another block of the same number')
  chain.number = 100n
  assert.equal(await counterOf(heart), 103n, 'a chain that went back')
  assert.equal(signatures(), 4)
})

test('after a restart the same block has the same words, and the counter goes on', async () => {
  const { chain, open, counterOf } = scene()
  const before = await open().beat()
  const heart = open()
  assert.deepEqual((await heart.beat()).words, before.words)
  chain.fork = 2
  assert.equal(await counterOf(heart), 101n)
})

test('a crash between persisting and signing gives no counter to two blocks', async () => {
  class Crash extends Error {}
  const crash: Heart.Hooks = {
    reached: (step) => {
      if (step === 'beat-persisted') throw new Crash()
    },
  }
  const { chain, folder, open, counterOf } = scene()
  await assert.rejects(open(folder, crash).beat(), Crash)
  chain.fork = 2
  assert.equal(await counterOf(open()), 101n)
})

test('an older folder, a damaged file and none count on from the block', async () => {
  const { chain, folder, open, counterOf } = scene()
  await open().beat()
  const copy = join(root, 'copy')
  cpSync(folder, copy, { recursive: true })
  chain.number = 110n
  assert.equal(await counterOf(open()), 110n)
  chain.number = 111n
  assert.equal(await counterOf(open(copy)), 111n)
  writeFileSync(join(folder, 'heartbeat.json'), '{"counter"')
  assert.equal(await counterOf(open()), 111n)
  rmSync(join(folder, 'heartbeat.json'))
  chain.number = 112n
  assert.equal(await counterOf(open()), 112n)
  assert.match(readFileSync(join(folder, 'heartbeat.json'), 'utf8'), /"112"/)
})

test('a node that sees no new block says nothing', async () => {
  const { chain, open } = scene()
  chain.nowMs += 60_001
  await assert.rejects(open().beat(), { code: 'heartbeat-no-block' })
})
