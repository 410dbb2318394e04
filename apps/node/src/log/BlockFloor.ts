/**
 * BlockFloor.ts - keeps a log from naming a block in a pledge that lies far below one that it has seen. Source: spec/log.md
 * section 3.
 *
 * The deadline counts from the block that a pledge names. An endpoint that calls a low number the newest, once, could make
 * a log sign pledges whose deadlines are over.
 */

/** What the floor remembers; `highest`: the number of the highest block seen. */
export type BlockFloor = {
  highest: bigint
  /** Since when the numbers are lower, by the log's own clock. */
  fallenSinceMs: number | undefined
}

/** How long a chain must stay low until that is what it is: a chain that was taken back far. */
export const patienceMs = 600_000

/**
 * Says whether a block may be named; one that falls by more than an eighth of the pledge window may not, until the chain has
 * stayed there for ten minutes.
 *
 * - `pledgeBlocks`: the log's window in blocks
 */
export function admits(floor: BlockFloor, number: bigint, pledgeBlocks: bigint, nowMs: number): boolean {
  if (number + pledgeBlocks / 8n < floor.highest) {
    floor.fallenSinceMs ??= nowMs
    if (Math.abs(nowMs - floor.fallenSinceMs) < patienceMs) return false
    floor.highest = number
  }
  floor.fallenSinceMs = undefined
  if (number > floor.highest) floor.highest = number
  return true
}

/** Takes note of a block that is the newest now; a lower one than before says nothing. */
export function note(floor: BlockFloor, newest: { readonly number: bigint } | undefined): void {
  if (newest !== undefined && newest.number > floor.highest) floor.highest = newest.number
}
