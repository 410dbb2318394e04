/**
 * Reconcile.test.ts - what a log does at start with folders that are older than, or differ from, what others have seen.
 */
import assert from 'node:assert/strict'
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { crypto } from 'assay/crypto/node'
import { Merkle } from 'assay/protocol'
import type { Log } from './Log.ts'
import type { Entry } from './LogStore.ts'
import type { Mirror } from './Mirror.ts'
import * as SqliteLogStore from './SqliteLogStore.ts'
import * as scene from './scene.ts'

const codeOf = (code: string) => ({ code })

const appendMany = (log: Log, from: number, to: number) =>
  Promise.all(Array.from({ length: to - from }, async (_, i) => log.append(await scene.request(BigInt(from + i)))))

describe('start', () => {
  const copy = (folder: string, name: string, to: string) =>
    cpSync(join(folder, name), join(folder, to), { recursive: true })
  const restore = (folder: string, name: string, from: string) => {
    rmSync(join(folder, name), { recursive: true })
    cpSync(join(folder, from), join(folder, name), { recursive: true })
  }

  /** Folders with 20 entries, of which copies were made when there were 8; size 15 is anchored and cosigned. */
  async function aged(t: TestContext) {
    const folder = scene.temporaryFolder(t)
    const chain = scene.createChain()
    const first = await scene.openBoth(folder, chain)
    await appendMany(first.log, 0, 8)
    await first.close()
    for (const name of ['log', 'witness']) copy(folder, name, `old-${name}`)
    const later = await scene.openBoth(folder, chain)
    const answers = await appendMany(later.log, 8, 20)
    const { root, signature } = await later.log.signCheckpoint(15n)
    const { chainId, anchorLog, logId } = scene.identity
    const statement = { chainId, anchorLog, logId, size: 15n, root }
    await later.log.addCosignature(15n, await later.witness.cosign({ statement, logSignature: signature, proof: [] }))
    chain.head = { size: 15n, root }
    const roots = [await later.log.root(8n), await later.log.root(20n)] as const
    await later.close()
    return { folder, chain, answers, roots }
  }

  test('an older log takes the missing entries from its mirror, with the same pledge words', async (t) => {
    const { folder, chain, answers, roots } = await aged(t)
    restore(folder, 'log', 'old-log')
    const { log, close } = await scene.openBoth(folder, chain)
    assert.equal(log.size(), 20n)
    assert.deepEqual(await log.root(20n), roots[1])
    const again = await log.append(await scene.request(8n))
    assert.deepEqual(again.pledge.words, answers[0]?.pledge.words)
    await log.append(await scene.request(20n))
    await close()
  })

  test('an older log with an older mirror has ended', async (t) => {
    const { folder, chain } = await aged(t)
    restore(folder, 'log', 'old-log')
    restore(folder, 'witness', 'old-witness')
    await assert.rejects(scene.openBoth(folder, chain), codeOf('log-behind'))
    await assert.rejects(scene.openBoth(folder, chain), codeOf('log-behind'), 'the folder is free again')
  })

  test('an older log with an older mirror has ended when only the holder of a pledge knows that there was more', async (t) => {
    const { folder, chain, answers } = await aged(t)
    restore(folder, 'log', 'old-log')
    restore(folder, 'witness', 'old-witness')
    chain.head = { size: 0n, root: Merkle.emptyRoot(crypto) }
    const held = (i: number) => (answers[i] as (typeof answers)[number]).pledge
    await assert.rejects(scene.openBoth(folder, chain, { promised: held(11) }), codeOf('log-behind'))
    await assert.rejects(scene.openBoth(folder, chain, { promised: held(0) }), codeOf('log-behind'))
    // The log grew again over the place.
    const again = await scene.openBoth(folder, chain)
    await appendMany(again.log, 30, 50)
    const own = (await again.log.append(await scene.request(49n))).pledge
    await again.close()
    await assert.rejects(scene.openBoth(folder, chain, { promised: held(0) }), codeOf('log-forked'))
    // What another key signed for this logId is not this log's to keep.
    const stranger = { words: held(0).words, signature: own.signature }
    await (await scene.openBoth(folder, chain, { promised: stranger })).close()
    await (await scene.openBoth(folder, chain, { promised: own })).close()
  })

  test('an older mirror gets the missing entries, but its witness has stopped for good', async (t) => {
    const { folder, chain } = await aged(t)
    restore(folder, 'witness', 'old-witness')
    for (let i = 0; i < 2; i++) {
      const { log, witness, close } = await scene.openBoth(folder, chain)
      assert.equal(await witness.mirror.size(), 20n)
      const { root, signature } = await log.signCheckpoint(20n)
      const { chainId, anchorLog, logId } = scene.identity
      const statement = { chainId, anchorLog, logId, size: 20n, root }
      await assert.rejects(witness.cosign({ statement, logSignature: signature, proof: [] }), codeOf('witness-stopped'))
      await close()
    }
  })

  test('another history than the contract has is refused', async (t) => {
    const { folder, chain, roots } = await aged(t)
    for (const [head, code] of [
      [{ size: 15n, root: roots[0] }, 'log-forked'],
      [{ size: 21n, root: roots[0] }, 'log-behind'],
      [undefined, 'log-unknown'],
    ] as const) {
      chain.head = head
      await assert.rejects(scene.openBoth(folder, chain), codeOf(code))
    }
  })

  test('an own checkpoint that the tree does not have is refused', async (t) => {
    const { folder, chain, roots } = await aged(t)
    const { logId } = scene.identity
    for (const size of [18n, 30n]) {
      const store = SqliteLogStore.open({ folder: join(folder, 'log'), kind: 'log', logId, crypto })
      const plan = { signature: undefined, lines: [], cosignatures: [], anchored: undefined }
      store.write({ checkpoints: [{ ...plan, size, root: roots[0] }] })
      store.close()
      await assert.rejects(scene.openBoth(folder, chain), codeOf('log-forked'), `size ${size}`)
    }
  })

  test('another history than the mirror has is refused', async (t) => {
    const { folder, chain } = await aged(t)
    chain.head = { size: 0n, root: Merkle.emptyRoot(crypto) }
    rmSync(join(folder, 'log'), { recursive: true })
    const other = join(folder, 'other')
    const both = await scene.openBoth(other, chain)
    await both.log.append(await scene.request(99n))
    await both.close()
    cpSync(join(other, 'log'), join(folder, 'log'), { recursive: true })
    await assert.rejects(scene.openBoth(folder, chain), codeOf('log-forked'))
  })

  test('nothing starts without the contract or the mirror', async (t) => {
    const { folder, chain } = await aged(t)
    const witness = await scene.openWitness(folder, chain)
    chain.isReachable = false
    await assert.rejects(scene.openLog(folder, chain, { mirror: witness.mirror }), codeOf('unreachable'))
    chain.isReachable = true
    const mirror: Mirror = { ...witness.mirror, size: () => Promise.reject(new Error('ETIMEDOUT')) }
    await assert.rejects(scene.openLog(folder, chain, { mirror }), codeOf('unreachable'))
    await witness.close()
  })

  test('entries of the mirror are checked before they are taken', async (t) => {
    const { folder, chain } = await aged(t)
    restore(folder, 'log', 'old-log')
    const witness = await scene.openWitness(folder, chain)
    const lie = (change: (entries: readonly Entry[]) => readonly Entry[]): Mirror => ({
      ...witness.mirror,
      read: async (from, to) => change(await witness.mirror.read(from, to)),
    })
    const other = await scene.request(77n)
    const lies: [string, Mirror][] = [
      ['log-behind', lie((entries) => entries.slice(1))],
      ['log-forked', lie((entries) => [...entries].reverse())],
      ['log-forked', lie((entries) => entries.map((one, i) => (i === 2 ? { ...one, ...other } : one)))],
      ['log-forked', lie((entries) => entries.map((one, i) => (i === 2 ? { ...entries[1]!, index: one.index } : one)))],
      [
        'signature-mismatch',
        lie((entries) => entries.map((one, i) => (i === 2 ? { ...one, signature: other.signature } : one))),
      ],
    ]
    for (const [code, mirror] of lies) {
      await assert.rejects(scene.openLog(folder, chain, { mirror }), codeOf(code))
    }
    const log = await scene.openLog(folder, chain, { mirror: witness.mirror })
    assert.equal(log.size(), 20n)
    await log.close()
    await witness.close()
  })
})
