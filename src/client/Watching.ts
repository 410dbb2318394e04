/**
 * Watching.ts - what a default client does beside its calls: remembers what parties sign, follows every promise to its end, and turns
 * what contradicts itself into evidence. Source: spec/client.md.
 */

import * as Bundle from '../protocol/Bundle.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import type * as Fault from '../protocol/Fault.ts'
import { roles } from '../protocol/Identity.ts'
import * as Pledge from '../protocol/Pledge.ts'
import * as Accused from './Accused.ts'
import * as Audit from './Audit.ts'
import type { ChainAccess } from './ChainAccess.ts'
import type { Registration } from './ChainFacts.ts'
import * as Demanding from './Demanding.ts'
import * as Evidence from './Evidence.ts'
import * as LogRound from './LogRound.ts'
import * as Logs from './Logs.ts'
import * as Neighbours from './Neighbours.ts'
import * as Promises from './Promises.ts'
import * as Registered from './Registered.ts'
import type { FaultStore } from './Stores.ts'
import * as Strikes from './Strikes.ts'
import * as Suspicions from './Suspicions.ts'
import * as WatchOfLog from './WatchOfLog.ts'
import * as WatchOfNode from './WatchOfNode.ts'
import { FullError, limits, type WatchStore } from './WatchStore.ts'

/** What watching needs of the world. */
export type Parts = {
  readonly crypto: Crypto
  readonly fetch: typeof globalThis.fetch
  readonly baseUrl: string
  /** Without it what is seen is remembered, and nobody is accused. */
  readonly chain: ChainAccess | undefined
  readonly store: WatchStore
  readonly faults: FaultStore
  /** Without it lateness is shown by what the chain says by itself. */
  readonly observe: Audit.Observe | undefined
  /** Without it nothing is demanded of anybody. */
  readonly demands: Demanding.Demands | undefined
}

/** A log's answer about a leaf, as it came. */
export type Stated = {
  readonly pledge: Pledge.Pledge
  /** 64 bytes. */
  readonly logKey: Uint8Array
  /** Of the receipt that was asked for. */
  readonly leafHash: Uint8Array
  readonly checkpoint: Bundle.CheckpointPiece
}

/** What a round came to: names of new `.fault` files, and receipts whose promises are broken for good and on record. */
export type Round = { readonly faults: readonly string[]; readonly closed: readonly string[] }

/** The watching of one client. Nothing here throws for what parties do; only its own stores and the caller's defects do. */
export type Watching = {
  /** Room for one more promise; throws `WatchStore.FullError`. */
  assertRoom(): Promise<void>
  /** The logs that a node says it uses, each with its key: they are looked at from now on, if the chain knows them. */
  sawLogs(logs: readonly LogRound.Named[]): Promise<void>
  /** A head that came, before anything is done with it. */
  sawHead(seen: WatchOfNode.SignedHead): Promise<void>
  /** A head and its pledge that came together. */
  sawPledge(promised: Promises.Promised): Promise<void>
  /** A receipt whose claims its node does not give. */
  sawUnopened(unopened: Demanding.Unopened): Promise<void>
  /** A log's answer, true or not. */
  sawState(stated: Stated): Promise<void>
  /** Looks at the promises for one receipt, or at all. */
  round(receiptHash?: string): Promise<Round>
  /**
   * The receipt is final, so the leaf that `pledge` (224 bytes) promised is there. Was it late, and what of other promises for the same
   * head? Those that are not kept are followed on.
   */
  kept(receiptHash: string, pledge: Uint8Array | undefined): Promise<void>
  /** Own evidence that may concern a receipt, for its verdict. */
  about(
    bundle: Bundle.Bundle,
    limit: number,
  ): Promise<{ readonly files: readonly Uint8Array[]; readonly known: Evidence.Known }>
}

