/**
 * Chat.ts - a chat request to exactly what the engine is given: `prepare`, the same code for node and reader. Source: spec/execution.md section 2.2.
 *
 * Every field is used, recorded as a rewrite, or refused; nothing is dropped in silence.
 */
import * as Body from '../protocol/Body.ts'
import * as Bytes from '../protocol/Bytes.ts'
import type * as Claims from '../protocol/Claims.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import * as Dcbor from '../protocol/Dcbor.ts'
import { UsageError } from '../protocol/errors.ts'
import { assertFields, BadRequestError, parseObject } from './BadRequest.ts'
import * as Json from './Json.ts'
import type { Tokenizer } from './Tokenizer.ts'

/** Most messages of one request; with two rewrites each they still fit a claim. */
export const maxMessages = 256
/** Most stop texts. */
export const maxStops = 4
/** Most UTF-8 bytes of each stop text. */
export const maxStopBytes = 1024
/** Most UTF-8 bytes of the model text. */
export const maxModelBytes = 256
/** Longest decimal text; at most 20 significant digits have one reading as a double in every ECMAScript engine. */
export const maxDecimalLength = 20

/** The parts of a model manifest that chat needs. */
export type ChatModel = {
  readonly name: string
  readonly architecture?: { readonly vocab: number; readonly context: number } | undefined
  readonly template?:
    | {
        readonly name: 'role-tokens/1'
        readonly bos: number
        readonly system: number
        readonly user: number
        readonly assistant: number
        readonly end: number
      }
    | undefined
  readonly defaults?: { readonly temperature: string; readonly topP: string; readonly maxTokens: number } | undefined
}

/** When to stop: leaf 0 of the effective request. */
export type Parameters = { readonly maxTokens: number; readonly stop: readonly string[] }

/** What `prepare` makes of a request. */
export type Prepared = {
  readonly requestModel: string
  readonly stream: boolean
  readonly includeUsage: boolean
  readonly params: Parameters
  readonly tokens: readonly number[]
  readonly sampling: Claims.Sampling
  readonly rewrites: readonly Claims.Rewrite[]
  /** The leaves of the effective request: parameters, then one u32 per token id. */
  readonly leaves: readonly Uint8Array[]
}

const usedFields = new Set(
  (
    'model messages stream stream_options temperature top_p max_tokens max_completion_tokens seed stop n ' +
    'frequency_penalty presence_penalty logprobs response_format tools user metadata store'
  ).split(' '),
)
/** Fields of OpenAI's format that are not supported: null is accepted, anything else is refused by name. */
const nullOnlyFields = new Set(
  (
    'audio function_call functions logit_bias modalities parallel_tool_calls prediction prompt_cache_key ' +
    'reasoning_effort safety_identifier service_tier tool_choice top_logprobs verbosity web_search_options'
  ).split(' '),
)
const knownFields = new Set([...usedFields, ...nullOnlyFields])
const nullableFields = new Set([...knownFields].filter((field) => field !== 'model' && field !== 'messages'))
const messageFields = new Set(['role', 'content', 'name'])
const nullOnlyMessageFields = new Set(['audio', 'function_call', 'refusal', 'tool_call_id', 'tool_calls'])
const knownMessageFields = new Set([...messageFields, ...nullOnlyMessageFields])
const nullableMessageFields = new Set([...nullOnlyMessageFields, 'name'])
const partFields = new Set(['type', 'text'])

/**
 * Turns the exact bytes of a chat request into what the engine is given.
 *
 * - `drawnSeed`: u64, used when the request has no seed and the temperature is not 0
 *
 * Throws: `BadRequestError` for a request that is refused, `Chat.UnfitModelError` for a manifest without chat.
 */
