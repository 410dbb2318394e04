/**
 * engine.test.ts - the real models under both runtimes: native results stay within tolerance, files that differ from the
 * manifest are refused, and a reader finds its engine.
 */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { crypto } from 'assay/crypto/node'
import { Chat, Generate, Profiles, Recompute, Render, Tensor } from 'assay/execution'
import { Body, Bytes, Manifest } from 'assay/protocol'
import type { Engine } from './Engine.ts'
import { createExecutor } from './executor.ts'
import { loadModel } from './loadModel.ts'
import { ModelFileError } from './ModelFolder.ts'
import { RunError } from './OnnxModel.ts'
import { OverloadedError } from './RunQueue.ts'

const root = join(import.meta.dirname, '../../../..')
const models = join(root, 'models')
const tiny = join(models, 'tiny')
const digits = join(models, 'digits')
const closing: (() => Promise<void>)[] = []
after(async () => {
  for (const close of closing) await close()
})

async function load(folder: string, options: Parameters<typeof loadModel>[1]): Promise<Engine> {
  const engine = await loadModel(folder, options)
  closing.push(engine.close)
  return engine
}

const question = { messages: [{ role: 'user', content: 'What is a receipt?' }], max_tokens: 24 }
const warm = { ...question, temperature: 1, top_p: 0.9, seed: 42 }
const bodyOf = (request: object) => Bytes.fromUtf8(JSON.stringify({ model: 'tiny', ...request }))

function prepare(engine: Engine, request: object): Chat.Prepared {
  const { manifest, tokenizer } = engine
  return Chat.prepare(crypto, { body: bodyOf(request), manifest, tokenizer: tokenizer!, drawnSeed: 11n })
}

/** `cancelAfter`: tokens after which the caller gives up. */
async function complete(engine: Engine, request: object, cancelAfter = Number.POSITIVE_INFINITY) {
  const pieces: string[] = []
  const controller = new AbortController()
  let drawn = 0
  const result = await Generate.generate(crypto, {
    lm: engine.lm!,
    prepared: prepare(engine, request),
    manifest: engine.manifest,
    tokenizer: engine.tokenizer!,
    signal: controller.signal,
    onToken: () => {
      if (++drawn >= cancelAfter) controller.abort()
    },
    onPiece: (piece) => void pieces.push(piece),
  })
  return { ...result, text: pieces.join('') }
}

describe('the exact engine', () => {
  test('names itself by the file that it loaded and the weights that it was given', async () => {
    const engine = await load(tiny, { runtime: 'onnx-wasm', id: 'here' })
    const wasm = readFileSync(join(root, 'node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm'))
    const files = ['model.onnx', 'tokenizer.json'].map((path) => ({ path, bytes: readFileSync(join(tiny, path)) }))
    assert.deepEqual(engine.build, crypto.sha256(wasm))
    assert.deepEqual(engine.weightsRoot, Manifest.weightsRoot(crypto, files))
    const { id, profile, isExact, name, version, kind } = engine
    assert.deepEqual(
      { id, profile, isExact, name, version, kind },
      {
        id: 'here',
        profile: 'onnx-wasm/1',
        isExact: true,
        name: 'onnxruntime-web',
        version: '1.30.0',
        kind: 'causal-lm',
      },
    )
  })

  test('ends at the end token, at a stop text, at the limit and when cancelled', async () => {
    const engine = await load(tiny, { runtime: 'onnx-wasm' })
    const hello = { messages: [{ role: 'user', content: 'Hello' }] }
    const whole = await complete(engine, hello)
    assert.deepEqual([whole.finish, whole.tokens.at(-1)], ['stop', 4])
    const word = whole.text.slice(3, 6)
    const cut = await complete(engine, { ...hello, stop: word })
    assert.deepEqual([cut.finish, cut.text], ['stop', whole.text.slice(0, whole.text.indexOf(word))])
    const short = await complete(engine, { ...hello, max_tokens: 3 })
    assert.deepEqual([short.finish, short.tokens], ['length', whole.tokens.slice(0, 3)])
    const cancelled = await complete(engine, hello, 2)
    assert.deepEqual([cancelled.finish, cancelled.tokens], ['cancelled', whole.tokens.slice(0, 2)])
    assert.equal(engine.waiting(), 0)
  })

  test('runs one call at a time, refuses when too many wait, and checks what it is fed', async () => {
    const engine = await load(tiny, { runtime: 'onnx-wasm', maxWaiting: 1 })
    const run = await engine.lm!.start()
    const waiting = engine.lm!.start()
    await assert.rejects(engine.lm!.start(), OverloadedError)
    for (const tokens of [[], [1024], [-1], [0.5], Array(385).fill(5)])
      await assert.rejects(run.forward(tokens), RunError)
    run.dispose()
    await assert.rejects(run.forward([0]), RunError)
    ;(await waiting).dispose()
  })
})

