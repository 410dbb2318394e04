/**
 * Requirements.ts - holds a judgement against a policy. Source: spec/verdict.md section 4.
 */
import type * as Bundle from '../protocol/Bundle.ts'
import * as Bytes from '../protocol/Bytes.ts'
import type * as Claims from '../protocol/Claims.ts'
import * as Slot from '../protocol/Slot.ts'
import * as Assumption from './Assumption.ts'
import * as Backing from './Backing.ts'
import type * as Consequence from './Consequence.ts'
import * as Fields from './Fields.ts'
import type { Judgement, Piece } from './Judgement.ts'
import type { AnchoringFact, Policy, Requirement, ValueTest, Visibility } from './Policy.ts'
import * as Proposition from './Proposition.ts'
import type { Reader } from './Reader.ts'

/** What became of one requirement. */
export type Status = 'MET' | 'REFUTED' | 'UNCHECKED'

/** One requirement with its result; nested ones give one result each as well as their own. */
export type Result = {
  readonly requirement: string
  readonly status: Status
  readonly because: string
  readonly propositions: readonly Proposition.Proposition[]
}

/** What requirements are evaluated against. */
export type Context = {
  readonly bundle: Bundle.Bundle
  readonly claims: Partial<Claims.ClaimValues>
  readonly judgement: Judgement
  readonly reader: Reader
  readonly policy: Policy
  readonly nowSeconds: bigint | undefined
}

/** Pieces behind a proposition that the policy lets count. */
export function usablePieces(context: Context, proposition: Proposition.Proposition): readonly Piece[] {
  const { forbid, accept } = context.policy
  return (context.judgement.pieces.get(proposition) ?? [])
    .filter((piece) => Assumption.isUsable([...piece.assumptions, ...(piece.behind ?? [])], forbid, accept))
    .slice(0, Assumption.maxPieces)
}

/** Anchoring facts that the policy lets count. */
export function usableFacts(context: Context): Judgement['anchoring'] {
  const { forbid, accept } = context.policy
  return context.judgement.anchoring.filter((entry) =>
    Assumption.isUsable([...entry.assumptions, ...(entry.behind ?? [])], forbid, accept),
  )
}

/** The stake behind the receipt, if the policy lets it count. */
export function usableConsequence(context: Context): Consequence.Judged {
  const { forbid, accept } = context.policy
  const { stake } = context.judgement
  if (stake.consequence === 'none' || Assumption.isUsable(stake.consequence.assumptions, forbid, accept)) return stake
  return { consequence: 'none', because: 'rests on an assumption that the policy forbids' }
}

/** Identifiers of the named witnesses that cosigned and that the policy lets count, 32 bytes each. */
export function usableWitnesses(context: Context): readonly Uint8Array[] {
  const { forbid, accept } = context.policy
  return context.judgement.witnesses.filter((keyId) =>
    Assumption.isUsable([`witness:${Bytes.toHex(keyId)}`], forbid, accept),
  )
}

/** The visibility of a slot, or of a relation by the slots that it joins. */
export function visibility(bundle: Bundle.Bundle, proposition: Proposition.Proposition): Visibility {
  const slots = Proposition.isRelation(proposition) ? Proposition.joins[proposition] : [proposition]
  const each = slots.map((name): Visibility => {
    const slot = Slot.indexOf(name)
    return bundle.disclosed.has(slot) ? 'disclosed' : bundle.hidden.has(slot) ? 'hidden' : 'absent'
  })
  return each.includes('absent') ? 'absent' : each.includes('hidden') ? 'hidden' : 'disclosed'
}

/** Evaluates the policy: the overall result first, then every leaf requirement in order. */
export function evaluate(context: Context): { readonly isMet: boolean; readonly results: readonly Result[] } {
  const results: Result[] = []
  const overall = visit(context, context.policy.requirements, results)
  return { isMet: overall === 'MET', results }
}

function visit(context: Context, requirement: Requirement, results: Result[]): Status {
  if ('allOf' in requirement) return worst(requirement.allOf.map((item) => visit(context, item, results)))
  if ('anyOf' in requirement)
    return atLeast(
      1,
      requirement.anyOf.map((item) => visit(context, item, results)),
    )
  if ('kOf' in requirement)
    return atLeast(
      requirement.kOf.k,
      requirement.kOf.of.map((item) => visit(context, item, results)),
    )
  const result = leaf(context, requirement)
  results.push({
    requirement: describe(requirement),
    propositions: 'proposition' in requirement ? [requirement.proposition] : [],
    ...result,
  })
  return result.status
}

function worst(all: readonly Status[]): Status {
  return all.includes('REFUTED') ? 'REFUTED' : all.includes('UNCHECKED') ? 'UNCHECKED' : 'MET'
}

