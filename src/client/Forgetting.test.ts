/**
 * Forgetting.test.ts - what a default client must not forget: promises of a receipt that became final, promises whose fault a reorganisation
 * takes off the record, evidence and promises that came or were looked at while an endpoint showed old blocks.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { filled, own, worldOf } from '../../tests/fakes/Court.ts'
import * as World from '../../tests/fakes/World.ts'
import { CallRevertedError } from '../chain/Sender.ts'
import { crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Pledge from '../protocol/Pledge.ts'
import { embedded } from '../verify/policies.ts'
import { fileWatchStore } from './FileStores.ts'
import * as Filing from './Filing.ts'
import * as Promises from './Promises.ts'
import { memoryFaultStore } from './Stores.ts'
import * as Watching from './Watching.ts'
import { memoryWatchStore, type WatchStore } from './WatchStore.ts'
import { call, classesOf, gateway, start } from './watching.t.ts'

describe('a receipt that becomes final', () => {
  /** The log catches up in block 718, after the deadline (700) and after somebody had its size written down. */
  function catchUp() {
    gateway.observed.set(704n, 1n)
    gateway.hints.observed.push(704n)
    gateway.anchored = undefined
    gateway.stepBlock = () => 718n
    gateway.height = 720n
  }

  /** The log signs the same leaf once more, at the index of another one. */
  async function pledgeAgain(watch: WatchStore) {
    const [one] = await Promises.all(watch)
    assert.ok(one !== undefined)
    const first = Pledge.parse(one.promised.pledge)
    await gateway.issue({})
    const pledge = Pledge.words({ ...first, leafIndex: first.leafIndex + 1n })
    const pledgeSignature = await Cose.sign(crypto, World.signers.log, 'pledge', Pledge.payload(crypto, pledge))
    await Promises.keep(crypto, watch, { ...one.promised, pledge, pledgeSignature })
  }

  test('was late if the chain saw it so while this client slept (F4)', async () => {
    const { client, faults, pending, watch } = start()
    gateway.anchored = () => gateway.leaves.slice(0, 1)
    await call(client)
    await client.raisePending()
    catchUp()
    const report = await client.raisePending()
    await client.raisePending()
    assert.deepEqual(
      { final: report.final.length, pending: (await pending.list()).length, classes: await classesOf(faults) },
      { final: 1, pending: 0, classes: [4] },
    )
    assert.deepEqual(await watch.list('promises'), [])
  })

  test('leaves a second pledge for its head open, which another leaf breaks (F3)', async () => {
    const { client, faults, watch } = start()
    await call(client)
    await pledgeAgain(watch)
    await client.raisePending()
    await client.raisePending()
    assert.deepEqual(await classesOf(faults), [3])
    assert.equal((await watch.list('promises')).length, 1, 'until its fault is on record')
  })

  for (const what of ['lateness', 'the second pledge'] as const)
    test(`is no condition: ${what} is found before, too`, async () => {
      const { client, faults, watch } = start()
      gateway.isFinal = false
      if (what === 'lateness') gateway.anchored = () => gateway.leaves.slice(0, 1)
      await call(client)
      if (what === 'lateness') catchUp()
      else await pledgeAgain(watch)
      await client.raisePending()
      assert.deepEqual(await classesOf(faults), [what === 'lateness' ? 4 : 3])
    })

  test('in time, and shown by a log that hides its tiles, owes nothing more', async () => {
    const { client, faults, watch } = start()
    await call(client)
    gateway.hidden.add('tiles')
    assert.equal((await client.raisePending()).final.length, 1)
    assert.deepEqual([await watch.list('promises'), await faults.list()], [[], []])
  })

  test('while its log cannot be looked at is followed on, and forgotten later', async () => {
    const { ChainSilence } = await import('../../tests/fakes/FakeChain.ts')
    let isSilent = false
    const logRecord = (logId: Uint8Array) =>
      isSilent ? Promise.reject(new ChainSilence()) : gateway.chain.logRecord(logId)
    const { client, watch, pending } = start({ chain: { ...gateway.chain, logRecord } })
    await call(client)
    isSilent = true
    assert.equal((await client.raisePending()).final.length, 1)
    assert.deepEqual([(await watch.list('promises')).length, await pending.list()], [1, []])
    isSilent = false
    gateway.height = 701n
    await client.raisePending()
    assert.deepEqual(await watch.list('promises'), [])
  })
})

