/**
 * CourtProofs.ts - what the contracts of the court hold, by state proofs under the endpoint's newest or final block. Source:
 * spec/faults.md section 6.5, spec/stake.md section 5.1.
 *
 * That a header is the chain's is the word of the endpoint, or of a quorum of them (`Quorum`); everything below it is checked.
 */
import type { Recorded } from '../chain/CourtCalls.ts'
import * as Layout from '../chain/Layout.ts'
import * as Records from '../chain/Records.ts'
import * as Rpc from '../chain/Rpc.ts'
import * as StateProof from '../chain/StateProof.ts'
import type { Contract } from '../chain/TrustAnchors.ts'
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import type { Court } from './Court.ts'

const mostAttempts = 4

/** Under which block something is shown. */
export type At = 'latest' | 'finalized'

/**
 * A fault by its id, undefined if that block shows none. Of an endpoint that names no final block, or
 * does not show its state, nothing is known to be final.
 *
 * Throws: `Rpc.RequestError`, `Rpc.LieError`.
 */
export async function recorded(crypto: Crypto, court: Court, faultId: Hash, at: At): Promise<Recorded | undefined> {
  const words = await read(crypto, court, court.contracts.faultCourt, [Layout.faultSlot(crypto, faultId)], at)
  if (words === undefined) return undefined
  const [reporter, reward, faultClass] = unpack(words[0], [160, 88, 8]) as [bigint, bigint, bigint]
  if (reporter === 0n) return undefined
  return { reporter: Bytes.u256(reporter).slice(12), reward, class: Number(faultClass) }
}

/** A case by its id (32 bytes), undefined if that block shows none. Throws as `recorded`. */
export async function caseOf(
  crypto: Crypto,
  court: Court,
  caseId: Hash,
  at: At,
): Promise<Records.CaseRecord | undefined> {
  const words = await read(crypto, court, court.contracts.faultCases, [Layout.caseSlot(crypto, caseId)], at)
  const [word] = words ?? []
  return word === undefined || Bytes.toBigInt(word) === 0n ? undefined : Records.caseRecord(word)
}

/** Blocks in which only an answer closes a case, as the newest block shows it. Throws as `recorded`. */
export async function answerBlocks(crypto: Crypto, court: Court): Promise<bigint> {
  const words = await read(crypto, court, court.contracts.faultCourt, [Layout.courtWindowsSlot()], 'latest')
  return Records.courtWindows(words?.[0] ?? new Uint8Array(32)).answerBlocks
}

/** What FaultCases owes an account (20 bytes), wei, as the newest block shows it. Throws as `recorded`. */
export async function credit(crypto: Crypto, court: Court, account: Uint8Array): Promise<bigint> {
  const words = await read(crypto, court, court.contracts.faultCases, [Layout.creditSlot(crypto, account)], 'latest')
  return words === undefined ? 0n : Bytes.toBigInt(words[0] as Uint8Array)
}

/**
 * Whether a subject (32 bytes) has ended and all shares of it, those on their way out too, are gone or worth nothing. It stays so:
 * nobody stakes on what has ended. Throws as `recorded`.
 */
export async function hasNothingLeft(crypto: Crypto, court: Court, subject: Uint8Array, at: At): Promise<boolean> {
  const slots = Layout.stakeSlots(crypto, subject).slice(0, 2)
  const words = await read(crypto, court, court.contracts.stakeManager, slots, at)
  if (words === undefined) return false
  const [self, delegated] = unpack(words[0], [96, 96]) as [bigint, bigint]
  const [index, , , , endedAtBlock] = unpack(words[1], [64, 96, 32, 24, 40]) as [bigint, bigint, bigint, bigint, bigint]
  return endedAtBlock !== 0n && (index === 0n || self + delegated === 0n)
}

/** Whether a log (32 bytes) covers an index in the final state, so in every later one. Throws as `recorded`. */
export async function isCovered(crypto: Crypto, court: Court, logId: Hash, index: bigint): Promise<boolean> {
  const { anchorLog: address, anchorLogCodeHash: codeHash } = court
  if (codeHash === undefined) return false
  const slot = Layout.logHeadSlots(crypto, logId)[0]
  const words = await read(crypto, court, { address, codeHash }, [slot], 'finalized')
  return words !== undefined && (unpack(words[0], [64])[0] as bigint) > index
}

/** The head size of a log (32 bytes) that the final state has for a block, undefined if none. Throws as `recorded`. */
export async function observed(crypto: Crypto, court: Court, logId: Hash, block: bigint): Promise<bigint | undefined> {
  const slot = Layout.observedSlot(crypto, logId, block)
  const words = await read(crypto, court, court.contracts.faultCourt, [slot], 'finalized')
  const sizePlusOne = words === undefined ? 0n : (unpack(words[0], [64])[0] as bigint)
  return sizePlusOne === 0n ? undefined : sizePlusOne - 1n
}

