/**
 * Appending.ts - one group of heads from the queue to signed pledges. Source: spec/log.md sections 2, 3, 6.
 *
 * 1. entries, heads, tiles and the blocks that their pledges will name: durable in the log's folder
 * 2. the same entries: durable at the mirror
 * 3. the pledges are signed
 * 4. their signatures: durable in the log's folder; only then does anybody get one
 *
 * A crash before 4 leaves entries whose pledge nobody has: the same head again continues where it stopped. A stored
 * pledge is the only one that an entry ever gets.
 */
import { Bytes, Cose, type Crypto, errors, Pledge } from 'assay/protocol'
import type { Outcome } from '../store/Batcher.ts'
import type * as BlockFloor from './BlockFloor.ts'
import type { ChainView } from './ChainView.ts'
import type { Hooks } from './Hooks.ts'
import * as Intake from './Intake.ts'
import type { Conflict, Entry, LogStore } from './LogStore.ts'
import type { Mirror } from './Mirror.ts'
import * as Reconcile from './Reconcile.ts'
import * as Tree from './Tree.ts'

/** Blocks after which a planned pledge gets a newer block: a client counts one at most 32 blocks below its own head. */
const maxPlanAgeBlocks = 16n

/** What a log answers to a head. */
export type Appended = {
  readonly index: bigint
  /** 32 bytes. */
  readonly leafHash: Uint8Array
  readonly pledge: {
    /** 224 bytes, see `Pledge`. */
    readonly words: Uint8Array
    /** 64 bytes, r || s. */
    readonly signature: Uint8Array
  }
}

/** Who the log is. */
export type Identity = {
  readonly chainId: bigint
  /** 20 bytes, the NodeRegistry. */
  readonly registry: Uint8Array
  /** 20 bytes, the AnchorLog. */
  readonly anchorLog: Uint8Array
  /** 32 bytes. */
  readonly logId: Uint8Array
  /** Blocks from a pledge's issue to its deadline, fixed in the contract. */
  readonly pledgeBlocks: bigint
}

/** What the steps share; `tree` and `mirrored` move only after the matching write returned. */
export type State = {
  readonly crypto: Crypto
  readonly identity: Identity
  readonly signer: Cose.Signer
  readonly store: LogStore
  readonly mirror: Mirror
  readonly chain: ChainView
  readonly now: () => number
  readonly hooks: Hooks | undefined
  tree: Tree.Tree
  /** Entries known to be durable at the mirror. */
  mirrored: bigint
  /** A push failed, and nobody knows how much of it the mirror kept; it holds `mirrored` entries all the same. */
  isMirrorUnsure: boolean
  readonly floor: BlockFloor.BlockFloor
}

type Placed = { readonly entry: Entry; readonly leafHash: Uint8Array; readonly signature: Uint8Array | undefined }

/** Works on a group; one outcome per candidate, in order. Throws when the whole group failed. */
export async function appendGroup(
  state: State,
  candidates: readonly Intake.Candidate[],
): Promise<readonly Outcome<Appended>[]> {
  const block = Intake.blockForPledge(state)
  const plan = place(state, candidates, block)
  writeEntries(state, plan)
  await mirrorEntries(state, plan.fresh)
  const unsigned = new Map<bigint, Placed>()
  for (const outcome of plan.outcomes) {
    if ('value' in outcome && outcome.value.signature === undefined)
      unsigned.set(outcome.value.entry.index, outcome.value)
  }
  const signed = await signPledges(state, [...unsigned.values()], plan.fresh)
  return plan.outcomes.map((outcome) => {
    if ('error' in outcome) return outcome
    const { value } = outcome
    return { value: signed.get(value.entry.index) ?? appended(state, value, value.signature as Uint8Array) }
  })
}

/** The stored pledge of exactly this head, if it has one; what else stands in its place is a matter for the group. */
export function find(state: Pick<State, 'store' | 'identity'>, candidate: Intake.Candidate): Appended | undefined {
  const placed = findPlaced(state, candidate)
  if (placed?.signature === undefined || !Bytes.equal(placed.entry.head, candidate.head)) return undefined
  return appended(state, placed, placed.signature)
}

/** What stands in a candidate's place; its head may be another one. */
function findPlaced({ store }: Pick<State, 'store'>, candidate: Intake.Candidate): Placed | undefined {
  const place = store.placeOf(candidate.keyId, candidate.sequence)
  if (place === undefined) return undefined
  const entry = store.entry(place.index) as Entry
  return { entry, leafHash: candidate.leafHash, signature: store.pledge(place.index) }
}

type Plan = {
  readonly outcomes: readonly Outcome<Placed>[]
  readonly fresh: readonly Placed[]
  readonly conflicts: readonly Conflict[]
}

/** Gives every candidate its place: the one it has, one taken earlier in this group, or the next free index. */
function place(
  state: State,
  candidates: readonly Intake.Candidate[],
  block: { readonly number: bigint; readonly hash: Uint8Array },
): Plan {
  const fresh = new Map<string, Placed>()
  const conflicts: Conflict[] = []
  let next = state.tree.frontier.size

  function placeOne(candidate: Intake.Candidate): Placed {
    const name = `${Bytes.toHex(candidate.keyId)}/${candidate.sequence}`
    const earlier = fresh.get(name) ?? findPlaced(state, candidate)
    if (earlier !== undefined) {
      if (!Bytes.equal(earlier.entry.head, candidate.head)) {
        throw new PlaceTakenError(earlier.entry.index, candidate.sequence)
      }
      return earlier
    }
    const { head, signature, publicKey, leafHash } = candidate
    const entry = { index: next++, head, signature, publicKey, ...pairOf(block) }
    const placed = { entry, leafHash, signature: undefined }
    fresh.set(name, placed)
    return placed
  }

  const outcomes = candidates.map((candidate): Outcome<Placed> => {
    try {
      return { value: placeOne(candidate) }
    } catch (error) {
      if (error instanceof PlaceTakenError) {
        conflicts.push({ index: error.index, head: candidate.head, signature: candidate.signature })
      }
      return { error }
    }
  })
  return { outcomes, fresh: [...fresh.values()], conflicts }
}

