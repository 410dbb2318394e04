/**
 * Cases.ts - asks a log for an entry that it withholds, and a node for a slot that it does not open, on chain and against a
 * bond. What is answered comes back as evidence; what is not becomes a fault. Source: spec/faults.md section 6.
 *
 * A case is written down before its bond is sent. The bond comes back unless the other side answers. One that never came to be
 * binds nothing once the final state shows that.
 */
import * as CaseCalls from '../chain/CaseCalls.ts'
import * as CourtCalls from '../chain/CourtCalls.ts'
import * as CourtEvents from '../chain/CourtEvents.ts'
import * as Rpc from '../chain/Rpc.ts'
import { CallRevertedError, TransactionLostError } from '../chain/Sender.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as ClaimsTree from '../protocol/ClaimsTree.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import { BaseError, PolicyError, UnavailableError } from '../protocol/errors.ts'
import type * as Fault from '../protocol/Fault.ts'
import * as Head from '../protocol/Head.ts'
import * as LogEntry from '../protocol/LogEntry.ts'
import * as Merkle from '../protocol/Merkle.ts'
import * as Collecting from './Collecting.ts'
import type { Court } from './Court.ts'
import * as CourtProofs from './CourtProofs.ts'
import type { CaseState, CaseStore } from './Stores.ts'

/**
 * Most wei that this client has in open cases, and has lost to answers within `lossBlocks`, one coin: enough for one slot with content at a base fee of 70 * 10^9
 * wei with headroom. All of it can be lost if all is answered.
 */
export const defaultSpendLimit: bigint = 10n ** 18n

/** Blocks for which the bond of an answered case counts as spent: a week of blocks of 12 seconds. */
export const lossBlocks = 50_400n

// Base fees rise by at most an eighth a block: twice today's holds for six blocks.
const headroom = 2n
// Times the bond of a subject without open cases: with more than two open ones it is asked again later.
const mostTimes = 4n
// A transaction that nobody has seen for so many blocks (a day of 12-second ones) is not waited for.
const forgottenBlocks = 7_200n
// An endpoint that is away is not asked about all cases.
const mostFailures = 8

/** What cases need. */
export type Options = {
  readonly crypto: Crypto
  readonly court: Court
  readonly cases: CaseStore
  /** Wei in open cases at once, default `defaultSpendLimit`. */
  readonly spendLimit?: bigint
}

/** A receipt as it is named in a demand. */
export type Receipt = {
  readonly head: CaseCalls.SignedHead
  readonly place: CaseCalls.Inclusion
  /** Default: looked up among the log's steps and observations. */
  readonly seen?: CaseCalls.Seen
}

/** What became of a case. */
export type Followed = {
  /** Hex. */
  readonly caseId: string
  readonly state: CaseState
  /** For an answered challenge: the entry, checked against its head and the head's signature. */
  readonly entry?: CourtEvents.EntryPublished
  /** For an answered demand: the slot, checked against the head's claims root; absent when it was shown to be unused or too old. */
  readonly slot?: CaseCalls.Opening
  /** Why the case could not be followed now; `state` is then the one that is written down. */
  readonly failure?: BaseError
}

/** Asks a log for the entry at an index that its head covers; throws as `Sender.send`, `Cases.SpendLimitError`, `Cases.CrowdedError`. */
export function challengeEntry(
  options: Options,
  of: { readonly logId: Hash; readonly index: bigint },
): Promise<Followed> {
  const one = CaseCalls.entryCase(options.crypto, of.logId, of.index)
  return open(options, one, { index: of.index }, async () => CaseCalls.challengeEntry(of.logId, of.index))
}

/** Asks a node for slot 1, 6, 7, 8, 12 or 13 of a receipt; throws as `Sender.send`, `Cases.SpendLimitError`, `Cases.CrowdedError`, `Cases.NoAgeError`. */
export function demandOpening(options: Options, receipt: Receipt, slot: number): Promise<Followed> {
  const one = CaseCalls.openingCase(options.crypto, receipt.head.head, slot)
  return open(options, one, { head: receipt.head.head, slot }, async () => {
    const seen = receipt.seen ?? (await seenBefore(options.court, receipt.place))
    return CaseCalls.demandOpening(receipt.head, receipt.place, seen, slot)
  })
}

