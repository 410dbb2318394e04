/**
 * control.bench.ts - whether the harness can see a fault: work that is known to be slower, work that only waits, and
 * work on another thread must show as what they are. When this fails no figure of the run means anything.
 */
import { Worker } from 'node:worker_threads'
import { crypto } from 'assay/crypto/node'
import * as Measure from './Measure.ts'
import * as Result from './Result.ts'

const block = new Uint8Array(1024).fill(7)
const hash = () => crypto.sha256(block)
const slowHash = () => {
  for (let i = 0; i < 3; i++) Measure.consume(crypto.sha256(block))
  return crypto.sha256(block)
}

/** Measures the controls; throws `Error` when one of them is not seen. */
export const run: Result.Suite = async () => {
  const iterations = 2000
  const timings = await Measure.interleave(
    [
      { name: 'sha256', iterations, run: hash },
      { name: 'sha256 again', iterations, run: hash },
      { name: 'sha256, slow on purpose', iterations, run: slowHash },
    ],
    { samples: 41 },
  )
  // The smallest sample is the one that others disturbed least.
  const least = (name: string) => (timings.get(name) as Measure.Timing).cpu.min
  const ratio = (name: string) => least(name) / least('sha256')
  const waiting = await Measure.once(() => new Promise((resolve) => setTimeout(resolve, 100)))
  const threaded = await burnOnAnotherThread()
  const line = (name: string, value: number, goal: Result.Goal, input: string) =>
    Result.of({ name: `control: ${name}`, unit: 'x', goal, value, input })
  const results = [
    line('same work', ratio('sha256 again'), { atMost: 1.5 }, 'CPU of SHA-256 of 1 KiB over that of the same'),
    line('four times the work', ratio('sha256, slow on purpose'), { atLeast: 2.5 }, 'CPU of four hashes over one'),
    line('waiting', waiting.cpu / waiting.wall, { atMost: 0.3 }, 'CPU over wall of a timer of 100 ms'),
    line('another thread', threaded.cpu / threaded.value, { atLeast: 0.8 }, "CPU seen here over the thread's own"),
  ]
  const missed = results.filter((result) => result.meets === false)
  if (missed.length > 0) {
    const facts = missed.map((result) => `${result.name} ${(result.value as number).toFixed(2)}`)
    throw new Error(`The harness does not see its controls (${facts.join(', ')}); no figure of this run counts.`)
  }
  return results
}

/** The value is the thread's own CPU time in microseconds. */
function burnOnAnotherThread() {
  const source = `
    const { parentPort } = require('node:worker_threads')
    const from = process.threadCpuUsage()
    let used = 0
    while (used < 50_000) {
      for (let i = 0; i < 1e5; i++) Math.sqrt(i)
      const { user, system } = process.threadCpuUsage(from)
      used = user + system
    }
    parentPort.postMessage(used)`
  return Measure.once(
    () =>
      new Promise<number>((resolve, reject) => {
        const worker = new Worker(source, { eval: true })
        worker.once('message', resolve)
        worker.once('error', reject)
      }),
  )
}
