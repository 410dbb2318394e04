/**
 * test-contracts.ts - all tests of the contracts: forge's, then those that drive a real chain and compare with TypeScript.
 *
 *     node scripts/test-contracts.ts                 as on every push
 *     node scripts/test-contracts.ts --long          more fuzz runs, longer invariant runs, proofs of the stake accounting, Slither
 *     node scripts/test-contracts.ts --update-gas    write contracts/snapshots anew instead of comparing
 */
import { spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

const root = join(import.meta.dirname, '..')
const contracts = join(root, 'contracts')
const known = ['--long', '--update-gas']
const flags = new Set(process.argv.slice(2))

function run(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): boolean {
  // The compiler is a script started through `env node`: it must find this Node.js first.
  const path = `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ''}`
  const { status, error } = spawnSync(command, args, {
    cwd,
    stdio: 'inherit',
    env: { ...process.env, PATH: path, ...env },
  })
  if (error !== undefined) console.error(`test-contracts: could not start ${command}: ${error.message}`)
  return status === 0
}

function runForge(): boolean {
  const cpu = process.arch === 'x64' ? 'amd64' : process.arch
  const forge = join(root, `node_modules/@foundry-rs/forge-${process.platform}-${cpu}/bin/forge`)
  if (!existsSync(forge)) {
    console.log(`!! contracts NOT RUN: no forge for ${process.platform}-${process.arch} among the installed packages`)
    return process.env.ASSAY_VECTORS_REQUIRED !== '1'
  }
  const gas = flags.has('--update-gas') ? ['--gas-snapshot-check=false', '--gas-snapshot-emit=true'] : []
  const env = flags.has('--long') ? { FOUNDRY_PROFILE: 'ci' } : {}
  if (!run(forge, ['test', '--offline', '--color=never', ...gas], contracts, env)) return false
  for (const path of globSync('snapshots/*.json', { cwd: contracts })) {
    const file = join(contracts, path)
    const text = `${readFileSync(file, 'utf8').trimEnd()}\n`
    if (flags.has('--update-gas')) writeFileSync(file, text)
  }
  return true
}

function main(): number {
  const unknown = [...flags].filter((flag) => !known.includes(flag))
  if (unknown.length > 0) {
    console.error(`test-contracts: unknown ${unknown.join(' ')}; there are: ${known.join(', ')}`)
    return 2
  }
  const drivers = globSync('contracts/driver/*.test.ts', { cwd: root }).sort()
  const passed = [runForge(), run(process.execPath, ['--test', ...drivers], root)]
  if (flags.has('--long')) {
    passed.push(run(process.execPath, [join(root, 'scripts/prove-stake.ts')], root))
    passed.push(run(process.execPath, [join(root, 'scripts/slither.ts')], root))
  }
  return passed.every(Boolean) ? 0 : 1
}

process.exitCode = main()
