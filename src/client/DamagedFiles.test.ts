/** A file in the home that cannot be read stops who reads it, by name; it neither blocks the process nor costs evidence that comes meanwhile. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileFaultStore } from './FileStores.ts'
import { memoryWatchStore } from './WatchStore.ts'
import { call, classesOf, gateway, start } from './watching.t.ts'

const folder = mkdtempSync(join(tmpdir(), 'assay-damaged-'))
after(() => rmSync(folder, { recursive: true }))
const name = 'a'.repeat(64)

for (const [what, path, put] of [
  ['a folder in the place of a fault file', `${name}.fault`, (path: string) => mkdirSync(path)],
  ['a filing state that nobody wrote here', `${name}.filing`, (path: string) => writeFileSync(path, '{')],
] as const)
  test(`evidence that comes beside ${what} is written down, and kept as a file once that is gone`, async () => {
    const home = mkdtempSync(join(folder, 'home-'))
    const faults = fileFaultStore(home)
    const watch = memoryWatchStore()
    const { client } = start({ faults, watch })
    await call(client)
    if (path.endsWith('.filing')) writeFileSync(join(home, `${name}.fault`), 'no fault')
    put(join(home, path))
    await call(client, 'two-heads').catch(() => undefined)
    gateway.lie = 'none'
    assert.equal((await watch.list('suspicions')).length, 1)
    await assert.rejects(client.raisePending(), { code: 'stored-file' })
    rmSync(join(home, path), { recursive: true })
    rmSync(join(home, `${name}.fault`), { force: true })
    await client.raisePending()
    assert.deepEqual(await classesOf(faults), [1])
  })

test('a pipe in the place of a fault file is not waited for', () => {
  if (process.platform === 'win32') return
  const home = mkdtempSync(join(folder, 'home-'))
  execFileSync('mkfifo', [join(home, `${name}.fault`)])
  const module = JSON.stringify(new URL('./FileStores.ts', import.meta.url).href)
  const program = `const { fileFaultStore } = await import(${module})
await fileFaultStore(${JSON.stringify(home)}).load('${name}').catch(({ code }) => console.log(code))`
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 20_000 })
  assert.equal(stdout.toString().trim(), 'stored-file')
})
