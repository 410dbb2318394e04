/**
 * Checkpoints.ts - which sizes the log has signed, which of them are anchored, and the published checkpoint.
 * Source: spec/log.md section 4.
 *
 * A checkpoint is signed only to be anchored: size and root are persisted, then signed, then the signature is persisted,
 * then it may leave. At most eight are signed and not anchored, so that one submission can list them all.
 */
import { Checkpoint, Cose, errors, LogEntry, Note } from 'assay/protocol'
import type { State } from './Appending.ts'
import type { Cosignature, StoredCheckpoint } from './LogStore.ts'
import type { StaticFiles } from './StaticFiles.ts'
import * as Static from './StaticFiles.ts'
import * as Tree from './Tree.ts'

/** Most checkpoints signed and not anchored. */
export const maxUnanchored = 8

/** A signed checkpoint. */
export type SignedCheckpoint = StoredCheckpoint & { readonly signature: Uint8Array }

type Context = State & {
  readonly ed25519: Note.Ed25519Signer | undefined
  readonly files: StaticFiles
  readonly readTile: Tree.ReadTile
}

/** The statement about a size and root of this log. */
export function statement(state: Pick<State, 'identity'>, size: bigint, root: Uint8Array): Checkpoint.Statement {
  const { chainId, anchorLog, logId } = state.identity
  return { chainId, anchorLog, logId, size, root }
}

/**
 * Signs the checkpoint of a size that is about to be anchored, or gives the one that was signed.
 *
 * Throws: `TooManyUnanchoredError`, `CheckpointSizeError`, and the errors of storage.
 */
export async function sign(context: Context, size: bigint): Promise<SignedCheckpoint> {
  const { store } = context
  await finishPlans(context)
  const stored = store.checkpoint(size)
  if (stored === undefined) await signNew(context, size)
  await publish(context)
  return store.checkpoint(size) as SignedCheckpoint
}

async function signNew(context: Context, size: bigint): Promise<void> {
  const { store } = context
  const last = store.latestCheckpoint()?.size ?? 0n
  // Not above what the mirror holds: whoever sees the checkpoint may rely on every entry below it.
  if (size <= last || size > context.mirrored) throw new CheckpointSizeError(size, last, context.mirrored)
  if (store.unanchored().length >= maxUnanchored) throw new TooManyUnanchoredError()
  const root = await Tree.rootAt(context.crypto, context.tree, context.readTile, size)
  const plan = { size, root, signature: undefined, lines: [], cosignatures: [], anchored: undefined }
  store.write({ checkpoints: [plan] })
  context.hooks?.reached?.('checkpoint-planned')
  await finish(context, plan)
}

/** Signs what was persisted and not signed when a crash or a full disk came between. */
export async function finishPlans(context: Context): Promise<void> {
  for (const plan of context.store.unanchored()) if (plan.signature === undefined) await finish(context, plan)
}

async function finish(context: Context, plan: StoredCheckpoint): Promise<void> {
  const signed = await signPlan(context, plan)
  context.hooks?.reached?.('checkpoint-signed')
  context.store.write({ checkpoints: [signed] })
  context.hooks?.reached?.('checkpoint-written')
}
async function signPlan(context: Context, plan: StoredCheckpoint): Promise<SignedCheckpoint> {
  const { crypto, signer, ed25519, identity } = context
  const about = statement(context, plan.size, plan.root)
  const name = Checkpoint.origin(identity.logId)
  const payload = Checkpoint.payload(crypto, Checkpoint.words(about))
  const es256 = await Note.signEs256(crypto, signer, name, 'checkpoint', payload)
  const own = ed25519 === undefined ? [] : [await Note.signEd25519(crypto, ed25519, name, Checkpoint.text(about))]
  return { ...plan, signature: es256.blob, lines: [...own, es256] }
}

