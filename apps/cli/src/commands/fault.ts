/** fault.ts - `assay fault verify | submit | list`: what a file of evidence shows, and how it comes before the court. */
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CourtCalls, CourtEvents, type Rpc, type TrustAnchors } from 'assay/chain'
import { type ChainAccess, Evidence, Filing, type Stores } from 'assay/client'
import { crypto } from 'assay/crypto/node'
import { Bytes, Fault, Pledge } from 'assay/protocol'
import * as Amount from '../Amount.ts'
import { type Context, type GlobalOptions, homeOf } from '../Context.ts'
import * as Courtroom from '../Courtroom.ts'
import * as Failure from '../Failure.ts'
import * as Files from '../Files.ts'
import * as Home from '../Home.ts'
import { table } from '../Terminal.ts'

const names: Readonly<Record<number, string>> = {
  1: 'two receipts in one place',
  2: 'two histories of a log',
  3: 'another leaf at a pledged index',
  4: 'pledge late',
  104: 'pledge missing',
  5: 'entry differs from its head',
  6: 'witness cosigned two histories',
  13: 'wrong link',
  17: 'withheld entry',
  18: 'demanded opening not given',
}

/** What a class is called; late and missing have one file form and two numbers. */
export function nameOf(faultClass: number): string {
  return names[faultClass] ?? `class ${faultClass}`
}

/** `assay fault verify FILE`: exit code 0 accepted, 1 accepted if the chain says so, 2 refused. */
export async function verify(
  context: Context,
  path: string,
  options: GlobalOptions & { readonly offline?: boolean },
): Promise<number> {
  const { terminal } = context
  const bytes = Files.readReceipt(resolve(context.cwd, path))
  const fault = Fault.parse(bytes)
  const opened = options.offline === true ? undefined : await Courtroom.openChain(homeOf(context, options))
  let found: Judged
  try {
    found = opened === undefined ? await judgeAlone(fault) : await judgeByChain(fault, opened)
  } catch (error) {
    if (!(error instanceof Fault.FaultRefusedError)) throw error
    tellRefused(context, fault, error, options.json === true)
    return 2
  }
  const { outcome, facts } = found
  if (options.json === true) terminal.print(JSON.stringify({ outcome, ...facts }))
  else {
    const style = outcome === 'accepted' ? 'red' : 'yellow'
    terminal.print(`${terminal.style(style, outcome.toUpperCase())}  ${nameOf(Number(facts.class))}`)
    terminal.rows(table(Object.entries(facts).map(([name, value]) => [name, String(value)])))
  }
  return outcome === 'accepted' ? 0 : outcome === 'conditional' ? 1 : 2
}

function tellRefused(
  { terminal }: Context,
  fault: Fault.Fault,
  { code, shortMessage: message }: Pick<Fault.FaultRefusedError, 'code' | 'shortMessage'> | typeof nobodyHere,
  isJson: boolean,
): void {
  if (isJson) terminal.print(JSON.stringify({ outcome: 'refused', class: fault.class, code, message }))
  else terminal.print(`${terminal.style('green', 'REFUSED')}  ${message} (${code})`)
}

const nobodyHere = {
  code: 'accuses-nobody-here',
  shortMessage: 'made for other contracts or a key not registered',
} as const

type Judged = {
  readonly outcome: 'accepted' | 'conditional' | 'refused'
  readonly facts: Readonly<Record<string, string | number | boolean>>
}

/** By the file alone: what it says of the chain is taken as said. */
async function judgeAlone(fault: Fault.Fault): Promise<Judged> {
  const { anchored, terms } = Evidence.asSaid(fault)
  const finding = await Fault.judge(crypto, fault, anchored, terms)
  const needs = needsOf(fault)
  const facts = { ...factsOf(finding, fault), ...(needs === undefined ? {} : { holdsIf: needs }) }
  return { outcome: needs === undefined ? 'accepted' : 'conditional', facts }
}

