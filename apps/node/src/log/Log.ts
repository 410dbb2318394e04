/**
 * Log.ts - an append-only log of receipts: index and pledge for every head, checkpoints, proofs, published files.
 * Source: spec/log.md.
 */
import { join } from 'node:path'
import { type Cose, type Crypto, errors, Head, type Note, TileHashes } from 'assay/protocol'
import * as Batcher from '../store/Batcher.ts'
import * as Appending from './Appending.ts'
import * as BlockFloor from './BlockFloor.ts'
import type { ChainView } from './ChainView.ts'
import * as Checkpoints from './Checkpoints.ts'
import type { Hooks } from './Hooks.ts'
import * as Intake from './Intake.ts'
import type { Cosignature, Entry, LogStore } from './LogStore.ts'
import type { Mirror } from './Mirror.ts'
import * as Reconcile from './Reconcile.ts'
import * as SqliteLogStore from './SqliteLogStore.ts'
import * as StaticFiles from './StaticFiles.ts'
import * as Tree from './Tree.ts'

/** Most heads waiting: two seconds at 5,000 a second. */
export const maxQueue = 10_000
/** Most heads of one group: bounds how long the first of a group waits for the last. */
export const maxGroup = 256

/** Two heads of one key in one place: evidence of fault F1. */
export type PlaceEvidence = {
  readonly publicKey: Uint8Array
  readonly first: { readonly index: bigint; readonly head: Uint8Array; readonly signature: Uint8Array }
  readonly second: { readonly head: Uint8Array; readonly signature: Uint8Array }
}

/** An inclusion proof under an anchored checkpoint. */
export type Proof = {
  readonly size: bigint
  readonly root: Uint8Array
  readonly signature: Uint8Array
  readonly proof: readonly Uint8Array[]
  readonly cosignatures: readonly { readonly publicKey: Uint8Array; readonly signature: Uint8Array }[]
}

/** A running log. */
export type Log = {
  readonly identity: Appending.Identity
  /** 64 bytes, x || y. */
  readonly publicKey: Uint8Array
  /** Folder with the published files: `checkpoint`, `tile/...`. */
  readonly files: string
  /** Settles when the files that a start found missing are there again. */
  readonly published: Promise<void>
  /**
   * Takes a head and answers with its index and pledge, when both are durable here and at the mirror. The same head
   * again gets the same answer.
   *
   * Throws: `Head.MalformedHeadError`, `Intake.WrongChainError`, `Intake.UnregisteredKeyError`, what `Cose.verify` throws,
   * `PlaceTakenError`, `Intake.StaleChainError`, `OverloadedError`, `DiskFullError`, and what the mirror throws.
   */
  readonly append: (request: Intake.Request) => Promise<Appending.Appended>
  /** What `append` answered to a head of 139 bytes, if it did. */
  readonly find: (request: Pick<Intake.Request, 'head' | 'publicKey'>) => Appending.Appended | undefined
  /** The highest sequence number and receiptHash of a key (32 bytes). */
  readonly highest: (
    keyId: Uint8Array,
  ) => { readonly sequence: bigint; readonly receiptHash: Uint8Array; readonly index: bigint } | undefined
  /** Entries durable here. */
  readonly size: () => bigint
  /** Entries durable here and at the mirror: the largest size at which a checkpoint can be signed. */
  readonly mirroredSize: () => bigint
  /** The root over the first `size` entries. */
  readonly root: (size: bigint) => Promise<Uint8Array>
  readonly entry: (index: bigint) => Entry | undefined
  /** Inclusion in an anchored size, by default the first that covers the index; throws `NotAnchoredError`. */
  readonly proof: (request: { readonly index: bigint; readonly size?: bigint | undefined }) => Promise<Proof>
  readonly inclusion: (index: bigint, size: bigint) => Promise<Uint8Array[]>
  /** Consistency of two sizes; from size 0 it is empty. */
  readonly consistency: (size1: bigint, size2: bigint) => Promise<Uint8Array[]>
  /** Signs the checkpoint of a size that is about to be anchored and publishes it; see `Checkpoints.sign`. */
  readonly signCheckpoint: (size: bigint) => Promise<Checkpoints.SignedCheckpoint>
  /** Signed checkpoints neither anchored nor passed, ascending: what a submission lists. */
  readonly unanchored: () => Checkpoints.SignedCheckpoint[]
  readonly markAnchored: (size: bigint, block: bigint) => void
  readonly markReorganised: (fromBlock: bigint) => void
  /** What was anchored above the contract's head is anchored no more; see `Checkpoints.markLost`. */
  readonly markLost: (head: bigint) => readonly { readonly size: bigint; readonly root: Uint8Array }[]
  readonly addCosignature: (size: bigint, cosignature: Cosignature) => Promise<void>
  /** Evidence of keys that signed two heads for one place. */
  readonly conflicts: () => PlaceEvidence[]
  /** Heads waiting. */
  readonly depth: () => number
  /** Answers what was taken, then closes the folder. */
  readonly close: () => Promise<void>
}

