/**
 * Quorum.ts - several endpoints of one chain, believed together: the rule `quorum:k/n`. Source: spec/bundle.md section 4.
 *
 * A header is final if at least k of the n endpoints give the same (number, hash) at or below their own finalized tag. One
 * that names another hash for a number at or below its tag stops everything; one that is silent does not count. k is more than half of n,
 * so no two hashes of one number can both be final. What k endpoints say together is believed: that so many lie cannot be
 * seen from here.
 *
 * Errors name endpoints by their place in the reader's list, from 1, never by address, which may carry a key.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError, UnavailableError, UsageError, VerificationError } from '../protocol/errors.ts'
import * as Rpc from './Rpc.ts'
import * as StateProof from './StateProof.ts'
import { type FinalityRule, isFinalityRule, type TrustedHeader } from './TrustAnchors.ts'

/** Most endpoints of one rule. */
export const maxEndpoints = 16

// The newest block that k endpoints have may be one that a part of them just gave up.
const headSteps = 3n
/** Headers that k endpoints named, kept for the proofs that are asked for under them. */
const maxAgreed = 16

/** The least k that is more than half of n. */
export function majority(n: number): number {
  return Math.floor(n / 2) + 1
}

/** One name for one endpoint, however its URL is written: no user, no fragment, no empty query, no dot after the host. */
export function endpointOf(url: string): string {
  const { protocol, hostname, port, pathname, search } = new URL(url)
  return `${protocol}//${hostname.replace(/\.$/, '')}:${port}${pathname}${search}`
}

/** The rule as trust anchors name it; throws `Quorum.QuorumSizeError` unless n/2 < k <= n <= 16. */
export function rule(k: number, n: number): FinalityRule {
  const text: FinalityRule = `quorum:${k}/${n}`
  if (!isFinalityRule(text)) throw new QuorumSizeError(k, n)
  return text
}

/**
 * Makes one endpoint of several: blocks by number and by the tags `latest` and `finalized` only as k of them name them, proofs
 * from the first whose proof holds under the header that k of them name, everything else from the first.
 *
 * - `rpcs`: of one chain id, 1 to 16
 *
 * Throws: `Quorum.QuorumSizeError`. Requests throw `Quorum.SilenceError`, `Quorum.DisagreementError` and what `Rpc` throws.
 *
 * @example
 * const rpc = create(crypto, [own, second, third], 2)
 * const tip = await Rpc.finalized(crypto, rpc)
 */
export function create(crypto: Crypto, rpcs: readonly Rpc.Rpc[], k: number): Rpc.Rpc {
  rule(k, rpcs.length)
  const [first] = rpcs
  if (first === undefined || rpcs.some((one) => one.chainId !== first.chainId))
    throw new QuorumSizeError(k, rpcs.length)
  const endpoints = { crypto, rpcs, k }
  const agreed = new Map<bigint, Rpc.FetchedHeader>()
  return {
    chainId: first.chainId,
    assertChain: () => assertChain(endpoints),
    trustedHeader: (number) => trustedHeader(endpoints, number),
    request: async (method, params = []) => {
      if (method === 'eth_getBlockByNumber' && params[1] === false) {
        const [block] = params
        if (block === 'latest') return newest(endpoints)
        if (block === 'finalized') return (await newestFinal(endpoints)).raw
        if (typeof block === 'string' && /^0x[0-9a-f]{1,16}$/.test(block)) return atNumber(endpoints, BigInt(block))
      }
      if (method === 'eth_getProof') return proofFromAny(endpoints, params, agreed)
      return first.request(method, params)
    },
  }
}

type Endpoints = { readonly crypto: Crypto; readonly rpcs: readonly Rpc.Rpc[]; readonly k: number }

/** What one endpoint says: a checked header with its raw form, or why nothing counts. `place` from 1. */
type Said = { readonly place: number; readonly header: Rpc.FetchedHeader; readonly raw: unknown }
type Silent = { readonly place: number; readonly why: Silence }
type Silence = 'does not answer' | 'serves another chain' | 'answers with what is no block' | 'has no such block'
type Answer = Said | Silent

async function assertChain({ rpcs, k }: Endpoints): Promise<void> {
  const asked = await Promise.all(
    rpcs.map((rpc, i) =>
      rpc.assertChain().then(
        () => undefined,
        (error) => ({ place: i + 1, why: silenceOf(error) }),
      ),
    ),
  )
  const silent = asked.filter((one) => one !== undefined)
  if (rpcs.length - silent.length < k) throw new SilenceError(k, rpcs.length, silent)
}

