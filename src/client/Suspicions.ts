/**
 * Suspicions.ts - evidence on its way to a `.fault` file: written down when it is seen, judged by the chain as soon as the chain can be
 * asked, and kept as a file only if the judge accepts it. Source: spec/client.md.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Pledge from '../protocol/Pledge.ts'
import type { ChainAccess } from './ChainAccess.ts'
import * as Evidence from './Evidence.ts'
import type { FaultStore, FilingState } from './Stores.ts'
import type { WatchStore } from './WatchStore.ts'

/** What this client believes of others, and why. */
export type Suspicions = {
  /** Writes evidence down, unless a file here shows the same; durable before it returns. */
  add(found: readonly Fault.Fault[]): Promise<void>
  /** Judges what waits; returns the names of new files. What the chain cannot be asked now waits on. */
  judge(): Promise<readonly string[]>
  /** Files that may concern a receipt's keys, with what the chain says about them; at most `limit`. */
  about(keys: Keys, limit: number): Promise<{ readonly files: readonly Uint8Array[]; readonly known: Evidence.Known }>
  /**
   * Which files show that a promise is broken for good: another leaf, a false entry, or, of one that is missing itself, missing.
   * `pledge`: 224 bytes.
   */
  breaking(): Promise<(pledge: Uint8Array, isMissing: boolean) => readonly string[]>
}

/** Whose faults concern a receipt: public keys of 64 bytes, the log's identifier. */
export type Keys = {
  readonly node: Uint8Array
  readonly log?: Uint8Array | undefined
  readonly logId?: Uint8Array | undefined
  readonly cosigners?: readonly Uint8Array[]
}

type Parts = {
  readonly crypto: Crypto
  readonly chain: ChainAccess | undefined
  readonly store: WatchStore
  readonly faults: FaultStore
}

/** Blocks whose pledges share a file of class 4: FaultCourt counts them by such windows too. */
const windowBlocks = 100n
/** Files against one node: the first ends it. */
const maxOfNode = 16
/** Files against one log: each broken promise has its own, so that it can be closed. */
const maxOfLog = 1_000

/** Of a file whose facts the chain shows no more; the court is asked about it again. */
const voidFiling: FilingState = Object.freeze({
  ...{ stage: 'refused', faultId: new Uint8Array(32), salt: new Uint8Array(0), callData: new Uint8Array(0) },
  ...{ reporter: new Uint8Array(0), reason: 'void', isFinal: false },
})

/** Opens the suspicions of one client. */
export function create(parts: Parts): Suspicions {
  const { crypto, chain, store, faults } = parts
  // Files are named by their content, so what was read of one stays true.
  const files = new Map<string, { readonly file: Uint8Array; readonly fault: Fault.Fault; readonly subject: string }>()
  const knowns = new Map<string, Evidence.Known>()
  // Whether files show what they say, in this round.
  const looked = new Map<string, boolean>()
  // Who has files enough, in this round.
  const full = new Set<string>()

  /** All files of the store, read once. */
  async function all(): Promise<typeof files> {
    for (const id of await faults.list()) {
      if (files.has(id)) continue
      const loaded = await faults.load(id)
      const fault = loaded === undefined ? undefined : parse(loaded.file)
      if (loaded !== undefined && fault !== undefined)
        files.set(id, { file: loaded.file, fault, subject: subjectOf(fault) })
    }
    return files
  }

  /**
   * Whether a file shows its fault by the chain as it is now, looked up once a round. What a reorganisation took away is marked, and
   * what it gave back is not any more. Throws as the chain does.
   */
  async function stillShows(id: string, fault: Fault.Fault): Promise<boolean> {
    if (chain === undefined || !restsOnChain(fault)) return true
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
      if (file.subject !== subject) continue
      const filing = (await faults.load(id))?.filing
      if (filing?.stage === 'refused' && filing.reason !== voidFiling.reason) continue
      if (filing?.isFinal === true || (await stillShows(id, file.fault))) return true
    }
    return false
  }

  /** Whoever is accused so often loses nothing more by the next file, and each takes room here and coin to file. */
  async function isEnough(fault: Fault.Fault): Promise<boolean> {
    const accused = accusedOf(fault)
    if (full.has(accused)) return true
    const ids = [...(await all())].filter(([, one]) => accusedOf(one.fault) === accused).map(([id]) => id)
    const most = fault.class === 1 || fault.class === 13 ? maxOfNode : maxOfLog
    if (ids.length < most) return false
    let count = 0
    for (const id of ids) if ((await faults.load(id))?.filing?.stage !== 'refused') count++
    // An endpoint that shows another chain each time must not fill the disk.
    if (count < most && ids.length < 2 * most) return false
    full.add(accused)
    return true
  }

  /** The name of the file that a suspicion became, if it became one. */
  async function judgeOne(name: string): Promise<string | undefined> {
    const file = await store.get('suspicions', name)
    if (chain === undefined || file === undefined) return undefined
    const fault = parse(file)
    const isNew = fault !== undefined && !(await isShown(subjectOf(fault))) && !(await isEnough(fault))
    const judged = isNew ? await accepted(crypto, chain, fault) : undefined
    const id = Bytes.toHex(crypto.sha256(file))
    if (fault !== undefined && judged !== undefined) {
      await faults.save(id, file)
      files.set(id, { file, fault, subject: subjectOf(fault) })
      knowns.set(id, judged.known)
      looked.set(id, true)
    }
    await store.remove('suspicions', name)
    return judged === undefined ? undefined : id
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
        // While the chain cannot be asked the evidence waits, and is judged with what it says then.
        if (await unlessAway(isShown(subjectOf(fault)))) continue
        const file = Fault.serialize(fault)
        // An outage breaks thousands of pledges in one way: one of each kind waits. Every other evidence waits by itself.
        const name = fault.class === 4 ? Bytes.fromUtf8(subjectOf(fault)) : file
        await store.put('suspicions', Bytes.toHex(crypto.sha256(name)), file)
      }
    },
    async judge() {
      const made: string[] = []
      for (const name of await store.list('suspicions')) {
        try {
          const id = await judgeOne(name)
          if (id !== undefined) made.push(id)
        } catch (error) {
          if (!BaseError.isInstance(error)) throw error
        }
      }
      looked.clear()
      full.clear()
      return made
    },
    async about(keys, limit) {
      const concerned = [...(await all())].filter(([, { fault }]) => concerns(fault, keys))
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
        known.filter(([, { fault }]) => breaks(fault, pledge) && (fault.class !== 4 || isMissing)).map(([id]) => id)
    },
  }
}