function writeEntries(state: State, { fresh, conflicts }: Plan): void {
  if (fresh.length === 0 && conflicts.length === 0) return
  const leafHashes = fresh.map((placed) => placed.leafHash)
  const { tree, completed } = Tree.append(state.crypto, state.tree, leafHashes)
  state.store.write({ entries: fresh.map((placed) => placed.entry), tiles: completed, conflicts })
  state.tree = tree
  state.hooks?.reached?.('entries-written')
}

/** Pushes the group, and before it whatever an earlier failure left behind. */
async function mirrorEntries(state: State, fresh: readonly Placed[]): Promise<void> {
  const size = state.tree.frontier.size
  if (state.mirrored === size) return
  const isNext = !state.isMirrorUnsure && state.mirrored === fresh[0]?.entry.index
  try {
    if (isNext) await Reconcile.reach('mirror', () => state.mirror.append(fresh.map((placed) => placed.entry)))
    else await Reconcile.pushMissing(state, await Reconcile.reach('mirror', state.mirror.size))
  } catch (error) {
    // Whether it holds some of them is asked next time; what it held before can be anchored meanwhile.
    state.isMirrorUnsure = true
    throw error
  }
  state.isMirrorUnsure = false
  state.mirrored = size
  state.hooks?.reached?.('entries-mirrored')
}

async function signPledges(
  state: State,
  placed: readonly Placed[],
  fresh: readonly Placed[],
): Promise<Map<bigint, Appended>> {
  const results = new Map<bigint, Appended>()
  if (placed.length === 0) return results
  const planned = replan(state, placed, fresh)
  const signatures = await Promise.all(planned.map((one, i) => signPledge(state, one, i === 0)))
  state.hooks?.reached?.('pledges-signed')
  state.store.write({
    pledges: planned.map((one, i) => ({ index: one.entry.index, signature: signatures[i] as Uint8Array })),
  })
  state.hooks?.reached?.('pledges-written')
  planned.forEach((one, i) => {
    results.set(one.entry.index, appended(state, one, signatures[i] as Uint8Array))
  })
  return results
}

/**
 * Pledges that waited too long, and those of earlier groups, name a newer block; nobody has the one that was planned. What
 * an earlier group planned may name a block that the chain has lost since, or one that a mirror made up.
 */
function replan(state: State, placed: readonly Placed[], fresh: readonly Placed[]): readonly Placed[] {
  const block = Intake.blockForPledge(state)
  const plannedNow = new Set(fresh)
  const isOld = (one: Placed): boolean => {
    const { issuedAtBlock, issuedAtBlockHash } = one.entry
    if (Bytes.equal(issuedAtBlockHash, block.hash)) return issuedAtBlock !== block.number
    const age = block.number - issuedAtBlock
    return !plannedNow.has(one) || age <= 0n || age > maxPlanAgeBlocks
  }
  const old = placed.filter(isOld)
  if (old.length === 0) return placed
  state.store.write({ replans: old.map(({ entry }) => ({ index: entry.index, ...pairOf(block) })) })
  return placed.map((one) => (isOld(one) ? { ...one, entry: { ...one.entry, ...pairOf(block) } } : one))
}

/**
 * Signs one pledge. Checking each own signature would double the cost of a pledge; the first of every group is checked,
 * so a signer that is broken for good gets nothing out.
 */
async function signPledge(state: State, placed: Placed, isChecked: boolean): Promise<Uint8Array> {
  const payload = Pledge.payload(state.crypto, pledgeWords(state.identity, placed))
  if (isChecked) return Cose.sign(state.crypto, state.signer, 'pledge', payload)
  return Cose.normalizeLowS(await state.signer.sign(Cose.sigStructure('pledge', payload)))
}

function appended(state: Pick<State, 'identity'>, placed: Placed, signature: Uint8Array): Appended {
  const { entry, leafHash } = placed
  return { index: entry.index, leafHash, pledge: { words: pledgeWords(state.identity, placed), signature } }
}

function pledgeWords(identity: Identity, { entry, leafHash }: Placed): Uint8Array {
  return Pledge.words({
    chainId: identity.chainId,
    anchorLog: identity.anchorLog,
    logId: identity.logId,
    leafHash,
    leafIndex: entry.index,
    issuedAtBlock: entry.issuedAtBlock,
    issuedAtBlockHash: entry.issuedAtBlockHash,
  })
}

function pairOf(block: { readonly number: bigint; readonly hash: Uint8Array }) {
  return { issuedAtBlock: block.number, issuedAtBlockHash: block.hash }
}

/** The key signed another head with this sequence number before; both are kept as evidence. */
export class PlaceTakenError extends errors.VerificationError<'place-taken'> {
  override readonly name = 'PlaceTakenError'
  /** Where the first head stands. */
  readonly index: bigint
  constructor(index: bigint, sequence: bigint) {
    super('place-taken', 'The key has signed another head with this sequence number.', {
      facts: [`Sequence: ${sequence}`, `Index of the first: ${index}`, 'Both heads are kept as evidence.'],
    })
    this.index = index
  }
}
