/**
 * generate-execution-vectors.ts - writes vectors/prepare.json, sampler.json and render.json: inputs, results and must-fail
 * cases of spec/execution.md, over a small tokenizer that stands in the files themselves.
 *
 *     node scripts/generate-execution-vectors.ts
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { BadRequest, type Chat, Render, Sampler, Tensor } from 'assay/execution'
import { Bytes } from 'assay/protocol'
import * as Toy from '../tests/execution/Toy.ts'

const root = join(import.meta.dirname, '..')
const { manifest, tokenizer } = Toy

/** The model of the vectors: what prepare and render take from a manifest. */
const model = {
  name: manifest.name,
  context: manifest.architecture?.context,
  template: { bos: 0, system: 1, user: 2, assistant: 3, end: Toy.end },
  defaults: manifest.defaults,
  tokenizer: JSON.parse(Toy.tokenizerText),
}
const tensorModel = {
  name: Toy.tensorManifest.name,
  inputs: Toy.tensorManifest.inputs,
  outputs: Toy.tensorManifest.outputs,
}

/** A case's result, or the code and field of its refusal. */
function attempt<T extends object>(action: () => T): T | { mustFail: string; param?: string | null } {
  try {
    return action()
  } catch (error) {
    if (error instanceof BadRequest.BadRequestError) return { mustFail: error.code, param: error.param }
    return { mustFail: (error as { code: string }).code }
  }
}

const user = (content: unknown) => ({ role: 'user', content })

function prepareCases() {
  const base = { model: 'toy', messages: [user('hello there')] }
  const said = { ...base, temperature: 0.5, top_p: 0.9, max_tokens: 4, seed: 1 }
  const chats: readonly (readonly [string, unknown])[] = [
    ['everything by default', base],
    ['everything said', said],
    ['numbers keep their text', JSON.stringify(said).replace('0.5', '7.0e-1').replace('0.9', '1.00')],
    ['negative seed, stream with usage', { ...said, seed: -2, stream: true, stream_options: { include_usage: true } }],
    ['a drawn seed', { ...base, temperature: 1 }],
    [
      'roles, names, parts',
      {
        ...said,
        messages: [
          { role: 'developer', content: 'the', name: 'a' },
          { role: 'assistant', content: '' },
          user([
            { type: 'text', text: 'he' },
            { type: 'text', text: 'llo' },
          ]),
        ],
      },
    ],
    ['special tokens as text', { ...said, messages: [user('<|end|>')] }],
    ['stop texts that are not NFC', { ...said, stop: ['e\u0301', '\u20ac'] }],
    ['longest match over characters', { ...said, messages: [user('😀€Aéthere the\n\n\n')] }],
    [
      'another model name, a clamp, drops',
      { ...said, model: 'other', max_tokens: 1000, user: 'u', metadata: {}, store: false },
    ],
    [
      'neutral values',
      {
        ...said,
        n: 1,
        logprobs: false,
        tools: [],
        frequency_penalty: 0.0,
        response_format: { type: 'text' },
        tool_choice: null,
      },
    ],
    ['duplicate key', '{"model":"toy","model":"toy"}'],
    ['lone surrogate', '{"model":"toy","messages":[{"role":"user","content":"\\ud800"}]}'],
    ['depth 33', `{"model":${'['.repeat(32)}1${']'.repeat(32)}}`],
    ['byte order mark', `\ufeff${JSON.stringify(base)}`],
    ['no messages', { model: 'toy' }],
    ['unknown role', { ...said, messages: [{ role: 'tool', content: 'a' }] }],
    ['temperature 2.5', { ...said, temperature: 2.5 }],
    ['temperature of 21 characters', JSON.stringify(said).replace('0.5', '0.5000000000000000000')],
    ['top_p 0', { ...said, top_p: 0 }],
    ['max_tokens 1.0', JSON.stringify(said).replace('"max_tokens":4', '"max_tokens":1.0')],
    ['both limits', { ...said, max_completion_tokens: 4 }],
    ['seed 2^63', JSON.stringify(said).replace('"seed":1', '"seed":9223372036854775808')],
    ['five stop texts', { ...said, stop: ['a', 'b', 'c', 'd', 'e'] }],
    ['two choices', { ...said, n: 2 }],
    ['tools', { ...said, tools: [{ type: 'function' }] }],
    ['a known field that is not supported', { ...said, logit_bias: {} }],
    ['an unknown field', { ...said, extra: null }],
    ['stream options without stream', { ...said, stream_options: {} }],
    ['no room', { ...said, messages: [user('x'.repeat(92))] }],
  ]
  return chats.map(([name, request]) => {
    const body = typeof request === 'string' ? request : JSON.stringify(request)
    const result = attempt(() => {
      const { leaves, sampling, rewrites, ...rest } = Toy.prepare(body)
      return {
        ...rest,
        sampling: { ...sampling, seed: sampling.seed.toString() },
        rewrites: rewrites.map(({ code, path, detail }) => [code, path, detail]),
        leaf0: Bytes.toHex(leaves[0] as Uint8Array),
        leafCount: leaves.length,
      }
    })
    return { name, kind: 'chat', body, drawnSeed: '7', ...result }
  })
}

