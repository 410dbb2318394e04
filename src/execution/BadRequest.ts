/**
 * BadRequest.ts - a request that is refused before anything runs. Source: spec/execution.md section 2; spec/wire.md section 3.
 *
 * No refusal quotes the request: `param` is a JSON pointer built from known field names and list positions only.
 */
import { UsageError } from '../protocol/errors.ts'
import * as Json from './Json.ts'

const messages = {
  'invalid-json': 'The request body is not strict JSON.',
  'invalid-type': 'A field has the wrong type.',
  'invalid-value': 'A field has a value that is not allowed.',
  'missing-field': 'A required field is missing.',
  'unsupported-field': 'The request has a field that is not supported.',
  'unsupported-value': 'A field asks for something that is not supported.',
  'conflicting-fields': 'Two fields exclude each other.',
  'context-length-exceeded': "The prompt leaves no room in the model's context.",
  'too-large': 'A part of the request is larger than its limit.',
  'wrong-shape': 'A tensor does not have the shape that the model takes.',
} as const

/** Codes of `BadRequest.BadRequestError`. */
export type BadRequestCode = keyof typeof messages

/** A request is refused; `param` points at the field (null: the whole body). */
export class BadRequestError extends UsageError<BadRequestCode> {
  override readonly name = 'BadRequest.BadRequestError'
  readonly param: string | null
  constructor(code: BadRequestCode, param: string | null, facts: readonly string[] = []) {
    super(code, messages[code], { facts: param === null ? facts : [`Field: ${param}`, ...facts] })
    this.param = param
  }
}

/** The body of a 400 answer in OpenAI's shape; codes there have underscores. */
export type Envelope = {
  readonly error: {
    readonly message: string
    readonly type: 'invalid_request_error'
    readonly param: string | null
    readonly code: string
  }
}

/** Renders a refusal as the body of a 400 answer. */
export function toEnvelope(error: BadRequestError): Envelope {
  const message = [error.shortMessage, ...error.facts].join(' ')
  return {
    error: { message, type: 'invalid_request_error', param: error.param, code: error.code.replaceAll('-', '_') },
  }
}

/** Reads a body as one JSON object; throws `BadRequestError` `invalid-json` or `invalid-type`. */
export function parseObject(body: Uint8Array): Json.JsonObject {
  let value: Json.Value
  try {
    value = Json.parse(body)
  } catch (error) {
    if (!(error instanceof Json.JsonError)) throw error
    throw new BadRequestError('invalid-json', null, [`Reason: ${error.code}`, ...error.facts])
  }
  if (!Json.isObject(value)) throw new BadRequestError('invalid-type', null)
  return value
}

/** Refuses every key of an object outside `allowed`; `known` names may be told to the caller, others are not quoted. */
export function assertFields(
  object: Json.JsonObject,
  pointer: string,
  allowed: ReadonlySet<string>,
  known: ReadonlySet<string> = allowed,
): void {
  for (const key of object.keys()) {
    if (allowed.has(key)) continue
    throw new BadRequestError(
      'unsupported-field',
      known.has(key) ? `${pointer}/${key}` : pointer === '' ? null : pointer,
    )
  }
}