/** What a file cannot show by itself. */
function needsOf(fault: Fault.Fault): string | undefined {
  switch (fault.class) {
    case 3:
    case 5:
      return `the log has anchored ${Bytes.toHex(fault.evidence.root)} at size ${fault.evidence.size}`
    case 2: {
      const open = [fault.evidence.stateA, fault.evidence.stateB].find(({ signature }) => signature === undefined)
      return open === undefined ? undefined : `the log has anchored ${Bytes.toHex(open.root)} at size ${open.size}`
    }
    case 4: {
      const { leafIndex } = Pledge.parse(fault.evidence.pledge)
      if (fault.evidence.how === 3) return `nobody was shown the entry at index ${leafIndex} although it was demanded`
      return `the log had not covered index ${leafIndex} after its deadline`
    }
    default:
      return undefined
  }
}

async function judgeByChain(
  fault: Fault.Fault,
  { rpc, chain, anchors }: { rpc: Rpc.Rpc; chain: ChainAccess.ChainAccess; anchors: TrustAnchors.TrustAnchors },
): Promise<Judged> {
  const judged = await Evidence.judge(crypto, chain, fault)
  if (judged === undefined) {
    const { code, shortMessage: message } = nobodyHere
    return { outcome: 'refused', facts: { class: fault.class, code, message } }
  }
  const { finding } = judged
  const facts: Record<string, string | number | boolean> = { ...factsOf(finding, fault) }
  if (anchors.stake !== undefined) {
    const { faultCourt, stakeManager } = anchors.stake
    const { incidentBlocks } = await CourtCalls.fixedWindows(rpc, faultCourt.address)
    const incident = Fault.incidentOf(finding, incidentBlocks)
    const faultId = Fault.faultId(crypto, incident)
    facts.faultId = Bytes.toHex(faultId)
    const record = await CourtCalls.recorded(rpc, faultCourt.address, faultId)
    facts.recorded = record !== undefined
    const stake = await CourtCalls.stakeOf(rpc, stakeManager.address, incident.subject)
    facts.staked = Amount.inTokens(stake.self + stake.delegated)
    facts.subjectEnded = stake.isEnded
  }
  return { outcome: 'accepted', facts }
}

function factsOf(finding: Fault.Finding, fault: Fault.Fault): Record<string, string | number> {
  const faultClass = finding.class === 4 && finding.missing ? 104 : finding.class
  const isNode = finding.class === 1 || finding.class === 6 || finding.class === 13
  const subject = isNode ? finding.nodeId : finding.logId
  // Everything but lateness has its name from the file alone.
  const named = fault.class === 4 ? {} : { faultId: Bytes.toHex(Fault.faultId(crypto, Fault.incidentOf(finding, 1n))) }
  return {
    class: faultClass,
    fault: nameOf(faultClass),
    accused: `${isNode ? 'node' : 'log'} ${Bytes.toHex(subject)}`,
    ...('keyId' in finding ? { keyId: Bytes.toHex(finding.keyId) } : {}),
    ...named,
    because: finding.facts.join('; '),
  }
}

