/** engine.bench.ts - tokens a second of the language model under both runtimes, one tensor call, and the first load. */
import { fork } from 'node:child_process'
import { join } from 'node:path'
import { type Engine, type RuntimeName, runtimes } from '@assay/node/engine/Engine'
import { loadModel } from '@assay/node/engine/loadModel'
import { crypto } from 'assay/crypto/node'
import { Chat, Generate, Tensor } from 'assay/execution'
import { Bytes } from 'assay/protocol'
import type { Loaded } from './engine.child.ts'
import * as Measure from './Measure.ts'
import * as Result from './Result.ts'

const models = join(import.meta.dirname, '..', 'models')
const maxTokens = 32
const body = Bytes.fromUtf8(
  JSON.stringify({
    ...{ model: 'tiny', messages: [{ role: 'user', content: 'Tell me a short story.' }] },
    // Warm, so that every token is drawn by the sampler.
    ...{ max_tokens: maxTokens, temperature: 1, top_p: 0.9, seed: 42 },
  }),
)
const image = Bytes.fromUtf8(
  JSON.stringify({
    inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 64], data: Array.from({ length: 64 }, (_, i) => i % 17) }],
  }),
)

export const run: Result.Suite = async ({ isQuick }) => {
  const loads = await measureLoads(isQuick ? 2 : 5)
  const generation = await measureGeneration(isQuick ? 4 : 15)
  return [...generation, ...(await measureTensor(isQuick ? 4 : 15)), ...loads]
}

async function measureGeneration(samples: number): Promise<readonly Result.Result[]> {
  const engines = await loadAll('tiny')
  const drawn = new Map<string, number>()
  const subjects = [...engines].map(([name, engine]) => ({
    ...{ name, iterations: 1 },
    runSample: async () => {
      const count = await generate(engine)
      drawn.set(name, count)
      return count
    },
  }))
  // Until V8 has compiled the wasm module for good, its compiler threads cost as much as the run.
  const timings = await Measure.interleave(subjects, { samples, warmUp: 10 })
  const results = [...engines].map(([name, engine]) => {
    const tokens = drawn.get(name) as number
    const { cpu, wall } = timings.get(name) as Measure.Timing
    const perToken = (spread: Measure.Spread): Measure.Spread => ({
      ...{ min: spread.min / tokens, median: spread.median / tokens, max: spread.max / tokens },
    })
    return Result.of({
      ...{ name: `engine: tiny on ${name}`, unit: 'tokens a second', value: (1e6 * tokens) / wall.median },
      input: `${tokens} tokens drawn a sample${engine.isExact ? ', exact' : ''}`,
      timing: { samples, cpu: perToken(cpu), wall: perToken(wall) },
      note: 'the prompt included; times are per token',
    })
  })
  for (const engine of engines.values()) await engine.close()
  return results
}

async function generate(engine: Engine): Promise<number> {
  const { lm, manifest, tokenizer } = engine
  if (lm === undefined || tokenizer === undefined) throw new Error('tiny is a language model')
  const prepared = Chat.prepare(crypto, { body, manifest, tokenizer, drawnSeed: 1n })
  const { tokens } = await Generate.generate(crypto, { lm, prepared, manifest, tokenizer })
  return tokens.length
}

async function measureTensor(samples: number): Promise<readonly Result.Result[]> {
  const engines = await loadAll('digits')
  const subjects = [...engines].map(([name, engine]) => {
    const { infer, manifest } = engine
    if (infer === undefined) throw new Error('digits takes a tensor')
    const { tensors } = Tensor.prepareInfer(image, manifest)
    return { name, iterations: 50, run: () => infer(tensors) }
  })
  const timings = await Measure.interleave(subjects, { samples, warmUp: 10 })
  for (const engine of engines.values()) await engine.close()
  return [...engines.keys()].map((name) =>
    Result.of({
      ...{ name: `engine: digits on ${name}`, unit: 'us CPU a call', input: 'one image, 50 calls a sample' },
      timing: timings.get(name) as Measure.Timing,
    }),
  )
}

async function loadAll(model: string): Promise<Map<RuntimeName, Engine>> {
  const engines = new Map<RuntimeName, Engine>()
  for (const runtime of runtimes) engines.set(runtime, await loadModel(join(models, model), { runtime }))
  return engines
}

/** Every load in a process of its own, the runtimes in turns. */
async function measureLoads(samples: number): Promise<readonly Result.Result[]> {
  const loads = new Map<RuntimeName, Loaded[]>(runtimes.map((name) => [name, []]))
  for (let i = 0; i < samples; i++) for (const name of runtimes) loads.get(name)?.push(await loadOnce(name))
  return [...loads].map(([name, found]) => {
    const timing = Result.timing(found)
    const rssMiB = Measure.spread(found.map((one) => one.rssMiB)).median
    return {
      ...Result.of({
        ...{ name: `engine: first load, ${name}`, unit: 'ms wall', value: timing.wall.median / 1000, timing },
        ...{ input: 'tiny, a process that loaded nothing before', note: 'runtime and model, from disk cache' },
      }),
      rssMiB,
    }
  })
}

function loadOnce(name: RuntimeName): Promise<Loaded> {
  return new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, 'engine.child.ts'), [name], { stdio: ['ignore', 2, 'inherit', 'ipc'] })
    child.once('message', (loaded) => resolve(loaded as Loaded))
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`loading ${name} ended with ${code}`)))
  })
}
