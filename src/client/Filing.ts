/**
 * Filing.ts - takes fault files to the court: commit, wait, file, fetch the reward. Every step is written down before it is
 * taken and looked up on the chain after it, so it may be cut off anywhere and repeated. Source: spec/faults.md section 4.
 *
 * The call is written down before its commitment is sent: a commitment whose call is lost is worth nothing. What the court
 * would refuse is never committed, nor what takes nothing. Of many files that show one fault one is filed. That a fault is on
 * record is believed by a state proof, and for good only under a final block.
 */
import * as CaseCalls from '../chain/CaseCalls.ts'
import * as CourtCalls from '../chain/CourtCalls.ts'
import * as FaultCalls from '../chain/FaultCalls.ts'
import * as Rpc from '../chain/Rpc.ts'
import { CallRevertedError, TransactionLostError } from '../chain/Sender.ts'
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import { BaseError, UnavailableError } from '../protocol/errors.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Pledge from '../protocol/Pledge.ts'
import type { Court } from './Court.ts'
import * as CourtProofs from './CourtProofs.ts'
import * as Evidence from './Evidence.ts'
import type { FaultStore, FilingState } from './Stores.ts'

/** What filing needs. */
export type Options = {
  readonly crypto: Crypto
  readonly court: Court
  readonly faults: FaultStore
  /** Random bytes of a length. */
  readonly random: (length: number) => Uint8Array
  /** Only the fault that this file shows (SHA-256 of the file, hex). */
  readonly only?: string
}

/** How far one fault has come. */
export type Progress = {
  /** The file that stands for the fault. */
  readonly id: string
  /** 32 bytes; undefined for a file that cannot be read. */
  readonly faultId: Hash | undefined
  readonly incident: Fault.Incident | undefined
  readonly stage: FilingState['stage']
  /** What the next step waits for; undefined when there is none. */
  readonly waits: 'commitment' | 'chain' | 'finality' | 'court' | undefined
  /** First block in which the next step can be taken. */
  readonly untilBlock?: bigint
  /** Name of the contract's error, the code of the file's, or `nothing-left`: the subject has ended and has nothing to lose. */
  readonly reason?: string
  /** What the reporter got, token units. */
  readonly reward?: bigint
  /** Who is on record, 20 bytes. */
  readonly reporter?: Uint8Array
  /** Further files of the same fault. */
  readonly others: number
}

/** What `advance` did. */
export type Report = { readonly faults: readonly Progress[] }

/** Refusals by the bytes of a file: they stay what they are whatever the chain does. */
const lasting: ReadonlySet<string> = new Set([
  ...['MalformedHead', 'ForeignHead', 'SameHead', 'FieldsDiffer', 'LinkCorrect', 'LeafEqual', 'MalformedEntry'],
  ...['OtherReceipt', 'EntryCorrect', 'BadSignature', 'NotContradictory', 'Kept', 'NotWithheld'],
])
// A step leads to at most all others, and back once after a reorganisation.
const mostSteps = 12
// What fails in blocks this often although it passes before it, only costs.
const mostTries = 3
// Each one that the court refuses costs a question; the others are asked about when these are final.
const mostCandidates = 8
// One file must not hold back the others; an endpoint that is away is not asked about all of them.
const mostFailures = 8
// Marking a file as covered is a write to the disk; the next call goes on.
const mostCovered = 1_000

// Of a file that is not filed.
const nothingToSend = { salt: new Uint8Array(0), callData: new Uint8Array(0), reporter: new Uint8Array(0) }

type Known = { readonly incident: Fault.Incident; readonly faultId: Hash; readonly key: string }
type Context = Options & { readonly known: Map<string, Known | string> }
type Step = { readonly state: FilingState; readonly waits?: Progress['waits'] } | 'begin'

// Files are named by their content, so what was read of one stays true.
const readBefore = new WeakMap<FaultStore, Map<string, Known | string>>()
const running = new WeakMap<FaultStore, Promise<unknown>>()

/**
 * Takes every fault one step further, or as many as need no waiting; calls of one process on one store follow each other.
 *
 * Throws: `Sender.NoCoinError` with the address to fund, `Filing.PreflightError`, `Rpc.RequestError`, `Rpc.LieError`: the
 * first of what went wrong, after the other files were taken on; what was reached is written down.
 *
 * @example
 * const report = await Filing.advance({ crypto, court, faults, random })
 */
export function advance(options: Options): Promise<Report> {
  const before = running.get(options.faults) ?? Promise.resolve()
  const now = before.then(() => advanceAll(options))
  const settled = now.catch(() => undefined)
  running.set(options.faults, settled)
  return now
}