/**
 * Asks a node for slot 2 to 5 of a receipt, in the name of the order's signer.
 *
 * - `order`: its 416 bytes and the opening of slot 1; `signer`: the key that signed it, unless the client is the sender's address
 *
 * Throws: as `Sender.send`, `Cases.SpendLimitError`, `Cases.CrowdedError`, `Cases.NoAgeError`.
 */
export function demandContent(
  options: Options,
  receipt: Receipt,
  slot: number,
  order: { readonly words: Uint8Array; readonly opening: CaseCalls.Opening; readonly signer?: Cose.Signer },
): Promise<Followed> {
  const { court, crypto } = options
  const one = CaseCalls.openingCase(crypto, receipt.head.head, slot)
  return open(options, one, { head: receipt.head.head, slot }, async () => {
    const seen = receipt.seen ?? (await seenBefore(court, receipt.place))
    const { words, opening, signer } = order
    let proof: CaseCalls.OrderProof = { words }
    if (signer !== undefined) {
      const payload = CaseCalls.reportPayload(crypto, {
        chainId: court.chainId,
        faultCases: court.contracts.faultCases.address,
        caseId: one.caseId,
        sender: court.sender.address,
      })
      const signature = await Cose.sign(crypto, signer, 'report', payload)
      proof = { words, signature, publicKey: signer.publicKey }
    }
    return CaseCalls.demandContent(receipt.head, receipt.place, seen, slot, { opening, proof })
  })
}

/**
 * Looks what became of the cases of this client; with `expire` ends those whose time is over, and fetches the reward and the
 * bond of those that have expired. One that cannot be followed does not hold back the others: it has a `failure`.
 *
 * Throws: as `Sender.send`, if none could be followed.
 */
export async function follow(options: Options & { readonly expire?: boolean }): Promise<readonly Followed[]> {
  const followed: Followed[] = []
  const failures: BaseError[] = []
  for (const caseId of await options.cases.list()) {
    const state = await options.cases.load(caseId)
    if (state === undefined) continue
    try {
      followed.push(await followOne(options, caseId, state, options.expire === true))
    } catch (error) {
      if (!BaseError.isInstance(error)) throw error
      failures.push(error)
      followed.push({ caseId, state: (await options.cases.load(caseId)) ?? state, failure: error })
      if (failures.length >= mostFailures) break
    }
  }
  if (failures[0] !== undefined && failures.length === followed.length) throw failures[0]
  return followed
}

/** Ends one case whose time is over, whoever opened it; throws as `Sender.send`. */
export async function expire(court: Court, incident: Fault.Incident): Promise<void> {
  await court.sender.send({ to: court.contracts.faultCases.address, data: CaseCalls.expireCase(incident) })
}

/** Pays out what bonds gave back to the sender; returns the wei, 0n when there was nothing. Throws as `Sender.send`. */
export async function withdrawCredit(court: Court): Promise<bigint> {
  const to = court.contracts.faultCases.address
  const amount = await CaseCalls.credit(court.rpc, to, court.sender.address)
  if (amount > 0n) await court.sender.send({ to, data: CaseCalls.withdrawCredit() })
  return amount
}

/**
 * Where the log can be seen not to cover an entry yet, as late as the court wants it.
 *
 * Throws: `Cases.NoAgeError` when no step and no observation of the window does.
 */
export async function seenBefore(court: Court, place: CaseCalls.Inclusion): Promise<CaseCalls.Seen> {
  const { rpc, contracts, anchorLog } = court
  const faultCourt = contracts.faultCourt.address
  const { openWindowBlocks } = await CourtCalls.windows(rpc, faultCourt)
  const to = await Rpc.askNumber(rpc, 'eth_blockNumber')
  const from = to > openWindowBlocks ? to - openWindowBlocks + 1n : 0n
  const isBefore = ({ size }: { readonly size: bigint }) => size <= place.index
  const step = (await CourtEvents.anchoredSizes(rpc, anchorLog, place.logId, { from, to })).findLast(isBefore)
  if (step !== undefined) return { how: 1, seenAt: step.size }
  const seen = (await CourtEvents.observations(rpc, faultCourt, place.logId, { from, to })).findLast(isBefore)
  if (seen !== undefined) return { how: 2, seenAt: seen.blockNumber }
  throw new NoAgeError(openWindowBlocks)
}

