/**
 * Stores.ts - what a client keeps across restarts: receipts whose anchoring still rises, and headers it saw as final.
 * Interfaces owned by the client; `MemoryStores` for tests and short lives, files in `FileStores.ts`.
 */
import * as TrustAnchors from '../chain/TrustAnchors.ts'

/** Receipts on their way to finality. */
export type PendingStore = {
  /** Durable before it returns. Replaces an older state of the same receipt. */
  save(receiptHash: string, bundle: Uint8Array): Promise<void>
  load(receiptHash: string): Promise<Uint8Array | undefined>
  /** Hashes of receipts that are not final yet, oldest first. */
  list(): Promise<readonly string[]>
  /** The receipt needs no more work here. */
  remove(receiptHash: string): Promise<void>
}

/**
 * Calls whose receipt no log had pledged when they were answered, by the hash of their order in hex; same rules as for
 * `PendingStore`, of which the memory implementation serves here too.
 */
export type CallStore = PendingStore

/** Trust anchors of this reader. */
export type AnchorStore = {
  read(): Promise<readonly TrustAnchors.TrustAnchors[]>
  /** Adds a header that this reader saw at or below its RPC's finalized tag. Durable before it returns. */
  addHeader(chainId: bigint, header: TrustAnchors.TrustedHeader): Promise<void>
}

/** How far the filing of a fault file has come. */
export type FilingState = {
  /**
   * `committed`: the call is written down, its commitment is sent or on its way; `filed`: it is recorded with this
   * reporter; `rewarded`: the reward is fetched, or there was none; `recorded`: another reporter was first; `covered`:
   * another file here shows the same fault, or nothing is left to take; `refused`: the court would not record it.
   */
  readonly stage: 'committed' | 'filed' | 'recorded' | 'rewarded' | 'covered' | 'refused'
  /** Name of the fault, 32 bytes. */
  readonly faultId: Uint8Array
  /** 32 random bytes at the end of the call; empty when nothing was to be filed. */
  readonly salt: Uint8Array
  /** The exact bytes of the call; empty when nothing was to be filed. */
  readonly callData: Uint8Array
  /** Who commits and files, or who is recorded, 20 bytes. */
  readonly reporter: Uint8Array
  /** First block in which the call may be filed. */
  readonly committedFromBlock?: bigint
  /** Transactions that came into a block and were refused there, and commitments that were sent again. */
  readonly tries?: number
  /** What was paid to the reporter, token units. */
  readonly reward?: bigint
  /**
   * Why it was refused: the name of the contract's error; `void` where the chain does not show any more what the file rests on;
   * `nothing-left` where the subject has ended and has nothing to lose.
   */
  readonly reason?: string
  /** The file that is filed in place of this one (SHA-256 of the file, hex). */
  readonly coveredBy?: string
  /** What came of it can no longer change: nothing is left to do. */
  readonly isFinal?: boolean
}

/** Fault files of this client, each named by SHA-256 of the file in hex, and how far their filing has come. */
export type FaultStore = {
  /** Durable before it returns. A file that is there already stays as it is. */
  save(id: string, file: Uint8Array): Promise<void>
  /** Names, oldest first; `open`: only those whose filing is not final. */
  list(which?: 'all' | 'open'): Promise<readonly string[]>
  load(id: string): Promise<{ readonly file: Uint8Array; readonly filing?: FilingState } | undefined>
  /** Durable before it returns. Replaces the older state; undefined: nothing was begun. */
  saveFiling(id: string, state: FilingState | undefined): Promise<void>
}

/** Most receipts kept pending: beyond it the caller is told to let anchoring catch up. */
export const maxPending = 10_000

/** Pending receipts of one process's life. */
export function memoryPendingStore(): PendingStore {
  const items = new Map<string, Uint8Array>()
  return {
    async save(receiptHash, bundle) {
      items.set(receiptHash, bundle.slice())
    },
    async load(receiptHash) {
      return items.get(receiptHash)
    },
    async list() {
      return [...items.keys()]
    },
    async remove(receiptHash) {
      items.delete(receiptHash)
    },
  }
}

/** Trust anchors of one process's life. */
export function memoryAnchorStore(initial: readonly TrustAnchors.TrustAnchors[]): AnchorStore {
  let anchors = initial
  return {
    async read() {
      return anchors
    },
    async addHeader(chainId, header) {
      anchors = anchors.map((entry) => (entry.chainId === chainId ? TrustAnchors.add(entry, header) : entry))
    },
  }
}

/** A case that this client opened. Amounts in wei. */
export type CaseState = {
  /** `opening`: written down before the bond is sent; `failed`: it never came to be. */
  readonly stage: 'opening' | 'open' | 'answered' | 'expired' | 'failed'
  /** 17 for an entry, 18 for a slot. */
  readonly class: 17 | 18
  /** logId or nodeId, 32 bytes. */
  readonly subject: Uint8Array
  readonly keyEpoch: number
  /** 32 bytes. */
  readonly incident: Uint8Array
  /** Who pays the bond, 20 bytes. */
  readonly challenger: Uint8Array
  readonly bond: bigint
  /** What is asked for: an index of the log, or a slot of a receipt (its head, 139 bytes). */
  readonly index?: bigint
  readonly head?: Uint8Array
  readonly slot?: number
  /** While `opening`: the number of the transaction with the bond, where it is known. */
  readonly nonce?: bigint
  /** While `opening`: the newest block when the case was first looked for and not there. */
  readonly askedAtBlock?: bigint
  readonly openedAtBlock?: bigint
  /** Last block in which only an answer closes it. */
  readonly lastBlock?: bigint
  /** Of an expired case: what the record of the fault holds or held for this challenger, token units. */
  readonly reward?: bigint
  /** Of an expired case: reward and bond are with the challenger. */
  readonly isPaid?: boolean
  /** What came of it can no longer change: nothing is left to do. */
  readonly isFinal?: boolean
}

/** Cases of this client, each named by its case id in hex. */
export type CaseStore = {
  /** Durable before it returns. Replaces the older state. */
  save(caseId: string, state: CaseState): Promise<void>
  load(caseId: string): Promise<CaseState | undefined>
  /** Oldest first. */
  list(): Promise<readonly string[]>
}

/** Cases of one process's life. */
export function memoryCaseStore(): CaseStore {
  const cases = new Map<string, CaseState>()
  return {
    async save(caseId, state) {
      cases.set(caseId, state)
    },
    async load(caseId) {
      return cases.get(caseId)
    },
    async list() {
      return [...cases.keys()]
    },
  }
}

/** Fault files of one process's life. */
export function memoryFaultStore(): FaultStore {
  const files = new Map<string, { readonly file: Uint8Array; readonly filing?: FilingState }>()
  return {
    async save(id, file) {
      if (!files.has(id)) files.set(id, { file: file.slice() })
    },
    async list(which = 'all') {
      const isOpen = (id: string) => files.get(id)?.filing?.isFinal !== true
      return [...files.keys()].filter((id) => which === 'all' || isOpen(id))
    },
    async load(id) {
      return files.get(id)
    },
    async saveFiling(id, filing) {
      const known = files.get(id)
      if (known !== undefined) files.set(id, { file: known.file, ...(filing === undefined ? {} : { filing }) })
    },
  }
}
