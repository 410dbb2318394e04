/**
 * logs.ts - the node's logs: two, each with its own folder, key, registration and mirror, so that calls go on while one of
 * them cannot work. One witness key keeps both mirrors.
 */
import { join } from 'node:path'
import { crypto } from 'assay/crypto/node'
import type { Cose, Note } from 'assay/protocol'
import * as KeyFile from '../keys/KeyFile.ts'
import * as Log from '../log/Log.ts'
import type { ReceiptStore } from '../receipts/ReceiptStore.ts'
import type { ChainView } from '../settle/chain-view.ts'
import { type Registrar, registerLog } from '../settle/register.ts'
import * as Witness from '../witness/Witness.ts'
import type { Closers, Progress } from './parts.ts'

/** The folders of one log. Heads go to the first log as long as it is well. */
export type Slot = { readonly log: string; readonly witness: string }

/** Where the logs are, in order of preference; the first also holds the witness's key. */
export const slots: readonly [Slot, ...Slot[]] = [
  { log: 'log', witness: 'witness' },
  { log: 'log2', witness: 'witness2' },
]

/** A log's key with the slot that it was opened from. */
export type SlotKey = {
  readonly slot: Slot
  readonly signer: Cose.Signer
  readonly ed25519: Note.Ed25519Signer
}

/** What registering logs needs: how long a pledge may take is the chain's least. */
export type Pledging = Registrar & { readonly pledgeBlocks: bigint }

/** A log that AnchorLog knows; `logId`: 32 bytes. */
export type Registered = { readonly key: SlotKey; readonly logId: Uint8Array }

/** A running log with its mirror. */
export type OpenLog = {
  /** Name of its folder, for lines about it. */
  readonly name: string
  readonly log: Log.Log
  readonly witness: Witness.Witness
  /** 32 bytes: the key of its published notes. */
  readonly ed25519: Uint8Array
}

/** The keys of all logs, made where there are none; a home from before the second log gets it here. */
export function openKeys(home: string): readonly [SlotKey, ...SlotKey[]] {
  const open = (slot: Slot): SlotKey => {
    const { signer, ed25519 } = KeyFile.openKey(join(home, slot.log), 'log')
    return { slot, signer, ed25519: ed25519 as NonNullable<typeof ed25519> }
  }
  const [first, ...others] = slots
  return [open(first), ...others.map(open)]
}

/** Enters one log in AnchorLog, unless it is there; gives its logId, 32 bytes. */
export function register(registrar: Pledging, { signer, ed25519 }: SlotKey): Promise<Uint8Array> {
  return registerLog(registrar, {
    ...{ signer, ed25519Key: ed25519.publicKey, pledgeBlocks: registrar.pledgeBlocks },
  })
}

/** Enters logs one after the other: the contract numbers an operator's logs, and a proof of possession names its number. */
export async function registerAll(registrar: Pledging, keys: readonly SlotKey[]): Promise<readonly Registered[]> {
  const registered: Registered[] = []
  for (const key of keys) registered.push({ key, logId: await register(registrar, key) })
  return registered
}

/**
 * Opens every log with its mirror, first to last. A log that cannot be opened stops the start: it may hold places of the
 * node's key that nobody else remembers, and its pledges have to be kept.
 *
 * Throws: what `Witness.createWitness` and `Log.createLog` throw, with the log's name in `facts`.
 */
export async function open(options: {
  readonly home: string
  readonly registered: readonly Registered[]
  readonly registrar: Pledging
  readonly view: ChainView
  readonly witness: KeyFile.RoleKey
  /** The node's receipts: they remember what each log has pledged. */
  readonly receipts: Pick<ReceiptStore, 'highestPledge'>
  readonly closers: Closers
  readonly progress: Progress
}): Promise<readonly OpenLog[]> {
  const { home, registrar, view, closers, progress } = options
  const { chainId, anchorLog, nodeRegistry } = registrar.book
  const opened: OpenLog[] = []
  for (const { key, logId } of options.registered) {
    const { slot, signer, ed25519 } = key
    const witness = await Witness.createWitness({
      folder: join(home, slot.witness),
      log: { chainId, anchorLog: anchorLog.address, logId, publicKey: signer.publicKey },
      ...{ signer: options.witness.signer, chain: view, crypto, keyFolder: join(home, slots[0].witness) },
      ...(options.witness.ed25519 === undefined ? {} : { ed25519: options.witness.ed25519 }),
    })
    closers.add(slot.witness, witness.close)
    progress('witness', `${slot.witness}: ${witness.stopped() ?? 'open'}`)
    const log = await Log.createLog({
      folder: join(home, slot.log),
      identity: {
        ...{ chainId, registry: nodeRegistry.address, anchorLog: anchorLog.address, logId },
        pledgeBlocks: registrar.pledgeBlocks,
      },
      ...{ signer, ed25519, mirror: witness.mirror, chain: view, crypto },
      promised: options.receipts.highestPledge(logId),
    })
    closers.add(slot.log, log.close)
    progress('log', `${slot.log}: ${log.size()} entries`)
    opened.push({ name: slot.log, log, witness, ed25519: ed25519.publicKey })
  }
  return opened
}
