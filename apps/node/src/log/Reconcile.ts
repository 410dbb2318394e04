/**
 * Reconcile.ts - before a log signs anything it compares what it holds with its mirror and with the contract.
 * Source: spec/log.md section 6.
 *
 * Order: the mirror is told what the log knows (a mirror restored from an older copy notices); both must hold the same
 * tree as far as both go; entries that only the mirror has are checked and taken; the contract's state must be part of
 * the tree; the highest pledge that the node holds must be kept by it; entries that only the log has are pushed. Any doubt
 * ends in an error and nothing is signed.
 */
import { Bytes, Cose, type Crypto, errors, Pledge } from 'assay/protocol'
import type { ChainView } from './ChainView.ts'
import * as Intake from './Intake.ts'
import type { Entry, LogStore } from './LogStore.ts'
import { type Mirror, pieces } from './Mirror.ts'
import * as Tree from './Tree.ts'

/** What a start compares. */
export type Subject = {
  readonly crypto: Crypto
  readonly chainId: bigint
  readonly registry: Uint8Array
  readonly logId: Uint8Array
  readonly store: LogStore
  readonly mirror: Mirror
  readonly chain: ChainView
  /** 64 bytes: the log's own. */
  readonly publicKey: Uint8Array
  /** The pledge with the highest index of this logId that somebody outside these folders holds: 224 and 64 bytes. */
  readonly promised?: { readonly words: Uint8Array; readonly signature: Uint8Array } | undefined
}

/**
 * Brings log and mirror to the same size and returns the tree.
 *
 * Throws: `BehindError`, `ForkedError`, `UnknownLogError`, `UnreachableError`, and what `Intake` throws for an entry of
 * the mirror that does not hold.
 */
export async function reconcile(subject: Subject): Promise<Tree.Tree> {
  const { crypto, store, mirror, chain, logId } = subject
  const readTile = Tree.cached(store.tile)
  let tree = loadTree(crypto, store)
  const anchored = await reach('contract', () => chain.logHead(logId))
  if (anchored === undefined) throw new UnknownLogError(logId)
  await reach('mirror', () => mirror.announce(announcementOf(store, mirror)))
  const mirrored = await reach('mirror', mirror.size)

  // biome-ignore lint/complexity/useMathMinMax: Math.min takes no bigint.
  const common = mirrored < tree.frontier.size ? mirrored : tree.frontier.size
  const own = await Tree.rootAt(crypto, tree, readTile, common)
  if (!Bytes.equal(own, await reach('mirror', () => mirror.root(common)))) throw new ForkedError('mirror', common)

  if (mirrored > tree.frontier.size) tree = await takeMissing(subject, tree, mirrored)
  if (tree.frontier.size < anchored.size) throw new BehindError(tree.frontier.size, anchored.size)
  await assertPromised(subject)
  const ownAnchored = await Tree.rootAt(crypto, tree, readTile, anchored.size)
  if (!Bytes.equal(ownAnchored, anchored.root)) throw new ForkedError('contract', anchored.size)
  for (const checkpoint of [store.latestCheckpoint(), ...store.unanchored()]) {
    if (checkpoint === undefined) continue
    const { size, root } = checkpoint
    if (size > tree.frontier.size || !Bytes.equal(await Tree.rootAt(crypto, tree, readTile, size), root)) {
      throw new ForkedError('own checkpoint', size)
    }
  }
  await pushMissing(subject, mirrored)
  return tree
}

/** Log and mirror may both be older copies of one time: then only who holds a pledge knows that there was more. */
async function assertPromised({ crypto, store, publicKey, promised }: Subject): Promise<void> {
  if (promised === undefined || !(await isOwn(crypto, publicKey, promised))) return
  const { leafIndex, leafHash } = Pledge.parse(promised.words)
  const [entry] = leafIndex < store.size() ? store.entries(leafIndex, leafIndex + 1n) : []
  if (entry === undefined) throw new BehindError(store.size(), leafIndex + 1n)
  if (!Bytes.equal(Intake.leafHash(crypto, entry.head), leafHash)) throw new ForkedError('pledge', leafIndex + 1n)
}

/** A reorganisation can give a logId to another log key: what that one promised is not this log's to keep. */
async function isOwn(
  crypto: Crypto,
  publicKey: Uint8Array,
  { words, signature }: NonNullable<Subject['promised']>,
): Promise<boolean> {
  try {
    await Cose.verify(crypto, { tag: 'pledge', payload: Pledge.payload(crypto, words), signature, publicKey })
    return true
  } catch (error) {
    if (errors.BaseError.isInstance(error)) return false
    throw error
  }
}

/** Pushes entries from `from` on to the mirror; returns the mirror's new size. */
export async function pushMissing({ store, mirror }: Pick<Subject, 'store' | 'mirror'>, from: bigint): Promise<bigint> {
  const size = store.size()
  for (const { start, end } of pieces(from, size)) {
    await reach('mirror', () => mirror.append(store.entries(start, end)))
  }
  return size
}

/** The tree of a store, from its tiles. */
export function loadTree(crypto: Crypto, store: Pick<LogStore, 'size' | 'entries' | 'tile'>): Tree.Tree {
  const size = store.size()
  const edge = store.entries((size >> 8n) << 8n, size)
  const leafHashes = edge.map((entry) => Intake.leafHash(crypto, entry.head))
  return Tree.load(crypto, size, leafHashes, store.tile)
}

