/**
 * Audit.ts - follows one promise: is the leaf where the log said, in time, and is it the entry of the head? Another leaf (F3), a false
 * entry (F5), late or missing (F4). Source: spec/client.md, spec/faults.md sections 2 and 3.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import type * as Fault from '../protocol/Fault.ts'
import * as Head from '../protocol/Head.ts'
import * as LogEntry from '../protocol/LogEntry.ts'
import * as Pledge from '../protocol/Pledge.ts'
import type { ChainAccess } from './ChainAccess.ts'
import type { Answered } from './Demanding.ts'
import type { Log } from './LogRound.ts'
import { unlessWithheld } from './LogRound.ts'
import * as Promises from './Promises.ts'
import type { Leaf } from './WatchOfLog.ts'

/** What one look at a promise came to. */
export type Outcome = {
  readonly faults: readonly Fault.Fault[]
  /** `kept`: the right leaf is anchored; `withheld`: it is covered, and the log does not show what stands there. */
  readonly state: 'open' | 'kept' | 'withheld'
}

/** What is known of the time; kept between rounds of one process. */
export type Memory = {
  /** Covered before the deadline, or looked for traces of lateness already. */
  isTimeJudged?: boolean
  /** The right leaf was seen under an anchored root; looked at once more when no reorganisation can excuse another one. */
  isRight?: boolean
  /** After the deadline and the grace the leaf was not covered, when this was last looked at. */
  isMissing?: boolean
}

/** Writes down a log's head on the chain; returns the block. */
export type Observe = (logId: Uint8Array) => Promise<bigint>

/** Blocks in which the court wrote down the head of one log, as far as this process knows; it lasts as long as the process. */
export type Observed = {
  readonly blocks: Set<bigint>
  /** Those of before this process, and of others, have been asked for. */
  isComplete: boolean
  /** The log's newest block when this client last paid for one, for late (false) and for missing (true) apart. */
  readonly paidAt: Map<boolean, bigint>
}

/** Nothing is known yet. */
export function createObserved(): Observed {
  return { blocks: new Set(), isComplete: false, paidAt: new Map() }
}

/**
 * Blocks between two observations of one log that this client pays for: with a promise in each round a log that stands still would
 * cost a transaction in each round, and all pledges of one window are one fault. A tenth of the shortest pledge window.
 */
export const blocksBetweenObservations = 60n
/** Observations kept in mind of one log: the newest serve every promise that is due. */
const maxObserved = 32

type Parts = {
  readonly crypto: Crypto
  readonly chain: ChainAccess
  readonly observe: Observe | undefined
  readonly observed: Observed
}

/** Looks at one promise in this round; throws `UnavailableError`s of the chain. */
export async function look(parts: Parts, log: Log, promised: Promises.Promised, memory: Memory): Promise<Outcome> {
  const pledge = Pledge.parse(promised.pledge)
  const { head, record } = log
  const deadline = pledge.issuedAtBlock + record.pledgeBlocks
  memory.isMissing = false
  if (head.size <= pledge.leafIndex) {
    const faults = await overdue(parts, log, promised, deadline)
    memory.isMissing = faults.some((fault) => fault.class === 4 && fault.evidence.missing)
    return { faults, state: 'open' }
  }
  const faults: Fault.Fault[] = []
  if (memory.isTimeJudged !== true) {
    if (head.block > deadline) faults.push(...(await traces(parts, promised, pledge, deadline)))
    memory.isTimeJudged = true
  }
  if (memory.isRight === true && head.block <= deadline) return { faults, state: 'kept' }
  const leaf = await unlessWithheld(log.tiles.leaf(head, pledge.leafIndex))
  if (leaf === undefined) return { faults, state: 'withheld' }
  if (!Bytes.equal(leaf.leafHash, pledge.leafHash)) faults.push(wrongLeaf(log, promised, leaf))
  if (Bytes.equal(leaf.leafHash, Promises.leafOf(parts.crypto, promised))) {
    memory.isRight = faults.every((fault) => fault.class !== 3)
    return { faults, state: memory.isRight ? 'kept' : 'open' }
  }
  const entries = await unlessWithheld(log.tiles.entries(head, pledge.leafIndex))
  if (entries === undefined) return { faults, state: 'withheld' }
  const entry = entries.get(pledge.leafIndex)
  const isShown =
    entry?.length === LogEntry.byteLength && Bytes.equal(LogEntry.leafHash(parts.crypto, entry), leaf.leafHash)
  if (!isShown) return { faults, state: 'withheld' }
  const isOwn = Bytes.equal(entry.subarray(1, 33), Head.hash(parts.crypto, promised.head))
  if (isOwn) faults.push(falseEntry(log, promised, entry, leaf))
  // A pledge for somebody else's entry that was kept: the log owes nothing more for it.
  const isKept = !isOwn && faults.every((fault) => fault.class !== 3)
  return { faults, state: isKept ? 'kept' : 'open' }
}

