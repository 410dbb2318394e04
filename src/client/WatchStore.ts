/**
 * WatchStore.ts - a client's memory of what parties signed: heads of nodes, states of logs and their cosignatures, pledges that are
 * followed, evidence that waits for the chain, whom the chain was seen to know. Source: spec/client.md. Interface owned by the client; a file in `WatchFile.ts`.
 *
 * It holds signed statements and numbers. It never holds a prompt, an answer, a claim, a salt or a secret.
 */
import { UnavailableError } from '../protocol/errors.ts'

/** What is kept apart, each with its own limit. */
export type Shelf =
  | 'heads'
  | 'sizes'
  | 'places'
  | 'promises'
  | 'suspicions'
  | 'unplaced'
  | 'registered'
  | 'unopened'
  | 'logs'
  | 'nodes'
  | 'entries'
  | 'unshown'
  | 'cursors'

/** The memory; names are ASCII text of at most 200 characters. */
export type WatchStore = {
  /**
   * Keeps an item under a name and returns the item that is kept: the one that was there first stays, so whoever gets other bytes
   * back holds two statements about one thing. Durable before it returns.
   *
   * Throws: `WatchStore.FullError` on shelves whose items are owed something.
   */
  put(shelf: Shelf, name: string, item: Uint8Array): Promise<Uint8Array>
  /** Keeps many items as `put` does, durable together. */
  putAll(shelf: Shelf, items: readonly (readonly [name: string, item: Uint8Array])[]): Promise<void>
  get(shelf: Shelf, name: string): Promise<Uint8Array | undefined>
  /** Names that begin with a text, oldest first. */
  list(shelf: Shelf, prefix?: string): Promise<readonly string[]>
  remove(shelf: Shelf, name: string): Promise<void>
}

/**
 * Most items of a shelf. Statements take about 300 bytes, so the first three come to at most 60 MB; where they are full the oldest is
 * forgotten. Evidence takes up to 5 kB. Who is registered paid for it on chain, so nobody fills that shelf. Pledges are as many as pending receipts may be, and like those they are never forgotten: a call is refused instead.
 */
export const limits: { readonly [shelf in Shelf]: number } = Object.freeze({
  heads: 100_000,
  sizes: 50_000,
  places: 50_000,
  promises: 10_000,
  suspicions: 1_000,
  unplaced: 1_000,
  registered: 10_000,
  unopened: 1_000,
  logs: 1_000,
  nodes: 1_000,
  entries: 50_000,
  unshown: 1_000,
  cursors: 1_000,
})

/** Shelves that refuse the newest instead of forgetting the oldest. */
export const keepsAll: readonly Shelf[] = Object.freeze(['promises'] as const)

/** The memory of one process's life. */
export function memoryWatchStore(): WatchStore {
  const shelves = new Map<Shelf, Map<string, Uint8Array>>()
  const shelfOf = (shelf: Shelf): Map<string, Uint8Array> => {
    const items = shelves.get(shelf) ?? new Map<string, Uint8Array>()
    shelves.set(shelf, items)
    return items
  }
  const put = (shelf: Shelf, name: string, item: Uint8Array): Uint8Array => {
    const items = shelfOf(shelf)
    const kept = items.get(name)
    if (kept !== undefined) return kept
    if (items.size >= limits[shelf]) {
      if (keepsAll.includes(shelf)) throw new FullError(shelf)
      items.delete(items.keys().next().value as string)
    }
    items.set(name, item.slice())
    return item
  }
  return {
    put: async (shelf, name, item) => put(shelf, name, item),
    async putAll(shelf, items) {
      for (const [name, item] of items) put(shelf, name, item)
    },
    async get(shelf, name) {
      return shelfOf(shelf).get(name)
    },
    async list(shelf, prefix = '') {
      return [...shelfOf(shelf).keys()].filter((name) => name.startsWith(prefix))
    },
    async remove(shelf, name) {
      shelfOf(shelf).delete(name)
    },
  }
}

/** A shelf holds as much as it may, and nothing on it can be forgotten. */
export class FullError extends UnavailableError<'watch-full'> {
  override readonly name = 'WatchStore.FullError'
  constructor(shelf: Shelf) {
    super('watch-full', 'The memory of what is owed to this client is full.', {
      facts: [`Shelf: ${shelf}`, `Limit: ${limits[shelf]}`],
      retryAfterSeconds: 60,
    })
  }
}