describe('a fault that was filed', () => {
  const state = { faultId: new Uint8Array(32), salt: new Uint8Array(32), callData: new Uint8Array(4), reporter: own }

  test('and is taken off the record, with the observation it rested on, is filed anew', async () => {
    const [faults, store] = [memoryFaultStore(), memoryWatchStore()]
    gateway.anchored = () => gateway.leaves.slice(0, 1)
    await call(start({ watch: store, faults }).client)
    const watching = Watching.create({
      ...{ crypto, fetch: globalThis.fetch, baseUrl: gateway.url, chain: gateway.chain, store, faults },
      demands: undefined,
      observe: async () => {
        gateway.observed.set(gateway.height, 1n)
        return gateway.height
      },
    })
    gateway.height = 751n
    await watching.round()
    // In a block that is not final.
    for (const id of await faults.list()) await faults.saveFiling(id, { ...state, stage: 'filed' })
    assert.deepEqual((await watching.round()).closed, [])
    gateway.observed.clear()
    const refused = { ...state, stage: 'refused', reason: 'NotObserved', isFinal: false } as const
    for (const id of await faults.list()) await faults.saveFiling(id, refused)
    gateway.height = 760n
    for (let i = 0; i < 3; i++) await watching.round()
    const found: string[] = []
    for (const id of await faults.list()) if ((await faults.load(id))?.filing === undefined) found.push(id)
    assert.ok(found.length > 0)
    // On record for good it ends.
    const recorded = { ...state, stage: 'recorded', isFinal: true } as const
    for (const id of found) await faults.saveFiling(id, recorded)
    assert.equal((await watching.round()).closed.length, 1)
    assert.deepEqual(await store.list('promises'), [])
  })

  test('is refused, and not for good, when the reorganisation has taken what it rested on', async () => {
    const words = Pledge.words({
      ...{ chainId: 7n, anchorLog: filled(20, 104), logId: filled(32, 8), leafHash: filled(32, 1), leafIndex: 1n },
      ...{ issuedAtBlock: 1n, issuedAtBlockHash: filled(32, 2) },
    })
    const signed = { pledge: words, signature: filled(64, 1), publicKey: filled(64, 1) }
    const file = Fault.serialize({ class: 4, evidence: { ...signed, missing: true, how: 2, at: 90n } })
    const id = Bytes.toHex(crypto.sha256(file))
    const faults = memoryFaultStore()
    await faults.save(id, file)
    await faults.saveFiling(id, { ...state, stage: 'filed', callData: filled(100, 1), committedFromBlock: 95n })
    const gone = () => {
      throw new CallRevertedError('execution reverted', { errorName: 'NotObserved', args: [] })
    }
    const [word, address] = [`0x${'11'.repeat(32)}`, `0x${'11'.repeat(20)}`]
    const log = {
      ...{ keyId: word, x: word, y: word, operator: address, pledgeBlocks: 10n, headSize: 0n, headRoot: word },
      ...{ ed25519Key: word, n: 0n, registeredAtBlock: 1n, retiredAtBlock: 0n },
    }
    const { court } = worldOf({ trial: gone, says: { getLog: log, committedFrom: 95n } })
    const failing = { ...court, sender: { ...court.sender, send: async () => gone() as never } }
    for (let i = 0; i < 3; i++)
      await Filing.advance({ crypto, court: failing, faults, random: (length) => filled(length, 6) })
    const filing = (await faults.load(id))?.filing
    assert.deepEqual([filing?.stage, filing?.reason, filing?.isFinal], ['refused', 'NotObserved', false])
  })
})

