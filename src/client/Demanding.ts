/**
 * Demanding.ts - when a party gives nothing: an anchored entry that its log does not show (F17), a receipt that its node does not open
 * (F18). Demands cost a bond, so they come last. Source: spec/client.md, spec/faults.md section 6.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import * as Head from '../protocol/Head.ts'
import * as Order from '../protocol/Order.ts'
import * as Pledge from '../protocol/Pledge.ts'
import * as Shape from '../protocol/Shape.ts'
import * as Slot from '../protocol/Slot.ts'
import type { ChainAccess } from './ChainAccess.ts'
import * as LogRound from './LogRound.ts'
import * as Promises from './Promises.ts'
import type * as WatchOfNode from './WatchOfNode.ts'
import type { WatchStore } from './WatchStore.ts'

/** Where a receipt stands, as a demand names it. */
export type Place = {
  readonly head: WatchOfNode.SignedHead
  readonly place: {
    readonly logId: Uint8Array
    readonly index: bigint
    readonly size: bigint
    readonly proof: readonly Uint8Array[]
  }
}

/** A slot as it was opened on chain; path: 4 siblings. */
export type Opening = { readonly salt: Uint8Array; readonly value: Uint8Array; readonly path: readonly Uint8Array[] }

/** What became of a demand: `over` when nothing more can come of it. */
export type Answer = { readonly isOver: boolean; readonly opening?: Opening }

/** A signed head that came as answer to a demanded entry; `place`: where the entry (75 bytes) stands, if that can be told. */
export type Answered = WatchOfNode.SignedHead & {
  readonly logId: Uint8Array
  readonly index: bigint
  readonly entry: Uint8Array
  readonly place: Pick<Place['place'], 'size' | 'proof'> | undefined
}

/** Cases on chain, within what this client may spend. Asking again for the same sends nothing twice. */
export type Demands = {
  /** Gives the answer if there is one already: it may have come when nobody could make use of it. */
  entry(logId: Uint8Array, index: bigint): Promise<Answered | undefined>
  slot(receipt: Place, slot: number): Promise<Answer>
  content(
    receipt: Place,
    slot: number,
    order: { readonly words: Uint8Array; readonly opening: Opening },
  ): Promise<Answer>
  /** Ends the cases whose time is over; returns what came as answers. */
  follow(): Promise<readonly Answered[]>
}

/** A receipt whose claims its node withholds; `order`: 416 bytes. */
export type Unopened = Promises.Promised & { readonly order: Uint8Array }

/** Rounds in which nothing came, before anything is demanded. */
export const maxTries = 5
/** Blocks over which they are spread: a gateway that restarts is back by then. */
export const minBlocks = 10n

const shape = Shape.record({
  promised: Shape.field(1, Shape.bytesWithin(1, 1024)),
  order: Shape.field(2, Shape.bytes(Order.byteLength)),
})
const maxBytes = 2048

/**
 * Remembers a receipt that was not opened. What its node and a log did not sign for each other, no contract would ask about: it is not
 * kept.
 */
export async function keep(crypto: Crypto, store: WatchStore, { order, ...promised }: Unopened): Promise<void> {
  if (!(await Promises.isWhole(crypto, promised))) return
  const { leafHash } = Pledge.parse(promised.pledge)
  if (!Bytes.equal(leafHash, Promises.leafOf(crypto, promised))) return
  const item = Shape.encode(shape, { promised: Promises.write(promised), order }, maxBytes)
  await store.put('unopened', Bytes.toHex(Head.hash(crypto, promised.head)), item)
}

/** How often something was not given, and since when. */
export type Tries = {
  /** Counts one more time; says whether it was often enough. */
  isDue(name: string, block: bigint): boolean
  /** It was given after all. */
  forget(name: string): void
}

/** Tries of one process: after a restart everybody is asked anew first. */
export function createTries(): Tries {
  const tries = new Map<string, { readonly count: number; readonly since: bigint }>()
  return {
    isDue(name, block) {
      const { count, since } = tries.get(name) ?? { count: 0, since: block }
      tries.set(name, { count: count + 1, since })
      return count + 1 >= maxTries && block - since >= minBlocks
    },
    forget(name) {
      tries.delete(name)
    },
  }
}

type Parts = LogRound.Parts & { readonly chain: ChainAccess; readonly demands: Demands; readonly tries: Tries }

/** Looks at every receipt that was not opened. */
export async function round(parts: Parts): Promise<void> {
  const { crypto, store, tries } = parts
  for (const name of await store.list('unopened')) {
    const item = await store.get('unopened', name)
    if (item === undefined) continue
    const { promised, order } = Shape.decode(shape, item, maxBytes)
    const unopened = Promises.read(promised)
    // Earlier releases kept what nobody had signed.
    if (!(await Promises.isWhole(crypto, unopened))) {
      await store.remove('unopened', name)
      continue
    }
    const found = await placeOf(parts, unopened)
    if (found === undefined || !tries.isDue(`unopened/${name}`, found.block)) continue
    // One that cannot be demanded now must not hold back the others.
    if ((await unlessRefused(isOver(parts, found.receipt, order))) === true) await store.remove('unopened', name)
  }
  async function placeOf(at: Parts, unopened: Promises.Promised) {
    const { chainId, anchorLog, logId, leafIndex, leafHash } = Pledge.parse(unopened.pledge)
    const log = await LogRound.open(at, { chainId, anchorLog, logId, publicKey: unopened.logKey })
    if (log === undefined || log.head.size <= leafIndex) return undefined
    const leaf = await LogRound.unlessWithheld(log.tiles.leaf(log.head, leafIndex))
    if (leaf === undefined || !Bytes.equal(leaf.leafHash, leafHash)) return undefined
    const { head, signature, publicKey } = unopened
    const place = { logId, index: leafIndex, size: log.head.size, proof: leaf.proof }
    return { receipt: { head: { head, signature, publicKey }, place }, block: log.head.block }
  }

  async function isOver({ demands }: Parts, receipt: Place, words: Uint8Array): Promise<boolean> {
    // Slot 1 may be asked for by anybody; its opening shows whose order it is, and with that the answer may be asked for.
    const first = await demands.slot(receipt, Slot.indexOf('order'))
    if (first.opening === undefined) return first.isOver
    if (!isOrder(crypto, receipt.head.head, words, first.opening.value)) return true
    const { isOver: isAnswered } = await demands.content(receipt, Slot.indexOf('response'), {
      words,
      opening: first.opening,
    })
    return isAnswered
  }
}

/**
 * What a limit, an empty account, the contract or the chain forbids now is asked for again when it is due again: who is accused can fill
 * the places for cases against it, and must not end a round by that.
 */
export async function unlessRefused<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (BaseError.isInstance(error)) return undefined
    throw error
  }
}

/** A node that put another order under its receipt can not be asked for the content in this order's name. */
function isOrder(crypto: Crypto, head: Uint8Array, words: Uint8Array, value: Uint8Array): boolean {
  try {
    const { chainId, registry } = Head.parse(head)
    const hash = Order.hash(crypto, Order.parse(words), { chainId, registry })
    // The claim is a byte string of 32 bytes.
    return value.length === 34 && Bytes.equal(value.subarray(2), hash)
  } catch (error) {
    if (BaseError.isInstance(error)) return false
    throw error
  }
}
