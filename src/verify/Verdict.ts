/**
 * Verdict.ts - what a receipt is worth, to this reader, under this policy, now. Source: spec/verdict.md.
 *
 * There is no boolean and no score: an outcome, rows that say what stands behind each proposition and who would have to
 * lie, and a line per requirement. A verdict is worth nothing to anybody but the reader who computed it.
 */
import * as Profiles from '../execution/Profiles.ts'
import * as Bundle from '../protocol/Bundle.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import * as Assumption from './Assumption.ts'
import * as Backing from './Backing.ts'
import type * as Consequence from './Consequence.ts'
import * as CounterEvidence from './CounterEvidence.ts'
import * as Integrity from './Integrity.ts'
import * as Judgement from './Judgement.ts'
import * as Policy from './Policy.ts'
import * as Proposition from './Proposition.ts'
import { strict } from './policies.ts'
import type { Reader } from './Reader.ts'
import type { Recomputation } from './Recomputation.ts'
import * as Requirements from './Requirements.ts'
import { digest, version } from './version.ts'

/** What a verdict comes to; there is no boolean and no score. */
export type Outcome = 'MEETS' | 'INSUFFICIENT' | 'INVALID' | 'FAULT'

/** One proposition: what is seen of it, what backs it, who would have to lie. */
export type Row = {
  readonly proposition: Proposition.Proposition
  readonly visibility: Policy.Visibility
  /** Maximal kinds reached; empty = none. */
  readonly backing: readonly Backing.Backing[]
  /** The worst status of the requirements that name this proposition; null where none does. */
  readonly status: Requirements.Status | null
  readonly because: string
  /** Minimal sets of parties that must fail or lie together for it to be false, and how many are not listed. */
  readonly liars: Assumption.Liars
  readonly doesNotTell: readonly string[]
}

/** What a receipt is worth to one reader under one policy. Source: spec/verdict.md section 5. */
export type Verdict = {
  readonly outcome: Outcome
  /** The step that found a contradiction, for INVALID. */
  readonly step?: Integrity.StepName
  /** What the step found, for INVALID. */
  readonly contradiction?: string
  readonly policy: { readonly name: string; readonly hash: string }
  readonly verifier: { readonly version: string; readonly digest: string }
  readonly at: { readonly chainId: string; readonly blockNumber: string; readonly blockHash: string } | null
  readonly receiptHash: string | null
  readonly anchoring: readonly Judgement.Anchored[]
  /** Who pays if the receipt is false. */
  readonly consequence: Consequence.Consequence
  /** Why nothing is bonded, or what is. */
  readonly consequenceBecause: string
  readonly rows: readonly Row[]
  readonly requirements: readonly Requirements.Result[]
  readonly faults: readonly CounterEvidence.Found[]
}

/** What a verdict is computed from; time, trust and engines are arguments. */
export type Options = {
  /** Bytes of a `.receipt` file. */
  readonly bundle: Uint8Array
  readonly reader: Reader
  /** Default: `strict`. */
  readonly policy?: Policy.Policy
  /** The reader's time, unix seconds; without it age is never met. */
  readonly nowSeconds?: bigint
  /** `.fault` files that the reader holds. */
  readonly faults?: readonly Uint8Array[]
  /** What the reader had proven to itself about the logs that those files accuse; without it a file shows what it shows by the bundle. */
  readonly known?: CounterEvidence.Known
  /** Runs the call again; without it nothing counts as recomputed. */
  readonly recompute?: (bundle: Bundle.Bundle, facts: Integrity.Facts) => Promise<Recomputation>
}

/**
 * Computes the verdict on a bundle.
 *
 * - `bundle`: `.receipt` bytes, at most 4 MiB
 * - returns: a verdict for everything that parses
 *
 * Throws: `Bundle.MalformedBundleError` for bytes that are no bundle, `Policy.InvalidPolicyError`.
 * Source: spec/verdict.md section 5.
 *
 * @example
 * const verdict = await verify(crypto, { bundle, reader, policy: recorded })
 * verdict.outcome // => 'MEETS' | 'INSUFFICIENT' | 'INVALID' | 'FAULT'
 */
