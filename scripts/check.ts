/**
 * check.ts - what must hold before a change is kept: format and lint, types, and the tidy rules of tests/tidy.
 *
 *     npm run check            report
 *     npm run check -- --fix   let the formatter and linter repair what they can first
 */
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const isFix = process.argv.includes('--fix')

const steps: readonly { name: string; arguments: readonly string[] }[] = [
  {
    name: 'format and lint',
    arguments: [
      'node_modules/@biomejs/biome/bin/biome',
      'check',
      '--error-on-warnings',
      ...(isFix ? ['--write'] : []),
      '.',
    ],
  },
  { name: 'types', arguments: ['node_modules/typescript/bin/tsc', '-p', '.'] },
  {
    name: 'tidy',
    arguments: [
      '--test',
      '--test-reporter=./scripts/reporter.ts',
      ...globSync('tests/tidy/*.test.ts', { cwd: root }).sort(),
    ],
  },
]

const failed: string[] = []
for (const step of steps) {
  const startedMs = performance.now()
  const { status } = spawnSync(process.execPath, step.arguments, { cwd: root, stdio: 'inherit' })
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
  console.log(`check: ${step.name} ${status === 0 ? 'ok' : 'FAILED'} (${seconds} s)`)
  if (status !== 0) failed.push(step.name)
}
if (failed.length > 0) {
  console.error(`check: failed: ${failed.join(', ')}`)
  process.exit(1)
}