export function prepare(
  _crypto: Crypto,
  input: {
    readonly body: Uint8Array
    readonly manifest: ChatModel
    readonly tokenizer: Tokenizer
    readonly drawnSeed: bigint
  },
): Prepared {
  const model = assertChat(input.manifest, input.tokenizer)
  const request = withoutNulls(parseObject(input.body), nullableFields)
  assertFields(request, '', usedFields, knownFields)
  assertNeutral(request)
  const rewrites: Claims.Rewrite[] = []

  const requestModel = required(request, 'model')
  if (typeof requestModel !== 'string') throw new BadRequestError('invalid-type', '/model')
  assertByteLength(requestModel, maxModelBytes, '/model')
  if (requestModel === '') throw new BadRequestError('invalid-value', '/model')
  if (requestModel !== model.name) rewrites.push({ code: 'alias', path: '/model', detail: model.name })

  const tokens = [model.template.bos]
  for (const message of readMessages(request, rewrites)) {
    tokens.push(model.template[message.role])
    for (const token of input.tokenizer.encode(message.text)) tokens.push(token)
    tokens.push(model.template.end)
  }
  tokens.push(model.template.assistant)
  const room = model.architecture.context - tokens.length
  if (room < 1) {
    throw new BadRequestError('context-length-exceeded', '/messages', [
      `Prompt: ${tokens.length} tokens`,
      `Context: ${model.architecture.context} tokens`,
    ])
  }

  const useDefault = (path: string, detail: string) => {
    rewrites.push({ code: 'default', path, detail })
    return detail
  }
  const temperature =
    readDecimal(request, 'temperature', (value) => value >= 0 && value <= 2) ??
    useDefault('/temperature', model.defaults.temperature)
  const topP =
    readDecimal(request, 'top_p', (value) => value > 0 && value <= 1) ?? useDefault('/top_p', model.defaults.topP)
  const limit = readLimit(request)
  const maxTokens = Math.min(limit ?? model.defaults.maxTokens, room)
  if (limit === undefined) useDefault('/max_tokens', String(maxTokens))
  else if (limit > room) rewrites.push({ code: 'clamp', path: '/max_tokens', detail: String(maxTokens) })
  const drawn = Number(temperature) === 0 ? 0n : BigInt.asUintN(64, input.drawnSeed)
  const seed = readSeed(request) ?? BigInt(useDefault('/seed', String(drawn)))
  readDropped(request, rewrites)

  const params: Parameters = { maxTokens, stop: readStops(request) }
  const stream = readBoolean(request, 'stream') ?? false
  return {
    requestModel,
    stream,
    includeUsage: readIncludeUsage(request, stream),
    params,
    tokens,
    sampling: { seed, temperature, topP },
    rewrites,
    leaves: toLeaves(params, tokens),
  }
}

/** The leaves of an effective request: dCBOR `{1: maxTokens, 2: [stop text as UTF-8 ...]}`, then one u32 per token id. */
export function toLeaves(params: Parameters, tokens: readonly number[]): Uint8Array[] {
  const first = Dcbor.encode(
    new Map<Dcbor.Key, Dcbor.Value>([
      [1, params.maxTokens],
      [2, params.stop.map(Bytes.fromUtf8)],
    ]),
  )
  return [first, ...Body.tokenLeaves(tokens)]
}

/** Reads the leaves of an effective request; throws `Chat.LeavesError`, `Dcbor.DecodeError`, `Bytes.LengthError`. */
export function fromLeaves(leaves: readonly Uint8Array[]): { params: Parameters; tokens: number[] } {
  const [first, ...rest] = leaves
  if (first === undefined) throw new LeavesError()
  const map = Dcbor.decode(first)
  if (!Dcbor.isMap(map) || map.size !== 2) throw new LeavesError()
  const maxTokens = map.get(1)
  const stops = map.get(2)
  if (typeof maxTokens !== 'number' || maxTokens < 1 || maxTokens > 0xffffffff) throw new LeavesError()
  if (!Array.isArray(stops) || stops.length > maxStops) throw new LeavesError()
  const stop = stops.map((bytes: Dcbor.Value) => {
    if (!(bytes instanceof Uint8Array) || bytes.length === 0 || bytes.length > maxStopBytes) throw new LeavesError()
    return Bytes.toUtf8(bytes)
  })
  return { params: { maxTokens, stop }, tokens: Body.tokensOf(rest) }
}

/** A model that can chat. */
export type FitModel = ChatModel & {
  readonly architecture: NonNullable<ChatModel['architecture']>
  readonly template: NonNullable<ChatModel['template']>
  readonly defaults: NonNullable<ChatModel['defaults']>
}

/** Asserts that a manifest and a tokenizer belong together and can chat; throws `Chat.UnfitModelError`. */
export function assertChat(manifest: ChatModel, tokenizer: Tokenizer): FitModel {
  const { architecture, template, defaults } = manifest
  if (architecture === undefined || template === undefined || defaults === undefined) {
    throw new UnfitModelError('The manifest describes no chat model.')
  }
  if (tokenizer.size !== architecture.vocab) throw new UnfitModelError('Tokenizer and vocabulary differ in size.')
  for (const id of [template.bos, template.system, template.user, template.assistant, template.end]) {
    if (id >= tokenizer.specialCount) throw new UnfitModelError('A template token is no special token.')
  }
  if (!isDecimal(defaults.temperature, (value) => value >= 0 && value <= 2)) {
    throw new UnfitModelError('The default temperature is not allowed.')
  }
  if (!isDecimal(defaults.topP, (value) => value > 0 && value <= 1)) {
    throw new UnfitModelError('The default top_p is not allowed.')
  }
  if (!(defaults.maxTokens >= 1)) throw new UnfitModelError('The default limit is not allowed.')
  return { ...manifest, architecture, template, defaults }
}