/**
 * Has the court write down how large a log is now, so that a pledge whose deadline has passed stays provably late.
 *
 * - returns: the number of the block, for `how` 2 of a fault file
 *
 * Throws: as `Sender.send`.
 */
export async function observe(court: Court, logId: Hash): Promise<bigint> {
  const to = court.contracts.faultCourt.address
  return (await court.sender.send({ to, data: CourtCalls.observe(logId) })).blockNumber
}

async function advanceAll(options: Options): Promise<Report> {
  const known = readBefore.get(options.faults) ?? new Map<string, Known | string>()
  readBefore.set(options.faults, known)
  const context = { ...options, known }
  const groups = new Map<string, string[]>()
  const terms = termsOf(context)
  const faults: Progress[] = []
  const failures: BaseError[] = []
  const unlessFailed = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    if (failures.length >= mostFailures) return undefined
    try {
      return await work()
    } catch (error) {
      if (!BaseError.isInstance(error)) throw error
      failures.push(error)
      return undefined
    }
  }
  for (const id of await options.faults.list('open')) {
    const one = await unlessFailed(() => read(context, id, terms))
    if (one === undefined) continue
    if (typeof one === 'string') {
      if (options.only === undefined || options.only === id) faults.push(await refuseUnread(context, id, one))
      continue
    }
    const group = groups.get(one.key)
    if (group === undefined) groups.set(one.key, [id])
    else group.push(id)
  }
  for (const ids of groups.values()) {
    if (options.only !== undefined && !ids.includes(options.only)) continue
    const progress = await unlessFailed(() => advanceFault(context, ids))
    if (progress !== undefined) faults.push(progress)
  }
  if (failures[0] !== undefined) throw failures[0]
  return { faults }
}

/** One fault: the file that is under way is taken on, else the first that the court does not refuse. */
async function advanceFault(context: Context, ids: readonly string[]): Promise<Progress> {
  const { faults } = context
  const states = new Map<string, FilingState | undefined>()
  // Among very many files one that is under way was found early: the first is taken.
  for (const id of ids.slice(0, mostCovered)) states.set(id, (await faults.load(id))?.filing)
  // What is under way, then what was not tried, then what was refused and may be taken now.
  const rank = (id: string) => {
    const stage = states.get(id)?.stage
    return stage === undefined ? 1 : stage === 'refused' ? 2 : 0
  }
  const candidates = [...states.keys()].sort((a, b) => rank(a) - rank(b)).slice(0, mostCandidates)
  let progress: Progress | undefined
  for (const id of candidates) {
    progress = await advanceFile(context, id, states.get(id), ids.length - 1)
    if (progress.stage !== 'refused') break
  }
  const lead = progress as Progress
  if (lead.stage === 'recorded' || lead.stage === 'rewarded' || lead.stage === 'covered') {
    const isFinal = lead.waits === undefined
    const faultId = lead.faultId as Hash
    const empty = { ...nothingToSend, reporter: lead.reporter ?? nothingToSend.reporter }
    for (const id of states.keys()) {
      if (id === lead.id || !isFinal) continue
      await faults.saveFiling(id, { stage: 'covered', faultId, ...empty, coveredBy: lead.id, isFinal })
    }
  }
  return lead
}

async function advanceFile(
  context: Context,
  id: string,
  initial: FilingState | undefined,
  others: number,
): Promise<Progress> {
  const one = context.known.get(id) as Known
  let state = initial
  let waits: Progress['waits']
  for (let steps = 0; steps < mostSteps; steps++) {
    const step = await take(context, id, one, state)
    if (step === 'begin') {
      state = undefined
      continue
    }
    if (step.state !== state) await context.faults.saveFiling(id, step.state)
    state = step.state
    waits = step.waits
    if (waits !== undefined || state.isFinal === true) break
  }
  const { stage, committedFromBlock, reason, reward, reporter } = state ?? { stage: 'committed' as const }
  return {
    ...{ id, faultId: one.faultId, incident: one.incident, stage, others },
    waits: state?.isFinal === true ? undefined : (waits ?? 'chain'),
    ...(waits === 'commitment' && committedFromBlock !== undefined ? { untilBlock: committedFromBlock } : {}),
    ...(reason === undefined ? {} : { reason }),
    ...(reward === undefined ? {} : { reward }),
    ...(stage !== 'committed' && reporter !== undefined && reporter.length > 0 ? { reporter } : {}),
  }
}

