/** Scenarios.ts - the faults that the demonstration commits: who cheats, how, and what has to pass on the chain until it shows. */
import * as Cheats from '@assay/node/demo/Cheats'
import type { Tampering } from '@assay/node/demo/Party'

export type Scenario = {
  /** As in spec/faults.md; `F4` is the late pledge. */
  readonly id: string
  /** Class byte of the fault id. */
  readonly class: number
  readonly subject: 'node' | 'log'
  /** Who cheats, and what it does, for people. */
  readonly who: string
  readonly does: string
  readonly tampering: () => Tampering
  /** Calls that the client makes, one after the other. */
  readonly calls: number
  /** When the log anchors: as it should, after the deadline, or not at all. */
  readonly anchors: 'in time' | 'late' | 'never'
}

const inTime = { anchors: 'in time', tampering: () => ({}), calls: 1 } as const

export const scenarios: readonly Scenario[] = [
  {
    ...{ ...inTime, id: 'F1', class: 1, subject: 'node', who: 'node', calls: 2, tampering: Cheats.twoHeads },
    does: 'signs two receipts for one place of its sequence',
  },
  {
    ...{ ...inTime, id: 'F2', class: 2, subject: 'log', who: 'log', calls: 2, tampering: Cheats.twoHistories },
    does: 'signs another history than the one that it anchors',
  },
  {
    ...{ ...inTime, id: 'F3', class: 3, subject: 'log', who: 'log', tampering: Cheats.wrongLeaf },
    does: 'pledges an index and stores another leaf there',
  },
  {
    ...{ ...inTime, id: 'F4', class: 4, subject: 'log', who: 'log', anchors: 'late' },
    does: 'anchors after the deadline of its pledge',
  },
  {
    ...{ ...inTime, id: 'F4-missing', class: 104, subject: 'log', who: 'log', anchors: 'never' },
    does: 'never anchors what it pledged',
  },
  {
    ...{ ...inTime, id: 'F5', class: 5, subject: 'log', who: 'log', tampering: Cheats.falseEntry },
    does: 'stores an entry that differs from the head that it names',
  },
  {
    ...{ ...inTime, id: 'F6', class: 6, subject: 'node', who: 'witness', calls: 2, tampering: Cheats.twoCosignatures },
    does: 'cosigns two histories of one log',
  },
  {
    ...{ ...inTime, id: 'F13', class: 13, subject: 'node', who: 'node', calls: 2, tampering: Cheats.wrongLink },
    does: 'links a receipt to another one than the one before it',
  },
  {
    ...{ ...inTime, id: 'F17', class: 17, subject: 'log', who: 'log', tampering: Cheats.withheldEntry },
    does: 'shows nobody an entry that it has anchored',
  },
  {
    ...{ ...inTime, id: 'F18', class: 18, subject: 'node', who: 'node', tampering: Cheats.withheldOpening },
    does: 'does not open what its receipt commits to',
  },
]