type Message = { readonly role: 'system' | 'user' | 'assistant'; readonly text: string }

function readMessages(request: Json.JsonObject, rewrites: Claims.Rewrite[]): Message[] {
  const list = required(request, 'messages')
  if (!Json.isArray(list)) throw new BadRequestError('invalid-type', '/messages')
  if (list.length === 0) throw new BadRequestError('invalid-value', '/messages')
  if (list.length > maxMessages) throw new BadRequestError('too-large', '/messages', [`Limit: ${maxMessages}`])
  return list.map((item, index) => readMessage(item, `/messages/${index}`, rewrites))
}

function readMessage(item: Json.Value, pointer: string, rewrites: Claims.Rewrite[]): Message {
  if (!Json.isObject(item)) throw new BadRequestError('invalid-type', pointer)
  const message = withoutNulls(item, nullableMessageFields)
  assertFields(message, pointer, messageFields, knownMessageFields)
  let role = required(message, 'role', pointer)
  if (typeof role !== 'string') throw new BadRequestError('invalid-type', `${pointer}/role`)
  if (role === 'developer') {
    role = 'system'
    rewrites.push({ code: 'alias', path: `${pointer}/role`, detail: role })
  }
  if (role !== 'system' && role !== 'user' && role !== 'assistant') {
    throw new BadRequestError('unsupported-value', `${pointer}/role`)
  }
  const name = message.get('name')
  if (name !== undefined) {
    if (typeof name !== 'string') throw new BadRequestError('invalid-type', `${pointer}/name`)
    rewrites.push({ code: 'drop', path: `${pointer}/name`, detail: '' })
  }
  return { role, text: readContent(required(message, 'content', pointer), `${pointer}/content`) }
}

function readContent(content: Json.Value, pointer: string): string {
  if (typeof content === 'string') return content
  if (!Json.isArray(content)) throw new BadRequestError('invalid-type', pointer)
  if (content.length === 0) throw new BadRequestError('invalid-value', pointer)
  const texts = content.map((part, index) => {
    const at = `${pointer}/${index}`
    if (!Json.isObject(part)) throw new BadRequestError('invalid-type', at)
    if (part.get('type') !== 'text') throw new BadRequestError('unsupported-value', `${at}/type`)
    assertFields(part, at, partFields)
    const text = required(part, 'text', at)
    if (typeof text !== 'string') throw new BadRequestError('invalid-type', `${at}/text`)
    return text
  })
  return texts.join('')
}

/** Fields that are accepted with the one value that changes nothing. */
function assertNeutral(request: Json.JsonObject): void {
  const isZero = (value: Json.Value) => Json.isNumber(value) && Number(value.number) === 0
  const isText = (value: Json.Value) => Json.isObject(value) && value.size === 1 && value.get('type') === 'text'
  const neutral: readonly (readonly [string, (value: Json.Value) => boolean])[] = [
    ['n', (value) => Json.isNumber(value) && value.number === '1'],
    ['frequency_penalty', isZero],
    ['presence_penalty', isZero],
    ['logprobs', (value) => value === false],
    ['response_format', isText],
    ['tools', (value) => Json.isArray(value) && value.length === 0],
  ]
  for (const [field, isNeutral] of neutral) {
    const value = request.get(field)
    if (value !== undefined && !isNeutral(value)) throw new BadRequestError('unsupported-value', `/${field}`)
  }
}

function readDropped(request: Json.JsonObject, rewrites: Claims.Rewrite[]): void {
  const user = request.get('user')
  if (user !== undefined && typeof user !== 'string') throw new BadRequestError('invalid-type', '/user')
  const metadata = request.get('metadata')
  if (metadata !== undefined && !Json.isObject(metadata)) throw new BadRequestError('invalid-type', '/metadata')
  const store = request.get('store')
  if (store !== undefined && store !== false) throw new BadRequestError('unsupported-value', '/store')
  for (const field of ['user', 'metadata', 'store']) {
    if (request.has(field)) rewrites.push({ code: 'drop', path: `/${field}`, detail: '' })
  }
}

