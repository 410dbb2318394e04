/**
 * Render.fuzz.ts - whatever tokens come (parts of characters, invalid bytes, stop texts across tokens), the pieces joined
 * are the text that a plain second reading gives, no piece takes back or gives away too early, and stream equals unary.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import * as Toy from '../../tests/execution/Toy.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Generate from './Generate.ts'
import * as Render from './Render.ts'

const numRuns = Number(process.env.ASSAY_FUZZ_RUNS ?? 300)

const tokens = fc.array(
  fc.oneof(
    fc.integer({ min: 5, max: Toy.tokenizer.size - 1 }),
    fc.integer({ min: 261, max: Toy.tokenizer.size - 1 }),
    fc.constantFrom(0, 2, ...Toy.tokenizer.encode('STOPTthe e\u20ac')),
  ),
  { maxLength: 30 },
)
const stops = fc.array(
  fc.constantFrom('STOP', 'TOP', 'T', 'the', ' the', 'ee', '€', '😀A', '\ufffd', 'there hello', 'aab', 'ab'),
  {
    maxLength: 4,
  },
)
const fields = { id: 'chatcmpl-00112233445566778899aabbccddeeff', created: 1_700_000_000 }

function subjectOf(stop: readonly string[], maxTokens: number, extra: object = {}) {
  const prepared = Toy.prepare({ model: 'toy', messages: [{ role: 'user', content: '' }], stop, ...extra })
  return {
    prepared: { ...prepared, params: { stop, maxTokens } },
    manifest: Toy.manifest,
    tokenizer: Toy.tokenizer,
  }
}

/** The whole text read at once after every token: the plain meaning of the specification. */
function plainReading(list: readonly number[], stop: readonly string[]) {
  const decode = (bytes: Uint8Array, stream: boolean) =>
    new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes, { stream })
  const cut = (text: string) =>
    Math.min(...stop.map((item) => (text.includes(item) ? text.indexOf(item) : text.length)), text.length)
  for (let count = 1; count <= list.length; count++) {
    const drawn = list.slice(0, count)
    const isEnd = drawn.at(-1) === Toy.end
    const bytes = Bytes.concat(...drawn.map(Toy.tokenizer.bytesOf))
    const certain = decode(bytes, true)
    if (isEnd || cut(certain) < certain.length) {
      const text = decode(bytes, false)
      return { count, text: text.slice(0, cut(text)), reason: 'stop' as const }
    }
  }
  const text = decode(Bytes.concat(...list.map(Toy.tokenizer.bytesOf)), false)
  return {
    count: list.length,
    text: text.slice(0, cut(text)),
    reason: cut(text) < text.length ? ('stop' as const) : ('length' as const),
  }
}

describe('pieces', () => {
  test('joined are the plain reading, for any tokens and stop texts', () => {
    fc.assert(
      fc.property(tokens, stops, fc.boolean(), (drawn, stop, withEnd) => {
        const list = withEnd ? [...drawn, Toy.end] : drawn
        const expected = plainReading(list, stop)
        const output = list.slice(0, expected.count)
        const subject = subjectOf(stop, Math.max(1, output.length))
        if (output.length === 0) return
        const { pieces, reason } = Render.pieces(subject, output)
        assert.equal(pieces.join(''), expected.text)
        assert.equal(reason, expected.reason)
        assert.ok(pieces.every((piece) => piece !== '' && piece.isWellFormed()))
        if (expected.count < list.length) {
          const renderer = Render.createRenderer(subjectOf(stop, 100))
          for (const token of output) renderer.push(token)
          assert.ok(renderer.isStopped())
          assert.throws(() => renderer.push(list[expected.count]!), Render.OutputError)
        }
      }),
      { numRuns: numRuns * 5 },
    )
  })

  test('hold back exactly what may still become a stop text or a character', () => {
    fc.assert(
      fc.property(tokens, stops, (list, stop) => {
        const renderer = Render.createRenderer(subjectOf(stop, 100))
        let given = ''
        for (const [index, token] of list.entries()) {
          given += renderer.push(token) ?? ''
          if (renderer.isStopped()) return
          const bytes = Bytes.concat(...list.slice(0, index + 1).map(Toy.tokenizer.bytesOf))
          const certain = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes, { stream: true })
          const rest = certain.slice(given.length)
          assert.ok(certain.startsWith(given))
          assert.ok(rest === '' || stop.some((item) => item.startsWith(rest) && item !== rest))
          for (let start = given.length - 1; start >= 0; start--) {
            assert.ok(!stop.some((item) => item.startsWith(certain.slice(start)) && item !== certain.slice(start)))
          }
        }
      }),
      { numRuns: numRuns * 5 },
    )
  })

  test('refuse an output that ends too early, too late, or goes on after the end', () => {
    const [a, b] = Toy.tokenizer.encode('xy') as [number, number]
    const codeOf = (output: number[]) => {
      try {
        Render.pieces(subjectOf(['y'], 3), output)
        return 'accepted'
      } catch (error) {
        return (error as Render.OutputError).code
      }
    }
    assert.equal(codeOf([a, a, a]), 'accepted')
    assert.equal(codeOf([a, Toy.end]), 'accepted')
    assert.equal(codeOf([a, b]), 'accepted')
    assert.equal(codeOf([a, a]), 'too-few-tokens')
    assert.equal(codeOf([a, a, a, a]), 'too-many-tokens')
    assert.equal(codeOf([a, Toy.end, a]), 'token-after-end')
    assert.equal(codeOf([b, a]), 'token-after-end')
    assert.equal(codeOf([Toy.tokenizer.size]), 'unknown-token')
  })
})

