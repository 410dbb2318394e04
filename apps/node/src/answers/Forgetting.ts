/**
 * Forgetting.ts - throws away openings that nobody can demand any more. Source: spec/faults.md section 6.3.
 *
 * An opening is kept for openWindowBlocks + answerBlocks, and at least 86,400 blocks, after the block in which its receipt was first anchored, counted in
 * finalized blocks: nobody can open a case after the first part, and one that is open has been seen by the end of the second.
 * What has no anchored place yet, and what a case is open about, is kept. The receipt's place stays for good.
 *
 * An opening that is gone does not come back, and which block is final is one endpoint's word. So it goes only if its time was
 * over in every look of an hour: a lie has to last as long, and a look that says otherwise begins the hour anew.
 */
import { Bytes } from 'assay/protocol'
import type { ReceiptStore, StoredReceipt } from '../receipts/ReceiptStore.ts'
import type { Case, CasesView, Terms } from './CasesView.ts'
import * as Places from './Places.ts'

/** Rows looked at in one go: a second of calls at full load, and a write of a few ms. */
export const maxRows = 256

/**
 * Least blocks for which openings are kept, where the windows are short: a day of a development chain, because a client asks
 * for the claims of a pending answer that long.
 */
export const minKeptBlocks = 86_400n

/** Blocks for which an opening is kept after the first anchor of its receipt. */
export function keptBlocks({ openWindowBlocks, answerBlocks }: Terms, least: bigint = minKeptBlocks): bigint {
  const kept = openWindowBlocks + answerBlocks
  return kept > least ? kept : least
}

/** For so long every look has to say that an opening's time is over, ms. */
export const confirmMs = 3_600_000

/**
 * Looks at the oldest openings once, a bounded number of them; gives how many were thrown away. `nowMs`: a clock that never
 * turns back.
 */
export function create(options: {
  readonly view: CasesView
  readonly logs: readonly Places.LogPort[]
  readonly store: Pick<ReceiptStore, 'opened' | 'forgetOpenings'>
  readonly minKeptBlocks?: bigint | undefined
  readonly confirmMs?: number | undefined
}): { readonly sweep: (cases: readonly Case[], nowMs: number) => Promise<number> } {
  const { view, logs, store } = options
  const waitMs = options.confirmMs ?? confirmMs
  // Rows in front that cannot go (never released, in a log that is gone) must not be looked at for ever.
  let after = 0
  /** Up to which row nothing was found to be younger, since when, and the last one that is over; rows and times grow. */
  let over: readonly { readonly row: number; readonly sinceMs: number; readonly last: number }[] = []

  /** Whether what was anchored in a block below `before` is over, receipt by receipt; undefined where no place is known. */
  function judge(before: bigint): (receipt: StoredReceipt) => Promise<boolean | undefined> {
    const known = new Map<string, Promise<bigint | undefined>>()
    return async (receipt) => {
      const found = Places.placeOf(logs, receipt)
      if (found === undefined) return undefined
      const { log, index } = found
      const first = await log.proof({ index }).catch(() => undefined)
      if (first === undefined) return false
      const name = `${Bytes.toHex(log.logId)}/${first.size}`
      const block = known.get(name) ?? view.anchoredIn(log.logId, first.size)
      known.set(name, block)
      const anchoredIn = await block
      return anchoredIn !== undefined && anchoredIn < before
    }
  }

  /** Goes on from the last row that was over, once that is still so. */
  async function advance(isOver: ReturnType<typeof judge>, nowMs: number): Promise<void> {
    const before = over.at(-1)
    const again = before === undefined ? undefined : store.opened(before.last - 1, 1)[0]
    const isThere = again !== undefined && again.row === before?.last
    if (isThere && (await isOver(again.receipt)) === false) over = []
    const from = over.at(-1)?.row ?? 0
    let [to, last] = [from, over.at(-1)?.last ?? 0]
    for (const { row, receipt } of store.opened(from, maxRows)) {
      const answer = await isOver(receipt)
      // The rest is younger still.
      if (answer === false) break
      to = row
      if (answer === true) last = row
    }
    if (to > from) over = [...over, { row: to, sinceMs: nowMs, last }]
  }

  async function sweep(cases: readonly Case[], nowMs: number): Promise<number> {
    const finalized = await view.finalized()
    const kept = keptBlocks(await view.terms(), options.minKeptBlocks)
    const isOver = judge(finalized > kept ? finalized - kept : 0n)
    await advance(isOver, nowMs)
    const at = over.findLastIndex(({ sinceMs }) => nowMs - sinceMs >= waitMs)
    over = over.slice(Math.max(0, at))
    const confirmed = at < 0 ? 0 : (over[0]?.row ?? 0)
    const rows = store.opened(after, maxRows).filter(({ row }) => row <= confirmed)
    const going: number[] = []
    for (const { row, receipt } of rows) {
      const isAsked = cases.some(({ demand }) => demand && Bytes.equal(demand.receiptHash, receipt.receiptHash))
      if (!isAsked && (await isOver(receipt)) === true) going.push(row)
    }
    if (going.length > 0) await store.forgetOpenings(going)
    after = rows.length < maxRows ? 0 : (rows.at(-1)?.row ?? 0)
    return going.length
  }

  return { sweep }
}