/** One step from a state, by what the chain says now. */
async function take(context: Context, id: string, one: Known, state: FilingState | undefined): Promise<Step> {
  if (state === undefined) return prepare(context, id, one)
  if (state.stage === 'refused' || state.stage === 'covered') {
    const step = await prepare(context, id, one)
    if (step === 'begin') return step
    const { stage, reason, isFinal = false } = step.state
    const isSame = stage === state.stage && reason === state.reason && !isFinal
    return isSame ? { state, waits: step.waits ?? 'court' } : step
  }
  if (state.stage === 'committed') return isOwn(context, state.reporter) ? file(context, id, one, state) : 'begin'
  if (state.stage === 'filed') return fetchReward(context, one, state)
  return finish(context, one, state)
}

/** Writes down a call that the court would record now. */
async function prepare(context: Context, id: string, one: Known): Promise<Step> {
  const { court, crypto, faults, random } = context
  const found = (await onRecord(context, one)) ?? (await atNothing(context, one))
  if (found !== undefined) return found
  const bytes = (await faults.load(id))?.file as Uint8Array
  const salt = random(32)
  const callData = FaultCalls.callDataOf(Fault.parse(bytes), salt)
  const reporter = court.sender.address
  const faultCourt = court.contracts.faultCourt.address
  const commitment = FaultCalls.commitment(crypto, { chainId: court.chainId, faultCourt, reporter, callData })
  const base = { faultId: one.faultId, salt, callData, reporter }
  try {
    await court.sender.call({ to: faultCourt, data: callData }, CourtCalls.asCommitted(crypto, faultCourt, commitment))
  } catch (error) {
    if (!(error instanceof CallRevertedError)) throw error
    if (error.errorName === 'NotCommitted') throw new PreflightError()
    return refuse(context, id, one, error.errorName)
  }
  return { state: { stage: 'committed', ...base } }
}

/** Commits, or files what is ripe. */
async function file(context: Context, id: string, one: Known, state: FilingState): Promise<Step> {
  const { court, crypto } = context
  const found = (await onRecord(context, one, state)) ?? (await atNothing(context, one))
  if (found !== undefined) return found
  const { callData, reporter } = state
  const faultCourt = court.contracts.faultCourt.address
  const commitment = FaultCalls.commitment(crypto, { chainId: court.chainId, faultCourt, reporter, callData })
  let from = await CourtCalls.committedFrom(court.rpc, faultCourt, commitment)
  try {
    if (from === 0n) {
      // Not sent yet, or taken back by a reorganisation; one that is used leaves a record, which was looked for.
      if (state.committedFromBlock !== undefined && !hasTries(state)) return giveUp(state, 'NotCommitted')
      const counted = state.committedFromBlock === undefined ? state : { ...state, tries: (state.tries ?? 0) + 1 }
      const { blockNumber } = await court.sender.send({ to: faultCourt, data: CourtCalls.commit(commitment) })
      from = await CourtCalls.committedFrom(court.rpc, faultCourt, commitment)
      // Written down, so that one that never shows is not paid for again and again.
      if (from === 0n) return { state: { ...counted, committedFromBlock: blockNumber }, waits: 'chain' }
      return { state: { ...counted, committedFromBlock: from } }
    }
    if (from !== state.committedFromBlock) return { state: { ...state, committedFromBlock: from } }
    const newest = await Rpc.askNumber(court.rpc, 'eth_blockNumber')
    // The next block is the first that can hold the call.
    if (newest + 1n < from) return { state, waits: 'commitment' }
    try {
      await court.sender.send({ to: faultCourt, data: callData })
    } catch (error) {
      // Endpoints try a call in the newest block, not in the next.
      if (isCalled(error, 'NotCommitted') && newest < from) return { state, waits: 'commitment' }
      throw error
    }
    return { state: { ...state, stage: 'filed' } }
  } catch (error) {
    if (error instanceof TransactionLostError) return { state, waits: 'chain' }
    if (!(error instanceof CallRevertedError)) throw error
    if (error.isMined) {
      if (!hasTries(state)) return giveUp(state, error.errorName)
      return { state: { ...state, tries: (state.tries ?? 0) + 1 } }
    }
    // Somebody was faster, or the commitment is gone: the next look tells.
    if (error.errorName === 'AlreadyRecorded' || error.errorName === 'NotCommitted') return { state, waits: 'chain' }
    return refuse(context, id, one, error.errorName)
  }
}

/** Whether one more transaction may fail. */
function hasTries({ tries = 0 }: FilingState): boolean {
  return tries + 1 < mostTries
}