describe('streamChunks', () => {
  test('joined have the content, the reason and the usage of the unary body', () => {
    fc.assert(
      fc.property(tokens, stops, fc.boolean(), (list, stop, includeUsage) => {
        const { count } = plainReading([...list, Toy.end], stop)
        const output = [...list, Toy.end].slice(0, count)
        const subject = {
          ...fields,
          ...subjectOf(stop, count, { stream: true, stream_options: { include_usage: includeUsage } }),
          output,
        }
        const unary = JSON.parse(Bytes.toUtf8(Render.unaryBody(subject)))
        const leaves = Render.streamChunks(subject)
        const chunks = leaves.map((leaf) => {
          assert.equal(leaf[0], 0x0a)
          assert.deepEqual(Render.extractFreeFields(leaf), fields)
          return JSON.parse(Bytes.toUtf8(leaf.subarray(1)))
        })
        const usage = includeUsage ? chunks.pop().usage : unary.usage
        assert.deepEqual(usage, unary.usage)
        const choices = chunks.map((chunk) => chunk.choices[0])
        assert.equal(choices.map((choice) => choice.delta.content ?? '').join(''), unary.choices[0].message.content)
        assert.deepEqual(
          choices.map((choice) => choice.finish_reason),
          [...Array(choices.length - 1).fill(null), unary.choices[0].finish_reason],
        )
        assert.deepEqual(Render.extractFreeFields(Render.unaryBody(subject)), fields)
      }),
      { numRuns },
    )
  })

  test('bytes are as the specification shows them', () => {
    const output = [...Toy.tokenizer.encode('hello "x"'), Toy.end]
    const subject = { ...fields, ...subjectOf([], 50), output }
    const head = '{"id":"chatcmpl-00112233445566778899aabbccddeeff","object":"chat.completion'
    assert.equal(
      Bytes.toUtf8(Render.unaryBody(subject)),
      `${head}","created":1700000000,"model":"toy","choices":[{"index":0,"message":{"role":"assistant","content":"hello \\"x\\""},"finish_reason":"stop"}],"usage":{"prompt_tokens":4,"completion_tokens":${output.length},"total_tokens":${output.length + 4}}}`,
    )
    const chunks = Render.streamChunks({ ...subject, prepared: { ...subject.prepared, includeUsage: true } })
    const rest = '.chunk","created":1700000000,"model":"toy","choices":'
    assert.equal(
      Bytes.toUtf8(chunks[0]!),
      `\n${head}${rest}[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}`,
    )
    assert.equal(
      Bytes.toUtf8(chunks.at(-2)!),
      `\n${head}${rest}[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}`,
    )
    assert.equal(
      Bytes.toUtf8(chunks.at(-1)!),
      `\n${head}${rest}[],"usage":{"prompt_tokens":4,"completion_tokens":${output.length},"total_tokens":${output.length + 4}}}`,
    )
  })

  test('id and created have one form', () => {
    const subject = { ...subjectOf([], 1), output: [Toy.end] }
    for (const bad of [
      { ...fields, id: 'chatcmpl-1' },
      { ...fields, created: -1 },
      { ...fields, created: 1e12 },
      { ...fields, created: 0.5 },
    ]) {
      assert.throws(() => Render.unaryBody({ ...subject, ...bad }), Render.FreeFieldError)
    }
    assert.throws(() => Render.extractFreeFields(Bytes.fromUtf8('{"id":1}')), Render.FreeFieldError)
  })
})

describe('generate', () => {
  test('ends as the renderer accepts, and the pieces it gives are those of the answer', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ maxLength: 8 }),
        stops,
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 0, max: 12 }),
        async (text, stop, limit, bonus) => {
          const prepared = Toy.prepare({
            model: 'toy',
            messages: [{ role: 'user', content: text }],
            stop,
            max_tokens: limit,
            temperature: 1,
            seed: 5,
          })
          const lm = Toy.createLm(bonus)
          const given: string[] = []
          const seen: number[] = []
          const result = await Generate.generate(Toy.crypto, {
            lm,
            prepared,
            manifest: Toy.manifest,
            tokenizer: Toy.tokenizer,
            onPiece: (piece) => void given.push(piece),
            onToken: (token) => void seen.push(token),
          })
          const { pieces, reason } = Render.pieces(
            { prepared, manifest: Toy.manifest, tokenizer: Toy.tokenizer },
            result.tokens,
          )
          assert.deepEqual(given, pieces)
          assert.deepEqual(seen, result.tokens)
          assert.equal(result.finish, reason)
          assert.equal(lm.open(), 0)
        },
      ),
      { numRuns: Math.ceil(numRuns / 3) },
    )
  })

  test('stops between tokens when the signal aborts, and frees the run when the model throws', async () => {
    const prepared = Toy.prepare({ model: 'toy', messages: [{ role: 'user', content: 'a' }], temperature: 1, seed: 1 })
    const input = { prepared, manifest: Toy.manifest, tokenizer: Toy.tokenizer }
    const lm = Toy.createLm(-100)
    const controller = new AbortController()
    const cancelled = await Generate.generate(Toy.crypto, {
      ...input,
      lm,
      signal: controller.signal,
      onToken: (_, __) => void (lm.open() === 1 && controller.abort()),
    })
    assert.deepEqual([cancelled.finish, cancelled.tokens.length, lm.open()], ['cancelled', 1, 0])
    const broken = Toy.createLm()
    await assert.rejects(
      Generate.generate(Toy.crypto, {
        ...input,
        lm: {
          async start() {
            const run = await broken.start()
            return { ...run, forward: async () => Float32Array.of(Number.NaN) }
          },
        },
      }),
    )
    assert.equal(broken.open(), 0)
  })
})
