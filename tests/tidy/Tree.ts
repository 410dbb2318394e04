/** Tree.ts - the files of this repository as the tidy rules see them: path from the root, text, and text without comments. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import * as Code from './Code.ts'

export type File = {
  /** From the repository root, with `/`. */
  readonly path: string
  readonly text: string
  /** The text with comments blanked; strings stay. Lines and columns are unchanged. */
  readonly code: string
  /** The text with comments and the contents of strings blanked. */
  readonly bare: string
}

/** One thing that a rule found wrong, as it is shown. */
export type Finding = string

export const root: string = join(import.meta.dirname, '..', '..')

const skippedFolders = new Set(['node_modules', '.git', 'dist', '.assay', 'coverage'])
const skippedPaths = new Set(['contracts/out', 'contracts/cache', 'contracts/broadcast', 'bench/results/local'])

/** Paths of all our files, sorted; what is installed, built or ignored is left out. */
export function paths(): string[] {
  const found: string[] = []
  const walk = (folder: string) => {
    for (const name of readdirSync(join(root, folder)).sort()) {
      const path = folder === '' ? name : `${folder}/${name}`
      if (skippedFolders.has(name) || skippedPaths.has(path) || name.startsWith('.bootstrap-lock')) continue
      const info = statSync(join(root, path), { throwIfNoEntry: false })
      if (info?.isDirectory()) walk(path)
      else if (info?.isFile()) found.push(path)
    }
  }
  walk('')
  return found
}

const isScript = (path: string) => /\.(ts|tsx|mjs|js|sol)$/.test(path)
const isText = (path: string) =>
  isScript(path) ||
  /\.(md|json|jsonc|toml|ya?ml|sh|html|css|svg|txt|tsv|csv)$/.test(path) ||
  /(^|\/)(run|LICENSE|\.[a-z]+)$/.test(path)

/** A file made from text, for the rules and for their planted violations. */
export function file(path: string, text: string): File {
  return isScript(path) ? { path, text, ...Code.split(text) } : { path, text, code: text, bare: text }
}

let cache: readonly File[] | undefined

/** All our text files. */
export function files(): readonly File[] {
  cache ??= paths()
    .filter(isText)
    .map((path) => file(path, readFileSync(join(root, path), 'utf8')))
  return cache
}

/** Whether a file is a test or belongs to tests only, and so stands outside the rules for product code. */
export function isTest(path: string): boolean {
  return /\.(test|test-d|fuzz|behavior|bench|t)\.(ts|sol)$/.test(path) || /^(tests|contracts\/test|bench)\//.test(path)
}

/** Whether a file was written by a generator. */
export function isGenerated(path: string): boolean {
  return /(^|\/)generated\//.test(path) || /\.generated\./.test(path)
}

/** The line number (from 1) of an offset. */
export function lineOf(text: string, offset: number): number {
  let line = 1
  for (let index = 0; index < offset; index++) if (text.charCodeAt(index) === 10) line++
  return line
}
