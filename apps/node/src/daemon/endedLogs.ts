/**
 * endedLogs.ts - logs that have ended on chain: retired by their operator, or ended by a fault. Such a log gets no new heads and
 * keeps its word: as long as it has pledged what is not on chain it goes on anchoring; then it is put aside, readable, and
 * the next key in its slot is a new log's. A key that is thrown away anchors nothing any more, so that waits for the final state to show
 * the end and all that the log holds. Source: spec/log.md section 7.
 */
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Layout, Records, Rpc, StakeManagerContract, type TrustAnchors } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes, errors } from 'assay/protocol'
import { folderName } from '../answers/Archive.ts'
import * as KeyFile from '../keys/KeyFile.ts'
import * as SqliteLogStore from '../log/SqliteLogStore.ts'
import { read } from '../settle/contract-call.ts'
import { findLog, type Registrar } from '../settle/register.ts'
import type { Slot, SlotKey } from './logs.ts'

/** What became of the logs that have ended: `replaced` are put aside already, `closing` still owe an anchor, or may. */
export type Ended = { readonly replaced: readonly string[]; readonly closing: ReadonlySet<string> }

/** Looks at every log's end on chain and puts aside those that owe nothing; run before any of them is opened. */
export async function replaceEnded(options: {
  readonly home: string
  readonly registrar: Registrar
  readonly keys: readonly SlotKey[]
  readonly patienceMs?: number
}): Promise<Ended> {
  const { home, registrar, patienceMs = defaultPatienceMs } = options
  const replaced: string[] = []
  const closing = new Set<string>()
  for (const { slot, signer } of options.keys) {
    const logId = await findLog(registrar, signer)
    if (logId === undefined || !(await hasEnded(registrar, logId))) continue
    if (!(await owesNothing(registrar, join(home, slot.log), logId, patienceMs))) closing.add(slot.log)
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

/** Longest wait for a final state: a development chain shows none of before its own start. */
const defaultPatienceMs = 15_000

/** Whether the final state has the log as ended and all of it as anchored: no reorganisation and no endpoint takes that back. */
async function owesNothing(registrar: Registrar, folder: string, logId: Uint8Array, patienceMs: number) {
  const hasEndedForGood = async () => {
    const none = new Uint8Array(32)
    const { stakeManager } = registrar.book.stake
    const words = await finalWords(registrar, stakeManager, Layout.stakeSlots(crypto, logId))
    const [w0 = none, w1 = none, w2 = none, w5 = none] = words
    const { retiredAtBlock, endedAtBlock } = Records.stakeRecord([w0, w1, w2, w5])
    return retiredAtBlock !== 0n || endedAtBlock !== 0n
  }
  if ((await inTime(hasEndedForGood, patienceMs)) !== true) return false
  return (await unanchored(registrar, folder, logId, patienceMs)) === 0n
}

/** How many entries in the folder of a log the final state does not have as anchored; all where it cannot be shown. */
export async function unanchored(
  registrar: Registrar,
  folder: string,
  logId: Uint8Array,
  patienceMs: number = defaultPatienceMs,
): Promise<bigint> {
  const size = sizeOf(folder, logId)
  if (size === 0n) return 0n
  const slots = Layout.logHeadSlots(crypto, logId).slice(0, 1)
  const words = await inTime(() => finalWords(registrar, registrar.book.anchorLog, slots), patienceMs)
  const anchored = words?.[0] === undefined ? 0n : Records.uint64(words[0])
  return size > anchored ? size - anchored : 0n
}

async function finalWords({ rpc }: Registrar, contract: TrustAnchors.Contract, slots: readonly Uint8Array[]) {
  const header = await Rpc.finalized(crypto, rpc)
  const words = await Rpc.readWords(crypto, rpc, { contract, slots, header })
  return words.map((word) => word ?? new Uint8Array(32))
}

/** What cannot be shown now may be in a moment, or at the next start. */
async function inTime<T>(ask: () => Promise<T>, patienceMs: number): Promise<T | undefined> {
  for (const untilMs = performance.now() + patienceMs; ; await sleep(500)) {
    try {
      return await ask()
    } catch (error) {
      if (!errors.BaseError.isInstance(error) || error.action === 'fix') throw error
      if (performance.now() > untilMs) return undefined
    }
  }
}

function sizeOf(folder: string, logId: Uint8Array): bigint {
  if (!existsSync(join(folder, 'log.db'))) return 0n
  const store = SqliteLogStore.open({ folder, kind: 'log', logId, crypto })
  try {
    return store.size()
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
