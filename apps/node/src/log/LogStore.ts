/**
 * LogStore.ts - what a log (and a mirror) asks of its storage. `SqliteLogStore` and `MemoryLogStore` implement it and
 * run the same suite, `LogStore.behavior.ts`.
 *
 * Reads are synchronous and see every write that returned. A write is atomic and durable when it returns.
 */

/** One log entry with the head that it was made from. */
export type Entry = {
  readonly index: bigint
  /** 139 bytes. */
  readonly head: Uint8Array
  /** 64 bytes, the node's signature over the head. */
  readonly signature: Uint8Array
  /** 64 bytes, x || y of the node's key. */
  readonly publicKey: Uint8Array
  /** The block that the pledge of this entry names. */
  readonly issuedAtBlock: bigint
  /** 32 bytes. */
  readonly issuedAtBlockHash: Uint8Array
}

/** Where a key's sequence number stands in the log. */
export type Place = { readonly sequence: bigint; readonly index: bigint }

/** All hashes of one complete tile, see `Tree.ts`. */
export type Tile = { readonly level: number; readonly number: bigint; readonly hashes: Uint8Array }

/** A second head for one place, with a good signature of the same key. */
export type Conflict = {
  /** Index of the first head. */
  readonly index: bigint
  readonly head: Uint8Array
  readonly signature: Uint8Array
}

/** A line of a published note: raw name, key identifier and signature bytes. */
export type NoteLine = { readonly name: string; readonly keyId: Uint8Array; readonly blob: Uint8Array }

/** A witness's statement over one checkpoint. */
export type Cosignature = {
  /** 64 bytes, x || y. */
  readonly publicKey: Uint8Array
  /** 64 bytes, under tag `cosign`. */
  readonly signature: Uint8Array
  /** Lines for the published note. */
  readonly lines: readonly NoteLine[]
}

/** A checkpoint that was signed, or that is about to be. */
export type StoredCheckpoint = {
  readonly size: bigint
  readonly root: Uint8Array
  /** 64 bytes under tag `checkpoint`; undefined between persisting and signing. */
  readonly signature: Uint8Array | undefined
  /** The log's lines for the published note. */
  readonly lines: readonly NoteLine[]
  readonly cosignatures: readonly Cosignature[]
  /**
   * The block in which this size was anchored; `passed` when the contract skipped it because its head is larger, with
   * the block in which that larger size was anchored.
   */
  readonly anchored: { readonly block: bigint; readonly passed: boolean } | undefined
}

/** One atomic write. */
export type Changes = {
  /** Continue the log without a gap. */
  readonly entries?: readonly Entry[]
  readonly tiles?: readonly Tile[]
  /** New block pairs for entries without a pledge. */
  readonly replans?: readonly Pick<Entry, 'index' | 'issuedAtBlock' | 'issuedAtBlockHash'>[]
  /** Signatures of pledges, 64 bytes each; an entry gets one once. */
  readonly pledges?: readonly { readonly index: bigint; readonly signature: Uint8Array }[]
  /** Only the first conflict of an index is kept. */
  readonly conflicts?: readonly Conflict[]
  /** Replace what is stored for their sizes. */
  readonly checkpoints?: readonly StoredCheckpoint[]
}

/** Storage of one log. */
export type LogStore = {
  /** Entries held. */
  readonly size: () => bigint
  readonly entry: (index: bigint) => Entry | undefined
  /** Entries `from` up to but without `to`; fewer if there are fewer. */
  readonly entries: (from: bigint, to: bigint) => Entry[]
  /** The entry of a key (32 bytes) at a sequence number. */
  readonly placeOf: (keyId: Uint8Array, sequence: bigint) => Place | undefined
  /** The highest sequence number of a key. */
  readonly highest: (keyId: Uint8Array) => Place | undefined
  /** The signature of an entry's pledge, 64 bytes. */
  readonly pledge: (index: bigint) => Uint8Array | undefined
  /** One more than the highest index with a signed pledge; 0 without any. */
  readonly pledgedSize: () => bigint
  readonly tile: (level: number, number: bigint) => Uint8Array | undefined
  readonly conflicts: () => Conflict[]
  readonly checkpoint: (size: bigint) => StoredCheckpoint | undefined
  /** The largest checkpoint, signed or not. */
  readonly latestCheckpoint: () => StoredCheckpoint | undefined
  /** Checkpoints neither anchored nor passed, ascending. */
  readonly unanchored: () => StoredCheckpoint[]
  /** Checkpoints whose block of anchoring is at least `block`, ascending. */
  readonly anchoredSince: (block: bigint) => StoredCheckpoint[]
  /** The smallest anchored (not passed) checkpoint of at least `size`. */
  readonly firstAnchored: (size: bigint) => StoredCheckpoint | undefined
  /** The largest checkpoint with a cosignature of a key, 64 bytes. */
  readonly latestCosigned: (publicKey: Uint8Array) => StoredCheckpoint | undefined
  /** Throws `DiskFullError`, `StorageError`, `CorruptError`; then nothing was kept. */
  readonly write: (changes: Changes) => void
  readonly close: () => void
}
