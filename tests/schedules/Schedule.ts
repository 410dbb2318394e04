/**
 * Schedule.ts - what happens to an honest operator, in an order that follows from a seed: calls and attacks, crashes, restored
 * folders, a chain that stands still, turns back or begins anew, an endpoint that fails or lies.
 */
import { existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Bytes } from 'assay/protocol'
import * as CaseJudge from './CaseJudge.ts'
import * as CaseOpener from './CaseOpener.ts'
import * as Rules from './ContractRules.ts'
import * as Endpoint from './Endpoint.ts'
import * as ModelChain from './ModelChain.ts'
import * as Operator from './Operator.ts'
import * as Parts from './Parts.ts'
import * as Prosecutor from './Prosecutor.ts'
import * as Random from './Random.ts'
import * as Stranger from './Stranger.ts'

export const pledgeBlocks = 24n
export const graceBlocks = 24n
/** As short as the contract's rules and the waits of the answering service (CaseJudge.ts) allow. */
export const caseTerms = { openWindowBlocks: 50n, answerBlocks: 40n }
/** Rounds at the end of a schedule in which nothing is wrong, as many as are needed. */
const lastRounds = 24

/** One thing that happens; `seed` is for what it leaves open, so that leaving out others changes nothing here. */
export type Event = { readonly seed: number } & (
  | { readonly what: 'call'; readonly count: number; readonly isBad: boolean }
  | { readonly what: 'tick'; readonly count: number }
  | { readonly what: 'crash-at'; readonly step: string; readonly after: number }
  | { readonly what: 'kill' | 'stop' | 'start' | 'rotate' | 'front-run' | 'wipe' | 'heal' }
  | { readonly what: 'back-up' | 'restore' | 'lose'; readonly role: Parts.Role }
  | { readonly what: 'rpc'; readonly is: 'good' | 'lost' | Endpoint.Lie }
  | { readonly what: 'fate'; readonly is: Endpoint.Fate }
  | { readonly what: 'halt' | 'alter'; readonly on: boolean }
  | { readonly what: 'silence'; readonly slot: number; readonly on: boolean }
  | { readonly what: 'reorganise'; readonly depth: number }
  | { readonly what: 'hostile'; readonly trick: Stranger.Trick; readonly slot: number }
  | { readonly what: 'clock'; readonly ms: number }
  | { readonly what: 'case'; readonly kind: CaseOpener.Kind }
  | { readonly what: 'lose-ledger'; readonly fate: Parts.LedgerFate }
  | { readonly what: 'replace-key'; readonly role: 'node' | 'witness'; readonly isKilled: boolean }
)

export type Schedule = {
  readonly seed: number
  readonly logs: number
  /** `within`: disk and mirror are never lost together; `beyond`: they may be. */
  readonly bounds: 'within' | 'beyond'
  readonly events: readonly Event[]
}

export type Outcome = {
  readonly convictions: readonly Prosecutor.Conviction[]
  /** Convictions that an honest operator must not suffer. */
  readonly unjust: readonly Prosecutor.Conviction[]
  readonly givenUp: readonly string[]
  readonly isBeyond: boolean
  readonly report: Readonly<Record<string, number>>
}

const roles = Parts.roles

/** The schedule of a seed. */
export function generate(seed: number, bounds: Schedule['bounds'] = 'within'): Schedule {
  const schedule = withoutNewKeys(seed, bounds)
  return { ...schedule, events: withCases(withNewKeys(schedule.events, seed), seed) }
}

