#!/usr/bin/env -S node --stack-size=4000
// Lets forge drive the npm package `solc` (the compiler as WebAssembly) as if it were the native binary.
// forge calls `--version`, then `--standard-json` with the input on stdin. Plain syntax: any Node 18 or newer runs it.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { isAbsolute, resolve } from 'node:path'

const solc = createRequire(import.meta.url)('solc')
const args = process.argv.slice(2)

function valuesOf(flag) {
  return args.filter((_, index) => args[index - 1] === flag)
}

function readSource(path) {
  const bases = [...valuesOf('--base-path'), ...valuesOf('--include-path'), process.cwd()]
  for (const candidate of isAbsolute(path) ? [path] : bases.map((base) => resolve(base, path))) {
    try {
      return { contents: readFileSync(candidate, 'utf8') }
    } catch (error) {
      if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') return { error: error.message }
    }
  }
  return { error: `source not found: ${path}` }
}

if (args.includes('--version')) {
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`)
} else if (args.includes('--standard-json')) {
  process.stdout.write(solc.compile(readFileSync(0, 'utf8'), { import: readSource }))
} else {
  process.stderr.write('solc-shim: only --version and --standard-json are supported\n')
  process.exitCode = 1
}
