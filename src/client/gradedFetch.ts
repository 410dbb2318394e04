/**
 * gradedFetch.ts - a drop-in `fetch` for existing OpenAI code: it gives an answer only if its receipt meets the policy.
 *
 * @example
 * const openai = new OpenAI({ baseURL, apiKey: 'local', fetch: createFetch(client, { waitSeconds: 30 }) })
 */
import * as Bytes from '../protocol/Bytes.ts'
import { PolicyError, UsageError } from '../protocol/errors.ts'
import type { Policy } from '../verify/Policy.ts'
import type { Client } from './Client.ts'
import type { Answer } from './Exchange.ts'

/** What a drop-in `fetch` may be told; everything that is left out has its strict value. */
export type Options = {
  /** Default: the client's own, which is strict unless it was made with another. */
  readonly policy?: Policy
  /** How long anchoring may take to rise before the answer is refused. Default 0. */
  readonly waitSeconds?: number
  /** Where reading (model lists, health) goes; default `globalThis.fetch`. */
  readonly fetch?: typeof globalThis.fetch
}

/** Endpoints whose answers carry a receipt. */
const graded = /^\/v1\/chat\/completions$|^\/v2\/models\/[^/]+\/infer$/

/** What may be read without a receipt, none of it text of a model: lists of models, health, receipts, the log, the node's description. */
const plainReads = [
  /^\/v1\/models(\/.+)?$/,
  /^\/v2(\/health\/(live|ready)|\/models\/[^/]+)?$/,
  /^\/v1\/receipts\/.+$/,
  /^\/log\/.+$/,
  /^\/\.well-known\/assay\.json$/,
]

/**
 * Makes the function; it throws `Graded.NotMetError` for anything below the policy, streams included: no text leaves before.
 *
 * Reading what is no answer of a model (lists, health, receipts, the log) passes through. Any other call is refused (`gradedFetch.NoReceiptError`), because its answer would
 * come without a receipt. A client of OpenAI's that retries repeats the whole call: set its `maxRetries` to 0.
 */
export function createFetch(client: Client, options: Options = {}): typeof globalThis.fetch {
  const plain = options.fetch ?? globalThis.fetch
  return async (input, init) => {
    const request = new Request(input, init)
    const { pathname, origin } = new URL(request.url)
    if (origin !== new URL(client.baseUrl).origin) throw new OtherServerError()
    if (!graded.test(pathname)) {
      const isReading = request.method === 'GET' || request.method === 'HEAD'
      if (!isReading || !plainReads.some((path) => path.test(pathname))) throw new NoReceiptError(pathname)
      return plain(new Request(request, { redirect: 'error' }))
    }
    if (request.method !== 'POST') throw new MethodError()
    const body = new Uint8Array(await request.arrayBuffer())
    const answer = await (await client.call(pathname, body, { signal: request.signal })).meets(
      options.policy ?? client.policy,
      { waitSeconds: options.waitSeconds ?? 0 },
    )
    return toResponse(answer)
  }
}

function toResponse(answer: Answer): Response {
  const headers = { 'content-type': answer.mediaType, 'assay-receipt-hash': answer.receiptHash }
  // A response of these has no body, and the platform refuses to make one.
  if (answer.status === 204 || answer.status === 205 || answer.status === 304)
    return new Response(null, { status: answer.status, headers })
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

/** The request is for another server than the client's gateway. */
export class OtherServerError extends UsageError<'other-server'> {
  override readonly name = 'gradedFetch.OtherServerError'
  constructor() {
    super('other-server', "The request is for another server than the client's gateway.")
  }
}

/** An answer from this endpoint would carry no receipt, so nothing was sent. */
export class NoReceiptError extends PolicyError<'endpoint-without-receipt'> {
  override readonly name = 'gradedFetch.NoReceiptError'
  constructor(pathname: string) {
    super('endpoint-without-receipt', 'Answers of this endpoint carry no receipt; nothing was sent.', {
      facts: [`Endpoint: ${pathname.slice(0, 80)}`],
    })
  }
}
