/** keys-log.test.ts - the key of a log goes on nobody's bare word that there is no such log. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import * as Logs from '@assay/node/daemon/logs'
import * as SqliteLogStore from '@assay/node/log/SqliteLogStore'
import { crypto } from 'assay/crypto/node'
import { removeUnused } from './keys-log.ts'

test('the key of a log with a database stays, though the endpoint knows no such log', (context) => {
  const home = mkdtempSync(join(tmpdir(), 'assay-keys-log-'))
  context.after(() => rmSync(home, { recursive: true }))
  const [{ slot, signer }, other] = Logs.openKeys(home)
  assert.ok(other !== undefined)
  const [folder, unused] = [join(home, slot.log), join(home, other.slot.log)]
  SqliteLogStore.open({ folder, kind: 'log', logId: new Uint8Array(32).fill(8), crypto }).close()
  assert.throws(() => removeUnused(folder, { role: 'log', publicKey: signer.publicKey }), { code: 'log-unknown' })
  assert.ok(existsSync(join(folder, 'key.json')))
  removeUnused(unused, { role: 'log', publicKey: other.signer.publicKey })
  assert.ok(!existsSync(join(unused, 'key.json')))
})