/** The same in which nobody replaces a key that is well. */
export function withoutNewKeys(seed: number, bounds: Schedule['bounds'] = 'within'): Schedule {
  const random = Random.create(seed)
  const logs = random.chance(0.3) ? 2 : 1
  const length = 12 + random.below(36)
  const events: Event[] = []
  const add = (event: Event extends infer E ? (E extends unknown ? Omit<E, 'seed'> : never) : never) =>
    void events.push({ ...event, seed: random.below(2 ** 32) } as Event)
  const role = () => roles[random.below(logs === 1 ? 3 : 5)] as Parts.Role
  add({ what: 'start' })
  for (let i = 0; i < length; i++) {
    const kind = random.below(100)
    if (kind < 26) add({ what: 'call', count: 1 + random.below(4), isBad: random.chance(0.1) })
    else if (kind < 46) add({ what: 'tick', count: 1 + random.below(random.chance(0.2) ? 30 : 4) })
    else if (kind < 55) {
      add({ what: 'crash-at', step: random.pick(Parts.steps), after: random.below(3) })
      add({ what: 'call', count: 1 + random.below(3), isBad: false })
      if (random.chance(0.5)) add({ what: 'tick', count: 1 })
      if (random.chance(0.3)) add({ what: 'restore', role: role() })
      add({ what: 'start' })
    } else if (kind < 58) add({ what: random.pick(['kill', 'stop'] as const) })
    else if (kind < 61) add({ what: 'start' })
    else if (kind < 66) add({ what: 'back-up', role: role() })
    else if (kind < 72) {
      add({ what: 'restore', role: role() })
      if (random.chance(0.7)) add({ what: 'start' })
    } else if (kind < 73) add({ what: 'lose', role: role() })
    else if (kind < 79) {
      add({ what: 'rpc', is: random.chance(0.3) ? 'lost' : random.pick(Endpoint.lies) })
      if (random.chance(0.6)) add({ what: 'call', count: 1 + random.below(3), isBad: false })
      add({ what: 'tick', count: 1 + random.below(6) })
      if (random.chance(0.7)) add({ what: 'rpc', is: 'good' })
    } else if (kind < 82) {
      add({ what: 'fate', is: random.pick(Endpoint.fates) })
      add({ what: 'tick', count: 1 + random.below(3) })
      if (random.chance(0.7)) add({ what: 'fate', is: 'mined' })
    } else if (kind < 84) {
      add({ what: 'halt', on: true })
      add({ what: 'call', count: 1, isBad: false })
      add({ what: 'halt', on: false })
    } else if (kind < 88) add({ what: 'reorganise', depth: 1 + random.below(random.chance(0.2) ? 30 : 5) })
    else if (kind < 91) add({ what: 'front-run' })
    else if (kind < 94) add({ what: 'hostile', trick: random.pick(Stranger.tricks), slot: random.below(logs) })
    else if (kind < 95) {
      add({ what: 'silence', slot: random.below(logs), on: true })
      add({ what: 'call', count: 2, isBad: false })
      add({ what: 'silence', slot: random.below(logs), on: false })
    } else if (kind < 96) {
      add({ what: 'rotate' })
      add({ what: 'call', count: 3, isBad: false })
      if (random.chance(0.5)) add({ what: 'kill' })
    } else if (kind < 97) {
      add({ what: 'alter', on: true })
      add({ what: 'call', count: 3, isBad: false })
      add({ what: 'alter', on: false })
    } else if (kind < 98)
      add({ what: 'clock', ms: random.pick([0, -3_600_000, 3_600_000, -30_000, 30_000, 86_400_000]) })
    else if (kind < 99) add({ what: 'heal' })
    else if (random.chance(0.4)) add({ what: 'wipe' })
  }
  return { seed, logs, bounds, events }
}

/** What a seed gave before there were keys to replace it still gives, with replacements at places of their own. */
function withNewKeys(events: readonly Event[], seed: number): readonly Event[] {
  const random = Random.create(seed ^ 0x7e9)
  const changed = [...events]
  for (let count = random.chance(0.4) ? 1 + random.below(3) : 0; count > 0; count--) {
    const at = 1 + random.below(changed.length)
    const role = random.chance(0.7) ? 'node' : 'witness'
    const replace: Event = { what: 'replace-key', role, isKilled: random.chance(0.5), seed: random.below(2 ** 32) }
    const start: Event[] = random.chance(0.8) ? [{ what: 'start', seed: random.below(2 ** 32) }] : []
    changed.splice(at, 0, replace, ...start)
  }
  return changed
}

