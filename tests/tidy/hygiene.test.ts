/** Every rule is tried on a planted violation first: a rule that finds nothing there proves nothing on the real tree. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, test } from 'node:test'
import { readManifest, vectorsHome } from '../vectors.ts'
import {
  docstrings,
  foreignReads,
  leftOut,
  links,
  machines,
  maximumLines,
  names,
  sizes,
  statusWord,
} from './hygiene.ts'
import { file, files, paths, root } from './Tree.ts'

const word = `veri${'fied'}`

describe('sizes', () => {
  test('finds a file that is too long, and leaves generated ones alone', () => {
    const long = 'const a = 1\n'.repeat(maximumLines + 1)
    assert.equal(sizes([file('src/protocol/A.ts', long), file('contracts/src/A.sol', long)]).length, 2)
    assert.deepEqual(
      sizes([file('src/protocol/A.ts', 'a\n'.repeat(maximumLines)), file('src/chain/abi.generated.ts', long)]),
      [],
    )
  })
  test('holds in the tree', () => assert.deepEqual(sizes(files()), []))
})

describe('names', () => {
  test('finds heaps', () =>
    assert.equal(names(['src/utils/A.ts', 'apps/node/src/helpers.ts', 'src/common.ts']).length, 3))
  test('holds in the tree', () => assert.deepEqual(names(paths()), []))
})

describe('the status word', () => {
  test('finds it as field, identifier, label and prose', () => {
    const planted = [
      file('src/verify/A.ts', `const verdict = { ${word}: true }`),
      file('src/verify/B.ts', `const is${word[0]?.toUpperCase()}${word.slice(1)} = 1`),
      file('apps/cli/src/C.ts', `print('Receipt ${word.toUpperCase()}')`),
      file('docs/start.md', `Your call is ${word}.`),
      file('contracts/src/D.sol', `bool ${word}Once;`),
    ]
    assert.equal(statusWord(planted).length, planted.length)
  })
  test('lets Markdown speak about the word in quotation marks', () => {
    assert.deepEqual(statusWord([file('spec/verdict.md', `The word "${word}" is no status.`)]), [])
  })
  test('holds in the tree', () => assert.deepEqual(statusWord(files()), []))
})

describe('machines', () => {
  test("finds one machine's paths and registry hosts", () => {
    const slash = '/'
    assert.equal(machines([file('scripts/a.ts', `read('${slash}work${slash}main')`)]).length, 1)
    assert.equal(machines([file('a.md', `see ${slash}home${slash}ann/x`)]).length, 1)
    assert.equal(machines([file('package-lock.json', `"resolved": "https://registry.npm${'js'}.org/x"`)]).length, 1)
    assert.deepEqual(
      machines([file('a.ts', `get('${slash}v1${slash}work${slash}items'); import './home${slash}x.ts'`)]),
      [],
    )
  })
  test('holds in the tree', () => assert.deepEqual(machines(files()), []))
})

describe('left out tests', () => {
  test('finds only, skip and todo as calls and as options', () => {
    const head = "import test, { it } from 'node:test'\n"
    for (const call of [
      "test.only('x', f)",
      "it.skip('x', f)",
      "describe.todo('x')",
      "test('x', { skip: true }, f)",
      "test('x', (t) => t.skip())",
    ]) {
      assert.equal(leftOut([file('src/protocol/A.test.ts', head + call)]).length, 1, call)
    }
    assert.deepEqual(
      leftOut([file('src/protocol/A.test.ts', `${head}test('skip: this only names it', f) // test.only`)]),
      [],
    )
  })
  test('holds in the tree', () => assert.deepEqual(leftOut(files()), []))
})

describe('links', () => {
  test('finds a link that leads nowhere', () => {
    const known = new Set(['spec/receipt.md', 'README.md'])
    const text =
      '[a](spec/receipt.md#b) [c](spec/) [d](spec/none.md) [e](https://example.org) `[f](none.md)` [g](#here)\n```\n[h](none.md)\n```\n'
    assert.deepEqual(links([file('README.md', text)], known), ['README.md:1: the link spec/none.md leads nowhere'])
  })
  test('holds in the tree', () => assert.deepEqual(links(files(), new Set(paths())), []))
})

describe('docstrings', () => {
  test('finds an export of the library without one', () => {
    const text = `/** A.ts - a file. */\nimport type { B } from './B.ts'\n\nexport type C = B\n
/** Does. */\nexport function f(a: 1): 1\nexport function f(a: 2): 2\nexport function f(a: 1 | 2) {\n  return a\n}\nexport const g = 1\n`
    assert.deepEqual(docstrings([file('src/protocol/A.ts', text), file('apps/cli/src/A.ts', text)]), [
      'src/protocol/A.ts:4: C is exported without a docstring',
      'src/protocol/A.ts:12: g is exported without a docstring',
    ])
  })
  test('holds in the tree', () => assert.deepEqual(docstrings(files()), []))
})

describe('files of others', () => {
  test('finds code that reads them past tests/vectors.ts', () => {
    assert.equal(foreignReads([file('src/protocol/A.test.ts', "read('../../../shared/vectors/x.json')")]).length, 1)
    assert.equal(foreignReads([file('src/protocol/A.test.ts', "join(root, '..', 'shared', 'vectors')")]).length, 1)
    assert.deepEqual(foreignReads(files()), [])
  })
  test('none of the listed files is in the repository', (t) => {
    const rows = ['vectors', 'fixtures/tee'].flatMap((folder) => [
      ...(readManifest(join(vectorsHome, folder))?.values() ?? []),
    ])
    if (rows.length === 0)
      return t.diagnostic('the manifests are not at hand: only the names of suites were looked for')
    const listed = new Map(rows.map((row) => [row.sha256, row.file]))
    const digest = (path: string) =>
      createHash('sha256')
        .update(readFileSync(join(root, path)))
        .digest('hex')
    const copied = paths()
      .filter((path) => !/^(LICENSE|NOTICE)/.test(basename(path)) && listed.has(digest(path)))
      .map((path) => `${path} is ${listed.get(digest(path))}`)
    assert.deepEqual(copied, [])
  })
})
