/**
 * Forgetting.ts - throws away openings that nobody can demand any more. Source: spec/faults.md section 6.3.
 *
 * An opening is kept for openWindowBlocks + answerBlocks, and at least 86,400 blocks, after the block in which its receipt was first anchored, counted in
 * finalized blocks: nobody can open a case after the first part, and one that is open has been seen by the end of the second.
 * That the time is over must have been so in the look before, too. What has no anchored place yet, and what a case is open about, is kept. The receipt's place stays for good.
 */
import { Bytes } from 'assay/protocol'
import type { ReceiptStore } from '../receipts/ReceiptStore.ts'
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

/** Looks at the oldest openings once, a bounded number of them; gives how many were thrown away. */
export function create(options: {
  readonly view: CasesView
  readonly logs: readonly Places.LogPort[]
  readonly store: Pick<ReceiptStore, 'opened' | 'forgetOpenings'>
  readonly minKeptBlocks?: bigint | undefined
}): { readonly sweep: (cases: readonly Case[]) => Promise<number> } {
  const { view, logs, store } = options
  // First anchors below it were over when this was last looked at; nothing is over before that is known.
  let overBefore = 0n
  // Rows in front that cannot go (never released, in a log that is gone) must not be looked at for ever.
  let after = 0

  async function isOver(receipt: Parameters<typeof Places.placeOf>[1], before: bigint): Promise<boolean | undefined> {
    const found = Places.placeOf(logs, receipt)
    if (found === undefined) return undefined
    const first = await found.log.proof({ index: found.index }).catch(() => undefined)
    const block = first === undefined ? undefined : await view.anchoredIn(found.log.logId, first.size)
    return block !== undefined && block < before
  }

  async function sweep(cases: readonly Case[]): Promise<number> {
    const finalized = await view.finalized()
    const kept = keptBlocks(await view.terms(), options.minKeptBlocks)
    // What goes is gone: no single answer of the endpoint decides it.
    const overNow = finalized > kept ? finalized - kept : 0n
    const limit = overNow < overBefore ? overNow : overBefore
    overBefore = overNow
    const rows = store.opened(after, maxRows)
    const over: number[] = []
    let isYoung = false
    for (const { row, receipt } of rows) {
      const answer = limit === 0n ? false : await isOver(receipt, limit)
      isYoung = answer === false
      // The rest is younger still.
      if (isYoung) break
      const isAsked = cases.some(({ demand }) => demand && Bytes.equal(demand.receiptHash, receipt.receiptHash))
      if (answer === true && !isAsked) over.push(row)
    }
    if (over.length > 0) await store.forgetOpenings(over)
    after = isYoung || rows.length < maxRows ? 0 : (rows.at(-1)?.row ?? 0)
    return over.length
  }

  return { sweep }
}