/** Waits for a mirror or a contract; what is not one of our errors means that it was not reached. */
export async function reach<T>(what: 'mirror' | 'contract', ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (errors.BaseError.isInstance(error)) throw error
    throw new UnreachableError(what, error)
  }
}

function announcementOf(store: LogStore, mirror: Mirror) {
  const cosigned = mirror.witnessKey === undefined ? undefined : store.latestCosigned(mirror.witnessKey)
  return {
    size: store.size(),
    pledgedSize: store.pledgedSize(),
    cosigned: cosigned === undefined ? undefined : { size: cosigned.size, root: cosigned.root },
  }
}

/** Two passes over what the mirror has more: first everything is checked against the mirror's root, then it is written. */
async function takeMissing(subject: Subject, tree: Tree.Tree, mirrored: bigint): Promise<Tree.Tree> {
  const { crypto, mirror, store } = subject
  const recordOf = Intake.keyRecords(subject.chain)
  const taken = new Set<string>()
  let ahead = tree
  for await (const entries of readAll(mirror, tree.frontier.size, mirrored)) {
    const leafHashes: Uint8Array[] = []
    for (const entry of entries) leafHashes.push(await checkEntry(subject, entry, recordOf, taken))
    ahead = Tree.append(crypto, ahead, leafHashes).tree
  }
  const root = Tree.root(crypto, ahead)
  if (!Bytes.equal(root, await reach('mirror', () => mirror.root(mirrored)))) throw new ForkedError('mirror', mirrored)

  let stored = tree
  for await (const entries of readAll(mirror, tree.frontier.size, mirrored)) {
    const appended = Tree.append(
      crypto,
      stored,
      entries.map((entry) => Intake.leafHash(crypto, entry.head)),
    )
    store.write({ entries, tiles: appended.completed })
    stored = appended.tree
  }
  if (!Bytes.equal(Tree.root(crypto, stored), root)) throw new ForkedError('mirror', mirrored)
  return stored
}

async function checkEntry(
  subject: Subject,
  entry: Entry,
  recordOf: ReturnType<typeof Intake.keyRecords>,
  taken: Set<string>,
): Promise<Uint8Array> {
  const { crypto, store, chainId, registry } = subject
  const { head, candidate } = Intake.read(crypto, entry)
  const record = await reach('contract', () => recordOf(head))
  try {
    await Intake.checkOrigin(crypto, { chainId, registry, head, candidate, record })
  } catch (error) {
    // It was registered when the log took it. A reorganisation may have taken the registration back, and a pledge of the
    // entry binds all the same: a log that refused it could never keep it.
    if (!(error instanceof Intake.UnregisteredKeyError)) throw error
    await Intake.checkSignature(crypto, candidate)
  }
  const place = `${Bytes.toHex(candidate.keyId)}/${candidate.sequence}`
  const isTaken = taken.has(place) || store.placeOf(candidate.keyId, candidate.sequence) !== undefined
  if (isTaken) throw new ForkedError('mirror', entry.index)
  taken.add(place)
  return candidate.leafHash
}

async function* readAll(mirror: Mirror, from: bigint, to: bigint): AsyncGenerator<readonly Entry[]> {
  for (const { start, end } of pieces(from, to)) {
    const entries = await reach('mirror', () => mirror.read(start, end))
    if (entries.length !== Number(end - start)) throw new BehindError(start + BigInt(entries.length), to)
    entries.forEach((entry, i) => {
      if (entry.index !== start + BigInt(i)) throw new ForkedError('mirror', start + BigInt(i))
    })
    yield entries
  }
}

/** The log's folder is older than what was anchored, and the mirror cannot help: this log has ended. */
export class BehindError extends errors.VerificationError<'log-behind'> {
  override readonly name = 'BehindError'
  constructor(own: bigint, known: bigint) {
    super('log-behind', 'The log holds fewer entries than others have seen; it signs nothing any more.', {
      facts: [`Entries here: ${own}`, `Entries known: ${known}`, 'Register a new log with new keys.'],
    })
  }
}

/** The log's folder holds another history than what others have seen. */
export class ForkedError extends errors.VerificationError<'log-forked'> {
  override readonly name = 'ForkedError'
  constructor(what: 'mirror' | 'contract' | 'own checkpoint' | 'pledge', size: bigint) {
    super('log-forked', 'The log holds another history than others have seen; it signs nothing any more.', {
      facts: [`Differs from: ${what}`, `At size: ${size}`],
    })
  }
}

/** The contract knows no such log. */
export class UnknownLogError extends errors.UsageError<'log-unknown'> {
  override readonly name = 'UnknownLogError'
  constructor(logId: Uint8Array) {
    super('log-unknown', 'The contract knows no such log.', { facts: [`logId: ${Bytes.toHex(logId)}`] })
  }
}

/** The mirror or the chain cannot be asked, and nothing is signed without them. */
export class UnreachableError extends errors.UnavailableError<'unreachable'> {
  override readonly name = 'UnreachableError'
  constructor(what: 'mirror' | 'contract', cause: unknown) {
    super('unreachable', `The ${what} cannot be reached, and the log signs nothing without it.`, {
      cause,
      retryAfterSeconds: 5,
    })
  }
}
