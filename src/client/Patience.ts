/** Patience.ts - how long a round over many receipts lets the other side keep it waiting, so that what was found is filed in time. */
import * as HttpBody from './HttpBody.ts'

/** A fetch that gives up when the round has taken too long, until the round is over. */
export type Patience = {
  readonly fetch: typeof globalThis.fetch
  /** A round begins. */
  begin(): void
  /** The round is over, however it went. */
  end(): void
  /** The round has taken too long: nothing that can be asked in the next one is asked now. */
  isOver(): boolean
}

/** Longest time that a round waits for others: 10,000 receipts of an honest gateway take as long. */
export const roundMs = 300_000

/** Makes it; `now` in milliseconds. */
export function create(fetch: typeof globalThis.fetch, now: () => number): Patience {
  let until = Number.POSITIVE_INFINITY
  const isOver = () => now() > until
  return {
    fetch: async (input, init) => {
      if (isOver()) throw new HttpBody.UnreachableError(undefined)
      return fetch(input, init)
    },
    begin() {
      until = now() + roundMs
    },
    end() {
      until = Number.POSITIVE_INFINITY
    },
    isOver,
  }
}
