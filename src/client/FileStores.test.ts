import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import * as TrustAnchors from '../chain/TrustAnchors.ts'
import * as FileStores from './FileStores.ts'
import { maxPending } from './Stores.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'assay-stores-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const hashOf = (digit: string) => digit.repeat(64)
const bytesOf = (text: string) => new TextEncoder().encode(text)
const anchors = (byte = 1): TrustAnchors.TrustAnchors => ({
  chainId: 7n,
  nodeRegistry: { address: new Uint8Array(20).fill(byte), codeHash: new Uint8Array(32).fill(2) },
  anchorLog: { address: new Uint8Array(20).fill(3), codeHash: new Uint8Array(32).fill(4) },
  finality: 'development',
  headers: [],
})
const header = (number: bigint) => ({ number, hash: new Uint8Array(32).fill(Number(number % 251n)) })

/** Runs a program with the stores in another process; gives how it ended. */
function run(program: string): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  const module = JSON.stringify(new URL('./FileStores.ts', import.meta.url).href)
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `const FileStores = await import(${module}); const folder = ${JSON.stringify(folder)};\n${program}`,
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  )
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })))
}

describe('pending receipts in files', () => {
  test('keep, replace, list oldest first, remove', async () => {
    const store = FileStores.filePendingStore(join(folder, 'pending'))
    assert.deepEqual(await store.list(), [])
    assert.equal(await store.load(hashOf('a')), undefined)
    await store.save(hashOf('b'), bytesOf('first'))
    utimesSync(join(folder, 'pending', `${hashOf('b')}.receipt`), 1000, 1000)
    await store.save(hashOf('a'), bytesOf('second'))
    await store.save(hashOf('b'), bytesOf('first, raised'))
    assert.deepEqual(await store.list(), [hashOf('b'), hashOf('a')])
    assert.deepEqual(await store.load(hashOf('b')), bytesOf('first, raised'))
    await store.remove(hashOf('b'))
    await store.remove(hashOf('b'))
    assert.deepEqual(await store.list(), [hashOf('a')])
  })

  test('are readable by their owner alone', async () => {
    const path = join(folder, 'pending')
    await FileStores.filePendingStore(path).save(hashOf('a'), bytesOf('x'))
    assert.equal(statSync(path).mode & 0o777, 0o700)
    assert.equal(statSync(join(path, `${hashOf('a')}.receipt`)).mode & 0o777, 0o600)
  })

  test('have no other names than hashes, and no more bytes than a bundle', async () => {
    const store = FileStores.filePendingStore(folder)
    for (const name of ['../x', '', 'A'.repeat(64), `${hashOf('a')}/..`]) {
      await assert.rejects(store.save(name, bytesOf('x')), FileStores.ReceiptNameError)
      await assert.rejects(store.load(name), FileStores.ReceiptNameError)
      await assert.rejects(store.remove(name), FileStores.ReceiptNameError)
    }
    await assert.rejects(store.save(hashOf('a'), new Uint8Array(4 * 1024 * 1024 + 1)), FileStores.ReceiptSizeError)
    writeFileSync(join(folder, `${hashOf('c')}.receipt`), new Uint8Array(4 * 1024 * 1024 + 1))
    await assert.rejects(store.load(hashOf('c')), FileStores.StoredFileError)
    mkdirSync(join(folder, `${hashOf('d')}.receipt`))
    await assert.rejects(store.load(hashOf('d')), FileStores.StoredFileError)
  })

  test('are at most ten thousand', async () => {
    for (let i = 0; i < maxPending; i++) writeFileSync(join(folder, `${i.toString(16).padStart(64, '0')}.receipt`), '')
    const store = FileStores.filePendingStore(folder)
    await assert.rejects(store.save(hashOf('f'), bytesOf('x')), FileStores.PendingFolderFullError)
    await store.save('0'.repeat(64), bytesOf('an old one may still rise'))
  })

  test('what a crash left beside goes after an hour, and never counts', async () => {
    const store = FileStores.filePendingStore(folder)
    const fresh = join(folder, `${hashOf('a')}.receipt.1.aa.new`)
    const old = join(folder, `${hashOf('b')}.receipt.1.bb.new`)
    for (const path of [fresh, old]) writeFileSync(path, 'half')
    utimesSync(old, 1000, 1000)
    assert.deepEqual(await store.list(), [])
    assert.deepEqual([existsSync(fresh), existsSync(old)], [true, false])
  })

  for (const step of ['written', 'synced', 'renamed'])
    test(`kill -9 at '${step}' leaves the old state or the new one, whole`, async () => {
      const store = FileStores.filePendingStore(folder)
      await store.save(hashOf('a'), bytesOf('old'))
      const { signal } = await run(`
        const reached = (step) => { if (step === ${JSON.stringify(step)}) process.kill(process.pid, 'SIGKILL') }
        const store = FileStores.filePendingStore(folder, { reached })
        await store.save(${JSON.stringify(hashOf('a'))}, new TextEncoder().encode('new'))`)
      assert.equal(signal, 'SIGKILL')
      const expected = step === 'renamed' ? 'new' : 'old'
      assert.deepEqual(await store.load(hashOf('a')), bytesOf(expected))
      assert.deepEqual(await store.list(), [hashOf('a')])
    })
})