/** Starts watching; sends nothing yet. */
export function create(parts: Parts): Watching {
  const { crypto, chain, store, faults } = parts
  const suspicions = Suspicions.create(parts)
  const memories = new Map<string, Audit.Memory>()
  const observations = new Map<string, Audit.Observed>()
  const tries = Demanding.createTries()
  const settled: LogRound.Settled = new Map()
  const registered = Registered.create(crypto, store)
  const strikes = Strikes.create()
  // Of logs that show no entries: the one to demand next.
  const demanded = new Map<string, bigint>()
  let turn = 0
  // Files written since the last whole round, whatever wrote them.
  const fresh: string[] = []

  /** Written down and judged on the spot: an answer that just came may be evidence against its own receipt. */
  async function suspect(found: readonly Fault.Fault[]): Promise<readonly string[]> {
    await suspicions.add(found)
    if (found.length === 0) return []
    return judge()
  }

  async function judge(): Promise<readonly string[]> {
    const made = await suspicions.judge()
    fresh.push(...made)
    return made
  }

  /** Says whether the chain knows a log under its key; undefined when it cannot be asked. */
  async function isRegistered(named: LogRound.Named | undefined): Promise<boolean | undefined> {
    if (named === undefined) return false
    if (chain === undefined || (await registered.has(Registered.log(named))))
      return chain === undefined ? undefined : true
    const record = await unlessUnavailable(Evidence.logOf(crypto, chain, named).then((found) => ({ found })))
    if (record?.found !== undefined) await markLog(named)
    return record === undefined ? undefined : record.found !== undefined
  }

  /** False entries accuse a log without its key. */
  async function markLog(named: LogRound.Named): Promise<void> {
    await registered.mark(Registered.log(named))
    await registered.mark(Registered.anyLog(named))
  }

  /** Whether the endpoint may show blocks before the log was there: they say nothing about it. What it never shows is struck later. */
  async function isBefore(pledge: Uint8Array): Promise<boolean> {
    const newest = chain === undefined ? undefined : await unlessUnavailable(chain.newest())
    return newest === undefined || newest < Pledge.parse(pledge).issuedAtBlock + Strikes.marginBlocks
  }

  /** Says whether the chain knows a key as that of the node that its head names; undefined when it cannot be asked. */
  async function isNodeKey({ head, publicKey }: WatchOfNode.SignedHead): Promise<boolean | undefined> {
    const name = Registered.nodeKey(head.subarray(1, 65), publicKey)
    if (chain === undefined || (await registered.has(name))) return chain === undefined ? undefined : true
    const asked = Evidence.isRegistered(crypto, chain, WatchOfNode.signerOf(head), publicKey, roles.node)
    const isOne = await unlessUnavailable(asked)
    if (isOne === true) await registered.mark(name)
    return isOne
  }

  /** A witness that the chain knows as one; who is not there can not be accused. */
  async function witnessOf(named: Omit<LogRound.Named, 'logId'>): Promise<Registration | undefined> {
    const known = await registered.registrationOf(named)
    if (chain === undefined) return known
    // A reorganisation may give it another epoch: what was seen before only stands in for what is not shown now.
    const found = await unlessUnavailable(chain.registrationOf(Cose.keyId(crypto, named.publicKey)))
    if (found === undefined || found.role !== roles.witness) return known
    await registered.markWitness(named, found)
    return found
  }

  async function sawState({ pledge, logKey, leafHash, checkpoint }: Stated): Promise<void> {
    const { size, root, signature, proof, cosignatures } = checkpoint
    const domain = { chainId: pledge.chainId, anchorLog: pledge.anchorLog, logId: pledge.logId }
    const leaves = WatchOfLog.leavesOf({ index: pledge.leafIndex, leafHash, proof, size })
    const log = { ...domain, tag: 'checkpoint', publicKey: logKey } as const
    const isOfLog = await WatchOfLog.isSigned(crypto, log, { size, root, signature })
    // Anybody makes up logs: those that the chain does not know take no place of the others.
    if (isOfLog && (await isRegistered(log)) !== false) await Logs.keep(store, log)
    const found = await WatchOfLog.saw(crypto, store, log, { size, root, signature, leaves })
    await suspect(found.map((one) => LogRound.toFault(log, one)))
    // Others are no part of any receipt.
    for (const line of cosignatures.slice(0, Bundle.maxCosignatures)) {
      if (line.publicKey.length !== 64) continue
      const speaker = { ...domain, tag: 'cosign', publicKey: line.publicKey } as const
      const state = { size, root, signature: line.signature, leaves }
      if (!(await WatchOfLog.isSigned(crypto, speaker, state))) continue
      const witness = await witnessOf({ ...domain, publicKey: line.publicKey })
      if (witness === undefined) continue
      const { nodeId, keyEpoch } = witness
      const said = await WatchOfLog.saw(crypto, store, speaker, state)
      await suspect(
        said.map(({ stateA, stateB, index }) => ({
          class: 6 as const,
          evidence: {
            ...{ ...domain, publicKey: line.publicKey, nodeId, keyEpoch },
            ...{ stateA: signed(stateA), stateB: signed(stateB), ...(index === undefined ? {} : { index }) },
          },
        })),
      )
    }
  }

  /** What was demanded and came on chain: a head like any other, and a leaf like that of the log's files. */
  async function sawAnswer(
    at: ChainAccess,
    answer: Demanding.Answered,
    promises: readonly Pick<Kept, 'promised'>[],
  ): Promise<void> {
    await suspect(await WatchOfNode.saw(crypto, store, answer))
    for (const { promised } of promises)
      await suspect((await unlessUnavailable(Audit.answered({ crypto, chain: at }, answer, promised))) ?? [])
  }

  /** What the court wrote down about a log serves all promises that name it. */
  function lookingFor(at: ChainAccess, named: LogRound.Named): Parameters<typeof Audit.look>[0] {
    const name = Logs.nameOf(named)
    const observed = observations.get(name) ?? Audit.createObserved()
    observations.set(name, observed)
    return { crypto, chain: at, observe: parts.observe, observed }
  }

  /** One log with all promises that name it. */
  async function follow(
    at: ChainAccess,
    named: LogRound.Named,
    promises: readonly Kept[],
    isWhole: boolean,
  ): Promise<void> {
    const round = { ...parts, chain: at }
    const log = await LogRound.open(round, named)
    if (log === undefined) return strike(named, promises, await at.newest())
    await markLog(named)
    suspicions.sawBlock(log.head.block)
    const looking = lookingFor(at, named)
    let isAsked = false
    for (const { name, promised } of promises) {
      const memory = memories.get(name) ?? {}
      memories.set(name, memory)
      const outcome = await Audit.look(looking, log, promised, memory)
      await suspicions.add(outcome.faults)
      if (outcome.state === 'kept') {
        const { issuedAtBlock } = Pledge.parse(promised.pledge)
        // Until the deadline a reorganisation can still take the leaf back.
        if (log.head.block > issuedAtBlock + log.record.pledgeBlocks) await forget(name)
      }
      await demand(at, log, name, promised, outcome.state === 'withheld')
      if (outcome.state === 'withheld')
        await suspicions.add(await Audit.neverShown({ chain: at }, log, promised, memory))
      isAsked ||= outcome.state === 'withheld'
    }
    await neighbours(
      round,
      log,
      promises.map(({ promised }) => Pledge.parse(promised.pledge).leafIndex),
      isAsked,
    )
    const said: WatchOfLog.Contradiction[] = []
    const [first] = promises
    if (isWhole && first !== undefined) {
      said.push(...(await LogRound.published(round, log, Pledge.parse(first.promised.pledge).leafIndex)))
      said.push(...(await LogRound.recorded(round, log, await at.hints(named.logId, fromBlockOf(promises)))))
    }
    said.push(...(await LogRound.compare(round, log, settled)))
    await suspicions.add(said.map((one) => LogRound.toFault(named, one)))
  }

  /**
   * The chain shows no such log, again and again: it owes nothing, and must not fill the memory. One that was once registered is only
   * not shown now.
   */
  async function strike(named: LogRound.Named, promises: readonly Kept[], newest: bigint): Promise<void> {
    if (await registered.has(Registered.log(named))) return
    for (const { name, promised } of promises)
      if (strikes.isOut(name, newest, Pledge.parse(promised.pledge).issuedAtBlock)) await forget(name)
  }

  /** Promises for a receipt that is final; `pledge`: the one whose leaf is shown to be there. */
  async function ended(at: ChainAccess, { named, promises }: Group, pledge: Uint8Array | undefined): Promise<void> {
    const round = { ...parts, chain: at }
    const log = await LogRound.open(round, named)
    if (log === undefined) return
    await markLog(named)
    suspicions.sawBlock(log.head.block)
    const looking = lookingFor(at, named)
    for (const { name, promised } of promises) {
      // Nothing that earlier rounds remember counts here: a reorganisation may have taken back what they saw in time.
      const outcome = await Audit.look(looking, log, promised, {})
      await suspicions.add(outcome.faults)
      const { issuedAtBlock } = Pledge.parse(promised.pledge)
      const isPast = log.head.block > issuedAtBlock + log.record.pledgeBlocks
      const isShown = pledge !== undefined && Bytes.equal(promised.pledge, pledge)
      // A log that shows no tiles hides nothing about a leaf that is shown already.
      if (isShown ? outcome.state !== 'open' : outcome.state === 'kept' && isPast) await forget(name)
    }
    const indices = promises.map(({ promised }) => Pledge.parse(promised.pledge).leafIndex)
    await neighbours(round, log, indices, false)
  }

  /** What stands in the log beside this client's own receipts, and in their places. */
  async function neighbours(
    round: LogRound.Parts,
    log: LogRound.Log,
    own: readonly bigint[],
    isAsked: boolean,
  ): Promise<void> {
    const name = Logs.nameOf(log.speaker)
    const { logId } = log.speaker
    const { size, block } = log.head
    const { heads, unshown, withheld } = await Neighbours.look(round, log, own, turn++)
    for (const head of heads) await suspect(await WatchOfNode.saw(crypto, store, head))
    // An entry stands for a head. Who hides that of a place where another one stands has a reason.
    for (const index of unshown)
      if (tries.isDue(`${name}/${index}`, block)) await demandEntry(round.chain, logId, index)
    // Of entries that the log does not show, or shows false, one after the other is demanded, once the own ones are there.
    if (withheld === undefined || isAsked) tries.forget(`${name}/entries`)
    else if (tries.isDue(`${name}/entries`, block)) {
      const next = demanded.get(name) ?? withheld
      const index = next < withheld || next >= size ? withheld : next
      demanded.set(name, index + 1n)
      tries.forget(`${name}/entries`)
      await demandEntry(round.chain, logId, index)
    }
  }

  async function demand(
    at: ChainAccess,
    log: LogRound.Log,
    name: string,
    promised: Promises.Promised,
    isWithheld: boolean,
  ): Promise<void> {
    const { logId, leafIndex } = Pledge.parse(promised.pledge)
    if (!isWithheld) return tries.forget(name)
    if (tries.isDue(name, log.head.block)) await demandEntry(at, logId, leafIndex, [{ promised }])
  }

  /** What a limit or the chain forbids now is asked for again when it is due again. */
  async function demandEntry(
    at: ChainAccess,
    logId: Uint8Array,
    index: bigint,
    promises: Parameters<typeof sawAnswer>[2] = [],
  ): Promise<void> {
    const answer = await Demanding.unlessRefused(parts.demands?.entry(logId, index) ?? Promise.resolve(undefined))
    if (answer !== undefined) await sawAnswer(at, answer, promises)
  }

  async function sawHead(seen: WatchOfNode.SignedHead): Promise<void> {
    // Whom the chain does not know as a node's key is not looked for in logs.
    if ((await isNodeKey(seen)) !== false) await WatchOfNode.keepSigner(crypto, store, seen)
    if (await WatchOfNode.isSigned(crypto, seen)) await Neighbours.cameBeside(parts, seen)
    await suspect(await WatchOfNode.saw(crypto, store, seen))
  }

  async function forget(name: string): Promise<void> {
    await store.remove('promises', name)
    memories.delete(name)
    tries.forget(name)
    strikes.forget(name)
  }

  /** Only what no reorganisation takes back ends a promise: a record that is lost is made anew as long as the promise is there. */
  async function isRecorded(id: string): Promise<boolean> {
    const filing = (await faults.load(id))?.filing
    if (filing?.isFinal !== true) return false
    if (filing.stage === 'covered' && filing.coveredBy !== undefined && filing.coveredBy !== id)
      return isRecorded(filing.coveredBy)
    // Nothing is left to take from whom it accuses: there is nothing to wait for.
    if (filing.stage === 'covered') return filing.reason === 'nothing-left'
    return filing.stage !== 'refused'
  }

  /** Receipts whose promise is broken for good, once that is on record; their promises are followed no longer. */
  async function close(promises: readonly Kept[]): Promise<string[]> {
    const closed = new Set<string>()
    const breakers = await suspicions.breaking()
    for (const { name, promised } of promises) {
      for (const id of breakers(promised.pledge, memories.get(name)?.isMissing === true)) {
        if (!(await isRecorded(id))) continue
        await forget(name)
        closed.add(Promises.receiptHashOf(name))
      }
    }
    return [...closed]
  }

  return {
    async assertRoom() {
      if ((await store.list('promises')).length >= limits.promises) throw new FullError('promises')
    },
    async sawLogs(logs) {
      for (const log of logs) if ((await isRegistered(log)) === true) await Logs.keep(store, log)
    },
    sawHead,
    async sawPledge(promised) {
      const named = namedIn(promised)
      if (named === undefined) return
      // Whom the chain does not know owes nothing, and must not fill the memory. Without an answer the promise is kept.
      if ((await isRegistered(named)) === false && !(await isBefore(promised.pledge))) return
      await Promises.keep(crypto, store, promised)
    },
    sawUnopened: (unopened) => Demanding.keep(crypto, store, unopened),
    sawState,
    async round(receiptHash) {
      const before = fresh.length
      const defects: unknown[] = []
      const promises = await Promises.all(store, receiptHash)
      if (chain !== undefined) {
        const logs = receiptHash === undefined ? await Logs.all(store) : []
        for (const group of byLog(promises, logs)) {
          // What goes wrong with one log holds back neither the others nor what is to be judged.
          const following = follow(chain, group.named, group.promises, receiptHash === undefined)
          await unlessUnavailable(following).catch((error) => defects.push(error))
        }
        if (receiptHash === undefined && parts.demands !== undefined) {
          const { demands } = parts
          await unlessUnavailable(Demanding.round({ ...parts, chain, demands, tries }))
          for (const answer of (await Demanding.unlessRefused(demands.follow())) ?? [])
            await sawAnswer(chain, answer, promises)
        }
      }
      await judge()
      if (receiptHash === undefined) fresh.push(...(await suspicions.judgeUnplaced()))
      const closed = await close(promises)
      if (defects.length > 0) throw defects[0]
      return { faults: receiptHash === undefined ? fresh.splice(0) : fresh.slice(before), closed }
    },
    async kept(receiptHash, pledge) {
      const promises = await Promises.all(store, receiptHash)
      if (chain === undefined) return
      for (const group of byLog(promises)) await unlessUnavailable(ended(chain, group, pledge))
      await judge()
    },
    about: (bundle, limit) => suspicions.about(Accused.keysOf(bundle), limit),
  }
}

