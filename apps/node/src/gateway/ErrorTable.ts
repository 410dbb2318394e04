/** ErrorTable.ts - the one place where an error becomes an HTTP answer in OpenAI's shape. Source: spec/wire.md section 3. */
import { BadRequest } from 'assay/execution'
import { errors } from 'assay/protocol'

/** The body of every refusal. */
export type Envelope = {
  readonly error: {
    readonly message: string
    readonly type: string
    readonly param: string | null
    readonly code: string | null
  }
}

/** An answer that is a refusal. */
export type Refusal = {
  readonly status: number
  readonly body: Envelope
  readonly headers: Readonly<Record<string, string>>
}

/** Statuses of our own errors that are not what their family says. */
const statusOf: Readonly<Record<string, number>> = {
  'order-used': 409,
  'not-anchored': 404,
}

/** Fastify's errors by their codes; everything else of it below 500 is a plain 400. */
const fastifyStatuses: Readonly<Record<string, readonly [status: number, code: string, message: string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: [413, 'body_too_large', 'The request body is larger than its limit of 1 MiB.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [415, 'unsupported_media_type', 'The request body must be application/json.'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [400, 'invalid_content_length', 'The body is not as long as announced.'],
  FST_ERR_CTP_EMPTY_JSON_BODY: [400, 'invalid_json', 'The request body is empty.'],
}

const maxRetryAfterSeconds = 3_600

/** Turns anything thrown into a refusal; nothing that is not written by us reaches the caller. */
export function toRefusal(error: unknown): Refusal {
  if (error instanceof RefusedError) return refuse(error)
  if (error instanceof BadRequest.BadRequestError) {
    return { status: 400, body: BadRequest.toEnvelope(error), headers: {} }
  }
  if (errors.BaseError.isInstance(error)) return ofFamily(error)
  const code = (error as { code?: unknown } | null)?.code
  const known = typeof code === 'string' ? fastifyStatuses[code] : undefined
  if (known !== undefined) return envelope(known[0], known[1], known[2])
  const status = (error as { statusCode?: unknown } | null)?.statusCode
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return envelope(status, 'bad_request', 'The request cannot be read.')
  }
  return internal()
}

/** The answer when a model's run failed; which failure it was stands as a code in slot 15 of the receipt. */
export function modelFailed(): Refusal {
  return envelope(500, 'model_failed', "The model's run ended with an error; the receipt of this call says which.")
}

/** The answer to bytes that are no HTTP request, by Node.js's error code. */
export function ofClientError(code: string | undefined): Refusal {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return envelope(408, 'request_timeout', 'The request took too long to arrive.')
  if (code === 'HPE_HEADER_OVERFLOW') return envelope(431, 'headers_too_large', 'The request headers exceed 16 kB.')
  return envelope(400, 'malformed_http', 'This is no HTTP/1.1 request.')
}

/** The answer to what is our own fault. */
function internal(): Refusal {
  return envelope(500, 'internal_error', 'The node could not complete the call.')
}

function ofFamily(error: errors.BaseError): Refusal {
  const code = error.code.replaceAll('-', '_')
  const message = [error.shortMessage, ...error.facts].join(' ')
  const retryAfter = errors.UnavailableError.isInstance(error) ? (error.retryAfterSeconds ?? 1) : undefined
  const headers: Record<string, string> =
    retryAfter === undefined ? {} : { 'retry-after': String(Math.min(maxRetryAfterSeconds, Math.max(1, retryAfter))) }
  const status = statusOf[error.code]
  if (status !== undefined) return { ...envelope(status, code, message), headers }
  // An engine's or a store's failure is ours, whatever family it has: the caller's mistakes are refused by name above.
  if (retryAfter === undefined) return internal()
  return { ...envelope(503, code, message), headers }
}

function refuse(error: RefusedError): Refusal {
  return {
    ...envelope(error.status, error.code.replaceAll('-', '_'), error.shortMessage, error.param),
    headers: error.headers,
  }
}

function envelope(status: number, code: string, message: string, param: string | null = null): Refusal {
  return { status, body: { error: { message, type: typeOf(status), param, code } }, headers: {} }
}

function typeOf(status: number): string {
  if (status === 401) return 'authentication_error'
  if (status === 403) return 'permission_error'
  if (status === 404) return 'not_found_error'
  if (status === 503) return 'overloaded_error'
  return status >= 500 ? 'server_error' : 'invalid_request_error'
}

export type RefusedCode =
  | 'forbidden-host'
  | 'forbidden-origin'
  | 'unknown-route'
  | 'method-not-allowed'
  | 'unsupported-media-type'
  | 'unsupported-content-encoding'
  | 'query-not-allowed'
  | 'target-not-plain'
  | 'model-not-found'
  | 'model-kind'
  | 'overloaded'
  | 'not-ready'
  | 'header-malformed'
  | 'header-conflict'
  | 'order-malformed'
  | 'order-terms-missing'
  | 'order-terms-mismatch'
  | 'order-terms-exceeded'
  | 'order-salt-missing'
  | 'order-request-mismatch'
  | 'order-node-mismatch'
  | 'order-client-mismatch'
  | 'order-signature'
  | 'order-expired'
  | 'order-modes'
  | 'order-model-mismatch'
  | 'receipt-not-found'
  | 'receipt-pending'
  | 'leaves-not-found'
  | 'opening-gone'
  | 'read-token'
  | 'log-not-found'
  | 'file-not-found'
  | 'invalid-parameter'

/** The gateway does not serve this request; nothing ran. */
export class RefusedError extends errors.UsageError<RefusedCode> {
  override readonly name = 'ErrorTable.RefusedError'
  readonly status: number
  readonly param: string | null
  readonly headers: Readonly<Record<string, string>>
  constructor(
    status: number,
    code: RefusedCode,
    message: string,
    options: { readonly param?: string; readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(code, message)
    this.status = status
    this.param = options.param ?? null
    this.headers = options.headers ?? {}
  }
}