describe('trust anchors in a file', () => {
  test('no file means that nothing is trusted; a header alone adds none', async () => {
    const store = FileStores.fileAnchorStore(join(folder, 'anchors.json'))
    assert.deepEqual(await store.read(), [])
    await store.addHeader(7n, header(1n))
    assert.deepEqual(await store.read(), [])
    assert.ok(!existsSync(join(folder, 'anchors.json')))
  })

  test('names are added once and never changed', async () => {
    const store = FileStores.fileAnchorStore(join(folder, 'anchors.json'))
    assert.equal(await store.trust(anchors()), 'added')
    await store.addHeader(7n, header(5n))
    await store.addHeader(7n, header(3n))
    assert.equal(await store.trust(anchors()), 'same')
    const before = readFileSync(join(folder, 'anchors.json'), 'utf8')
    assert.equal(await store.trust(anchors(9)), 'differs')
    assert.equal(readFileSync(join(folder, 'anchors.json'), 'utf8'), before)
    assert.deepEqual((await store.read())[0]?.headers, [header(3n), header(5n)])
    assert.equal(statSync(join(folder, 'anchors.json')).mode & 0o777, 0o600)
  })

  test('a damaged file is an error, not an empty one', async () => {
    writeFileSync(join(folder, 'anchors.json'), '[{')
    const store = FileStores.fileAnchorStore(join(folder, 'anchors.json'))
    await assert.rejects(store.read(), TrustAnchors.AnchorsFileError)
    await assert.rejects(store.addHeader(7n, header(1n)), TrustAnchors.AnchorsFileError)
    assert.equal(readFileSync(join(folder, 'anchors.json'), 'utf8'), '[{')
  })

  test('two processes lose no header of each other', async () => {
    const store = FileStores.fileAnchorStore(join(folder, 'anchors.json'))
    await store.trust(anchors())
    const add = (start: number) =>
      run(`
        const store = FileStores.fileAnchorStore(folder + '/anchors.json')
        for (let i = 0; i < 40; i++) {
          const number = BigInt(${start} + 2 * i)
          await store.addHeader(7n, { number, hash: new Uint8Array(32).fill(Number(number % 251n)) })
        }`)
    const ends = await Promise.all([add(0), add(1)])
    assert.deepEqual(
      ends.map(({ code }) => code),
      [0, 0],
    )
    const headers = (await store.read())[0]?.headers ?? []
    assert.deepEqual(
      headers.map(({ number }) => number),
      Array.from({ length: 80 }, (_, i) => BigInt(i)),
    )
  })

  test('a process that dies while it holds the lock holds up nobody', async () => {
    const store = FileStores.fileAnchorStore(join(folder, 'anchors.json'))
    await store.trust(anchors())
    const { signal } = await run(`
      const reached = (step) => { if (step === 'synced') process.kill(process.pid, 'SIGKILL') }
      const store = FileStores.fileAnchorStore(folder + '/anchors.json', { reached })
      await store.addHeader(7n, { number: 1n, hash: new Uint8Array(32) })`)
    assert.equal(signal, 'SIGKILL')
    assert.deepEqual((await store.read())[0]?.headers, [])
    await store.addHeader(7n, header(2n))
    assert.deepEqual((await store.read())[0]?.headers, [header(2n)])
    // What the dead one left beside stays out of the way.
    assert.ok(readdirSync(folder).filter((name) => name.endsWith('.new')).length <= 1)
  })
})