describe('an endpoint that shows old blocks', () => {
  /** The node's second head comes while a block before its key's registration is shown; nobody else gets it. */
  async function missed(watch: WatchStore, isRestarted: boolean) {
    gateway.hidden.add('receipts')
    const first = start({ watch })
    await call(first.client)
    const { client, faults } = isRestarted ? start({ watch }) : first
    await client.info()
    const { keyRecord } = gateway
    gateway.keyRecord = undefined
    const graded = await call(client, 'two-heads')
    const showNewest = () => {
      gateway.keyRecord = keyRecord
    }
    return { client, faults, graded, showNewest }
  }

  test('while evidence comes: it is judged when the newest is shown', async () => {
    const watch = memoryWatchStore()
    const { client, faults, graded, showNewest } = await missed(watch, false)
    for (let i = 0; i < 3; i++) await client.raisePending()
    assert.deepEqual([await faults.list(), (await watch.list('suspicions')).length], [[], 1])
    showNewest()
    await graded.meets(embedded, { waitSeconds: 5 }).catch(() => {})
    for (let i = 0; i < 3; i++) await client.raisePending()
    const { outcome } = await graded.verdict(embedded)
    const waiting = (await watch.list('suspicions')).length
    assert.deepEqual(
      { classes: await classesOf(faults), outcome, waiting },
      { classes: [1], outcome: 'FAULT', waiting: 0 },
    )
  })

  test('so it is after a restart, because whom the chain knew is written down', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'assay-forgetting-'))
    const [one, two] = [fileWatchStore(folder), fileWatchStore(folder)]
    try {
      await missed(one, true)
      assert.equal((await two.list('suspicions')).length, 1)
      const { client, faults } = start({ watch: two })
      await client.raisePending().catch(() => {})
      assert.deepEqual(await faults.list(), [])
      gateway.keyRecord = { keyId: World.keyIdOf(World.signers.node), role: 1, validUntilBlock: 0n }
      await client.raisePending()
      assert.deepEqual(await classesOf(faults), [1])
    } finally {
      one.close()
      two.close()
      rmSync(folder, { recursive: true })
    }
  })

  /** A chain that shows blocks 20, 21, .. without the log, for as long as `isOld`. */
  function aging() {
    const shown = { isOld: false, block: 20n }
    const chain = new Proxy(gateway.chain, {
      get(of, name) {
        const value = Reflect.get(of, name) as (...all: unknown[]) => unknown
        if (!shown.isOld) return value
        if (name === 'logRecord' || name === 'logHead' || name === 'step') return async () => undefined
        if (name === 'newest') return async () => shown.block++
        return value
      },
    })
    return { chain, shown }
  }

  test('for some rounds: promises of the log are followed on', async () => {
    const { chain, shown } = aging()
    const { client, faults, watch } = start({ chain })
    gateway.isFinal = false
    await call(client, 'wrong-leaf')
    gateway.anchored = () => gateway.leaves.slice(0, 1)
    await client.raisePending()
    assert.equal((await watch.list('promises')).length, 1)
    shown.isOld = true
    for (let i = 0; i < 12; i++) await client.raisePending()
    shown.isOld = false
    gateway.anchored = undefined
    for (let i = 0; i < 3; i++) await client.raisePending()
    assert.deepEqual(
      { promises: (await watch.list('promises')).length, classes: await classesOf(faults) },
      { promises: 1, classes: [3] },
    )
  })

  test('from before the pledge when it came, to a client that never saw the log registered', async () => {
    const { chain, shown } = aging()
    const { client, faults, watch } = start({ chain })
    gateway.isFinal = false
    shown.isOld = true
    await call(client, 'wrong-leaf')
    for (let i = 0; i < 12; i++) await client.raisePending()
    assert.equal((await watch.list('promises')).length, 1)
    shown.isOld = false
    await client.raisePending()
    assert.deepEqual(await classesOf(faults), [3])
  })

  test('a promise of a log that no new block shows is given up', async () => {
    const { chain, shown } = aging()
    const { client, watch } = start({ chain })
    gateway.isFinal = false
    shown.isOld = true
    await call(client)
    assert.equal((await watch.list('promises')).length, 1)
    shown.block = 100n + 64n
    for (let i = 0; i < 12; i++) await client.raisePending()
    assert.deepEqual(await watch.list('promises'), [])
  })
})
