/**
 * Rotation.ts - the way out of a key that is being replaced: its new key is registered first, the heads that it persisted
 * come into a log under its own signature, then it is ended on chain and its private half goes. Source: spec/log.md section 6.
 *
 * The old key takes no new place: it signs what it persisted, so there is one head for each of its places.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { NodeRegistryContract } from 'assay/chain'
import { Bytes, Cose, errors } from 'assay/protocol'
import * as Issuer from '../receipts/Issuer.ts'
import type { ReceiptStore } from '../receipts/ReceiptStore.ts'
import { encode } from '../settle/contract-call.ts'
import { findKey, type Registrar, roles } from '../settle/register.ts'
import * as KeyFile from './KeyFile.ts'

/** How a rotation stands. */
export type Step =
  | { readonly kind: 'draining'; readonly pending: number }
  | { readonly kind: 'ended'; readonly keyEpoch: number | undefined }

/** Between two looks at what the old key has still to bring into a log. */
const defaultLookMs = 250
const maxBackOffMs = 30_000
const stopMs = 2_000

/** Ends a key in NodeRegistry, unless it has ended; gives its epoch, undefined if it never entered. */
export async function endKey(
  registrar: Registrar,
  key: { readonly nodeId: Uint8Array; readonly role: number; readonly signer: Pick<Cose.Signer, 'publicKey'> },
): Promise<number | undefined> {
  const { book, sender } = registrar
  const found = await findKey(registrar, key)
  if (found === undefined || found.record.validUntilBlock !== 0n) return found?.keyEpoch
  const args = [Bytes.to0x(key.nodeId), found.keyEpoch] as const
  const data = encode({ abi: NodeRegistryContract.abi, functionName: 'endKey', args })
  await sender.send({ to: book.nodeRegistry.address, data })
  return found.keyEpoch
}

/** Ends what a witness's rotation left: a witness has nothing on its way. The new key must be registered. */
export async function finishWitness(options: {
  readonly folder: string
  readonly registrar: Registrar
  readonly nodeId: Uint8Array
}): Promise<Step | undefined> {
  const { folder, registrar, nodeId } = options
  const outgoing = KeyFile.outgoingKey(folder, 'witness')
  if (outgoing === undefined) return undefined
  const keyEpoch = await endKey(registrar, { nodeId, role: roles.witness, signer: outgoing.signer })
  KeyFile.endRotation(folder)
  return { kind: 'ended', keyEpoch }
}

/**
 * Brings a node's rotation to its end beside the calls; does nothing when no key is on its way out. The new key must be
 * registered. What fails is tried again; what a stop cuts off goes on at the next start.
 */
export function finishNode(options: {
  readonly folder: string
  readonly registrar: Registrar
  readonly nodeId: Uint8Array
  readonly store: ReceiptStore
  readonly logs: readonly { readonly name: string; readonly port: Issuer.LogPort }[]
  readonly onStep: (step: Step) => void
  /** Between two looks, default 250. */
  readonly lookMs?: number
}): { readonly stop: () => Promise<void>; readonly done: Promise<void> } {
  const { lookMs = defaultLookMs } = options
  const stopping = new AbortController()
  const done = (async () => {
    for (let failures = 0; !stopping.signal.aborted; failures++) {
      try {
        return await drain(options, stopping.signal)
      } catch {
        const ms = Math.min(maxBackOffMs, lookMs * 2 ** Math.min(failures, 10))
        await sleep(ms, undefined, { signal: stopping.signal }).catch(() => undefined)
      }
    }
  })()
  return {
    done,
    stop: async () => {
      stopping.abort()
      // A transaction may be waiting for a block of a chain that makes none any more; the next start looks again.
      await Promise.race([done, sleep(stopMs, undefined, { ref: false })])
    },
  }
}

async function drain(options: Parameters<typeof finishNode>[0], signal: AbortSignal): Promise<void> {
  const { folder, registrar, nodeId, store, logs, onStep, lookMs = defaultLookMs } = options
  const { crypto, book } = registrar
  const outgoing = KeyFile.outgoingKey(folder, 'node')
  if (outgoing === undefined) return
  const { signer, keyId } = outgoing
  const key = { nodeId, role: roles.node, signer }
  const found = await findKey(registrar, key)
  // A key that has ended can bring nothing into a log any more, and one that never entered has signed nothing.
  if (found !== undefined && found.record.validUntilBlock === 0n) {
    const pending = store.unreleased(keyId).length
    if (pending > 0) {
      onStep({ kind: 'draining', pending })
      const { chainId, nodeRegistry } = book
      const identity = { chainId, registry: nodeRegistry.address, nodeId, keyEpoch: found.keyEpoch }
      if (!(await release({ crypto, identity, signer, store, logs }, lookMs, signal))) return
    }
  }
  const keyEpoch = await endKey(registrar, key)
  KeyFile.endRotation(folder)
  onStep({ kind: 'ended', keyEpoch })
}

/** Releases what the old key persisted; false when it was stopped before all of it was in a log. */
async function release(
  options: Parameters<typeof Issuer.create>[0],
  lookMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  let issuer: Issuer.Issuer
  try {
    issuer = await Issuer.create(options)
  } catch (error) {
    // The folder is older than a log: the key must not sign, and ends as it is.
    if (errors.BaseError.isInstance(error) && error.code === 'key-behind') return true
    throw error
  }
  try {
    const keyId = Cose.keyId(options.crypto, options.signer.publicKey)
    while (options.store.unreleased(keyId).length > 0) {
      if (signal.aborted) return false
      await sleep(lookMs, undefined, { signal }).catch(() => undefined)
    }
    return true
  } finally {
    await issuer.close()
  }
}
