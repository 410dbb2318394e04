/**
 * WatchFile.ts - the client's memory of what parties signed as one database file: part of `assay/client/node`. Every item is whole or
 * not there after a crash, and several processes may use one folder at once.
 */
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { UnavailableError } from '../protocol/errors.ts'
import { FullError, keepsAll, limits, type Shelf, type WatchStore } from './WatchStore.ts'

/** Longest wait for another process that writes: a write takes milliseconds. */
const busyTimeoutMs = 5_000
/** Shelves that forget are measured once in so many writes: counting takes time, and a few items more harm nobody. */
const measureEvery = 256

const schema = `CREATE TABLE IF NOT EXISTS items (
  id INTEGER PRIMARY KEY, shelf TEXT NOT NULL, name TEXT NOT NULL, item BLOB NOT NULL, UNIQUE (shelf, name)
) STRICT`

/** The memory in `folder` (made with mode 0700). Opened at the first use; `close` for whoever removes the folder. */
export function fileWatchStore(folder: string): WatchStore & { readonly close: () => void } {
  let opened: DatabaseSync | undefined
  let writes = 0

  function database(): DatabaseSync {
    if (opened !== undefined) return opened
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const path = join(folder, 'watch.db')
    const made = new DatabaseSync(path)
    // WAL with FULL syncs at every commit: what was put is there after a power cut.
    made.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL`)
    made.exec(schema)
    chmodSync(path, 0o600)
    opened = made
    return made
  }

  /** What a full disk or another process does is told as such; everything else is a defect and escapes. */
  function run<T>(work: (database: DatabaseSync) => T): T {
    try {
      return work(database())
    } catch (error) {
      if ((error as { code?: unknown }).code === 'ERR_SQLITE_ERROR') throw new WatchFileError(error)
      throw error
    }
  }

  const count = (db: DatabaseSync, shelf: Shelf): number =>
    (db.prepare('SELECT count(*) AS n FROM items WHERE shelf = ?').get(shelf) as { n: number }).n

  const read = (db: DatabaseSync, shelf: Shelf, name: string): Uint8Array | undefined =>
    (
      db.prepare('SELECT item FROM items WHERE shelf = ? AND name = ?').get(shelf, name) as
        | { item: Uint8Array }
        | undefined
    )?.item

  function makeRoom(db: DatabaseSync, shelf: Shelf): void {
    const isOwed = keepsAll.includes(shelf)
    if (!isOwed && writes++ % measureEvery !== 0) return
    const over = count(db, shelf) - limits[shelf] + 1
    if (over <= 0) return
    if (isOwed) throw new FullError(shelf)
    db.prepare('DELETE FROM items WHERE id IN (SELECT id FROM items WHERE shelf = ? ORDER BY id LIMIT ?)').run(
      shelf,
      over,
    )
  }

  function put(db: DatabaseSync, shelf: Shelf, name: string, item: Uint8Array): Uint8Array {
    const kept = read(db, shelf, name)
    if (kept !== undefined) return kept
    makeRoom(db, shelf)
    db.prepare('INSERT OR IGNORE INTO items (shelf, name, item) VALUES (?, ?, ?)').run(shelf, name, item)
    return read(db, shelf, name) ?? item
  }

  return {
    async put(shelf, name, item) {
      return run((db) => put(db, shelf, name, item))
    },
    async putAll(shelf, items) {
      if (items.length === 0) return
      run((db) => {
        db.exec('BEGIN IMMEDIATE')
        try {
          for (const [name, item] of items) put(db, shelf, name, item)
          db.exec('COMMIT')
        } catch (error) {
          db.exec('ROLLBACK')
          throw error
        }
      })
    },
    async get(shelf, name) {
      return run((db) => read(db, shelf, name))
    },
    async list(shelf, prefix = '') {
      return run((db) => {
        // Names are ASCII, so all that begin with the prefix lie before the prefix and the last of ASCII.
        const query = 'SELECT name FROM items WHERE shelf = ? AND name >= ? AND name < ? ORDER BY id'
        return db
          .prepare(query)
          .all(shelf, prefix, `${prefix}\x7f`)
          .map((row) => (row as { name: string }).name)
      })
    },
    async remove(shelf, name) {
      run((db) => db.prepare('DELETE FROM items WHERE shelf = ? AND name = ?').run(shelf, name))
    },
    close() {
      opened?.close()
      opened = undefined
    },
  }
}

/** The memory could not be read or written: a full disk, a damaged file, another process for too long. */
export class WatchFileError extends UnavailableError<'watch-file'> {
  override readonly name = 'WatchFile.WatchFileError'
  constructor(cause: unknown) {
    super('watch-file', 'The memory of what parties signed could not be read or written.', { cause })
  }
}
