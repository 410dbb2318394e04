/**
 * Rounds.ts - one round over everything that a client still waits for: receipts to come, anchoring to rise, promises, evidence, filing.
 * Source: spec/client.md.
 */
import * as Bytes from '../protocol/Bytes.ts'
import { BaseError } from '../protocol/errors.ts'
import type * as Awaiting from './Awaiting.ts'
import type * as Filing from './Filing.ts'
import type { Patience } from './Patience.ts'
import type { PendingStore } from './Stores.ts'
import type { Watching } from './Watching.ts'

/** What one round over the pending receipts came to; hashes in hex. */
export type Report = {
  readonly final: readonly string[]
  readonly pending: readonly string[]
  /** Orders (their hashes) whose receipt no log has pledged yet. */
  readonly awaited: readonly string[]
  /** `receiptHash` is the order's hash for a call whose receipt is still to come. */
  readonly failed: readonly { readonly receiptHash: string; readonly code: string }[]
  /** Names of the `.fault` files that this round wrote. */
  readonly faults: readonly string[]
  /** How far the filing has come, where there is a court and it could be reached. */
  readonly filing?: Filing.Report
}

/** Makes it; of what cannot be reached now nothing is lost. */
export function create(parts: {
  readonly awaiting: Pick<Awaiting.Awaiting, 'round'>
  readonly pending: PendingStore
  readonly patience: Patience
  readonly watching: Pick<Watching, 'round'>
  readonly raise: (
    bundle: Uint8Array,
  ) => Promise<{ readonly bundle: Uint8Array; readonly changed: boolean; readonly isFinal: boolean }>
  /** Nothing more is owed for a receipt. */
  readonly finish: (receiptHash: string) => Promise<void>
  readonly lookAtLogs: () => Promise<void>
  readonly filed: () => Promise<Filing.Report | undefined>
}): () => Promise<Report> {
  const { pending, patience, watching } = parts
  let stoppedAt: string | undefined

  async function round(): Promise<Report> {
    const { awaited, failed } = await parts.awaiting.round()
    const report = { final: [] as string[], pending: [] as string[], awaited, failed: [...failed] }
    const hashes = await pending.list()
    // After a round that took too long the next begins where it ended.
    const from = Math.max(0, stoppedAt === undefined ? 0 : hashes.indexOf(stoppedAt))
    stoppedAt = undefined
    for (const receiptHash of [...hashes.slice(from), ...hashes.slice(0, from)]) {
      if (patience.isOver()) {
        stoppedAt ??= receiptHash
        report.pending.push(receiptHash)
        continue
      }
      try {
        const bytes = await pending.load(receiptHash)
        if (bytes === undefined) continue
        const raised = await parts.raise(bytes)
        if (raised.isFinal) await parts.finish(receiptHash)
        else if (raised.changed && !Bytes.equal(raised.bundle, bytes)) await pending.save(receiptHash, raised.bundle)
        ;(raised.isFinal ? report.final : report.pending).push(receiptHash)
      } catch (error) {
        // One receipt that cannot rise must not hold back the others; it stays for its holder to look at.
        if (!BaseError.isInstance(error)) throw error
        report.failed.push({ receiptHash, code: error.code })
      }
    }
    await parts.lookAtLogs()
    // What is on record goes its way whatever watching met.
    const [watched] = await Promise.allSettled([watching.round()])
    const filing = await parts.filed()
    if (watched.status === 'rejected') throw watched.reason
    const { faults, closed } = watched.value
    for (const receiptHash of closed) await pending.remove(receiptHash)
    return { ...report, faults, ...(filing === undefined ? {} : { filing }) }
  }

  return async () => {
    patience.begin()
    try {
      return await round()
    } finally {
      patience.end()
    }
  }
}
