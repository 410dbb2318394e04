/**
 * Archive.ts - logs of this home that have ended: their keys are gone and they sign nothing, but what they hold can be
 * demanded for as long as their stake is there. Their folders are named `log.ended-<logId>`.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Bytes, type Crypto, errors, TileHashes } from 'assay/protocol'
import * as Reconcile from '../log/Reconcile.ts'
import * as SqliteLogStore from '../log/SqliteLogStore.ts'
import * as Tree from '../log/Tree.ts'
import type { LogPort } from './Places.ts'

/** An ended log, open for reading. */
export type ArchivedLog = LogPort & { readonly close: () => void }

const name = /^log\d*\.ended-([0-9a-f]{64})$/

/** The name of the folder of an ended log; `slot`: what it was called, `logId`: 32 bytes. */
export function folderName(slot: string, logId: Uint8Array): string {
  return `${slot}.ended-${Bytes.toHex(logId)}`
}

/** Opens all ended logs of a home; throws the errors of `Database.open`. */
export function openAll(crypto: Crypto, home: string): readonly ArchivedLog[] {
  const opened: ArchivedLog[] = []
  try {
    for (const folder of readdirSync(home).sort()) {
      const logId = name.exec(folder)?.[1]
      if (logId !== undefined) opened.push(open(crypto, join(home, folder), Bytes.fromHex(logId)))
    }
    return opened
  } catch (error) {
    for (const one of opened) one.close()
    throw error
  }
}

function open(crypto: Crypto, folder: string, logId: Uint8Array): ArchivedLog {
  const store = SqliteLogStore.open({ folder, kind: 'log', logId, crypto })
  try {
    const tree = Reconcile.loadTree(crypto, store)
    const read = Tree.reader(tree, Tree.cached(store.tile))
    const inclusion = (index: bigint, size: bigint) => TileHashes.inclusionProof(crypto, read, index, size)
    return {
      ...{ logId, size: store.size, entry: store.entry, inclusion, close: store.close },
      async proof({ index }) {
        const checkpoint = store.firstAnchored(index + 1n)
        if (checkpoint === undefined) throw new NotAnchoredHereError()
        return { size: checkpoint.size, proof: await inclusion(index, checkpoint.size) }
      },
    }
  } catch (error) {
    store.close()
    throw error
  }
}

/** The ended log did not learn of an anchored size above the entry. */
export class NotAnchoredHereError extends errors.UnavailableError<'not-anchored'> {
  override readonly name = 'Archive.NotAnchoredHereError'
  constructor() {
    super('not-anchored', 'The ended log knows no anchored size that covers the entry.')
  }
}