/** Whether the final state has a case (id of 32 bytes) as answered, so every later one has it. Throws as `recorded`. */
export async function isAnswered(crypto: Crypto, court: Court, caseId: Hash): Promise<boolean> {
  const words = await read(crypto, court, court.contracts.faultCases, [Layout.caseSlot(crypto, caseId)], 'finalized')
  return words !== undefined && unpack(words[0], [160, 40, 8])[2] === 2n
}

/** The same, and no fault of that name: it was answered in time, and nothing of it is owed. Throws as `recorded`. */
export async function isAnsweredInTime(crypto: Crypto, court: Court, caseId: Hash): Promise<boolean> {
  const { faultCases, faultCourt } = court.contracts
  // Under one block: an older one has no fault on record yet.
  const words = await readAll(crypto, court, 'finalized', [
    { contract: faultCases, slots: [Layout.caseSlot(crypto, caseId)] },
    { contract: faultCourt, slots: [Layout.faultSlot(crypto, caseId)] },
  ])
  return (
    words !== undefined && unpack(words[0], [160, 40, 8])[2] === 2n && Bytes.toBigInt(words[1] as Uint8Array) === 0n
  )
}

/** Whether the final state has no case of that id (32 bytes). Throws as `recorded`. */
export async function hasNoCase(crypto: Crypto, court: Court, caseId: Hash): Promise<boolean> {
  const words = await read(crypto, court, court.contracts.faultCases, [Layout.caseSlot(crypto, caseId)], 'finalized')
  return words !== undefined && Bytes.toBigInt(words[0] as Uint8Array) === 0n
}

/** Whether the final state has a case (id of 32 bytes) as expired or answered, and whether it owes an account (20 bytes) no coin. Throws as `recorded`. */
export async function expired(
  crypto: Crypto,
  court: Court,
  caseId: Hash,
  account: Uint8Array,
): Promise<{ readonly isExpired: boolean; readonly isAnswered: boolean; readonly isWithdrawn: boolean }> {
  const slots = [Layout.caseSlot(crypto, caseId), Layout.creditSlot(crypto, account)]
  const words = await read(crypto, court, court.contracts.faultCases, slots, 'finalized')
  if (words === undefined) return { isExpired: false, isAnswered: false, isWithdrawn: false }
  const [, , state] = unpack(words[0], [160, 40, 8])
  return {
    isExpired: state === 3n,
    isAnswered: state === 2n,
    isWithdrawn: Bytes.toBigInt(words[1] as Uint8Array) === 0n,
  }
}

/** Words of 32 bytes; undefined where the endpoint names no final block, or does not show its state. */
function read(crypto: Crypto, court: Court, contract: Contract, slots: readonly Uint8Array[], at: At) {
  return readAll(crypto, court, at, [{ contract, slots }])
}

/** The same of several contracts, under one block, one after the other. */
async function readAll(
  crypto: Crypto,
  { rpc }: Court,
  at: At,
  of: readonly { readonly contract: Contract; readonly slots: readonly Uint8Array[] }[],
): Promise<readonly Uint8Array[] | undefined> {
  const nothing = of.flatMap(({ slots }) => slots.map(() => new Uint8Array(32)))
  const once = async () => {
    const header = at === 'latest' ? await Rpc.newest(crypto, rpc) : await Rpc.finalized(crypto, rpc)
    const words: Uint8Array[] = []
    for (const { contract, slots } of of)
      for (const word of await Rpc.readWords(crypto, rpc, { contract, slots, header }))
        words.push(word ?? new Uint8Array(32))
    return words
  }
  const unless = (error: unknown) => {
    if (at === 'latest') throw error
    // In an old block the contract itself may not be there yet: then it holds nothing.
    if (isAbsent(error)) return nothing
    if (error instanceof Rpc.RequestError && error.code === 'rpc-refused') return undefined
    if (error instanceof Rpc.NotOnChainError) return undefined
    throw error
  }
  for (let attempt = 1; ; attempt++) {
    try {
      return await once().catch(unless)
    } catch (error) {
      // A reorganisation between two questions looks like a lie, and so does a block that is made just then.
      const isMoving = error instanceof Rpc.LieError && (error.code === 'rpc-proof' || error.code === 'rpc-header-hash')
      if (!isMoving) throw error
      // A final block whose state nobody shows, as development chains have them after a gift of coin, shows nothing: a later one may.
      if (attempt === mostAttempts && at === 'finalized') return undefined
      if (attempt === mostAttempts) throw error
      await new Promise((resolve) => setTimeout(resolve, attempt * 25))
    }
  }
}

function isAbsent(error: unknown): boolean {
  if (!(error instanceof Rpc.LieError)) return false
  return error.cause instanceof StateProof.ProofError && error.cause.code === 'proof-absent'
}

/** Fields of a word from the low end, by their bits. */
function unpack(word: Uint8Array | undefined, widths: readonly number[]): readonly bigint[] {
  let rest = Bytes.toBigInt(word as Uint8Array)
  return widths.map((width) => {
    const field = rest & (2n ** BigInt(width) - 1n)
    rest >>= BigInt(width)
    return field
  })
}
