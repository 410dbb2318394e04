/**
 * The parties that cheat for the demonstration cannot come into a daemon, a client or any other command: nobody imports them, directly
 * or through others, but the demonstration itself, benchmarks and tests. So no configuration can make them look real.
 */
import assert from 'node:assert/strict'
import { posix } from 'node:path'
import { describe, test } from 'node:test'
import * as Code from './Code.ts'
import { type File, file, files, isTest } from './Tree.ts'

const folder = 'apps/node/src/demo/'
/** Who may name them. */
const isDemonstration = (path: string) =>
  path.startsWith(folder) ||
  path.startsWith('apps/cli/src/demo/') ||
  path === 'apps/cli/src/commands/demo.ts' ||
  path.startsWith('bench/') ||
  path.startsWith('tests/') ||
  isTest(path)
/** The command line loads a command when it runs, so this one line leads there and nothing else. */
const door = { from: 'apps/cli/src/program.ts', to: 'apps/cli/src/commands/demo.ts' }

function targetOf(from: string, specifier: string): string | undefined {
  if (specifier.startsWith('.')) return posix.join(posix.dirname(from), specifier)
  const app = /^@assay\/(node|cli)\/(.+)$/.exec(specifier)
  return app === null ? undefined : `apps/${app[1]}/src/${app[2]}.ts`
}

/** What somebody imports who may not, as far as imports lead from there. */
function leaks(all: readonly File[]): string[] {
  const edges = new Map<string, readonly string[]>(
    all.map(({ path, code }) => [
      path,
      Code.importsOf(code).flatMap(({ specifier }) => {
        const to = targetOf(path, specifier)
        return to === undefined || (path === door.from && to === door.to) ? [] : [to]
      }),
    ]),
  )
  const found: string[] = []
  for (const { path } of all) {
    if (isDemonstration(path)) continue
    const seen = new Set([path])
    for (const at of seen) {
      for (const to of edges.get(at) ?? []) {
        if (to.startsWith(folder) || to.startsWith('apps/cli/src/demo/')) found.push(`${path}: leads to ${to} by ${at}`)
        seen.add(to)
      }
    }
  }
  return found
}

describe('parties that cheat on purpose', () => {
  test('finds who leads to them, by path, by package, through others, and when it loads them later', () => {
    for (const text of [
      "import * as Cheats from './demo/Cheats.ts'",
      "import type { Party } from './demo/Party.ts'",
      "import * as Cheats from '@assay/node/demo/Cheats'",
      "const cheats = await import('./demo/Cheats.ts')",
    ])
      assert.equal(leaks([file('apps/node/src/daemon.ts', text)]).length, 1, text)
    const through = [
      file('apps/node/src/daemon.ts', "import * as Parts from './daemon/parts.ts'"),
      file('apps/node/src/daemon/parts.ts', "import * as Cheats from '../demo/Cheats.ts'"),
    ]
    assert.equal(leaks(through).length, 2)
    const door = "const run = () => import('./commands/demo.ts')"
    assert.deepEqual(leaks([file('apps/cli/src/program.ts', door)]), [])
    const up = "import * as Play from '../demo/Play.ts'"
    assert.equal(leaks([file('apps/cli/src/commands/up.ts', up)]).length, 1)
  })

  test('nobody leads to them in the tree, and the daemon is looked at', () => {
    const all = files()
    assert.ok(all.some(({ path }) => path === 'apps/node/src/daemon.ts'))
    assert.ok(all.some(({ path }) => path === `${folder}Cheats.ts`))
    assert.deepEqual(leaks(all), [])
  })

  test('no file of the demonstration reads the environment, and each that cheats says so at its top', () => {
    const all = files().filter(({ path }) => path.startsWith(folder))
    for (const { path, code } of all) assert.ok(!/process\.env|\benv\b/.test(code), path)
    for (const name of ['Cheats.ts', 'ForkedLog.ts']) {
      const text = all.find(({ path }) => path === folder + name)?.text ?? ''
      assert.match(text.slice(0, 300), /CHEAT(ING)? ON PURPOSE/, name)
    }
  })
})
