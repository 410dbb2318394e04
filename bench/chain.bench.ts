/**
 * chain.bench.ts - what the chain costs: gas of anchors and of faults that are really filed, the offline check of an anchor, and the
 * way of a receipt to `final` under load with the memory of every process.
 *
 * OpenGradient's figures stand beside ours. They were measured on anvil with its contracts unmodified (og-evm at 113ae07,
 * solc 0.8.37, its precompile replaced by one that says yes) and are not measured again here; what each side checks
 * and keeps stands in the note.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStage, type Stage } from '@assay/node/demo/Stage'
import * as ChainGas from './chainGas.ts'
import * as ChainLoad from './chainLoad.ts'
import * as ChainProof from './chainProof.ts'
import * as Measure from './Measure.ts'
import * as Result from './Result.ts'

/** Gas of a transaction of OpenGradient's settlement contracts, the base cost included. */
const openGradient = { batchSettle: 28_435, settleIndividual: 79_966 }

const perSecond = 200
const goalSeconds = 600
const defaultSeconds = 30

export const run: Result.Suite = async ({ isQuick, minutes }) => {
  const results: Result.Result[] = []
  await onStage(async (stage) => {
    const { value, cpu, wall } = await Measure.once(() => ChainGas.measure(stage))
    results.push(...gasResults(value, Result.timing([{ cpu, wall }])))
  })
  await onStage(async (stage) => {
    results.push(...proofResults(await ChainProof.measure(stage, isQuick ? 7 : 21)))
  })
  const seconds = minutes === undefined ? (isQuick ? 10 : defaultSeconds) : minutes * 60
  results.push(...loadResults(await ChainLoad.measure({ seconds, perSecond })))
  return results
}

