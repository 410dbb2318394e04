/**
 * Suspicions.ts - evidence on its way to a `.fault` file: written down when it is seen, judged by the chain as soon as the chain can be
 * asked, and kept as a file only if the judge accepts it. Source: spec/client.md section 3.
 *
 * What its own bytes refute goes at once. What only the chain does not show waits: the endpoint may show old blocks, and its proofs that
 * a record is absent are true there.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Accused from './Accused.ts'
import type { ChainAccess } from './ChainAccess.ts'
import * as Evidence from './Evidence.ts'
import * as Registered from './Registered.ts'
import type { FaultStore, FilingState } from './Stores.ts'
import { limits, type WatchStore } from './WatchStore.ts'

/** What this client believes of others, and why. */
export type Suspicions = {
  /** Writes evidence down, unless a file here shows the same; durable before it returns. */
  add(found: readonly Fault.Fault[]): Promise<void>
  /** Judges what waits; returns the names of new files. What the chain cannot be asked now, or does not show now, waits on. */
  judge(): Promise<readonly string[]>
  /** Judges some of what accuses keys that the chain was never seen to know, each in its turn; returns the names of new files. */
  judgeUnplaced(): Promise<readonly string[]>
  /** Told the number of each block that the chain was seen at. */
  sawBlock(block: bigint): void
  /** Files that may concern a receipt's keys, with what the chain says about them; at most `limit`. */
  about(
    keys: Accused.Keys,
    limit: number,
  ): Promise<{ readonly files: readonly Uint8Array[]; readonly known: Evidence.Known }>
  /**
   * Which files show that a promise is broken for good: another leaf, a false entry, or, of one that is missing itself, missing.
   * `pledge`: 224 bytes.
   */
  breaking(): Promise<(pledge: Uint8Array, isMissing: boolean) => readonly string[]>
}

type Parts = {
  readonly crypto: Crypto
  readonly chain: ChainAccess | undefined
  readonly store: WatchStore
  readonly faults: FaultStore
}
type Shelf = 'suspicions' | 'unplaced'

/** Files against one key of a node or a witness: the first ends it. As many wait. */
const maxOfKey = 16
/** Files of one kind against one log: each broken promise has its own, so that it can be closed. */
const maxOfLog = 1_000
/** Of those that rest on the chain, as many wait against one log; what goes is found anew while its promise is open. */
const maxWaitingOfLog = 64
/** Unplaced evidence looked at in one round: each costs questions to the chain, and anybody can make it up. */
const maxUnplaced = 16
/** Blocks after which a reorganisation changes nothing any more. */
const lastingBlocks = 64n
/** What is remembered of files and of evidence in this process; what is forgotten is found out again. */
const maxRemembered = 10_000
/** Of the newest block that was seen, kept in the store. */
const cursor = 'newest-block/'
/** Blocks by which the kept one may be behind: a write in each round would be one too many. */
const keptEvery = 16n

/** Of a file whose facts the chain shows no more; the court is asked about it again. */
const voidFiling: FilingState = Object.freeze({
  ...{ stage: 'refused', faultId: new Uint8Array(32), salt: new Uint8Array(0), callData: new Uint8Array(0) },
  ...{ reporter: new Uint8Array(0), reason: 'void', isFinal: false },
})

