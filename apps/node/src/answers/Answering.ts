/**
 * Answering.ts - answers the cases against a daemon's node and logs in time, for as long as the daemon runs.
 * Source: spec/faults.md section 6.
 *
 * Round by round: the contract's count of open cases is compared with the cases known here; if there are more, events are
 * read, forward from where the last round stopped and then backward. Every open case is answered; a failed attempt is
 * made again with a bounded back-off. An entry whose case has expired is shown all the same: until somebody does, its pledge
 * counts as missing. Nothing that is opened stands in an event or a file of this service.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ContractCall, FaultCasesContract, type Rpc, type Sender } from 'assay/chain'
import { Bytes, type Crypto, errors } from 'assay/protocol'
import type { ReceiptStore } from '../receipts/ReceiptStore.ts'
import * as Answer from './Answer.ts'
import * as CasesView from './CasesView.ts'
import * as Forgetting from './Forgetting.ts'
import * as Ledger from './Ledger.ts'
import type { LogPort } from './Places.ts'

/** What happened; without content. */
export type Event =
  | { readonly kind: 'opened' | 'settled'; readonly case: CasesView.Case }
  | { readonly kind: 'answered'; readonly case: CasesView.Case; readonly answer: Answer.Kind }
  | { readonly kind: 'unanswered'; readonly case: CasesView.Case; readonly code: string }
  | { readonly kind: 'withdrawn'; readonly wei: bigint }
  | { readonly kind: 'forgotten'; readonly count: number }
  | { readonly kind: 'trouble'; readonly code: string }

/** The service round by round, for whoever keeps its time. */
export type Rounds = {
  /** Cases known as open. */
  readonly open: () => readonly CasesView.Case[]
  /** Makes one round and never rejects; gives the milliseconds until the next one is due. */
  readonly round: () => Promise<number>
}

/** A running service. */
export type Answering = Pick<Rounds, 'open'> & {
  /** Ends after the transaction under way. */
  readonly stop: () => Promise<void>
}

/** A block that was seen is taken back at most so deep without the next rounds noticing; deeper, the count still tells. */
const reorganisedBlocks = 64n
/** Blocks after which events are read although the count fits: far fewer than a case takes to expire. */
const blocksBetweenReads = 32n
/** Ranges of `CasesView.maxRange` blocks that one round reads on, and as many that it looks back. */
const maxLooks = 50
const maxBackOffMs = 30_000
/** The place in the file moves when it is this far behind: reading the same blocks again costs nothing but time. */
const lazyBlocks = 200n
/** Gas of `withdrawCredit` with room; less credit than three times its cost stays where it is. */
const withdrawGas = 60_000n

/**
 * What answering needs.
 *
 * - `folder`: of the node, for `answers.json`; `nodeId`: 32 bytes; `pollMs`: between rounds, default 2,000
 * - `sweepMs`: between looks for openings to throw away, default 30,000
 */
export type Options = {
  readonly folder: string
  readonly crypto: Crypto
  readonly rpc: Rpc.Rpc
  readonly sender: Pick<Sender.Sender, 'address' | 'send'>
  readonly contracts: CasesView.Contracts
  readonly nodeId: Uint8Array
  readonly logs: readonly LogPort[]
  readonly store: Pick<ReceiptStore, 'byHash' | 'opened' | 'forgetOpenings'>
  readonly onEvent: (event: Event) => void
  readonly pollMs?: number
  readonly sweepMs?: number
  /** Default: `Forgetting.minKeptBlocks`. */
  readonly minKeptBlocks?: bigint
  /** Default: `Forgetting.confirmMs`. */
  readonly confirmMs?: number
}