/** `assay fault submit FILE`: exit code 0 on record, 2 refused, 75 not yet. */
export async function submit(
  context: Context,
  path: string,
  options: GlobalOptions & { readonly timeout: number },
): Promise<number> {
  const { terminal } = context
  const bytes = Files.readReceipt(resolve(context.cwd, path))
  const fault = Fault.parse(bytes)
  const home = homeOf(context, options)
  const faults = Home.faultStore(home)
  const id = Bytes.toHex(crypto.sha256(bytes))
  // What is under way was judged when it began, and may have come true and passed since.
  const isUnjudged = (await faults.load(id))?.filing === undefined
  const refusal = isUnjudged ? await refusalOf(fault) : undefined
  if (refusal !== undefined) {
    tellRefused(context, fault, refusal, options.json === true)
    return 2
  }
  const { court, chain, account } = await Courtroom.open(home, terminal)
  const notShown = isUnjudged ? await refusalOf(fault, chain) : undefined
  if (notShown !== undefined) {
    court.sender.close()
    tellRefused(context, fault, notShown, options.json === true)
    return Failure.exitCodes.unavailable
  }
  await faults.save(id, bytes)
  const before = BigInt((await court.rpc.request('eth_blockNumber')) as string)
  const deadlineMs = performance.now() + options.timeout * 1000
  let progress: Filing.Progress | undefined
  try {
    while (progress === undefined || isUnderWay(progress)) {
      if (context.stopped.aborted) return Failure.exitCodes.stopped
      if (progress !== undefined) {
        if (performance.now() > deadlineMs) break
        await sleep(250, undefined, { signal: context.stopped }).catch(() => undefined)
      }
      progress = await stepOf(court, faults, id)
      terminal.progress(textOf(progress))
    }
  } finally {
    terminal.endProgress()
    court.sender.close()
  }
  const cost = await costOf(court, progress, before)
  const facts = { file: id, account, ...toJson(progress), ...cost }
  if (options.json === true) terminal.print(JSON.stringify(facts))
  else {
    terminal.print(`${terminal.style('bold', progress.stage.toUpperCase())}  ${textOf(progress)}`)
    terminal.rows(table(Object.entries(facts).map(([name, value]) => [name, String(value)])))
  }
  if (progress.stage === 'refused') return progress.waits === undefined ? 2 : Failure.exitCodes.unavailable
  return progress.stage === 'committed' || progress.stage === 'filed' ? Failure.exitCodes.unavailable : 0
}

/**
 * Why a file that somebody handed over is not kept: it lies among the evidence that every verdict of this home counts. By its bytes, or
 * by what the chain shows now; that may change.
 */
async function refusalOf(fault: Fault.Fault, chain?: ChainAccess.ChainAccess) {
  try {
    if (chain === undefined) await judgeAlone(fault)
    else if ((await Evidence.judge(crypto, chain, fault)) === undefined) return nobodyHere
    return undefined
  } catch (error) {
    if (error instanceof Fault.FaultRefusedError) return error
    throw error
  }
}

function isUnderWay({ waits }: Filing.Progress): boolean {
  return waits === 'commitment' || waits === 'chain'
}

/** One round for one file; a file whose filing is over is told from the store. */
async function stepOf(
  court: Courtroom.Courtroom['court'],
  faults: Stores.FaultStore,
  id: string,
): Promise<Filing.Progress> {
  const options = { crypto, court, faults, random: Courtroom.random, only: id }
  const report = await Filing.advance(options)
  const [progress] = report.faults
  if (progress !== undefined) return progress
  const filing = (await faults.load(id))?.filing
  const { stage = 'covered', faultId, reason, reward, reporter } = filing ?? {}
  return {
    ...{ id, faultId, incident: undefined, stage, waits: undefined, others: 0 },
    ...(reason === undefined ? {} : { reason }),
    ...(reward === undefined ? {} : { reward }),
    ...(reporter === undefined ? {} : { reporter }),
  }
}

function textOf({ stage, waits, untilBlock, reason }: Filing.Progress): string {
  if (stage === 'refused')
    return `the court refuses it: ${reason}${waits === 'court' ? ' (it may change its mind)' : ''}`
  if (stage === 'recorded') return 'somebody else was first; it is on record'
  if (stage === 'rewarded') return 'on record, penalty taken, reward fetched'
  if (reason === 'nothing-left') return 'not filed: whom it accuses has ended and has nothing left to lose'
  if (stage === 'covered') return 'another file of yours stands for the same fault'
  if (stage === 'filed') return 'filed, fetching the reward'
  return waits === 'commitment' ? `committed, can be filed from block ${untilBlock}` : 'committing'
}

function toJson(progress: Filing.Progress): Record<string, string | number> {
  const { stage, faultId, incident, reason, reward, reporter } = progress
  return {
    stage,
    ...(faultId === undefined ? {} : { faultId: Bytes.toHex(faultId) }),
    ...(incident === undefined ? {} : { class: incident.class, subject: Bytes.toHex(incident.subject) }),
    ...(reason === undefined ? {} : { reason }),
    ...(reporter === undefined ? {} : { reporter: Bytes.to0x(reporter) }),
    ...(reward === undefined ? {} : { reward: Amount.inTokens(reward) }),
  }
}

