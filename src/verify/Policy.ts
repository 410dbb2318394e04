/**
 * Policy.ts - what a reader asks of a receipt, as data. Source: spec/verdict.md section 4.
 */
import type { Crypto } from '../protocol/Crypto.ts'
import * as Dcbor from '../protocol/Dcbor.ts'
import { BaseError, UsageError } from '../protocol/errors.ts'
import * as Assumption from './Assumption.ts'
import * as Backing from './Backing.ts'
import * as Fields from './Fields.ts'
import * as Proposition from './Proposition.ts'

/** What the reader sees of a slot or relation. */
export type Visibility = 'absent' | 'hidden' | 'disclosed'
/** How far a receipt has come. */
export type AnchoringFact = 'local' | 'pledged' | 'included' | 'witnessed' | 'anchored' | 'final'

/** A scalar that a policy may name; bytes are compared as lower-case hex, numbers as integers. */
export type Scalar = string | number | boolean

/** A test of one field of a disclosed claim. */
export type ValueTest =
  | { readonly equals: Scalar }
  | { readonly oneOf: readonly Scalar[] }
  | { readonly subsetOf: readonly string[] | 'reader' }
  | { readonly max: number }
  | { readonly min: number }
  | { readonly empty: true }

/** One thing that a policy asks for. Source: spec/verdict.md section 4. */
export type Requirement =
  | {
      readonly proposition: Proposition.Proposition
      readonly visibility?: Visibility
      readonly backing?: readonly Backing.Backing[]
      readonly field?: string
      readonly value?: ValueTest
    }
  | { readonly disclosed: { readonly backing: readonly Backing.Backing[] } }
  | { readonly anchoring: AnchoringFact }
  | { readonly consequence: 'removable' | 'bonded'; readonly minStake?: string }
  | { readonly distinctOperators: readonly ['node', 'log'] }
  | { readonly operator: 'reader' }
  | { readonly witnessedBy: 'reader'; readonly k: number }
  | { readonly maxAgeSeconds: number }
  | { readonly allOf: readonly Requirement[] }
  | { readonly anyOf: readonly Requirement[] }
  | { readonly kOf: { readonly k: number; readonly of: readonly Requirement[] } }

/** What a reader asks of a receipt, as data. */
export type Policy = {
  readonly name: string
  readonly requirements: Requirement
  readonly forbid: readonly string[]
  readonly accept: readonly string[]
}

/** Deepest nesting of allOf / anyOf / kOf: a policy is read by people. */
export const maxDepth = 8
/** Most requirements in one policy, nested ones included. */
export const maxRequirements = 256

/** All anchoring facts, lowest first. */
export const anchoringFacts = ['local', 'pledged', 'included', 'witnessed', 'anchored', 'final'] as const
const visibilities = ['absent', 'hidden', 'disclosed'] as const

/**
 * Reads a policy from untrusted data (for instance parsed JSON). Every key must be known; nothing has a lax default.
 *
 * @throws {InvalidPolicyError} with the path of the first mistake
 */
export function parse(data: unknown): Policy {
  const map = record(data, 'policy', ['name', 'requirements', 'forbid', 'accept'])
  const name = map.name
  if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9-]{0,63}$/.test(name))
    throw new InvalidPolicyError('name', 'must match [a-z0-9-], 1..64')
  const budget = { left: maxRequirements }
  const policy = {
    name,
    requirements: requirement(map.requirements, 'requirements', 0, budget),
    forbid: patterns(map.forbid, 'forbid'),
    accept: patterns(map.accept, 'accept'),
  }
  encode(policy)
  return policy
}

/**
 * The policy's identity: SHA-256 of its dCBOR with text keys, 32 bytes.
 *
 * @throws {InvalidPolicyError}
 */
export function hash(crypto: Crypto, policy: Policy): Uint8Array {
  return crypto.sha256(encode(parse(policy)))
}

/** What has no encoding (text that is not NFC, too many items) has no hash, so it is no policy. */
function encode(policy: Policy): Uint8Array {
  try {
    return Dcbor.encode(toValue(policy))
  } catch (cause) {
    if (!BaseError.isInstance(cause)) throw cause
    throw new InvalidPolicyError('policy', `has no encoding (${cause.code})`)
  }
}

function toValue(data: unknown): Dcbor.Value {
  if (Array.isArray(data)) return data.map(toValue)
  if (typeof data === 'object' && data !== null)
    return new Map(Object.entries(data).map(([key, value]) => [key, toValue(value)]))
  return data as Dcbor.Value
}

