/**
 * Assumption.ts - atoms that evidence rests on, patterns over them, and who would have to lie.
 * Source: spec/verdict.md section 3.
 */
import { UsageError } from '../protocol/errors.ts'

/** Text `kind:rest` (or a bare kind such as `client-code`), for instance `operator:0xab..` or `chain:development:31337`. */
export type Atom = string

/** Kinds of atoms that exist. An atom or a pattern of another kind is a mistake of the caller. */
export const kinds = [
  'key',
  'operator',
  'log',
  'hw',
  'tcb',
  'custody',
  'hypervisor',
  'client-code',
  'revocation',
  'measurement',
  'committee',
  'snark',
  'srs',
  'chain',
  'debug',
  'revoked',
  'sequencer',
  'witness',
  'clock',
  'simulated',
  'statement',
] as const

/** Evidence that rests on one of these counts only when a policy accepts it by name. */
export const weak: readonly string[] = [
  'simulated',
  'simulated:*',
  'srs:local-*',
  'debug',
  'debug:*',
  'revoked:*',
  'statement:*',
]

/** Most pieces of evidence kept behind one proposition: the dual grows exponentially with their number. */
export const maxPieces = 8
/** Largest set of parties listed. */
export const maxSetSize = 3
/** Most sets listed; more are counted. */
export const maxSets = 64

/** The minimal sets of atoms that must fail together, and how many more there are. */
export type Liars = { readonly sets: readonly (readonly Atom[])[]; readonly more: number }

/** Kinds whose atoms stand alone; all others have something after the colon. */
const bareKinds: readonly string[] = ['client-code', 'debug', 'simulated']
/** How the rest of an atom is written: bytes in lower-case hex, of addresses after 0x. */
const hexRests: Readonly<Record<string, { readonly prefix: string; readonly digits: number }>> = {
  key: { prefix: '', digits: 64 },
  log: { prefix: '', digits: 64 },
  witness: { prefix: '', digits: 64 },
  operator: { prefix: '0x', digits: 40 },
}

/**
 * Checks a pattern: a literal atom, or a prefix followed by one `*` at the end; its kind must exist, and some atom must match it (an
 * address in mixed case would forbid nobody).
 *
 * @throws {PatternError}
 */
export function assertPattern(pattern: unknown): asserts pattern is string {
  if (typeof pattern !== 'string' || pattern.length === 0 || pattern.length > 256)
    throw new PatternError(String(pattern))
  const star = pattern.indexOf('*')
  if (star !== -1 && star !== pattern.length - 1) throw new PatternError(pattern)
  const kind = (pattern.split(':')[0] ?? '').replace('*', '')
  if (!(kinds as readonly string[]).includes(kind)) throw new PatternError(pattern)
  const colon = pattern.indexOf(':')
  if (colon === -1) {
    if (star === -1 && !bareKinds.includes(kind)) throw new PatternError(pattern)
    return
  }
  const hex = hexRests[kind]
  if (hex === undefined) return
  const rest = pattern.slice(colon + 1).replace('*', '')
  const isBegin = hex.prefix.startsWith(rest) && star !== -1
  const digits = rest.slice(hex.prefix.length)
  const isRest = rest.startsWith(hex.prefix) && /^[0-9a-f]*$/.test(digits) && digits.length <= hex.digits
  if (!isBegin && !(isRest && (star !== -1 || digits.length === hex.digits))) throw new PatternError(pattern)
}

/**
 * True when the atom matches a pattern: equal, or starting with what stands before the final `*`.
 *
 * @example
 * matches('chain:development:31337', 'chain:development:*') // => true
 */
export function matches(atom: Atom, pattern: string): boolean {
  return pattern.endsWith('*') ? atom.startsWith(pattern.slice(0, -1)) : atom === pattern
}

/** True when a piece resting on these atoms may be used under `forbid` and `accept`. */
export function isUsable(atoms: readonly Atom[], forbid: readonly string[], accept: readonly string[]): boolean {
  return atoms.every((atom) => {
    if (forbid.some((pattern) => matches(atom, pattern))) return false
    if (weak.some((pattern) => matches(atom, pattern))) return accept.some((pattern) => matches(atom, pattern))
    return true
  })
}

/**
 * The minimal hitting sets of the pieces: every set names atoms that must fail together so that no piece holds.
 * Sets up to size 3 are enumerated; at most 64 are returned, sorted by size and then text. A piece without any atom can not
 * fail, so there is no such set.
 *
 * @example
 * liars([['operator:a', 'chain:x'], ['operator:a']]).sets // => [['operator:a']]
 */
export function liars(pieces: readonly (readonly Atom[])[]): Liars {
  if (pieces.length === 0 || pieces.some((piece) => piece.length === 0)) return { sets: [], more: 0 }
  const kept = pieces.slice(0, maxPieces).map((piece) => [...new Set(piece)].sort())
  const found: Atom[][] = []
  const hits = (set: readonly Atom[]) => kept.every((piece) => piece.some((atom) => set.includes(atom)))
  const covered = (set: readonly Atom[]) => found.some((small) => small.every((atom) => set.includes(atom)))
  const atoms = [...new Set(kept.flat())].sort()
  const extend = (set: Atom[], from: number, size: number): void => {
    if (set.length === size) {
      if (hits(set) && !covered(set)) found.push([...set])
      return
    }
    for (let i = from; i < atoms.length; i++) extend([...set, atoms[i] as Atom], i + 1, size)
  }
  for (let size = 1; size <= maxSetSize; size++) extend([], 0, size)
  return { sets: found.slice(0, maxSets), more: Math.max(0, found.length - maxSets) }
}

/** A pattern is not a literal atom or a prefix with a final `*`, or its kind does not exist. */
export class PatternError extends UsageError<'assumption-pattern'> {
  override readonly name = 'Assumption.PatternError'
  constructor(pattern: string) {
    super(
      'assumption-pattern',
      'An assumption pattern must be an atom as they are written, or the beginning of one and `*`, of a known kind.',
      {
        facts: [`Got: ${pattern.slice(0, 80)}`, `Kinds: ${kinds.join(' ')}`],
      },
    )
  }
}
