/**
 * Issuer.ts - gives receipts their place in the key's sequence, and signs: persist, sync, sign, log, release.
 * Source: spec/receipt.md section 1, spec/log.md section 6.
 *
 * Places are taken in the same critical section as the write: one group at a time, and a group that could not be written
 * leaves the sequence where it was. A signed head leaves only after a log holds it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ClaimsTree, Cose, type Crypto, Dcbor, errors, Head } from 'assay/protocol'
import * as Batcher from '../store/Batcher.ts'
import * as Offering from './Offering.ts'
import type { ReceiptStore, Released, StoredReceipt, Tip } from './ReceiptStore.ts'

/** What the issuer needs of a log; `log/Log.ts` has it. */
export type LogPort = Offering.Port & {
  readonly highest: (keyId: Uint8Array) => Tip | undefined | Promise<Tip | undefined>
}

/** Who signs. */
export type Identity = {
  readonly chainId: bigint
  readonly registry: Uint8Array
  readonly nodeId: Uint8Array
  readonly keyEpoch: number
}

/** A finished call. */
export type Call = {
  readonly intent: number
  readonly modeBits: number
  readonly flags: number
  /** Values by slot. */
  readonly values: ReadonlyMap<number, Uint8Array>
  /** 32 bytes. */
  readonly secret: Uint8Array
  /** 16 bytes: of the order, of the header, or zero. */
  readonly nonce: Uint8Array
  readonly orderHash: Uint8Array | undefined
}

export type Issued = {
  readonly receiptHash: Uint8Array
  readonly head: Uint8Array
  readonly signature: Uint8Array
  readonly pledge: { readonly words: Uint8Array; readonly signature: Uint8Array }
  /** dCBOR {slot: value}. */
  readonly claims: Uint8Array
}

export type Hooks = {
  readonly reached?: (step: 'head-persisted' | 'head-signed' | 'head-logged' | 'receipt-released') => void
}

export type Issuer = {
  readonly identity: Identity
  readonly publicKey: Uint8Array
  /** Gives the call its receipt; throws `PendingError` when no log held it in time (it follows later), else the store's errors. */
  readonly issue: (call: Call) => Promise<Issued>
  /** Calls waiting to be written. */
  readonly depth: () => number
  /** Heads that are written and that no log holds yet. */
  readonly unreleased: () => number
  /** Takes no more calls and waits a moment for the log; what it does not hold by then follows at the next start. */
  readonly close: () => Promise<void>
}

/** How long a call waits for the first pledge of any log before it answers `pending`. Source: spec/log.md section 7. */
export const pledgeTimeoutMs = 500
/** How long a start waits for heads that no log had taken before; what is not pledged then follows beside the calls. */
const startMs = 2_000
/** How long closing waits for a log that has a head in its hands. */
const closeMs = 2_000
/** How often freeing the order of a call that could not be written is tried, at first and at most. */
const freeMs = 250
const maxFreeMs = 30_000
const maxQueue = 4_096
const maxGroup = 256

/**
 * Opens the issuer: compares the node's own memory with that of every log and refuses to sign when it is behind one of them.
 *
 * - `logs`: in order of preference; all of them are asked, because each may hold what the others lack; those that have ended
 *   get no heads
 *
 * Throws: `KeyBehindError`, what `highest` throws when a log cannot be asked.
 */
