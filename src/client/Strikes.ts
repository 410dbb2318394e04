/**
 * Strikes.ts - when a promise of a log that the chain does not show is given up: not for old blocks, in which the log could not be, and
 * not for ever, because a pledge may name any block. Source: spec/client.md section 2.
 */

/** Looks in which the log was not there, before its promise is given up. */
const maxTries = 5
/** Blocks over which they are spread. */
const minBlocks = 10n
/** A view this far behind the block that a pledge names may be one before the log; a reorganisation reaches no further. */
export const marginBlocks = 64n
/** Blocks over which a log may be missing in views before its pledge: about a day of a chain with blocks of twelve seconds. */
const maxBlocks = 7_200n

/** Counts of one process: after a restart they begin anew. */
export type Strikes = {
  /** Counts one more look at `newest` without the log; says whether it was the last. */
  isOut(name: string, newest: bigint, issuedAtBlock: bigint): boolean
  forget(name: string): void
}

/** Starts counting. */
export function create(): Strikes {
  const early = new Map<string, bigint>()
  const late = new Map<string, { readonly count: number; readonly since: bigint }>()
  return {
    isOut(name, newest, issuedAtBlock) {
      if (newest < issuedAtBlock + marginBlocks) {
        const since = early.get(name) ?? newest
        early.set(name, since)
        return newest - since >= maxBlocks
      }
      const { count, since } = late.get(name) ?? { count: 0, since: newest }
      late.set(name, { count: count + 1, since })
      return count + 1 >= maxTries && newest - since >= minBlocks
    },
    forget(name) {
      early.delete(name)
      late.delete(name)
    },
  }
}