function requirement(data: unknown, path: string, depth: number, budget: { left: number }): Requirement {
  if (depth > maxDepth) throw new InvalidPolicyError(path, `is nested deeper than ${maxDepth}`)
  if (--budget.left < 0) throw new InvalidPolicyError(path, `has more than ${maxRequirements} requirements`)
  if (typeof data !== 'object' || data === null || Array.isArray(data))
    throw new InvalidPolicyError(path, 'must be a map')
  const nested = (list: unknown, at: string): Requirement[] => {
    if (!Array.isArray(list) || list.length === 0)
      throw new InvalidPolicyError(at, 'must be a list with at least one requirement')
    return list.map((item, i) => requirement(item, `${at}[${i}]`, depth + 1, budget))
  }
  if ('allOf' in data) return { allOf: nested(record(data, path, ['allOf']).allOf, `${path}.allOf`) }
  if ('anyOf' in data) return { anyOf: nested(record(data, path, ['anyOf']).anyOf, `${path}.anyOf`) }
  if ('kOf' in data) {
    const inner = record(record(data, path, ['kOf']).kOf, `${path}.kOf`, ['k', 'of'])
    const of = nested(inner.of, `${path}.kOf.of`)
    return { kOf: { k: integer(inner.k, `${path}.kOf.k`, 1, of.length), of } }
  }
  if ('proposition' in data) return propositionRequirement(data, path)
  if ('disclosed' in data) {
    const inner = record(record(data, path, ['disclosed']).disclosed, `${path}.disclosed`, ['backing'])
    return { disclosed: { backing: backings(inner.backing, `${path}.disclosed.backing`) } }
  }
  if ('anchoring' in data) {
    const fact = record(data, path, ['anchoring']).anchoring
    if (!(anchoringFacts as readonly unknown[]).includes(fact))
      throw new InvalidPolicyError(`${path}.anchoring`, `must be one of ${anchoringFacts.join(', ')}`)
    return { anchoring: fact as AnchoringFact }
  }
  if ('consequence' in data) {
    const map = record(data, path, ['consequence'], ['minStake'])
    const kind = map.consequence
    if (kind !== 'removable' && kind !== 'bonded')
      throw new InvalidPolicyError(`${path}.consequence`, 'must be removable or bonded')
    const minStake = map.minStake
    if (minStake === undefined) return { consequence: kind }
    if (typeof minStake !== 'string' || !/^(0|[1-9][0-9]{0,77})$/.test(minStake))
      throw new InvalidPolicyError(`${path}.minStake`, 'must be a decimal integer as text')
    return { consequence: kind, minStake }
  }
  if ('distinctOperators' in data) {
    const list = record(data, path, ['distinctOperators']).distinctOperators
    if (!Array.isArray(list) || list.length !== 2 || list[0] !== 'node' || list[1] !== 'log')
      throw new InvalidPolicyError(`${path}.distinctOperators`, 'must be ["node", "log"]')
    return { distinctOperators: ['node', 'log'] }
  }
  if ('operator' in data) {
    if (record(data, path, ['operator']).operator !== 'reader')
      throw new InvalidPolicyError(`${path}.operator`, 'must be "reader"')
    return { operator: 'reader' }
  }
  if ('witnessedBy' in data) {
    const map = record(data, path, ['witnessedBy', 'k'])
    if (map.witnessedBy !== 'reader') throw new InvalidPolicyError(`${path}.witnessedBy`, 'must be "reader"')
    return { witnessedBy: 'reader', k: integer(map.k, `${path}.k`, 1, 16) }
  }
  if ('maxAgeSeconds' in data)
    return {
      maxAgeSeconds: integer(
        record(data, path, ['maxAgeSeconds']).maxAgeSeconds,
        `${path}.maxAgeSeconds`,
        0,
        Number.MAX_SAFE_INTEGER,
      ),
    }
  throw new InvalidPolicyError(path, 'is not a known requirement')
}

