import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { fileWatchStore, WatchFileError } from './WatchFile.ts'
import { FullError, keepsAll, limits, memoryWatchStore, type WatchStore } from './WatchStore.ts'

const bytes = (...values: number[]) => Uint8Array.from(values)
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'assay-watch-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

for (const [name, open] of [
  ['memory', () => ({ store: memoryWatchStore() as WatchStore, close: () => {} })],
  [
    'file',
    () => {
      const store = fileWatchStore(join(folder, 'watch'))
      return { store: store as WatchStore, close: store.close }
    },
  ],
] as const)
  describe(`the memory in a ${name}`, () => {
    test('keeps the first item under a name and gives it back', async () => {
      const { store, close } = open()
      assert.deepEqual(await store.put('heads', 'a', bytes(1)), bytes(1))
      assert.deepEqual(await store.put('heads', 'a', bytes(2)), bytes(1))
      assert.deepEqual(await store.put('sizes', 'a', bytes(3)), bytes(3), 'shelves are apart')
      assert.deepEqual([await store.get('heads', 'a'), await store.get('heads', 'b')], [bytes(1), undefined])
      await store.remove('heads', 'a')
      assert.deepEqual(await store.put('heads', 'a', bytes(2)), bytes(2))
      close()
    })

    test('lists by prefix, oldest first', async () => {
      const { store, close } = open()
      for (const at of ['x/9', 'x/10', 'y/1', 'x%2']) await store.put('sizes', at, bytes(0))
      assert.deepEqual(await store.list('sizes', 'x/'), ['x/9', 'x/10'])
      assert.deepEqual(await store.list('sizes'), ['x/9', 'x/10', 'y/1', 'x%2'])
      assert.deepEqual(await store.list('heads'), [])
      close()
    })
  })

test('what is owed is never forgotten, everything else is by age', async () => {
  const store = memoryWatchStore()
  for (let i = 0; i <= limits.suspicions; i++) await store.put('suspicions', String(i), bytes(1))
  assert.equal((await store.list('suspicions')).length, limits.suspicions)
  assert.equal(await store.get('suspicions', '0'), undefined)
  for (let i = 0; i < limits.promises; i++) await store.put('promises', String(i), bytes(1))
  await assert.rejects(store.put('promises', 'one more', bytes(1)), FullError)
  assert.deepEqual(await store.put('promises', '5', bytes(2)), bytes(1))
  assert.deepEqual(keepsAll, ['promises'])
})

test('a file outlives the process, ended without notice, and belongs to its owner alone', async () => {
  const code = `import { fileWatchStore } from ${JSON.stringify(new URL('./WatchFile.ts', import.meta.url).href)}
    const store = fileWatchStore(${JSON.stringify(folder)})
    await store.put('heads', 'a', Uint8Array.of(7))
    process.kill(process.pid, 'SIGKILL')`
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', code])
  assert.equal(signal, 'SIGKILL')
  const store = fileWatchStore(folder)
  assert.deepEqual(await store.get('heads', 'a'), bytes(7))
  assert.equal(statSync(join(folder, 'watch.db')).mode & 0o777, 0o600)
  store.close()
})

test('two processes share one memory: the first statement stays, whoever made it', async () => {
  const [one, other] = [fileWatchStore(folder), fileWatchStore(folder)]
  assert.deepEqual(await one.put('heads', 'a', bytes(1)), bytes(1))
  assert.deepEqual(await other.put('heads', 'a', bytes(2)), bytes(1))
  one.close()
  other.close()
})

test('a file that is none is told as such', async () => {
  writeFileSync(join(folder, 'watch.db'), 'x'.repeat(8192))
  await assert.rejects(fileWatchStore(folder).list('heads'), WatchFileError)
})
