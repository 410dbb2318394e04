/**
 * Consequence.ts - who pays if a receipt is false: the stake behind its node and its log, as the state of one block shows it.
 * Source: spec/verdict.md section 2, spec/stake.md section 5.
 */
import type * as ChainPiece from '../chain/ChainPiece.ts'
import * as StakePiece from '../chain/StakePiece.ts'
import type * as TrustAnchors from '../chain/TrustAnchors.ts'
import * as Bytes from '../protocol/Bytes.ts'
import { roles } from '../protocol/Identity.ts'
import type { Atom } from './Assumption.ts'
import type { Reader } from './Reader.ts'

/** What is bonded on one subject. Amounts in token units (10^-18 ASY) and blocks as decimal text. */
export type Bond = {
  /** What a contradiction takes of everything staked, without what is on its way out. */
  readonly amount: string
  /** The operator's own part of it. */
  readonly selfBond: string
  /** Last block until which stake that begins to leave now can still be taken. */
  readonly untilBlock: string
  /** Cases open against the subject. */
  readonly openExposure: number
}

/** Stake behind both node and log; on top the smaller figure of the two, of open cases the larger. */
export type Bonded = Bond & {
  readonly kind: 'bonded'
  readonly at: { readonly chainId: string; readonly blockNumber: string; readonly blockHash: string }
  readonly node: Bond
  readonly log: Bond
  readonly assumptions: readonly Atom[]
  readonly doesNotTell: readonly string[]
}

/** Who pays: nobody that is shown, or stake. */
export type Consequence = 'none' | Bonded

/** What a file shows, before any policy is asked. */
export type Judged = { readonly consequence: Consequence; readonly because: string }

/** What no stake tells. */
export const doesNotTell: readonly string[] = [
  'what the stake is worth: it is counted in ASY, and nothing here knows the price of that',
  'that the stake is there for this receipt alone: others of the same node and log rest on it too, only open cases are counted, and what was taken after this block is not seen',
  'that percentages and the time that stake takes to leave stay as they are in this block: the timelock can change them two days after it said so',
  'that a wrong answer costs anything: stake is lost for statements that contradict each other and for promises not kept, once somebody shows them in time',
]

/** What is known of the header that the proofs are under. */
type Trusted = {
  readonly anchors: TrustAnchors.TrustAnchors
  readonly at: { readonly chainId: bigint; readonly number: bigint; readonly hash: Uint8Array }
  readonly atoms: readonly Atom[]
}

/** Weighs the proof of stake; `trusted` is undefined, with the reason, where the reader does not trust the header. */
export function judge(
  chain: ChainPiece.Facts | undefined,
  reader: Reader,
  trusted: Trusted | undefined,
  reason: string,
): Judged {
  const none = (because: string): Judged => ({ consequence: 'none', because })
  if (chain?.stake === undefined) return none('no proof of stake in the file')
  const { stake } = chain
  if (trusted === undefined) return none(reason)
  const { anchors, at, atoms } = trusted
  if (anchors.stake === undefined) return none('the trust anchors name no stake contracts')
  for (const name of ['stakeManager', 'faultCourt', 'faultCases'] as const) {
    if (!Bytes.equal(anchors.stake[name].address, stake[name].address))
      return none('other stake contracts than trusted')
    if (!Bytes.equal(anchors.stake[name].codeHash, stake[name].codeHash))
      return none('other stake contract code than trusted')
  }
  // The court hears of heads only under keys of nodes; whether such a key has ended does not matter to it.
  if (chain.registry.keyRecord.role !== roles.node) return none('the key is registered for another role')
  if (stake.contradictionPercent === 0) return none('the court takes nothing for a contradiction')
  const now = newestBlock(reader, at.chainId)
  for (const who of ['node', 'log'] as const) {
    const { endedAtBlock, retiredAtBlock, index } = stake[who]
    if (endedAtBlock !== 0n)
      return none(`the stake of the ${who} has ended at block ${endedAtBlock}: a fault is on record`)
    if (retiredAtBlock !== 0n) return none(`the stake of the ${who} is retired since block ${retiredAtBlock}`)
    if (index === 0n) return none(`nothing is left of the stake of the ${who}`)
    const untilBlock = at.number + stake.unbondBlocks + stake[who].extraPledgeBlocks
    if (now > untilBlock)
      return none(`the stake of the ${who} was shown until block ${untilBlock}, and the reader knows block ${now}`)
    if (BigInt(bondOf(stake, who, at.number).selfBond) === 0n) return none(`no self-bond behind the ${who}`)
  }
  const node = bondOf(stake, 'node', at.number)
  const log = bondOf(stake, 'log', at.number)
  const smaller = (name: 'amount' | 'selfBond' | 'untilBlock') =>
    (BigInt(node[name]) < BigInt(log[name]) ? node : log)[name]
  const consequence: Bonded = {
    kind: 'bonded',
    at: { chainId: String(at.chainId), blockNumber: String(at.number), blockHash: Bytes.toHex(at.hash) },
    amount: smaller('amount'),
    selfBond: smaller('selfBond'),
    untilBlock: smaller('untilBlock'),
    openExposure: Math.max(node.openExposure, log.openExposure),
    node,
    log,
    assumptions: atoms,
    doesNotTell,
  }
  return { consequence, because: describe(consequence) }
}

/**
 * A consequence in words: amounts in ASY, rounded down to six digits after the point.
 *
 * @example
 * describe(verdict.consequence) // => 'bonded 100,000 ASY (self 100,000) until block 4711, 0 open cases'
 */
export function describe(consequence: Consequence): string {
  if (consequence === 'none') return 'none'
  const { amount, selfBond, untilBlock, openExposure } = consequence
  const cases = `${openExposure} open case${openExposure === 1 ? '' : 's'}`
  return `bonded ${inTokens(amount)} ASY (self ${inTokens(selfBond)}) until block ${untilBlock}, ${cases}`
}

/** What a contradiction takes from one subject at the percentage that is lowest. */
function bondOf(stake: StakePiece.Facts, who: 'node' | 'log', block: bigint): Bond {
  const { selfShares, delegatedShares, index, extraPledgeBlocks, openCases } = stake[who]
  const taken = (value: bigint) => (value * BigInt(stake.contradictionPercent)) / 100n
  const self = StakePiece.valueOf(selfShares, index)
  return {
    amount: String(taken(self + StakePiece.valueOf(delegatedShares, index))),
    selfBond: String(taken(self)),
    untilBlock: String(block + stake.unbondBlocks + extraPledgeBlocks),
    openExposure: openCases,
  }
}

/** The newest block that this reader knows to exist, by its view or by a header that it trusts. */
function newestBlock(reader: Reader, chainId: bigint): bigint {
  let newest = reader.view?.chainId === chainId ? reader.view.newest : 0n
  for (const { headers } of reader.anchors.filter((one) => one.chainId === chainId)) {
    const last = headers.at(-1)?.number ?? 0n
    if (last > newest) newest = last
  }
  return newest
}

function inTokens(amount: string): string {
  const units = BigInt(amount)
  const whole = String(units / 10n ** 18n).replace(/\B(?=(\d{3})+$)/g, ',')
  const rest = String(units % 10n ** 18n)
    .padStart(18, '0')
    .slice(0, 6)
    .replace(/0+$/, '')
  return rest === '' ? whole : `${whole}.${rest}`
}