/** The judgement of a fault that holds and whose accused is who signed; undefined for every other. */
async function accepted(crypto: Crypto, chain: ChainAccess, fault: Fault.Fault) {
  try {
    return await Evidence.judge(crypto, chain, fault)
  } catch (error) {
    if (error instanceof Fault.FaultRefusedError) return undefined
    throw error
  }
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

/** Whether a file needs what a block put on the chain; that of lateness now (`how` 0) is meant to pass. */
function restsOnChain(fault: Fault.Fault): boolean {
  switch (fault.class) {
    case 2:
      return [fault.evidence.stateA, fault.evidence.stateB].some(({ signature }) => signature === undefined)
    case 3:
    case 5:
      return true
    case 4:
      return fault.evidence.how !== 0
    default:
      return false
  }
}

/** Undefined while the chain cannot be asked. */
async function unlessAway<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked
  } catch (error) {
    if (BaseError.isInstance(error) && error.action !== 'fix') return undefined
    throw error
  }
}

function parse(file: Uint8Array): Fault.Fault | undefined {
  try {
    return Fault.parse(file)
  } catch (error) {
    if (error instanceof Fault.MalformedFaultError) return undefined
    throw error
  }
}

/** What a file is about, by its bytes: two files with one subject would be filed as one fault. */
function subjectOf(fault: Fault.Fault): string {
  const hex = Bytes.toHex
  switch (fault.class) {
    case 1:
    case 13:
      return `${fault.class}/${hex(fault.evidence.publicKey)}/${hex(fault.evidence.headB.subarray(1, 73))}`
    case 2:
      return `2/${hex(fault.evidence.publicKey)}/${hex(fault.evidence.logId)}`
    case 3: {
      const { logId, leafIndex } = Pledge.parse(fault.evidence.pledge)
      return `3/${hex(logId)}/${leafIndex}`
    }
    case 4: {
      const { logId, issuedAtBlock } = Pledge.parse(fault.evidence.pledge)
      const { missing, how } = fault.evidence
      return `4/${hex(logId)}/${missing}/${how === 0 ? 'now' : 'lasting'}/${issuedAtBlock / windowBlocks}`
    }
    case 5:
      return `5/${hex(fault.evidence.logId)}/${fault.evidence.index}`
    case 6:
      return `6/${hex(fault.evidence.publicKey)}/${hex(fault.evidence.logId)}`
  }
}

/** Who pays for a fault: a node, a log, or the node of a witness. */
function accusedOf(fault: Fault.Fault): string {
  const hex = Bytes.toHex
  switch (fault.class) {
    case 1:
    case 13:
      return `node/${hex(fault.evidence.headB.subarray(29, 61))}`
    case 2:
    case 5:
      return `log/${hex(fault.evidence.logId)}`
    case 3:
    case 4:
      return `log/${hex(Pledge.parse(fault.evidence.pledge).logId)}`
    case 6:
      return `witness/${hex(fault.evidence.nodeId)}`
  }
}

function concerns(fault: Fault.Fault, { node, log, logId, cosigners }: Keys): boolean {
  switch (fault.class) {
    case 1:
    case 13:
      return Bytes.equal(fault.evidence.publicKey, node)
    case 2:
    case 3:
    case 4:
      return log !== undefined && Bytes.equal(fault.evidence.publicKey, log)
    case 5:
      return logId !== undefined && Bytes.equal(fault.evidence.logId, logId)
    case 6:
      return (cosigners ?? []).some((key) => Bytes.equal(key, fault.evidence.publicKey))
  }
}

function breaks(fault: Fault.Fault, pledge: Uint8Array): boolean {
  switch (fault.class) {
    case 3:
      return Bytes.equal(fault.evidence.pledge, pledge)
    case 4:
      return fault.evidence.missing && isSameWindow(fault.evidence.pledge, pledge)
    case 5: {
      const { logId, leafIndex } = Pledge.parse(pledge)
      return Bytes.equal(fault.evidence.logId, logId) && fault.evidence.index === leafIndex
    }
    default:
      return false
  }
}

function isSameWindow(left: Uint8Array, right: Uint8Array): boolean {
  const [one, other] = [Pledge.parse(left), Pledge.parse(right)]
  return Bytes.equal(one.logId, other.logId) && one.issuedAtBlock / windowBlocks === other.issuedAtBlock / windowBlocks
}