/** What the fault cost its subject, if it was recorded while this command ran. */
async function costOf(
  { rpc, contracts }: Courtroom.Courtroom['court'],
  { faultId, incident }: Filing.Progress,
  from: bigint,
): Promise<Record<string, string | number>> {
  if (faultId === undefined || incident === undefined) return {}
  const to = BigInt((await rpc.request('eth_blockNumber')) as string)
  const at = { faultCourt: contracts.faultCourt.address, stakeManager: contracts.stakeManager.address }
  const events = await CourtEvents.faultsRecorded(rpc, at, { from, to }, incident.subject)
  const event = events.find((one) => Bytes.equal(one.faultId, faultId))
  if (event === undefined) return {}
  return penaltyOf(event)
}

function penaltyOf(event: CourtEvents.FaultRecorded): Record<string, string | number> {
  const { slashed, blockNumber, transactionHash } = event
  const lost = slashed === undefined ? 0n : slashed.fromSelf + slashed.fromDelegated
  return {
    block: String(blockNumber),
    transaction: transactionHash,
    penalty: Amount.inTokens(lost),
    percent: slashed?.percent ?? 0,
    reporterReward: Amount.inTokens(slashed?.reward ?? 0n),
  }
}

/** `assay fault list`: own evidence, and what is on record at the court. */
export async function list(context: Context, options: GlobalOptions & { readonly blocks: number }): Promise<number> {
  const { terminal } = context
  const home = homeOf(context, options)
  const store = Home.faultStore(home)
  const own: Record<string, string | number>[] = []
  for (const id of await store.list()) {
    const loaded = await store.load(id)
    if (loaded === undefined) continue
    const { filing } = loaded
    own.push({
      file: id,
      class: classOf(loaded.file),
      stage: filing?.stage ?? 'found',
      faultId: filing === undefined ? '' : Bytes.toHex(filing.faultId),
      reward: filing?.reward === undefined ? '' : Amount.inTokens(filing.reward),
      reason: filing?.reason ?? '',
    })
  }
  const recorded: Record<string, string | number>[] = []
  const { rpc, anchors } = await Courtroom.openChain(home)
  if (anchors.stake !== undefined) {
    const to = BigInt((await rpc.request('eth_blockNumber')) as string)
    const from = to > BigInt(options.blocks) ? to - BigInt(options.blocks) + 1n : 0n
    const { faultCourt, stakeManager } = anchors.stake
    const at = { faultCourt: faultCourt.address, stakeManager: stakeManager.address }
    for (const event of await CourtEvents.faultsRecorded(rpc, at, { from, to })) {
      recorded.push({
        class: event.class,
        faultId: Bytes.toHex(event.faultId),
        subject: Bytes.toHex(event.subject),
        reporter: Bytes.to0x(event.reporter),
        ...penaltyOf(event),
      })
    }
  }
  if (options.json === true) {
    terminal.print(JSON.stringify({ own, recorded }))
    return 0
  }
  terminal.print(terminal.style('bold', `your evidence (${own.length})`))
  if (own.length > 0)
    terminal.rows(
      table(own.map((one) => [one.stage, `F${one.class}`, one.file, one.reward, one.reason].map(String))),
      2,
    )
  terminal.print(terminal.style('bold', `on record in the last ${options.blocks} blocks (${recorded.length})`))
  const cells = recorded.map((one) =>
    [`F${one.class}`, one.subject, one.penalty, one.reporterReward, one.reporter].map(String),
  )
  if (cells.length > 0) terminal.rows(table([['class', 'subject', 'penalty', 'reward', 'reporter'], ...cells]), 2)
  return 0
}

function classOf(file: Uint8Array): number {
  try {
    const fault = Fault.parse(file)
    return fault.class === 4 && fault.evidence.missing ? 104 : fault.class
  } catch {
    return 0
  }
}