/** With cases at places of their own, and mostly with something that makes it hard to answer them. */
function withCases(events: readonly Event[], seed: number): readonly Event[] {
  const random = Random.create(seed ^ 0xca5e)
  const changed = [...events]
  for (let count = random.below(4); count > 0; count--) {
    const added: Event[] = []
    const add = (event: Event extends infer E ? (E extends unknown ? Omit<E, 'seed'> : never) : never) =>
      void added.push({ ...event, seed: random.below(2 ** 32) } as Event)
    const open = () => {
      for (let more = 1 + random.below(3); more > 0; more--) add({ what: 'case', kind: random.pick(CaseOpener.kinds) })
    }
    open()
    const kind = random.below(100)
    if (kind < 15) {
      // Cases and answers are taken back.
      add({ what: 'tick', count: 1 + random.below(6) })
      add({ what: 'reorganise', depth: 1 + random.below(random.chance(0.2) ? 30 : 8) })
    } else if (kind < 30) {
      add({ what: 'lose-ledger', fate: random.pick(Parts.ledgerFates) })
      add({ what: 'start' })
    } else if (kind < 45) {
      add({ what: 'tick', count: random.below(3) })
      add({
        what: 'rpc',
        is: random.chance(0.4) ? 'lost' : random.pick([...Endpoint.caseLies, 'high-number' as const]),
      })
      if (random.chance(0.5)) open()
      add({ what: 'tick', count: random.chance(0.3) ? 42 + random.below(5) : 1 + random.below(8) })
      if (random.chance(0.9)) add({ what: 'rpc', is: 'good' })
    } else if (kind < 60) {
      add({ what: 'crash-at', step: random.pick(Parts.caseSteps), after: random.below(3) })
      add({ what: 'tick', count: 2 })
      if (random.chance(0.4)) add({ what: 'lose-ledger', fate: random.pick(Parts.ledgerFates) })
      add({ what: 'start' })
    } else if (kind < 75) {
      add({ what: random.pick(['kill', 'stop'] as const) })
      open()
      if (random.chance(0.3)) add({ what: 'restore', role: random.pick(['node', 'log', 'witness'] as const) })
      add({ what: 'start' })
    } else if (kind < 85) {
      add({ what: 'fate', is: random.pick(Endpoint.fates) })
      add({ what: 'tick', count: 1 + random.below(5) })
      add({ what: 'fate', is: 'mined' })
    } else if (kind < 89) {
      // Long enough for openings to be thrown away.
      add({ what: 'tick', count: 160 })
      open()
      add({ what: 'case', kind: 'old' })
    } else if (kind < 95) {
      // Long enough for a case to come and expire.
      add({ what: 'rpc', is: 'lost' })
      open()
      add({ what: 'tick', count: 43 })
      add({ what: 'rpc', is: 'good' })
    }
    changed.splice(1 + random.below(changed.length), 0, ...added)
  }
  return changed
}

/** The same with both folders of the first log gone at one time, somewhere in the middle. */
export function withLossOfBoth(schedule: Schedule, seed: number): Schedule {
  const at = 1 + Random.create(seed).below(schedule.events.length)
  const loss: Event[] = (['log', 'witness'] as const).map((role, i) => ({ what: 'lose', role, seed: seed + i }))
  const events = [...schedule.events.slice(0, at), ...loss, ...schedule.events.slice(at)]
  return {
    ...schedule,
    bounds: 'beyond',
    events: events.filter((one) => one.what !== 'restore' || one.role === 'node'),
  }
}

/**
 * The same with log and mirror of the first log put back together to copies of one earlier time, while the node's folder goes on. What
 * nobody but log and mirror ever knew is left out: entries of other nodes, and pledges that did not reach the node.
 */
