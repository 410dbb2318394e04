/**
 * Measure.ts - how long work takes, in CPU time and in wall time, in samples of a fixed number of iterations.
 *
 * CPU time is that of the whole process, worker threads included: on a machine that others use it holds still where wall
 * time does not. Subjects that are compared take turns, so that whatever disturbs one disturbs the other.
 */

/** Smallest, middle and largest of the samples. */
export type Spread = { readonly min: number; readonly median: number; readonly max: number }

/** Microseconds per iteration over all samples. */
export type Timing = { readonly samples: number; readonly cpu: Spread; readonly wall: Spread }

/** Something to measure. */
export type Subject = {
  readonly name: string
  /** Iterations of one sample: enough for some milliseconds of CPU, which is counted in microseconds. */
  readonly iterations: number
  /** One iteration; what it returns is consumed, so that no work can be left out. */
  readonly run?: (i: number) => unknown
  /** A whole sample instead, for iterations that overlap; `start` counts up over all samples. */
  readonly runSample?: (iterations: number, start: number) => Promise<unknown>
}

let consumed = 0

/** Takes note of a result, so that no engine may drop the work behind it. */
export function consume(value: unknown): void {
  if (value instanceof Uint8Array) consumed = (consumed + (value[0] ?? 0) + value.length) >>> 0
  else if (typeof value === 'number') consumed = (consumed + value) >>> 0
  else if (value !== undefined && value !== null) consumed = (consumed + 1) >>> 0
}

/** What was consumed so far. */
export function consumedSoFar(): number {
  return consumed
}

/** Measures the subjects in turns, after `warmUp` samples of each that do not count. */
export async function interleave(
  subjects: readonly Subject[],
  options: { readonly samples: number; readonly warmUp?: number },
): Promise<Map<string, Timing>> {
  const cpu = new Map<string, number[]>(subjects.map(({ name }) => [name, []]))
  const wall = new Map<string, number[]>(subjects.map(({ name }) => [name, []]))
  const started = new Map<string, number>()
  const warmUp = options.warmUp ?? 2
  for (let round = -warmUp; round < options.samples; round++) {
    // Every other round backwards, so that nobody always comes after the same neighbour.
    for (const subject of round % 2 === 0 ? subjects : [...subjects].reverse()) {
      const start = started.get(subject.name) ?? 0
      started.set(subject.name, start + subject.iterations)
      const sample = await sampleOf(subject, start)
      if (round < 0) continue
      cpu.get(subject.name)?.push(sample.cpu)
      wall.get(subject.name)?.push(sample.wall)
    }
  }
  return new Map(
    subjects.map(({ name }) => {
      const own = cpu.get(name) as number[]
      return [name, { samples: own.length, cpu: spread(own), wall: spread(wall.get(name) as number[]) }]
    }),
  )
}

/** Measures one piece of work that runs once. */
export async function once<T>(work: () => Promise<T> | T): Promise<{ value: T; cpu: number; wall: number }> {
  const cpu = process.cpuUsage()
  const startedMs = performance.now()
  const value = await work()
  const wall = (performance.now() - startedMs) * 1000
  const { user, system } = process.cpuUsage(cpu)
  return { value, cpu: user + system, wall }
}

async function sampleOf(subject: Subject, start: number): Promise<{ cpu: number; wall: number }> {
  const { iterations, run, runSample } = subject
  const { cpu, wall } = await once(async () => {
    if (runSample !== undefined) consume(await runSample(iterations, start))
    else if (run !== undefined) {
      for (let i = start; i < start + iterations; i++) {
        const value = run(i)
        // An await costs a turn of the loop; what is synchronous should not pay for it.
        consume(value instanceof Promise ? await value : value)
      }
    }
  })
  return { cpu: cpu / iterations, wall: wall / iterations }
}

/** Of at least one value. */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const high = sorted[middle] as number
  const median = sorted.length % 2 === 1 ? high : ((sorted[middle - 1] as number) + high) / 2
  return { min: sorted[0] as number, median, max: sorted[sorted.length - 1] as number }
}
