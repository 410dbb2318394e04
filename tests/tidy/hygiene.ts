/** hygiene.ts - rules about the text of every file: sizes, words, paths of machines, skipped tests, links. */
import { posix } from 'node:path'
import { type File, type Finding, isGenerated, isTest, lineOf } from './Tree.ts'

/** One idea a file; past this a file holds more than one, or a table that wants a generator. */
export const maximumLines = 500

const ownRules = (path: string) => path.startsWith('tests/tidy/')

/** Code files stay small; generated ones are exempt. */
export function sizes(files: readonly File[]): Finding[] {
  return files
    .filter(({ path }) => /\.(ts|tsx|mjs|sol)$/.test(path) && !isGenerated(path))
    .map(({ path, text }) => ({ path, lines: text.split('\n').length - (text.endsWith('\n') ? 1 : 0) }))
    .filter(({ lines }) => lines > maximumLines)
    .map(({ path, lines }) => `${path}: ${lines} lines, at most ${maximumLines}; split it by idea`)
}

/** No file is named for a heap of assorted things. */
export function names(paths: readonly string[]): Finding[] {
  return paths
    .filter((path) => path.split('/').some((part) => /^(utils?|common|misc|helpers?|shared|stuff)(\.|$)/i.test(part)))
    .map((path) => `${path}: name it for the one thing it holds`)
}

function eachMatch(file: File, text: string, pattern: RegExp): { line: number; match: string; source: string }[] {
  return [...text.matchAll(pattern)].map((found) => {
    const line = lineOf(text, found.index)
    return { line, match: found[0], source: file.text.split('\n')[line - 1] ?? '' }
  })
}

const status = new RegExp(`${'veri'}${'fied'}`, 'gi')

/**
 * The status word that this project does not have (spec: a reader's own grade is the only one) is in no name, field,
 * label or text. Prose in Markdown may speak about the word when it stands in quotation marks; a hash may contain it.
 */
export function statusWord(files: readonly File[]): Finding[] {
  const findings: Finding[] = []
  for (const file of files) {
    if (ownRules(file.path) || /(^|\/)(package-lock\.json|LICENSE)$/.test(file.path)) continue
    for (const { line, match, source } of eachMatch(file, file.text, status)) {
      const quoted = new RegExp(`["\u201c]${match}["\u201d]`)
      if (file.path.endsWith('.md') && quoted.test(source)) continue
      findings.push(
        `${file.path}:${line}: '${match}' is a status word that this project does not use; say what was checked, and by whom`,
      )
    }
  }
  return findings
}

// Written in pieces, so that the rule does not find itself.
const machinePath = new RegExp(
  `(?<![\\w.:/-])/(${['work', 'farm', 'root', 'home', 'Users'].join('|')})/[\\w.-]|[A-Z]:\\\\Users\\\\`,
  'g',
)
const registryHost = new RegExp(
  ['registry\\.npm' + 'js', 'deb\\.deb' + 'ian', 'pypi\\.' + 'org', 'crates\\.' + 'io', 'npm' + 'mirror'].join('|'),
  'gi',
)

/** No path of one person's machine and no host of a package registry. */
export function machines(files: readonly File[]): Finding[] {
  return files.flatMap((file) => [
    ...eachMatch(file, file.text, machinePath).map(
      ({ line, match }) => `${file.path}:${line}: a path of one machine: ${match}`,
    ),
    ...eachMatch(file, file.text, registryHost).map(
      ({ line, match }) => `${file.path}:${line}: a registry's host: ${match}`,
    ),
  ])
}

/** No test is left alone (`only`) or out (`skip`, `todo`); absent vectors are the one reason not to run, in tests/vectors.ts. */
export function leftOut(files: readonly File[]): Finding[] {
  const findings: Finding[] = []
  const pattern =
    /\b(?:test|it|describe|suite|t|context)\s*\.\s*(?:only|skip|todo)\b|\b(?:only|skip|todo)\s*:\s*(?!false\b)/g
  for (const file of files) {
    if (
      !isTest(file.path) ||
      !file.path.endsWith('.ts') ||
      /^tests\/vectors(\.test)?\.ts$/.test(file.path) ||
      ownRules(file.path)
    )
      continue
    if (!/from 'node:test'/.test(file.code) && !/\bt\.(skip|todo)\b/.test(file.bare)) continue
    for (const { line, match } of eachMatch(file, file.bare, pattern))
      findings.push(`${file.path}:${line}: a test is left out by '${match.trim()}'`)
  }
  return findings
}

/** Relative links of Markdown files lead to something in the repository. */
export function links(files: readonly File[], known: ReadonlySet<string>): Finding[] {
  const findings: Finding[] = []
  const folders = new Set(
    [...known].flatMap((path) => path.split('/').map((_, index, parts) => parts.slice(0, index).join('/'))),
  )
  for (const file of files) {
    if (!file.path.endsWith('.md')) continue
    const prose = file.text
      .replace(/^(```|~~~)[\s\S]*?^\1/gm, (block) => block.replace(/[^\n]/g, ' '))
      .replace(/`[^`\n]*`/g, (code) => ' '.repeat(code.length))
    for (const found of prose.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|^\[[^\]]+\]:\s*(\S+)/gm)) {
      const link = found[1] ?? found[2] ?? ''
      if (/^[a-z][a-z0-9+.-]*:/i.test(link) || link.startsWith('#')) continue
      const target = decodeURIComponent(link.split('#')[0] ?? '')
      const path = target.startsWith('/') ? target.slice(1) : posix.join(posix.dirname(file.path), target)
      const plain = path.replace(/\/$/, '')
      if (!known.has(plain) && !folders.has(plain === '.' ? '' : plain))
        findings.push(`${file.path}:${lineOf(prose, found.index)}: the link ${link} leads nowhere`)
    }
  }
  return findings
}

/** What the library exports says in a docstring what it is; overloads share one. */
export function docstrings(files: readonly File[]): Finding[] {
  const findings: Finding[] = []
  for (const file of files) {
    if (!/^src\/.*\.ts$/.test(file.path) || isTest(file.path) || isGenerated(file.path)) continue
    for (const found of file.bare.matchAll(
      /^export (?:async |abstract )*(?:function\*?|const|let|class|type) (\w+)/gm,
    )) {
      const before = file.text.slice(0, found.index).trimEnd()
      const isOverload = new RegExp(`^export (?:async )?function ${found[1]}\\b[^\\n]*$`, 'm').test(before)
      if (!before.endsWith('*/') && !isOverload)
        findings.push(`${file.path}:${lineOf(file.text, found.index)}: ${found[1]} is exported without a docstring`)
    }
  }
  return findings
}

/** Vectors of others are read through tests/vectors.ts and by no other way. */
export function foreignReads(files: readonly File[]): Finding[] {
  return files.flatMap((file) => {
    if (!/\.(ts|tsx|mjs|sol)$/.test(file.path) || ownRules(file.path) || file.path === 'tests/vectors.ts') return []
    const pattern = /shared['"]?\s*[,/]\s*['"]?(vectors|fixtures)/g
    return eachMatch(file, file.code, pattern).map(
      ({ line }) => `${file.path}:${line}: read vectors of others through tests/vectors.ts`,
    )
  })
}
