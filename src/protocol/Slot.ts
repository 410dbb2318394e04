/** Slot.ts - the sixteen places of a claims tree and their names. Source: spec/receipt.md section 5. */
import { UsageError } from './errors.ts'

/** Names by slot number. */
export const names = Object.freeze([
  'node',
  'order',
  'request',
  'effectiveRequest',
  'response',
  'output',
  'model',
  'weights',
  'engine',
  'route',
  'exposure',
  'attestation',
  'proof',
  'price',
  'step',
  'outcome',
] as const)

/** The name of a slot. */
export type Name = (typeof names)[number]

/** Slots that may be used in this version, ascending: all but 14 (`step`), which is reserved and must be absent. */
export const usable: readonly number[] = Object.freeze([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15])

/** The number of a name, 0..15; throws `Slot.UnknownSlotError`. */
export function indexOf(name: Name): number {
  const index = names.indexOf(name)
  if (index < 0) throw new UnknownSlotError()
  return index
}

/** The name of a number; throws `Slot.UnknownSlotError` outside 0..15. */
export function nameOf(slot: number): Name {
  const name = names[slot]
  if (name === undefined) throw new UnknownSlotError()
  return name
}

/** A slot is asked for that no claims tree has. */
export class UnknownSlotError extends UsageError<'unknown-slot'> {
  override readonly name = 'Slot.UnknownSlotError'
  constructor() {
    super('unknown-slot', 'There is no such slot.', { facts: [`Slots: ${names.join(', ')}`] })
  }
}
