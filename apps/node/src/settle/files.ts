/** files.ts - small files that must be whole after a crash: written beside, synced, then put in place. */
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Replaces a file by a text; mode 0600. */
export function replaceFile(path: string, text: string): void {
  const beside = writeBeside(path, text)
  renameSync(beside, path)
  syncFolder(dirname(path))
}

/** Creates a file with mode 0600 unless it exists; says whether it did. */
export function createFile(path: string, text: string): boolean {
  const beside = writeBeside(path, text)
  try {
    linkSync(beside, path)
    syncFolder(dirname(path))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    rmSync(beside, { force: true })
  }
}

/** The text of a file, undefined if there is none. */
export function readFileIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function writeBeside(path: string, text: string): string {
  const beside = `${path}.${process.pid}.new`
  // Made anew: what lies there may be a link, or be open to others.
  rmSync(beside, { force: true })
  const file = openSync(beside, 'wx', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  return beside
}

function syncFolder(folder: string): void {
  if (process.platform === 'win32') return
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
