/** Every rule is tried on a planted violation first: a rule that finds nothing there proves nothing on the real tree. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { cycles, direction, publicDoors, purity } from './floors.ts'
import { file, files, root } from './Tree.ts'

const library = JSON.parse(readFileSync(join(root, 'src/package.json'), 'utf8')) as { exports: Record<string, string> }
const subpaths = Object.keys(library.exports).map((subpath) => subpath.replace(/^\./, 'assay'))

describe('direction', () => {
  const planted: readonly (readonly [string, string, string, RegExp])[] = [
    ['up', 'src/protocol/A.ts', "import * as V from '../verify/Verdict.ts'", /imports up/],
    ['up, type only', 'src/protocol/A.ts', "import type { V } from '../verify/Verdict.ts'", /imports up/],
    [
      'up, over several lines',
      'src/protocol/A.ts',
      "import {\n  a, // 'x'\n  b,\n} from '../client/Pending.ts'",
      /imports up/,
    ],
    ['up, re-exported', 'src/chain/A.ts', "export { a } from '../verify/Verdict.ts'", /imports up/],
    ['sideways', 'src/chain/A.ts', "import * as E from '../execution/Profile.ts'", /imports sideways/],
    ['an index', 'src/verify/A.ts', "import { Hex } from '../protocol/index.ts'", /imports an index/],
    ['an index beside it', 'src/verify/A.ts', "import { B } from './index.ts'", /imports an index/],
    ['a package not allowed there', 'src/verify/A.ts', "import { keccak256 } from 'viem'", /must not import 'viem'/],
    ['node in a wrong place', 'src/client/A.ts', "import { readFileSync } from 'node:fs'", /must not import 'node:fs'/],
    ['itself by name', 'src/client/A.ts', "import { Hex } from 'assay/protocol'", /relative path/],
    ['a folder without a floor', 'src/extra/A.ts', "import * as B from './B.ts'", /no floor/],
    ['outside the library', 'src/client/A.ts', "import * as D from '../../apps/node/src/main.ts'", /outside src/],
    ['loaded later', 'src/protocol/A.ts', "const v = await import('../verify/Verdict.ts')", /imports up/],
    ['no extension', 'src/protocol/A.ts', "import * as B from './B'", /extension/],
    ['a test file', 'src/protocol/A.ts', "import * as B from './B.behavior.ts'", /test file/],
  ]
  for (const [name, path, text, expected] of planted) {
    test(`finds an import that goes ${name}`, () => assert.match(direction([file(path, text)]).join('\n'), expected))
  }
  test('allows imports that point down, and tests to import what they like', () => {
    const allowed = [
      file(
        'src/verify/A.ts',
        "import * as M from '../protocol/Merkle.ts'\nimport * as S from '../chain/StateProof.ts'\nimport * as B from './B.ts'",
      ),
      file(
        'src/crypto/noble.ts',
        "import { sha256 } from '@noble/hashes/sha2.js'\nimport type { Crypto } from '../protocol/Crypto.ts'",
      ),
      file('src/protocol/A.test.ts', "import * as N from '../crypto/node.ts'\nimport test from 'node:test'"),
      file('src/protocol/C.ts', "// import * as V from '../verify/Verdict.ts'\nconst s = `import x from 'viem'`"),
    ]
    assert.deepEqual(direction(allowed), [])
  })
  test('holds in the tree', () => assert.deepEqual(direction(files()), []))
})

describe('public doors', () => {
  test('finds an app that reaches inside the library, by path or by an inner name, or into another app', () => {
    assert.equal(
      publicDoors([file('apps/node/src/a.ts', "import * as M from '../../../src/protocol/Merkle.ts'")], subpaths)
        .length,
      1,
    )
    assert.equal(
      publicDoors([file('apps/node/src/a.ts', "import * as M from 'assay/protocol/Merkle'")], subpaths).length,
      1,
    )
    assert.equal(
      publicDoors([file('apps/cli/src/a.ts', "import { a } from '../../node/src/engine.ts'")], subpaths).length,
      1,
    )
    assert.equal(
      publicDoors([file('apps/node/src/a.ts', "import { a } from '../../../tests/fakes/World.ts'")], subpaths).length,
      1,
    )
  })
  test('holds in the tree', () => assert.deepEqual(publicDoors(files(), subpaths), []))
})

describe('purity', () => {
  const planted = [
    'const now = Date.now()',
    'const now = new Date()',
    'const n = Math.random()',
    'const home = process.env.HOME',
    "const answer = await fetch('x')",
    "import { createHash } from 'node:crypto'",
    "console.log('x')",
    'setTimeout(() => {}, 1)',
    'const c = globalThis.crypto',
    'crypto.getRandomValues(bytes)',
    'const t = performance.now()',
    'const b = Buffer.from(bytes)',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a template is what is planted
    'const s = `${Date.now()}`',
    'const half = a / 2; const x = Math.random() / 2',
  ]
  for (const text of planted) {
    test(`finds ${text}`, () => {
      for (const folder of ['protocol', 'execution', 'verify', 'chain', 'attest', 'zk']) {
        assert.equal(purity([file(`src/${folder}/A.ts`, text)]).length, 1, folder)
      }
      assert.deepEqual(purity([file('src/client/A.ts', text), file('src/protocol/A.test.ts', text)]), [])
    })
  }
  test('does not mistake words in comments, strings, patterns and names for calls', () => {
    const text = [
      '/** Never calls Date.now() or fetch(x). */',
      "const help = 'use Date.now() and process.env'",
      'const pattern = /fetch\\(|Math.random/',
      'const made = new Date(issuedAtMs)',
      'port.fetch(request); subprocess.run(); crypto.sha256(bytes)',
    ].join('\n')
    assert.deepEqual(purity([file('src/protocol/A.ts', text)]), [])
  })
  test('holds in the tree', () => assert.deepEqual(purity(files()), []))
})

describe('cycles', () => {
  test('finds a ring of modules, and a module that imports itself', () => {
    const ring = [
      file('src/protocol/A.ts', "import * as B from './B.ts'"),
      file('src/protocol/B.ts', "import * as C from './C.ts'"),
      file('src/protocol/C.ts', "export { a } from './A.ts'"),
    ]
    assert.deepEqual(cycles(ring), [
      'import cycle: src/protocol/A.ts -> src/protocol/B.ts -> src/protocol/C.ts -> src/protocol/A.ts',
    ])
    assert.equal(cycles([file('apps/node/src/a.ts', "import * as A from './a.ts'")]).length, 1)
  })
  test('lets types refer to each other', () => {
    assert.deepEqual(
      cycles([
        file('src/protocol/A.ts', "import type { B } from './B.ts'"),
        file('src/protocol/B.ts', "import * as A from './A.ts'"),
      ]),
      [],
    )
  })
  test('holds in the tree', () => assert.deepEqual(cycles(files()), []))
})
