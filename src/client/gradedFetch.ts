/**
 * gradedFetch.ts - a drop-in `fetch` for existing OpenAI code: it gives an answer only if its receipt meets the policy.
 *
 * @example
 * const openai = new OpenAI({ baseURL, apiKey: 'local', fetch: createFetch(client, { waitSeconds: 30 }) })
 */
import * as Bytes from '../protocol/Bytes.ts'
import { UsageError } from '../protocol/errors.ts'
import type { Policy } from '../verify/Policy.ts'
import { type Client, defaultPolicy } from './Client.ts'
import type { Answer } from './Exchange.ts'

export type Options = {
  /** Default: strict. */
  readonly policy?: Policy
  /** How long anchoring may take to rise before the answer is refused. Default 0. */
  readonly waitSeconds?: number
  /** Where calls that carry no receipt (model lists, health) go; default `globalThis.fetch`. */
  readonly fetch?: typeof globalThis.fetch
}

/** Endpoints whose answers carry a receipt. */
const graded = /^\/v1\/chat\/completions$|^\/v2\/models\/[^/]+\/infer$/

/** Makes the function; it throws `Graded.NotMetError` for anything below the policy, streams included: no text leaves before. */
export function createFetch(client: Client, options: Options = {}): typeof globalThis.fetch {
  const plain = options.fetch ?? globalThis.fetch
  return async (input, init) => {
    const request = new Request(input, init)
    const { pathname } = new URL(request.url)
    if (!graded.test(pathname)) return plain(request)
    if (request.method !== 'POST') throw new MethodError()
    const body = new Uint8Array(await request.arrayBuffer())
    const answer = await (await client.call(pathname, body, { signal: request.signal })).meets(
      options.policy ?? defaultPolicy,
      { waitSeconds: options.waitSeconds ?? 0 },
    )
    return toResponse(answer)
  }
}

function toResponse(answer: Answer): Response {
  const headers = { 'content-type': answer.mediaType, 'assay-receipt-hash': answer.receiptHash }
  if (answer.mediaType !== 'text/event-stream')
    return new Response(answer.chunks[0] as Uint8Array<ArrayBuffer>, { status: answer.status, headers })
  const lines = answer.chunks.map((chunk) => {
    const newline = chunk.indexOf(0x0a)
    const event = Bytes.toUtf8(chunk.subarray(0, newline))
    const data = Bytes.toUtf8(chunk.subarray(newline + 1))
      .split('\n')
      .map((line) => `data: ${line}\n`)
      .join('')
    return `${event === '' ? '' : `event: ${event}\n`}${data}\n`
  })
  return new Response(`${lines.join('')}data: [DONE]\n\n`, { status: answer.status, headers })
}

/** A receipt stands for a POST; another method on such an endpoint is a mistake. */
export class MethodError extends UsageError<'method-not-post'> {
  override readonly name = 'gradedFetch.MethodError'
  constructor() {
    super('method-not-post', 'This endpoint takes POST only.')
  }
}