function giveUp(state: FilingState, errorName: string | undefined): Step {
  const tries = (state.tries ?? 0) + 1
  return { state: { ...state, stage: 'refused', tries, reason: errorName ?? 'reverted', isFinal: true } }
}

/** What follows when the subject has ended and has nothing to lose: a filing would only cost. */
async function atNothing({ court, crypto }: Context, one: Known): Promise<Step | undefined> {
  const { subject } = one.incident
  if (!(await CourtProofs.hasNothingLeft(crypto, court, subject, 'latest'))) return undefined
  const isFinal = await CourtProofs.hasNothingLeft(crypto, court, subject, 'finalized')
  const state = { stage: 'covered', faultId: one.faultId, ...nothingToSend, reason: 'nothing-left', isFinal } as const
  return isFinal ? { state } : { state, waits: 'finality' }
}

async function fetchReward(context: Context, one: Known, state: FilingState): Promise<Step> {
  const { court, crypto } = context
  const faultCourt = court.contracts.faultCourt.address
  const record = await CourtProofs.recorded(crypto, court, one.faultId, 'latest')
  if (record === undefined) return again(context, one, state)
  const { reporter, reward } = record
  if (!isOwn(context, reporter)) return { state: { ...state, stage: 'recorded', reporter } }
  if (reward > 0n) {
    try {
      await court.sender.send({ to: faultCourt, data: CourtCalls.claimReward(one.incident) })
    } catch (error) {
      if (error instanceof TransactionLostError) return { state, waits: 'chain' }
      // Anybody may fetch it for its reporter.
      if (!isCalled(error, 'NoReward')) throw error
    }
  }
  return { state: { ...state, stage: 'rewarded', reward: reward > 0n ? reward : (state.reward ?? 0n) } }
}

/** A record is kept in mind until it can no longer vanish. */
async function finish(context: Context, one: Known, state: FilingState): Promise<Step> {
  const { court, crypto } = context
  const newest = await CourtProofs.recorded(crypto, court, one.faultId, 'latest')
  if (newest === undefined) return again(context, one, state)
  const isSame = Bytes.equal(newest.reporter, state.reporter)
  const isUnpaid = newest.reward > 0n && isOwn(context, newest.reporter)
  if (!isSame || isUnpaid)
    return {
      state: { ...state, stage: isOwn(context, newest.reporter) ? 'filed' : 'recorded', reporter: newest.reporter },
    }
  const settled = await CourtProofs.recorded(crypto, court, one.faultId, 'finalized')
  const isFinal =
    settled !== undefined && Bytes.equal(settled.reporter, state.reporter) && settled.reward === newest.reward
  return isFinal ? { state: { ...state, isFinal } } : { state, waits: 'finality' }
}

/** The state that follows from a record, whoever made it. */
async function onRecord(context: Context, one: Known, state?: FilingState): Promise<Step | undefined> {
  const { court, crypto } = context
  const record = await CourtProofs.recorded(crypto, court, one.faultId, 'latest')
  const base = state ?? { faultId: one.faultId, ...nothingToSend }
  if (record !== undefined) {
    const { reporter } = record
    return { state: { ...base, stage: isOwn(context, reporter) ? 'filed' : 'recorded', reporter } }
  }
  if (!(await isSaid(context, one))) return undefined
  return { state: state ?? { ...base, stage: 'refused', reason: 'AlreadyRecorded', isFinal: false }, waits: 'chain' }
}

/**
 * Whether the endpoint only says that a fault is on record: its newest block may be ahead of the one that it proves, or it lies.
 * Nothing is sent then, and nothing is given up.
 */
async function isSaid({ court }: Context, one: Known): Promise<boolean> {
  return (await CourtCalls.recorded(court.rpc, court.contracts.faultCourt.address, one.faultId)) !== undefined
}

/** After a reorganisation: what was written down is sent again; what another filed is begun anew. */
async function again(context: Context, one: Known, state: FilingState): Promise<Step> {
  if (await isSaid(context, one)) return { state, waits: 'chain' }
  return state.callData.length === 0 ? 'begin' : { state: { ...state, stage: 'committed' } }
}

async function refuse(context: Context, id: string, one: Known, errorName: string | undefined): Promise<Step> {
  const reason = errorName ?? 'reverted'
  const restsOnChain = reason === 'Kept' || reason === 'NotWithheld'
  const isFinal = lasting.has(reason) && !(await holds(context, id)) && (!restsOnChain || (await isKept(context, id)))
  const state: FilingState = { stage: 'refused', faultId: one.faultId, ...nothingToSend, reason, isFinal }
  return isFinal ? { state } : { state, waits: 'court' }
}