export async function create(options: {
  readonly crypto: Crypto
  readonly identity: Identity
  readonly signer: Cose.Signer
  readonly store: ReceiptStore
  readonly logs: readonly { readonly name: string; readonly port: LogPort; readonly isEnded?: boolean }[]
  readonly hooks?: Hooks
  readonly pledgeTimeoutMs?: number
  readonly timings?: Partial<Offering.Timings>
  /** The machine's where absent. */
  readonly clock?: Offering.Clock
  readonly onLog?: (event: { readonly kind: 'aside' | 'back'; readonly log: string }) => void
}): Promise<Issuer> {
  const { crypto, identity, signer, store, logs, hooks, clock = Offering.clock } = options
  const keyId = Cose.keyId(crypto, signer.publicKey)
  let tip = store.tip(keyId)
  for (const { port } of logs) assertNotBehind(tip, await port.highest(keyId), store)
  // Given to another log after this answer, the head would be the second one in its place, signed by this key.
  const isFinal = (error: unknown) => (error as { code?: unknown } | null)?.code === 'place-taken'
  const open = logs.filter(({ isEnded }) => isEnded !== true)
  const offering = Offering.create({ logs: open, clock, timings: options.timings, onEvent: options.onLog, isFinal })
  let unreleased = 0
  let isClosed = false

  const batcher = Batcher.create<Call, StoredReceipt>({
    maxQueue,
    maxGroup,
    run: async (calls) => {
      const before = tip
      // A call that has no head takes no place, and those beside it keep theirs.
      const outcomes = calls.map((call): Batcher.Outcome<StoredReceipt> => {
        try {
          const value = place(call)
          tip = { sequence: value.sequence, receiptHash: value.receiptHash }
          return { value }
        } catch (error) {
          return { error }
        }
      })
      try {
        await store.addHeads(outcomes.flatMap((outcome) => ('value' in outcome ? [outcome.value] : [])))
      } catch (error) {
        tip = before
        throw error
      }
      hooks?.reached?.('head-persisted')
      return outcomes
    },
  })

  function place(call: Call): StoredReceipt {
    const claimsRoot = ClaimsTree.build(crypto, {
      values: call.values,
      secret: call.secret,
      nonce: call.nonce,
      modeBits: call.modeBits,
    }).root
    const head = Head.serialize({
      ...identity,
      sequence: tip === undefined ? 0n : tip.sequence + 1n,
      previous: tip === undefined ? new Uint8Array(32) : tip.receiptHash,
      modeBits: call.modeBits,
      flags: call.flags,
      claimsRoot,
    })
    return {
      keyId,
      sequence: tip === undefined ? 0n : tip.sequence + 1n,
      receiptHash: Head.hash(crypto, head),
      head,
      claims: Dcbor.encode(call.values),
      secret: call.secret,
      nonce: call.nonce,
      orderHash: call.orderHash,
      intent: call.intent,
      released: undefined,
    }
  }

  /** Offers a head until a log holds it; the signature exists only after the head is durable, and leaves only after a log has it. */
  function release(receipt: StoredReceipt): Promise<Released> {
    unreleased++
    let isCounted = true
    const sign = async () => {
      // Not checked here: a log checks every signature before it takes a head, and nothing leaves that none took.
      const message = Cose.sigStructure('receipt', Head.payload(crypto, receipt.head))
      const signature = Cose.normalizeLowS(await signer.sign(message))
      hooks?.reached?.('head-signed')
      return { head: receipt.head, signature, publicKey: signer.publicKey }
    }
    let signed: Awaited<ReturnType<typeof sign>> | undefined
    return offering.offer(
      async () => {
        signed = await sign()
        return signed
      },
      async ({ index, pledge }) => {
        hooks?.reached?.('head-logged')
        const { signature } = signed as NonNullable<typeof signed>
        const released = await store.release(receipt.receiptHash, {
          ...{ signature, pledgeWords: pledge.words, pledgeSignature: pledge.signature, leafIndex: index },
        })
        if (isCounted) unreleased--
        isCounted = false
        hooks?.reached?.('receipt-released')
        return released
      },
    )
  }

  /** Nothing was kept of a call that could not be written: its order may be used again, as soon as the disk takes that. */
  async function freeOrder(intent: number): Promise<void> {
    for (let attempt = 0; !isClosed; attempt++) {
      try {
        return await store.refuseIntent(intent)
      } catch {
        await sleep(Math.min(maxFreeMs, freeMs * 2 ** Math.min(attempt, 16)), undefined, { ref: false })
      }
    }
  }

  async function within<T>(work: Promise<T>, receiptHash: Uint8Array): Promise<T> {
    let stop = () => {}
    const late = new Promise<never>((_, reject) => {
      const end = () => reject(new PendingError(receiptHash, undefined))
      stop = clock.later(options.pledgeTimeoutMs ?? pledgeTimeoutMs, end, true)
    })
    try {
      return await Promise.race([work, late])
    } catch (cause) {
      throw cause instanceof PendingError ? cause : new PendingError(receiptHash, cause)
    } finally {
      stop()
    }
  }

  const waiting = store.unreleased(keyId).map((receipt) => release(receipt).catch(() => {}))
  if (waiting.length > 0) await Promise.race([Promise.all(waiting), sleep(startMs, undefined, { ref: false })])

  return {
    identity,
    publicKey: signer.publicKey,
    depth: batcher.depth,
    unreleased: () => unreleased,
    async issue(call) {
      const receipt = await batcher.add(call).catch((error: unknown) => {
        void freeOrder(call.intent)
        throw error
      })
      const released = await within(release(receipt), receipt.receiptHash)
      return {
        receiptHash: receipt.receiptHash,
        head: receipt.head,
        signature: released.signature,
        pledge: { words: released.pledgeWords, signature: released.pledgeSignature },
        claims: receipt.claims,
      }
    },
    async close() {
      isClosed = true
      offering.close()
      await batcher.close()
      await Promise.race([offering.idle(), sleep(closeMs, undefined, { ref: false })])
    },
  }
}

/** The log has seen a place of this key that the node does not remember, or another head in it: the key must not sign again. */
function assertNotBehind(tip: Tip | undefined, logged: Tip | undefined, store: ReceiptStore): void {
  if (logged === undefined) return
  if (tip === undefined || tip.sequence < logged.sequence) throw new KeyBehindError(tip?.sequence, logged.sequence)
  if (store.byHash(logged.receiptHash)?.sequence !== logged.sequence)
    throw new KeyBehindError(tip.sequence, logged.sequence)
}

/** No log held the head in time; the receipt exists and follows at `/v1/receipts/by-order`. */
export class PendingError extends errors.UnavailableError<'receipt-pending'> {
  override readonly name = 'PendingError'
  readonly receiptHash: Uint8Array
  constructor(receiptHash: Uint8Array, cause: unknown) {
    super('receipt-pending', 'No log pledged in time; the receipt follows.', {
      retryAfterSeconds: 1,
      ...(cause === undefined ? {} : { cause }),
    })
    this.receiptHash = receiptHash
  }
}

/** The node's folder is older than what the log has seen: signing with this key could make two receipts in one place. */
export class KeyBehindError extends errors.VerificationError<'key-behind'> {
  override readonly name = 'KeyBehindError'
  constructor(own: bigint | undefined, logged: bigint) {
    super('key-behind', "The node's folder is behind its log; this key signs no more and is replaced by a new one.", {
      facts: [`Own highest sequence: ${own ?? 'none'}`, `Log's: ${logged}`],
    })
  }
}