function inferCases() {
  const a = { name: 'a', shape: [1, 2], datatype: 'FP32', data: [0.1, -2] }
  const b = { name: 'b', shape: [2], datatype: 'INT64', data: [5, -6] }
  const requests: readonly (readonly [string, unknown])[] = [
    ['inputs in another order, an id', { id: 'x', inputs: [b, a] }],
    ['nested data, one output', { inputs: [{ ...a, data: [[0.1, -2]] }, b], outputs: [{ name: 'count' }] }],
    ['rounding', JSON.stringify({ inputs: [a, b] }).replace('[0.1,-2]', '[16777217,1e-46]')],
    ['float overflow', { inputs: [{ ...a, data: [1e39, 0] }, b] }],
    ['wrong shape', { inputs: [{ ...a, shape: [2, 1] }, b] }],
    ['parameters', { inputs: [a, b], parameters: {} }],
    ['a fraction as INT64', { inputs: [a, { ...b, data: [0.5, 1] }] }],
    ['a missing input', { inputs: [a] }],
  ]
  return requests.map(([name, request]) => {
    const body = typeof request === 'string' ? request : JSON.stringify(request)
    const result = attempt(() => {
      const prepared = Tensor.prepareInfer(Bytes.fromUtf8(body), Toy.tensorManifest)
      return { id: prepared.id, outputs: prepared.outputs, leaves: prepared.leaves.map(Bytes.toHex) }
    })
    return { name, kind: 'infer', body, ...result }
  })
}

function samplerCases() {
  const exps = [0, -1e-300, -0.1, -0.5, -1, -2.25, -37.5, -700.25, -708, -708.5].map((x) => ({
    name: `E(${x})`,
    kind: 'exp',
    x: doubleHex(x),
    result: doubleHex(Sampler.exp(x)),
  }))
  const draws = [
    [0n, 0],
    [1n, 0],
    [2n ** 64n - 1n, 4294967295],
  ].map(([seed, position]) => ({
    name: `u for seed ${seed}, position ${position}`,
    kind: 'draw',
    seed: String(seed),
    position: Number(position),
    result: doubleHex(Sampler.draw(Toy.crypto, seed as bigint, Number(position))),
  }))
  const rows: readonly (readonly [string, string, string, readonly number[]])[] = [
    ['greedy, tie', '0', '1', [1, 3, 3, -2]],
    ['greedy, minus zero', '0.0', '0.5', [-0, 0]],
    ['plain', '1', '1', [0.5, 1.5, -1, 2, 0, 0.25, -3, 1]],
    ['cold', '0.2', '1', [0.5, 1.5, -1, 2, 0, 0.25, -3, 1]],
    ['hot', '2', '1', [0.5, 1.5, -1, 2, 0, 0.25, -3, 1]],
    ['nucleus', '1', '0.6', [0.5, 1.5, -1, 2, 0, 0.25, -3, 1]],
    ['nucleus of equals', '1', '0.5', [1, 1, 1, 1]],
    ['nucleus of one', '1', '1e-9', [0.5, 1.5]],
    ['masked', '1.5', '0.99', [Number.NEGATIVE_INFINITY, 1, Number.NEGATIVE_INFINITY, 0]],
    ['tiny temperature', '1e-300', '1', [0.5, 1.5, 1.25]],
    ['NaN', '1', '1', [0.5, Number.NaN]],
    ['plus infinity', '0', '1', [0.5, Number.POSITIVE_INFINITY]],
    ['nothing finite', '1', '1', [Number.NEGATIVE_INFINITY]],
  ]
  const picks = rows.map(([name, temperature, topP, logits]) => {
    const seed = 12345678901234567890n
    const floats = Float32Array.from(logits)
    const result = attempt(() => {
      const pick = Sampler.create(Toy.crypto, { seed, temperature, topP })
      return { tokens: Array.from({ length: 12 }, (_, position) => pick(floats, position)) }
    })
    const text = Bytes.toHex(Tensor.fromFloats(floats))
    return { name, kind: 'pick', seed: seed.toString(), temperature, topP, logits: text, ...result }
  })
  return [...exps, ...draws, ...picks]
}

