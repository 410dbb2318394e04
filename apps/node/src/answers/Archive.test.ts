/** Archive.test.ts - a log that has ended still shows where its entries stand. */
import assert from 'node:assert/strict'
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { crypto } from 'assay/crypto/node'
import { LogEntry, Merkle } from 'assay/protocol'
import * as scene from '../log/scene.ts'
import * as Archive from './Archive.ts'

test('entries and proofs of an ended log are read from its folder, under the first anchored size that covers them', async (t) => {
  const folder = scene.temporaryFolder(t)
  const { log, close } = await scene.openBoth(folder, scene.createChain())
  for (let i = 0n; i < 300n; i += 50n)
    await Promise.all(Array.from({ length: 50 }, async (_, k) => log.append(await scene.request(i + BigInt(k)))))
  const roots = new Map<bigint, Uint8Array>()
  for (const size of [40n, 290n]) {
    roots.set(size, (await log.signCheckpoint(size)).root)
    log.markAnchored(size, size)
  }
  await close()
  const { logId } = scene.identity
  renameSync(join(folder, 'log'), join(folder, Archive.folderName('log', logId)))

  const [archived, ...others] = Archive.openAll(crypto, folder)
  assert.ok(archived !== undefined && others.length === 0)
  t.after(() => archived.close())
  assert.deepEqual([archived.logId, archived.size()], [logId, 300n])
  for (const index of [0n, 39n, 40n, 289n]) {
    const { size, proof } = await archived.proof({ index })
    assert.equal(size, index < 40n ? 40n : 290n)
    const { head } = archived.entry(index) as { readonly head: Uint8Array }
    const leafHash = LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, head))
    Merkle.verifyInclusion(crypto, { leafHash, index, size, proof: [...proof], root: roots.get(size) as Uint8Array })
  }
  await assert.rejects(archived.proof({ index: 290n }), { code: 'not-anchored' })
  assert.equal((await archived.inclusion(290n, 300n)).length > 0, true)
})