/** The newest block that k endpoints name alike at or below their finalized tags. */
async function newestFinal(endpoints: Endpoints): Promise<Said> {
  const { k } = endpoints
  const tips = await askAll(endpoints, 'finalized')
  const number = reached(endpoints, tips)
  const answers = await askAll(endpoints, number, tips)
  const votes = answers.filter(isSaid)
  assertAgreed(votes)
  const [vote] = votes
  if (vote === undefined || votes.length < k) throw new SilenceError(k, answers.length, answers.filter(isSilent))
  return vote
}

async function trustedHeader(endpoints: Endpoints, number: bigint): Promise<TrustedHeader> {
  const { k, rpcs } = endpoints
  const tips = await askAll(endpoints, 'finalized')
  const answers = await askAll(endpoints, number, tips)
  const votes = answers.filter(isSaid)
  assertAgreed(votes)
  const [vote] = votes
  if (vote !== undefined && votes.length >= k) return { number, hash: vote.header.hash }
  // Enough of them answer, and not enough have come so far.
  if (tips.filter(isSaid).length >= k && tips.filter((tip) => isSaid(tip) && tip.header.number >= number).length < k)
    throw new Rpc.NotOnChainError('finality')
  throw new SilenceError(k, rpcs.length, answers.filter(isSilent))
}

/** The newest block that k endpoints have and nobody contradicts; a few below it are tried, because heads move. */
async function newest(endpoints: Endpoints): Promise<unknown> {
  const heads = await askAll(endpoints, 'latest')
  const from = reached(endpoints, heads)
  for (let number = from; ; number--) {
    try {
      const answer = await atNumber(endpoints, number)
      if (answer !== null) return answer
    } catch (error) {
      if (!(error instanceof DisagreementError) || number === 0n || from - number >= headSteps) throw error
    }
    if (number === 0n || from - number >= headSteps) throw new Rpc.NotOnChainError('block')
  }
}

/** The block of a number as k endpoints name it; null while too few have it. */
async function atNumber(endpoints: Endpoints, number: bigint): Promise<unknown> {
  const { k, rpcs } = endpoints
  const answers = await askAll(endpoints, number)
  const votes = answers.filter(isSaid)
  assertAgreed(votes)
  if (votes.length >= k) return votes[0]?.raw
  const silent = answers.filter(isSilent)
  const absent = silent.filter(({ why }) => why === 'has no such block')
  if (votes.length + absent.length >= k) return null
  throw new SilenceError(k, rpcs.length, silent)
}

/** The highest number that k of them reach. */
function reached({ k, rpcs }: Endpoints, tips: readonly Answer[]): bigint {
  const numbers = tips.filter(isSaid).map(({ header }) => header.number)
  numbers.sort((a, b) => (a > b ? -1 : a < b ? 1 : 0))
  const number = numbers[k - 1]
  if (number === undefined) throw new SilenceError(k, rpcs.length, tips.filter(isSilent))
  return number
}

/**
 * Asks all endpoints side by side for a block; with `tips`, only those whose tip is at or above it have a say, and nobody is
 * asked again for its own tip.
 */
function askAll(endpoints: Endpoints, block: Rpc.Block, tips?: readonly Answer[]): Promise<readonly Answer[]> {
  return Promise.all(
    endpoints.rpcs.map(async (rpc, i): Promise<Answer> => {
      const tip = tips?.[i]
      if (tip !== undefined && typeof block === 'bigint') {
        if (!isSaid(tip)) return tip
        if (tip.header.number === block) return tip
        if (tip.header.number < block) return { place: i + 1, why: 'has no such block' }
      }
      return ask(endpoints.crypto, rpc, i + 1, block)
    }),
  )
}

async function ask(crypto: Crypto, rpc: Rpc.Rpc, place: number, block: Rpc.Block): Promise<Answer> {
  try {
    await rpc.assertChain()
    const tag = typeof block === 'bigint' ? `0x${block.toString(16)}` : block
    const raw = await rpc.request('eth_getBlockByNumber', [tag, false])
    if (raw === null) return { place, why: 'has no such block' }
    const given: Rpc.Rpc = { chainId: rpc.chainId, assertChain: async () => {}, request: async () => raw }
    return { place, raw, header: await Rpc.fetchHeader(crypto, given, block) }
  } catch (error) {
    return { place, why: silenceOf(error) }
  }
}

