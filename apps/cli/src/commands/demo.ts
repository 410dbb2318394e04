/** demo.ts - `assay demo fraud`: parties that really cheat, a default client that catches them, a contract that slashes. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { errors } from 'assay/protocol'
import type { Context } from '../Context.ts'
import { type Outcome, play, tokens } from '../demo/Play.ts'
import { type Scenario, scenarios } from '../demo/Scenarios.ts'
import { exitCodes } from '../Failure.ts'
import { table } from '../Terminal.ts'

export type FraudOptions = {
  readonly json?: boolean
  readonly only?: readonly string[]
  readonly keep?: string
  readonly honest?: boolean
}

/** `assay demo fraud`; ends with 0 if all were caught and slashed, or, with `honest`, if nothing was found. */
export async function fraud(context: Context, options: FraudOptions): Promise<number> {
  const { terminal } = context
  const asked = select(options.only)
  const isHonest = options.honest === true
  const home = mkdtempSync(join(tmpdir(), 'assay-demo-'))
  const startedMs = performance.now()
  try {
    const outcomes = await play({
      ...{ home, scenarios: asked, isHonest, modelsFolder: context.modelsFolder, stopped: context.stopped },
      tell: (step, detail) => terminal.say(`${terminal.style('dim', step.padEnd(12))}${detail}`, 12),
    })
    if (context.stopped.aborted) {
      terminal.say('stopped')
      return exitCodes.stopped
    }
    if (options.keep !== undefined) keep(context, home, options.keep)
    const isGood = outcomes.every(isHonest ? isClean : isPunished)
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    if (options.json === true) {
      const faults = outcomes.map(({ id, caught, slashed, before, after }) => ({
        ...{ id, caught, slashed: String(slashed), before: String(before), after: String(after) },
      }))
      terminal.say(`${isGood ? 'as it should be' : 'NOT as it should be'}, after ${seconds} s`)
      terminal.print(JSON.stringify({ faults }))
    } else summary(context, asked, outcomes, { isHonest, isGood, seconds })
    return isGood ? 0 : 1
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

/** Caught by the client, recorded by the contract, the stake smaller by what was slashed, and what the client bound for it is back with a reward. */
function isPunished({ caught, slashed, before, after, bonds, reporterAfter, reporterBefore }: Outcome): boolean {
  const isPaidBack = bonds.back === bonds.sent && reporterAfter - reporterBefore >= bonds.reward
  const isWorthIt = bonds.sent === 0n || bonds.reward > 0n
  return caught && slashed > 0n && before - after >= slashed && after < before && isPaidBack && isWorthIt
}

/** Every receipt is final, nothing found, nothing recorded, nothing lost. */
function isClean(outcome: Outcome): boolean {
  const { pending, recorded, evidenceFiles, before, after, reporterAfter, reporterBefore } = outcome
  const isUntouched = before === after && reporterAfter === reporterBefore
  return pending === 0 && recorded.length === 0 && evidenceFiles.length === 0 && isUntouched
}

function summary(
  { terminal }: Context,
  asked: readonly Scenario[],
  outcomes: readonly Outcome[],
  end: { readonly isHonest: boolean; readonly isGood: boolean; readonly seconds: string },
): void {
  const head = ['fault', 'who', 'evidence', 'caught after', 'slashed', 'self-bond', 'reporter', 'bond back']
  const rows = outcomes.map((one, i) => [
    one.id,
    asked[i]?.who ?? '',
    one.evidence === undefined ? 'none' : `${basename(one.evidence).slice(0, 12)}..${one.evidence.split('.').at(-1)}`,
    one.caughtAfterMs === undefined ? '-' : `${(one.caughtAfterMs / 1000).toFixed(1)} s`,
    tokens(one.slashed),
    `${tokens(one.before)} -> ${tokens(one.after)}`,
    `${tokens(one.reporterBefore)} -> ${tokens(one.reporterAfter)}`,
    one.bonds.sent === 0n ? '-' : `${tokens(one.bonds.back)} of ${tokens(one.bonds.sent)}`,
  ])
  terminal.print()
  terminal.rows(table([head.map((cell) => terminal.style('bold', cell)), ...rows]))
  terminal.print()
  terminal.print('Amounts in ASY, bonds of cases in coin, read from the chain; waiting was done by making blocks.')
  const good = end.isHonest ? 'Nobody cheated, nothing was found.' : 'All were caught and slashed.'
  for (const { id, troubles } of end.isGood ? [] : outcomes)
    if (troubles.length > 0) terminal.print(`${id}: the client also met ${troubles.join(', ')}`)
  const bad = end.isHonest ? 'Somebody was accused who did not cheat.' : 'NOT all were caught and slashed.'
  terminal.print(`${end.isGood ? good : terminal.style('red', bad)} ${end.seconds} s`)
}

/** Copies what the clients hold: receipts and evidence, no keys. */
function keep(context: Context, home: string, folder: string): void {
  const target = resolve(context.cwd, folder)
  for (const scenario of scenarios) {
    for (const part of ['pending', 'faults', 'cases']) {
      const from = join(home, 'clients', scenario.id, part)
      if (!existsSync(from)) continue
      const to = join(target, scenario.id, part)
      mkdirSync(to, { recursive: true })
      cpSync(from, to, { recursive: true })
    }
  }
  context.terminal.say(`kept in ${target}`)
}

function select(only: readonly string[] | undefined): readonly Scenario[] {
  if (only === undefined) return scenarios
  for (const id of only) if (!scenarios.some((one) => one.id === id)) throw new UnknownFaultError(id)
  return scenarios.filter(({ id }) => only.includes(id))
}

/** There is no such fault in the demonstration. */
export class UnknownFaultError extends errors.UsageError<'unknown-fault'> {
  override readonly name = 'demo.UnknownFaultError'
  constructor(id: string) {
    super('unknown-fault', 'The demonstration has no such fault.', {
      facts: [`Asked: ${id}`, `There are: ${scenarios.map((one) => one.id).join(', ')}`],
    })
  }
}