/** What a log showed on chain, and perhaps nowhere else, against a promise: another leaf. Throws `UnavailableError`s of the chain. */
export async function answered(
  { crypto, chain }: Pick<Parts, 'crypto' | 'chain'>,
  { logId, index, entry, place }: Answered,
  promised: Promises.Promised,
): Promise<readonly Fault.Fault[]> {
  const pledge = Pledge.parse(promised.pledge)
  if (place === undefined || pledge.leafIndex !== index || !Bytes.equal(pledge.logId, logId)) return []
  const leafHash = LogEntry.leafHash(crypto, entry)
  const step = Bytes.equal(leafHash, pledge.leafHash) ? undefined : await chain.step(logId, place.size)
  if (step === undefined) return []
  return [wrongLeaf({ head: { size: place.size, root: step.root } }, promised, { index, leafHash, proof: place.proof })]
}

function wrongLeaf(
  { head }: { readonly head: Pick<Log['head'], 'size' | 'root'> },
  { pledge, pledgeSignature, logKey }: Promises.Promised,
  leaf: Leaf,
): Fault.Fault {
  const signed = { pledge, signature: pledgeSignature, publicKey: logKey }
  const { size, root } = head
  return { class: 3, evidence: { ...signed, otherLeafHash: leaf.leafHash, size, root, proof: leaf.proof } }
}

function falseEntry({ head, speaker }: Log, promised: Promises.Promised, entry: Uint8Array, leaf: Leaf): Fault.Fault {
  const { signature, publicKey } = promised
  const { logId, anchorLog } = speaker
  const place = { index: leaf.index, size: head.size, root: head.root, proof: leaf.proof }
  return { class: 5, evidence: { entry, head: promised.head, signature, publicKey, logId, anchorLog, ...place } }
}

/** Not covered yet. After the deadline it is late, after the grace missing; each is shown in the most lasting way that there is. */
async function overdue(parts: Parts, log: Log, promised: Promises.Promised, deadline: bigint): Promise<Fault.Fault[]> {
  const { chain } = parts
  const { logId } = log.speaker
  const { size, block } = log.head
  if (block <= deadline) return []
  const terms = await chain.courtTerms()
  const due = [
    { missing: false, after: deadline },
    ...(terms === undefined ? [] : [{ missing: true, after: deadline + terms.graceBlocks }]),
  ].filter(({ after }) => block > after)
  const step = await chain.step(logId, size)
  const faults: Fault.Fault[] = []
  for (const { missing, after } of due) {
    // The step itself came after the deadline and did not cover the leaf: nothing has to be written down.
    if (step !== undefined && step.blockNumber > after) faults.push(unkept(promised, missing, 1, size))
    else {
      const seenAt = await writtenDown(parts, log, promised, { after, missing })
      faults.push(seenAt === undefined ? unkept(promised, missing, 0, 0n) : unkept(promised, missing, 2, seenAt))
    }
  }
  return faults
}

/**
 * Covered, demanded, and shown to nobody by the time that a missing one has: the log put something there that it cannot or will not
 * show, so the pledge is as good as missing. Throws `UnavailableError`s of the chain.
 */
