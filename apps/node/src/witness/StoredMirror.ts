/** StoredMirror.ts - a mirror in a folder of its own: entries, heads and signatures, with the tree over them. */
import { Bytes, type Crypto, errors } from 'assay/protocol'
import * as Intake from '../log/Intake.ts'
import type { Entry, LogStore } from '../log/LogStore.ts'
import { type Mirror, maxRead } from '../log/Mirror.ts'
import * as Reconcile from '../log/Reconcile.ts'
import * as Tree from '../log/Tree.ts'

/** Makes the mirror over a store; it takes note of no announcement, which is its keeper's business. */
export function createMirror(options: { readonly crypto: Crypto; readonly store: LogStore }): Mirror {
  const { crypto, store } = options
  const readTile = Tree.cached(store.tile)
  let tree = Reconcile.loadTree(crypto, store)

  function append(entries: readonly Entry[]): void {
    const size = tree.frontier.size
    const fresh = entries.filter((entry) => entry.index >= size)
    for (const entry of entries) {
      if (entry.index < size && !isSame(store.entry(entry.index), entry)) throw new MirrorConflictError(entry.index)
    }
    fresh.forEach((entry, i) => {
      if (entry.index !== size + BigInt(i)) throw new MirrorConflictError(entry.index)
    })
    if (fresh.length === 0) return
    const leafHashes = fresh.map((entry) => Intake.leafHash(crypto, entry.head))
    const appended = Tree.append(crypto, tree, leafHashes)
    store.write({ entries: fresh, tiles: appended.completed })
    tree = appended.tree
  }

  return {
    announce: async () => {},
    size: async () => tree.frontier.size,
    root: (size) => Tree.rootAt(crypto, tree, readTile, size),
    read: async (from, to) => store.entries(from, to - from > maxRead ? from + maxRead : to),
    append: async (entries) => append(entries),
  }
}

/** Block pairs may differ: a pledge that waited names a newer block than the one that was planned. */
function isSame(held: Entry | undefined, entry: Entry): boolean {
  return held !== undefined && Bytes.equal(held.head, entry.head) && Bytes.equal(held.publicKey, entry.publicKey)
}

/** The log sent an entry that does not continue, or contradicts, what the mirror holds. */
export class MirrorConflictError extends errors.VerificationError<'mirror-conflict'> {
  override readonly name = 'MirrorConflictError'
  constructor(index: bigint) {
    super('mirror-conflict', 'The entry does not fit what the mirror holds.', { facts: [`Index: ${index}`] })
  }
}
