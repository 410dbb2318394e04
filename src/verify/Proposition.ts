/**
 * Proposition.ts - the rows of a verdict: one per slot and five relations. Source: spec/verdict.md section 1.
 */
import * as Slot from '../protocol/Slot.ts'

/** Relations between claims; what users care about is never one value. */
export const relations = ['prepared', 'executed', 'rendered', 'keyBound', 'ordered'] as const
/** The name of a relation. */
export type Relation = (typeof relations)[number]

/** A row of a verdict: a slot or a relation. */
export type Proposition = Slot.Name | Relation

/** All 21 propositions in the order in which a verdict lists them. */
export const all: readonly Proposition[] = [...Slot.names, ...relations]

/** Slots that a relation joins; it is absent if one is absent, else hidden if one is hidden. */
export const joins: Record<Relation, readonly Slot.Name[]> = {
  prepared: ['request', 'effectiveRequest'],
  executed: ['effectiveRequest', 'model', 'weights', 'engine', 'output'],
  rendered: ['output', 'response'],
  keyBound: ['attestation'],
  ordered: ['order'],
}

/** Says whether a value is the name of a proposition. */
export function is(value: unknown): value is Proposition {
  return typeof value === 'string' && (all as readonly string[]).includes(value)
}

/** Says whether a proposition is a relation. */
export function isRelation(value: Proposition): value is Relation {
  return (relations as readonly string[]).includes(value)
}
