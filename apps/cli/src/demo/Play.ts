/**
 * Play.ts - the demonstration itself: parties on a chain of their own, one default client for each, and blocks that pass. It gives the
 * clients calls to make and rounds to run, as any program does; what they find and file is theirs.
 */
import { join } from 'node:path'
import * as Ledger from '@assay/node/demo/Ledger'
import { openParty, type Party } from '@assay/node/demo/Party'
import { openStage, type Stage } from '@assay/node/demo/Stage'
import { loadModel } from '@assay/node/engine/loadModel'
import { Bytes, errors } from 'assay/protocol'
import * as Found from './Found.ts'
import { openReader, type Reader } from './Readers.ts'
import type { Scenario } from './Scenarios.ts'

/** What became of one scenario; amounts in token units. */
export type Outcome = {
  readonly id: string
  /** Evidence of this fault lies in the client's store. */
  readonly caught: boolean
  /** Its file, or how a procedure on chain is named; undefined when nothing was found. */
  readonly evidence: string | undefined
  /** From the act to the evidence. */
  readonly caughtAfterMs: number | undefined
  /** Taken by the contract in the transaction that recorded this fault. */
  readonly slashed: bigint
  /** The operator's stake on the subject one block before the record, and in its block; without a record: at the start and at the end. */
  readonly before: bigint
  readonly after: bigint
  /** ASY of the client's account at the start and at the end. */
  readonly reporterBefore: bigint
  readonly reporterAfter: bigint
  /** Wei that the client bound in cases, and what of it came back. */
  readonly bonds: Found.Bonds
  /** Everything that was recorded against the party, this fault included. */
  readonly recorded: readonly Ledger.Recorded[]
  /** Everything that the client holds against anybody. */
  readonly evidenceFiles: readonly string[]
  /** Receipts that the client still follows. */
  readonly pending: number
  /** Codes of what went wrong for the client, whoever's doing it was. */
  readonly troubles: readonly string[]
}

/** Tells what is going on: one line a step. */
export type Told = (step: string, detail: string) => void

type Act = {
  readonly scenario: Scenario
  readonly party: Party
  readonly reader: Reader
  readonly bonded: bigint
  readonly reporterBefore: bigint
  actedMs: number
  caughtMs: number | undefined
  evidence: string | undefined
  record: Ledger.Recorded | undefined
  before: bigint | undefined
  after: bigint | undefined
  readonly recorded: Ledger.Recorded[]
  readonly troubles: Set<string>
  /** Receipts that the client still follows. */
  pending: number
  bonds: Found.Bonds
}

/** Real time that one part may take; a client that has not found anything by then does not. */
const patienceMs = 60_000
/** Between two rounds of a client; the library's own default is for networks. */
const roundMs = 250

export type Options = {
  readonly home: string
  readonly scenarios: readonly Scenario[]
  readonly isHonest: boolean
  readonly modelsFolder: string
  readonly stopped: AbortSignal
  readonly tell: Told
}

/** Runs the scenarios side by side. */
export async function play(options: Options): Promise<readonly Outcome[]> {
  const { home, scenarios, isHonest, tell } = options
  tell('chain', 'starting a development chain of its own and deploying the contracts')
  const stage = await openStage(home, (line) => tell('chain', line))
  const engine = await loadModel(join(options.modelsFolder, 'tiny'), { runtime: 'onnx-wasm' })
  const acts: Act[] = []
  try {
    tell('parties', `${scenarios.length} operators register and bond a node and a log each`)
    const engines = new Map([[engine.id, engine]])
    const opened = await Promise.allSettled(scenarios.map((scenario) => open(options, stage, engines, scenario)))
    for (const one of opened) if (one.status === 'fulfilled') acts.push(one.value)
    for (const one of opened) if (one.status === 'rejected') throw one.reason
    await perform({ ...options, stage, acts })
    return await Promise.all(acts.map((act) => outcome(stage, act)))
  } finally {
    for (const { party, reader } of acts) {
      reader.close()
      await party.close()
    }
    await engine.close()
    await stage.close()
    tell('done', isHonest ? 'the honest parties are closed' : 'the cheating parties are closed')
  }
}

type Playing = Options & { readonly stage: Stage; readonly acts: readonly Act[] }

