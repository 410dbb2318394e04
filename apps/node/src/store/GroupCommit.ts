/** GroupCommit.ts - writes of many callers in one transaction; each is told after the commit is durable, or that it failed. */
import * as Batcher from './Batcher.ts'
import type { Database } from './Database.ts'

/** Most writes waiting: at 5,000 a second two seconds of work, beyond which refusing is kinder than waiting. */
const defaultMaxQueue = 10_000
/** Most writes of one transaction: bounds what one failed commit refuses. */
const defaultMaxGroup = 512

/** A queue of writes to one database. */
export type GroupCommit = {
  /**
   * Runs a synchronous write within the next transaction and gives its result once that is durable.
   *
   * A write that throws is undone alone. When the commit fails, every write of the group fails and nothing is kept.
   * A write may run twice, the first time undone: it does nothing but read and change this database.
   * Throws: `OverloadedError`, `ClosedError`, what `write` throws, and the errors of `Database`.
   */
  readonly write: <T>(write: () => T) => Promise<T>
  /** Writes waiting or at the disk. */
  readonly depth: () => number
  /** Takes no more writes and resolves when all taken ones are done; the database stays open. */
  readonly close: () => Promise<void>
}

/** Steps between which a crash matters, for tests that crash there. */
export type Hooks = { readonly reached?: (step: 'group-written' | 'group-committed') => void }

/** Makes the queue of a database. */
export function create(options: {
  readonly database: Database
  readonly maxQueue?: number
  readonly maxGroup?: number
  readonly hooks?: Hooks
}): GroupCommit {
  const { database, hooks } = options
  const save = database.handle.prepare('SAVEPOINT one')
  const release = database.handle.prepare('RELEASE one')
  const undo = database.handle.prepare('ROLLBACK TO one')

  function attempt(write: () => unknown): Batcher.Outcome<unknown> {
    save.run()
    try {
      const value = write()
      release.run()
      return { value }
    } catch (error) {
      // A full disk ends the whole transaction; then there is nothing to undo and the group fails.
      if (!database.handle.isTransaction || isStorageFailure(error)) throw error
      undo.run()
      release.run()
      return { error }
    }
  }

  /** The whole group without savepoints, which cost as much as small writes; undefined when one of them is to be undone. */
  function together(writes: readonly (() => unknown)[]): Batcher.Outcome<unknown>[] | undefined {
    let isOneToUndo = false
    try {
      return database.transaction(() => {
        const outcomes = writes.map((write) => {
          try {
            return { value: write() }
          } catch (error) {
            isOneToUndo = database.handle.isTransaction && !isStorageFailure(error)
            throw error
          }
        })
        hooks?.reached?.('group-written')
        return outcomes
      })
    } catch (error) {
      if (isOneToUndo) return undefined
      throw error
    }
  }

  function oneByOne(writes: readonly (() => unknown)[]): Batcher.Outcome<unknown>[] {
    return database.transaction(() => {
      const outcomes = writes.map(attempt)
      hooks?.reached?.('group-written')
      return outcomes
    })
  }

  const batcher = Batcher.create<() => unknown, unknown>({
    maxQueue: options.maxQueue ?? defaultMaxQueue,
    maxGroup: options.maxGroup ?? defaultMaxGroup,
    run: (writes) => {
      const outcomes = together(writes) ?? oneByOne(writes)
      hooks?.reached?.('group-committed')
      return outcomes
    },
  })
  return {
    write: <T>(write: () => T) => batcher.add(write) as Promise<T>,
    depth: batcher.depth,
    close: batcher.close,
  }
}

/** FULL, IOERR, CORRUPT and the like concern the group; a broken constraint concerns one write. */
function isStorageFailure(error: unknown): boolean {
  const { errcode } = error as { errcode?: unknown }
  return typeof errcode === 'number' && ![1, 18, 19, 20].includes(errcode & 0xff)
}
