/**
 * chain-view.ts - what this daemon sees of the chain: the newest and the finalized block by polling, and records read by
 * state proofs under the newest block, each at most once per block.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Layout, Records, Rpc, type TrustAnchors } from 'assay/chain'
import { Bytes, type Crypto } from 'assay/protocol'
import type { AddressBook } from './deploy.ts'

/** A block as seen here. */
export type SeenBlock = {
  readonly number: bigint
  /** 32 bytes. */
  readonly hash: Uint8Array
  /** By this machine's clock: when it was first seen, or its own timestamp if that is earlier. */
  readonly seenAtMs: number
  /** When it was first seen by a clock that nobody can set (`performance.now`); how old the first block of all was then is taken off. */
  readonly sinceMs: number
  /** By the block itself: what deadlines in orders are judged against, whatever this machine's clock says. */
  readonly timestampSeconds: bigint
}

/** The head of a log in AnchorLog. */
export type LogHead = { readonly size: bigint /** 32 bytes. */; readonly root: Uint8Array }

export type ChainView = {
  readonly newest: () => SeenBlock | undefined
  /** The newest block at the endpoint's finalized tag. */
  readonly finalized: () => TrustAnchors.TrustedHeader | undefined
  /** A key of a node at the newest block; undefined if it is not registered there. */
  readonly keyRecord: (nodeId: Uint8Array, keyEpoch: number) => Promise<Records.KeyRecord | undefined>
  /** What AnchorLog holds of a log at the newest block; undefined for an unknown log. */
  readonly logHead: (logId: Uint8Array) => Promise<LogHead | undefined>
  /** The anchored state of a size at the newest block. */
  readonly step: (logId: Uint8Array, size: bigint) => Promise<Records.Step | undefined>
  /** Its root alone. */
  readonly stepRoot: (logId: Uint8Array, size: bigint) => Promise<Uint8Array | undefined>
  /** Looks at once instead of at the next poll. */
  readonly refresh: () => Promise<void>
  /** The last failure of polling, undefined while it works. */
  readonly trouble: () => unknown
  readonly stop: () => Promise<void>
}

// Keys of one block: a log serves a network's active nodes; beyond that the oldest are asked for again.
const maxCached = 4_096
// Two blocks of a development chain, and an endpoint that lies is found out in the same time.
const maxAttempts = 6
const retryMs = 500

/**
 * Starts polling.
 *
 * - `pollMs`: between looks, default 250; `nowMs`: this machine's clock
 */
export function createChainView(options: {
  readonly crypto: Crypto
  readonly rpc: Rpc.Rpc
  readonly book: Pick<AddressBook, 'nodeRegistry' | 'anchorLog'>
  readonly pollMs?: number
  readonly nowMs?: () => number
}): ChainView {
  const { book, crypto, rpc } = options
  const nowMs = options.nowMs ?? Date.now
  const pollMs = options.pollMs ?? 250
  const stopping = new AbortController()
  const cache = new Map<string, Promise<readonly (Uint8Array | undefined)[]>>()
  let tip: { readonly seen: SeenBlock; readonly header: Rpc.FetchedHeader } | undefined
  let final: TrustAnchors.TrustedHeader | undefined
  let trouble: unknown
  let refreshing: Promise<void> | undefined

  async function look(): Promise<void> {
    try {
      const header = await Rpc.newest(crypto, rpc)
      if (tip === undefined || !Bytes.equal(tip.header.hash, header.hash)) {
        // A chain that stands still is old however late one looks; one whose clock runs ahead was seen no later than now.
        const seenAtMs = Math.min(nowMs(), Number(header.timestampSeconds) * 1_000)
        const { number, hash, timestampSeconds } = header
        const ageMs = tip === undefined ? nowMs() - seenAtMs : 0
        tip = { header, seen: { number, hash, timestampSeconds, seenAtMs, sinceMs: performance.now() - ageMs } }
        cache.clear()
      }
      const { number, hash } = await Rpc.finalized(crypto, rpc)
      final = { number, hash }
      trouble = undefined
    } catch (error) {
      trouble = error
    }
  }

  function refresh(): Promise<void> {
    refreshing ??= look().finally(() => {
      refreshing = undefined
    })
    return refreshing
  }

  async function words(contract: TrustAnchors.Contract, slots: readonly Uint8Array[]) {
    for (let attempt = 0; ; attempt++) {
      if (tip === undefined) await refresh()
      if (tip === undefined) throw trouble
      const { header } = tip
      const key = `${Bytes.toHex(contract.address)}${slots.map(Bytes.toHex).join('')}`
      const known = cache.get(key)
      if (known !== undefined) return known
      const asked = Rpc.readWords(crypto, rpc, { contract, slots, header })
      if (cache.size >= maxCached) cache.delete(cache.keys().next().value as string)
      cache.set(key, asked)
      try {
        return await asked
      } catch (error) {
        if (cache.get(key) === asked) cache.delete(key)
        // The block may have been given up since, or its state is no longer kept (a chain that was killed proves nothing before its
        // next block): look for the newest and ask again, for about two blocks of a development chain.
        if (attempt >= maxAttempts - 1 || stopping.signal.aborted) throw error
        if (attempt > 0) await sleep(retryMs, undefined, { signal: stopping.signal }).catch(() => undefined)
        await refresh()
      }
    }
  }

  async function step(logId: Uint8Array, size: bigint): Promise<Records.Step | undefined> {
    const [word0, word1] = await words(book.anchorLog, Layout.stepSlots(crypto, logId, size))
    return word0 === undefined || word1 === undefined ? undefined : Records.step(word0, word1)
  }

  const polling = (async () => {
    while (!stopping.signal.aborted) {
      await refresh()
      await sleep(pollMs, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  })()

  return {
    newest: () => tip?.seen,
    finalized: () => final,
    keyRecord: async (nodeId, keyEpoch) => {
      const [word0, word1] = await words(book.nodeRegistry, Layout.keyRecordSlots(crypto, nodeId, keyEpoch))
      return word0 === undefined || word1 === undefined ? undefined : Records.keyRecord(word0, word1)
    },
    logHead: async (logId) => {
      const [size, root] = await words(book.anchorLog, Layout.logHeadSlots(crypto, logId))
      if (root === undefined) return undefined
      return { size: size === undefined ? 0n : Records.uint64(size), root }
    },
    step,
    stepRoot: async (logId, size) => (await step(logId, size))?.root,
    refresh,
    trouble: () => trouble,
    stop: async () => {
      stopping.abort()
      await polling
    },
  }
}
