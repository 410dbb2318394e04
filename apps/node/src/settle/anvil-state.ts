/**
 * anvil-state.ts - copies of the chain's state file. anvil writes it in place, so a kill at the wrong moment leaves half a
 * file, which it then refuses to load: the whole chain would be lost for a second of it.
 */
import { closeSync, copyFileSync, openSync, readSync, renameSync, rmSync, statSync } from 'node:fs'

/** Whether the child's complaint means that it could not read its state. */
export function isUnreadable(complaint: string): boolean {
  return /failed to parse json|deserial|EOF while parsing/i.test(complaint)
}

/** Copies the state file beside it if no write was in progress, keeping the copy before; says whether it did. */
export function keepCopy(state: string): boolean {
  const beforeCopy = statSync(state, { throwIfNoEntry: false })
  if (beforeCopy === undefined || beforeCopy.size < 2 || !endsAsObject(state, beforeCopy.size)) return false
  const fresh = `${state}.copy`
  copyFileSync(state, fresh)
  const afterCopy = statSync(state, { throwIfNoEntry: false })
  if (afterCopy?.mtimeMs !== beforeCopy.mtimeMs || afterCopy.size !== beforeCopy.size) {
    rmSync(fresh, { force: true })
    return false
  }
  // A cut-off file can end in a brace by chance; therefore two.
  if (statSync(`${state}.1`, { throwIfNoEntry: false })) renameSync(`${state}.1`, `${state}.2`)
  renameSync(fresh, `${state}.1`)
  return true
}

/** Puts the newest copy in the place of an unreadable state, which is set aside; false when there is none left. */
export function restoreCopy(state: string): boolean {
  for (const copy of [`${state}.1`, `${state}.2`]) {
    if (statSync(copy, { throwIfNoEntry: false }) === undefined) continue
    renameSync(state, `${state}.broken`)
    renameSync(copy, state)
    return true
  }
  return false
}

function endsAsObject(path: string, size: number): boolean {
  const file = openSync(path, 'r')
  try {
    const last = Buffer.alloc(1)
    readSync(file, last, 0, 1, size - 1)
    return last[0] === 0x7d
  } finally {
    closeSync(file)
  }
}
