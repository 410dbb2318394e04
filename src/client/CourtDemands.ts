/** CourtDemands.ts - demands as cases of FaultCases, in the name and on the account of this client. Source: spec/faults.md section 6. */
import type * as Cose from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import * as Cases from './Cases.ts'
import type { Court } from './Court.ts'
import type { Answer, Answered, Demands } from './Demanding.ts'
import type { CaseStore } from './Stores.ts'

/** Demands within a limit of wei; `signer`: the key of this client's orders. */
export function create(parts: {
  readonly crypto: Crypto
  readonly court: Court
  readonly cases: CaseStore
  readonly signer: Cose.Signer
  readonly spendLimit: bigint
}): Demands {
  return {
    async entry(logId, index) {
      return toAnswered(await Cases.challengeEntry(parts, { logId, index }))
    },
    async slot(receipt, slot) {
      return toAnswer(await Cases.demandOpening(parts, receipt, slot))
    },
    async content(receipt, slot, order) {
      return toAnswer(await Cases.demandContent(parts, receipt, slot, { ...order, signer: parts.signer }))
    },
    async follow() {
      const followed = await Cases.follow({ ...parts, expire: true })
      return followed.flatMap((one) => toAnswered(one) ?? [])
    },
  }
}

function toAnswered({ entry, state: { subject, index } }: Cases.Followed): Answered | undefined {
  return entry === undefined || index === undefined ? undefined : { ...entry, logId: subject, index }
}

function toAnswer({ state, slot }: Cases.Followed): Answer {
  const isOver = state.stage === 'answered' || state.stage === 'expired'
  return slot === undefined ? { isOver } : { isOver, opening: slot }
}