/** Adds a witness's statement to a checkpoint and publishes it; throws what `Cose.verify` throws. */
export async function addCosignature(context: Context, size: bigint, cosignature: Cosignature): Promise<void> {
  const stored = context.store.checkpoint(size)
  if (stored?.signature === undefined) throw new CheckpointSizeError(size, 0n, context.mirrored)
  const { publicKey, signature } = cosignature
  const payload = Checkpoint.payload(context.crypto, Checkpoint.words(statement(context, size, stored.root)))
  await Cose.verify(context.crypto, { tag: 'cosign', payload, signature, publicKey })
  // Read again: another witness may have answered meanwhile.
  const current = context.store.checkpoint(size) as StoredCheckpoint
  context.store.write({ checkpoints: [{ ...current, cosignatures: [...current.cosignatures, cosignature] }] })
  await publish(context)
}

/** Notes that a size was anchored in a block; smaller sizes that were not anchored are skipped by the contract for ever. */
export function markAnchored({ store }: Pick<State, 'store'>, size: bigint, block: bigint): void {
  const checkpoints = store
    .unanchored()
    .filter((one) => one.size <= size)
    .map((one) => ({ ...one, anchored: { block, passed: one.size !== size } }))
  const exact = store.checkpoint(size)
  // Marked again after a reorganisation, in another block.
  if (exact?.anchored !== undefined) checkpoints.push({ ...exact, anchored: { block, passed: false } })
  if (checkpoints.length > 0) store.write({ checkpoints })
}

/** Forgets what was anchored in a block or later, because these blocks are gone. */
export function markReorganised({ store }: Pick<State, 'store'>, fromBlock: bigint): void {
  const gone = store.anchoredSince(fromBlock)
  if (gone.length > 0) store.write({ checkpoints: gone.map((one) => ({ ...one, anchored: undefined })) })
}

/**
 * Takes note of the contract's head: what was anchored above it went with blocks that the chain lost. The largest such
 * checkpoint is to be sent again and covers the entries of the others, which count as passed until they are marked again.
 */
export function markLost({ store }: Pick<State, 'store'>, head: bigint): StoredCheckpoint[] {
  if (store.firstAnchored(head + 1n) === undefined) return []
  const lost = store.anchoredSince(0n).filter((one) => one.size > head && one.anchored?.passed === false)
  const checkpoints = lost.map((one, i) => {
    const block = one.anchored?.block ?? 0n
    return { ...one, anchored: i === lost.length - 1 ? undefined : { block, passed: true } }
  })
  store.write({ checkpoints })
  return lost
}

/** Writes the files of the largest signed checkpoint. */
export async function publish(context: Context): Promise<void> {
  const { store, tree, readTile, crypto, identity } = context
  const checkpoint = store.latestCheckpoint()
  if (checkpoint?.signature === undefined) return
  const lines = [...checkpoint.lines, ...checkpoint.cosignatures.flatMap((one) => one.lines)]
  const text = Checkpoint.text(statement({ identity }, checkpoint.size, checkpoint.root))
  const source: Static.Source = {
    hashes: (level, number, width) => {
      const edge = tree.edge[level]
      const hashes = edge?.number === number ? edge.hashes : (readTile(level, number) as Uint8Array)
      return Static.published(hashes, width)
    },
    entries: (from, to) => store.entries(from, to).map((entry) => LogEntry.fromHead(crypto, entry.head)),
  }
  await context.files.publish(source, checkpoint.size, Note.serialize({ text, signatures: lines }))
}

/** Eight checkpoints wait for the chain; the next is signed when one of them is anchored. */
export class TooManyUnanchoredError extends errors.UnavailableError<'too-many-unanchored'> {
  override readonly name = 'TooManyUnanchoredError'
  constructor() {
    super('too-many-unanchored', 'Too many signed checkpoints wait to be anchored.', {
      facts: [`Limit: ${maxUnanchored}`],
      retryAfterSeconds: 2,
    })
  }
}

/** No checkpoint can be signed at this size. */
export class CheckpointSizeError extends errors.UsageError<'checkpoint-size'> {
  override readonly name = 'CheckpointSizeError'
  constructor(size: bigint, last: bigint, mirrored: bigint) {
    super('checkpoint-size', 'The log signs no checkpoint at this size.', {
      facts: [`Size: ${size}`, `Last signed: ${last}`, `At log and mirror: ${mirrored}`],
    })
  }
}
