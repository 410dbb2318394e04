/** Result.ts - one figure, what it is compared with, and what it was measured on. */
import * as Measure from './Measure.ts'

/** The most or the least that a figure may be, in the figure's unit. */
export type Goal = { readonly atMost: number } | { readonly atLeast: number }

/** One line of the report. */
export type Result = {
  readonly name: string
  /** Null for figures that are only reported. */
  readonly goal: Goal | null
  readonly unit: string
  /** Null when it could not be measured; `note` says why. */
  readonly value: number | null
  /** What went in: sizes, counts, concurrency. */
  readonly input: string
  readonly samples: number
  /** Of the whole process, per unit of work; null where the work is not done by this process. */
  readonly cpuMicroseconds: Measure.Spread | null
  readonly wallMicroseconds: Measure.Spread | null
  /** Resident memory of the process at the end, harness included. */
  readonly rssMiB: number
  /** Null without a goal, and where the input is smaller than the goal's. */
  readonly meets: boolean | null
  readonly note: string
}

/** How much a suite should do. */
export type Effort = {
  readonly isQuick: boolean
  /** How long a load goes on, where one does; default: as short as shows that it works. */
  readonly minutes?: number
}

/** A file `NAME.bench.ts` has one. */
export type Suite = (effort: Effort) => Promise<readonly Result[]>

/** Makes a line; `value` is the median CPU time per unit of work unless it is given. */
export function of(parts: {
  readonly name: string
  readonly unit: string
  readonly input: string
  readonly goal?: Goal
  readonly value?: number | null
  readonly timing?: Measure.Timing
  readonly samples?: number
  /** False when the input is smaller than the goal's, which then is not judged. */
  readonly isFull?: boolean
  readonly note?: string
}): Result {
  const { name, unit, input, timing } = parts
  const goal = parts.goal ?? null
  const value = parts.value === undefined ? (timing?.cpu.median ?? null) : parts.value
  const isJudged = goal !== null && value !== null && parts.isFull !== false
  return {
    ...{ name, goal, unit, value, input },
    samples: timing?.samples ?? parts.samples ?? 1,
    cpuMicroseconds: timing?.cpu ?? null,
    wallMicroseconds: timing?.wall ?? null,
    rssMiB: process.memoryUsage.rss() / 2 ** 20,
    meets: isJudged ? isMet(goal, value) : null,
    note: parts.note ?? '',
  }
}

/** A timing from samples that were taken one by one; microseconds. */
export function timing(samples: readonly { readonly cpu: number; readonly wall: number }[]): Measure.Timing {
  return {
    samples: samples.length,
    cpu: Measure.spread(samples.map(({ cpu }) => cpu)),
    wall: Measure.spread(samples.map(({ wall }) => wall)),
  }
}

export function isMet(goal: Goal, value: number): boolean {
  return 'atMost' in goal ? value <= goal.atMost : value >= goal.atLeast
}
