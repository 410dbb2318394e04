/** keys-log.ts - the end of a log: its key goes, what it holds stays, readable, for whoever may demand it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { putAside, unanchored } from '@assay/node/daemon/endedLogs'
import { type Slot, slots } from '@assay/node/daemon/logs'
import * as KeyFile from '@assay/node/keys/KeyFile'
import { findLog, type Registrar } from '@assay/node/settle/register'
import { ContractCall, StakeManagerContract } from 'assay/chain'
import { Bytes, errors } from 'assay/protocol'
import type { Context } from '../Context.ts'
import type { Home } from '../Home.ts'
import * as KeyRing from '../KeyRing.ts'

/**
 * Ends a log: nothing that it pledged may be missing in the final state, its stake begins to leave, its key goes, and its folder and
 * its mirror get names under which the daemon only reads them.
 *
 * Throws: `NotAllAnchoredError`, `UnknownLogError`.
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
    const owed = await unanchored(registrar, ring.folder, logId)
    if (owed > 0n) throw new NotAllAnchoredError(owed)
    return { logId, stakeLeaves: await retireStake(registrar, logId) }
  })
  const key = { role: ring.role, publicKey }
  if (ended === undefined) {
    removeUnused(ring.folder, key)
    return { logId: null, stakeLeaves: false }
  }
  KeyFile.removeKey(putAside(home.folder, slotOf(ring), ended.logId), key)
  return { logId: Bytes.toHex(ended.logId), stakeLeaves: ended.stakeLeaves }
}

/**
 * Throws away the key of a log that was never registered. Throws: `UnknownLogError` for one with a database: that is made under the
 * name which the registration gave, and an endpoint that does not know it is of another chain, or lies.
 */
export function removeUnused(folder: string, key: Parameters<typeof KeyFile.removeKey>[1]): void {
  if (existsSync(join(folder, 'log.db'))) throw new UnknownLogError()
  KeyFile.removeKey(folder, key)
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

/** The chain knows no log with this key, and the folder says that there is one. */
export class UnknownLogError extends errors.UsageError<'log-unknown'> {
  override readonly name = 'keys.UnknownLogError'
  constructor() {
    super(
      'log-unknown',
      'The endpoint knows no log with this key, but the folder holds entries of one; its key stays.',
      {
        facts: ['Give the endpoint of the chain on which the log was registered (ASSAY_CHAIN_RPC).'],
      },
    )
  }
}

/** The log has pledged what is not on chain yet: ended now, it would break its word. */
export class NotAllAnchoredError extends errors.UsageError<'log-not-anchored'> {
  override readonly name = 'keys.NotAllAnchoredError'
  constructor(count: bigint) {
    super(
      'log-not-anchored',
      'The log has entries that are not anchored for good yet; let the daemon anchor them first.',
      {
        facts: [`Entries: ${count}`],
      },
    )
  }
}