async function onStage(work: (stage: Stage) => Promise<void>): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'assay-bench-stage-'))
  try {
    const stage = await openStage(home)
    try {
      await work(stage)
    } finally {
      await stage.close()
    }
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

/** Goals of whole filing transactions; the log had been observed before, the subject is bonded, P-256 precompile. */
const faultGoals: Readonly<Record<string, { readonly atMost: number; readonly input: string }>> = {
  F1: { atMost: 120_000, input: 'two heads' },
  'F2 two sizes, both signed': { atMost: 160_000, input: 'logs of 100,000 and 99,999 leaves, 2 x 17 hashes' },
  'F2 one size, both signed': { atMost: 160_000, input: 'two roots of 100,000 leaves' },
  'F2 signed against anchored': { atMost: 160_000, input: 'two roots of 100,000 leaves, one of them anchored' },
  F3: { atMost: 120_000, input: 'index 12,345 of 100,000 leaves, 17 hashes' },
  'F3 index 0': { atMost: 120_000, input: 'index 0 of 100,000 leaves, 17 hashes: the path that forge measures' },
  'F4 late': { atMost: 100_000, input: 'the head was observed in a block after the deadline' },
}

const besides = {
  commit: { title: 'commit', input: 'before a filing' },
  observeFirst: { title: 'observe, the first time', input: 'copies the key and the pledge blocks of the log' },
  observe: { title: 'observe', input: 'a log that was observed before' },
  claimReward: { title: 'claimReward', input: 'after a filing' },
} as const

function gasResults(gas: ChainGas.Gas, timing: Measure.Timing): Result.Result[] {
  const highest = (values: readonly bigint[]) => Math.max(...values.map(Number))
  const perReceipt = (values: readonly bigint[]) => highest(values) / ChainGas.perAnchor
  const conditions = 'whole transaction, bonded subject, log observed before, P-256 precompile'
  return [
    Result.of({
      ...{ name: 'chain: gas a receipt, 1,000 an anchor', unit: 'gas', value: perReceipt(gas.anchors), timing },
      ...{
        goal: { atMost: 120 },
        input: `log of ${ChainGas.leaves.toLocaleString('en-US')} leaves, the dearest of ${gas.anchors.length} anchors`,
      },
      note: 'checked on chain: log signature, append-only proof from the last root; kept: root, size, block. Times are of all gas figures',
    }),
    Result.of({
      ...{
        name: 'chain: the same in a young log',
        unit: 'gas',
        value: perReceipt(gas.firstAnchors),
        goal: { atMost: 120 },
      },
      input: `first ${gas.firstAnchors.length} anchors of 1,000 receipts`,
    }),
    Result.of({
      ...{ name: 'chain: OpenGradient batchSettle', unit: 'gas a receipt', value: openGradient.batchSettle / 1000 },
      input: `1,000 receipts, ${openGradient.batchSettle.toLocaleString('en-US')} gas; measured elsewhere`,
      note: 'an event with a root by an account of a role: nothing is checked, nothing is kept, no one can be shown wrong',
    }),
    Result.of({
      ...{ name: 'chain: OpenGradient settleIndividual', unit: 'gas a receipt', value: openGradient.settleIndividual },
      input: '1 receipt; measured elsewhere',
      note: 'one RSA signature of hashes by a precompile of its own chain; no chain, contract or request in what is signed, nothing kept',
    }),
    ...[...gas.faults].map(([name, value]) => {
      const { atMost, input } = faultGoals[name] ?? { atMost: 0, input: '' }
      return Result.of({
        name: `chain: file ${name}`,
        unit: 'gas',
        value: Number(value),
        goal: { atMost },
        input,
        note: conditions,
      })
    }),
    ...(['commit', 'observeFirst', 'observe', 'claimReward'] as const).map((name) =>
      Result.of({
        ...{ name: `chain: ${besides[name].title}`, unit: 'gas', value: Number(gas[name]) },
        input: besides[name].input,
      }),
    ),
  ]
}

function proofResults({ timings, bytes, nodes }: ChainProof.Proofs): Result.Result[] {
  const ms = (name: string) => {
    const timing = timings.get(name) as Measure.Timing
    return { timing, value: timing.cpu.median / 1000, unit: 'ms CPU' }
  }
  const input = `inclusion in 5,000 leaves, header, account paths of ${nodes.account} nodes, storage paths of ${nodes.storage}`
  return [
    Result.of({
      ...{ name: 'chain: anchor and storage proof, offline', goal: { atMost: 3 }, ...ms('plain'), input },
      note: `key record, log record, anchored step: ${bytes.plain} bytes`,
    }),
    Result.of({
      ...{ name: 'chain: the same with the stake', goal: { atMost: 3 }, ...ms('staked'), input },
      note: `stake of node and log, penalties, open cases as well: ${bytes.staked} bytes`,
    }),
    Result.of({
      ...{ name: 'chain: with the stake, noble only', goal: { atMost: 3 }, ...ms('noble'), input },
      note: 'the same in JavaScript alone, as in a browser',
    }),
    Result.of({
      ...{ name: 'chain: its tries, ours', ...ms('ours'), input: 'the same 8 paths each by itself' },
      note: "noble's Keccak in both",
    }),
    Result.of({
      ...{ name: 'chain: its tries, @ethereumjs/mpt', ...ms('mpt'), input: 'the same 8 paths' },
      note: 'a peer; the accounts are decoded beforehand',
    }),
  ]
}

function loadResults(load: ChainLoad.Load): Result.Result[] {
  const isFull = load.seconds >= goalSeconds
  const input = `${load.seconds.toFixed(0)} s at ${perSecond} calls a second (digits, exact): ${load.toFinal.count} receipts`
  const seconds = (ms: number) => ms / 1000
  return [
    Result.of({
      ...{ name: 'chain: receipts a second', unit: 'receipts a second', value: load.perSecond, input, isFull },
      ...{ goal: { atLeast: 0.99 * perSecond }, samples: load.sent },
      note: `${load.refused} refused, ${load.pending} without a pledge in time`,
    }),
    Result.of({
      ...{ name: 'chain: receipt to final, the slowest', unit: 's', value: seconds(load.toFinal.max), input, isFull },
      ...{ goal: { atMost: 8 }, samples: load.toFinal.count },
      note: `median ${seconds(load.toFinal.median).toFixed(2)} s, p99 ${seconds(load.toFinal.p99).toFixed(2)} s, ${load.notFinal} not final; by state proof under the finalized block, looked for every 0.2 s`,
    }),
    Result.of({
      ...{ name: 'chain: the same, by the client', unit: 's', value: seconds(load.client.max), input, isFull },
      ...{ goal: { atMost: 8 }, samples: load.client.count },
      note: `one call after the other beside the load, until MEETS under embedded; median ${seconds(load.client.median).toFixed(2)} s`,
    }),
    ...[...load.memory].map(([name, { first, last, peak, slope }]) =>
      Result.of({
        ...{ name: `chain: memory of the ${name}`, unit: 'MiB at most', value: peak, samples: load.samples, isFull },
        // A chain that reaches its own limit is started anew from its state.
        goal: { atMost: 1024 },
        input: `resident, sampled every 2 s for ${load.seconds.toFixed(0)} s`,
        note: `${first.toFixed(0)} at first, ${last.toFixed(0)} at the end; ${slope.toFixed(1)} MiB a minute in the second half`,
      }),
    ),
  ]
}
