/**
 * Collecting.ts - what an expired case owes its challenger: the reward of the recorded fault and the bond, which comes back as
 * credit. Each step looks at the chain first, by state proof, so it may end anywhere and be repeated. Source: spec/faults.md sections 4.1 and 6.1.
 */
import * as CaseCalls from '../chain/CaseCalls.ts'
import * as CourtCalls from '../chain/CourtCalls.ts'
import { type Call, CallRevertedError, TransactionLostError } from '../chain/Sender.ts'
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import type { Court } from './Court.ts'
import * as CourtProofs from './CourtProofs.ts'
import type { CaseState, CaseStore } from './Stores.ts'

/**
 * Takes an expired case on as far as it goes now; returns its state, which is durable.
 *
 * Throws: as `Sender.send`, but for a transaction that nobody knows about: the next look tells.
 */
export async function collect(
  crypto: Crypto,
  court: Court,
  cases: CaseStore,
  caseId: string,
  expired: CaseState,
): Promise<CaseState> {
  if (expired.isFinal === true) return expired
  const isOwn = Bytes.equal(expired.challenger, court.sender.address)
  let state = expired
  const save = async (next: CaseState) => {
    state = next
    await cases.save(caseId, next)
  }
  if (isOwn) {
    // The case has the name of the fault that it became.
    const record = await CourtProofs.recorded(crypto, court, Bytes.fromHex(caseId), 'latest')
    if (record === undefined) return state
    // The amount is written down first: once it is fetched the contract has forgotten it.
    if (record.reward > 0n) {
      if (state.reward !== record.reward || state.isPaid === true)
        await save({ ...unpaid(state), reward: record.reward })
      const claim = { to: court.contracts.faultCourt.address, data: CourtCalls.claimReward(state) }
      if (!(await isDone(court, claim, 'NoReward'))) return state
    }
    const to = court.contracts.faultCases.address
    if ((await CourtProofs.credit(crypto, court, court.sender.address)) > 0n) {
      if (!(await isDone(court, { to, data: CaseCalls.withdrawCredit() }, 'NoCredit'))) return state
    }
    if (state.isPaid !== true) await save({ ...state, reward: state.reward ?? 0n, isPaid: true })
  }
  if (await isSettled(crypto, court, caseId, isOwn)) await save({ ...state, isFinal: true })
  return state
}

/** A state in which nothing of what it says about payment holds any more: a reorganisation took it back. */
export function unpaid({ reward: _, isPaid: __, isFinal: ___, ...state }: CaseState): CaseState {
  return state
}

/** Sends a call; what somebody else did in the meantime counts as done. */
async function isDone({ sender }: Court, call: Call, alreadyDone: string): Promise<boolean> {
  try {
    await sender.send(call)
    return true
  } catch (error) {
    if (error instanceof TransactionLostError) return false
    if (error instanceof CallRevertedError && error.errorName === alreadyDone) return true
    throw error
  }
}

/** Whether no reorganisation can take back any of it, by what the final state shows and not by what the endpoint says of it. */
async function isSettled(crypto: Crypto, court: Court, caseId: string, isOwn: boolean): Promise<boolean> {
  const id = Bytes.fromHex(caseId)
  const { isExpired, isAnswered, isWithdrawn } = await CourtProofs.expired(crypto, court, id, court.sender.address)
  const record = isOwn || isAnswered ? await CourtProofs.recorded(crypto, court, id, 'finalized') : undefined
  // Answered with a fault on record: it was answered late.
  const isOver = isExpired || (isAnswered && record !== undefined)
  return isOver && (!isOwn || (isWithdrawn && record?.reward === 0n))
}
