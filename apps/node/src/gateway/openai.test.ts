/** openai.test.ts - the stock client, unchanged, against a listening gateway: what people already have must work. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import * as Scene from './scene.t.ts'

async function clientOf(context: Parameters<typeof Scene.createScene>[0]) {
  const scene = await Scene.createScene(context)
  const url = await scene.gateway.listen({ host: '127.0.0.1', port: 0 })
  return { scene, client: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'local', maxRetries: 0 }) }
}

const request = {
  model: 'toy',
  messages: [{ role: 'user', content: 'hello there' }],
  ...{ temperature: 0, max_completion_tokens: 8, seed: 7, stop: ['never'] },
} satisfies OpenAI.ChatCompletionCreateParamsNonStreaming

test('chat in one piece, with the receipt in the headers', async (context) => {
  const { client } = await clientOf(context)
  const { data, response, request_id } = await client.chat.completions.create(request).withResponse()
  assert.equal(data.choices[0]?.message.role, 'assistant')
  assert.equal(data.choices[0]?.finish_reason, 'length')
  assert.equal(data.usage?.completion_tokens, 8)
  assert.match(request_id ?? '', /^req_/)
  const headers = Object.fromEntries(response.headers)
  await Scene.open(Scene.receiptOf(headers))
})

test('a stream gives the same text, and its receipt disturbs nobody', async (context) => {
  const { client } = await clientOf(context)
  const whole = (await client.chat.completions.create(request)).choices[0]?.message.content
  for (const headers of [{}, { 'assay-stream': 'event' }]) {
    const stream = await client.chat.completions.create(
      { ...request, stream: true, stream_options: { include_usage: true } },
      { headers },
    )
    let text = ''
    let tokens: number | undefined
    for await (const chunk of stream) {
      // With a named event asked for, that event comes through as it is.
      if (!('choices' in chunk)) continue
      text += chunk.choices[0]?.delta.content ?? ''
      tokens = chunk.usage?.completion_tokens ?? tokens
    }
    assert.deepEqual([text, tokens], [whole, 8])
  }
})

test('models, and errors of the classes that its users catch', async (context) => {
  const { client, scene } = await clientOf(context)
  const ids: string[] = []
  for await (const model of client.models.list()) ids.push(model.id)
  assert.deepEqual(ids, ['toy', 'toy-native', 'adder'])
  assert.equal((await client.models.retrieve('toy')).owned_by, 'assay')
  await assert.rejects(client.models.retrieve('gpt-9'), OpenAI.NotFoundError)
  await assert.rejects(client.chat.completions.create({ ...request, n: 2 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError)
    assert.deepEqual([error.code, error.param, error.type], ['unsupported_value', '/n', 'invalid_request_error'])
    return true
  })
  scene.mischief.failAt = 2
  await assert.rejects(client.chat.completions.create(request), OpenAI.InternalServerError)
  const stream = await client.chat.completions.create({ ...request, stream: true })
  await assert.rejects(async () => {
    for await (const _ of stream);
  }, OpenAI.APIError)
})

test('leaving a stream early is no trouble', async (context) => {
  const { client } = await clientOf(context)
  const stream = await client.chat.completions.create({ ...request, stream: true, max_completion_tokens: 60 })
  for await (const _ of stream) break
  assert.equal((await client.chat.completions.create(request)).choices.length, 1)
})
