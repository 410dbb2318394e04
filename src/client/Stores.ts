/**
 * Stores.ts - what a client keeps across restarts: receipts whose anchoring still rises, and headers it saw as final.
 * Interfaces owned by the client; `MemoryStores` for tests and short lives, files in `FileStores.ts`.
 */
import * as TrustAnchors from '../chain/TrustAnchors.ts'

/** Receipts on their way to finality. */
export type PendingStore = {
  /** Durable before it returns. Replaces an older state of the same receipt. */
  save(receiptHash: string, bundle: Uint8Array): Promise<void>
  load(receiptHash: string): Promise<Uint8Array | undefined>
  /** Hashes of receipts that are not final yet, oldest first. */
  list(): Promise<readonly string[]>
  /** The receipt needs no more work here. */
  remove(receiptHash: string): Promise<void>
}

/** Trust anchors of this reader. */
export type AnchorStore = {
  read(): Promise<readonly TrustAnchors.TrustAnchors[]>
  /** Adds a header that this reader saw at or below its RPC's finalized tag. Durable before it returns. */
  addHeader(chainId: bigint, header: TrustAnchors.TrustedHeader): Promise<void>
}

/** Most receipts kept pending: beyond it the caller is told to let anchoring catch up. */
export const maxPending = 10_000

/** Pending receipts of one process's life. */
export function memoryPendingStore(): PendingStore {
  const items = new Map<string, Uint8Array>()
  return {
    async save(receiptHash, bundle) {
      items.set(receiptHash, bundle.slice())
    },
    async load(receiptHash) {
      return items.get(receiptHash)
    },
    async list() {
      return [...items.keys()]
    },
    async remove(receiptHash) {
      items.delete(receiptHash)
    },
  }
}

/** Trust anchors of one process's life. */
export function memoryAnchorStore(initial: readonly TrustAnchors.TrustAnchors[]): AnchorStore {
  let anchors = initial
  return {
    async read() {
      return anchors
    },
    async addHeader(chainId, header) {
      anchors = anchors.map((entry) => (entry.chainId === chainId ? TrustAnchors.add(entry, header) : entry))
    },
  }
}
