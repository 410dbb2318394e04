/** keys-log.ts - the end of a log: its key goes, what it holds stays, readable, for whoever may demand it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { putAside } from '@assay/node/daemon/endedLogs'
import { type Slot, slots } from '@assay/node/daemon/logs'
import * as KeyFile from '@assay/node/keys/KeyFile'
import * as SqliteLogStore from '@assay/node/log/SqliteLogStore'
import { findLog, type Registrar } from '@assay/node/settle/register'
import { AnchorLogContract, ContractCall, StakeManagerContract } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes, errors } from 'assay/protocol'
import type { Context } from '../Context.ts'
import type { Home } from '../Home.ts'
import * as KeyRing from '../KeyRing.ts'

/**
 * Ends a log: nothing that it pledged may be missing on chain, its stake begins to leave, its key goes, and its folder and
 * its mirror get names under which the daemon only reads them.
 *
 * Throws: `NotAllAnchoredError`.
 */
export async function retireLog(
  context: Context,
  home: Home,
  ring: KeyRing.Ring,
  publicKey: Uint8Array,
  passphrase: string | undefined,
): Promise<{ readonly logId: string | null; readonly stakeLeaves: boolean }> {
  const ended = await KeyRing.withRegistrar(context, home, passphrase, async (registrar) => {
    const logId = await findLog(registrar, { publicKey })
    if (logId === undefined) return undefined
    await assertAllAnchored(registrar, ring.folder, logId)
    return { logId, stakeLeaves: await retireStake(registrar, logId) }
  })
  const key = { role: ring.role, publicKey }
  if (ended === undefined) {
    KeyFile.removeKey(ring.folder, key)
    return { logId: null, stakeLeaves: false }
  }
  KeyFile.removeKey(putAside(home.folder, slotOf(ring), ended.logId), key)
  return { logId: Bytes.toHex(ended.logId), stakeLeaves: ended.stakeLeaves }
}

async function assertAllAnchored({ rpc, book }: Registrar, folder: string, logId: Uint8Array): Promise<void> {
  if (!existsSync(join(folder, 'log.db'))) return
  const store = SqliteLogStore.open({ folder, kind: 'log', logId, crypto })
  try {
    const call = { abi: AnchorLogContract.abi, functionName: 'getLog', args: [Bytes.to0x(logId)] } as const
    const { headSize } = await ContractCall.read(rpc, book.anchorLog.address, call)
    if (store.size() > headSize) throw new NotAllAnchoredError(store.size() - headSize)
  } finally {
    store.close()
  }
}

/** A log that signs no more has no use for its stake; whoever reads the chain sees that it has ended. */
async function retireStake({ book, sender }: Registrar, logId: Uint8Array): Promise<boolean> {
  if (book.stake === undefined) return false
  const { abi } = StakeManagerContract
  const data = ContractCall.encode({ abi, functionName: 'retire', args: [Bytes.to0x(logId)] })
  try {
    await sender.send({ to: book.stake.stakeManager.address, data })
    return true
  } catch (error) {
    // Nothing staked, or retired before.
    if (errors.BaseError.isInstance(error) && error.code === 'call-reverted') return false
    throw error
  }
}

function slotOf({ name }: KeyRing.Ring): Slot {
  const slot = slots.find(({ log }) => log === name)
  if (slot === undefined) throw new KeyRing.UnknownKeyError(name)
  return slot
}

/** The log has pledged what is not on chain yet: ended now, it would break its word. */
export class NotAllAnchoredError extends errors.UsageError<'log-not-anchored'> {
  override readonly name = 'keys.NotAllAnchoredError'
  constructor(count: bigint) {
    super('log-not-anchored', 'The log has entries that are not anchored yet; let the daemon anchor them first.', {
      facts: [`Entries: ${count}`],
    })
  }
}
