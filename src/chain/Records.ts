/**
 * Records.ts - what the words of the contracts mean. Source: spec/contracts.md section 5, spec/stake.md section 5.1,
 * spec/faults.md section 6.5.
 *
 * Packed words are read from the low end; a bit that no field uses must be zero.
 */
import * as Bytes from '../protocol/Bytes.ts'
import { VerificationError } from '../protocol/errors.ts'

/** A signing key in a node's history. */
export type KeyRecord = {
  /** SHA-256(x || y), 32 bytes. */
  readonly keyId: Uint8Array
  /** 20 bytes. */
  readonly operator: Uint8Array
  /** 1 node, 2 log, 3 witness, 4 verifier. */
  readonly role: number
  /** First block in which the key is valid. */
  readonly validFromBlock: bigint
  /** First block in which it no longer is; 0 = still valid. */
  readonly validUntilBlock: bigint
}

/** The part of a log's record that never changes. */
export type LogRecord = {
  /** SHA-256(x || y) of the ES256 key, 32 bytes. */
  readonly keyId: Uint8Array
  /** 20 bytes. */
  readonly operator: Uint8Array
  /** Blocks from a pledge's issue to its deadline. */
  readonly pledgeBlocks: bigint
}

/** A node's record. */
export type NodeRecord = {
  /** 20 bytes. */
  readonly operator: Uint8Array
  readonly registeredAtBlock: bigint
  /** Epoch that the next key gets = number of keys so far. */
  readonly nextKeyEpoch: number
}

/** An anchored state of a log. */
export type Step = {
  /** RFC 9162 root, 32 bytes. */
  readonly root: Uint8Array
  /** Block in which it was anchored. */
  readonly blockNumber: bigint
}

/** What StakeManager names in one word. */
export type StakeTerms = {
  /** FaultCourt, 20 bytes: the only contract that may take stake. */
  readonly court: Uint8Array
  /** Blocks from asking to leave to leaving. */
  readonly unbondBlocks: bigint
  /** Least part of the active shares that is the operator's, percent. */
  readonly minSelfPercent: number
}

/** What is staked on a node or a log; shares, and the block numbers of its end (0 = none). */
export type StakeRecord = {
  /** 20 bytes. */
  readonly operator: Uint8Array
  /** Blocks that this subject's exit takes longer than `unbondBlocks`. */
  readonly extraPledgeBlocks: bigint
  /** Token units of 10^18 shares; 0 = wiped out. */
  readonly index: bigint
  /** The operator's, without those on their way out. */
  readonly selfShares: bigint
  /** Of all others, without those on their way out. */
  readonly delegatedShares: bigint
  readonly retiredAtBlock: bigint
  readonly endedAtBlock: bigint
}

/** What FaultCourt takes for faults. */
export type Penalties = {
  /** StakeManager, 20 bytes. */
  readonly stakeManager: Uint8Array
  /** The lowest percentage of classes 1, 2, 3, 5, 6 and 13. */
  readonly contradictionPercent: number
}

/** FaultCourt's terms of pledges. */
export type CourtTerms = {
  /** Blocks from the deadline until a pledge is missing. */
  readonly graceBlocks: bigint
  /** Blocks whose deadlines count as one incident. */
  readonly incidentBlocks: bigint
}

/** FaultCourt's windows of cases, blocks. */
export type CourtWindows = {
  /** For which a node keeps openings. */
  readonly openWindowBlocks: bigint
  /** Of the time to answer a case. */
  readonly answerBlocks: bigint
}

/** A case as FaultCases keeps it. */
export type CaseRecord = {
  /** 20 bytes. */
  readonly challenger: Uint8Array
  readonly openedAtBlock: bigint
  readonly state: 'open' | 'answered' | 'expired'
  /** Wei. */
  readonly bond: bigint
}

/** The percentages of FaultCourt's word, from the low end: by class, then what reporters get and the cap of omissions. */
const penaltyOrder = ['1', '2', '3', '4', '104', '5', '6', '13', '17', '18', 'reward', 'cap'] as const
/** Classes of contradictions. Source: spec/faults.md section 1. */
const contradictions: readonly string[] = ['1', '2', '3', '5', '6', '13']

/** Reads a key record from its two words, 32 bytes each; throws `Records.WordError`. */
export function keyRecord(word0: Uint8Array, word1: Uint8Array): KeyRecord {
  const fields = unpack('key record', word1, [160, 8, 40, 40])
  return {
    keyId: present('key record', word0),
    operator: Bytes.u256(fields[0] as bigint).slice(12),
    role: Number(fields[1]),
    validFromBlock: fields[2] as bigint,
    validUntilBlock: fields[3] as bigint,
  }
}

/** Reads a log record from its first two words, 32 bytes each; throws `Records.WordError`. */
export function logRecord(word0: Uint8Array, word1: Uint8Array): LogRecord {
  const fields = unpack('log record', word1, [160, 64])
  return {
    keyId: present('log record', word0),
    operator: Bytes.u256(fields[0] as bigint).slice(12),
    pledgeBlocks: fields[1] as bigint,
  }
}

/** Reads a node's record from its word, 32 bytes; throws `Records.WordError`. */
export function nodeRecord(word: Uint8Array): NodeRecord {
  const fields = unpack('node', present('node', word), [160, 64, 32])
  return {
    operator: Bytes.u256(fields[0] as bigint).slice(12),
    registeredAtBlock: fields[1] as bigint,
    nextKeyEpoch: Number(fields[2]),
  }
}

/** Reads an anchored step from its two words, 32 bytes each; throws `Records.WordError`. */
export function step(word0: Uint8Array, word1: Uint8Array): Step {
  const fields = unpack('step', present('step', word1), [64])
  return { root: present('step', word0), blockNumber: fields[0] as bigint }
}

