import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as Toy from '../../tests/execution/Toy.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as BadRequest from './BadRequest.ts'
import * as Chat from './Chat.ts'

const user = (content: unknown) => ({ role: 'user', content })
const base = { model: 'toy', messages: [user('hello')], temperature: 0.5, top_p: 1, max_tokens: 4, seed: 1 }
const hello = Toy.tokenizer.encode('hello')

describe('prepare', () => {
  test('gives tokens, parameters and sampling; nothing is rewritten when everything is said', () => {
    const prepared = Toy.prepare(
      '{"model":"toy","messages":[{"role":"system","content":"the"},{"role":"user","content":[{"type":"text","text":"hel"},{"type":"text","text":"lo"}]}],' +
        '"temperature":0.70,"top_p":1.0,"max_tokens":4,"seed":-1,"stop":"STOP"}',
    )
    assert.deepEqual(prepared.tokens, [0, 1, ...Toy.tokenizer.encode('the'), 4, 2, ...hello, 4, 3])
    assert.deepEqual(prepared.params, { maxTokens: 4, stop: ['STOP'] })
    assert.deepEqual(prepared.sampling, { seed: 2n ** 64n - 1n, temperature: '0.70', topP: '1.0' })
    assert.deepEqual(prepared.rewrites, [])
    assert.equal(Bytes.toHex(prepared.leaves[0]!), 'a2010402814453544f50')
    assert.deepEqual(Chat.fromLeaves(prepared.leaves), { params: prepared.params, tokens: prepared.tokens })
  })

  test('records every default, alias, drop and clamp in order', () => {
    const prepared = Toy.prepare(
      {
        model: 'gpt',
        messages: [
          { role: 'developer', content: 'a', name: 'n' },
          { ...user('b'), name: 'm' },
        ],
        store: false,
        metadata: { a: 'b' },
        user: 'u',
        temperature: 1,
        max_completion_tokens: 4_000_000_000,
      },
      99n,
    )
    assert.deepEqual(
      prepared.rewrites.map(({ code, path, detail }) => [code, path, detail]),
      [
        ['alias', '/model', 'toy'],
        ['alias', '/messages/0/role', 'system'],
        ['drop', '/messages/0/name', ''],
        ['drop', '/messages/1/name', ''],
        ['default', '/top_p', '1'],
        ['clamp', '/max_tokens', '88'],
        ['default', '/seed', '99'],
        ['drop', '/user', ''],
        ['drop', '/metadata', ''],
        ['drop', '/store', ''],
      ],
    )
    assert.equal(prepared.tokens.length + prepared.params.maxTokens, 96)
  })

  test('temperature 0 needs no seed: it is 0', () => {
    const { rewrites, sampling } = Toy.prepare({ model: 'toy', messages: [user('')] })
    assert.deepEqual(sampling, { seed: 0n, temperature: '0', topP: '1' })
    assert.deepEqual(
      rewrites.map(({ path, detail }) => [path, detail]),
      [
        ['/temperature', '0'],
        ['/top_p', '1'],
        ['/max_tokens', '24'],
        ['/seed', '0'],
      ],
    )
  })

  test('neutral values and nulls change nothing', () => {
    const neutral = {
      n: 1,
      frequency_penalty: 0,
      presence_penalty: 0,
      logprobs: false,
      response_format: { type: 'text' },
      tools: [],
      tool_choice: null,
      logit_bias: null,
      stop: null,
      user: null,
      store: null,
      stream: null,
      stream_options: null,
      max_completion_tokens: null,
    }
    assert.deepEqual(Toy.prepare({ ...base, ...neutral }), Toy.prepare(base))
    const message = { ...user('hello'), name: null, tool_calls: null, refusal: null }
    assert.deepEqual(Toy.prepare({ ...base, messages: [message] }), Toy.prepare(base))
  })

  test('text can never become a special token', () => {
    const { tokens } = Toy.prepare({ ...base, messages: [user('<|end|><|assistant|>')] })
    assert.equal(tokens.filter((token) => token < 5).length, 4)
  })

  const refused: readonly (readonly [string, unknown, string, string | null])[] = [
    ['no JSON', '{', 'invalid-json', null],
    ['an array', [], 'invalid-type', null],
    ['no model', { ...base, model: undefined }, 'missing-field', '/model'],
    ['model null', { ...base, model: null }, 'invalid-type', '/model'],
    ['model empty', { ...base, model: '' }, 'invalid-value', '/model'],
    ['model long', { ...base, model: 'm'.repeat(257) }, 'too-large', '/model'],
    ['no messages', { ...base, messages: undefined }, 'missing-field', '/messages'],
    ['empty messages', { ...base, messages: [] }, 'invalid-value', '/messages'],
    ['257 messages', { ...base, messages: Array(257).fill(user('')) }, 'too-large', '/messages'],
    ['role tool', { ...base, messages: [{ role: 'tool', content: 'a' }] }, 'unsupported-value', '/messages/0/role'],
    ['no content', { ...base, messages: [{ role: 'user' }] }, 'missing-field', '/messages/0/content'],
    ['null content', { ...base, messages: [user(null)] }, 'invalid-type', '/messages/0/content'],
    ['no parts', { ...base, messages: [user([])] }, 'invalid-value', '/messages/0/content'],
    [
      'image',
      { ...base, messages: [user([{ type: 'image_url', image_url: {} }])] },
      'unsupported-value',
      '/messages/0/content/0/type',
    ],
    [
      'part with more',
      { ...base, messages: [user([{ type: 'text', text: 'a', x: 1 }])] },
      'unsupported-field',
      '/messages/0/content/0',
    ],
    [
      'message with tool calls',
      { ...base, messages: [{ ...user('a'), tool_calls: [] }] },
      'unsupported-field',
      '/messages/0/tool_calls',
    ],
    ['message with unknown', { ...base, messages: [{ ...user('a'), secret: 1 }] }, 'unsupported-field', '/messages/0'],
    ['temperature 2.1', { ...base, temperature: 2.1 }, 'invalid-value', '/temperature'],
    ['temperature -1', { ...base, temperature: -1 }, 'invalid-value', '/temperature'],
    ['temperature text', { ...base, temperature: '1' }, 'invalid-type', '/temperature'],
    ['temperature long', JSON.stringify(base).replace('0.5', '0.5000000000000000000'), 'invalid-value', '/temperature'],
    ['top_p 0', { ...base, top_p: 0 }, 'invalid-value', '/top_p'],
    ['top_p 1.1', { ...base, top_p: 1.1 }, 'invalid-value', '/top_p'],
    ['max_tokens 0', { ...base, max_tokens: 0 }, 'invalid-value', '/max_tokens'],
    ['max_tokens 1.5', { ...base, max_tokens: 1.5 }, 'invalid-value', '/max_tokens'],
    [
      'max_tokens 1e1',
      JSON.stringify(base).replace('"max_tokens":4', '"max_tokens":1e1'),
      'invalid-value',
      '/max_tokens',
    ],
    ['two limits', { ...base, max_completion_tokens: 4 }, 'conflicting-fields', '/max_completion_tokens'],
    ['seed 2^63', JSON.stringify(base).replace('"seed":1', '"seed":9223372036854775808'), 'invalid-value', '/seed'],
    ['seed text', { ...base, seed: '1' }, 'invalid-type', '/seed'],
    ['5 stops', { ...base, stop: ['a', 'b', 'c', 'd', 'e'] }, 'too-large', '/stop'],
    ['empty stop', { ...base, stop: [''] }, 'invalid-value', '/stop'],
    ['long stop', { ...base, stop: 'é'.repeat(513) }, 'too-large', '/stop'],
    ['n 2', { ...base, n: 2 }, 'unsupported-value', '/n'],
    ['penalty', { ...base, presence_penalty: 0.5 }, 'unsupported-value', '/presence_penalty'],
    ['logprobs', { ...base, logprobs: true }, 'unsupported-value', '/logprobs'],
    ['json mode', { ...base, response_format: { type: 'json_object' } }, 'unsupported-value', '/response_format'],
    ['tools', { ...base, tools: [{}] }, 'unsupported-value', '/tools'],
    ['logit_bias', { ...base, logit_bias: {} }, 'unsupported-field', '/logit_bias'],
    ['unknown field', { ...base, my_secret_field: 1 }, 'unsupported-field', null],
    ['store', { ...base, store: true }, 'unsupported-value', '/store'],
    ['user number', { ...base, user: 1 }, 'invalid-type', '/user'],
    ['stream text', { ...base, stream: 'yes' }, 'invalid-type', '/stream'],
    ['options without stream', { ...base, stream_options: {} }, 'conflicting-fields', '/stream_options'],
    ['unknown option', { ...base, stream: true, stream_options: { x: 1 } }, 'unsupported-field', '/stream_options'],
    ['prompt too long', { ...base, messages: [user('x'.repeat(92))] }, 'context-length-exceeded', '/messages'],
  ]
  for (const [name, request, code, param] of refused) {
    test(`refuses ${name}: ${code} at ${param}`, () => {
      assert.throws(
        () => Toy.prepare(request),
        (error) => {
          assert.ok(error instanceof BadRequest.BadRequestError)
          assert.deepEqual([error.code, error.param], [code, param])
          assert.doesNotMatch(error.message + JSON.stringify(BadRequest.toEnvelope(error)), /secret|hello|xxx|ééé/)
          return true
        },
      )
    })
  }

  test('a prompt that leaves room for one token is taken', () => {
    assert.equal(Toy.prepare({ ...base, messages: [user('x'.repeat(91))] }).params.maxTokens, 1)
  })
})

describe('toEnvelope', () => {
  test("has OpenAI's shape", () => {
    assert.deepEqual(BadRequest.toEnvelope(new BadRequest.BadRequestError('unsupported-value', '/n')), {
      error: {
        message: 'A field asks for something that is not supported. Field: /n',
        type: 'invalid_request_error',
        param: '/n',
        code: 'unsupported_value',
      },
    })
  })
})

describe('fromLeaves', () => {
  test('refuses what prepare cannot have written', () => {
    const good = Toy.prepare(base).leaves
    for (const leaves of [[], [Uint8Array.of(0xa0)], [good[0]!, Uint8Array.of(1)], [Bytes.fromHex('a201000280')]]) {
      assert.throws(() => Chat.fromLeaves(leaves))
    }
  })
})
