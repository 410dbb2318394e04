/**
 * StaticFiles.test.ts - reads the published files as a stranger would who knows C2SP's tlog-tiles and nothing of our code:
 * paths, tile sizes, bundles and the checkpoint are parsed here again, and the root is rebuilt with node:crypto alone.
 */
import assert from 'node:assert/strict'
import { createHash, createPublicKey, verify } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { StorageError } from '../store/Database.ts'
import * as StaticFiles from './StaticFiles.ts'
import * as scene from './scene.ts'

const sha256 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/** RFC 9162 section 2.1.1, as written there. */
function treeHead(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return sha256()
  if (leaves.length === 1) return leaves[0] as Buffer
  let k = 1
  while (k * 2 < leaves.length) k *= 2
  return sha256(Buffer.from([1]), treeHead(leaves.slice(0, k)), treeHead(leaves.slice(k)))
}

const chunks = (bytes: Buffer, length: number): Buffer[] =>
  Array.from({ length: bytes.length / length }, (_, i) => bytes.subarray(i * length, (i + 1) * length))

function readLog(folder: string) {
  const text = readFileSync(join(folder, 'checkpoint'), 'utf8')
  const [origin, sizeText, rootText] = text.split('\n')
  const size = Number(sizeText)
  const readLevel = (kind: string, count: number): Buffer[] => {
    const tiles: Buffer[] = []
    for (let n = 0; n * 256 < count; n++) {
      const width = Math.min(256, count - n * 256)
      const digits = String(n).padStart(3, '0')
      tiles.push(readFileSync(join(folder, 'tile', kind, width === 256 ? digits : `${digits}.p/${width}`)))
    }
    return tiles
  }
  const leaves = readLevel('0', size).flatMap((tile) => chunks(tile, 32))
  const entries: Buffer[] = []
  for (const bundle of readLevel('entries', size)) {
    for (let offset = 0; offset < bundle.length; offset += 2 + bundle.readUInt16BE(offset)) {
      entries.push(bundle.subarray(offset + 2, offset + 2 + bundle.readUInt16BE(offset)))
    }
  }
  const level1 = readLevel('1', size >> 8).flatMap((tile) => chunks(tile, 32))
  return { text, origin, size, root: Buffer.from(rootText as string, 'base64'), leaves, entries, level1 }
}

async function published(t: TestContext, count: number, size: number) {
  const folder = scene.temporaryFolder(t)
  const chain = scene.createChain()
  const both = await scene.openBoth(folder, chain)
  await Promise.all(Array.from({ length: count }, async (_, i) => both.log.append(await scene.request(BigInt(i)))))
  await both.log.signCheckpoint(BigInt(size))
  return { folder, chain, ...both }
}

describe('published files', () => {
  test('a stranger rebuilds the root and the level above from leaves and entries', async (t) => {
    const { log, close } = await published(t, 620, 600)
    const read = readLog(log.files)
    assert.equal(read.size, 600)
    assert.equal(read.leaves.length, 600)
    assert.deepEqual(
      read.entries.map((entry) => sha256(Buffer.from([0]), entry)),
      read.leaves,
    )
    assert.deepEqual(treeHead(read.leaves), read.root)
    assert.deepEqual(read.level1, [treeHead(read.leaves.slice(0, 256)), treeHead(read.leaves.slice(256, 512))])
    assert.equal(read.entries[0]?.length, 75)
    await close()
  })

  test("the log's Ed25519 line is a signed note", async (t) => {
    const { log, close } = await published(t, 3, 3)
    const { text, origin } = readLog(log.files)
    const publicKey = Buffer.from(scene.signers.logNote.publicKey)
    const id = sha256(Buffer.from(`${origin}\n\u0001`), publicKey).subarray(0, 4)
    const [body, lines] = text.split('\n\n') as [string, string]
    const line = lines.split('\n').find((one) => {
      const bytes = Buffer.from(one.split(' ')[2] ?? '', 'base64')
      return one.startsWith(`— ${origin} `) && bytes.subarray(0, 4).equals(id)
    })
    const blob = Buffer.from(line?.split(' ')[2] as string, 'base64').subarray(4)
    const key = createPublicKey({
      format: 'jwk',
      key: { kty: 'OKP', crv: 'Ed25519', x: publicKey.toString('base64url') },
    })
    assert.ok(verify(null, Buffer.from(`${body}\n`), key, blob))
    await close()
  })

  test('growing replaces partial tiles by complete ones', async (t) => {
    const { log, close } = await published(t, 620, 200)
    assert.ok(existsSync(join(log.files, 'tile/0/000.p/200')))
    await log.signCheckpoint(256n)
    assert.ok(!existsSync(join(log.files, 'tile/0/000.p')))
    await log.signCheckpoint(620n)
    const names = readdirSync(join(log.files, 'tile/0'), { recursive: true }).sort()
    assert.deepEqual(names, ['000', '001', '002.p', '002.p/108'])
    assert.deepEqual(treeHead(readLog(log.files).leaves), readLog(log.files).root)
    await close()
  })

  test('missing and half-written files are made again at start', async (t) => {
    const { folder, chain, log, close } = await published(t, 620, 600)
    const { files } = log
    await close()
    rmSync(join(files, 'tile/0/001'))
    rmSync(join(files, 'tile/entries'), { recursive: true })
    rmSync(join(files, 'checkpoint'))
    writeFileSync(join(files, 'tile/0/000.tmp'), 'half')
    const again = await scene.openBoth(folder, chain)
    await again.log.published
    assert.deepEqual(treeHead(readLog(files).leaves), readLog(files).root)
    assert.equal(readLog(files).entries.length, 600)
    assert.ok(!existsSync(join(files, 'tile/0/000.tmp')))
    await again.close()
  })

  test('a folder that cannot be written is a typed error', async (t) => {
    const { log, close } = await published(t, 3, 1)
    rmSync(log.files, { recursive: true })
    writeFileSync(log.files, 'in the way')
    await assert.rejects(log.signCheckpoint(2n), StorageError)
    rmSync(log.files)
    await log.signCheckpoint(2n)
    assert.equal(readLog(log.files).size, 2)
    await close()
  })
})

test('paths have groups of three digits', () => {
  assert.equal(StaticFiles.tilePath(0, 0n), 'tile/0/000')
  assert.equal(StaticFiles.tilePath(2, 1_234_067n), 'tile/2/x001/x234/067')
  assert.equal(StaticFiles.tilePath('entries', 999n, 7), 'tile/entries/999.p/7')
  assert.equal(StaticFiles.tilePath('entries', 1000n), 'tile/entries/x001/000')
})
