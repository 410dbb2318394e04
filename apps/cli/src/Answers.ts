/** Answers.ts - reads and writes the bodies that commands send: chat and tensors, every parameter named so that no rewrite is needed. */
import type { Exchange } from 'assay/client'
import { Bytes, errors } from 'assay/protocol'

export type ChatQuestion = {
  readonly model: string
  readonly prompt: string
  readonly system?: string | undefined
  readonly maxTokens: number
  /** Decimal text, as typed. */
  readonly temperature: string
  readonly topP: string
  readonly seed: bigint
}

/** The exact bytes of a streaming chat request; every sampling parameter is explicit. */
export function chatBody(question: ChatQuestion): Uint8Array {
  const { model, prompt, system, maxTokens, temperature, topP, seed } = question
  const messages = [
    ...(system === undefined ? [] : [{ role: 'system', content: system }]),
    { role: 'user', content: prompt },
  ]
  // Numbers are written as typed: a double would round a large seed.
  const fields = [
    `"model":${JSON.stringify(model)}`,
    `"messages":${JSON.stringify(messages)}`,
    `"max_tokens":${maxTokens}`,
    `"temperature":${temperature}`,
    `"top_p":${topP}`,
    `"seed":${seed}`,
    '"stream":true',
  ]
  return Bytes.fromUtf8(`{${fields.join(',')}}`)
}

/** The text in one stream event's data; empty for events without text. */
export function pieceOf(data: string): string {
  try {
    const chunk = JSON.parse(data) as { choices?: { delta?: { content?: unknown } }[] }
    const content = chunk.choices?.[0]?.delta?.content
    return typeof content === 'string' ? content : ''
  } catch {
    return ''
  }
}

/** The text of an answer, streamed or not. */
export function textOf(answer: Exchange.Answer): string {
  if (answer.mediaType === 'text/event-stream')
    return answer.chunks.map((chunk) => pieceOf(Bytes.toUtf8(chunk.subarray(chunk.indexOf(0x0a) + 1)))).join('')
  const body = JSON.parse(Bytes.toUtf8(answer.chunks[0] ?? new Uint8Array())) as {
    choices?: { message?: { content?: unknown } }[]
  }
  const content = body.choices?.[0]?.message?.content
  if (typeof content !== 'string') throw new AnswerShapeError()
  return content
}

/** The outputs of a tensor answer as JSON. */
export function tensorsOf(answer: Exchange.Answer): readonly TensorOutput[] {
  const body = JSON.parse(Bytes.toUtf8(answer.chunks[0] ?? new Uint8Array())) as { outputs?: TensorOutput[] }
  if (!Array.isArray(body.outputs)) throw new AnswerShapeError()
  return body.outputs
}

export type TensorOutput = {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly data: readonly number[]
}

/** Position of the highest number. */
export function highest(numbers: readonly number[]): number {
  return numbers.reduce((best, value, i) => (value > (numbers[best] ?? Number.NEGATIVE_INFINITY) ? i : best), 0)
}

/** The tensor request for one image of `digits`. */
export function digitsBody(image: readonly number[]): Uint8Array {
  return Bytes.fromUtf8(
    JSON.stringify({ inputs: [{ name: 'image', datatype: 'FP32', shape: [1, image.length], data: image }] }),
  )
}

/** Path of a tensor model's endpoint. */
export function inferTarget(model: string): string {
  return `/v2/models/${encodeURIComponent(model)}/infer`
}

/** The answer's body is not of the endpoint's shape. */
export class AnswerShapeError extends errors.VerificationError<'answer-shape'> {
  override readonly name = 'Answers.AnswerShapeError'
  constructor() {
    super('answer-shape', 'The answer does not have the shape of its endpoint.')
  }
}