function renderCases() {
  const fields = { id: 'chatcmpl-00112233445566778899aabbccddeeff', created: 1_700_000_000 }
  const text = (value: string) => tokenizer.encode(value)
  const bytes = (...values: number[]) => values.map((value) => value + tokenizer.specialCount)
  const rows: readonly (readonly [string, Partial<Chat.Parameters>, readonly number[]])[] = [
    ['text and end', {}, [...text('hello "world"\n\u2028'), Toy.end]],
    ['end at once', {}, [Toy.end]],
    ['limit', { maxTokens: 2 }, text('hello world')],
    ['a character in three tokens', {}, [...bytes(0xe2, 0x82, 0xac), Toy.end]],
    ['a character that breaks off', { maxTokens: 2 }, bytes(0xf0, 0x9f)],
    ['bytes that are never UTF-8', {}, [...bytes(0xff, 0xc3, 0x41, 0xed, 0xa0, 0x80, 0xf4, 0x90), Toy.end]],
    ['a byte order mark', {}, [...bytes(0xef, 0xbb, 0xbf, 0x41), Toy.end]],
    ['a stop text over tokens', { stop: ['there w'] }, text('hello there w')],
    ['held back and given', { stop: ['STOPPED'] }, [...text('STOP'), ...text('!'), Toy.end]],
    ['the earliest of two stop texts', { stop: ['lo', 'hel'] }, text('hello')],
    ['a stop text of the replacement character', { stop: ['\ufffd'] }, bytes(0x41, 0xff)],
    ['special tokens stand for nothing', {}, [...text('a'), 0, 2, ...text('b'), Toy.end]],
    ['goes on after the end', {}, [Toy.end, ...text('a')]],
    ['goes on after a stop text', { stop: ['a'] }, text('aa')],
    ['more than the limit', { maxTokens: 1 }, text('ab')],
    ['ends too early', {}, text('ab')],
    ['unknown token', {}, [tokenizer.size]],
  ]
  return rows.flatMap(([name, params, output]) =>
    (['unary', 'stream', 'stream with usage'] as const).map((form) => {
      const prepared = {
        requestModel: 'toy "x"',
        includeUsage: form === 'stream with usage',
        params: { maxTokens: 50, stop: [], ...params },
        tokens: [0, 2, 4, 3],
      }
      const subject = { ...fields, prepared, manifest, tokenizer, output }
      const result = attempt(() => ({
        chunks:
          form === 'unary' ? [Bytes.toUtf8(Render.unaryBody(subject))] : Render.streamChunks(subject).map(Bytes.toUtf8),
      }))
      const { requestModel, params: used, tokens } = prepared
      const given = { ...fields, model: requestModel, ...used, promptTokens: tokens.length, output }
      return { name: `${name}, ${form}`, form, ...given, ...result }
    }),
  )
}

function doubleHex(value: number): string {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setFloat64(0, value)
  return Bytes.toHex(bytes)
}

/** What this script writes, by path from the project's root. */
export async function outputs(): Promise<Record<string, string>> {
  const write = (value: object) => `${JSON.stringify(value, null, 1)}\n`
  return {
    'vectors/prepare.json': write({
      description:
        'Request body (text, encoded as UTF-8) to effective request. mustFail: code of the 400, with its field.',
      spec: 'spec/execution.md section 2',
      model,
      tensorModel,
      cases: [...prepareCases(), ...inferCases()],
    }),
    'vectors/sampler.json': write({
      description:
        'exp and draw: doubles as 8 big-endian bytes in hex. pick: float32 logits as little-endian bytes in hex; tokens are those at positions 0, 1, 2 ... for the same logits.',
      spec: 'spec/execution.md section 4',
      cases: samplerCases(),
    }),
    'vectors/render.json': write({
      description:
        'Drawn tokens to the leaves of the response body, as text. The tokenizer and the end token are those of prepare.json.',
      spec: 'spec/execution.md section 5',
      cases: renderCases(),
    }),
  }
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(await outputs())) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
}