/** Reads a word that holds one u64; throws `Records.WordError`. */
export function uint64(word: Uint8Array): bigint {
  return unpack('u64', word, [64])[0] as bigint
}

/** Reads StakeManager's terms, 32 bytes; throws `Records.WordError`. */
export function stakeTerms(word: Uint8Array): StakeTerms {
  const fields = unpack('stake manager', present('stake manager', word), [160, 64, 8])
  return {
    court: Bytes.u256(fields[0] as bigint).slice(12),
    unbondBlocks: fields[1] as bigint,
    minSelfPercent: Number(fields[2]),
  }
}

/** Reads what is staked on a subject from its words 0, 1, 2 and 5, 32 bytes each; throws `Records.WordError`. */
export function stakeRecord(words: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array]): StakeRecord {
  const [self, delegated, retiredAtBlock] = unpack('stake', words[0], [96, 96, 40]) as [bigint, bigint, bigint]
  // Between the index and the end: reservedRewards, capWindow and capUsed, which say nothing about what is left.
  const ofIndex = unpack('stake', words[1], [64, 96, 32, 24, 40])
  const [selfLeaving, delegatedLeaving] = unpack('stake', words[2], [96, 96]) as [bigint, bigint]
  const [operator, extraPledgeBlocks] = unpack('stake', present('stake', words[3]), [160, 64]) as [bigint, bigint]
  if (selfLeaving > self || delegatedLeaving > delegated) throw new WordError('more-leaving', 'stake')
  return {
    operator: Bytes.u256(operator).slice(12),
    extraPledgeBlocks,
    index: ofIndex[0] as bigint,
    selfShares: self - selfLeaving,
    delegatedShares: delegated - delegatedLeaving,
    retiredAtBlock,
    endedAtBlock: ofIndex[4] as bigint,
  }
}

/** Reads FaultCourt's percentages, 32 bytes; throws `Records.WordError`. */
export function penalties(word: Uint8Array): Penalties {
  const fields = unpack('court', present('court', word), [160, ...penaltyOrder.map(() => 8)])
  const percents = penaltyOrder.map((name, i) => ({ name, percent: Number(fields[i + 1]) }))
  const ofContradictions = percents.filter(({ name }) => contradictions.includes(name)).map(({ percent }) => percent)
  return {
    stakeManager: Bytes.u256(fields[0] as bigint).slice(12),
    contradictionPercent: Math.min(...ofContradictions, 100),
  }
}

/** Reads the address of FaultCases from FaultCourt's word, 32 bytes; returns 20 bytes. Throws `Records.WordError`. */
export function casesOfCourt(word: Uint8Array): Uint8Array {
  const fields = unpack('court', present('court', word), [160, 32, 64])
  return Bytes.u256(fields[0] as bigint).slice(12)
}

/** Reads FaultCourt's terms of pledges, 32 bytes; throws `Records.WordError`. */
export function courtTerms(word: Uint8Array): CourtTerms {
  const fields = unpack('court', present('court', word), [160, 32, 32, 32])
  return { graceBlocks: fields[1] as bigint, incidentBlocks: fields[2] as bigint }
}

/** Reads FaultCourt's windows of cases, 32 bytes; throws `Records.WordError`. */
export function courtWindows(word: Uint8Array): CourtWindows {
  const fields = unpack('court', present('court', word), [160, 32, 32, 32])
  return { openWindowBlocks: fields[1] as bigint, answerBlocks: fields[2] as bigint }
}

/** Reads a case, 32 bytes; throws `Records.WordError`. */
export function caseRecord(word: Uint8Array): CaseRecord {
  const fields = unpack('case', present('case', word), [160, 40, 8, 48])
  const state = ([undefined, 'open', 'answered', 'expired'] as const)[Number(fields[2])]
  if (state === undefined) throw new WordError('unused-bits', 'case')
  return {
    challenger: Bytes.u256(fields[0] as bigint).slice(12),
    openedAtBlock: fields[1] as bigint,
    state,
    bond: (fields[3] as bigint) * 10n ** 9n,
  }
}

/** Reads a count of open cases, 32 bytes; throws `Records.WordError`. */
export function openCases(word: Uint8Array): number {
  return Number(unpack('count of cases', word, [8])[0])
}

function unpack(what: string, word: Uint8Array, widths: readonly number[]): bigint[] {
  Bytes.assertLength(word, 32, 'Storage word')
  let rest = Bytes.toBigInt(word)
  const fields = widths.map((width) => {
    const field = rest & (2n ** BigInt(width) - 1n)
    rest >>= BigInt(width)
    return field
  })
  if (rest !== 0n) throw new WordError('unused-bits', what)
  return fields
}

function present(what: string, word: Uint8Array): Uint8Array {
  Bytes.assertLength(word, 32, 'Storage word')
  if (word.every((byte) => byte === 0)) throw new WordError('zero-word', what)
  return word
}

/** Codes of `Records.WordError`. */
export type WordErrorCode = 'unused-bits' | 'zero-word' | 'more-leaving'

const problems: { readonly [code in WordErrorCode]: string } = {
  'unused-bits': 'has bits that no field uses',
  'zero-word': 'is zero',
  'more-leaving': 'has more shares on their way out than there are',
}

/** Storage words are not what these contracts write. */
export class WordError extends VerificationError<WordErrorCode> {
  override readonly name = 'Records.WordError'
  constructor(code: WordErrorCode, what: string) {
    super(code, `A storage word of a ${what} ${problems[code]}.`)
  }
}
