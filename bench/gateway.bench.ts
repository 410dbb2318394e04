/**
 * gateway.bench.ts - whole calls over HTTP: gateway, exact engine, issuer, log and witness in this process and in real
 * folders, clients in another, the chain a variable. One token a call, so that what surrounds the model shows.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Engine } from '@assay/node/engine/Engine'
import { loadModel } from '@assay/node/engine/loadModel'
import * as Gateway from '@assay/node/gateway/Gateway'
import * as LeafCache from '@assay/node/gateway/LeafCache'
import { limits } from '@assay/node/gateway/limits'
import * as NodeConfig from '@assay/node/gateway/NodeConfig'
import type { Served } from '@assay/node/gateway/Served'
import * as scene from '@assay/node/log/scene'
import * as Issuer from '@assay/node/receipts/Issuer'
import * as SqliteReceiptStore from '@assay/node/receipts/SqliteReceiptStore'
import { crypto } from 'assay/crypto/node'
import { Chat, Generate } from 'assay/execution'
import { Bytes } from 'assay/protocol'
import type { Ask, Told } from './gateway.child.ts'
import * as Measure from './Measure.ts'
import * as Result from './Result.ts'

/** Below the length of the engine's line, so that no call is refused. */
const concurrency = 8
const perSample = 64
/** Small, so that it is full before memory is looked at. */
const leafCacheBytes = 256 * 1024

