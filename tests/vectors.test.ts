import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { openVectors } from './vectors.ts'

/** A home with one suite `demo` of one file. */
function makeHome(content: string): string {
  const home = mkdtempSync(join(tmpdir(), 'assay-vectors-'))
  mkdirSync(join(home, 'vectors/demo'), { recursive: true })
  writeFileSync(join(home, 'vectors/demo/a.json'), content)
  // SHA-256 of `{"n":1}`
  const sha256 = '2bfd14f43d17fc7cea24e0917a8879b4b2f880b8baeec1b9d90fbaad655e71bd'
  writeFileSync(
    join(home, 'vectors/MANIFEST.tsv'),
    `suite\tfile\tsource\tlicence\texpected\tbytes\tsha256\ndemo\tdemo/a.json\tours\t\tok\t7\t${sha256}\n`,
  )
  return home
}

const context = () => {
  const skipped: (string | undefined)[] = []
  return { skipped, skip: (message?: string) => void skipped.push(message) }
}

describe('openVectors', () => {
  test('reads, lists and describes listed files', () => {
    const home = makeHome('{"n":1}')
    const suite = openVectors('demo', context(), home)
    assert.deepEqual(suite?.json('a.json'), { n: 1 })
    assert.deepEqual(suite?.list(), ['a.json'])
    assert.deepEqual(suite?.list('b'), [])
    assert.equal(suite?.row('a.json').expected, 'ok')
    rmSync(home, { recursive: true })
  })

  test('refuses a file whose bytes are not the listed ones, and a file that is not listed', () => {
    const home = makeHome('{"n":2}')
    const suite = openVectors('demo', context(), home)
    assert.throws(() => suite?.read('a.json'), /is not the listed file/)
    assert.throws(() => suite?.read('b.json'), /is not listed/)
    rmSync(home, { recursive: true })
  })

  test('marks the test as not run where the vectors are absent, and throws where they are required', () => {
    const before = process.env.ASSAY_VECTORS_REQUIRED
    try {
      delete process.env.ASSAY_VECTORS_REQUIRED
      const t = context()
      assert.equal(openVectors('demo', t, '/nowhere'), undefined)
      assert.equal(t.skipped.length, 1)
      process.env.ASSAY_VECTORS_REQUIRED = '1'
      assert.throws(() => openVectors('demo', context(), '/nowhere'), /REQUIRED/)
    } finally {
      if (before === undefined) delete process.env.ASSAY_VECTORS_REQUIRED
      else process.env.ASSAY_VECTORS_REQUIRED = before
    }
  })
})