function atLeast(k: number, all: readonly Status[]): Status {
  const met = all.filter((status) => status === 'MET').length
  if (met >= k) return 'MET'
  return all.filter((status) => status !== 'REFUTED').length >= k ? 'UNCHECKED' : 'REFUTED'
}

type Leaf = Exclude<Requirement, { allOf: unknown } | { anyOf: unknown } | { kOf: unknown }>
type Answer = { readonly status: Status; readonly because: string }
const met = (because: string): Answer => ({ status: 'MET', because })
const refuted = (because: string): Answer => ({ status: 'REFUTED', because })
const unchecked = (because: string): Answer => ({ status: 'UNCHECKED', because })

function leaf(context: Context, requirement: Leaf): Answer {
  const { judgement, reader, bundle } = context
  if ('proposition' in requirement) return propositionLeaf(context, requirement)
  if ('disclosed' in requirement) {
    if (bundle.disclosed.size === 0) return unchecked('no slot is disclosed')
    for (const slot of bundle.disclosed.keys()) {
      const answer = backed(context, Slot.names[slot] as Slot.Name, requirement.disclosed.backing)
      if (answer.status !== 'MET') return answer
    }
    return met(`${bundle.disclosed.size} disclosed slots`)
  }
  if ('anchoring' in requirement) return anchoringLeaf(context, requirement.anchoring)
  if ('consequence' in requirement) return consequenceLeaf(context, requirement)
  if ('operator' in requirement) {
    const operator = operatorOf(context)
    if (operator === undefined) return unchecked(judgement.reasons.get('node') ?? 'the operator is not proven')
    if (reader.operators.length === 0) return unchecked('name an operator')
    return reader.operators.some((named) => Bytes.equal(named, operator))
      ? met(`operator 0x${Bytes.toHex(operator)} is named by the reader`)
      : refuted('the operator is not one that the reader named')
  }
  if ('distinctOperators' in requirement) {
    const node = operatorOf(context)
    const log = usableFacts(context).some((entry) => entry.fact === 'anchored') ? judgement.logOperator : undefined
    if (node === undefined || log === undefined) return unchecked('the operators of node and log are not both proven')
    if (judgement.isOneKey) return refuted('node and log sign with one key')
    return Bytes.equal(node, log)
      ? refuted('node and log have one operator')
      : met('node and log have different operators')
  }
  if ('witnessedBy' in requirement) {
    if (reader.witnesses.length === 0) return unchecked('name a witness or log')
    const distinct = new Set(usableWitnesses(context).map(Bytes.toHex)).size
    return distinct >= requirement.k
      ? met(`${distinct} named witnesses cosigned`)
      : unchecked(`${distinct} of ${requirement.k} named witnesses cosigned`)
  }
  return ageLeaf(context, requirement.maxAgeSeconds)
}

/**
 * A header says how old a receipt is only if the receipt was anchored in that very block: a proof can be made anew under any later
 * header, and a leaf is under every later root. That the anchor came soon after the receipt is the log's pledge.
 */
function ageLeaf(context: Context, maxAgeSeconds: number): Answer {
  const { judgement, nowSeconds } = context
  if (nowSeconds === undefined) return unchecked('no time given')
  if (judgement.headerTimestamp === undefined || judgement.at === undefined) return unchecked('no trusted header')
  const facts = usableFacts(context)
  for (const fact of ['anchored', 'pledged'] as const)
    if (!facts.some((entry) => entry.fact === fact)) return unchecked(`not ${fact}`)
  if (judgement.anchoredAtBlock !== judgement.at.number)
    return unchecked("the header is not the anchor's own block, so it does not show when the receipt was anchored")
  if (judgement.headerTimestamp > nowSeconds) return unchecked("the header is younger than the reader's time")
  const age = nowSeconds - judgement.headerTimestamp
  return age <= BigInt(maxAgeSeconds) ? met(`${age} s old`) : refuted(`${age} s old, allowed ${maxAgeSeconds} s`)
}

/** The node's operator, if the signed backing is one that the policy lets count. */
function operatorOf(context: Context): Uint8Array | undefined {
  const { forbid, accept } = context.policy
  const isSigned = context.judgement.key.some(
    (piece) =>
      piece.backing === 'signed' &&
      Assumption.isUsable([...piece.assumptions, ...(piece.behind ?? [])], forbid, accept),
  )
  return isSigned ? context.judgement.nodeOperator : undefined
}

function anchoringLeaf(context: Context, fact: AnchoringFact): Answer {
  const found = usableFacts(context).find((entry) => entry.fact === fact)
  if (found !== undefined) return met(found.because)
  if (context.judgement.anchoring.some((entry) => entry.fact === fact))
    return unchecked('rests on an assumption that the policy forbids')
  return unchecked(context.judgement.anchoringReasons.get(fact) ?? 'no evidence')
}

