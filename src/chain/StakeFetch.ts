/**
 * StakeFetch.ts - puts the proof of stake together from an endpoint's answers. Source: spec/bundle.md section 1 (8.5).
 *
 * What cannot be had is left out, and whoever asks is told which of two it is: the state shows that there is none, or nobody
 * has shown anything.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import * as Layout from './Layout.ts'
import type { StakePiece, SubjectProofs } from './StakePiece.ts'
import type { Proof } from './StateProof.ts'
import * as StateProof from './StateProof.ts'
import type { StakeContracts } from './TrustAnchors.ts'

/** What an endpoint says about slots of one contract. */
export type Answers = {
  readonly account: Proof
  readonly words: readonly { readonly isZero: boolean; readonly proof: Proof }[]
}

/** Asks an endpoint about one contract; throws as `Rpc.fetchChainPiece`. */
export type Ask = (address: Uint8Array, slots: readonly Uint8Array[]) => Promise<Answers>

/** Proofs that are not checked yet (see `StakePiece.read`); or none, and whether the state shows that nothing is staked. */
export type Found = { readonly piece: StakePiece } | { readonly piece: undefined; readonly isAbsent: boolean }

/** Fetches the proofs of what is staked on a node and a log under a state root of 32 bytes. */
export async function fetchStake(
  crypto: Crypto,
  ask: Ask,
  request: {
    readonly stake: StakeContracts
    readonly nodeId: Uint8Array
    readonly logId: Uint8Array
    readonly stateRoot: Hash
  },
): Promise<Found> {
  const { stakeManager, faultCourt, faultCases } = request.stake
  const subjects = [request.nodeId, request.logId]
  const stakeSlots = subjects.flatMap((subject) => Layout.stakeSlots(crypto, subject))
  try {
    const [ofManager, ofCourt, ofCases] = await Promise.all([
      ask(stakeManager.address, [Layout.stakeTermsSlot(), ...stakeSlots]),
      ask(faultCourt.address, Layout.courtSlots()),
      ask(
        faultCases.address,
        subjects.map((subject) => Layout.openCasesSlot(crypto, subject)),
      ),
    ])
    if (isNothingStaked(crypto, { ...request, slots: stakeSlots, answers: ofManager }))
      return { piece: undefined, isAbsent: true }
    const ofSubject = (position: 0 | 1): SubjectProofs => {
      const [word0, word1, word2, word5] = ofManager.words.slice(1 + 4 * position)
      return {
        word0: present(word0),
        word1: present(word1),
        word2: either(word2),
        word5: present(word5),
        openCases: either(ofCases.words[position]),
      }
    }
    const piece: StakePiece = {
      stakeManager: { address: stakeManager.address, account: ofManager.account, terms: present(ofManager.words[0]) },
      faultCourt: {
        address: faultCourt.address,
        account: ofCourt.account,
        penalties: present(ofCourt.words[0]),
        cases: present(ofCourt.words[1]),
      },
      faultCases: { address: faultCases.address, account: ofCases.account },
      node: ofSubject(0),
      log: ofSubject(1),
    }
    return { piece }
  } catch (error) {
    if (error instanceof NothingThere || BaseError.isInstance(error)) return { piece: undefined, isAbsent: false }
    throw error
  }
}

/**
 * True when a word that every staked subject has is shown to be zero, in a contract with the code that the reader named. An
 * endpoint that only says so shows nothing.
 */
function isNothingStaked(
  crypto: Crypto,
  given: {
    readonly stake: StakeContracts
    readonly stateRoot: Hash
    readonly slots: readonly Uint8Array[]
    readonly answers: Answers
  },
): boolean {
  const { answers, slots, stateRoot } = given
  const { address, codeHash } = given.stake.stakeManager
  const account = StateProof.verifyAccount(crypto, { stateRoot, address, proof: answers.account })
  if (!Bytes.equal(account.codeHash, codeHash)) return false
  return slots.some((slot, i) => {
    const answer = answers.words[1 + i]
    // Word 2 of a subject is zero as long as nothing leaves.
    if (i % 4 === 2 || answer === undefined || !answer.isZero) return false
    const { storageRoot } = account
    return StateProof.verifyStorageOrZero(crypto, { storageRoot, slot, proof: answer.proof }).every(
      (byte) => byte === 0,
    )
  })
}

function present(answer: Answers['words'][number] | undefined): Proof {
  if (answer === undefined || answer.isZero) throw new NothingThere()
  return answer.proof
}

/** A trie without any key has proofs of no nodes, which have no place in a bundle; these contracts always hold some word. */
function either(answer: Answers['words'][number] | undefined): Proof {
  if (answer === undefined || answer.proof.length === 0) throw new NothingThere()
  return answer.proof
}

/** Ends the search; never leaves this module. */
class NothingThere extends Error {
  override readonly name = 'StakeFetch.NothingThere'
}
