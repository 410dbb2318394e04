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
import type { ReceiptStore, Released, StoredReceipt, Tip } from './ReceiptStore.ts'

/** What the issuer needs of a log; `log/Log.ts` has it. */
export type LogPort = {
  readonly append: (request: {
    readonly head: Uint8Array
    readonly signature: Uint8Array
    readonly publicKey: Uint8Array
  }) => Promise<{
    readonly index: bigint
    readonly pledge: { readonly words: Uint8Array; readonly signature: Uint8Array }
  }>
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

/** How long a call waits for a log before it answers `pending`: a busy disk syncs in under a second, a client waits a few. */
export const pledgeTimeoutMs = 5_000
/** Heads that a log did not take are offered again this often. */
const retryMs = 1_000
/** How long closing waits for a log that has a head in its hands. */
const closeMs = 2_000
const maxQueue = 4_096
const maxGroup = 256

/**
 * Opens the issuer: compares the node's own memory with the log's and refuses to sign when it is behind.
 *
 * Throws: `KeyBehindError`, what `log.highest` throws when the log cannot be asked.
 */
export async function create(options: {
  readonly crypto: Crypto
  readonly identity: Identity
  readonly signer: Cose.Signer
  readonly store: ReceiptStore
  readonly log: LogPort
  readonly hooks?: Hooks
  readonly pledgeTimeoutMs?: number
  readonly retryMs?: number
}): Promise<Issuer> {
  const { crypto, identity, signer, store, log, hooks } = options
  const keyId = Cose.keyId(crypto, signer.publicKey)
  let tip = store.tip(keyId)
  assertNotBehind(tip, await log.highest(keyId), store)
  const timers = new Set<ReturnType<typeof setTimeout>>()
  const releasing = new Set<Promise<unknown>>()
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
      orderHash: call.orderHash,
      intent: call.intent,
      released: undefined,
    }
  }

  /** One attempt; the next one follows by itself. */
  function release(receipt: StoredReceipt): Promise<Released> {
    const attempt = releaseNow(receipt)
    releasing.add(attempt)
    attempt
      .then(() => {
        unreleased--
      })
      .catch(() => releaseLater(receipt))
      .finally(() => releasing.delete(attempt))
    return attempt
  }

  /** Signs, logs and stores; the signature exists only after the head is durable, and leaves only after the log has it. */
  async function releaseNow(receipt: StoredReceipt): Promise<Released> {
    // Not checked here: the log checks every signature before it takes a head, and nothing leaves that it did not take.
    const message = Cose.sigStructure('receipt', Head.payload(crypto, receipt.head))
    const signature = Cose.normalizeLowS(await signer.sign(message))
    hooks?.reached?.('head-signed')
    const { index, pledge } = await log.append({ head: receipt.head, signature, publicKey: signer.publicKey })
    hooks?.reached?.('head-logged')
    const released = { signature, pledgeWords: pledge.words, pledgeSignature: pledge.signature, leafIndex: index }
    await store.release(receipt.receiptHash, released)
    hooks?.reached?.('receipt-released')
    return released
  }

  function releaseLater(receipt: StoredReceipt): void {
    if (isClosed) return
    const timer = setTimeout(() => {
      timers.delete(timer)
      release(receipt).catch(() => {})
    }, options.retryMs ?? retryMs)
    timer.unref()
    timers.add(timer)
  }

  for (const receipt of store.unreleased(keyId)) {
    unreleased++
    // One after the other: after a long outage there may be many, and whatever fails is offered again.
    await release(receipt).catch(() => {})
  }

  return {
    identity,
    publicKey: signer.publicKey,
    depth: batcher.depth,
    unreleased: () => unreleased,
    async issue(call) {
      const receipt = await batcher.add(call)
      unreleased++
      const released = await within(release(receipt), options.pledgeTimeoutMs ?? pledgeTimeoutMs, receipt.receiptHash)
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
      for (const timer of timers) clearTimeout(timer)
      await batcher.close()
      await Promise.race([Promise.allSettled(releasing), sleep(closeMs, undefined, { ref: false })])
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

async function within<T>(work: Promise<T>, ms: number, receiptHash: Uint8Array): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new PendingError(receiptHash, undefined)), ms)
  })
  try {
    return await Promise.race([work, late])
  } catch (cause) {
    throw cause instanceof PendingError ? cause : new PendingError(receiptHash, cause)
  } finally {
    clearTimeout(timer)
  }
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
