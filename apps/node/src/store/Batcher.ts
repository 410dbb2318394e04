/**
 * Batcher.ts - a bounded queue whose items are worked on in groups, one group at a time.
 *
 * While one group is at the disk the next one gathers, so the cost of a sync is shared by as many as are waiting and
 * nobody waits for a timer.
 */
import { errors } from 'assay/protocol'

/** What became of one item of a group. */
export type Outcome<Result> = { readonly value: Result } | { readonly error: unknown }

/** A queue of items. */
export type Batcher<Item, Result> = {
  /** Adds an item; throws `OverloadedError` at once when the queue is full, `ClosedError` after `close`. */
  readonly add: (item: Item) => Promise<Result>
  /** Items waiting or being worked on. */
  readonly depth: () => number
  /** Takes no more items and resolves when all taken ones are done. */
  readonly close: () => Promise<void>
}

/**
 * Makes a queue.
 *
 * - `run`: works on a group and returns one outcome per item in the same order; when it throws, all of them fail
 * - `maxQueue`: most items waiting; `maxGroup`: most items of one group
 */
export function create<Item, Result>(options: {
  readonly run: (items: readonly Item[]) => readonly Outcome<Result>[] | Promise<readonly Outcome<Result>[]>
  readonly maxQueue: number
  readonly maxGroup: number
}): Batcher<Item, Result> {
  type Waiting = { item: Item; resolve: (value: Result) => void; reject: (error: unknown) => void }
  let queue: Waiting[] = []
  let working = 0
  let loop: Promise<void> | undefined
  let closed = false

  async function work(): Promise<void> {
    // Let all that arrives in this turn of the event loop join the first group.
    await new Promise((resolve) => setImmediate(resolve))
    while (queue.length > 0) {
      const group = queue.slice(0, options.maxGroup)
      queue = queue.slice(group.length)
      working = group.length
      await runGroup(group)
      working = 0
    }
    loop = undefined
  }

  async function runGroup(group: readonly Waiting[]): Promise<void> {
    try {
      const outcomes = await options.run(group.map((waiting) => waiting.item))
      group.forEach((waiting, i) => {
        const outcome = outcomes[i] ?? { error: new Error('A group gave fewer outcomes than items.') }
        if ('error' in outcome) waiting.reject(outcome.error)
        else waiting.resolve(outcome.value)
      })
    } catch (error) {
      for (const waiting of group) waiting.reject(error)
    }
  }

  return {
    add: (item) =>
      new Promise((resolve, reject) => {
        if (closed) throw new ClosedError()
        if (queue.length >= options.maxQueue) throw new OverloadedError(queue.length)
        queue.push({ item, resolve, reject })
        loop ??= work()
      }),
    depth: () => queue.length + working,
    close: async () => {
      closed = true
      await loop
    },
  }
}

/** More is asked than the disk can take at the moment; nothing of the refused call was kept. */
export class OverloadedError extends errors.UnavailableError<'overloaded'> {
  override readonly name = 'OverloadedError'
  constructor(waiting: number) {
    super('overloaded', 'Too many writes are waiting.', { facts: [`Waiting: ${waiting}`], retryAfterSeconds: 1 })
  }
}

/** The queue was closed. */
export class ClosedError extends errors.UnavailableError<'closed'> {
  override readonly name = 'ClosedError'
  constructor() {
    super('closed', 'The store is closing and takes no more writes.')
  }
}
