/**
 * StakeFetch.ts - puts the proof of stake together from an endpoint's answers. Source: spec/bundle.md section 1 (8.5).
 *
 * Stake is worth showing and never worth waiting for: what cannot be had is left out.
 */
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import * as Layout from './Layout.ts'
import type { StakePiece, SubjectProofs } from './StakePiece.ts'
import type { Proof } from './StateProof.ts'
import type { StakeContracts } from './TrustAnchors.ts'

/** What an endpoint says about slots of one contract. */
export type Answers = {
  readonly account: Proof
  readonly words: readonly { readonly isZero: boolean; readonly proof: Proof }[]
}

/** Asks an endpoint about one contract; throws as `Rpc.fetchChainPiece`. */
export type Ask = (address: Uint8Array, slots: readonly Uint8Array[]) => Promise<Answers>

/**
 * Fetches the proofs of what is staked on a node and a log; undefined where one of them never was, or as long as the endpoint
 * does not answer. Nothing is checked here: see `StakePiece.read`.
 */
export async function fetchStake(
  crypto: Crypto,
  ask: Ask,
  request: { readonly stake: StakeContracts; readonly nodeId: Uint8Array; readonly logId: Uint8Array },
): Promise<StakePiece | undefined> {
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
    return {
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
  } catch (error) {
    if (error instanceof NothingStaked || BaseError.isInstance(error)) return undefined
    throw error
  }
}

function present(answer: Answers['words'][number] | undefined): Proof {
  if (answer === undefined || answer.isZero) throw new NothingStaked()
  return answer.proof
}

/** A trie without any key has proofs of no nodes, which have no place in a bundle; these contracts always hold some word. */
function either(answer: Answers['words'][number] | undefined): Proof {
  if (answer === undefined || answer.proof.length === 0) throw new NothingStaked()
  return answer.proof
}

/** Ends the search; never leaves this module. */
class NothingStaked extends Error {
  override readonly name = 'StakeFetch.NothingStaked'
}
