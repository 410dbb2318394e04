/** floors.ts - who may import whom, and what the pure parts of the library may not touch. */
import { posix } from 'node:path'
import * as Code from './Code.ts'
import { type File, type Finding, isTest, lineOf } from './Tree.ts'

/** The floor of each folder of the library. Imports go from a higher number to a lower one. */
export const floors: Readonly<Record<string, number>> = {
  protocol: 0,
  attest: 1,
  zk: 1,
  crypto: 1,
  execution: 1,
  chain: 1,
  verify: 2,
  client: 3,
}

/** What may be imported from npm or Node.js, by folder of the library, or by file where one stands apart. */
const outside: Readonly<Record<string, RegExp>> = {
  crypto: /^(@noble\/|node:crypto$|node:buffer$)/,
  chain: /^viem(\/|$)/,
  // Only behind the subpath `assay/client/node`; the rest of the client runs in a browser.
  'src/client/FileStores.ts': /^node:(crypto|fs|path|sqlite)$/,
  'src/client/WatchFile.ts': /^node:(fs|path|sqlite)$/,
}

const isLibrary = (path: string) => path.startsWith('src/') && path.endsWith('.ts') && !isTest(path)
const isApp = (path: string) => path.startsWith('apps/') && /\.(ts|tsx)$/.test(path)
const folderOf = (path: string) => (path.split('/').length > 2 ? path.split('/')[1]! : '')

type Edge = {
  readonly from: File
  readonly to: string
  readonly specifier: string
  readonly line: number
  readonly isTypeOnly: boolean
}

/** All imports of some files; `to` is the path from the root for relative ones and empty for others. */
function edgesOf(files: readonly File[]): Edge[] {
  return files.flatMap((from) =>
    Code.importsOf(from.code).map(({ specifier, isTypeOnly, offset }) => ({
      from,
      specifier,
      isTypeOnly,
      line: lineOf(from.text, offset + 1),
      to: specifier.startsWith('.') ? posix.join(posix.dirname(from.path), specifier) : '',
    })),
  )
}

/** Imports inside the library point down, never up and never sideways; nobody inside imports an index. */
export function direction(files: readonly File[]): Finding[] {
  const findings: Finding[] = []
  for (const { from, to, specifier, line } of edgesOf(files.filter(({ path }) => isLibrary(path)))) {
    const where = `${from.path}:${line}`
    const own = folderOf(from.path)
    if (floors[own] === undefined)
      findings.push(`${where}: the folder '${own}' has no floor; name it in tests/tidy/floors.ts`)
    if (to === '') {
      if (specifier.startsWith('assay'))
        findings.push(`${where}: inside the library, import by relative path, not '${specifier}'`)
      else if (!(outside[from.path] ?? outside[own])?.test(specifier))
        findings.push(`${where}: ${own || 'src'} must not import '${specifier}'`)
      continue
    }
    if (!specifier.endsWith('.ts')) findings.push(`${where}: '${specifier}' needs its .ts extension`)
    if (!to.startsWith('src/')) {
      findings.push(`${where}: the library must not import '${specifier}' from outside src`)
      continue
    }
    if (posix.basename(to) === 'index.ts')
      findings.push(`${where}: nobody inside the library imports an index.ts; name the module`)
    if (isTest(to)) findings.push(`${where}: product code must not import the test file ${to}`)
    const other = folderOf(to)
    if (other !== own && (floors[other] ?? Infinity) >= (floors[own] ?? -1)) {
      const way = floors[other] === floors[own] ? 'sideways' : 'up'
      findings.push(`${where}: ${own} (floor ${floors[own]}) imports ${way} from ${other} (floor ${floors[other]})`)
    }
  }
  return findings
}

/** Apps reach the library by its public subpaths only, and never an index by relative path. */
export function publicDoors(files: readonly File[], subpaths: readonly string[]): Finding[] {
  const findings: Finding[] = []
  for (const { from, to, specifier, line } of edgesOf(files.filter(({ path }) => isApp(path)))) {
    const where = `${from.path}:${line}`
    if (to.startsWith('src/'))
      findings.push(`${where}: import the library as 'assay/...', not by the path '${specifier}'`)
    if (/^assay(\/|$)/.test(specifier) && !subpaths.includes(specifier))
      findings.push(`${where}: '${specifier}' is not a public subpath of the library`)
    if (to.startsWith('tests/') && !isTest(from.path))
      findings.push(`${where}: product code must not import '${specifier}'`)
    const app = from.path.split('/')[1]
    const other = to.startsWith('apps/') ? to.split('/')[1] : app
    if (other !== app) findings.push(`${where}: import the other app by its package name, not by path`)
  }
  return findings
}