/** The first proof that holds under the header that k endpoints name; throws what was wrong with the first when none does. */
async function proofFromAny(
  endpoints: Endpoints,
  params: readonly unknown[],
  agreed: Map<bigint, Rpc.FetchedHeader>,
): Promise<unknown> {
  const { crypto, rpcs } = endpoints
  const [address, slots, block] = params as readonly [string, readonly string[], string]
  const isNumber = typeof block === 'string' && /^0x[0-9a-f]{1,16}$/.test(block)
  const header = isNumber ? await headerAt(endpoints, BigInt(block), agreed) : undefined
  let failure: unknown
  for (const rpc of rpcs) {
    try {
      await rpc.assertChain()
      const answer = await rpc.request('eth_getProof', params)
      if (header !== undefined) assertProof(crypto, answer, { address, slots, stateRoot: header.stateRoot })
      return answer
    } catch (error) {
      if (!BaseError.isInstance(error)) throw error
      failure ??= error
    }
  }
  // The block may have been taken back: the next question asks for its header again.
  if (header !== undefined) agreed.delete(header.number)
  throw failure
}

async function headerAt(
  endpoints: Endpoints,
  number: bigint,
  agreed: Map<bigint, Rpc.FetchedHeader>,
): Promise<Rpc.FetchedHeader> {
  const known = agreed.get(number)
  if (known !== undefined) return known
  const raw = await atNumber(endpoints, number)
  const { chainId } = endpoints.rpcs[0] as Rpc.Rpc
  const given: Rpc.Rpc = { chainId, assertChain: async () => {}, request: async () => raw }
  const header = await Rpc.fetchHeader(endpoints.crypto, given, number)
  for (const oldest of agreed.keys()) if (agreed.size >= maxAgreed) agreed.delete(oldest)
  agreed.set(number, header)
  return header
}

/** An account or a word that is shown not to be there is shown as well as one that is. */
function assertProof(
  crypto: Crypto,
  answer: unknown,
  of: { readonly address: string; readonly slots: readonly string[]; readonly stateRoot: Uint8Array },
): void {
  const { account, words } = Rpc.parseProofs(answer, of.slots.length)
  const path = crypto.keccak256(Bytes.from0x(of.address))
  try {
    const subject = { stateRoot: of.stateRoot, address: Bytes.from0x(of.address), proof: account }
    const { storageRoot } = StateProof.verifyAccount(crypto, subject)
    words.forEach(({ proof }, i) => {
      StateProof.verifyWord(crypto, { storageRoot, slot: Bytes.from0x(of.slots[i] as string), proof })
    })
  } catch (error) {
    if (!(error instanceof StateProof.ProofError)) throw error
    if (error.code !== 'proof-absent') throw new Rpc.LieError('rpc-proof', [error.shortMessage, ...error.facts], error)
    StateProof.verifyAbsence(crypto, { root: of.stateRoot, path, proof: account })
  }
}

function silenceOf(error: unknown): Silence {
  if (error instanceof Rpc.RequestError) return 'does not answer'
  if (error instanceof Rpc.LieError)
    return error.code === 'rpc-chain-id' ? 'serves another chain' : 'answers with what is no block'
  throw error
}

function assertAgreed(votes: readonly Said[]): void {
  const [first] = votes
  if (first === undefined) return
  if (votes.every(({ header }) => Bytes.equal(header.hash, first.header.hash))) return
  throw new DisagreementError(first.header.number, votes)
}

function isSaid(answer: Answer): answer is Said {
  return 'header' in answer
}

function isSilent(answer: Answer): answer is Silent {
  return !isSaid(answer)
}

/** The counts are no quorum. */
export class QuorumSizeError extends UsageError<'quorum-size'> {
  override readonly name = 'Quorum.QuorumSizeError'
  constructor(k: number, n: number) {
    super('quorum-size', `A quorum is more than half of 1 to ${maxEndpoints} endpoints of one chain.`, {
      facts: [`Got: ${k} of ${n}`],
    })
  }
}

/** Too few endpoints say anything that counts. */
export class SilenceError extends UnavailableError<'quorum-silence'> {
  override readonly name = 'Quorum.SilenceError'
  constructor(k: number, n: number, silent: readonly { readonly place: number; readonly why: string }[]) {
    super('quorum-silence', `Fewer than ${k} of ${n} chain endpoints give an answer that counts.`, {
      facts: silent.map(({ place, why }) => `Endpoint ${place}: ${why}`),
    })
  }
}

/** Endpoints name different blocks for one number: one of them lies, or follows another history. */
export class DisagreementError extends VerificationError<'quorum-disagreement'> {
  override readonly name = 'Quorum.DisagreementError'
  constructor(
    number: bigint,
    votes: readonly { readonly place: number; readonly header: { readonly hash: Uint8Array } }[],
  ) {
    super('quorum-disagreement', 'Chain endpoints name different blocks for one number.', {
      facts: [
        `Block: ${number}`,
        ...votes.map(({ place, header }) => `Endpoint ${place}: ${Bytes.to0x(header.hash)}`),
        'Find out which of them is wrong; until then nothing rises.',
      ],
    })
  }
}
