/** logGoals.bench.ts - the figures of log.bench.ts beside the goals of a log. */
import * as LogBench from './log.bench.ts'
import type * as Measure from './Measure.ts'
import * as Result from './Result.ts'

const full = { seconds: 60, entries: 1_000_000 }
const quick = { seconds: 5, entries: 50_000 }

export const run: Result.Suite = async ({ isQuick }) => {
  const found = await LogBench.run(isQuick ? quick : full)
  const { appends, inclusionMs, consistencyMs, startAfterKillMs, cpuMicros } = found
  const latency = appends.latencyMs
  const ms = (value: number) => value.toFixed(1)
  const input = `${found.entries} entries`
  const line = (parts: Omit<Parameters<typeof Result.of>[0], 'input'> & { readonly input?: string }) =>
    Result.of({ input, isFull: !isQuick, ...parts })
  const one = (cpu: number, wallSeconds: number) => Result.timing([{ cpu, wall: wallSeconds * 1e6 }])
  const proof = (cpu: Measure.Spread, wallMs: { readonly p50: number; readonly max: number }): Measure.Timing => ({
    // The smallest wall time is not kept; what is shown in its place is the median.
    ...{ samples: 2000, cpu },
    wall: { min: wallMs.p50 * 1000, median: wallMs.p50 * 1000, max: wallMs.max * 1000 },
  })
  return [
    line({
      ...{ name: 'log: appends', value: appends.perSecond, unit: 'a second' },
      // What is offered is the goal itself, and the last group ends after the last second: one percent is for that.
      goal: { atLeast: 0.99 * appends.targetPerSecond },
      timing: one(appends.cpuMicrosPerAppend, 1 / appends.perSecond),
      input: `${appends.targetPerSecond} a second offered until ${appends.targetPerSecond * (isQuick ? quick : full).seconds} were taken, signed beforehand; took ${appends.seconds.toFixed(1)} s`,
      note: `pledged after ${ms(latency.p50)} / ${ms(latency.p99)} / ${ms(latency.max)} ms (p50, p99, max); main thread ${Math.round(appends.mainThreadCpuMicrosPerAppend)} us CPU an append`,
    }),
    line({
      ...{ name: 'log: inclusion proof, p99', value: inclusionMs.p99, unit: 'ms wall', goal: { atMost: 2 } },
      timing: proof(cpuMicros.inclusion, inclusionMs),
      note: `worst of the first 20, tiles unread: ${inclusionMs.coldMax.toFixed(2)} ms`,
    }),
    line({
      ...{ name: 'log: consistency proof, p99', value: consistencyMs.p99, unit: 'ms wall' },
      timing: proof(cpuMicros.consistency, consistencyMs),
    }),
    line({
      ...{ name: 'log: start after kill -9', value: startAfterKillMs.firstPledge / 1000, unit: 's wall' },
      ...{ goal: { atMost: 3 }, timing: one(cpuMicros.start, startAfterKillMs.firstPledge / 1000) },
      note: `killed under load; to the first pledge, folders open after ${ms(startAfterKillMs.open)} ms`,
    }),
    line({
      ...{
        name: 'log: fill',
        value: found.fillSeconds,
        unit: 's wall',
        timing: one(cpuMicros.fill, found.fillSeconds),
      },
      note: 'the same rows as log and mirror write, without signatures',
    }),
    line({
      ...{ name: 'log: publish all files', value: found.publishSeconds, unit: 's wall' },
      note: 'tiles and bundles of everything at once; a log in service does it bit by bit',
    }),
    line({
      ...{ name: 'log: bytes an entry', value: found.bytesPerEntry.log, unit: 'bytes' },
      note: `and ${Math.round(found.bytesPerEntry.mirror)} at the mirror; files of the log not counted`,
    }),
  ]
}
