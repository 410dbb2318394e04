/** The files in vectors/ and spec/example.md are what the generator would write now. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as ChainPiece from '../src/chain/ChainPiece.ts'
import * as Cose from '../src/protocol/Cose.ts'
import { outputs } from './generate-vectors.ts'
import { piece } from './vector-files/chain.ts'
import * as World from './vector-files/world.ts'

const root = join(import.meta.dirname, '..')

test('vectors are fresh; after a change on purpose run: node scripts/generate-vectors.ts', async () => {
  for (const [path, text] of Object.entries(await outputs())) {
    assert.ok(readFileSync(join(root, path), 'utf8') === text, `${path} is stale`)
  }
})

test('every file says what it is, no name stands twice, and all but the names have cases that must fail', async () => {
  // A name is a hash of whatever it is of: there is nothing to refuse.
  const without = ['vectors/identity.json']
  for (const [name, text] of Object.entries(await outputs())) {
    if (!name.startsWith('vectors/')) continue
    const file: { description: string; cases: { name: string; mustFail?: string }[] } = JSON.parse(text)
    assert.ok(file.description.length > 0, name)
    assert.equal(new Set(file.cases.map((item) => item.name)).size, file.cases.length, `${name}: a name twice`)
    assert.equal(
      file.cases.some(({ mustFail }) => mustFail !== undefined),
      !without.includes(name),
      name,
    )
  }
})

test('the chain piece shows what its file says', () => {
  const { chainId, registry, nodeId, head, anchorLog, logId, size, root, node, log } = World
  const subject = {
    registry: { address: registry, nodeId, keyEpoch: head.keyEpoch },
    log: { address: anchorLog, logId, size },
  }
  const keyId = (key: Uint8Array) => Cose.keyId(World.crypto, key)
  const expected = { nodeKeyId: keyId(node.publicKey), logKeyId: keyId(log.publicKey), root }
  const facts = ChainPiece.verify(World.crypto, piece, subject, expected)
  assert.equal(chainId, 31337n)
  assert.equal(facts.header.number, 1020n)
})