function readDecimal(
  request: Json.JsonObject,
  field: string,
  isAllowed: (value: number) => boolean,
): string | undefined {
  const value = request.get(field)
  if (value === undefined) return undefined
  if (!Json.isNumber(value)) throw new BadRequestError('invalid-type', `/${field}`)
  if (!isDecimal(value.number, isAllowed)) throw new BadRequestError('invalid-value', `/${field}`)
  return value.number
}

/** Says whether a text is a JSON number of at most 20 characters whose value is allowed. */
export function isDecimal(text: string, isAllowed: (value: number) => boolean): boolean {
  if (text.length > maxDecimalLength) return false
  return /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/.test(text) && isAllowed(Number(text))
}

function readLimit(request: Json.JsonObject): number | undefined {
  if (request.has('max_tokens') && request.has('max_completion_tokens')) {
    throw new BadRequestError('conflicting-fields', '/max_completion_tokens')
  }
  const field = request.has('max_tokens') ? 'max_tokens' : 'max_completion_tokens'
  const value = readInteger(request, field)
  if (value === undefined) return undefined
  if (value < 1n || value > 0xffffffffn) throw new BadRequestError('invalid-value', `/${field}`)
  return Number(value)
}

function readSeed(request: Json.JsonObject): bigint | undefined {
  const value = readInteger(request, 'seed')
  if (value === undefined) return undefined
  if (value < -(2n ** 63n) || value >= 2n ** 63n) throw new BadRequestError('invalid-value', '/seed')
  return BigInt.asUintN(64, value)
}

/** An integer is written without fraction and exponent. */
function readInteger(request: Json.JsonObject, field: string): bigint | undefined {
  const value = request.get(field)
  if (value === undefined) return undefined
  if (!Json.isNumber(value)) throw new BadRequestError('invalid-type', `/${field}`)
  if (value.number.length > 20 || !/^-?[0-9]+$/.test(value.number)) {
    throw new BadRequestError('invalid-value', `/${field}`)
  }
  return BigInt(value.number)
}

function readStops(request: Json.JsonObject): string[] {
  const value = request.get('stop')
  if (value === undefined) return []
  const list = typeof value === 'string' ? [value] : value
  if (!Json.isArray(list)) throw new BadRequestError('invalid-type', '/stop')
  if (list.length > maxStops) throw new BadRequestError('too-large', '/stop', [`Limit: ${maxStops}`])
  return list.map((text) => {
    if (typeof text !== 'string') throw new BadRequestError('invalid-type', '/stop')
    if (text === '') throw new BadRequestError('invalid-value', '/stop')
    assertByteLength(text, maxStopBytes, '/stop')
    return text
  })
}

function readIncludeUsage(request: Json.JsonObject, isStream: boolean): boolean {
  const options = request.get('stream_options')
  if (options === undefined) return false
  if (!Json.isObject(options)) throw new BadRequestError('invalid-type', '/stream_options')
  if (!isStream) throw new BadRequestError('conflicting-fields', '/stream_options')
  const object = withoutNulls(options, new Set(['include_usage']))
  assertFields(object, '/stream_options', new Set(['include_usage']))
  const value = object.get('include_usage') ?? false
  if (typeof value !== 'boolean') throw new BadRequestError('invalid-type', '/stream_options/include_usage')
  return value
}

function readBoolean(request: Json.JsonObject, field: string): boolean | undefined {
  const value = request.get(field)
  if (value !== undefined && typeof value !== 'boolean') throw new BadRequestError('invalid-type', `/${field}`)
  return value
}

/** The object without its optional fields that are null, which mean the same as absent ones. */
function withoutNulls(object: Json.JsonObject, nullable: ReadonlySet<string>): Json.JsonObject {
  return new Map([...object].filter(([key, value]) => value !== null || !nullable.has(key)))
}

function required(object: Json.JsonObject, field: string, pointer = ''): Json.Value {
  const value = object.get(field)
  if (value === undefined) throw new BadRequestError('missing-field', `${pointer}/${field}`)
  return value
}

function assertByteLength(text: string, limit: number, pointer: string): void {
  const got = Bytes.fromUtf8(text).length
  if (got > limit) throw new BadRequestError('too-large', pointer, [`Limit: ${limit} bytes`, `Got: ${got} bytes`])
}

/** A manifest cannot be used for chat. */
export class UnfitModelError extends UsageError<'unfit-model'> {
  override readonly name = 'Chat.UnfitModelError'
  constructor(shortMessage: string) {
    super('unfit-model', shortMessage)
  }
}

/** Leaves are not those of a chat's effective request. */
export class LeavesError extends UsageError<'malformed-leaves'> {
  override readonly name = 'Chat.LeavesError'
  constructor() {
    super('malformed-leaves', 'The leaves are not those of an effective request.')
  }
}