describe('the native engine', () => {
  test('has another profile and build, and logits within tolerance of the exact engine', async () => {
    const [exact, native] = [await load(tiny, { runtime: 'onnx-wasm' }), await load(tiny, { runtime: 'onnx' })]
    assert.deepEqual([native.profile, native.isExact, native.name], ['onnx/1', false, 'onnxruntime-node'])
    assert.notDeepEqual(native.build, exact.build)
    const tokens = prepare(exact, question).tokens
    const runs = [await exact.lm!.start(), await native.lm!.start()] as const
    for (const feed of [tokens, [300], [301]]) {
      const [mine, theirs] = [await runs[0].forward(feed), await runs[1].forward(feed)]
      const largest = Math.max(...mine.map((value, i) => Math.abs(value - theirs[i]!)))
      assert.ok(largest < Profiles.tolerance.absolute, `${largest}`)
    }
    for (const run of runs) run.dispose()
  })
})

describe('a tensor model', () => {
  const samples: { label: number; image: number[] }[] = JSON.parse(readFileSync(join(digits, 'samples.json'), 'utf8'))
  const request = {
    inputs: [{ name: 'image', shape: [samples.length, 64], datatype: 'FP32', data: samples.map(({ image }) => image) }],
  }

  test('reads the sample digits, the same bits each time, native within tolerance', async () => {
    const [exact, native] = [await load(digits, { runtime: 'onnx-wasm' }), await load(digits, { runtime: 'onnx' })]
    const { tensors } = Tensor.prepareInfer(Bytes.fromUtf8(JSON.stringify(request)), exact.manifest)
    const [scores] = await exact.infer!(tensors)
    assert.deepEqual(await exact.infer!(tensors), [scores])
    const values = Tensor.toFloats(scores!)
    const read = samples.map((_, i) => {
      const row = values.subarray(10 * i, 10 * i + 10)
      return row.indexOf(Math.max(...row))
    })
    const right = read.filter((digit, i) => digit === samples[i]!.label).length
    assert.ok(right >= samples.length * 0.8, `${right} of ${samples.length}`)
    const other = Tensor.toFloats((await native.infer!(tensors))[0]!)
    const { absolute, relative } = Profiles.tolerance
    assert.ok(values.every((value, i) => Math.abs(value - other[i]!) <= absolute + relative * Math.abs(value)))
  })
})

describe('createExecutor', () => {
  test('finds the engine of a manifest, profile and build, and a whole call computes again', async () => {
    const executor = createExecutor(models)
    closing.push(executor.close)
    const engine = await load(tiny, { runtime: 'onnx-wasm' })
    const { manifestHash: model, weightsRoot: weights, build, profile } = engine
    assert.equal(await executor(weights, profile, build), undefined)
    assert.equal(await executor(model, 'other/1', build), undefined)
    assert.equal(await executor(model, profile, model), undefined)
    assert.equal(await executor(model, Profiles.onnx, build), undefined)

    const salt = new Uint8Array(16).fill(1)
    const prepared = prepare(engine, { ...warm, stream: true })
    const { tokens } = await complete(engine, { ...warm, stream: true })
    const outputLeaves = Body.tokenLeaves(tokens)
    const fields = { id: `chatcmpl-${'0'.repeat(32)}`, created: 1 }
    const { manifest, tokenizer } = engine
    const call = {
      request: { method: 'POST', target: '/v1/chat/completions', body: bodyOf({ ...warm, stream: true }) },
      effectiveLeaves: prepared.leaves,
      outputLeaves,
      responseChunks: Render.streamChunks({ ...fields, prepared, manifest, tokenizer: tokenizer!, output: tokens }),
      claims: {
        model,
        weights,
        engine: { build, profile, sampling: prepared.sampling },
        effectiveRequest: {
          kind: 1,
          root: Body.root(crypto, salt, prepared.leaves),
          count: prepared.leaves.length,
          rewrites: prepared.rewrites,
        },
        output: { kind: 1, root: Body.root(crypto, salt, outputLeaves), count: tokens.length },
        response: { status: 200, mediaType: 'text/event-stream' },
      },
      salt,
      executor,
      model: (await executor(model, profile, build))!.model,
    }
    Recompute.recomputePrepared(crypto, call)
    assert.deepEqual(await Recompute.recomputeExecuted(crypto, call), { isExact: true, count: tokens.length })
    Recompute.recomputeRendered(crypto, call)
  })
})

describe('loadModel', () => {
  test('refuses files that are not those of the manifest', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'assay-model-'))
    try {
      cpSync(digits, folder, { recursive: true })
      const graph = readFileSync(join(folder, 'model.onnx'))
      graph[graph.length - 1]! ^= 1
      writeFileSync(join(folder, 'model.onnx'), graph)
      const codeOf = (error: unknown) => error instanceof ModelFileError && error.code
      await assert.rejects(loadModel(folder, { runtime: 'onnx-wasm' }), (error) => codeOf(error) === 'file-differs')
      rmSync(join(folder, 'model.onnx'))
      await assert.rejects(loadModel(folder, { runtime: 'onnx-wasm' }), (error) => codeOf(error) === 'file-missing')
      rmSync(join(folder, 'manifest.dcbor'))
      await assert.rejects(loadModel(folder, { runtime: 'onnx-wasm' }), (error) => codeOf(error) === 'file-missing')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
