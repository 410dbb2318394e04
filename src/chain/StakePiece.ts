/**
 * StakePiece.ts - what a chain piece shows about stake: what is bonded on the node and on the log, and what a contradiction costs.
 * Source: spec/bundle.md section 1 (8.5), spec/verdict.md section 5 step 17, spec/stake.md section 5, spec/faults.md section 6.5.
 *
 * The contracts stand in the piece itself; they count only for a reader who named the very same ones.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import { VerificationError } from '../protocol/errors.ts'
import * as Layout from './Layout.ts'
import * as Records from './Records.ts'
import type { Account, KnownNodes, Proof } from './StateProof.ts'
import * as StateProof from './StateProof.ts'
import type { Contract } from './TrustAnchors.ts'

/** Proofs about one subject; those of `word2` and `openCases` may show that the trie has no such key, which is a zero. */
export type SubjectProofs = {
  readonly word0: Proof
  readonly word1: Proof
  readonly word2: Proof
  readonly word5: Proof
  readonly openCases: Proof
}

/** The part as it stands in a bundle; addresses of 20 bytes. */
export type StakePiece = {
  readonly stakeManager: { readonly address: Uint8Array; readonly account: Proof; readonly terms: Proof }
  readonly faultCourt: {
    readonly address: Uint8Array
    readonly account: Proof
    readonly penalties: Proof
    readonly cases: Proof
  }
  readonly faultCases: { readonly address: Uint8Array; readonly account: Proof }
  readonly node: SubjectProofs
  readonly log: SubjectProofs
}

/** On whom the stake lies: identifiers of 32 bytes, and the operators (20 bytes) that the registries name. */
export type Subject = {
  readonly nodeId: Uint8Array
  readonly logId: Uint8Array
  readonly nodeOperator: Uint8Array
  readonly logOperator: Uint8Array
}

/** What is staked on one subject, and how many cases are open against it. */
export type Staked = Records.StakeRecord & { readonly openCases: number }

/** What the part shows if its header is a header of the chain. */
export type Facts = {
  readonly stakeManager: Contract
  readonly faultCourt: Contract
  readonly faultCases: Contract
  readonly unbondBlocks: bigint
  /** The lowest percentage that the court takes for a contradiction. */
  readonly contradictionPercent: number
  readonly node: Staked
  readonly log: Staked
}

/**
 * Checks the part under a state root: every proof, that the contracts name each other, and whose stake it is. That nothing is
 * left of a stake is a fact as any other.
 *
 * Throws: `StateProof.ProofError`, `Records.WordError`, `StakePiece.MismatchError`.
 */
export function read(
  crypto: Crypto,
  piece: StakePiece,
  subject: Subject,
  stateRoot: Hash,
  known: KnownNodes = [],
): Facts {
  const account = ({ address, account: proof }: { readonly address: Uint8Array; readonly account: Proof }) =>
    StateProof.verifyAccount(crypto, { stateRoot, address, proof }, known)
  const word = ({ storageRoot }: Account, slot: Uint8Array, proof: Proof) =>
    StateProof.verifyStorage(crypto, { storageRoot, slot, proof }, known)
  const wordOrZero = ({ storageRoot }: Account, slot: Uint8Array, proof: Proof) =>
    StateProof.verifyStorageOrZero(crypto, { storageRoot, slot, proof }, known)

  const manager = account(piece.stakeManager)
  const terms = Records.stakeTerms(word(manager, Layout.stakeTermsSlot(), piece.stakeManager.terms))
  assertSame(terms.court, piece.faultCourt.address, 'StakeManager names another court.')
  const court = account(piece.faultCourt)
  const [penaltiesSlot, casesSlot] = Layout.courtSlots()
  const penalties = Records.penalties(word(court, penaltiesSlot, piece.faultCourt.penalties))
  assertSame(penalties.stakeManager, piece.stakeManager.address, 'FaultCourt names another stake manager.')
  const namedCases = Records.casesOfCourt(word(court, casesSlot, piece.faultCourt.cases))
  assertSame(namedCases, piece.faultCases.address, 'FaultCourt names other cases.')
  const cases = account(piece.faultCases)

  const staked = (id: Uint8Array, operator: Uint8Array, proofs: SubjectProofs, whose: string): Staked => {
    const slots = Layout.stakeSlots(crypto, id)
    const record = Records.stakeRecord([
      word(manager, slots[0], proofs.word0),
      word(manager, slots[1], proofs.word1),
      wordOrZero(manager, slots[2], proofs.word2),
      word(manager, slots[3], proofs.word5),
    ])
    assertSame(record.operator, operator, `The stake is of another operator than the ${whose}.`)
    const openCases = Records.openCases(wordOrZero(cases, Layout.openCasesSlot(crypto, id), proofs.openCases))
    return { ...record, openCases }
  }
  return {
    stakeManager: { address: piece.stakeManager.address, codeHash: manager.codeHash },
    faultCourt: { address: piece.faultCourt.address, codeHash: court.codeHash },
    faultCases: { address: piece.faultCases.address, codeHash: cases.codeHash },
    unbondBlocks: terms.unbondBlocks,
    contradictionPercent: penalties.contradictionPercent,
    node: staked(subject.nodeId, subject.nodeOperator, piece.node, 'node'),
    log: staked(subject.logId, subject.logOperator, piece.log, 'log'),
  }
}

/** Token units (10^-18 of a token) that shares are worth at an index, rounded down. Source: spec/stake.md section 3. */
export function valueOf(shares: bigint, index: bigint): bigint {
  return (shares * index) / 10n ** 18n
}

function assertSame(got: Uint8Array, expected: Uint8Array, message: string): void {
  if (!Bytes.equal(got, expected)) throw new MismatchError(message, got, expected)
}

/** Contracts or operators in the proven words are not those of the piece. */
export class MismatchError extends VerificationError<'stake-mismatch'> {
  override readonly name = 'StakePiece.MismatchError'
  constructor(message: string, got: Uint8Array, expected: Uint8Array) {
    super('stake-mismatch', message, { facts: [`Expected: ${Bytes.to0x(expected)}`, `Got: ${Bytes.to0x(got)}`] })
  }
}