async function open(
  { home, isHonest }: Options,
  stage: Stage,
  engines: Parameters<typeof openParty>[0]['engines'],
  scenario: Scenario,
): Promise<Act> {
  const tampering = isHonest ? {} : scenario.tampering()
  const party = await openParty({ stage, name: scenario.id, engines, tampering })
  try {
    const reader = await openReader(stage, party, join(home, 'clients', scenario.id))
    return {
      ...{ scenario, party, reader, recorded: [], actedMs: 0, caughtMs: undefined, evidence: undefined },
      ...{ record: undefined, before: undefined, after: undefined, troubles: new Set<string>(), pending: -1 },
      bonds: Found.noBonds,
      bonded: await Ledger.valueAt(stage, subjectOf(scenario, party), party.operator),
      reporterBefore: await Ledger.tokensOf(stage, reader.account.address),
    }
  } catch (error) {
    await party.close()
    throw error
  }
}

async function perform(playing: Playing): Promise<void> {
  const { acts, isHonest, stage, stopped, tell } = playing
  const anchorsInTime = ({ scenario }: Act) => isHonest || scenario.anchors === 'in time'
  for (const act of acts) if (anchorsInTime(act)) act.party.startAnchoring()
  tell('calls', 'every client calls its gateway over HTTP')
  for (let number = 0; number < 2; number++) {
    await Promise.all(acts.map((act) => call(playing, act, number)))
    if (number === 0 && acts.some(({ scenario }) => scenario.calls > 1)) await anchored(playing, anchorsInTime)
  }
  if (!isHonest) for (const { scenario } of acts) tell(scenario.id, `${scenario.who} ${scenario.does}`)
  await anchored(playing, anchorsInTime)
  const windows = await stage.windows()
  await rounds(playing, (act) => (isHonest ? act.pending === 0 : isRecorded(act) || isWaitedFor(act)))
  if (stopped.aborted) return
  tell('blocks', `${windows.pledgeBlocks + 1n} blocks pass: deadlines of pledges`)
  await stage.mine(windows.pledgeBlocks + 1n)
  for (const act of acts) if (act.scenario.anchors !== 'in time') act.actedMs = performance.now()
  await rounds(playing, (act) => isHonest || act.scenario.anchors !== 'late' || isRecorded(act))
  for (const act of acts) if (act.scenario.anchors === 'late') act.party.startAnchoring()
  if (stopped.aborted) return
  tell('blocks', `${windows.graceBlocks + 1n} blocks pass: the time of grace, and the time for answers`)
  await stage.mine(windows.graceBlocks + 1n)
  await rounds(playing, (act) => isHonest || isRecorded(act))
}

/** Faults that show only after blocks: their time comes later. */
function isWaitedFor({ scenario, evidence }: Act): boolean {
  return scenario.anchors !== 'in time' || ((scenario.class === 17 || scenario.class === 18) && evidence !== undefined)
}

function isRecorded({ record, evidence, bonds }: Act): boolean {
  return record !== undefined && evidence !== undefined && bonds.back === bonds.sent
}

async function call({ stopped }: Playing, act: Act, number: number): Promise<void> {
  if (number >= act.scenario.calls) return
  const content = `This is call ${number + 1}.`
  const body = { model: 'tiny', messages: [{ role: 'user', content }], max_tokens: 4, temperature: 0 }
  act.actedMs = performance.now()
  try {
    await act.reader.client.call('/v1/chat/completions', Bytes.fromUtf8(JSON.stringify(body)), { signal: stopped })
  } catch (error) {
    // What a client makes of an answer that it refuses is its own; it is looked for in its store.
    if (!errors.BaseError.isInstance(error)) throw error
    act.troubles.add(error.code)
  }
}

/** Waits until the logs that anchor have anchored what they hold. */
async function anchored({ acts, stage, stopped }: Playing, isAwaited: (act: Act) => boolean): Promise<void> {
  const untilMs = performance.now() + patienceMs
  for (const { party } of acts.filter(isAwaited)) {
    for (;;) {
      const head = await stage.view.logHead(party.logId)
      if (head !== undefined && head.size >= party.size()) break
      if (performance.now() > untilMs || stopped.aborted) return
      await pause(stopped)
    }
  }
}

