/**
 * ReceiptStore.ts - what a node must remember of its calls: intents before anything runs, heads before they are signed.
 * The interface belongs to the Issuer; `ReceiptStore.behavior.ts` is its contract, and SQLite its one driver outside tests.
 *
 * No prompt and no completion is kept here: claims hold commitments only. An opening (claims, secret, nonce) is kept for as
 * long as it may be demanded; the receipt's place (head, signature, log, index) is kept for good.
 */

/** A receipt as the node keeps it. */
export type StoredReceipt = {
  /** 32 bytes: SHA-256 of the public key that signs (or signed) it. */
  readonly keyId: Uint8Array
  readonly sequence: bigint
  readonly receiptHash: Uint8Array
  /** 139 bytes. */
  readonly head: Uint8Array
  /** dCBOR {slot: value}; empty once the opening is gone. */
  readonly claims: Uint8Array
  /** 32 bytes; none once the opening is gone. */
  readonly secret: Uint8Array
  /** 16 bytes, what the salts were made with beside the secret; undefined once the opening is gone. */
  readonly nonce: Uint8Array | undefined
  readonly orderHash: Uint8Array | undefined
  readonly intent: number
  /** Once a log holds it: signature (64), and of the first log that did pledge words (224) and signature (64), leaf index. */
  readonly released: Released | undefined
}

export type Released = {
  readonly signature: Uint8Array
  readonly pledgeWords: Uint8Array
  readonly pledgeSignature: Uint8Array
  readonly leafIndex: bigint
}

/** Where an intent stands. `interrupted`: the process ended before the call did. */
export type IntentState = 'running' | 'issued' | 'refused' | 'interrupted'

export type Intent = {
  readonly id: number
  readonly target: string
  readonly receivedMs: number
  readonly state: IntentState
}

/** One place in a key's sequence with what stands there. */
export type Tip = { readonly sequence: bigint; readonly receiptHash: Uint8Array }

/** What a log once promised: 224 bytes, and 64. */
export type HeldPledge = { readonly words: Uint8Array; readonly signature: Uint8Array }

/** Durable when the promise resolves; nothing is kept when it rejects. */
export type ReceiptStore = {
  readonly openIntent: (target: string, receivedMs: number, orderHash: Uint8Array | undefined) => Promise<number>
  /** The call did not run, or nothing of it was kept: its order counts as not taken. Of these intents only the last ones are kept. */
  readonly refuseIntent: (id: number) => Promise<void>
  /** How many refused intents are kept. */
  readonly refusedCount: () => number
  /** Intents still running at start belong to a process that ended; they become `interrupted` and are listed for ever. */
  readonly interruptRunning: () => Promise<number>
  readonly interrupted: (limit: number) => readonly Intent[]
  /** Writes a group of heads and closes their intents, in one transaction. */
  readonly addHeads: (receipts: readonly StoredReceipt[]) => Promise<void>
  /**
   * Keeps what a log answered and gives what the receipt carries: the first pledge for ever. A pledge of another log is
   * kept beside it, because it binds that log all the same.
   */
  readonly release: (receiptHash: Uint8Array, released: Released) => Promise<Released>
  /** Pledges of other logs than the one that the receipt carries. */
  readonly otherPledges: (receiptHash: Uint8Array) => readonly Pick<Released, 'pledgeWords' | 'pledgeSignature'>[]
  /** The pledge of a log (32 bytes) with the highest index, of all that this node was ever given; it outlives openings. */
  readonly highestPledge: (logId: Uint8Array) => HeldPledge | undefined
  readonly tip: (keyId: Uint8Array) => Tip | undefined
  readonly unreleased: (keyId: Uint8Array) => readonly StoredReceipt[]
  readonly byHash: (receiptHash: Uint8Array) => StoredReceipt | undefined
  readonly byOrder: (orderHash: Uint8Array) => StoredReceipt | undefined
  /** True when an order was taken before, whether or not its call ended: an order is good for one call. */
  readonly hasOrder: (orderHash: Uint8Array) => boolean
  /** Receipts whose opening is still here, in the order in which they came, from behind row `after`. */
  readonly opened: (
    after: number,
    limit: number,
  ) => readonly { readonly row: number; readonly receipt: StoredReceipt }[]
  /** Overwrites the openings of rows; their places stay. */
  readonly forgetOpenings: (rows: readonly number[]) => Promise<void>
  readonly close: () => Promise<void>
}
