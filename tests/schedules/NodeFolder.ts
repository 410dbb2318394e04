/** NodeFolder.ts - what goes with a node's folder: openings of receipts, and what the answering service wrote down. */
import { cpSync, existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crypto } from 'assay/crypto/node'
import { Bytes, Head } from 'assay/protocol'
import type { LedgerFate } from './Parts.ts'

/** Which openings are gone although nobody threw them away. */
export type Openings = {
  /** A head is on the node's disk, and with it the opening. */
  readonly written: (head: Uint8Array) => void
  readonly backedUp: () => void
  /** The folder is empty now, or the copy of the last time that it was backed up. */
  readonly replaced: (isByCopy: boolean) => void
  readonly areLost: (receiptHash: Uint8Array) => boolean
}

/** Of a node that has written nothing yet. */
export function create(): Openings {
  // By receipt hash: how many receipts there were before it.
  const receipts = new Map<string, number>()
  const lost = new Set<string>()
  let copied = 0
  return {
    written(head) {
      const name = Bytes.toHex(Head.hash(crypto, head))
      if (!receipts.has(name)) receipts.set(name, receipts.size)
    },
    backedUp() {
      copied = receipts.size
    },
    replaced(isByCopy) {
      for (const [name, before] of receipts) if (!isByCopy || before >= copied) lost.add(name)
    },
    areLost: (receiptHash) => lost.has(Bytes.toHex(receiptHash)),
  }
}

/** Does that to answers.json in a node's folder; false if there is no folder. `copy`: the folder as it was once, if that was kept. */
export function loseLedger(folder: string, copy: string | undefined, fate: LedgerFate): boolean {
  if (!existsSync(folder)) return false
  const file = join(folder, 'answers.json')
  const old = copy === undefined ? undefined : join(copy, 'answers.json')
  rmSync(file, { force: true })
  if (fate === 'damaged') writeFileSync(file, '{"version":1,"cases":')
  if (fate === 'old' && old !== undefined && existsSync(old)) cpSync(old, file)
  return true
}
