/**
 * LogRound.ts - one look at one log: its record and head on the chain, its published files, what it signed against what it anchored.
 * Everything is asked once and kept for the round. Source: spec/client.md.
 */
import type * as Records from '../chain/Records.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Checkpoint from '../protocol/Checkpoint.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import type * as Fault from '../protocol/Fault.ts'
import * as Note from '../protocol/Note.ts'
import type { ChainAccess } from './ChainAccess.ts'
import * as Evidence from './Evidence.ts'
import * as Tiles from './Tiles.ts'
import * as WatchOfLog from './WatchOfLog.ts'
import type { WatchStore } from './WatchStore.ts'

/** What a round needs of the world. */
export type Parts = {
  readonly crypto: Crypto
  readonly fetch: typeof globalThis.fetch
  readonly baseUrl: string
  readonly chain: ChainAccess
  readonly store: WatchStore
}

/** A log as a pledge names it. */
export type Named = {
  readonly chainId: bigint
  readonly anchorLog: Uint8Array
  readonly logId: Uint8Array
  /** 64 bytes. */
  readonly publicKey: Uint8Array
}

/** A registered log in this round. */
export type Log = {
  readonly speaker: WatchOfLog.Speaker
  readonly record: Records.LogRecord
  readonly head: { readonly size: bigint; readonly root: Hash; readonly block: bigint }
  readonly tiles: Tiles.Tiles
}

/** Most signed states compared with the anchored ones in one round; the others follow in the next. */
const maxCompared = 64
/** Blocks after which a state is compared once more: a reorganisation may have put another one in the place of the anchored one. */
const lastingBlocks = 64n
const forGood = 2n ** 64n
/** Most places that a log may withhold before the rest waits for the next round. */
const maxWithheld = 4

/** The block in which each state was compared; of this process. */
export type Settled = Map<string, bigint>

/** The log, if the chain shows it as registered with this key; throws `UnavailableError`s of the chain. */
export async function open(parts: Parts, named: Named): Promise<Log | undefined> {
  const { crypto, chain } = parts
  const record = await Evidence.logOf(crypto, chain, named)
  const head = record === undefined ? undefined : await chain.logHead(named.logId)
  if (record === undefined || head === undefined) return undefined
  const speaker = { ...named, tag: 'checkpoint' } as const
  return { speaker, record, head, tiles: Tiles.create({ ...parts, logId: named.logId }) }
}

/**
 * Compares what the log was seen to sign with what it anchored; remembers in `settled` what can no longer differ.
 *
 * - `settled`: what was compared when; each state is compared twice
 */
export async function compare(parts: Parts, log: Log, settled: Settled): Promise<WatchOfLog.Contradiction[]> {
  const { crypto, chain, store } = parts
  const { speaker, head } = log
  const found: WatchOfLog.Contradiction[] = []
  let compared = 0
  const nameOf = (kind: string, number: bigint) => `${Bytes.toHex(speaker.logId)}/${kind}/${number}`
  let withheld = 0
  const isNew = (name: string) => {
    const before = settled.get(name)
    return (before === undefined || head.block >= before + lastingBlocks) && ++compared <= maxCompared
  }
  const settle = (name: string) => settled.set(name, settled.has(name) ? forGood : head.block)
  for (const size of await WatchOfLog.sizes(crypto, store, speaker)) {
    if (size > head.size || !isNew(nameOf('size', size))) continue
    const step = await chain.step(speaker.logId, size)
    // A size that the chain passed over is compared leaf by leaf, below.
    if (step !== undefined)
      found.push(...(await WatchOfLog.againstAnchored(crypto, store, speaker, { size, root: step.root })))
    settle(nameOf('size', size))
  }
  for (const index of await WatchOfLog.indices(crypto, store, speaker)) {
    if (index >= head.size || !isNew(nameOf('place', index))) continue
    const leaf = await unlessWithheld(log.tiles.leaf(head, index))
    if (leaf === undefined && ++withheld < maxWithheld) continue
    if (leaf === undefined) break
    found.push(...(await WatchOfLog.againstAnchored(crypto, store, speaker, { ...head, leaves: [leaf] })))
    settle(nameOf('place', index))
  }
  return found
}

/** Reads the checkpoint that the log publishes and, for one index of its own, the leaf that stands in it. */
export async function published(parts: Parts, log: Log, index: bigint): Promise<WatchOfLog.Contradiction[]> {
  const { crypto, store } = parts
  const { speaker, tiles } = log
  const note = await unlessWithheld(tiles.checkpoint())
  if (note === undefined) return []
  try {
    const { statement, signature } = await Checkpoint.fromNote(crypto, Note.parse(note), speaker)
    const { size, root } = statement
    const leaf = index < size ? await unlessWithheld(tiles.leaf({ size, root }, index)) : undefined
    const leaves = leaf === undefined ? [] : WatchOfLog.leavesOf({ ...leaf, size })
    return await WatchOfLog.saw(crypto, store, speaker, { size, root, signature, leaves })
  } catch (error) {
    // A note that is none was signed by nobody.
    if (BaseError.isInstance(error) && error.action !== 'retry') return []
    throw error
  }
}

/** States that others showed to the contract as signed by the log; only signatures that hold count. */
export async function recorded(
  parts: Parts,
  log: Log,
  hints: Pick<Hinted, 'conflicts'>,
): Promise<WatchOfLog.Contradiction[]> {
  const found: WatchOfLog.Contradiction[] = []
  for (const { size, root, signature } of hints.conflicts.slice(0, maxCompared)) {
    if (!(await WatchOfLog.isSigned(parts.crypto, log.speaker, { size, root, signature }))) continue
    const step = await parts.chain.step(log.speaker.logId, size)
    if (step !== undefined && !Bytes.equal(step.root, root))
      found.push({ stateA: { size, root, signature }, stateB: { size, root: step.root } })
  }
  return found
}
type Hinted = Awaited<ReturnType<ChainAccess['hints']>>

/** The fault that a contradiction of a log's own statements is. */
export function toFault({ chainId, anchorLog, logId, publicKey }: Named, found: WatchOfLog.Contradiction): Fault.Fault {
  return { class: 2, evidence: { chainId, anchorLog, logId, publicKey, ...found } }
}

/** What a log withholds is no error of a round; what the chain withholds is. */
export async function unlessWithheld<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (error instanceof Tiles.WithheldError) return undefined
    throw error
  }
}