/**
 * Says whether a file shows its fault by its own bytes, for this chain and with what it says is anchored. That the court
 * refuses such bytes is only the endpoint's word, for which no evidence is given up. What class 4 shows is the chain's alone.
 */
async function holds({ court, crypto, faults }: Context, id: string): Promise<boolean> {
  const fault = Fault.parse((await faults.load(id))?.file as Uint8Array)
  const { evidence } = fault
  if (fault.class === 4) return false
  if ('headA' in evidence) {
    // Not read as a head: unknown bits are no way out of a fault.
    const domain = Bytes.concat(Bytes.u64(court.chainId), court.nodeRegistry)
    if (!Bytes.equal(evidence.headA.subarray(1, 1 + domain.length), domain)) return false
  }
  try {
    await Fault.judge(crypto, fault, Evidence.asSaid(fault).anchored)
    return true
  } catch (error) {
    if (BaseError.isInstance(error)) return false
    throw error
  }
}

/** Whether a pledge is kept for good: heads grow, but a block that is not final can be taken back. */
async function isKept({ court, crypto, faults }: Context, id: string): Promise<boolean> {
  const fault = Fault.parse((await faults.load(id))?.file as Uint8Array)
  if (fault.class !== 4) return true
  const { pledge, how, at } = fault.evidence
  const { logId, leafIndex } = Pledge.parse(pledge)
  if (how === 0) return CourtProofs.isCovered(crypto, court, logId, leafIndex)
  // Shown after all. A case that has not expired yet may still.
  if (how === 3) return CourtProofs.isAnswered(crypto, court, CaseCalls.entryCase(crypto, logId, leafIndex).caseId)
  // A step is named by its size.
  const size = how === 1 ? at : await CourtProofs.observed(crypto, court, logId, at)
  return size !== undefined && size > leafIndex
}

async function refuseUnread({ faults }: Context, id: string, reason: string): Promise<Progress> {
  const faultId = new Uint8Array(32)
  await faults.saveFiling(id, { stage: 'refused', faultId, ...nothingToSend, reason, isFinal: true })
  return { id, faultId: undefined, incident: undefined, stage: 'refused', waits: undefined, reason, others: 0 }
}

type Terms = Parameters<typeof FaultCalls.incidentOf>[1]

function termsOf({ court }: Options): Terms {
  let windows: ReturnType<typeof CourtCalls.fixedWindows> | undefined
  const blocks = new Map<string, Promise<bigint>>()
  return {
    async incidentBlocks() {
      windows ??= CourtCalls.fixedWindows(court.rpc, court.contracts.faultCourt.address)
      return (await windows).incidentBlocks
    },
    pledgeBlocks(logId) {
      const key = Bytes.toHex(logId)
      const asked = blocks.get(key) ?? CourtCalls.pledgeBlocks(court.rpc, court.anchorLog, logId)
      blocks.set(key, asked)
      return asked
    },
  }
}

/** What a file shows by its own words; a text is the code of why it cannot be read. */
async function read(context: Context, id: string, terms: Terms): Promise<Known | string | undefined> {
  const { crypto, faults, known } = context
  const before = known.get(id)
  if (before !== undefined) return before
  const loaded = await faults.load(id)
  if (loaded === undefined) return undefined
  let one: Known | string
  try {
    const incident = await FaultCalls.incidentOf(Fault.parse(loaded.file), terms)
    const faultId = Fault.faultId(crypto, incident)
    one = { incident, faultId, key: Bytes.toHex(faultId) }
  } catch (error) {
    // The chain's silence is no property of the file.
    if (!BaseError.isInstance(error) || error.action !== 'stop' || error.code.startsWith('rpc-')) throw error
    one = error.code
  }
  known.set(id, one)
  return one
}

function isOwn({ court }: Options, reporter: Uint8Array): boolean {
  return Bytes.equal(reporter, court.sender.address)
}

function isCalled(error: unknown, name: string): boolean {
  return error instanceof CallRevertedError && error.errorName === name
}

/** The endpoint runs calls without the storage that was to be assumed, so nothing can be tried before it costs. */
export class PreflightError extends UnavailableError<'preflight-unsupported'> {
  override readonly name = 'Filing.PreflightError'
  constructor() {
    super('preflight-unsupported', 'The chain endpoint cannot try a call with assumed storage; use another endpoint.', {
      facts: ['Method: eth_call with a state override'],
    })
  }
}
