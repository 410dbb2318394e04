/** Verdicts.ts - how verdicts look in a terminal. The words come from the library; here are colour, columns and order. */
import { Consequence, Explain, type Verdict } from 'assay/verify'
import { printable, type Style, type Terminal, table } from './Terminal.ts'

const styles: { readonly [kind in Explain.Line['kind']]: Style | undefined } = {
  title: 'bold',
  good: 'green',
  bad: 'red',
  open: 'yellow',
  plain: undefined,
  note: 'dim',
}

/** Prints everything that a verdict says. */
export function printWhole(terminal: Terminal, verdict: Verdict.Verdict): void {
  for (const { kind, text } of Explain.explain(verdict)) {
    if (kind === 'title') terminal.print()
    const style = styles[kind]
    const clean = printable(text)
    terminal.print((kind === 'title' ? '' : '  ') + (style === undefined ? clean : terminal.style(style, clean)), 6)
  }
}

/** The outcome in one coloured line. */
export function outcomeLine(terminal: Terminal, verdict: Verdict.Verdict): string {
  const step = verdict.step === undefined ? '' : `(${verdict.step})`
  const style: Style = verdict.outcome === 'MEETS' ? 'green' : verdict.outcome === 'INSUFFICIENT' ? 'yellow' : 'red'
  return `${terminal.style(style, `${verdict.outcome}${step}`)} under ${verdict.policy.name} (${verdict.policy.hash.slice(0, 16)})`
}

/** The matrix: per claim, what is shown and what backs it; claims that stand equal share a row, absent ones are counted. */
export function matrix(terminal: Terminal, verdict: Verdict.Verdict): string[] {
  const shown = verdict.rows.filter((row) => row.visibility !== 'absent')
  const groups = new Map<string, { readonly names: string[]; readonly row: Verdict.Row }>()
  for (const row of shown) {
    const key = JSON.stringify([row.visibility, row.backing, row.liars])
    const group = groups.get(key) ?? { names: [], row }
    group.names.push(row.proposition)
    groups.set(key, group)
  }
  const rows = [...groups.values()].flatMap(({ names, row }) => {
    const [first = '', ...more] = inLines(names, 22)
    const visibility = row.visibility === 'hidden' ? terminal.style('yellow', row.visibility) : row.visibility
    const backing =
      row.backing.length === 0 ? 'none' : terminal.style(backingStyle(row.backing), row.backing.join(' + '))
    const sets = row.liars.sets.map((set) => set.map(shortAtom).join(' and '))
    const liars =
      sets.length === 0
        ? ['no set of up to three parties that this knows of']
        : sets.map((set, i) => (i === 0 ? set : `or ${set}`))
    if (row.liars.more > 0) liars.push(`and ${row.liars.more} more`)
    const height = Math.max(more.length + 1, liars.length)
    return Array.from({ length: height }, (_, i) =>
      i === 0 ? [first, visibility, backing, liars[0] ?? ''] : [more[i - 1] ?? '', '', '', liars[i] ?? ''],
    )
  })
  const head = ['claim', 'visibility', 'backing', 'false only if this fails or lies'].map((cell) =>
    terminal.style('bold', cell),
  )
  const absent = verdict.rows.length - shown.length
  return [...table([head, ...rows]), ...(absent === 0 ? [] : [terminal.style('dim', `and ${absent} absent`)])]
}

/** An atom whose long hex part is cut in the middle; the whole one is in the verdict. */
function shortAtom(atom: string): string {
  return atom.replace(/(0x)?([0-9a-f]{8})[0-9a-f]{24,}/, '$1$2..')
}

/** Names with commas, in lines of about `width` characters. */
function inLines(names: readonly string[], width: number): string[] {
  const lines: string[] = []
  for (const [i, name] of names.entries()) {
    const text = i === names.length - 1 ? name : `${name},`
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + text.length <= width) lines[lines.length - 1] = `${last} ${text}`
    else lines.push(text)
  }
  return lines
}

function backingStyle(backing: readonly string[]): Style {
  if (backing.includes('recomputed') || backing.includes('proven')) return 'green'
  return backing.includes('asserted') ? 'yellow' : 'cyan'
}

/** What is missing under the policy, one line each. */
export function lacks(verdict: Verdict.Verdict): string[] {
  return verdict.requirements
    .filter((result) => result.status !== 'MET')
    .map((result) => `${result.status.padEnd(9)} ${printable(result.requirement)} - ${printable(result.because)}`)
}

/** Facts of anchoring in order, in one line. */
export function anchoringLine(verdict: Verdict.Verdict): string {
  return verdict.anchoring.map((fact) => fact.fact).join(' > ')
}

/** Who pays if the receipt is false, in one line; why nobody does is in the whole verdict. */
export function consequenceLine(verdict: Verdict.Verdict): string {
  return `consequence ${Consequence.describe(verdict.consequence)}`
}

/** A verdict as JSON; the shape of spec/verdict.md section 5. `consequenceBecause` has the stake in words. */
export function toJson(verdict: Verdict.Verdict): unknown {
  return JSON.parse(JSON.stringify(verdict, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)))
}
