/**
 * Recompute.fuzz.ts - an honest call computes again as claimed; one changed byte of the answer (outside id and created),
 * of the request, of a leaf or of a claim does not.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import * as Toy from '../../tests/execution/Toy.ts'
import * as Body from '../protocol/Body.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Manifest from '../protocol/Manifest.ts'
import type * as Chat from './Chat.ts'
import * as Generate from './Generate.ts'
import * as Profiles from './Profiles.ts'
import * as Recompute from './Recompute.ts'
import * as Render from './Render.ts'
import * as Tensor from './Tensor.ts'

const numRuns = Number(process.env.ASSAY_FUZZ_RUNS ?? 100)
const salt = new Uint8Array(16).fill(7)
const build = new Uint8Array(32).fill(9)
const fields = { id: 'chatcmpl-00112233445566778899aabbccddeeff', created: 1_700_000_000 }
const executor: Recompute.Executor = async (hash, profile, wanted) =>
  Bytes.equal(hash, Toy.manifestHash) && profile === Profiles.onnxWasm && Bytes.equal(wanted, build)
    ? { model: Toy.localModel, weightsRoot: Toy.weightsRoot, lm: Toy.createLm(2) }
    : undefined

type Call = Awaited<ReturnType<typeof makeCall>>

async function makeCall(request: object) {
  const body = Bytes.fromUtf8(JSON.stringify({ model: 'toy', ...request }))
  const prepared: Chat.Prepared = Toy.prepare(Bytes.toUtf8(body), 5n)
  const shared = { prepared, manifest: Toy.manifest, tokenizer: Toy.tokenizer }
  const { tokens } = await Generate.generate(Toy.crypto, { ...shared, lm: Toy.createLm(2) })
  const subject = { ...fields, ...shared, output: tokens }
  const responseChunks = prepared.stream ? Render.streamChunks(subject) : [Render.unaryBody(subject)]
  const outputLeaves = Body.tokenLeaves(tokens)
  const mediaType = prepared.stream ? 'text/event-stream' : 'application/json'
  return {
    request: { method: 'POST', target: '/v1/chat/completions', body },
    effectiveLeaves: prepared.leaves,
    outputLeaves,
    responseChunks,
    claims: {
      model: Toy.manifestHash,
      weights: Toy.weightsRoot,
      engine: { build, profile: Profiles.onnxWasm as string, sampling: prepared.sampling },
      effectiveRequest: {
        kind: 1,
        root: Body.root(Toy.crypto, salt, prepared.leaves),
        count: prepared.leaves.length,
        rewrites: prepared.rewrites,
      },
      output: { kind: 1, root: Body.root(Toy.crypto, salt, outputLeaves), count: tokens.length },
      response: { status: 200, mediaType },
    },
    salt,
    model: Toy.localModel,
    executor,
  }
}

const requests = fc.record(
  {
    messages: fc.array(
      fc.record({ role: fc.constantFrom('user', 'assistant', 'developer'), content: fc.string({ maxLength: 8 }) }),
      { minLength: 1, maxLength: 3 },
    ),
    stream: fc.boolean(),
    temperature: fc.constantFrom(0, 0.7, 1),
    top_p: fc.constantFrom(0.5, 1),
    seed: fc.integer(),
    max_tokens: fc.integer({ min: 1, max: 30 }),
    stop: fc.constantFrom('e', ['th', 'STOP']),
    user: fc.constant('u'),
  },
  { requiredKeys: ['messages'] },
)

const differs = (relation: Recompute.Relation, difference?: Recompute.Difference) => (error: unknown) => {
  assert.ok(error instanceof Recompute.MismatchError, String(error))
  assert.equal(error.relation, relation)
  if (difference !== undefined) assert.equal(error.difference, difference)
  return true
}

async function assertAll(call: Call): Promise<void> {
  Recompute.recomputePrepared(Toy.crypto, call)
  assert.equal((await Recompute.recomputeExecuted(Toy.crypto, call)).isExact, true)
  Recompute.recomputeRendered(Toy.crypto, call)
}

describe('an honest call', () => {
  test('computes again as claimed', async () => {
    await fc.assert(
      fc.asyncProperty(requests, async (request) => assertAll(await makeCall(request))),
      { numRuns },
    )
  })
})

describe('recomputeRendered', () => {
  test('sees every changed byte but id and created', async () => {
    await fc.assert(
      fc.asyncProperty(requests, fc.nat(), fc.integer({ min: 1, max: 255 }), async (request, place, change) => {
        const call = await makeCall(request)
        const chunks = call.responseChunks.map((chunk) => chunk.slice())
        const chunk = chunks[place % chunks.length]!
        chunk[Math.floor(place / chunks.length) % chunk.length]! ^= change
        // One chunk may carry another id or time in its right form; that is free only in an answer of one chunk.
        const isFree = chunks.length === 1 && isFreeField(chunks[0]!, call.responseChunks[0]!)
        const again = () => Recompute.recomputeRendered(Toy.crypto, { ...call, responseChunks: chunks })
        if (isFree) again()
        else assert.throws(again, differs('rendered'))
      }),
      { numRuns: numRuns * 3 },
    )
  })

  test('sees a chunk that is missing, added or moved, another status and another media type', async () => {
    const call = await makeCall({ messages: [{ role: 'user', content: 'a' }], stream: true, temperature: 1 })
    const { responseChunks: chunks } = call
    for (const changed of [[], chunks.slice(1), chunks.slice(0, -1), [...chunks, chunks[1]!], chunks.toReversed()]) {
      assert.throws(
        () => Recompute.recomputeRendered(Toy.crypto, { ...call, responseChunks: changed }),
        differs('rendered'),
      )
    }
    for (const response of [
      { status: 201, mediaType: 'text/event-stream' },
      { status: 200, mediaType: 'application/json' },
    ]) {
      const claims = { ...call.claims, response }
      assert.throws(() => Recompute.recomputeRendered(Toy.crypto, { ...call, claims }), differs('rendered'))
    }
  })

  test('sees an output that generation would not have ended with', async () => {
    const call = await makeCall({ messages: [{ role: 'user', content: 'a' }], temperature: 1, max_tokens: 5 })
    for (const outputLeaves of [call.outputLeaves.slice(1), [...call.outputLeaves, Bytes.u32(9)], [Uint8Array.of(1)]]) {
      assert.throws(
        () => Recompute.recomputeRendered(Toy.crypto, { ...call, outputLeaves }),
        differs('rendered', 'output'),
      )
    }
  })
})

/** Whether two answers differ only in id or created, both well-formed. */
function isFreeField(changed: Uint8Array, original: Uint8Array): boolean {
  try {
    const { id, created } = Render.extractFreeFields(changed)
    const text = Bytes.toUtf8(original)
      .replace(fields.id, id)
      .replace(`"created":${fields.created},`, `"created":${created},`)
    return text === Bytes.toUtf8(changed)
  } catch {
    return false
  }
}

