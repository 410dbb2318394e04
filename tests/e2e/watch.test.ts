/**
 * watch.test.ts - what a default client asks of a real chain and a real log before it accuses anybody: facts by state proof, tiles under
 * an anchored root. Nobody here cheats, so nothing is found.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startDaemon } from '@assay/node/daemon'
import { Rpc } from 'assay/chain'
import { ChainAccess, Client, Stores } from 'assay/client'
import { fileWatchStore } from 'assay/client/node'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bundle, Bytes, Cose, Head, LogEntry, Merkle, Pledge } from 'assay/protocol'
import { policies } from 'assay/verify'
import * as Tiles from '../../src/client/Tiles.ts'

const root = mkdtempSync(join(tmpdir(), 'assay-watch-'))
let daemon: Awaited<ReturnType<typeof startDaemon>>
before(async () => {
  daemon = await startDaemon({ home: join(root, 'home'), port: 0, models: join(import.meta.dirname, '../../models') })
})
after(async () => {
  await daemon.stop()
  rmSync(root, { recursive: true, force: true })
})

test('facts, tiles and neighbours of an honest network', async () => {
  const { reader, endpoints } = daemon
  const rpc = Rpc.create({ url: endpoints.chain, chainId: reader.anchors.chainId })
  const chain = ChainAccess.overRpc(crypto, rpc, reader.anchors)
  const faults = Stores.memoryFaultStore()
  const watch = fileWatchStore(join(root, 'watch'))
  const client = Client.create({
    ...{ baseUrl: endpoints.gateway, crypto, chain, faults, watch },
    ...{ anchors: Stores.memoryAnchorStore([reader.anchors]), pending: Stores.memoryPendingStore() },
    signer: createP256Signer(new Uint8Array(32).fill(5)),
    random: (length) => new Uint8Array(randomBytes(length)),
    names: { witnesses: [reader.witness], operators: [reader.operator], rewrites: [] },
  })
  const body = Bytes.fromUtf8('{"model":"tiny","messages":[{"role":"user","content":"hello"}],"max_tokens":4}')
  let bundle: Bundle.Bundle | undefined
  for (let i = 0; i < 3; i++) {
    const graded = await client.call('/v1/chat/completions', body)
    assert.ok((await watch.list('promises')).length > 0)
    await graded.meets(policies.embedded, { waitSeconds: 30 })
    bundle = Bundle.parse(graded.bundle())
  }
  assert.ok(bundle?.pledge !== undefined && bundle.checkpoint !== undefined && bundle.keys.log !== undefined)
  const { logId, leafIndex, leafHash } = Pledge.parse(bundle.pledge.words)
  assert.deepEqual((await chain.logRecord(logId))?.keyId, Cose.keyId(crypto, bundle.keys.log))
  assert.equal(await chain.logRecord(new Uint8Array(32).fill(1)), undefined)
  const head = await chain.logHead(logId)
  assert.ok(head !== undefined && head.size > leafIndex && head.block <= (await chain.newest()))
  const step = await chain.step(logId, bundle.checkpoint.size)
  assert.deepEqual(step?.root, bundle.checkpoint.root)
  assert.equal(await chain.step(logId, 1n << 40n), undefined)
  const [line] = bundle.checkpoint.cosignatures
  assert.ok(line !== undefined)
  const registration = await chain.registrationOf(Cose.keyId(crypto, line.publicKey))
  // Node and witness enter their keys side by side: either may be the first.
  assert.ok(registration?.role === 3 && registration.keyEpoch <= 1)
  assert.equal(await chain.registrationOf(new Uint8Array(32).fill(1)), undefined)
  const terms = await chain.courtTerms()
  assert.ok(terms !== undefined && terms.graceBlocks > 0n && terms.incidentBlocks > 0n)
  assert.equal(await chain.observed(logId, 1n), undefined)
  const hints = await chain.hints(logId, 0n)
  assert.ok(hints.anchored.includes(bundle.checkpoint.size))
  assert.deepEqual([hints.observed, hints.conflicts], [[], []])

  const tiles = Tiles.create({ crypto, fetch, baseUrl: endpoints.gateway, logId })
  const leaf = await tiles.leaf(head, leafIndex)
  assert.deepEqual(leaf.leafHash, leafHash)
  assert.deepEqual(await tiles.rootAt(head, bundle.checkpoint.size), bundle.checkpoint.root)
  const entries = await tiles.entries(head, leafIndex)
  assert.deepEqual(entries.get(leafIndex), LogEntry.fromHead(crypto, bundle.receipt.head))
  await assert.rejects(tiles.leaf({ ...head, root: Merkle.emptyRoot(crypto) }, leafIndex), Tiles.WithheldError)

  const report = await client.raisePending()
  assert.deepEqual([report.faults, await faults.list(), await watch.list('suspicions')], [[], [], []])
  assert.deepEqual(await watch.list('promises'), [])
  assert.equal((await watch.list('heads')).length, Number(Head.parse(bundle.receipt.head).sequence) + 1)
  watch.close()
})
