/** anvil-process.ts - the chain's child process as the operating system sees it: memory, and one left behind by a killed daemon. */
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readFileIfThere, replaceFile } from './files.ts'

type Remembered = { readonly pid: number; readonly state: string }

/** Notes which process works on the folder, for a daemon that finds it after this one was killed. */
export function rememberChild(folder: string, child: Remembered): void {
  replaceFile(join(folder, 'process.json'), `${JSON.stringify(child)}\n`)
}

/** Forgets it. */
export function forgetChild(folder: string): void {
  rmSync(join(folder, 'process.json'), { force: true })
}

/**
 * Ends the process that a killed daemon left on this folder: two writers of one state file would lose blocks.
 *
 * Only a process whose command line names this folder's own state file is touched.
 */
export async function endOrphan(folder: string): Promise<void> {
  const text = readFileIfThere(join(folder, 'process.json'))
  if (text === undefined) return
  let child: Remembered
  try {
    child = JSON.parse(text) as Remembered
  } catch {
    return forgetChild(folder)
  }
  const isOurs = () => Number.isSafeInteger(child.pid) && child.pid > 1 && commandLine(child.pid).includes(child.state)
  const isRightFolder = child.state === join(folder, 'state.json')
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!isRightFolder || !isOurs()) break
    process.kill(child.pid, signal)
    for (let waited = 0; waited < 10_000 && isOurs(); waited += 50) await sleep(50)
  }
  forgetChild(folder)
}

/** Resident memory of a process in bytes, undefined if it cannot be told. */
export function residentBytes(pid: number): number | undefined {
  try {
    if (process.platform === 'linux') {
      const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1])
      return pages * 4096
    }
    if (process.platform === 'win32') return undefined
    return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { timeout: 2_000 })) * 1024
  } catch {
    return undefined
  }
}

function commandLine(pid: number): string {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    if (process.platform === 'win32') return ''
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { timeout: 2_000 }).toString('utf8')
  } catch {
    return ''
  }
}