async function open(
  options: Options,
  one: CaseCalls.Case,
  what: Pick<CaseState, 'index' | 'head' | 'slot'>,
  callOf: () => Promise<Uint8Array>,
): Promise<Followed> {
  const { court, cases } = options
  const to = court.contracts.faultCases.address
  const caseId = Bytes.toHex(one.caseId)
  const known = await cases.load(caseId)
  if (known !== undefined && known.stage !== 'failed' && known.stage !== 'opening') {
    return followOne(options, caseId, known, false)
  }
  // A bond that was sent before a crash: the case is there, and nothing is sent twice.
  if ((await CaseCalls.getCase(court.rpc, to, one.caseId)) === undefined) {
    const bond = await bondFor(court, one.incident.subject, what.slot)
    await assertWithinLimit(options, caseId, bond)
    const data = await callOf()
    // Refused before anything is written or paid.
    await court.sender.call({ to, data, value: bond })
    const state: CaseState = { stage: 'opening', ...caseOf(one, court), bond, ...what }
    await cases.save(caseId, state)
    try {
      await court.sender.send({ to, data, value: bond })
    } catch (error) {
      if (error instanceof TransactionLostError) {
        if (error.nonce !== undefined) await cases.save(caseId, { ...state, nonce: error.nonce })
        throw error
      }
      if (error instanceof CallRevertedError && error.errorName !== 'CaseExists') {
        await cases.save(caseId, { ...state, stage: 'failed' })
        throw error
      }
      if (!(error instanceof CallRevertedError)) throw error
    }
  }
  const written = await cases.load(caseId)
  return followOne(options, caseId, written ?? { stage: 'opening', ...caseOf(one, court), bond: 0n, ...what }, false)
}

function caseOf(one: CaseCalls.Case, court: Court) {
  const { class: faultClass, subject, keyEpoch, incident } = one.incident
  return { class: faultClass as 17 | 18, subject, keyEpoch, incident, challenger: court.sender.address }
}

/**
 * A bond that the contract still takes when the base fee has doubled. Throws `Cases.CrowdedError` where open cases have doubled it too
 * often: of an answered case all of the doubling is burnt, and who is accused may have opened them itself.
 */
async function bondFor(court: Court, subject: Hash, slot: number | undefined): Promise<bigint> {
  const { rpc, contracts } = court
  const answer = Rpc.asFormed('eth_getBlockByNumber', await rpc.request('eth_getBlockByNumber', ['latest', false]))
  const block = answer as { readonly baseFeePerGas?: string | null } | null
  const floor = await CourtCalls.bondFloor(rpc, contracts.faultCourt.address)
  const count = await CaseCalls.openCases(rpc, contracts.faultCases.address, subject)
  const terms = { baseFee: headroom * BigInt(block?.baseFeePerGas ?? '0x0'), floor, slot }
  const bond = CaseCalls.bondOf({ ...terms, open: count })
  if (bond > mostTimes * CaseCalls.bondOf({ ...terms, open: 0n })) throw new CrowdedError(count, bond)
  return bond
}

async function assertWithinLimit(options: Options, caseId: string, bond: bigint): Promise<void> {
  const limit = options.spendLimit ?? defaultSpendLimit
  const newest = (await Rpc.newest(options.crypto, options.court.rpc)).number
  let spent = 0n
  for (const id of await options.cases.list()) {
    const state = id === caseId ? undefined : await options.cases.load(id)
    // A case that another was first to open binds the other's coin.
    if (state === undefined || !Bytes.equal(state.challenger, options.court.sender.address)) continue
    if (state.stage === 'open' || state.stage === 'opening') spent += state.bond
    // Who gives nothing but on chain earns by each answer: without a memory of losses there would be no end to it.
    if (state.stage === 'answered' && (state.openedAtBlock ?? 0n) + lossBlocks > newest) spent += state.bond
  }
  if (spent + bond > limit) throw new SpendLimitError(limit, spent, bond)
}

