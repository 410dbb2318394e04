/**
 * Ledger.ts - what the answering service remembers across restarts: how far it has read, and which cases it knows. The
 * contract is the authority, so a file that is lost or damaged costs a longer look at the chain and nothing else.
 */
import { join } from 'node:path'
import { Bytes } from 'assay/protocol'
import { readFileIfThere, replaceFile } from '../settle/files.ts'
import type { Case } from './CasesView.ts'

/** How far events were read, and the cases that may still need something. */
export type Ledger = { readonly scannedTo: bigint; readonly cases: readonly Case[] }

/** Some 40,000 cases, which cost whoever opened them more than all that could be gained by a ledger that is not read. */
const maxBytes = 16 * 1024 * 1024

/** Reads the ledger of a contract (chainId, FaultCases); undefined if there is none or it is another contract's. */
export function read(folder: string, contract: string): Ledger | undefined {
  const text = readFileIfThere(pathOf(folder))
  if (text === undefined || text.length > maxBytes) return undefined
  try {
    const value = JSON.parse(text)
    if (value.version !== 1 || value.contract !== contract) return undefined
    return { scannedTo: BigInt(value.scannedTo), cases: value.cases.map(toCase) }
  } catch {
    return undefined
  }
}

/** Replaces the ledger; durable when it returns. */
export function write(folder: string, contract: string, { scannedTo, cases }: Ledger): void {
  const rows = cases.map(({ caseId, subject, keyEpoch, incident, openedAtBlock, demand, ...one }) => ({
    class: one.class,
    caseId: Bytes.toHex(caseId),
    subject: Bytes.toHex(subject),
    keyEpoch,
    incident: Bytes.toHex(incident),
    openedAtBlock: String(openedAtBlock),
    ...(demand === undefined ? {} : { receiptHash: Bytes.toHex(demand.receiptHash), slot: demand.slot }),
  }))
  const value = { version: 1, contract, scannedTo: String(scannedTo), cases: rows }
  replaceFile(pathOf(folder), `${JSON.stringify(value)}\n`)
}

function toCase(row: Record<string, unknown>): Case {
  const bytes = (name: string) => {
    const value = Bytes.fromHex(String(row[name]))
    Bytes.assertLength(value, 32, name)
    return value
  }
  if (row.class !== 17 && row.class !== 18) throw new RangeError('class')
  return {
    class: row.class,
    caseId: bytes('caseId'),
    subject: bytes('subject'),
    keyEpoch: Number(row.keyEpoch),
    incident: bytes('incident'),
    openedAtBlock: BigInt(String(row.openedAtBlock)),
    demand: row.class === 17 ? undefined : { receiptHash: bytes('receiptHash'), slot: Number(row.slot) },
  }
}

function pathOf(folder: string): string {
  return join(folder, 'answers.json')
}
