/** reporter.ts - a node:test reporter: one line per file, every failure in full, then totals. */
import { appendFileSync } from 'node:fs'
import { relative } from 'node:path'
import { inspect } from 'node:util'

type Counts = { passed: number; failed: number; skipped: number; cancelled: number; todo: number }
type Event = {
  readonly type: string
  readonly data: {
    readonly name?: string
    readonly file?: string
    readonly nesting?: number
    readonly line?: number
    readonly message?: string
    readonly skip?: string | boolean
    readonly details?: { readonly type?: string; readonly duration_ms?: number; readonly error?: { cause?: unknown } }
    readonly counts?: Counts
    readonly duration_ms?: number
  }
}

/** Where the totals go as one JSON line, so that `scripts/test.ts` can add up several runs. */
const countsFile = process.env.ASSAY_TEST_COUNTS

const shorten = (file: string | undefined) => (file === undefined ? '?' : relative(process.cwd(), file))

export default async function* report(source: AsyncIterable<Event>): AsyncGenerator<string> {
  const failures: string[] = []
  /** Tests and top-level time of files that share a process: nobody else sums them up. */
  const shared = new Map<string, { passed: number; failed: number; ms: number }>()
  let hasTotals = false
  let isEachSummed = false
  for await (const { type, data } of source) {
    if (type === 'test:stdout' || type === 'test:stderr') yield data.message ?? ''
    if (type === 'test:pass' && typeof data.skip === 'string' && data.skip !== '') {
      yield `  not run: ${data.name} (${data.skip}) in ${shorten(data.file)}\n`
    }
    if ((type === 'test:pass' || type === 'test:fail') && data.file !== undefined) {
      const sums = shared.get(data.file) ?? { passed: 0, failed: 0, ms: 0 }
      const isTest = data.details?.type !== 'suite'
      if (isTest) sums[type === 'test:pass' ? 'passed' : 'failed']++
      if (data.nesting === 0) sums.ms += data.details?.duration_ms ?? 0
      shared.set(data.file, sums)
    }
    if (type === 'test:fail') {
      const error = data.details?.error
      // A suite fails because something in it did; that something has its own event.
      if (data.details?.type === 'suite' && /subtest/.test(String((error as Error | undefined)?.message))) continue
      const text = `FAILED ${shorten(data.file)}:${data.line ?? 0} ${data.name}\n${inspect(error?.cause ?? error, { depth: 6 })}\n`
      failures.push(text)
      yield text
    }
    if (type === 'test:summary' && data.counts !== undefined) {
      const { passed, failed, skipped, cancelled } = data.counts
      if (data.file !== undefined) {
        const seconds = ((data.duration_ms ?? 0) / 1000).toFixed(2)
        const rest = `${skipped > 0 ? `, ${skipped} not run` : ''}${failed + cancelled > 0 ? `, ${failed + cancelled} FAILED` : ''}`
        yield `  ${shorten(data.file)}: ${passed} passed${rest} (${seconds} s)\n`
        isEachSummed = true
        continue
      }
      hasTotals = true
      // A hook at the root of a file fails in no test that is counted.
      const lost = Math.max(failed + cancelled, failures.length)
      for (const [file, sums] of isEachSummed ? [] : shared) {
        const rest = sums.failed > 0 ? `, ${sums.failed} FAILED` : ''
        yield `  ${shorten(file)}: ${sums.passed} passed${rest} (${(sums.ms / 1000).toFixed(2)} s)\n`
      }
      if (failures.length > 1)
        yield `\n${failures.length} failures:\n${failures.map((text) => `  ${text.split('\n')[0]}`).join('\n')}\n`
      if (isEachSummed) yield `tests ${passed + lost + skipped}\npass ${passed}\nfail ${lost}\nskipped ${skipped}\n`
      if (countsFile) appendFileSync(countsFile, `${JSON.stringify({ passed, failed: lost, skipped })}\n`)
    }
  }
  if (!hasTotals) yield 'the test run ended without totals\n'
}