/** Opens the suspicions of one client. */
export function create(parts: Parts): Suspicions {
  const { crypto, chain, store, faults } = parts
  const registered = Registered.create(crypto, store)
  // Files are named by their content, so what was read of one stays true.
  const files = new Map<string, { readonly file: Uint8Array; readonly fault: Fault.Fault; readonly subject: string }>()
  const knowns = new Map<string, Evidence.Known>()
  // Whether files hold by their own bytes, with what they say of the chain taken as said.
  const sound = new Map<string, boolean>()
  // Whether files show what they say, in this round.
  const looked = new Map<string, boolean>()
  // Who has files enough, in this round.
  const full = new Set<string>()
  // Whom the chain did not know, in this round.
  const absent = new Set<string>()
  // Evidence that a chain which knows the accused did not show, by its name: the newest block when that was first so.
  const unshown = new Map<string, bigint>()
  let newestSeen = 0n
  let turn = 0

  /** All files of the store, read once. */
  async function all(): Promise<typeof files> {
    for (const id of await faults.list()) {
      if (files.has(id)) continue
      const loaded = await faults.load(id)
      const fault = loaded === undefined ? undefined : Accused.parse(loaded.file)
      if (loaded !== undefined && fault !== undefined)
        files.set(id, { file: loaded.file, fault, subject: Accused.subjectOf(fault) })
    }
    return files
  }

  /** Files come from others too: one whose bytes show nothing stands for nothing, whatever it names. */
  async function isSound(id: string, fault: Fault.Fault): Promise<boolean> {
    const before = sound.get(id)
    if (before !== undefined) return before
    const is = await holds(crypto, fault, Evidence.asSaid(fault))
    if (sound.size >= maxRemembered) sound.clear()
    sound.set(id, is)
    return is
  }

  /**
   * Whether a file that is sound shows its fault by the chain as it is now, looked up once a round. What a reorganisation took away is
   * marked, and what it gave back is not any more. Throws as the chain does.
   */
  async function stillShows(id: string, fault: Fault.Fault): Promise<boolean> {
    if (chain === undefined || !Accused.restsOnChain(fault)) return true
    const before = looked.get(id)
    if (before !== undefined) return before
    const known = await Evidence.knownTo(crypto, chain, fault)
    const shows = known !== undefined && (await holds(crypto, fault, known))
    looked.set(id, shows)
    if (known === undefined) knowns.delete(id)
    else knowns.set(id, known)
    // How far the court has come with it is left to filing.
    const filing = (await faults.load(id))?.filing
    if (!shows && filing === undefined) await faults.saveFiling(id, voidFiling)
    if (shows && filing?.reason === voidFiling.reason) await faults.saveFiling(id, undefined)
    return shows
  }

  /** A refused file stands for nothing, nor does a void one: another one may take its place. Throws as the chain does. */
  async function isShown(subject: string): Promise<boolean> {
    for (const [id, file] of await all()) {
      if (file.subject !== subject || !(await isSound(id, file.fault))) continue
      const filing = (await faults.load(id))?.filing
      if (filing?.stage === 'refused' && filing.reason !== voidFiling.reason) continue
      if (filing?.isFinal === true || (await stillShows(id, file.fault))) return true
    }
    return false
  }

  /** Whoever is accused so often loses nothing more by the next file, and each takes room here and coin to file. */
  async function isEnough(fault: Fault.Fault): Promise<boolean> {
    const accused = Accused.accusedOf(fault)
    if (full.has(accused)) return true
    const most = isOfKey(fault) ? maxOfKey : maxOfLog
    const own = [...(await all())].filter(([, one]) => Accused.accusedOf(one.fault) === accused)
    if (own.length < most) return false
    let kept = 0
    let count = 0
    for (const [id, one] of own) {
      if (!(await isSound(id, one.fault))) continue
      kept++
      if ((await faults.load(id))?.filing?.stage !== 'refused') count++
    }
    // An endpoint that shows another chain each time must not fill the disk.
    if (count < most && kept < 2 * most) return false
    full.add(accused)
    return true
  }

  /** Where new evidence waits. Before it was judged nobody knows whether the key is registered; so of those half the room is kept. */
  async function shelfOf(fault: Fault.Fault): Promise<Shelf> {
    if (await registered.has(Accused.keyOf(fault))) return 'suspicions'
    return (await store.list('suspicions')).length < limits.suspicions / 2 ? 'suspicions' : 'unplaced'
  }

  /** Puts evidence where it waits, within what may wait against one accused. */
  async function wait(shelf: Shelf, fault: Fault.Fault, file: Uint8Array): Promise<void> {
    const hash = (text: string | Uint8Array) =>
      Bytes.toHex(crypto.sha256(typeof text === 'string' ? Bytes.fromUtf8(text) : text))
    const group = `${hash(`${Accused.accusedOf(fault)}/${Accused.isWhole(fault)}`).slice(0, 32)}-`
    // An outage breaks thousands of pledges in one way: one of each kind waits. Every other evidence waits by itself.
    // Of contradictions of one log or witness that show it by themselves one is enough, too.
    const isOneEnough = fault.class === 4 || (Accused.isWhole(fault) && (fault.class === 2 || fault.class === 6))
    const name = group + hash(isOneEnough ? Accused.subjectOf(fault) : file)
    const others = await store.list(shelf, group)
    if (!others.includes(name) && others.length >= (isOfKey(fault) ? maxOfKey : maxWaitingOfLog)) {
      // Each of those that show it by themselves is enough; of the others the older may never be shown again.
      if (Accused.isWhole(fault)) return
      await remove(shelf, others[0] as string)
    }
    // Nor must one that the chain does not show any more keep the place of the next of its kind.
    if (fault.class === 4 && unshown.has(name)) await remove(shelf, name)
    await store.put(shelf, name, file)
  }

  async function remove(shelf: Shelf, name: string): Promise<void> {
    unshown.delete(name)
    await store.remove(shelf, name)
  }

  /** The name of the file that a suspicion became, if it became one. */
  async function judgeOne(shelf: Shelf, name: string): Promise<string | undefined> {
    const file = await store.get(shelf, name)
    if (chain === undefined || file === undefined) return undefined
    const fault = Accused.parse(file)
    const id = Bytes.toHex(crypto.sha256(file))
    const isOpen = fault !== undefined && !Accused.isElsewhere(chain, fault) && (await isSound(id, fault))
    if (!isOpen || (await isShown(Accused.subjectOf(fault))) || (await isEnough(fault))) {
      await remove(shelf, name)
      return undefined
    }
    const key = Accused.keyOf(fault)
    const accused = Accused.accusedOf(fault)
    const known = absent.has(accused) ? undefined : await Evidence.knownTo(crypto, chain, fault)
    if (known === undefined) {
      absent.add(accused)
      // Anybody makes up keys: what they sign waits apart, and never takes a place of what a registered key signed.
      if (shelf === 'suspicions' && !(await registered.has(key))) {
        await wait('unplaced', fault, file)
        await remove(shelf, name)
      }
      return undefined
    }
    await registered.mark(key)
    if (!(await holds(crypto, fault, known))) {
      if (await isOver(chain, name, fault)) await remove(shelf, name)
      else if (shelf === 'unplaced') {
        await wait('suspicions', fault, file)
        await remove(shelf, name)
      }
      return undefined
    }
    await faults.save(id, file)
    files.set(id, { file, fault, subject: Accused.subjectOf(fault) })
    knowns.set(id, known)
    looked.set(id, true)
    await remove(shelf, name)
    return id
  }

  /**
   * Whether evidence that the chain does not show will not be shown any more. Lateness now passes, and is found anew while it lasts.
   * Else only a block as new as any that was seen counts, and only when no reorganisation can bring back what is missing.
   */
  async function isOver(at: ChainAccess, name: string, fault: Fault.Fault): Promise<boolean> {
    if (fault.class === 4 && fault.evidence.how === 0) return true
    const block = await at.newest()
    const newest = await noteBlock(block)
    const isNewest = block >= newest
    const since = unshown.get(name) ?? newest
    if (unshown.size >= maxRemembered) unshown.clear()
    unshown.set(name, since)
    return isNewest && block >= since + lastingBlocks
  }

  /** The newest block that was ever seen, this one included; kept, because the next process may be shown older ones first. */
  async function noteBlock(block: bigint): Promise<bigint> {
    const names = await store.list('cursors', cursor)
    const kept = names.map((name) => BigInt(name.slice(cursor.length)))
    for (const one of [block, ...kept]) sawBlock(one)
    if (kept.length !== 1 || newestSeen >= (kept[0] as bigint) + keptEvery) {
      await store.put('cursors', `${cursor}${newestSeen}`, Uint8Array.of(1))
      for (const name of names) if (name !== `${cursor}${newestSeen}`) await store.remove('cursors', name)
    }
    return newestSeen
  }

  function sawBlock(block: bigint): void {
    if (block > newestSeen) newestSeen = block
  }

  async function judgeAll(shelf: Shelf, names: readonly string[]): Promise<readonly string[]> {
    const made: string[] = []
    if (names.length > 0) await noteBlock(newestSeen)
    for (const name of names) {
      try {
        const id = await judgeOne(shelf, name)
        if (id !== undefined) made.push(id)
      } catch (error) {
        if (!BaseError.isInstance(error)) throw error
      }
    }
    looked.clear()
    full.clear()
    absent.clear()
    return made
  }

  /** Without an answer from the chain, and when it is `away`, a file shows only what it shows by itself. */
  async function knownTo(id: string, fault: Fault.Fault, away: { is: boolean }): Promise<Evidence.Known | undefined> {
    if (knowns.has(id) || chain === undefined || away.is) return knowns.get(id)
    try {
      const known = await Evidence.knownTo(crypto, chain, fault)
      if (known !== undefined) knowns.set(id, known)
      return known
    } catch (error) {
      if (!BaseError.isInstance(error)) throw error
      away.is = true
      return undefined
    }
  }

  return {
    async add(found) {
      for (const fault of found) {
        // While nobody can tell, the evidence waits, and is judged with what the chain says then.
        if (await unlessAway(isShown(Accused.subjectOf(fault)))) continue
        await wait(await shelfOf(fault), fault, Fault.serialize(fault))
      }
    },
    async judge() {
      return judgeAll('suspicions', await store.list('suspicions'))
    },
    async judgeUnplaced() {
      const names = await store.list('unplaced')
      const from = names.length === 0 ? 0 : (turn++ * maxUnplaced) % names.length
      return judgeAll('unplaced', [...names.slice(from), ...names.slice(0, from)].slice(0, maxUnplaced))
    },
    sawBlock,
    async about(keys, limit) {
      const found = [...(await all())].filter(([, { fault }]) => Accused.concerns(fault, keys))
      // Whether a witness counts is the policy's to say, so what accuses one comes last.
      const isWitness = ({ fault }: { readonly fault: Fault.Fault }) => Number(fault.class === 6)
      const concerned = found.sort(([, a], [, b]) => isWitness(a) - isWitness(b))
      const away = { is: false }
      const holding: { file: Uint8Array; known: Evidence.Known }[] = []
      const others: typeof holding = []
      // Files that show nothing any more, such as lateness that was made up for, must not take the places of those that do.
      for (const [id, { file, fault }] of concerned) {
        const known = (await knownTo(id, fault, away)) ?? Evidence.nothing
        const isFirst = concerned.length <= limit || (await holds(crypto, fault, known))
        ;(isFirst ? holding : others).push({ file, known })
        if (holding.length === limit) break
      }
      const chosen = [...holding, ...others].slice(0, limit)
      return { files: chosen.map(({ file }) => file), known: Evidence.all(chosen.map(({ known }) => known)) }
    },
    async breaking() {
      const known = [...(await all())]
      return (pledge, isMissing) =>
        known
          .filter(([, { fault }]) => Accused.breaks(fault, pledge) && (fault.class !== 4 || isMissing))
          .map(([id]) => id)
    },
  }
}

function isOfKey({ class: kind }: Fault.Fault): boolean {
  return kind === 1 || kind === 6 || kind === 13
}

async function holds(crypto: Crypto, fault: Fault.Fault, { anchored, terms }: Evidence.Known): Promise<boolean> {
  try {
    await Fault.judge(crypto, fault, anchored, terms)
    return true
  } catch (error) {
    if (error instanceof Fault.FaultRefusedError) return false
    throw error
  }
}

/** Undefined while the chain cannot be asked, or a file here cannot be read: who asks for the files is told of that. */
async function unlessAway<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked
  } catch (error) {
    if (BaseError.isInstance(error)) return undefined
    throw error
  }
}
