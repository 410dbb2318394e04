/** folder-lock.ts - one process per folder: a lock that the operating system gives back when its owner dies, however it dies. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { errors } from 'assay/protocol'

/** Takes the lock of a folder, making the folder if needed; returns the function that gives it back. Throws `FolderInUseError`. */
export function lockFolder(folder: string): () => void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  // SQLite holds a POSIX lock on the open file: unlike a file with a process id in it, it cannot go stale.
  const database = new DatabaseSync(join(folder, 'lock'))
  try {
    database.exec('PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    throw new FolderInUseError(folder, cause)
  }
  let isHeld = true
  return () => {
    if (isHeld) database.close()
    isHeld = false
  }
}

/** Another process works in this folder. */
export class FolderInUseError extends errors.UsageError<'folder-in-use'> {
  override readonly name = 'FolderInUseError'
  constructor(folder: string, cause?: unknown) {
    super('folder-in-use', 'Another process works in this folder; stop it or use another home.', {
      facts: [`Folder: ${folder}`],
      cause,
    })
  }
}