function propositionRequirement(data: object, path: string): Requirement {
  const map = record(data, path, ['proposition'], ['visibility', 'backing', 'field', 'value'])
  const proposition = map.proposition
  if (!Proposition.is(proposition))
    throw new InvalidPolicyError(`${path}.proposition`, `must be one of ${Proposition.all.join(', ')}`)
  const result: {
    -readonly [K in keyof Extract<Requirement, { proposition: unknown }>]: Extract<
      Requirement,
      { proposition: unknown }
    >[K]
  } = { proposition }
  if ('visibility' in map) {
    if (!(visibilities as readonly unknown[]).includes(map.visibility))
      throw new InvalidPolicyError(`${path}.visibility`, 'must be absent, hidden or disclosed')
    result.visibility = map.visibility as Visibility
  }
  if ('backing' in map) {
    result.backing = backings(map.backing, `${path}.backing`)
    for (const kind of result.backing)
      if (!Proposition.isRelation(proposition) && ['proven', 'reexecuted', 'recomputed'].includes(kind))
        throw new InvalidPolicyError(`${path}.backing`, `${kind} exists for relations only`)
  }
  if ('field' in map !== 'value' in map) throw new InvalidPolicyError(path, 'must have field and value together')
  if ('value' in map) {
    const known = Fields.namesOf(proposition)
    if (typeof map.field !== 'string' || !known.includes(map.field))
      throw new InvalidPolicyError(`${path}.field`, `must be one of ${known.join(', ') || '(none)'}`)
    result.field = map.field
    result.value = valueTest(map.value, `${path}.value`)
    // The reader lists rewrites and nothing else: another field must not be measured by that list.
    if ('subsetOf' in result.value && result.value.subsetOf === 'reader' && map.field !== 'rewrites')
      throw new InvalidPolicyError(`${path}.value`, 'subsetOf "reader" is for rewrites')
  }
  if (Object.keys(result).length === 1)
    throw new InvalidPolicyError(path, 'asks nothing of the proposition: give visibility, backing or value')
  return result
}

function valueTest(data: unknown, path: string): ValueTest {
  const map = record(data, path, [], ['equals', 'oneOf', 'subsetOf', 'max', 'min', 'empty'])
  const [entry, ...others] = Object.entries(map)
  if (entry === undefined || others.length > 0) throw new InvalidPolicyError(path, 'must have exactly one test')
  const [test, operand] = entry
  if (test === 'equals') return { equals: scalar(operand, path) }
  if (test === 'oneOf') return { oneOf: list(operand, path).map((item) => scalar(item, path)) }
  if (test === 'subsetOf')
    return {
      subsetOf:
        operand === 'reader'
          ? 'reader'
          : list(operand, path).map((item) => {
              if (typeof item !== 'string') throw new InvalidPolicyError(path, 'must list text')
              return item
            }),
    }
  if (test === 'max') return { max: integer(operand, path, 0, Number.MAX_SAFE_INTEGER) }
  if (test === 'min') return { min: integer(operand, path, 0, Number.MAX_SAFE_INTEGER) }
  if (operand !== true) throw new InvalidPolicyError(path, 'empty must be true')
  return { empty: true }
}

function backings(data: unknown, path: string): Backing.Backing[] {
  const kinds = list(data, path)
  if (kinds.length === 0) throw new InvalidPolicyError(path, 'must list at least one backing')
  return kinds.map((kind) => {
    if (!Backing.is(kind) || kind === 'none')
      throw new InvalidPolicyError(path, `must list kinds of ${Backing.all.slice(1).join(', ')}`)
    return kind
  })
}

function patterns(data: unknown, path: string): string[] {
  const items = list(data, path)
  if (items.length > 64) throw new InvalidPolicyError(path, 'has more than 64 patterns')
  for (const item of items) Assumption.assertPattern(item)
  return items as string[]
}

function scalar(data: unknown, path: string): Scalar {
  if (typeof data === 'string' || typeof data === 'boolean') return data
  return integer(data, path, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
}

function integer(data: unknown, path: string, min: number, max: number): number {
  if (typeof data !== 'number' || !Number.isSafeInteger(data) || Object.is(data, -0) || data < min || data > max)
    throw new InvalidPolicyError(path, `must be an integer from ${min} to ${max}`)
  return data
}

function list(data: unknown, path: string): unknown[] {
  if (!Array.isArray(data)) throw new InvalidPolicyError(path, 'must be a list')
  return data
}

function record(
  data: unknown,
  path: string,
  required: readonly string[],
  optional: readonly string[] = [],
): Record<string, unknown> {
  if (typeof data !== 'object' || data === null || Array.isArray(data))
    throw new InvalidPolicyError(path, 'must be a map')
  for (const key of Object.keys(data))
    if (!required.includes(key) && !optional.includes(key))
      throw new InvalidPolicyError(path, `has the unknown key ${key.slice(0, 40)}`)
  for (const key of required) if (!Object.hasOwn(data, key)) throw new InvalidPolicyError(path, `lacks the key ${key}`)
  return data as Record<string, unknown>
}

/** The data is not a policy. */
export class InvalidPolicyError extends UsageError<'invalid-policy'> {
  override readonly name = 'Policy.InvalidPolicyError'
  constructor(path: string, problem: string) {
    super('invalid-policy', `The policy is not valid: ${path} ${problem}.`, { docsPath: 'spec/verdict.md' })
  }
}
