/** CaseAnswers.ts - the daemon's answers to cases, round by round, over an endpoint of a schedule. */
import { join } from 'node:path'
import type { Crypto } from 'assay/protocol'
import * as Answering from '../../apps/node/src/answers/Answering.ts'
import type { ReceiptStore } from '../../apps/node/src/receipts/ReceiptStore.ts'
import * as Rules from './ContractRules.ts'
import type * as Endpoint from './Endpoint.ts'
import * as ModelChain from './ModelChain.ts'
import type { Mutation, RunningLog } from './Parts.ts'

/** Blocks for which an endpoint has to lie in a row before openings are thrown away by it. */
export const confirmBlocks = 20n

/** The service of one process. */
export type CaseAnswers = {
  /** Makes the round that is due by now, if one is. */
  readonly round: () => Promise<void>
}

/**
 * Starts answering as the daemon does.
 *
 * - `reached`: told of 'answer-sent', throws when the process ends there; `secondsNow`: the schedule's time;
 *   `meanwhile`: what else goes on between two answers
 */
export function create(options: {
  readonly home: string
  readonly crypto: Crypto
  readonly endpoint: Endpoint.Endpoint
  readonly nodeId: Uint8Array
  readonly logs: readonly RunningLog[]
  readonly store: Pick<ReceiptStore, 'byHash' | 'opened' | 'forgetOpenings'>
  readonly reached: (step: string) => void
  readonly meanwhile: () => Promise<void>
  readonly secondsNow: () => bigint
  readonly count: (what: string) => void
  readonly change: Mutation['answers']
}): CaseAnswers {
  const { home, crypto, endpoint, nodeId, logs, store, reached, count } = options
  const { rpc, sender } = endpoint
  const nowMs = () => Number(options.secondsNow()) * 1_000
  const given: Answering.Options = {
    ...{ folder: join(home, 'node'), crypto, rpc, nodeId, store, minKeptBlocks: 0n },
    ...{ sweepMs: 4_000, confirmMs: Number(ModelChain.blockSeconds * confirmBlocks) * 1_000 },
    sender: {
      address: sender.address,
      send: async (call) => {
        const mined = await sender.send(call)
        reached('answer-sent')
        // The daemon's other services do not wait for this one.
        await options.meanwhile()
        return mined
      },
    },
    contracts: { anchorLog: Rules.anchorLog, faultCourt: Rules.faultCourt, faultCases: Rules.faultCases },
    logs: logs.map(({ log }) => ({ ...log, logId: log.identity.logId })),
    onEvent: (event) => {
      const what = event.kind === 'answered' ? ` ${event.answer}` : 'code' in event ? ` ${event.code}` : ''
      count(`case ${event.kind}${what}`)
    },
  }
  const { signal } = new AbortController()
  const rounds = Answering.createRounds(options.change?.(given) ?? given, { signal, nowMs })
  let dueMs = 0
  return {
    async round() {
      if (nowMs() < dueMs) return
      const waitMs = await rounds.round()
      dueMs = nowMs() + waitMs
    },
  }
}
