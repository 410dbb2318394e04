/**
 * Files that a generator wrote are what it would write now. A generator is a module that exports
 * `outputs(): Promise<Record<path from the root, string | Uint8Array>>`; name it here with what it owns.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { root } from './Tree.ts'

type Outputs = Readonly<Record<string, string | Uint8Array>>

const pairs: readonly { readonly generator: string; readonly outputs: readonly string[] }[] = [
  { generator: 'scripts/generate-verdict-vectors.ts', outputs: ['vectors/policies.json', 'vectors/verdict.json'] },
]

/** The outputs that are absent or differ from what stands in the tree. */
function stale(outputs: Outputs, read: (path: string) => Uint8Array | undefined): string[] {
  return Object.entries(outputs)
    .filter(
      ([path, wanted]) => Buffer.compare(Buffer.from(read(path) ?? 'absent'), Buffer.from(wanted as string)) !== 0,
    )
    .map(([path]) => path)
}

describe('generated files', () => {
  test('finds one that is stale and one that is absent', () => {
    const tree: Record<string, Uint8Array> = { a: Buffer.from('1'), b: Buffer.from('2') }
    assert.deepEqual(
      stale({ a: '1', b: '3', c: '4' }, (path) => tree[path]),
      ['b', 'c'],
    )
  })
  for (const { generator, outputs } of pairs) {
    test(`${generator} would write the same again`, async () => {
      const module = (await import(pathToFileURL(join(root, generator)).href)) as { outputs: () => Promise<Outputs> }
      const made = await module.outputs()
      assert.deepEqual(Object.keys(made).sort(), [...outputs].sort())
      assert.deepEqual(
        stale(made, (path) => (existsSync(join(root, path)) ? readFileSync(join(root, path)) : undefined)),
        [],
      )
    })
  }
})