async function followOne(options: Options, caseId: string, known: CaseState, mayExpire: boolean): Promise<Followed> {
  const { court, cases, crypto } = options
  const { rpc } = court
  // What was given for an answer is given again to who asks for it.
  if (known.isFinal === true && (mayExpire || known.stage !== 'answered')) return { caseId, state: known }
  // What the endpoint only says would free what is bound, or send what is refused in a block.
  const record = await CourtProofs.caseOf(crypto, court, Bytes.fromHex(caseId), 'latest')
  if (record === undefined) {
    // Not in a block yet, or taken back with it; asking again sends it again.
    const { openedAtBlock: _, lastBlock: __, ...bare } = Collecting.unpaid(known)
    const state = known.stage === 'failed' ? known : await missing(options, caseId, bare)
    await saveIfOther(cases, caseId, state)
    return { caseId, state }
  }
  const { challenger, openedAtBlock, bond } = record
  const lastBlock = openedAtBlock + (await CourtProofs.answerBlocks(crypto, court))
  // An entry that was shown after its case had expired: the case reads as answered, and what it owes stays owed.
  const isLate = record.state === 'answered' && known.class === 17 && (await isOnRecord(options, caseId))
  const stage = isLate ? 'expired' : record.state
  const { nonce: _, askedAtBlock: __, ...before } = stage === 'expired' ? known : Collecting.unpaid(known)
  let state: CaseState = { ...before, stage, challenger, openedAtBlock, lastBlock, bond }
  const to = (await Rpc.newest(crypto, rpc)).number
  if (mayExpire && record.state === 'open' && to > lastBlock) {
    try {
      await expire(court, state)
      state = { ...state, stage: 'expired' }
    } catch (error) {
      // Answered or ended by somebody else in the meantime: the next look tells.
      const isElsewhere = error instanceof CallRevertedError && error.errorName === 'NoOpenCase'
      if (!isElsewhere && !(error instanceof TransactionLostError)) throw error
    }
  }
  await saveIfOther(cases, caseId, state)
  if (mayExpire && state.stage === 'expired') state = await Collecting.collect(crypto, court, cases, caseId, state)
  if (record.state !== 'answered') return { caseId, state }
  const given = await published(options, state, { from: openedAtBlock, to })
  // A slot is asked for by name; an entry that was not seen yet, or not its place, must not be lost.
  const isSeen = state.class === 18 || given.entry?.isCallShown === true
  if (
    mayExpire &&
    stage === 'answered' &&
    isSeen &&
    (await CourtProofs.isAnsweredInTime(crypto, court, Bytes.fromHex(caseId)))
  ) {
    state = { ...state, isFinal: true }
    await cases.save(caseId, state)
  }
  return { caseId, state, ...given }
}

/** Whether a case became a fault, which only one that expired can. */
async function isOnRecord({ crypto, court }: Options, caseId: string): Promise<boolean> {
  return (await CourtProofs.recorded(crypto, court, Bytes.fromHex(caseId), 'latest')) !== undefined
}

/** A case that is not there: it may come, unless its transaction can no longer be mined or nobody has seen it for long. */
async function missing(options: Options, caseId: string, bare: CaseState): Promise<CaseState> {
  const { court, crypto } = options
  const { rpc, sender } = court
  const askedAtBlock = bare.askedAtBlock ?? (await Rpc.askNumber(rpc, 'eth_blockNumber'))
  const state: CaseState = { ...bare, stage: 'opening', askedAtBlock }
  try {
    const { nonce } = state
    // In this order: what is not in the final state of a later block was not mined under that number.
    const count = await Rpc.askNumber(rpc, 'eth_getTransactionCount', [Bytes.to0x(sender.address), 'finalized'])
    const isUsed = nonce !== undefined && count > nonce && Bytes.equal(state.challenger, sender.address)
    const isForgotten = !isUsed && (await Rpc.finalized(crypto, rpc)).number > askedAtBlock + forgottenBlocks
    if (!isUsed && !isForgotten) return state
    if (!(await CourtProofs.hasNoCase(crypto, court, Bytes.fromHex(caseId)))) return state
    return { ...bare, stage: 'failed' }
  } catch (error) {
    // No such tag there: nothing is known to be final.
    if (error instanceof Rpc.RequestError && error.code === 'rpc-refused') return state
    throw error
  }
}