export function withRestoreOfBoth(schedule: Schedule, seed: number): Schedule {
  const random = Random.create(seed)
  const kept = schedule.events.filter(
    ({ what }) => !['restore', 'lose', 'back-up', 'hostile', 'crash-at', 'alter', 'wipe'].includes(what),
  )
  const at = 1 + random.below(kept.length)
  const from = 1 + random.below(at)
  const both = (what: 'back-up' | 'restore'): Event[] =>
    (['log', 'witness'] as const).map((role, i) => ({ what, role, seed: seed + i }))
  const between: Event[] = [{ what: 'call', count: 1 + random.below(3), isBad: false, seed }]
  const later: Event[] = [{ what: 'start', seed }, ...between, { what: 'tick', count: 2, seed }]
  const events = [...kept.slice(0, from), ...both('back-up'), ...kept.slice(from, at), ...between, ...both('restore')]
  return { ...schedule, bounds: 'beyond', events: [...events, ...later, ...kept.slice(at)] }
}

/** Where disks of schedules are: in memory where the system has such a place, for there is no power to cut. */
const disks = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** Runs a schedule against an honest operator and lets the prosecutor judge. */
export async function run(schedule: Schedule, mutation?: Parts.Mutation): Promise<Outcome> {
  const random = Random.create(schedule.seed ^ 0x5eed)
  const chain = ModelChain.create(random, pledgeBlocks, caseTerms)
  const prosecutor = Prosecutor.create(chain, graceBlocks)
  const folder = mkdtempSync(join(disks, 'assay-schedule-'))
  const { logs, seed } = schedule
  const operator = Operator.create({ folder, chain, prosecutor, random, seed, pledgeBlocks, logs, mutation })
  const opener = CaseOpener.create(chain, operator.isOwn, prosecutor.exempt)
  const judge = CaseJudge.create({
    ...{ chain, terms: caseTerms, graceBlocks, isHonest: operator.isOwn },
    isLost: ({ subject, demand }) => {
      if (demand === undefined) return operator.isLost({ logId: subject })
      // Of an old receipt whose opening is gone only the place can be shown, and that takes its log.
      const logId = opener.homeOf(demand.receiptHash)
      return operator.isLost(demand) || (logId !== undefined && operator.isLost({ logId }))
    },
    lie: () => operator.faults.lie,
    isAnswer: ({ from, to }) => Bytes.equal(from, Operator.address) && Bytes.equal(to, Rules.faultCases),
  })
  const world = {
    chain,
    operator,
    opener,
    hostile: Stranger.hostileNode(chain, prosecutor, prosecutor.crypto),
    strangers: Stranger.collector(chain),
  }
  try {
    for (const event of schedule.events) await happen(world, schedule, event)
    heal(world)
    await tick(world, 3)
    for (let i = 0; i < lastRounds && judge.unanswered().length > 0; i++) await tick(world, 1)
    const convictions = [...(await prosecutor.convict()), ...judge.convict()]
    const isBeyond = operator.isBeyond()
    return {
      ...{ convictions, isBeyond, givenUp: operator.givenUp() },
      // Only a node that forgot a head whose signature nobody else ever held can sign another one in its place.
      unjust: convictions.filter(
        (one) => one.withinBounds && (!one.isUnreleased || operator.report()['restored node'] === undefined),
      ),
      report: { ...operator.report(), ...prosecutor.counts(), ...opener.counts(), ...judge.counts() },
    }
  } finally {
    await operator.close()
  }
}

type World = {
  readonly chain: ModelChain.ModelChain
  readonly operator: Parts.Operator
  readonly hostile: Stranger.HostileNode
  readonly strangers: ReturnType<typeof Stranger.collector>
  readonly opener: CaseOpener.CaseOpener
}

function heal({ chain, operator }: World): void {
  chain.halt(false)
  operator.silent.clear()
  operator.isAltering = false
  operator.crashAt = undefined
  Object.assign(operator.faults, { lost: false, lie: undefined, fate: 'mined', clockMs: 0 })
}

