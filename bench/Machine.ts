/** Machine.ts - where a measurement was made: processor, memory, load, versions, commit. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')

/** Packages whose version can change a figure. */
const packages = [
  ...['@noble/curves', '@noble/hashes', 'viem', 'fastify', 'onnxruntime-node', 'onnxruntime-web'],
  ...['cborg', '@ethereumjs/mpt', 'undici', '@foundry-rs/anvil'],
]

export function machine(): { model: string; cores: number; memoryGiB: number; platform: string } {
  const model = cpus()[0]?.model.trim() || 'unknown'
  const memoryGiB = Math.round((totalmem() / 2 ** 30) * 10) / 10
  return { model, cores: availableParallelism(), memoryGiB, platform: `${process.platform}-${process.arch}` }
}

/** Average number of runnable processes over 1, 5 and 15 minutes. */
export function load(): readonly number[] {
  return loadavg().map((value) => Math.round(value * 100) / 100)
}

export function versions(): Record<string, string> {
  const found: Record<string, string> = { openssl: process.versions.openssl, v8: process.versions.v8 }
  if (process.versions.sqlite !== undefined) found.sqlite = process.versions.sqlite
  for (const name of packages) {
    const path = join(root, 'node_modules', name, 'package.json')
    if (existsSync(path)) found[name] = (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
  }
  return found
}

/** The commit, with `+changes` when files differ from it; `unknown` outside of a checkout. */
export function commit(): string {
  const git = (...parts: string[]) =>
    execFileSync('git', ['--no-optional-locks', ...parts], { cwd: root, encoding: 'utf8' }).trim()
  try {
    return `${git('rev-parse', 'HEAD')}${git('status', '--porcelain') === '' ? '' : '+changes'}`
  } catch {
    return 'unknown'
  }
}

/** CPU time of all cores in use by anybody since the machine started, in seconds. */
export function busySeconds(): number {
  // Node reports milliseconds.
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0) / 1000
}

/** CPU time of this process's children that have ended, in seconds; undefined where /proc does not say. */
export function childSeconds(): number | undefined {
  try {
    const text = readFileSync('/proc/self/stat', 'utf8')
    // After the name in parentheses come fields 3 and following; 16 and 17 are the children's ticks of 10 ms.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[13]) + Number(fields[14])) / 100
  } catch {
    return undefined
  }
}
