/**
 * Watching.test.ts - a default client against parties that cheat: every fault that a contract decides is found without help, becomes a
 * file that the judge accepts, and turns the verdict; and each cheat with one thing made true again shows nothing.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { ChainSilence } from '../../tests/fakes/FakeChain.ts'
import * as FakeGateway from '../../tests/fakes/FakeGateway.ts'
import { anchorLog, chainId, logId, signers } from '../../tests/fakes/World.ts'
import { crypto } from '../crypto/node.ts'
import * as Checkpoint from '../protocol/Checkpoint.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Head from '../protocol/Head.ts'
import { embedded, recorded } from '../verify/policies.ts'
import { fileFaultStore, fileWatchStore } from './FileStores.ts'
import { memoryWatchStore } from './WatchStore.ts'

import { assertFault, call, classesOf, digest, filesOf, gateway, start } from './watching.t.ts'

describe('a node', () => {
  test('that signs two heads in one place is found at the second call (F1)', async () => {
    const { client, faults } = start()
    await call(client)
    const second = await call(client, 'two-heads')
    assert.deepEqual(await classesOf(faults), [1])
    await assertFault(second, 'F1')
    assert.equal((await client.verdict(second.bundle(), recorded)).outcome, 'FAULT')
    assert.deepEqual((await client.raisePending()).faults.length, 1)
    assert.deepEqual((await client.raisePending()).faults, [])
  })

  test('that links wrongly is found (F13)', async () => {
    const { client, faults } = start()
    await call(client)
    await assertFault(await call(client, 'wrong-link'), 'F13')
    assert.deepEqual(await classesOf(faults), [13])
  })

  test('is found across a restart, and by heads that it signed for others', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'assay-watch-'))
    const watch = fileWatchStore(folder)
    const again = fileWatchStore(folder)
    try {
      await call(start({ watch }).client)
      const after = start({ watch: again, faults: fileFaultStore(join(folder, 'faults')) })
      await call(after.client, 'two-heads')
      assert.deepEqual(await classesOf(after.faults), [1])
    } finally {
      watch.close()
      again.close()
      rmSync(folder, { recursive: true })
    }
  })

  for (const [name, fields, expected] of [
    ['another receipt in the place of mine (F1)', { sequence: 0n, previous: new Uint8Array(32) }, [1]],
    ['a receipt behind mine that does not link to it (F13)', { sequence: 1n, previous: digest('elsewhere') }, [13]],
    ['a receipt behind mine that links to it', undefined, []],
    ['a receipt far behind mine', { sequence: 9n, previous: digest('elsewhere') }, []],
  ] as const)
    test(`signed for somebody else ${name}`, async () => {
      const { client, faults } = start()
      await call(client)
      await gateway.issue(fields ?? {})
      await client.raisePending()
      assert.deepEqual(await classesOf(faults), expected)
    })

  test('that is honest is not accused, call after call', async () => {
    const { client, faults, watch } = start()
    for (let i = 0; i < 5; i++) await (await call(client)).meets(embedded, { waitSeconds: 5 })
    await client.raisePending()
    assert.deepEqual(await classesOf(faults), [])
    assert.deepEqual(await watch.list('promises'), [])
    assert.equal((await watch.list('heads')).length, 5)
  })

  test('is not accused without a view of the chain, or when its key is not the registered one; what was seen waits', async () => {
    const { chain, ...blind } = { ...start().client, chain: undefined }
    assert.ok(chain === undefined && blind.baseUrl === gateway.url)
    const watch = memoryWatchStore()
    const before = start({ watch })
    await call(before.client)
    const unreachable = { ...gateway.chain, keyRecord: async () => Promise.reject(new ChainSilence()) }
    const good = gateway.chain.keyRecord
    let isSilent = false
    const sometimes = {
      ...gateway.chain,
      keyRecord: (query: never) => (isSilent ? unreachable.keyRecord() : good(query)),
    }
    const during = start({ watch, chain: sometimes })
    await during.client.info()
    isSilent = true
    await call(during.client, 'two-heads')
    assert.deepEqual(await classesOf(during.faults), [])
    assert.equal((await watch.list('suspicions')).length, 1)
    isSilent = false
    assert.equal((await during.client.raisePending()).faults.length, 1)
    assert.deepEqual(await classesOf(during.faults), [1])
    const record = gateway.keyRecord
    const other = start()
    await call(other.client)
    gateway.keyRecord = { keyId: digest('another key'), role: 1, validUntilBlock: 0n }
    await call(other.client, 'two-heads')
    assert.deepEqual(await other.faults.list(), [])
    gateway.keyRecord = record
  })
})

describe('a log', () => {
  test('that anchors another leaf at my index is found, and the receipt stays pending (F3)', async () => {
    const { client, faults, pending } = start()
    const graded = await call(client, 'wrong-leaf')
    await assertFault(graded, 'F3')
    assert.deepEqual(await classesOf(faults), [3])
    const report = await client.raisePending()
    assert.equal(report.failed.length, 1)
    assert.deepEqual(await pending.list(), [graded.receiptHash])
  })

  test('that stores an entry which is not that of its head is found (F5)', async () => {
    const { client, faults, pending } = start()
    const graded = await call(client, 'false-entry')
    await client.raisePending()
    assert.deepEqual(await classesOf(faults), [3, 5])
    await assertFault(graded, 'F5')
    const [id] = await faults.list()
    assert.equal((await pending.list()).length, 1)
    const filed = {
      faultId: digest('id'),
      salt: digest('salt'),
      callData: new Uint8Array(1),
      reporter: new Uint8Array(20),
    }
    await faults.saveFiling(id as string, { ...filed, stage: 'recorded' })
    await client.raisePending()
    assert.equal((await pending.list()).length, 1, 'a reorganisation can still take the record back')
    await faults.saveFiling(id as string, { ...filed, stage: 'recorded', isFinal: true })
    await client.raisePending()
    assert.deepEqual(await pending.list(), [], 'on record: nothing is left to follow')
  })

  test('that pledges the false entry itself is found although the call fails (F5)', async () => {
    const { client, faults, watch } = start()
    await assert.rejects(call(client, 'pledged-false-entry'), { step: 'pledge' })
    gateway.lie = 'none'
    assert.equal((await watch.list('promises')).length, 1)
    await client.raisePending()
    assert.deepEqual(await classesOf(faults), [5])
  })

  test('is not accused when a gateway hands out its pledge for another receipt', async () => {
    const { client, faults, watch } = start()
    await call(client)
    await assert.rejects(call(client, 'other-pledge'), { step: 'pledge' })
    gateway.lie = 'none'
    gateway.height = 701n
    await client.raisePending()
    assert.deepEqual(await classesOf(faults), [])
    assert.deepEqual(await watch.list('promises'), [], 'kept for whom it was made')
  })

  test('that signs another root than it anchored is found (F2)', async () => {
    const { client, faults } = start()
    const graded = await call(client)
    const fork = [digest('another first'), ...gateway.leaves.slice(1)]
    gateway.told = () => fork
    await assertFault(graded, 'F2')
    assert.deepEqual(await classesOf(faults), [2])
  })

  test('that signs a size which the chain passes over, with my leaf in it, and anchors another, is found by the index (F2)', async () => {
    const { client, faults } = start()
    await call(client)
    const signed = gateway.leaves.slice()
    gateway.told = () => signed
    gateway.anchored = () => [signed[0] as Uint8Array, digest('not mine'), digest('third')]
    gateway.stepBlock = (size) => (size === 3n ? 105n : undefined)
    gateway.isFinal = false
    await client.raisePending()
    const found = await filesOf(faults)
    assert.deepEqual(found.map((one) => one.class).sort(), [2, 3])
    assert.equal(found.find((one) => one.class === 2)?.evidence.index, 1n)
  })

  test('of which the contract recorded a conflict is found by the event (F2); a made-up event shows nothing', async () => {
    const { client, faults } = start()
    gateway.isFinal = false
    await call(client)
    const root = digest('another root')
    const payload = Checkpoint.payload(crypto, Checkpoint.words({ chainId, anchorLog, logId, size: 1n, root }))
    const sign = (signer: Cose.Signer) => Cose.sign(crypto, signer, 'checkpoint', payload)
    gateway.hints.conflicts.push({ size: 1n, root, signature: await sign(signers.stranger) })
    await client.raisePending()
    assert.deepEqual(await classesOf(faults), [])
    gateway.hints.conflicts.push({ size: 1n, root, signature: await sign(signers.log) })
    await client.raisePending()
    assert.deepEqual(await classesOf(faults), [2])
  })

  test('that publishes a checkpoint which it does not anchor is found (F2)', async () => {
    const { client, faults } = start()
    gateway.isFinal = false
    await call(client)
    gateway.hidden.add('proof')
    gateway.told = () => [digest('another first'), ...gateway.leaves.slice(1)]
    await client.raisePending()
    assert.deepEqual(await classesOf(faults), [2])
  })
})

describe('a witness', () => {
  for (const [name, later] of [
    ['of one size (F6)', (leaves: Uint8Array[]) => [digest('fork'), ...leaves.slice(1)]],
    [
      'of two sizes, by a leaf beside mine (F6)',
      (leaves: Uint8Array[]) => [digest('fork'), ...leaves.slice(1), digest('more')],
    ],
  ] as const)
    test(`that cosigns two histories ${name}`, async () => {
      const { client, faults } = start()
      gateway.isFinal = false
      gateway.stepBlock = () => undefined
      const asIssued = (await call(client)).bundle()
      await client.raise(asIssued)
      assert.deepEqual(await classesOf(faults), [])
      const leaves = gateway.leaves.slice()
      gateway.told = () => later(leaves)
      await assert.rejects(client.raise(asIssued), { step: 'log-proof' })
      const found = (await classesOf(faults)).filter((one) => one === 6)
      assert.deepEqual(found, [6])
    })

  test('that cosigns what grows is not accused', async () => {
    const { client, faults } = start()
    gateway.isFinal = false
    gateway.stepBlock = (size) => (size % 2n === 0n ? 105n : undefined)
    for (let i = 0; i < 4; i++) {
      await call(client)
      await client.raisePending()
    }
    assert.deepEqual(await classesOf(faults), [])
  })
})

test('the memory holds no prompt, no answer and no secret', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'assay-watch-'))
  const watch = fileWatchStore(folder)
  try {
    const { client } = start({ watch })
    const graded = await call(client)
    await assert.rejects(call(client, 'claims-withheld'))
    const shelves = ['heads', 'sizes', 'places', 'promises', 'suspicions', 'unopened', 'logs'] as const
    const items: Uint8Array[] = []
    for (const shelf of shelves)
      for (const name of await watch.list(shelf)) items.push((await watch.get(shelf, name)) as Uint8Array)
    assert.ok(items.length >= 4)
    const all = Buffer.concat(items)
    assert.ok(!all.includes('secret prompt') && !all.includes(FakeGateway.answerText))
    for (let i = 0n; i < 2n; i++) assert.ok(!all.includes(Buffer.from(digest(`secret ${i}`))))
    assert.equal(Head.byteLength, 139)
    assert.equal(graded.receiptHash.length, 64)
  } finally {
    watch.close()
    rmSync(folder, { recursive: true })
  }
})
