/** Report.ts - results as a table for people. */
import type { Spread } from './Measure.ts'
import type { Result } from './Result.ts'

const columns = ['benchmark', 'figure', 'goal', '', 'CPU us min/med/max', 'wall us min/med/max', 'n', 'MiB'] as const

/** Lines of a table, with input and note under each row. */
export function table(results: readonly Result[]): string {
  const rows = results.map((result) => [
    result.name,
    `${result.value === null ? '-' : figure(result.value)} ${result.unit}`,
    goalOf(result),
    result.meets === null ? '' : result.meets ? 'met' : 'MISSED',
    spreadOf(result.cpuMicroseconds),
    spreadOf(result.wallMicroseconds),
    String(result.samples),
    result.rssMiB.toFixed(0),
  ])
  const widths = columns.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] as number))
      .join('  ')
      .trimEnd()
  return [
    line(columns),
    line(widths.map((width) => '-'.repeat(width))),
    ...results.flatMap((result, i) => [
      line(rows[i] as string[]),
      `    ${[result.input, result.note].filter((text) => text !== '').join('; ')}`,
    ]),
  ].join('\n')
}

/** Three significant digits, whole from 100 on. */
export function figure(value: number): string {
  if (value === 0) return '0'
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(3)))
}

function goalOf({ goal }: Result): string {
  if (goal === null) return ''
  return 'atMost' in goal ? `<= ${figure(goal.atMost)}` : `>= ${figure(goal.atLeast)}`
}

function spreadOf(spread: Spread | null): string {
  return spread === null ? '-' : [spread.min, spread.median, spread.max].map(figure).join(' / ')
}