/** Lets every client run rounds until each scenario has come as far as it can. */
async function rounds(playing: Playing, isDone: (act: Act) => boolean): Promise<void> {
  const { acts, stage, stopped } = playing
  const untilMs = performance.now() + patienceMs
  let extra = 2
  for (;;) {
    const from = await stage.blockNumber()
    await Promise.all(acts.map((act) => round(act)))
    await look(playing, from > 250n ? from - 250n : 0n)
    if (acts.every(isDone) && extra-- === 0) return
    if (performance.now() > untilMs || stopped.aborted) return
    await pause(stopped)
  }
}

async function round(act: Act): Promise<void> {
  const { reader, troubles } = act
  try {
    const report = await reader.client.raisePending()
    for (const { code } of report.failed) troubles.add(code)
  } catch (error) {
    if (!errors.BaseError.isInstance(error)) throw error
    troubles.add(error.code)
  }
  act.pending = (await reader.pending.list()).length
}

/** Reads the clients' stores and the chain: what is new since the last look. */
async function look({ acts, stage, tell }: Playing, fromBlock: bigint): Promise<void> {
  const records = await Ledger.recorded(stage, fromBlock, await stage.blockNumber())
  for (const act of acts) {
    const { scenario, party, reader } = act
    const subject = Bytes.to0x(subjectOf(scenario, party))
    if (act.evidence === undefined) {
      const found = (await Found.evidence(reader)).find(
        (one) => one.class === scenario.class && one.subject === subject,
      )
      if (found !== undefined) {
        act.evidence = found.file
        act.caughtMs = performance.now()
        tell(scenario.id, `caught by the client: ${found.name}`)
      }
    }
    const subjects: readonly string[] = [party.nodeId, party.logId].map(Bytes.to0x)
    for (const record of records.filter((one) => subjects.includes(one.subject))) {
      if (act.recorded.some(({ faultId }) => faultId === record.faultId)) continue
      act.recorded.push(record)
      if (record.class !== scenario.class || record.subject !== subject) continue
      act.record = record
      const value = (block: bigint) => Ledger.valueAt(stage, subjectOf(scenario, party), party.operator, block)
      act.before = await value(record.blockNumber - 1n)
      act.after = await value(record.blockNumber)
      tell(scenario.id, `recorded in block ${record.blockNumber}, ${tokens(record.slashed)} ASY slashed`)
    }
    const bonds = await Found.bonds(reader, scenario.class)
    if (bonds.back > act.bonds.back) {
      const [coin, reward] = [tokens(bonds.back), tokens(bonds.reward)]
      tell(scenario.id, `nobody answered: the client has its bond of ${coin} coin back, and ${reward} ASY of reward`)
    }
    act.bonds = bonds
  }
}

async function outcome(stage: Stage, act: Act): Promise<Outcome> {
  const { scenario, party, reader, record, evidence, actedMs, caughtMs } = act
  return {
    ...{ id: scenario.id, caught: evidence !== undefined, evidence, recorded: act.recorded },
    caughtAfterMs: caughtMs === undefined ? undefined : caughtMs - actedMs,
    slashed: record?.slashed ?? 0n,
    before: act.before ?? act.bonded,
    after: act.after ?? (await Ledger.valueAt(stage, subjectOf(scenario, party), party.operator)),
    reporterBefore: act.reporterBefore,
    reporterAfter: await Ledger.tokensOf(stage, reader.account.address),
    bonds: await Found.bonds(reader, scenario.class),
    ...{ pending: (await reader.pending.list()).length, troubles: [...act.troubles] },
    evidenceFiles: (await Found.evidence(reader)).map(({ file }) => file),
  }
}

function subjectOf({ subject }: Scenario, party: Party): Uint8Array {
  return subject === 'node' ? party.nodeId : party.logId
}

/** Token units as whole and decimal ASY, without zeros at the end. */
export function tokens(amount: bigint): string {
  const text = amount.toString().padStart(19, '0')
  const decimals = text.slice(-18).replace(/0+$/, '')
  return `${text.slice(0, -18)}${decimals === '' ? '' : `.${decimals}`}`
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, roundMs)
    signal.addEventListener('abort', done)
  })
}
