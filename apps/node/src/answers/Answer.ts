/**
 * Answer.ts - the call that answers a case. Source: spec/faults.md section 6.
 *
 * A receipt that was anchored before the window is answered with its place, which publishes nothing; else the slot is
 * opened for everybody, because the alternative is to be slashed.
 */
import { ContractCall, FaultCasesContract } from 'assay/chain'
import { Bytes, type Crypto, errors, LogEntry } from 'assay/protocol'
import type { ReceiptStore, StoredReceipt } from '../receipts/ReceiptStore.ts'
import type { Case, CasesView } from './CasesView.ts'
import * as Opening from './Opening.ts'
import * as Places from './Places.ts'

/** What answers are made from. */
export type Sources = {
  readonly crypto: Crypto
  readonly view: CasesView
  readonly logs: readonly Places.LogPort[]
  readonly store: Pick<ReceiptStore, 'byHash'>
}

/** What an answer gives away: `place` says where an entry stands, `absent` that a slot is unused, `opening` a slot's value. */
export type Kind = 'entry' | 'place' | 'absent' | 'opening'

/** The input of a call of FaultCases. */
export type Answer = { readonly kind: Kind; readonly data: Uint8Array }

const hex = Bytes.to0x
const { abi } = FaultCasesContract

/** The answer to a case; throws `UnknownSubjectError`, `Places.NoPlaceError`, `Opening.OpeningGoneError`. */
export function of(sources: Sources, one: Case): Promise<Answer> {
  return one.demand === undefined ? toChallenge(sources, one) : toDemand(sources, one, one.demand)
}

async function toChallenge({ crypto, view, logs }: Sources, one: Case): Promise<Answer> {
  const index = Bytes.toBigInt(one.incident)
  const log = logs.find(({ logId }) => Bytes.equal(logId, one.subject))
  const held = log?.entry(index)
  if (log === undefined || held === undefined) throw new UnknownSubjectError('the entry')
  const { head, signature, publicKey } = held
  const place = await Places.covering(view, log, index)
  const signed = {
    ...{ head: hex(head), signature: hex(signature) },
    ...{ x: hex(publicKey.subarray(0, 32)), y: hex(publicKey.subarray(32)) },
  }
  const args = [placeArgument(place), hex(LogEntry.fromHead(crypto, head)), signed] as const
  return { kind: 'entry', data: ContractCall.encode({ abi, functionName: 'answerEntry', args }) }
}

async function toDemand(sources: Sources, one: Case, demand: NonNullable<Case['demand']>): Promise<Answer> {
  const { crypto, store } = sources
  const { receiptHash, slot } = demand
  const receipt = store.byHash(receiptHash)
  if (receipt === undefined) throw new UnknownSubjectError('the receipt')
  const head = hex(receipt.head)
  const place = await beforeWindow(sources, one, receipt)
  if (place !== undefined) {
    const args = [head, slot, placeArgument(place)] as const
    return { kind: 'place', data: ContractCall.encode({ abi, functionName: 'answerAnchoredBefore', args }) }
  }
  const { used, path } = Opening.of(crypto, receipt, slot)
  const siblings = path.map(hex) as unknown as readonly [`0x${string}`, `0x${string}`, `0x${string}`, `0x${string}`]
  if (used === undefined) {
    const args = [head, slot, siblings] as const
    return { kind: 'absent', data: ContractCall.encode({ abi, functionName: 'answerAbsent', args }) }
  }
  const args = [head, slot, { salt: hex(used.salt), value: hex(used.value), path: siblings }] as const
  return { kind: 'opening', data: ContractCall.encode({ abi, functionName: 'answerOpening', args }) }
}

/** Anchored so early that the contract takes the place for an answer: block + openWindowBlocks < block of opening. */
async function beforeWindow({ view, logs }: Sources, one: Case, receipt: StoredReceipt) {
  const found = Places.placeOf(logs, receipt)
  if (found === undefined) return undefined
  const { openWindowBlocks } = await view.terms()
  if (one.openedAtBlock <= openWindowBlocks) return undefined
  return Places.anchoredBefore(view, found.log, found.index, one.openedAtBlock - openWindowBlocks)
}

function placeArgument({ logId, index, size, proof }: Places.Place) {
  return { logId: hex(logId), index, size, proof: proof.map(hex) }
}

/** The case is about something that this daemon does not hold. */
export class UnknownSubjectError extends errors.VerificationError<'case-unknown'> {
  override readonly name = 'Answer.UnknownSubjectError'
  constructor(what: string) {
    super('case-unknown', `A case is open about something that is not held here: ${what}.`)
  }
}
