/**
 * CaseJudge.ts - looks at every case that an honest operator did not answer, and says whether it had the time for it.
 *
 * Within the bounds of a case (spec/faults.md section 6.3) are
 * - an operator that within the blocks of an answer runs and reaches the chain for `stretchBlocks` blocks in a row, whatever is before and
 *   after: its process down, its endpoint away, lying or losing transactions. A failure makes the service wait for at most
 *   30 s, 15 blocks of 2 s here; one block more until it looks, one for the answer, and one for each answer to another case before
 *   that;
 * - folders that are replaced by older copies, as long as the other place of a log is there (Operator.ts); a log that has ended is none;
 * - for an opening, a node whose folder was not lost, or replaced by a copy from before the receipt, since then; and an endpoint that
 *   did not call too high a block final for `confirmBlocks` blocks before it was heard to speak the truth;
 * - an answers.json that is lost, damaged or old.
 *
 * An entry whose case expired is shown late in `stretchBlocks` blocks in a row after the end of the case; where the endpoint lied after
 * the last such time before the case, which may have hidden it, in `blocksBetweenReads` more.
 */
import { Bytes } from 'assay/protocol'
import { confirmBlocks } from './CaseAnswers.ts'
import type * as CaseRules from './CaseRules.ts'
import type * as Rules from './ContractRules.ts'
import type { Lie } from './Endpoint.ts'
import type { Block, ModelChain } from './ModelChain.ts'
import type { Conviction } from './Prosecutor.ts'

/** Blocks in a row in which an operator is well. */
export const stretchBlocks = 17n
/** Of the answering service: after so many it reads events whatever the count says. */
const blocksBetweenReads = 32n

export type CaseJudge = {
  /** Convictions by cases, among them of those that are open at the end of a schedule. */
  readonly convict: () => readonly Conviction[]
  /** Cases against an honest subject in the newest block that are open, or expired and not shown. */
  readonly unanswered: () => readonly (readonly [string, CaseRules.Case])[]
  /** Of how many it has seen which end. */
  readonly counts: () => Readonly<Record<string, number>>
}

const hex = Bytes.toHex

/** Starts looking. */
export function create(options: {
  readonly chain: ModelChain
  readonly terms: CaseRules.Terms
  readonly graceBlocks: bigint
  /** Whether a logId or nodeId is the operator's. */
  readonly isHonest: (subject: Uint8Array) => boolean
  /** Whether what the case is about was lost with a disk. */
  readonly isLost: (one: CaseRules.Case) => boolean
  readonly lie: () => Lie | undefined
  /** Whether a call is an answer of the operator. */
  readonly isAnswer: (call: Rules.Call) => boolean
}): CaseJudge {
  const { chain, terms, graceBlocks, isHonest, isLost, lie, isAnswer } = options
  const found = new Map<string, Conviction>()
  const seen = new Map<string, Set<string>>()
  const lied = new Set<bigint>()
  const { answerBlocks } = terms
  // The first block of lies that no time without them has followed yet.
  let lieFrom: bigint | undefined
  let isDeceived = false

  /**
   * Whether the operator was well for some blocks in a row, of those above `from` up to `to`. It answers one case after the other, and
   * each answer takes a block: they do not count.
   */
  function hadStretch(from: bigint, to: bigint, least: bigint): boolean {
    let run = 0n
    for (let number = from + 1n; number <= to && run < least; number++) {
      const block = chain.block(number)
      if (block?.reachable !== true) run = 0n
      else if (!block.calls.some(isAnswer)) run++
    }
    return run >= least
  }

  function charge(name: string, one: CaseRules.Case, what: string, of: Partial<Conviction>, wasInTime: boolean): void {
    // What was nobody's fault at first can become one, as long as it stands.
    if (found.get(name)?.withinBounds === true || (found.has(name) && !wasInTime)) return
    const about = one.demand === undefined ? `index ${Bytes.toBigInt(one.incident)}` : `slot ${one.demand.slot}`
    const detail = `${about}, opened in block ${one.openedAtBlock}, ${what} in block ${chain.newest().number}`
    const withinBounds = wasInTime && !isLost(one) && !(isDeceived && one.class === 18)
    found.set(name, {
      ...{ class: one.class, subject: hex(one.subject), detail, isUnreleased: false, withinBounds },
      ...of,
    })
  }

  function watchLies(number: bigint): void {
    if (lie() !== undefined) lied.add(number)
    if (lie() === 'high-number' || lie() === 'far-final') {
      lieFrom ??= number
      // A look is made in every second block.
      if (number + 2n >= lieFrom + confirmBlocks) isDeceived = true
    } else if (lieFrom !== undefined && hadStretch(number - stretchBlocks - 2n, number, stretchBlocks + 2n)) {
      lieFrom = undefined
    }
  }

  function look(block: Block): void {
    watchLies(block.number)
    for (const [id, one] of block.state.cases) {
      if (!isHonest(one.subject)) continue
      const states = seen.get(id) ?? new Set()
      seen.set(id, states)
      states.add(one.state)
      if (one.state !== 'expired') continue
      const last = one.openedAtBlock + answerBlocks
      charge(id, one, 'expired', {}, hadStretch(one.openedAtBlock, last, stretchBlocks))
      if (block.number > last + graceBlocks) chargeNotShown(id, one)
    }
  }

  /** F4 by `how` 3, which may be due a little later; the pledge's own deadline is before. */
  function chargeNotShown(id: string, one: CaseRules.Case): void {
    if (one.class !== 17) return
    const last = one.openedAtBlock + answerBlocks
    const wasHidden = [...lied].some(
      (number) => number <= last + graceBlocks && !hadStretch(number, one.openedAtBlock, stretchBlocks),
    )
    const least = wasHidden ? stretchBlocks + blocksBetweenReads : stretchBlocks
    const wasInTime = hadStretch(last, chain.newest().number, least)
    charge(`${id}/4`, one, 'not shown', { class: 4, missing: true }, wasInTime)
  }
  chain.onBlock(look)

  const unanswered = () =>
    [...chain.newest().state.cases].filter(
      ([, one]) =>
        isHonest(one.subject) &&
        !isLost(one) &&
        (one.state === 'open' || (one.state === 'expired' && one.class === 17)),
    )

  return {
    unanswered,
    convict: () => {
      for (const [id, one] of unanswered()) {
        if (one.state === 'expired') chargeNotShown(id, one)
        else charge(id, one, 'still open', {}, hadStretch(one.openedAtBlock, chain.newest().number, stretchBlocks))
      }
      return [...found.values()]
    },
    counts: () => {
      const all = [...seen.values()]
      return {
        'cases opened': all.length,
        'cases answered': all.filter((states) => states.has('answered')).length,
        ...{ 'deceived for long': isDeceived ? 1 : 0 },
        'cases expired': all.filter((states) => states.has('expired')).length,
      }
    },
  }
}