export async function verify(crypto: Crypto, options: Options): Promise<Verdict> {
  const policy = Policy.parse(options.policy ?? strict)
  const bundle = Bundle.parse(options.bundle)
  const head = {
    policy: { name: policy.name, hash: Bytes.toHex(Policy.hash(crypto, policy)) },
    verifier: { version, digest },
  }
  let facts: Integrity.Facts
  try {
    facts = await Integrity.check({ crypto, bundle, exactProfiles: Profiles.exact })
  } catch (error) {
    if (!(error instanceof Integrity.StepError)) throw error
    const invalid = { outcome: 'INVALID' as const, step: error.step, contradiction: error.shortMessage }
    const nothing = { at: null, receiptHash: null, anchoring: [], rows: [], requirements: [], faults: [] }
    const consequence = { consequence: 'none' as const, consequenceBecause: 'the file contradicts itself' }
    return { ...invalid, ...head, ...nothing, ...consequence }
  }
  const recomputation = options.recompute === undefined ? {} : await options.recompute(bundle, facts)
  const judgement = Judgement.judge(crypto, bundle, facts, options.reader, recomputation)
  const context: Requirements.Context = {
    bundle,
    claims: facts.claims,
    judgement,
    reader: options.reader,
    policy,
    nowSeconds: options.nowSeconds,
  }
  const { isMet, results } = Requirements.evaluate(context)
  const witnesses = Requirements.usableWitnesses(context)
  const faults = await CounterEvidence.judge(crypto, {
    files: options.faults ?? [],
    known: options.known,
    bundle,
    facts,
    judgement,
    witnesses,
  })
  const { consequence, because: consequenceBecause } = Requirements.usableConsequence(context)
  const outcome: Outcome = faults.length > 0 ? 'FAULT' : isMet ? 'MEETS' : 'INSUFFICIENT'
  return {
    outcome,
    ...head,
    at:
      judgement.at === undefined
        ? null
        : {
            chainId: String(judgement.at.chainId),
            blockNumber: String(judgement.at.number),
            blockHash: Bytes.toHex(judgement.at.hash),
          },
    receiptHash: Bytes.toHex(facts.receiptHash),
    anchoring: Requirements.usableFacts(context),
    consequence,
    consequenceBecause,
    rows: Proposition.all.map((proposition) => row(context, proposition, results)),
    requirements: results,
    faults,
  }
}

function row(
  context: Requirements.Context,
  proposition: Proposition.Proposition,
  results: readonly Requirements.Result[],
): Row {
  const pieces = Requirements.usablePieces(context, proposition)
  const backing = Backing.maximal(pieces.map((piece) => piece.backing))
  const top = pieces.filter((piece) => backing.includes(piece.backing))
  const statuses = results.filter((result) => result.propositions.includes(proposition)).map((result) => result.status)
  const status = statuses.includes('REFUTED')
    ? 'REFUTED'
    : statuses.includes('UNCHECKED')
      ? 'UNCHECKED'
      : statuses.length > 0
        ? 'MET'
        : null
  const reason = context.judgement.reasons.get(proposition)
  const because =
    [...top.map((piece) => piece.because), ...(reason === undefined ? [] : [reason])].join('; ') || 'no evidence'
  return {
    proposition,
    visibility: Requirements.visibility(context.bundle, proposition),
    backing,
    status,
    because,
    liars: Assumption.liars(top.map((piece) => piece.assumptions)),
    doesNotTell: [
      ...(backing.length === 0 ? [Backing.doesNotTell.none] : backing.map((kind) => Backing.doesNotTell[kind])),
      Backing.neverTold,
    ],
  }
}

/** Exit code of a command that ends with this outcome; 64 is for usage errors. */
export const exitCode: Readonly<Record<Outcome, number>> = { MEETS: 0, INSUFFICIENT: 1, INVALID: 2, FAULT: 3 }

/** True for errors that mean "these bytes are no bundle" (exit code 2). */
export function isUnreadable(error: unknown): boolean {
  return BaseError.isInstance(error) && error instanceof Bundle.MalformedBundleError
}

/** keyId of the key that signed the receipt, lower-case hex. */
export function signer(crypto: Crypto, bundle: Bundle.Bundle): string {
  return Bytes.toHex(Cose.keyId(crypto, bundle.keys.node))
}
