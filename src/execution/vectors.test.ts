/** vectors.test.ts - the files in vectors/ say what this code does, read here from their JSON alone, and are fresh. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { outputs as manifests } from '../../scripts/build-manifests.ts'
import { outputs } from '../../scripts/generate-execution-vectors.ts'
import * as Toy from '../../tests/execution/Toy.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Chat from './Chat.ts'
import * as Render from './Render.ts'
import * as Sampler from './Sampler.ts'
import * as Tensor from './Tensor.ts'
import * as Tokenizer from './Tokenizer.ts'

const root = join(import.meta.dirname, '../..')
const read = (name: string) => JSON.parse(readFileSync(join(root, 'vectors', name), 'utf8'))
const prepareFile = read('prepare.json')
const { model, tensorModel } = prepareFile
const tokenizer = Tokenizer.load(Bytes.fromUtf8(JSON.stringify(model.tokenizer)))
const manifest: Chat.ChatModel = {
  name: model.name,
  architecture: { vocab: tokenizer.size, context: model.context },
  template: { name: 'role-tokens/1', ...model.template },
  defaults: model.defaults,
}

function double(hex: string): number {
  return new DataView(Bytes.fromHex(hex).buffer).getFloat64(0)
}

function check(item: { mustFail?: string; param?: string | null }, action: () => void): void {
  if (item.mustFail === undefined) {
    action()
    return
  }
  assert.throws(action, (error: { code: string; param?: string | null }) => {
    assert.deepEqual([error.code, error.param ?? null], [item.mustFail, item.param ?? null])
    return true
  })
}

describe('vectors', () => {
  for (const item of prepareFile.cases) {
    test(`prepare: ${item.name}`, () =>
      check(item, () => {
        const body = Bytes.fromUtf8(item.body)
        if (item.kind === 'infer') {
          const prepared = Tensor.prepareInfer(body, tensorModel)
          assert.deepEqual([prepared.id, prepared.outputs], [item.id, item.outputs])
          assert.deepEqual(prepared.leaves.map(Bytes.toHex), item.leaves)
          return
        }
        const prepared = Chat.prepare(Toy.crypto, { body, manifest, tokenizer, drawnSeed: BigInt(item.drawnSeed) })
        for (const field of ['requestModel', 'stream', 'includeUsage', 'params', 'tokens'] as const) {
          assert.deepEqual(prepared[field], item[field])
        }
        assert.deepEqual({ ...prepared.sampling, seed: prepared.sampling.seed.toString() }, item.sampling)
        assert.deepEqual(
          prepared.rewrites.map(({ code, path, detail }) => [code, path, detail]),
          item.rewrites,
        )
        assert.equal(Bytes.toHex(prepared.leaves[0]!), item.leaf0)
        assert.equal(prepared.leaves.length, item.leafCount)
      }))
  }

  for (const item of read('sampler.json').cases) {
    test(`sampler: ${item.name}`, () =>
      check(item, () => {
        if (item.kind === 'exp') {
          assert.equal(Sampler.exp(double(item.x)), double(item.result))
          return
        }
        const seed = BigInt(item.seed)
        if (item.kind === 'draw') {
          assert.equal(Sampler.draw(Toy.crypto, seed, item.position), double(item.result))
          return
        }
        const data = Bytes.fromHex(item.logits)
        const logits = Tensor.toFloats({ name: 'l', datatype: 'FP32', shape: [data.length / 4], data })
        const pick = Sampler.create(Toy.crypto, { seed, temperature: item.temperature, topP: item.topP })
        const count = item.tokens?.length ?? 1
        assert.deepEqual(
          Array.from({ length: count }, (_, position) => pick(logits, position)),
          item.tokens,
        )
      }))
  }

  for (const item of read('render.json').cases) {
    test(`render: ${item.name}`, () =>
      check(item, () => {
        const { id, created, output, maxTokens, stop } = item
        const prepared = {
          requestModel: item.model,
          includeUsage: item.form === 'stream with usage',
          params: { maxTokens, stop },
          tokens: Array(item.promptTokens).fill(0),
        }
        const subject = { id, created, prepared, manifest, tokenizer, output }
        const chunks = item.form === 'unary' ? [Render.unaryBody(subject)] : Render.streamChunks(subject)
        assert.deepEqual(chunks.map(Bytes.toUtf8), item.chunks)
      }))
  }
})

describe('generated files', () => {
  test('vectors and manifests are what their scripts would write', async () => {
    for (const [path, wanted] of Object.entries({ ...(await outputs()), ...(await manifests()) })) {
      const found = readFileSync(join(root, path))
      assert.ok(found.equals(Buffer.from(wanted as string)), `${path} is stale`)
    }
  })
})
