/** answers.ts - the daemon's answers to cases: its node, its logs and those of its logs that have ended; events as lines. */
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import { type Answering, type Event, startAnswering } from '../answers/Answering.ts'
import * as Archive from '../answers/Archive.ts'
import type { Case } from '../answers/CasesView.ts'
import type { LogRecord } from '../gateway/Served.ts'
import type { Log } from '../log/Log.ts'
import type { ReceiptStore } from '../receipts/ReceiptStore.ts'
import type { Registrar } from '../settle/register.ts'

/** How long a stop waits for a transaction that is under way. */
const graceMs = 2_000

/** Answers until it is stopped; without contracts of stake there is nothing to answer. */
export function answerCases(options: {
  readonly home: string
  readonly folder: string
  readonly registrar: Registrar
  readonly nodeId: Uint8Array
  readonly logs: readonly Log[]
  readonly store: ReceiptStore
  readonly record: (record: LogRecord) => void
}): Pick<Answering, 'stop'> {
  const { home, folder, registrar, nodeId, store, record } = options
  const { book, rpc, sender } = registrar
  if (book.stake === undefined) return { stop: async () => {} }
  const archived = Archive.openAll(crypto, home)
  const answering = startAnswering({
    ...{ folder, crypto, rpc, sender, nodeId, store },
    contracts: {
      anchorLog: book.anchorLog.address,
      faultCourt: book.stake.faultCourt.address,
      faultCases: book.stake.faultCases.address,
    },
    logs: [...options.logs.map((log) => ({ ...log, logId: log.identity.logId })), ...archived],
    onEvent: (event) => record(toRecord(event)),
  })
  return {
    async stop() {
      // An answer may be waiting for a block of a chain that makes none any more.
      const cut = setTimeout(sender.close, graceMs)
      await answering.stop()
      clearTimeout(cut)
      for (const log of archived) log.close()
    },
  }
}

function toRecord(event: Event): LogRecord {
  switch (event.kind) {
    case 'withdrawn':
      return { event: 'case-credit-withdrawn', wei: String(event.wei) }
    case 'forgotten':
      return { event: 'openings-forgotten', count: event.count }
    case 'trouble':
      return { event: 'answering-trouble', code: event.code }
    case 'answered':
      return { event: 'case-answered', ...named(event.case), answer: event.answer }
    case 'unanswered':
      return { event: 'case-unanswered', ...named(event.case), code: event.code }
    case 'opened':
    case 'settled':
      return { event: `case-${event.kind}`, ...named(event.case) }
  }
}

function named(one: Case) {
  return {
    ...{ case: Bytes.toHex(one.caseId), class: one.class, openedAtBlock: String(one.openedAtBlock) },
    slot: one.demand?.slot ?? null,
  }
}