/**
 * Opens a log, compares it with its mirror and the contract, and only then takes heads.
 *
 * - `folder`: of this log alone; `store`: another storage than SQLite in that folder
 * - `ed25519`: for the published note, if the log has such a key; `now`: milliseconds since 1970
 *
 * Throws: `FolderInUseError`, `WrongLogError`, `BehindError`, `ForkedError`, `UnknownLogError`, `UnreachableError`.
 */
export async function createLog(options: {
  readonly folder: string
  readonly identity: Appending.Identity
  readonly signer: Cose.Signer
  readonly ed25519?: Note.Ed25519Signer
  readonly mirror: Mirror
  readonly chain: ChainView
  readonly crypto: Crypto
  readonly now?: () => number
  readonly store?: LogStore
  readonly hooks?: Hooks
  /** What the node remembers of this log; see `Reconcile.Subject`. */
  readonly promised?: Reconcile.Subject['promised']
}): Promise<Log> {
  const { folder, identity, crypto, chain, mirror } = options
  const { chainId, registry, logId } = identity
  const store = options.store ?? SqliteLogStore.open({ folder, kind: 'log', logId, crypto })
  try {
    const tree = await Reconcile.reconcile({
      ...{ crypto, chainId, registry, logId, store, mirror, chain, promised: options.promised },
      publicKey: options.signer.publicKey,
    })
    const files = join(folder, 'static')
    const context = {
      ...{ crypto, identity, signer: options.signer, ed25519: options.ed25519, store, mirror, chain },
      ...{
        now: options.now ?? Date.now,
        hooks: options.hooks,
        tree,
        mirrored: tree.frontier.size,
        isMirrorUnsure: false,
      },
      // What the contract said of an anchor is said again at every round, so a lie about it does not last.
      floor: { highest: store.latestCheckpoint()?.anchored?.block ?? 0n, fallenSinceMs: undefined },
      ...{ files: await StaticFiles.create(files), readTile: Tree.cached(store.tile) },
    }
    BlockFloor.note(context.floor, chain.newest())
    await Checkpoints.finishPlans(context)
    return run(context, files)
  } catch (error) {
    store.close()
    throw error
  }
}

type Context = Parameters<typeof Checkpoints.sign>[0]