export async function neverShown(
  { chain }: Pick<Parts, 'chain'>,
  { head, record }: Log,
  promised: Promises.Promised,
  memory: Memory,
): Promise<readonly Fault.Fault[]> {
  const { logId, leafIndex, issuedAtBlock } = Pledge.parse(promised.pledge)
  const deadline = issuedAtBlock + record.pledgeBlocks
  if (head.block <= deadline) return []
  const terms = await chain.courtTerms()
  if (terms === undefined || head.block <= deadline + terms.graceBlocks) return []
  const withheld = await chain.withheld(logId, leafIndex)
  if (withheld === undefined || withheld.block <= deadline + terms.graceBlocks) return []
  if (withheld.block <= withheld.lastBlock + terms.graceBlocks) return []
  memory.isMissing = true
  return [unkept(promised, true, 3, 0n)]
}

/**
 * A block above `after` in which the court wrote down that the leaf was not covered; paid for only where there is none yet. Undefined
 * where there is no court, none that can be reached now, or the last one is too young to pay again.
 */
async function writtenDown(
  { chain, observe, observed }: Parts,
  log: Log,
  promised: Promises.Promised,
  { after, missing }: { readonly after: bigint; readonly missing: boolean },
): Promise<bigint | undefined> {
  const { logId, leafIndex, issuedAtBlock } = Pledge.parse(promised.pledge)
  if (observe === undefined) return undefined
  if (!observed.isComplete) {
    const hints = await chain.hints(logId, issuedAtBlock + log.record.pledgeBlocks)
    for (const block of hints.observed.slice(-maxObserved)) observed.blocks.add(block)
    observed.isComplete = true
  }
  for (const block of [...observed.blocks].filter((one) => one > after)) {
    const size = await chain.observed(logId, block)
    if (size !== undefined && size <= leafIndex) return block
    // A reorganisation took it back.
    if (size === undefined) observed.blocks.delete(block)
  }
  const paidAt = observed.paidAt.get(missing)
  // Paid for above the newest block: that was a lie, or was taken back.
  const isRecent =
    paidAt !== undefined && paidAt <= log.head.block && log.head.block < paidAt + blocksBetweenObservations
  if (isRecent) return undefined
  try {
    const block = await observe(logId)
    // One that failed cost nothing, and is tried again in the next round.
    observed.paidAt.set(missing, log.head.block)
    observed.blocks.add(block)
    for (const oldest of observed.blocks) {
      if (observed.blocks.size <= maxObserved) break
      observed.blocks.delete(oldest)
    }
    return block
  } catch (error) {
    if (BaseError.isInstance(error)) return undefined
    throw error
  }
}

/** Covered now, after the deadline. Was it seen by the chain before that it was not? */
async function traces(
  { chain }: Parts,
  promised: Promises.Promised,
  pledge: Pledge.Pledge,
  deadline: bigint,
): Promise<Fault.Fault[]> {
  const { logId, leafIndex } = pledge
  const { anchored, observed } = await chain.hints(logId, deadline + 1n)
  const faults: Fault.Fault[] = []
  const small = anchored.filter((size) => size <= leafIndex)
  for (const size of small.slice(0, maxTraces)) {
    const step = await chain.step(logId, size)
    if (step !== undefined && step.blockNumber > deadline) return [unkept(promised, false, 1, size)]
  }
  for (const block of observed.slice(0, maxTraces)) {
    const size = block > deadline ? await chain.observed(logId, block) : undefined
    if (size !== undefined && size <= leafIndex) return [unkept(promised, false, 2, block)]
  }
  return faults
}

/** Hints that are looked up for one promise: the first that holds is enough. */
const maxTraces = 8

function unkept(
  { pledge, pledgeSignature, logKey }: Promises.Promised,
  missing: boolean,
  how: 0 | 1 | 2 | 3,
  at: bigint,
): Fault.Fault {
  return { class: 4, evidence: { pledge, signature: pledgeSignature, publicKey: logKey, missing, how, at } }
}
