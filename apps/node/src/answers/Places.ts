/**
 * Places.ts - where entries stand in a daemon's logs, shown under an anchored size: what answers to cases rest on. A log that
 * signs no more is a place all the same.
 */
import { errors, Pledge } from 'assay/protocol'
import type { Entry } from '../log/LogStore.ts'
import type { StoredReceipt } from '../receipts/ReceiptStore.ts'
import type { CasesView } from './CasesView.ts'

/** What is asked of a log; `log/Log.ts` has it, and `Archive.ts` for logs that have ended. */
export type LogPort = {
  /** 32 bytes. */
  readonly logId: Uint8Array
  readonly size: () => bigint
  readonly entry: (index: bigint) => Entry | undefined
  /** The smallest size above `index` that the log knows as anchored, and the path in it; rejects when it knows none. */
  readonly proof: (request: {
    readonly index: bigint
  }) => Promise<{ readonly size: bigint; readonly proof: readonly Uint8Array[] }>
  readonly inclusion: (index: bigint, size: bigint) => Promise<readonly Uint8Array[]>
}

/** An entry under an anchored size. */
export type Place = {
  readonly logId: Uint8Array
  readonly index: bigint
  readonly size: bigint
  readonly proof: readonly Uint8Array[]
}

/** Blocks looked back at in one go for an anchored size that the log does not know as anchored any more. */
const maxLookBack = 100_000n

/** The first anchored size that covers an entry, as the log knows it, else the contract's newest; throws `NoPlaceError`. */
export async function covering(view: CasesView, log: LogPort, index: bigint): Promise<Place> {
  const { logId } = log
  try {
    const { size, proof } = await log.proof({ index })
    if ((await view.anchoredIn(logId, size)) !== undefined) return { logId, index, size, proof }
  } catch (error) {
    if (!errors.BaseError.isInstance(error)) throw error
  }
  const size = await view.headSize(logId)
  if (size <= index || size > log.size()) throw new NoPlaceError()
  return { logId, index, size, proof: await log.inclusion(index, size) }
}

/** An anchored size that covers an entry, anchored in a block below `before`; undefined if there is none. */
export async function anchoredBefore(
  view: CasesView,
  log: LogPort,
  index: bigint,
  before: bigint,
): Promise<Place | undefined> {
  const { logId } = log
  const known = await log.proof({ index }).catch(() => undefined)
  if (known !== undefined) {
    const block = await view.anchoredIn(logId, known.size)
    if (block !== undefined && block < before) return { logId, index, ...known }
    // What the log knows is the first size above the index, so no other one is older.
    if (block !== undefined) return undefined
  }
  const lowest = before > maxLookBack ? before - maxLookBack : 0n
  for (let to = before - 1n; to >= lowest; to -= 2_000n) {
    const size = await view.largestAnchored(logId, to > lowest + 1_999n ? to - 1_999n : lowest, to)
    if (size === undefined) continue
    // Sizes only grow: where the newest one below `before` does not cover the entry, no older one does.
    if (size <= index || size > log.size()) return undefined
    return { logId, index, size, proof: await log.inclusion(index, size) }
  }
  return undefined
}

/** In which of the logs a receipt stands, and where, by the pledge that it left with. */
export function placeOf(
  logs: readonly LogPort[],
  receipt: StoredReceipt,
): { readonly log: LogPort; readonly index: bigint } | undefined {
  if (receipt.released === undefined) return undefined
  const { logId, leafIndex } = Pledge.parse(receipt.released.pledgeWords)
  const log = logs.find((one) => Buffer.compare(one.logId, logId) === 0)
  return log === undefined ? undefined : { log, index: leafIndex }
}

/** No anchored size covers the entry here. */
export class NoPlaceError extends errors.UnavailableError<'place-unknown'> {
  override readonly name = 'Places.NoPlaceError'
  constructor() {
    super('place-unknown', 'The log here does not hold the entry under an anchored size.', { retryAfterSeconds: 2 })
  }
}
