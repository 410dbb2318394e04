/** Parts.ts - what an operator of a schedule is made of, what can be done to it, and what can be taken away from it. */
import type * as Answering from '../../apps/node/src/answers/Answering.ts'
import type * as Log from '../../apps/node/src/log/Log.ts'
import type { LogStore } from '../../apps/node/src/log/LogStore.ts'
import type { Mirror } from '../../apps/node/src/log/Mirror.ts'
import type * as Issuer from '../../apps/node/src/receipts/Issuer.ts'
import type { ReceiptStore } from '../../apps/node/src/receipts/ReceiptStore.ts'
import type { Anchoring } from '../../apps/node/src/settle/anchoring.ts'
import type { ChainView } from '../../apps/node/src/settle/chain-view.ts'
import type * as Witness from '../../apps/node/src/witness/Witness.ts'
import type * as CaseAnswers from './CaseAnswers.ts'
import type * as Endpoint from './Endpoint.ts'

/** A folder that can be lost or replaced by an older copy. */
export const roles = ['node', 'log', 'witness', 'log2', 'witness2'] as const
export type Role = (typeof roles)[number]

/** Steps at which the process can end. */
export const steps = [
  ...['entries-written', 'entries-mirrored', 'pledges-signed', 'pledges-written'],
  ...['checkpoint-planned', 'checkpoint-signed', 'checkpoint-written', 'cosign-persisted', 'cosign-signed'],
  ...['head-persisted', 'head-signed', 'head-logged', 'receipt-released'],
] as const
/** The same while a case is answered. */
export const caseSteps = ['answer-sent'] as const

/** What becomes of what the answering service remembers. */
export const ledgerFates = ['gone', 'damaged', 'old'] as const
export type LedgerFate = (typeof ledgerFates)[number]

/** Where a discipline can be taken away, so that the prosecutor shows what it is good for. */
export type Mutation = {
  readonly mirror?: (mirror: Mirror) => Mirror
  readonly logStore?: (store: LogStore) => LogStore
  readonly receiptStore?: (store: ReceiptStore) => ReceiptStore
  readonly logPort?: <T extends Pick<Log.Log, 'append' | 'highest' | 'identity' | 'publicKey'>>(port: T) => T
  /** The contract as a log sees it while it starts. */
  readonly startView?: (view: ChainView) => ChainView
  /** What the node remembers of a log's pledges is not asked. */
  readonly isPledgeForgotten?: boolean
  /** Before anything is opened in the home of the process. */
  readonly beforeStart?: (home: string) => void
  /** What the answering service stands on. */
  readonly answers?: (options: Answering.Options) => Answering.Options
}

/** A log with its mirror as they run. */
export type RunningLog = {
  readonly slot: number
  readonly log: Log.Log
  readonly store: LogStore
  readonly witness: Witness.Witness
  readonly anchoring: Anchoring
}

/** A process that is up. */
export type Running = {
  readonly nodeId: Uint8Array
  readonly issuer: Issuer.Issuer
  readonly store: ReceiptStore
  readonly logs: readonly RunningLog[]
  readonly answers: CaseAnswers.CaseAnswers
}

/** An operator and everything that can happen to it. */
export type Operator = {
  readonly faults: Pick<Endpoint.Endpoint, 'lost' | 'lie' | 'fate' | 'clockMs'>
  /** Mirror and witness of a slot do not answer. */
  readonly silent: Set<number>
  /** Bytes are changed between node and log. */
  isAltering: boolean
  /** The process ends when a step is reached for the n-th time. */
  crashAt: { step: string; after: number } | undefined
  readonly running: () => Running | undefined
  readonly isGood: () => boolean
  /** It was started with everything in reach and does not run: its own doing. */
  readonly isRefusing: () => boolean
  /** Starts, if it is not running; what a person would have to do about a refusal is done. */
  readonly start: () => Promise<void>
  /** Stops in order. */
  readonly stop: () => Promise<void>
  /** Ends at once. */
  readonly crash: () => Promise<void>
  /** After any step: a process that ended within it is cleared away. */
  readonly settle: () => Promise<void>
  readonly call: (count: number, isBad: boolean) => Promise<void>
  /** One anchoring round of every log, then one of the answers to cases. */
  readonly round: () => Promise<void>
  readonly backUp: (role: Role) => void
  readonly restore: (role: Role) => Promise<void>
  readonly lose: (role: Role) => Promise<void>
  /** What the answering service wrote down is lost, damaged, or replaced by what it was when the node's folder was backed up. */
  readonly loseLedger: (fate: LedgerFate) => Promise<void>
  /** Whether a nodeId or logId is or was this operator's. */
  readonly isOwn: (subject: Uint8Array) => boolean
  /** Whether the opening of a receipt went with a node's folder, or a log with its key or with both of its places. */
  readonly isLost: (what: { readonly receiptHash: Uint8Array } | { readonly logId: Uint8Array }) => boolean
  /** Whether losing this folder now would take the second place of the same log too. */
  readonly wouldBeBeyond: (role: Role) => boolean
  /** What the running process sees the chain through. */
  readonly views: () => readonly { readonly view: ChainView }[]
  /** Ends the node's key in the contract while it may be in use. */
  readonly endKey: () => Promise<void>
  /** Ends the process, then `assay keys rotate`: a new key is on the disk, and the next start brings the old one to its end. */
  readonly replaceKey: (role: 'node' | 'witness', isKilled: boolean) => Promise<void>
  /** True once a log's disk and mirror were lost together. */
  readonly isBeyond: () => boolean
  /** Logs given up although disk and mirror were not lost together, with the reason. */
  readonly givenUp: () => readonly string[]
  readonly report: () => Readonly<Record<string, number>>
  readonly close: () => Promise<void>
}