function run(context: Context, files: string): Log {
  const { crypto, identity, store, chain } = context
  const recordOf = Intake.keyRecords(chain)
  const batcher = Batcher.create<Intake.Candidate, Appending.Appended>({
    run: (candidates) => Appending.appendGroup(context, candidates),
    maxQueue,
    maxGroup,
  })
  const inTurn = serializer()
  // Checking signatures takes longer than queueing, so those being checked count as waiting too.
  let inFlight = 0
  let isClosed = false
  // Files that are missing are made again beside the work; a failure is told by `published` and by the next checkpoint.
  const published = inTurn(() => Checkpoints.publish(context))
  published.catch(() => {})

  async function append(request: Intake.Request): Promise<Appending.Appended> {
    if (isClosed) throw new Batcher.ClosedError()
    const { head, candidate } = Intake.read(crypto, request)
    const known = Appending.find(context, candidate)
    if (known !== undefined) return known
    if (inFlight >= maxQueue) throw new Batcher.OverloadedError(inFlight)
    inFlight++
    try {
      return await admit(head, candidate)
    } finally {
      inFlight--
    }
  }

  async function admit(head: Head.Head, candidate: Intake.Candidate): Promise<Appending.Appended> {
    const block = Intake.blockForPledge(context)
    const { chainId, registry } = identity
    const record = await Reconcile.reach('contract', () => recordOf(head))
    Intake.checkValidity(
      head,
      await Intake.checkOrigin(crypto, { chainId, registry, head, candidate, record }),
      block.number,
    )
    return batcher.add(candidate)
  }

  const read = (height: number, index: bigint): Uint8Array => Tree.reader(context.tree, context.readTile)(height, index)

  const inclusion = (index: bigint, size: bigint): Promise<Uint8Array[]> => {
    assertSize(context, size)
    return TileHashes.inclusionProof(crypto, read, index, size)
  }

  async function consistency(size1: bigint, size2: bigint): Promise<Uint8Array[]> {
    assertSize(context, size2)
    return size1 === 0n ? [] : TileHashes.consistencyProof(crypto, read, size1, size2)
  }

  async function proof(request: { readonly index: bigint; readonly size?: bigint | undefined }): Promise<Proof> {
    const { index, size } = request
    const checkpoint = size === undefined ? store.firstAnchored(index + 1n) : store.checkpoint(size)
    const isCovering = checkpoint !== undefined && checkpoint.size > index
    if (!isCovering || checkpoint.signature === undefined || checkpoint.anchored?.passed !== false) {
      throw new NotAnchoredError(index, size)
    }
    return {
      size: checkpoint.size,
      root: checkpoint.root,
      signature: checkpoint.signature,
      proof: await inclusion(index, checkpoint.size),
      cosignatures: checkpoint.cosignatures.map(({ publicKey, signature }) => ({ publicKey, signature })),
    }
  }

  return {
    identity,
    publicKey: context.signer.publicKey,
    files,
    published,
    append,
    find: ({ head, publicKey }) => {
      const { candidate } = Intake.read(crypto, { head, publicKey, signature: new Uint8Array(64) })
      return Appending.find(context, candidate)
    },
    highest: (keyId) => {
      const place = store.highest(keyId)
      if (place === undefined) return undefined
      return { ...place, receiptHash: Head.hash(crypto, (store.entry(place.index) as Entry).head) }
    },
    size: () => context.tree.frontier.size,
    mirroredSize: () => context.mirrored,
    root: (size) => Tree.rootAt(crypto, context.tree, context.readTile, size),
    entry: store.entry,
    proof,
    inclusion,
    consistency,
    signCheckpoint: (size) => inTurn(() => Checkpoints.sign(context, size)),
    unanchored: () => store.unanchored().filter((one) => one.signature !== undefined) as Checkpoints.SignedCheckpoint[],
    markAnchored: (size, block) => Checkpoints.markAnchored(context, size, block),
    markReorganised: (fromBlock) => Checkpoints.markReorganised(context, fromBlock),
    markLost: (head) => {
      // Asked in every round of anchoring, so an idle log knows as well how high the chain is.
      BlockFloor.note(context.floor, chain.newest())
      return Checkpoints.markLost(context, head)
    },
    addCosignature: (size, cosignature) => inTurn(() => Checkpoints.addCosignature(context, size, cosignature)),
    conflicts: () =>
      store.conflicts().map(({ index, head, signature }) => {
        const first = store.entry(index) as Entry
        return {
          publicKey: first.publicKey,
          first: { index, head: first.head, signature: first.signature },
          second: { head, signature },
        }
      }),
    depth: () => inFlight,
    close: async () => {
      isClosed = true
      await batcher.close()
      await inTurn(async () => store.close())
    },
  }
}

/** Runs one piece of work after the other, whether or not the one before failed. */
function serializer(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const result = last.then(work, work)
    last = result.catch(() => {})
    return result
  }
}

function assertSize(context: Context, size: bigint): void {
  if (size > context.tree.frontier.size) throw new Checkpoints.CheckpointSizeError(size, 0n, context.tree.frontier.size)
}

/** No anchored checkpoint covers the index yet, or the asked size is not anchored. */
export class NotAnchoredError extends errors.UnavailableError<'not-anchored'> {
  override readonly name = 'NotAnchoredError'
  constructor(index: bigint, size: bigint | undefined) {
    super('not-anchored', 'No anchored checkpoint of the log covers the entry.', {
      facts: [`Index: ${index}`, `Size: ${size ?? 'any'}`],
      retryAfterSeconds: 2,
    })
  }
}
