/**
 * Layout.ts - where the contracts keep what readers prove: storage slots of NodeRegistry, AnchorLog, StakeManager, FaultCourt
 * and FaultCases. Source: spec/contracts.md section 5, spec/stake.md section 5.1, spec/faults.md section 6.5; Solidity's storage
 * layout of mappings and structs.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto } from '../protocol/Crypto.ts'

/** A storage slot, 32 bytes, before hashing. */
export type Slot = Uint8Array

const position = Object.freeze({
  registryNodes: 2n,
  registryKeys: 3n,
  registryNodeOfKey: 4n,
  anchorLogs: 3n,
  anchorSteps: 4n,
  anchorLogOfKey: 5n,
  anchorConflicts: 6n,
  stakeTerms: 2n,
  stakeSubjects: 5n,
  courtPenalties: 1n,
  courtTerms: 2n,
  courtWindows: 3n,
  courtCases: 4n,
  courtFaults: 5n,
  courtHeads: 7n,
  cases: 3n,
  openCases: 4n,
  credits: 5n,
})

/** The slot of AnchorLog's `instance`. */
export function instanceSlot(): Slot {
  return Bytes.u256(0n)
}

/** The one slot of a node's record in NodeRegistry. */
export function nodeSlots(crypto: Crypto, nodeId: Uint8Array): readonly [Slot] {
  return [mapped(crypto, word(nodeId), Bytes.u256(position.registryNodes))]
}

/** The two slots of a key record in NodeRegistry: keyId, then operator, role and validity. */
export function keyRecordSlots(crypto: Crypto, nodeId: Uint8Array, keyEpoch: number): readonly [Slot, Slot] {
  const ofNode = mapped(crypto, word(nodeId), Bytes.u256(position.registryKeys))
  const first = mapped(crypto, Bytes.u256(BigInt(keyEpoch)), ofNode)
  return [first, following(first, 1n)]
}

/** The first two slots of a log record in AnchorLog: keyId, then operator and pledgeBlocks. */
export function logRecordSlots(crypto: Crypto, logId: Uint8Array): readonly [Slot, Slot] {
  const first = mapped(crypto, word(logId), Bytes.u256(position.anchorLogs))
  return [first, following(first, 1n)]
}

/** The slots of a log's head in AnchorLog: size, root. */
export function logHeadSlots(crypto: Crypto, logId: Uint8Array): readonly [Slot, Slot] {
  const first = mapped(crypto, word(logId), Bytes.u256(position.anchorLogs))
  return [following(first, 5n), following(first, 6n)]
}

/** The two slots of an anchored step in AnchorLog: root, block number. */
export function stepSlots(crypto: Crypto, logId: Uint8Array, size: bigint): readonly [Slot, Slot] {
  const ofLog = mapped(crypto, word(logId), Bytes.u256(position.anchorSteps))
  const first = mapped(crypto, Bytes.u256(size), ofLog)
  return [first, following(first, 1n)]
}

/** The slot of AnchorLog that maps a keyId to its logId. */
export function logOfKeySlot(crypto: Crypto, keyId: Uint8Array): Slot {
  return mapped(crypto, word(keyId), Bytes.u256(position.anchorLogOfKey))
}

/** The slot of AnchorLog that holds the first conflicting root shown for an anchored size. */
export function conflictSlot(crypto: Crypto, logId: Uint8Array, size: bigint): Slot {
  const ofLog = mapped(crypto, word(logId), Bytes.u256(position.anchorConflicts))
  return mapped(crypto, Bytes.u256(size), ofLog)
}

/** The slot of StakeManager that holds its court, `unbondBlocks` and `minSelfPercent`. */
export function stakeTermsSlot(): Slot {
  return Bytes.u256(position.stakeTerms)
}

/** The slots of words 0, 1, 2 and 5 of a subject (nodeId or logId, 32 bytes) in StakeManager. */
export function stakeSlots(crypto: Crypto, subject: Uint8Array): readonly [Slot, Slot, Slot, Slot] {
  const first = mapped(crypto, word(subject), Bytes.u256(position.stakeSubjects))
  return [first, following(first, 1n), following(first, 2n), following(first, 5n)]
}

/** The slots of FaultCourt that hold StakeManager with the percentages, and FaultCases. */
export function courtSlots(): readonly [penalties: Slot, cases: Slot] {
  return [Bytes.u256(position.courtPenalties), Bytes.u256(position.courtCases)]
}

/** The slot of FaultCourt that holds the record of a fault, by its id (32 bytes). */
export function faultSlot(crypto: Crypto, faultId: Uint8Array): Slot {
  return mapped(crypto, word(faultId), Bytes.u256(position.courtFaults))
}

/** The slot of FaultCases that holds a case, by its id (32 bytes). */
export function caseSlot(crypto: Crypto, caseId: Uint8Array): Slot {
  return mapped(crypto, word(caseId), Bytes.u256(position.cases))
}

/** The slot of FaultCases that counts the open cases against a subject (nodeId or logId, 32 bytes). */
export function openCasesSlot(crypto: Crypto, subject: Uint8Array): Slot {
  return mapped(crypto, word(subject), Bytes.u256(position.openCases))
}

/** The slot of FaultCases that holds what an account (20 bytes) can withdraw, wei. */
export function creditSlot(crypto: Crypto, account: Uint8Array): Slot {
  Bytes.assertLength(account, 20, 'Account')
  return mapped(crypto, Bytes.concat(new Uint8Array(12), account), Bytes.u256(position.credits))
}

/** The slot of NodeRegistry that maps a keyId to its nodeId. */
export function nodeOfKeySlot(crypto: Crypto, keyId: Uint8Array): Slot {
  return mapped(crypto, word(keyId), Bytes.u256(position.registryNodeOfKey))
}

/** The slot of FaultCourt that holds AnchorLog, `graceBlocks`, `incidentBlocks` and `capWindowBlocks`. */
export function courtTermsSlot(): Slot {
  return Bytes.u256(position.courtTerms)
}

/** The slot of FaultCourt that holds NodeRegistry, `openWindowBlocks`, `answerBlocks` and `revealBlocks`. */
export function courtWindowsSlot(): Slot {
  return Bytes.u256(position.courtWindows)
}

/** The slot of FaultCourt that holds size + 1 of a log's head as it was written down in a block. */
export function observedSlot(crypto: Crypto, logId: Uint8Array, blockNumber: bigint): Slot {
  const ofLog = mapped(crypto, word(logId), Bytes.u256(position.courtHeads))
  return mapped(crypto, Bytes.u256(blockNumber), ofLog)
}

function mapped(crypto: Crypto, key: Uint8Array, slot: Uint8Array): Slot {
  return crypto.keccak256(Bytes.concat(key, slot))
}

function following(slot: Slot, count: bigint): Slot {
  return Bytes.u256((Bytes.toBigInt(slot) + count) & (2n ** 256n - 1n))
}

function word(bytes: Uint8Array): Uint8Array {
  Bytes.assertLength(bytes, 32, 'Identifier')
  return bytes
}