async function saveIfOther(cases: CaseStore, caseId: string, state: CaseState): Promise<void> {
  const before = await cases.load(caseId)
  const isSame =
    before?.stage === state.stage &&
    before.openedAtBlock === state.openedAtBlock &&
    before.askedAtBlock === state.askedAtBlock &&
    before.bond === state.bond
  if (!isSame) await cases.save(caseId, state)
}

async function published(
  { crypto, court }: Options,
  state: CaseState,
  blocks: CourtEvents.Blocks,
): Promise<Pick<Followed, 'entry' | 'slot'>> {
  const faultCases = court.contracts.faultCases.address
  if (state.index !== undefined) {
    const entry = await CourtEvents.entryPublished(
      court.rpc,
      faultCases,
      { logId: state.subject, index: state.index },
      blocks,
    )
    return entry !== undefined && (await isTrueEntry(crypto, entry)) ? { entry } : {}
  }
  const { head, slot } = state
  if (head === undefined || slot === undefined) return {}
  const receiptHash = Head.hash(crypto, head)
  const found = await CourtEvents.slotPublished(court.rpc, faultCases, { receiptHash, slot }, blocks)
  if (found?.path === undefined) return {}
  const { salt, value, path } = found
  let node = ClaimsTree.leaf(crypto, slot, salt, value)
  path.forEach((sibling, height) => {
    node = (slot >> height) % 2 === 1 ? Merkle.nodeHash(crypto, sibling, node) : Merkle.nodeHash(crypto, node, sibling)
  })
  return Bytes.equal(node, Head.parse(head).claimsRoot) ? { slot: { salt, value, path } } : {}
}

/** An endpoint that makes an entry up has no signature for it. */
async function isTrueEntry(crypto: Crypto, published: CourtEvents.EntryPublished): Promise<boolean> {
  const { entry, head, signature, publicKey } = published
  try {
    if (!Bytes.equal(entry, LogEntry.fromHead(crypto, head))) return false
    await Cose.verify(crypto, { tag: 'receipt', payload: Head.payload(crypto, head), signature, publicKey })
    return true
  } catch (error) {
    if (BaseError.isInstance(error)) return false
    throw error
  }
}

/** A further bond would be more than this client may have in open cases. */
export class SpendLimitError extends PolicyError<'spend-limit'> {
  override readonly name = 'Cases.SpendLimitError'
  constructor(limit: bigint, spent: bigint, bond: bigint) {
    super('spend-limit', 'The bond would exceed what may be spent on cases.', {
      facts: [`Limit: ${limit} wei`, `In open and lately answered cases: ${spent} wei`, `Bond: ${bond} wei`],
    })
  }
}

/** Too many cases are open against who is asked, so a bond costs many times what it costs without them. */
export class CrowdedError extends PolicyError<'cases-crowded'> {
  override readonly name = 'Cases.CrowdedError'
  constructor(open: bigint, bond: bigint) {
    super('cases-crowded', 'Open cases have made the bond too dear; try again when some of them are closed.', {
      facts: [`Open: ${open}`, `Bond: ${bond} wei`],
    })
  }
}

/** No block of the window shows the log without the entry: the court could not tell how old the receipt is. */
export class NoAgeError extends UnavailableError<'no-age'> {
  override readonly name = 'Cases.NoAgeError'
  constructor(openWindowBlocks: bigint) {
    super('no-age', 'Nothing on chain shows that this receipt was anchored recently.', {
      facts: [`Window: ${openWindowBlocks} blocks`, 'The receipt is older, or its log anchored nothing before it.'],
    })
  }
}