/** Starts answering. */
export function startAnswering(options: Options): Answering {
  const stopping = new AbortController()
  const { open, round } = createRounds(options, { signal: stopping.signal, nowMs: () => performance.now() })
  const running = (async () => {
    while (!stopping.signal.aborted) {
      const ms = await round()
      await sleep(ms, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  })()
  return {
    open,
    stop: async () => {
      stopping.abort()
      await running
    },
  }
}

/** The rounds of the service; `signal` ends one early, `nowMs`: a clock that never turns back. */
export function createRounds(
  options: Options,
  { signal, nowMs }: { readonly signal: AbortSignal; readonly nowMs: () => number },
): Rounds {
  const { folder, crypto, rpc, sender, contracts, logs, store, onEvent } = options
  const pollMs = options.pollMs ?? 2_000
  const sweepMs = options.sweepMs ?? 30_000
  const subjects = [options.nodeId, ...logs.map(({ logId }) => logId)]
  const view = CasesView.create({ crypto, rpc, contracts, subjects })
  const forgetting = Forgetting.create({
    ...{ view, logs, store, minKeptBlocks: options.minKeptBlocks, confirmMs: options.confirmMs },
  })
  const contract = `${rpc.chainId}/${Bytes.to0x(contracts.faultCases)}`

  const stored = Ledger.read(folder, contract)
  let ledger = stored ?? { scannedTo: 0n, cases: [] }
  let isNew = stored === undefined
  let written = ledger
  /** Blocks at and above were looked at in looking back; undefined while the count fits. */
  let lookedDownTo: bigint | undefined
  const open = new Map<string, CasesView.Case>()
  /** Entries whose cases have expired and that nobody has shown yet. */
  const late = new Map<string, CasesView.Case>()
  /** Of those, what is not held here. */
  const lost = new Set<string>()
  /** What happened while this service was away was read: a case may have been opened and expired meanwhile. */
  let isCaughtUp = false
  const attempts = new Map<string, { failures: number; notBeforeMs: number }>()
  let isCredited = true
  let sweptAtMs = Number.NEGATIVE_INFINITY

  const nameOf = (one: CasesView.Case) => Bytes.toHex(one.caseId)
  const knows = (one: CasesView.Case) => ledger.cases.some((known) => Bytes.equal(known.caseId, one.caseId))

  function learn(found: readonly CasesView.Case[], scannedTo: bigint): void {
    const fresh = found.filter((one) => !knows(one))
    ledger = { scannedTo, cases: [...ledger.cases, ...fresh] }
  }

  /** Asks the contract about every known case; those that are over for good are dropped. */
  async function review(newest: bigint): Promise<void> {
    const kept: CasesView.Case[] = []
    for (const one of ledger.cases) {
      const name = nameOf(one)
      // The next start may find what was put back meanwhile.
      if (lost.has(name)) {
        kept.push(one)
        continue
      }
      const { state, openedAtBlock } = await view.stateOf(one.caseId)
      if (state === 'open') {
        const current = { ...one, openedAtBlock }
        if (!open.has(name)) onEvent({ kind: 'opened', case: current })
        open.set(name, current)
        kept.push(current)
        continue
      }
      if (open.delete(name)) onEvent({ kind: 'settled', case: one })
      const isLate = state === 'expired' && one.class === 17
      if (isLate) late.set(name, one)
      else {
        late.delete(name)
        attempts.delete(name)
      }
      if (!(await isOver(one, state, newest))) kept.push(one)
    }
    const isChanged = kept.some((one, i) => one !== ledger.cases[i]) || kept.length !== ledger.cases.length
    if (isChanged) ledger = { ...ledger, cases: kept }
  }

  /** Whether nothing more can come of a case: an answer can be taken back with its block, and so can the opening. */
  async function isOver(one: CasesView.Case, state: CasesView.CaseState['state'], newest: bigint): Promise<boolean> {
    if (state === 'none' && newest <= one.openedAtBlock + reorganisedBlocks) return false
    try {
      const final = (await view.stateOf(one.caseId, 'finalized')).state
      if (state === 'none') return final === 'none' && (await view.finalized()) > one.openedAtBlock
      return final === 'answered' || (final === 'expired' && one.class !== 17)
    } catch (error) {
      // Where no block is named as final nothing is over, and no other case waits for it.
      if (errors.BaseError.isInstance(error)) return false
      throw error
    }
  }

  async function look(): Promise<void> {
    const newest = await view.newest()
    await review(newest)
    const counts = await Promise.all(subjects.map(view.count))
    const count = counts.reduce((sum, one) => sum + one, 0)
    if (ledger.scannedTo > newest) {
      // Ahead of the chain: what is between is read again; by far: a lie, or another chain, and the place says nothing.
      isCaughtUp = false
      isNew ||= ledger.scannedTo > newest + reorganisedBlocks
      ledger = { ...ledger, scannedTo: newest }
    }
    if (isNew) {
      // Without a ledger: as far back as a case can have been opened whose entry has still time to be shown.
      const { answerBlocks, openWindowBlocks } = await view.terms()
      const back = answerBlocks + openWindowBlocks
      ledger = { ...ledger, scannedTo: newest > back ? newest - back : 0n }
      isNew = false
    }
    // Now and then whatever the count says: it tells nothing of a case that came and expired while the chain was out of reach.
    if (count > open.size || !isCaughtUp || newest - ledger.scannedTo >= blocksBetweenReads) {
      isCaughtUp = await readOn(newest)
      if (signal.aborted) return
      await review(newest)
    }
    if (count > open.size) await lookBack(newest, count)
    else lookedDownTo = undefined
  }

  /** Reads new events, as far as one round goes; says whether that is all of them. */
  async function readOn(newest: bigint): Promise<boolean> {
    let start = ledger.scannedTo > reorganisedBlocks ? ledger.scannedTo - reorganisedBlocks : 0n
    for (let looks = 0; looks < maxLooks && start <= newest; looks++) {
      if (signal.aborted) return false
      const end: bigint = start + CasesView.maxRange - 1n < newest ? start + CasesView.maxRange - 1n : newest
      learn(await view.opened(start, end), end)
      start = end + 1n
    }
    return start > newest
  }

  /** The contract counts more than the new events tell: a folder that was lost or older, or a chain that was reorganised. */
  async function lookBack(newest: bigint, count: number): Promise<void> {
    if (lookedDownTo === undefined || lookedDownTo > newest + 1n) lookedDownTo = newest + 1n
    for (let looks = 0; looks < maxLooks && lookedDownTo > 0n && count > open.size; looks++) {
      if (signal.aborted) return
      const end: bigint = lookedDownTo - 1n
      const start: bigint = end >= CasesView.maxRange ? end - CasesView.maxRange + 1n : 0n
      const found = await view.opened(start, end)
      if (found.length > 0) {
        learn(found, ledger.scannedTo)
        await review(newest)
      }
      lookedDownTo = start
    }
    // All of it, and one is still missing: perhaps the next look at the count is of another block.
    if (lookedDownTo === 0n) lookedDownTo = undefined
  }

  function remember(): void {
    const isNear = ledger.scannedTo - written.scannedTo < lazyBlocks
    if (ledger.cases === written.cases && isNear) return
    Ledger.write(folder, contract, ledger)
    written = ledger
  }

  async function answerOne(one: CasesView.Case): Promise<void> {
    const name = nameOf(one)
    const attempt = attempts.get(name) ?? { failures: 0, notBeforeMs: 0 }
    if (nowMs() < attempt.notBeforeMs) return
    try {
      const { kind, data } = await Answer.of({ crypto, view, logs, store }, one)
      await sender.send({ to: contracts.faultCases, data })
      isCredited = true
      attempts.delete(name)
      onEvent({ kind: 'answered', case: one, answer: kind })
    } catch (error) {
      if (late.has(name) && error instanceof Answer.UnknownSubjectError) lost.add(name)
      const failures = attempt.failures + 1
      attempts.set(name, { failures, notBeforeMs: nowMs() + backOff(failures) })
      onEvent({ kind: 'unanswered', case: one, code: codeOf(error) })
    }
  }

  function backOff(failures: number): number {
    return Math.min(maxBackOffMs, pollMs * 2 ** Math.min(failures - 1, 10))
  }

  async function withdraw(): Promise<void> {
    const wei = await view.credit(sender.address)
    isCredited = false
    if (wei === 0n || wei < 3n * withdrawGas * (await view.gasPrice())) return
    const call = { abi: FaultCasesContract.abi, functionName: 'withdrawCredit', args: [] } as const
    await sender.send({ to: contracts.faultCases, data: ContractCall.encode(call) })
    onEvent({ kind: 'withdrawn', wei })
  }

  async function sweep(): Promise<void> {
    if (nowMs() - sweptAtMs < sweepMs) return
    const count = await forgetting.sweep(ledger.cases, nowMs())
    // A full one has more behind it.
    if (count < Forgetting.maxRows) sweptAtMs = nowMs()
    if (count > 0) onEvent({ kind: 'forgotten', count })
  }

  async function answerAll(): Promise<void> {
    // The one that ends first comes first.
    const due = [...open.values()].sort((a, b) => (a.openedAtBlock < b.openedAtBlock ? -1 : 1))
    for (const one of [...due, ...late.values()]) {
      if (signal.aborted) return
      await answerOne(one)
    }
  }

  async function work(): Promise<void> {
    const causes: unknown[] = []
    // What the endpoint or the disk refuses keeps no case that is known from its answer.
    for (const part of [look, async () => remember(), answerAll]) await part().catch((cause) => causes.push(cause))
    if (isCredited) await withdraw()
    if (causes.length > 0) throw causes[0]
    await sweep()
  }

  let failures = 0
  let lastCode: string | undefined

  return {
    open: () => [...open.values()],
    async round() {
      try {
        await work()
        failures = 0
        lastCode = undefined
        return pollMs
      } catch (error) {
        failures++
        const code = codeOf(error)
        if (code !== lastCode) onEvent({ kind: 'trouble', code })
        lastCode = code
        return backOff(failures)
      }
    },
  }
}

/** Never the message: it may quote what was sent. */
function codeOf(error: unknown): string {
  return errors.BaseError.isInstance(error) ? error.code : 'failed'
}