describe('recomputePrepared', () => {
  test('sees changed claims, salts and requests', async () => {
    const call = await makeCall({ messages: [{ role: 'user', content: 'a' }], temperature: 1, user: 'u' })
    const { claims } = call
    const { effectiveRequest, engine } = claims
    const cases: readonly (readonly [Recompute.Difference, object])[] = [
      ['root', { salt: new Uint8Array(16) }],
      ['count', { claims: { ...claims, effectiveRequest: { ...effectiveRequest, count: 1 } } }],
      ['kind', { claims: { ...claims, effectiveRequest: { ...effectiveRequest, kind: 2 } } }],
      ['root', { claims: { ...claims, effectiveRequest: { ...effectiveRequest, root: salt } } }],
      ['rewrites', { claims: { ...claims, effectiveRequest: { ...effectiveRequest, rewrites: [] } } }],
      ['rewrites', { claims: { ...claims, engine: { ...engine, sampling: { ...engine.sampling, seed: 6n } } } }],
      ['sampling', { claims: { ...claims, engine: { ...engine, sampling: { ...engine.sampling, topP: '1.0' } } } }],
      ['manifest', { claims: { ...claims, model: build } }],
      ['tokenizer', { model: { ...call.model, tokenizer: Bytes.concat(Toy.tokenizerBytes, Uint8Array.of(32)) } }],
      ['tokenizer', { model: { ...call.model, tokenizer: undefined } }],
      ['target', { request: { ...call.request, target: '/v1/completions' } }],
      ['target', { request: { ...call.request, method: 'GET' } }],
      ['request', { request: { ...call.request, body: Bytes.fromUtf8('{}') } }],
    ]
    for (const [difference, change] of cases) {
      const changed = { ...call, ...change } as Call
      assert.throws(() => Recompute.recomputePrepared(Toy.crypto, changed), differs('prepared', difference))
    }
  })
})

