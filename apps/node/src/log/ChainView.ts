/** ChainView.ts - what a log and a witness ask of the chain; src/settle implements it. Nothing here is signed by anybody. */
import type { Records } from 'assay/chain'

/** A key in the NodeRegistry. */
export type KeyRecord = Records.KeyRecord

/** A block as this process saw it. */
export type SeenBlock = {
  readonly number: bigint
  /** 32 bytes. */
  readonly hash: Uint8Array
  /** When this process first saw it, by its own clock, milliseconds since 1970. */
  readonly seenAtMs: number
}

/** A view of one chain. Every promise rejects with an `UnavailableError` while the chain cannot be reached. */
export type ChainView = {
  /** The newest block seen, or undefined before the first. */
  readonly newest: () => SeenBlock | undefined
  /** A key of a node's history at the newest block, or undefined if there is none of this epoch. */
  readonly keyRecord: (nodeId: Uint8Array, keyEpoch: number) => Promise<KeyRecord | undefined>
  /** The largest anchored state of a log (size 0 with SHA-256('') after registration), or undefined if it is unknown. */
  readonly logHead: (logId: Uint8Array) => Promise<{ readonly size: bigint; readonly root: Uint8Array } | undefined>
  /** The anchored root of exactly this size, or undefined. */
  readonly stepRoot: (logId: Uint8Array, size: bigint) => Promise<Uint8Array | undefined>
}

/** A log whose newest block is older than this by its own clock signs no pledge (spec/log.md section 3). */
export const maxBlockAgeMs = 60_000

/** The newest block if it is recent; a clock that jumped in either direction makes it old until the next block comes. */
export function recentBlock(chain: ChainView, nowMs: number): SeenBlock | undefined {
  const newest = chain.newest()
  return newest !== undefined && Math.abs(nowMs - newest.seenAtMs) <= maxBlockAgeMs ? newest : undefined
}
