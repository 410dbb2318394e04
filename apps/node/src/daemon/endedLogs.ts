/**
 * endedLogs.ts - logs that have ended on chain: retired by their operator, or ended by a fault. Such a log gets no new heads and
 * keeps its word: as long as it has pledged what is not on chain it goes on anchoring; then it is put aside, readable, and
 * the next key in its slot is a new log's. Source: spec/log.md section 7.
 */
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { AnchorLogContract, StakeManagerContract } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import { folderName } from '../answers/Archive.ts'
import * as KeyFile from '../keys/KeyFile.ts'
import * as SqliteLogStore from '../log/SqliteLogStore.ts'
import { read } from '../settle/contract-call.ts'
import { findLog, type Registrar } from '../settle/register.ts'
import type { Slot, SlotKey } from './logs.ts'

/** What became of the logs that have ended: `replaced` are put aside already, `closing` still owe an anchor. */
export type Ended = { readonly replaced: readonly string[]; readonly closing: ReadonlySet<string> }

/** Looks at every log's end on chain and puts aside those that owe nothing; run before any of them is opened. */
export async function replaceEnded(options: {
  readonly home: string
  readonly registrar: Registrar
  readonly keys: readonly SlotKey[]
}): Promise<Ended> {
  const { home, registrar } = options
  const replaced: string[] = []
  const closing = new Set<string>()
  for (const { slot, signer } of options.keys) {
    const logId = await findLog(registrar, signer)
    if (logId === undefined || !(await hasEnded(registrar, logId))) continue
    if (await owes(registrar, join(home, slot.log), logId)) closing.add(slot.log)
    else {
      KeyFile.removeKey(putAside(home, slot, logId), { role: 'log', publicKey: signer.publicKey })
      replaced.push(slot.log)
    }
  }
  return { replaced, closing }
}

async function hasEnded({ rpc, book }: Registrar, logId: Uint8Array): Promise<boolean> {
  const call = { abi: StakeManagerContract.abi, functionName: 'getSubject', args: [Bytes.to0x(logId)] } as const
  const { retiredAtBlock, endedAtBlock } = await read(rpc, book.stake.stakeManager.address, call)
  return retiredAtBlock !== 0 || endedAtBlock !== 0
}

async function owes({ rpc, book }: Registrar, folder: string, logId: Uint8Array): Promise<boolean> {
  if (!existsSync(join(folder, 'log.db'))) return false
  const store = SqliteLogStore.open({ folder, kind: 'log', logId, crypto })
  try {
    const call = { abi: AnchorLogContract.abi, functionName: 'getLog', args: [Bytes.to0x(logId)] } as const
    const { headSize } = await read(rpc, book.anchorLog.address, call)
    return store.size() > headSize
  } finally {
    store.close()
  }
}

/** First the mirror, then the log: cut off in between, the next start goes on. Gives the log's new folder. */
export function putAside(home: string, slot: Slot, logId: Uint8Array): string {
  const witness = join(home, slot.witness)
  // The witness's key stays; what it remembers of this log goes with the log.
  const aside = join(witness, folderName('log', logId))
  for (const name of ['mirror', 'witness.db', 'witness.db-wal', 'witness.db-shm']) {
    if (!existsSync(join(witness, name))) continue
    mkdirSync(aside, { recursive: true, mode: 0o700 })
    renameSync(join(witness, name), join(aside, name))
  }
  const folder = join(home, folderName(slot.log, logId))
  renameSync(join(home, slot.log), folder)
  return folder
}