/** Who keeps what logs show keeps it. */
function look({ operator, strangers, opener }: World): void {
  for (const log of operator.running()?.logs ?? []) {
    strangers.look(log)
    opener.look(log)
  }
}

/** Time passes: the log anchors where it can, then a block comes. */
async function tick(world: World, count: number): Promise<void> {
  const { chain, operator } = world
  for (let i = 0; i < count; i++) {
    if (operator.running() === undefined && i % 8 === 0) await operator.start()
    await operator.round()
    look(world)
    await world.opener.go()
    if (chain.isHalted()) chain.pass(ModelChain.blockSeconds)
    else await chain.mine({ reachable: operator.isGood() || operator.isRefusing() })
  }
}

async function happen(world: World, schedule: Schedule, event: Event): Promise<void> {
  const { chain, operator } = world
  const random = Random.create(event.seed)
  const logs = operator.running()?.logs ?? []
  switch (event.what) {
    case 'call':
      return operator.call(event.count, event.isBad)
    case 'tick':
      return tick(world, event.count)
    case 'crash-at':
      operator.crashAt = { step: event.step, after: event.after }
      return
    case 'kill':
      return operator.crash()
    case 'stop':
      return operator.stop()
    case 'start':
      return operator.start()
    case 'back-up':
      return operator.backUp(event.role)
    case 'restore':
    case 'lose':
      if (schedule.bounds === 'within' && operator.wouldBeBeyond(event.role)) return
      return event.what === 'restore' ? operator.restore(event.role) : operator.lose(event.role)
    case 'rpc':
      operator.faults.lost = event.is === 'lost'
      operator.faults.lie = event.is === 'lost' || event.is === 'good' ? undefined : event.is
      // The daemon looks every quarter of a second.
      for (const { view } of operator.views()) await view.refresh()
      return
    case 'fate':
      operator.faults.fate = event.is
      return
    case 'halt':
      return chain.halt(event.on)
    case 'reorganise':
      return chain.reorganise(event.depth, random)
    case 'wipe':
      await operator.crash()
      return chain.wipe(random)
    case 'silence':
      if (event.on) operator.silent.add(event.slot)
      else operator.silent.clear()
      return
    case 'alter':
      operator.isAltering = event.on
      return
    case 'front-run':
      for (const log of logs) world.strangers.look(log)
      for (const log of logs) await world.strangers.anchor(log, random)
      return
    case 'hostile': {
      const log = logs[event.slot]
      if (log !== undefined) await world.hostile.play(event.trick, log.log, random)
      return operator.settle()
    }
    case 'rotate':
      return operator.endKey()
    case 'case':
      look(world)
      return world.opener.open(event.kind, random)
    case 'lose-ledger':
      return operator.loseLedger(event.fate)
    case 'replace-key':
      return operator.replaceKey(event.role, event.isKilled)
    case 'clock':
      operator.faults.clockMs = event.ms
      return
    case 'heal':
      return heal(world)
  }
}

/** A schedule with as few events as show the same thing, found by leaving out. */
export async function shrink(
  schedule: Schedule,
  isStill: (schedule: Schedule) => Promise<boolean>,
  maxRuns = 150,
): Promise<Schedule> {
  let best = schedule
  let runs = 0
  for (let width = Math.ceil(best.events.length / 2); width >= 1; width = width === 1 ? 0 : Math.ceil(width / 2)) {
    for (let at = 0; at < best.events.length && runs < maxRuns; ) {
      const events = [...best.events.slice(0, at), ...best.events.slice(at + width)]
      runs++
      if (await isStill({ ...best, events })) best = { ...best, events }
      else at += width
    }
  }
  return best
}

/** A schedule in lines for people. */
export function describe(schedule: Schedule): string {
  const lines = schedule.events.map(({ seed: _, what, ...rest }) =>
    `  ${what} ${Object.values(rest).join(' ')}`.trimEnd(),
  )
  return [`seed ${schedule.seed}, ${schedule.logs} log(s), ${schedule.bounds}`, ...lines].join('\n')
}