function signed(state: Fault.State): Fault.F6['stateA'] {
  return { ...state, signature: state.signature as Uint8Array }
}

/** The log of a pledge; undefined for words that are none. */
function namedIn({
  pledge,
  logKey,
}: {
  readonly pledge: Uint8Array
  readonly logKey: Uint8Array
}): LogRound.Named | undefined {
  try {
    const { chainId, anchorLog, logId } = Pledge.parse(pledge)
    return { chainId, anchorLog, logId, publicKey: logKey }
  } catch (error) {
    if (BaseError.isInstance(error)) return undefined
    throw error
  }
}

type Kept = { readonly name: string; readonly promised: Promises.Promised }
type Group = { readonly named: LogRound.Named; readonly promises: readonly Kept[] }

function byLog(promises: readonly Kept[], logs: readonly LogRound.Named[] = []): readonly Group[] {
  const groups = new Map<string, Group & { readonly promises: Kept[] }>()
  for (const named of logs) groups.set(Logs.nameOf(named), { named, promises: [] })
  for (const one of promises) {
    const named = namedIn(one.promised)
    if (named === undefined) continue
    const key = Logs.nameOf(named)
    const group = groups.get(key) ?? { named, promises: [] }
    group.promises.push(one)
    groups.set(key, group)
  }
  return [...groups.values()]
}

function fromBlockOf(promises: Group['promises']): bigint {
  const blocks = promises.map(({ promised }) => Pledge.parse(promised.pledge).issuedAtBlock)
  return leastOf(blocks) ?? 0n
}

function leastOf(numbers: readonly bigint[]): bigint | undefined {
  return [...numbers].sort((a, b) => (a < b ? -1 : 1))[0]
}

/** What cannot be asked now is asked in the next round: of a round that breaks off, what was found stays. */
async function unlessUnavailable<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (BaseError.isInstance(error) && error.action !== 'fix') return undefined
    throw error
  }
}
