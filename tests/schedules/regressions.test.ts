/** regressions.test.ts - schedules that once convicted an honest operator, as short as they could be made. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Lie } from './Endpoint.ts'
import * as Schedule from './Schedule.ts'

type Unseeded<E = Schedule.Event> = E extends unknown ? Omit<E, 'seed'> : never
const start: Unseeded = { what: 'start' }
const call = (count: number): Unseeded => ({ what: 'call', count, isBad: false })
const tick = (count: number): Unseeded => ({ what: 'tick', count })
const rpc = (is: 'good' | 'lost' | Lie): Unseeded => ({ what: 'rpc', is })
const [entry, opening] = [
  { what: 'case', kind: 'entry' },
  { what: 'case', kind: 'used' },
] as const

type Case = {
  readonly name: string
  readonly logs?: number
  readonly bounds?: Schedule.Schedule['bounds']
  /** Of schedules in which a reorganisation goes the one bad way. */
  readonly seeds?: readonly number[]
  readonly events: readonly Unseeded[]
}
const cases: readonly Case[] = [
  {
    name: 'a restored node under a new log, after the one that remembered its key was lost (F1, F13)',
    events: [
      ...[start, { what: 'back-up', role: 'node' } as const, call(2), { what: 'lose', role: 'log' } as const, start],
      ...[{ what: 'restore', role: 'node' } as const, start, call(3)],
    ],
  },
  {
    name: 'a restored node on a chain that began anew (F1, F13)',
    events: [
      ...[start, { what: 'back-up', role: 'node' } as const, call(2), tick(2), { what: 'wipe' } as const, start],
      ...[{ what: 'restore', role: 'node' } as const, start, call(3)],
    ],
  },
  {
    name: 'a mirror that falls silent right after a pledge (F4)',
    logs: 2,
    events: [start, call(1), { what: 'silence', slot: 0, on: true }, call(2), tick(26)],
  },
  {
    name: 'an endpoint that calls a low number the newest, once (F4, missing)',
    events: [start, call(2), tick(30), rpc('low-number'), call(4), rpc('good'), tick(40)],
  },
  {
    name: 'an endpoint that shows other anchored roots, once (F4)',
    events: [start, call(4), tick(4), rpc('other-steps'), call(2), tick(4), rpc('good'), tick(26)],
  },
  {
    name: "a reorganisation that takes the log's registration back (F4)",
    events: [start, call(2), { what: 'reorganise', depth: 4 }, tick(27)],
  },
  {
    name: 'a restored log whose mirror holds heads of a key that is registered no more (F4)',
    events: [
      ...[start, { what: 'back-up', role: 'log' } as const, call(2), { what: 'reorganise', depth: 17 } as const],
      ...[{ what: 'restore', role: 'log' } as const, tick(25)],
    ],
  },
  {
    name: 'a restored node before a new log that got the name of the one that remembered its key (F1, F13)',
    seeds: [15, 18, 20, 23],
    events: [
      ...[start, tick(4), { what: 'lose', role: 'log' } as const, start, { what: 'back-up', role: 'node' } as const],
      ...[
        call(1),
        { what: 'reorganise', depth: 5 } as const,
        { what: 'restore', role: 'node' } as const,
        tick(2),
        call(3),
      ],
    ],
  },
  {
    name: 'a log and its mirror both put back to older copies of one time, which only the node outlived (F2, F3)',
    bounds: 'beyond',
    events: [
      ...[start, call(2), { what: 'back-up', role: 'log' } as const, { what: 'back-up', role: 'witness' } as const],
      ...[call(3), { what: 'restore', role: 'log' } as const, { what: 'restore', role: 'witness' } as const],
      ...[start, call(3), tick(3)],
    ],
  },
  {
    name: 'an endpoint that calls a block final which is far ahead, for a moment (F18)',
    events: [start, call(3), tick(3), rpc('far-final'), tick(3), rpc('good'), opening, tick(3)],
  },
  {
    name: 'an endpoint that calls a high number the newest, before a case comes and expires while it is away (F4, missing)',
    seeds: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    events: [start, call(3), tick(3), rpc('high-number'), tick(1), rpc('lost'), entry, tick(45), rpc('good'), tick(52)],
  },
]

describe('an honest operator suffers nothing from', () => {
  for (const { name, logs = 1, bounds = 'within', seeds = [1, 2, 3, 4], events } of cases) {
    test(name, async () => {
      for (const seed of seeds) {
        const seeded = events.map((event, i) => ({ ...event, seed: seed * 1_000 + i })) as Schedule.Event[]
        const { unjust, report } = await Schedule.run({ seed, logs, bounds, events: seeded })
        assert.deepEqual(unjust, [], `seed ${seed}`)
        assert.ok((report.pledges ?? 0) > 0)
      }
    })
  }
})
