/** LeafCache.ts - leaves of recent calls, in memory only: bounded in bytes and in time, the least recently used first out. */

/** Effective and output leaves of one call. */
export type Leaves = { readonly effective: readonly Uint8Array[]; readonly output: readonly Uint8Array[] }

export type LeafCache = {
  readonly put: (receiptHash: string, leaves: Leaves) => void
  readonly get: (receiptHash: string) => Leaves | undefined
  /** Bytes held, with what the runtime adds to small arrays. */
  readonly size: () => number
  readonly clear: () => void
}

/** What a small Uint8Array costs beside its bytes, measured in V8. */
const overheadBytes = 200

/** Makes a cache; `now` in milliseconds. */
export function create(options: {
  readonly maxBytes: number
  readonly maxAgeMs: number
  readonly now: () => number
}): LeafCache {
  const items = new Map<string, { readonly leaves: Leaves; readonly bytes: number; readonly untilMs: number }>()
  let total = 0

  function drop(key: string): void {
    const item = items.get(key)
    if (item === undefined) return
    items.delete(key)
    total -= item.bytes
  }

  /** A clock that jumped back must not keep anything longer than it would have been kept. */
  function dropOld(aheadMs = 0): void {
    const now = options.now()
    for (const [key, { untilMs }] of items) {
      if (untilMs <= now + aheadMs || untilMs > now + options.maxAgeMs) drop(key)
    }
  }

  // What nobody asks for must go as well, and before its time rather than after it: slot 10 says how long it is kept.
  const lookMs = Math.min(options.maxAgeMs / 4, 15_000)
  const timer = setInterval(() => dropOld(2 * lookMs), lookMs)
  timer.unref()

  return {
    put(key, leaves) {
      drop(key)
      const bytes = [...leaves.effective, ...leaves.output].reduce((sum, leaf) => sum + leaf.length + overheadBytes, 0)
      if (bytes > options.maxBytes) return
      items.set(key, { leaves, bytes, untilMs: options.now() + options.maxAgeMs })
      total += bytes
      for (const oldest of items.keys()) {
        if (total <= options.maxBytes) break
        drop(oldest)
      }
    },
    get(key) {
      dropOld()
      const item = items.get(key)
      if (item === undefined) return undefined
      items.delete(key)
      items.set(key, item)
      return item.leaves
    },
    size: () => total,
    clear() {
      clearInterval(timer)
      items.clear()
      total = 0
    },
  }
}
