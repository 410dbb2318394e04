/**
 * slither.ts - runs the static analyser Slither over the contracts and compares what it reports with what was looked at.
 *
 *     python3 -m venv .slither && .slither/bin/pip install slither-analyzer
 *     ASSAY_SLITHER=.slither/bin/slither node scripts/slither.ts
 *
 * Every finding of impact low or above must stand in `looked`, with the reason why it stays; a new one fails, and so does an
 * entry that nothing matches any more. An optional extra: without Slither it says so and passes, unless ASSAY_SLITHER names one.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'

type Looked = { readonly check: string; readonly element: string; readonly count: number; readonly why: string }

const mapping = 'a mapping needs no first value; it is written through a storage reference, which is not followed'
const part = 'the call gives several values and this place needs some of them'
const looked: readonly Looked[] = [
  { check: 'uninitialized-state', element: 'StakeManager._positions', count: 1, why: mapping },
  { check: 'divide-before-multiply', element: 'FaultCases._minimumBond', count: 1, why: 'rounds up to whole gwei' },
  {
    ...{ check: 'incorrect-equality', element: 'CourtRecords._requireCommitted', count: 1 },
    why: 'zero is the mark of a commitment that is not there; no balance is compared',
  },
  {
    ...{ check: 'incorrect-equality', element: 'AnchorLog.constructor', count: 1 },
    why: 'zero is what blockhash gives where there is none',
  },
  {
    ...{ check: 'reentrancy-no-eth', element: 'CourtRecords._record', count: 1 },
    why: 'StakeManager.slash calls nobody: no token moves and no coin is sent, so nothing can come back in',
  },
  { check: 'reentrancy-events', element: 'CourtRecords._record', count: 1, why: 'as reentrancy-no-eth' },
  { check: 'unused-return', element: 'FaultCases._openCase', count: 1, why: part },
  { check: 'unused-return', element: 'FaultCases.constructor', count: 1, why: part },
  { check: 'unused-return', element: 'FaultCases.expireCase', count: 1, why: part },
  { check: 'unused-return', element: 'FaultCases._requireYoungReceipt', count: 1, why: part },
  { check: 'unused-return', element: 'FaultCases.answerAnchoredBefore', count: 1, why: part },
  { check: 'unused-return', element: 'FaultCases.minimumBond', count: 1, why: part },
  { check: 'unused-return', element: 'FaultCases._take', count: 1, why: part },
  { check: 'unused-return', element: 'FaultCases._closeOld', count: 1, why: part },
  {
    ...{ check: 'unused-return', element: 'StakeManager._setParameters', count: 1 },
    why: 'the history gives back what it held before and holds now, which nothing here needs',
  },
  { check: 'unused-return', element: 'CourtRecords._slash', count: 1, why: part },
  { check: 'unused-return', element: 'CourtRecords.constructor', count: 1, why: part },
  {
    ...{ check: 'shadowing-local', element: 'IStakeManager.setParameters', count: 2 },
    why: 'names of an interface: there is no body in which one could hide the other',
  },
  {
    ...{ check: 'missing-zero-check', element: 'StakeManager.constructor', count: 1 },
    why: 'FaultCourt refuses to be created where StakeManager names another court',
  },
]

type Element = { readonly type: string; readonly name: string; readonly type_specific_fields?: { parent?: Element } }
type Finding = { readonly check: string; readonly impact: string; readonly elements: readonly Element[] }

function elementOf({ elements }: Finding): string {
  let at = elements[0]
  while (at !== undefined && at.type !== 'function' && at.type_specific_fields?.parent?.type === 'function') {
    at = at.type_specific_fields.parent
  }
  const parent = at?.type_specific_fields?.parent
  const owner = at?.type === 'variable' && parent?.type === 'function' ? parent : at
  return `${owner?.type_specific_fields?.parent?.name ?? ''}.${owner?.name ?? ''}`
}

function analyse(slither: string): readonly Finding[] {
  const root = join(import.meta.dirname, '..')
  const folder = mkdtempSync(join(tmpdir(), 'assay-slither-'))
  try {
    const contracts = join(folder, 'contracts')
    const isWanted = (path: string) => !/\/(out|cache|test|driver)$/.test(path)
    cpSync(join(root, 'contracts'), contracts, { recursive: true, filter: isWanted })
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    const cpu = process.arch === 'x64' ? 'amd64' : process.arch
    const forge = join(root, `node_modules/@foundry-rs/forge-${process.platform}-${cpu}/bin`)
    const env = { ...process.env, PATH: [dirname(process.execPath), forge, process.env.PATH].join(delimiter) }
    const options = { cwd: contracts, env, encoding: 'utf8', maxBuffer: 1 << 26 } as const
    const built = spawnSync('forge', ['build', '--offline', '--build-info', '--skip', 'test'], options)
    if (built.status !== 0) throw new Error(`slither: forge ended with ${built.status}\n${built.stderr}`)
    const report = join(folder, 'report.json')
    // Its exit status says how many findings there are; the report says whether it ran.
    const from = ['--ignore-compile', '--foundry-out-directory', 'out', '--filter-paths', 'node_modules']
    const run = spawnSync(slither, ['.', ...from, '--json', report], options)
    if (!existsSync(report)) throw new Error(`slither: no report, status ${run.status}\n${run.stderr}`)
    const { success, error, results } = JSON.parse(readFileSync(report, 'utf8'))
    if (success !== true) throw new Error(`slither: ${error}`)
    return results.detectors ?? []
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function main(): number {
  const named = process.env.ASSAY_SLITHER
  const slither = named === undefined ? 'slither' : resolve(named)
  if (spawnSync(slither, ['--version']).status !== 0) {
    console.log('!! Slither NOT RUN: not installed; scripts/slither.ts says how to get it')
    return named === undefined ? 0 : 1
  }
  const all = analyse(slither)
  const findings = all.filter(({ impact }) => ['High', 'Medium', 'Low'].includes(impact))
  const counts = new Map<string, number>()
  for (const finding of findings) {
    const key = `${finding.check} ${elementOf(finding)}`
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  let wrong = 0
  for (const [key, count] of counts) {
    const known = looked.find(({ check, element }) => `${check} ${element}` === key)?.count ?? 0
    if (known === count) continue
    wrong++
    console.log(`slither: ${key}: ${count} findings, ${known} of them were looked at`)
  }
  for (const { check, element } of looked) {
    if (counts.has(`${check} ${element}`)) continue
    wrong++
    console.log(`slither: ${check} ${element} is reported no more: strike it from the list`)
  }
  console.log(`slither: ${all.length} findings, ${findings.length} of low impact or above, ${wrong} not accounted for`)
  return wrong === 0 ? 0 : 1
}

process.exitCode = main()
