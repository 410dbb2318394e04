/**
 * Database.ts - one SQLite file of one signer: durable at every commit, one opener at a time, typed failures.
 *
 * WAL with `synchronous = FULL` syncs at every commit. `locking_mode = EXCLUSIVE` keeps the lock for as long as the file
 * is open, so a second daemon on the same folder fails at once instead of signing beside the first.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { errors } from 'assay/protocol'

/** Pages of the write-ahead log after which SQLite moves them into the file: 16 MiB, read back within 0.1 s at start. */
const checkpointPages = 4096

/** A schema step: statements that lead from version n to version n + 1. */
export type Migration = string

/** An open database. */
export type Database = {
  /** The driver's handle, for preparing statements; writes go through `transaction`. */
  readonly handle: DatabaseSync
  /**
   * Runs `work` in one transaction and returns its result after the commit is durable.
   *
   * Nothing of it is kept when it throws. Throws: what `work` throws, `DiskFullError`, `StorageError`, `CorruptError`.
   */
  readonly transaction: <T>(work: () => T) => T
  /** Moves the write-ahead log into the file and gives the lock back. */
  readonly close: () => void
}

/**
 * Opens or makes a database and brings its schema to the newest version.
 *
 * - `kind`: whose folder it is, for messages: `log`, `witness`, `node`
 * - `migrations`: all schema steps since version 0, never changed once released
 *
 * Throws: `FolderInUseError`, `NewerSchemaError`, `DiskFullError`, `StorageError`, `CorruptError`.
 */
export function open(options: {
  readonly path: string
  readonly kind: string
  readonly migrations: readonly Migration[]
}): Database {
  const { path, kind, migrations } = options
  return typed(kind, () => {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    makePrivate(path)
    const handle = new DatabaseSync(path)
    try {
      handle.exec(`
        PRAGMA busy_timeout = 0;
        PRAGMA locking_mode = EXCLUSIVE;
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        PRAGMA wal_autocheckpoint = ${checkpointPages};
        PRAGMA journal_size_limit = ${checkpointPages * 4096};
        PRAGMA foreign_keys = ON;
        PRAGMA cell_size_check = ON;
        PRAGMA trusted_schema = OFF;
      `)
      migrate(handle, kind, migrations)
      return wrap(handle, kind)
    } catch (error) {
      handle.close()
      throw error
    }
  })
}

/**
 * Makes the file here and not by SQLite, which would let everybody read it; its other files take the mode of this one. A
 * file that is there is not opened: to close it again would give back the lock that this process may hold on it.
 */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

function wrap(handle: DatabaseSync, kind: string): Database {
  const begin = handle.prepare('BEGIN IMMEDIATE')
  const commit = handle.prepare('COMMIT')
  // After a failed sync nobody knows what the disk holds, and a second sync may report success for lost pages.
  let broken: StorageError | CorruptError | undefined
  return {
    handle,
    transaction: (work) => {
      if (broken !== undefined) throw broken
      try {
        return typed(kind, () => {
          begin.run()
          const result = work()
          commit.run()
          return result
        })
      } catch (error) {
        if (error instanceof StorageError || error instanceof CorruptError) broken = error
        rollBack(handle)
        throw error
      }
    },
    close: () => handle.close(),
  }
}

function migrate(handle: DatabaseSync, kind: string, migrations: readonly Migration[]): void {
  // IMMEDIATE takes the lock even when there is nothing to change.
  handle.exec('BEGIN IMMEDIATE')
  try {
    const version = Number(handle.prepare('PRAGMA user_version').get()?.user_version)
    if (version > migrations.length) throw new NewerSchemaError(kind, version, migrations.length)
    for (const step of migrations.slice(version)) handle.exec(step)
    handle.exec(`PRAGMA user_version = ${migrations.length}`)
    handle.exec('COMMIT')
  } catch (error) {
    rollBack(handle)
    throw error
  }
}

/** SQLite rolls some failures back by itself; then there is no transaction left. */
function rollBack(handle: DatabaseSync): void {
  try {
    if (handle.isTransaction) handle.exec('ROLLBACK')
  } catch {
    // The first failure is the one to report.
  }
}

/** Turns SQLite's result codes into our errors; everything else passes. */
function typed<T>(kind: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw toTyped(kind, error)
  }
}

/** The typed error for a failure of SQLite or of the file system, or the failure itself if it is neither. */
export function toTyped(kind: string, error: unknown): unknown {
  const { errcode, code } = error as { errcode?: unknown; code?: unknown }
  if (typeof errcode === 'number') {
    // The low byte is the primary result code: https://sqlite.org/rescode.html
    switch (errcode & 0xff) {
      case 5: // BUSY
      case 6: // LOCKED
        return new FolderInUseError(kind, error)
      case 11: // CORRUPT
      case 26: // NOTADB
        return new CorruptError(kind, errcode, error)
      case 13: // FULL
        return new DiskFullError(kind, error)
      case 3: // PERM
      case 8: // READONLY
      case 10: // IOERR
      case 14: // CANTOPEN
        return new StorageError(kind, errcode, error)
    }
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') return new DiskFullError(kind, error)
  if (['EACCES', 'EPERM', 'EROFS', 'EIO', 'ENOTDIR', 'EEXIST'].includes(String(code))) {
    return new StorageError(kind, String(code), error)
  }
  return error
}

/** Another process, or another part of this one, has the folder open. */
export class FolderInUseError extends errors.UsageError<'folder-in-use'> {
  override readonly name = 'FolderInUseError'
  constructor(kind: string, cause?: unknown) {
    super('folder-in-use', `The ${kind} folder is in use by another process.`, {
      cause,
      facts: [`Folder: ${kind}`, 'Two signers on one folder would contradict each other.'],
    })
  }
}

/** The folder was written by a newer release. */
export class NewerSchemaError extends errors.UsageError<'newer-schema'> {
  override readonly name = 'NewerSchemaError'
  constructor(kind: string, found: number, known: number) {
    super('newer-schema', `The ${kind} folder was written by a newer release.`, {
      facts: [`Schema version: ${found}`, `Known here: ${known}`],
    })
  }
}

/** The disk is full: nothing of the write was kept, and writes work again as soon as there is space. */
export class DiskFullError extends errors.UnavailableError<'disk-full'> {
  override readonly name = 'DiskFullError'
  constructor(kind: string, cause?: unknown) {
    super('disk-full', `The disk of the ${kind} folder is full; nothing was written.`, { cause, retryAfterSeconds: 30 })
  }
}

/** The disk or the file system failed; the folder takes no more writes until it is opened again. */
export class StorageError extends errors.UnavailableError<'storage-failed'> {
  override readonly name = 'StorageError'
  constructor(kind: string, result: number | string, cause?: unknown) {
    super('storage-failed', `The ${kind} folder cannot be read or written.`, { cause, facts: [`Result: ${result}`] })
  }
}

/** The file is damaged. */
export class CorruptError extends errors.VerificationError<'storage-corrupt'> {
  override readonly name = 'CorruptError'
  constructor(kind: string, result: number | string, cause?: unknown) {
    super('storage-corrupt', `The ${kind} folder holds a damaged file.`, { cause, facts: [`Result: ${result}`] })
  }
}