/** Stake is the highest consequence, so it meets the lower one too; which alone nothing shows. */
function consequenceLeaf(context: Context, { minStake }: Extract<Leaf, { consequence: unknown }>): Answer {
  const { consequence, because } = usableConsequence(context)
  if (consequence === 'none') return unchecked(because)
  if (minStake !== undefined && BigInt(consequence.amount) < BigInt(minStake))
    return unchecked(`${because}: ${consequence.amount} of ${minStake} token units`)
  return met(because)
}

function backed(context: Context, proposition: Proposition.Proposition, wanted: readonly Backing.Backing[]): Answer {
  const pieces = usablePieces(context, proposition)
  const hit = pieces.find((piece) => wanted.some((kind) => Backing.atLeast(piece.backing, kind)))
  if (hit !== undefined) return met(hit.because)
  const all = context.judgement.pieces.get(proposition) ?? []
  if (all.some((piece) => wanted.some((kind) => Backing.atLeast(piece.backing, kind))))
    return unchecked('rests on an assumption that the policy forbids')
  return unchecked(context.judgement.reasons.get(proposition) ?? 'no evidence of that kind')
}

function propositionLeaf(context: Context, requirement: Extract<Leaf, { proposition: unknown }>): Answer {
  const { proposition } = requirement
  const answers: Answer[] = []
  if (requirement.visibility !== undefined) {
    const got = visibility(context.bundle, proposition)
    answers.push(got === requirement.visibility ? met(got) : unchecked(`is ${got}, asked ${requirement.visibility}`))
  }
  if (requirement.backing !== undefined) answers.push(backed(context, proposition, requirement.backing))
  if (requirement.value !== undefined && requirement.field !== undefined)
    answers.push(valueLeaf(context, proposition, requirement.field, requirement.value))
  const status = worst(answers.map((answer) => answer.status))
  return {
    status,
    because: answers
      .filter((answer) => answer.status === status)
      .map((answer) => answer.because)
      .join('; '),
  }
}

function valueLeaf(context: Context, proposition: Proposition.Proposition, field: string, test: ValueTest): Answer {
  if (Proposition.isRelation(proposition) || proposition === 'step') return unchecked('has no fields')
  const claim = context.claims[proposition]
  if (claim === undefined) return unchecked(`slot ${proposition} is not disclosed`)
  const value = Fields.read(proposition, claim as never, field)
  if (value === undefined) return unchecked(`slot ${proposition} has no field ${field}`)
  return compare(value, test, context.reader) ? met(`${field} fits`) : refuted(`${field} does not fit`)
}

function compare(value: Fields.FieldValue, test: ValueTest, reader: Reader): boolean {
  const same = (operand: string | number | boolean) =>
    typeof value === 'bigint' ? typeof operand === 'number' && BigInt(operand) === value : value === operand
  if ('equals' in test) return same(test.equals)
  if ('oneOf' in test) return test.oneOf.some(same)
  if ('subsetOf' in test) {
    const allowed = test.subsetOf === 'reader' ? reader.rewrites : test.subsetOf
    return Array.isArray(value) && value.every((item) => allowed.includes(item))
  }
  if ('empty' in test) return Array.isArray(value) && value.length === 0
  if (typeof value !== 'number' && typeof value !== 'bigint') return false
  return 'max' in test ? value <= test.max : value >= test.min
}

/** A requirement in one line, for people and for JSON. */
export function describe(requirement: Requirement): string {
  if ('proposition' in requirement) {
    const parts: string[] = [requirement.proposition]
    if (requirement.visibility !== undefined) parts.push(`visibility ${requirement.visibility}`)
    if (requirement.backing !== undefined) parts.push(`backing ${requirement.backing.join(' or ')}`)
    if (requirement.value !== undefined)
      parts.push(
        `${requirement.field} ${Object.entries(requirement.value)
          .map(([test, operand]) => `${test} ${Array.isArray(operand) ? operand.join(', ') : operand}`)
          .join()}`,
      )
    return parts.join(': ')
  }
  if ('disclosed' in requirement) return `every disclosed slot: backing ${requirement.disclosed.backing.join(' or ')}`
  if ('anchoring' in requirement) return `anchoring: ${requirement.anchoring}`
  if ('consequence' in requirement)
    return `consequence: ${requirement.consequence}${requirement.minStake === undefined ? '' : ` of at least ${requirement.minStake}`}`
  if ('distinctOperators' in requirement) return 'node and log of different operators'
  if ('operator' in requirement) return 'operator named by the reader'
  if ('witnessedBy' in requirement) return `witnessed by ${requirement.k} that the reader named`
  if ('maxAgeSeconds' in requirement) return `at most ${requirement.maxAgeSeconds} s old`
  if ('allOf' in requirement) return `all of ${requirement.allOf.length}`
  if ('anyOf' in requirement) return `any of ${requirement.anyOf.length}`
  return `${requirement.kOf.k} of ${requirement.kOf.of.length}`
}
