/**
 * Explain.ts - a verdict in words. Pure text: colour, width and language are the business of whoever prints it.
 */
import * as Consequence from './Consequence.ts'
import type { Verdict } from './Verdict.ts'

/** A line with what it is, so that a terminal or a page can style it. */
export type Line = { readonly kind: 'title' | 'good' | 'bad' | 'open' | 'plain' | 'note'; readonly text: string }

/**
 * Explains a verdict: the outcome, every requirement, every row that says something, who would have to lie, and what it does
 * not tell.
 */
export function explain(verdict: Verdict): Line[] {
  const lines: Line[] = []
  const push = (kind: Line['kind'], text: string) => lines.push({ kind, text })
  const policy = `policy ${verdict.policy.name} (${verdict.policy.hash.slice(0, 16)})`
  if (verdict.outcome === 'INVALID') {
    push('bad', `INVALID(${verdict.step}) - ${verdict.contradiction}`)
    push('note', 'The file contradicts itself. That accuses nobody: whoever handed it over may have changed it.')
    return lines
  }
  push(verdict.outcome === 'MEETS' ? 'good' : 'bad', `${verdict.outcome} ${policy}`)
  if (verdict.receiptHash !== null) push('plain', `receipt ${verdict.receiptHash}`)
  push(
    'plain',
    verdict.at === null
      ? 'as of: no trusted block'
      : `as of block ${verdict.at.blockNumber} of chain ${verdict.at.chainId}`,
  )
  for (const fault of verdict.faults) push('bad', `FAULT ${fault.id} by ${fault.accused}: ${fault.because}`)
  push('title', 'Requirements')
  for (const result of verdict.requirements)
    push(
      result.status === 'MET' ? 'good' : result.status === 'REFUTED' ? 'bad' : 'open',
      `${result.status.padEnd(9)} ${result.requirement} - ${result.because}`,
    )
  push('title', 'Where it stands')
  for (const fact of verdict.anchoring)
    push(
      'plain',
      `${fact.fact.padEnd(9)} ${fact.because}${fact.assumptions.length === 0 ? '' : ` [${fact.assumptions.join(', ')}]`}`,
    )
  push(
    'plain',
    verdict.consequence === 'none'
      ? `consequence none: ${verdict.consequenceBecause}`
      : `consequence ${Consequence.describe(verdict.consequence)} [${verdict.consequence.assumptions.join(', ')}]`,
  )
  push('title', 'Claims')
  for (const row of verdict.rows) {
    const backing = row.backing.length === 0 ? 'none' : row.backing.join(' + ')
    push('plain', `${row.proposition.padEnd(16)} ${row.visibility.padEnd(9)} ${backing.padEnd(10)} ${row.because}`)
  }
  push('title', 'Who would have to lie')
  for (const [liars, propositions] of grouped(verdict)) push('plain', `${propositions.join(', ')}: ${liars}`)
  push('title', 'What this does not tell')
  const ofStake = verdict.consequence === 'none' ? [] : verdict.consequence.doesNotTell
  const ofRows = verdict.rows.filter((row) => row.visibility !== 'absent').flatMap((row) => row.doesNotTell)
  for (const text of new Set([...ofRows, ...ofStake])) push('note', text)
  return lines
}

function grouped(verdict: Verdict): Map<string, string[]> {
  const groups = new Map<string, string[]>()
  for (const row of verdict.rows) {
    if (row.visibility === 'absent' || row.backing.length === 0) continue
    const sets = row.liars.sets.map((set) => `{${set.join(' + ')}}`)
    const text =
      sets.length === 0
        ? 'no set of up to three parties that this knows of'
        : sets.join(' or ') + (row.liars.more > 0 ? ` and ${row.liars.more} more` : '')
    groups.set(text, [...(groups.get(text) ?? []), row.proposition])
  }
  return groups
}