describe('recomputeExecuted', () => {
  test('sees other weights, other leaves, another output, and says when it has no engine', async () => {
    const call = await makeCall({ messages: [{ role: 'user', content: 'a' }], temperature: 1 })
    const { claims } = call
    const cases: readonly (readonly [Recompute.Difference, object])[] = [
      ['weights', { claims: { ...claims, weights: build } }],
      ['effective-request', { effectiveLeaves: call.effectiveLeaves.slice(1) }],
      ['effective-request', { effectiveLeaves: call.effectiveLeaves.slice(0, 1) }],
      ['effective-request', { effectiveLeaves: [...call.effectiveLeaves, Bytes.u32(Toy.tokenizer.size)] }],
      ['sampling', { claims: { ...claims, engine: { ...claims.engine, sampling: undefined } } }],
      ...['0x1', 'abc', '-1', '1e999', ''].map(
        (temperature) =>
          [
            'sampling',
            {
              claims: { ...claims, engine: { ...claims.engine, sampling: { ...claims.engine.sampling, temperature } } },
            },
          ] as const,
      ),
      [
        'sampling',
        { claims: { ...claims, engine: { ...claims.engine, sampling: { ...claims.engine.sampling, topP: '0' } } } },
      ],
      ['kind', { claims: { ...claims, output: { ...claims.output, kind: 2 } } }],
      ['root', { salt: build.subarray(0, 16) }],
      ['root', { claims: { ...claims, output: { ...claims.output, root: build } } }],
    ]
    for (const [difference, change] of cases) {
      const changed = { ...call, ...change } as Call
      await assert.rejects(Recompute.recomputeExecuted(Toy.crypto, changed), differs('executed', difference))
    }
    for (const change of [{ build: salt }, { profile: 'onnx/1' }]) {
      const changed = { ...call, claims: { ...claims, engine: { ...claims.engine, ...change } } }
      await assert.rejects(Recompute.recomputeExecuted(Toy.crypto, changed), Recompute.EngineMissingError)
    }
  })

  test('tensors: exact by root, other profiles within tolerance when the output is at hand', async () => {
    const manifest = Toy.tensorManifest
    const manifestHash = Manifest.hash(Toy.crypto, Toy.tensorManifestBytes)
    const inputs = [
      { name: 'a', datatype: 'FP32' as const, shape: [1, 2], data: Tensor.fromFloats([1, 2]) },
      { name: 'b', datatype: 'INT64' as const, shape: [2], data: Tensor.fromIntegers([1n, 2n]) },
    ]
    const outputOf = (value: number) => [
      { name: 'sum', datatype: 'FP32' as const, shape: [1], data: Tensor.fromFloats([value]) },
      { name: 'count', datatype: 'INT64' as const, shape: [1], data: Tensor.fromIntegers([1n]) },
    ]
    const piecesFor = (claimed: number, profile: string, withOutput = true) => {
      const outputLeaves = Tensor.toLeaves(outputOf(claimed))
      return {
        effectiveLeaves: Tensor.toLeaves(inputs),
        ...(withOutput ? { outputLeaves } : {}),
        claims: {
          model: manifestHash,
          weights: manifest.weightsRoot,
          engine: { build, profile },
          output: { kind: 2, root: Body.root(Toy.crypto, salt, outputLeaves), count: 3 },
        },
        salt,
        executor: async () => ({
          model: { manifest, manifestBytes: Toy.tensorManifestBytes },
          weightsRoot: manifest.weightsRoot,
          infer: async () => outputOf(3),
        }),
      }
    }
    const run = (...args: Parameters<typeof piecesFor>) => Recompute.recomputeExecuted(Toy.crypto, piecesFor(...args))
    assert.deepEqual(await run(3, Profiles.onnxWasm), { isExact: true, count: 3 })
    await assert.rejects(run(3.0001, Profiles.onnxWasm), differs('executed', 'root'))
    const near = await run(3.0001, Profiles.onnx)
    assert.ok(!near.isExact && near.maxDifference! > 0 && near.maxDifference! < 2e-4)
    await assert.rejects(run(3.01, Profiles.onnx), differs('executed', 'output'))
    assert.deepEqual(await run(3, Profiles.onnx, false), { isExact: false, count: 3 })
    await assert.rejects(run(3.0001, Profiles.onnx, false), differs('executed', 'root'))
  })
})