const worldly: readonly (readonly [RegExp, string])[] = [
  [/\bDate\.now\b/, 'the clock (Date.now)'],
  [/\bnew\s+Date\s*\(\s*\)/, 'the clock (new Date())'],
  [/(?<!new\s)(?<![.\w])Date\s*\(\s*\)/, 'the clock (Date())'],
  [/\bperformance\s*\./, 'the clock (performance)'],
  [/\bset(Timeout|Interval|Immediate)\b/, 'timers'],
  [/\bMath\.random\b/, 'randomness (Math.random)'],
  [/\bgetRandomValues\b|\brandomUUID\b|\brandomBytes\b/, 'randomness'],
  [/\bglobalThis\b/, 'globals (globalThis)'],
  [/\bcrypto\.subtle\b/, "the platform's crypto (crypto.subtle)"],
  [/(?<![.\w])process\s*\./, 'process'],
  [/(?<![.\w])(?<!function )fetch\s*\(/, 'the network (fetch)'],
  [/(?<![.\w])console\s*\./, 'console'],
  [/\bBuffer\b/, 'Buffer, which browsers lack'],
  [/\b(require|eval)\s*\(/, 'dynamic code'],
  [/(?<![.\w])(window|document|navigator|localStorage|Deno|Bun)\s*\./, 'a runtime global'],
]

const isWebPart = (file: File) => Code.importsOf(file.code).some(({ specifier }) => /^viem(\/|$)/.test(specifier))

/** The parts of the library that do no input or output, read no clock and draw no randomness. */
function isPure(file: File): boolean {
  const folder = folderOf(file.path)
  if (['protocol', 'attest', 'zk', 'execution', 'verify'].includes(folder)) return true
  // In chain, what speaks with a node goes through viem; all else is pure.
  return folder === 'chain' && !isWebPart(file)
}

/** Pure parts touch nothing of the world: it comes in as arguments. */
export function purity(files: readonly File[]): Finding[] {
  const findings: Finding[] = []
  for (const file of files) {
    if (!isLibrary(file.path) || !isPure(file)) continue
    for (const [pattern, name] of worldly) {
      const found = pattern.exec(file.bare)
      if (found)
        findings.push(
          `${file.path}:${lineOf(file.bare, found.index)}: a pure part must not touch ${name}; take it as an argument`,
        )
    }
    for (const { specifier, offset } of Code.importsOf(file.code)) {
      if (specifier.startsWith('node:'))
        findings.push(`${file.path}:${lineOf(file.text, offset + 1)}: a pure part must not import '${specifier}'`)
    }
  }
  return findings
}

/** Groups of modules that import each other, types left out (they are gone at run time). */
export function cycles(files: readonly File[]): Finding[] {
  const product = files.filter(
    ({ path }) => (path.startsWith('src/') || path.startsWith('apps/')) && /\.tsx?$/.test(path),
  )
  const known = new Set(product.map(({ path }) => path))
  const next = new Map<string, string[]>(product.map(({ path }) => [path, []]))
  for (const { from, to, isTypeOnly } of edgesOf(product))
    if (!isTypeOnly && known.has(to)) next.get(from.path)?.push(to)

  const findings: Finding[] = []
  const state = new Map<string, 'open' | 'done'>()
  const trail: string[] = []
  const visit = (path: string) => {
    state.set(path, 'open')
    trail.push(path)
    for (const other of next.get(path) ?? []) {
      if (state.get(other) === 'open')
        findings.push(`import cycle: ${[...trail.slice(trail.indexOf(other)), other].join(' -> ')}`)
      else if (!state.has(other)) visit(other)
    }
    trail.pop()
    state.set(path, 'done')
  }
  for (const path of known) if (!state.has(path)) visit(path)
  return findings
}
