/**
 * Backing.ts - the partial order of what can stand behind a proposition. Source: spec/verdict.md section 1.
 */

/** One kind of backing. `none` is never listed in a row: a row without backing has an empty set. */
export type Backing =
  | 'none'
  | 'asserted'
  | 'signed'
  | 'attested'
  | 'reexecuted'
  | 'chainChecked'
  | 'proven'
  | 'recomputed'

/** All kinds, low to high; kinds of one level stand next to each other. */
export const all = [
  'none',
  'asserted',
  'signed',
  'attested',
  'reexecuted',
  'chainChecked',
  'proven',
  'recomputed',
] as const satisfies readonly Backing[]

const level: Record<Backing, number> = {
  none: 0,
  asserted: 1,
  signed: 2,
  attested: 3,
  reexecuted: 3,
  chainChecked: 3,
  proven: 4,
  recomputed: 4,
}

/** True when `value` names a kind of backing. */
export function is(value: unknown): value is Backing {
  return typeof value === 'string' && (all as readonly string[]).includes(value)
}

/**
 * True when `a` is at or above `b`: equal, or on a higher level. Two different kinds of one level do not meet each other.
 *
 * @example
 * atLeast('recomputed', 'attested') // => true
 * atLeast('attested', 'reexecuted') // => false
 */
export function atLeast(a: Backing, b: Backing): boolean {
  return a === b || level[a] > level[b]
}

/** The maximal elements of a set of kinds, without `none`, each once, in the order of `all`. */
export function maximal(kinds: Iterable<Backing>): Backing[] {
  const set = new Set(kinds)
  set.delete('none')
  return all.filter((kind) => set.has(kind) && ![...set].some((other) => other !== kind && atLeast(other, kind)))
}

/** What each kind does not tell, for people. Source: design of verdicts; spec/verdict.md. */
export const doesNotTell: Record<Backing, string> = {
  none: 'anything',
  asserted: 'anything: nobody accountable stands behind it',
  signed: 'that it is true; only which key will be blamed if it is shown false',
  attested:
    'that the answer is right; the weights, unless their digest is measured; absence of physical access; that an API behind a proxy enclave ran anything',
  reexecuted: 'that the committee did not collude; under a tolerance, that a near-equal model was not used',
  chainChecked: "that the contract's check is the one you wanted",
  proven: 'that the circuit is the model you think, that the input was honest, that the set-up was honest',
  recomputed: 'that others with another profile would agree',
}

/** What no backing tells. */
export const neverTold = 'truth, safety or usefulness of the text'