export const run: Result.Suite = async ({ isQuick }) => {
  const folder = mkdtempSync(join(tmpdir(), 'assay-bench-gateway-'))
  const station = await openStation(folder)
  const clients = fork(join(import.meta.dirname, 'gateway.child.ts'), { stdio: ['ignore', 2, 'inherit', 'ipc'] })
  try {
    const calls = await measureCalls(station, clients, isQuick ? 4 : 15)
    return [...calls, ...(await measureMemory(station, clients, isQuick ? 256 : 4096))]
  } finally {
    clients.kill()
    await station.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function openStation(folder: string) {
  const chain = scene.createChain()
  const both = await scene.openBoth(folder, chain)
  const store = SqliteReceiptStore.open({ folder: join(folder, 'node') })
  const { chainId, registry, anchorLog, logId } = scene.identity
  const identity = { chainId, registry, nodeId: scene.nodeId, keyEpoch: 0 }
  const issuer = await Issuer.create({
    crypto,
    identity,
    signer: scene.signers.node,
    store,
    logs: [{ name: 'log', port: both.log }],
  })
  const engine = await loadModel(join(import.meta.dirname, '..', 'models', 'tiny'), { runtime: 'onnx-wasm' })
  const leaves = LeafCache.create({
    ...{ maxBytes: leafCacheBytes, maxAgeMs: limits.leavesSeconds * 1000, now: Date.now },
  })
  const served: Served = {
    ...{ crypto, issuer, store, leaves, engines: new Map([[engine.id, engine]]), publicKeyOf: () => issuer.publicKey },
    logs: [
      {
        ...{ logId, publicKey: both.log.publicKey, ed25519: scene.signers.logNote.publicKey, files: both.log.files },
        proof: both.log.proof,
      },
    ],
    config: NodeConfig.create(crypto, [engine], limits.leavesSeconds),
    newestBlock: () => ({ number: chain.block, timestampSeconds: BigInt(Math.floor(Date.now() / 1000)) }),
    identity: {
      ...{ chainId, nodeRegistry: registry, anchorLog, operator: new Uint8Array(20).fill(0x33) },
      witnesses: [both.witness.publicKey],
    },
    exposure: {
      saw: [{ party: 'node', what: ['request', 'response'], why: 'inference', retentionSeconds: limits.leavesSeconds }],
      retentionSeconds: limits.leavesSeconds,
    },
    now: Date.now,
    random: (length) => new Uint8Array(randomBytes(length)),
    record: () => {},
    notReady: () => undefined,
  }
  const gateway = Gateway.create(served)
  const url = await gateway.listen({ host: '127.0.0.1', port: 0 })
  return {
    ...{ chain, engine, url },
    close: async () => {
      await gateway.close()
      leaves.clear()
      await issuer.close()
      await both.close()
      await store.close()
      await engine.close()
    },
  }
}

type Station = Awaited<ReturnType<typeof openStation>>

async function measureCalls(station: Station, clients: ChildProcess, samples: number) {
  const latencies: number[] = []
  const subject = (name: string, stream: boolean): Measure.Subject => ({
    ...{ name, iterations: perSample },
    runSample: async (count, start) => {
      const found = await callMany(station, clients, { count, start, stream })
      if (!stream) latencies.push(...found)
      return found.length
    },
  })
  const timings = await Measure.interleave(
    [
      subject('unary', false),
      subject('stream', true),
      { name: 'engine', iterations: perSample, run: (i) => generateOne(station.engine, i) },
    ],
    { samples, warmUp: 6 },
  )
  const at = (name: string) => timings.get(name) as Measure.Timing
  const { unary, stream, engine } = { unary: at('unary'), stream: at('stream'), engine: at('engine') }
  const own = unary.cpu.median - engine.cpu.median
  const { median, max } = Measure.spread(latencies)
  const input = `tiny on onnx-wasm, max_tokens 1, ${concurrency} clients, ${perSample} calls a sample`
  return [
    Result.of({
      ...{ name: 'gateway: chat call', unit: 'calls a second', value: 1e6 / unary.wall.median, input, timing: unary },
      note: `${Math.round(own)} us CPU beside the engine's; answered after ${median.toFixed(1)} ms (median), ${max.toFixed(1)} ms (max)`,
    }),
    Result.of({
      ...{ name: 'gateway: chat call, streamed', unit: 'calls a second', value: 1e6 / stream.wall.median },
      ...{ input, timing: stream, note: 'receipt in the last comment lines' },
    }),
    Result.of({
      ...{ name: 'gateway: the engine alone', unit: 'us CPU a call', timing: engine },
      ...{ input: 'the same prompts and one token, without HTTP and receipt' },
    }),
  ]
}

/** Grows for ever what grows per call: the second half is compared with the first, after garbage is collected. */
async function measureMemory(station: Station, clients: ChildProcess, calls: number): Promise<Result.Result[]> {
  let start = 1_000_000
  const heap: number[] = []
  for (let half = 0; half <= 2; half++) {
    // The first round only fills caches and queues.
    for (let done = 0; done < calls / 2; done += perSample, start += perSample)
      await callMany(station, clients, { count: perSample, start, stream: false })
    heap.push(collectedBytes())
  }
  const [, first, second] = heap as [number, number, number]
  const input = `${(calls * 3) / 2} chat calls, in the last ${calls / 2} of them`
  const rss = process.memoryUsage.rss() / 2 ** 20
  return [
    Result.of({
      ...{ name: 'gateway: memory kept a call', unit: 'KiB', value: (second - first) / 1024 / (calls / 2), input },
      ...{ goal: { atMost: 1 }, isFull: calls >= 4096, note: 'heap and buffers after a collection; leaf cache full' },
    }),
    Result.of({
      ...{
        name: 'gateway: resident after',
        unit: 'MiB',
        value: rss,
        input: `${(calls * 3) / 2} calls and more before`,
      },
      note: `leaf cache ${leafCacheBytes / 1024} KiB here, ${limits.leavesBytes / 2 ** 20} MiB in service; heap ${(second / 2 ** 20).toFixed(1)} MiB`,
    }),
  ]
}

function collectedBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  const { heapUsed, external, arrayBuffers } = process.memoryUsage()
  return heapUsed + external + arrayBuffers
}

function callMany(
  station: Station,
  clients: ChildProcess,
  ask: Pick<Ask, 'count' | 'start' | 'stream'>,
): Promise<readonly number[]> {
  station.chain.seenAtMs = Date.now()
  return new Promise((resolve, reject) => {
    const ended = () => reject(new Error('the clients have ended'))
    clients.once('exit', ended)
    clients.once('message', (told: Told) => {
      clients.off('exit', ended)
      if ('error' in told) reject(new Error(told.error))
      else resolve(told.latenciesMs)
    })
    clients.send({ ...ask, url: station.url, concurrency } satisfies Ask)
  })
}

async function generateOne(engine: Engine, i: number): Promise<number> {
  const { lm, manifest, tokenizer } = engine
  if (lm === undefined || tokenizer === undefined) throw new Error('tiny is a language model')
  const messages = [{ role: 'user', content: `Hello number ${i}.` }]
  const body = Bytes.fromUtf8(JSON.stringify({ model: 'tiny', messages, max_tokens: 1, temperature: 0 }))
  const prepared = Chat.prepare(crypto, { body, manifest, tokenizer, drawnSeed: 1n })
  const { tokens } = await Generate.generate(crypto, { lm, prepared, manifest, tokenizer })
  return tokens.length
}
