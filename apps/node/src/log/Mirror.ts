/** Mirror.ts - the second place that holds a log's entries, as the log sees it; src/witness implements it. */
import type { Entry } from './LogStore.ts'

/** What a log tells its mirror before it pushes anything, so that a mirror restored from an older copy notices. */
export type Announcement = {
  /** Entries durable at the log. */
  readonly size: bigint
  /** Entries up to and with the last one whose pledge was signed: all of them were at the mirror once. */
  readonly pledgedSize: bigint
  /** The largest checkpoint for which the log holds a cosignature of this mirror's witness. */
  readonly cosigned: { readonly size: bigint; readonly root: Uint8Array } | undefined
}

/** A mirror of one log. Every promise rejects with an `UnavailableError` while it cannot be reached. */
export type Mirror = {
  /** 64 bytes, x || y: the key under which the mirror's keeper cosigns, if it does. */
  readonly witnessKey?: Uint8Array
  /** Takes note of what the log knows. */
  readonly announce: (announcement: Announcement) => Promise<void>
  /** Entries held. */
  readonly size: () => Promise<bigint>
  /** The root over the first `size` entries, 32 bytes. */
  readonly root: (size: bigint) => Promise<Uint8Array>
  /** Entries `from` up to but without `to`, at most 1,024. */
  readonly read: (from: bigint, to: bigint) => Promise<readonly Entry[]>
  /**
   * Resolves when the entries are durable. They continue what is held; those that are held already must be equal.
   */
  readonly append: (entries: readonly Entry[]) => Promise<void>
}

/** Most entries of one read. */
export const maxRead = 1024n

/** Splits a range into pieces of at most `maxRead` entries. */
export function* pieces(from: bigint, to: bigint): Generator<{ readonly start: bigint; readonly end: bigint }> {
  for (let start = from; start < to; start += maxRead) {
    yield { start, end: to - start > maxRead ? start + maxRead : to }
  }
}
