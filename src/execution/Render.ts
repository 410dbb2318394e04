/**
 * Render.ts - from drawn tokens to the exact bytes of the answer. Source: spec/execution.md section 5.
 *
 * `id` and `created` are the only free fields; every other byte is a function of request, manifest and output.
 */
import * as Bytes from '../protocol/Bytes.ts'
import { VerificationError } from '../protocol/errors.ts'
import type { ChatModel, Prepared } from './Chat.ts'
import type { Tokenizer } from './Tokenizer.ts'
import * as Utf8Decoder from './Utf8Decoder.ts'

/** The media types of the two answers. */
export const mediaTypes = Object.freeze({ unary: 'application/json', stream: 'text/event-stream' })

/** The two fields that the node chooses; `created` in seconds, 0..999,999,999,999. */
export type FreeFields = { readonly id: string; readonly created: number }

/** Why the answer ends. */
export type FinishReason = 'stop' | 'length'

/** The inputs that all functions here share. */
export type Subject = {
  readonly prepared: Pick<Prepared, 'requestModel' | 'includeUsage' | 'params' | 'tokens'>
  readonly manifest: ChatModel
  readonly tokenizer: Tokenizer
}

/** Turns tokens into pieces of text, one token at a time. */
export type Renderer = {
  /** Takes a drawn token; gives the text that is certain now, if any. Throws `Render.OutputError` after the end. */
  readonly push: (token: number) => string | undefined
  /** True once the end token or a stop text came: nothing more may be drawn. */
  readonly isStopped: () => boolean
  /** Ends the text; gives what was held back. */
  readonly finish: () => { readonly piece?: string; readonly reason: FinishReason }
}

/** Starts a renderer; at most `params.maxTokens` tokens are accepted. */
export function createRenderer(
  subject: Pick<Subject, 'manifest' | 'tokenizer'> & { prepared: { params: Prepared['params'] } },
): Renderer {
  const { stop, maxTokens } = subject.prepared.params
  const end = subject.manifest.template?.end
  const decoder = Utf8Decoder.create()
  let held = ''
  let count = 0
  let isStopped = false
  let isFinished = false

  function push(token: number): string | undefined {
    if (isStopped || isFinished) throw new OutputError('token-after-end')
    if (++count > maxTokens) throw new OutputError('too-many-tokens')
    if (token === end) {
      isStopped = true
      return undefined
    }
    held += decoder.push(subject.tokenizer.bytesOf(token))
    const at = firstStop(held, stop)
    if (at !== undefined) {
      // What stands before the stop text is given by `finish`.
      isStopped = true
      return undefined
    }
    const safe = held.length - heldBack(held, stop)
    const piece = held.slice(0, safe)
    held = held.slice(safe)
    return piece === '' ? undefined : piece
  }

  function finish(): { piece?: string; reason: FinishReason } {
    if (isFinished) throw new OutputError('token-after-end')
    isFinished = true
    held += decoder.flush()
    const at = firstStop(held, stop)
    const piece = at === undefined ? held : held.slice(0, at)
    const reason = isStopped || at !== undefined ? 'stop' : 'length'
    return piece === '' ? { reason } : { piece, reason }
  }

  return { push, isStopped: () => isStopped, finish }
}

/** All pieces of an output; throws `Render.OutputError` when generation would not have ended there. */
export function pieces(subject: Subject, tokens: readonly number[]): { pieces: string[]; reason: FinishReason } {
  const renderer = createRenderer(subject)
  const list: string[] = []
  for (const token of tokens) {
    const piece = renderer.push(token)
    if (piece !== undefined) list.push(piece)
  }
  if (!renderer.isStopped() && tokens.length < subject.prepared.params.maxTokens)
    throw new OutputError('too-few-tokens')
  const { piece, reason } = renderer.finish()
  if (piece !== undefined) list.push(piece)
  return { pieces: list, reason }
}

/** The body of an answer in one piece. */
export function unaryBody(subject: Subject & FreeFields & { readonly output: readonly number[] }): Uint8Array {
  assertFreeFields(subject)
  const { pieces: texts, reason } = pieces(subject, subject.output)
  const usage = usageOf(subject.prepared.tokens.length, subject.output.length)
  return Bytes.fromUtf8(
    `{"id":"${subject.id}","object":"chat.completion","created":${subject.created},"model":${quote(subject.prepared.requestModel)},` +
      `"choices":[{"index":0,"message":{"role":"assistant","content":${quote(texts.join(''))}},"finish_reason":"${reason}"}],` +
      `"usage":${usage}}`,
  )
}

/** Writes the payloads of a stream's `data:` lines, one token at a time. */
export type StreamWriter = {
  readonly first: () => string
  readonly push: (token: number) => string | undefined
  readonly isStopped: () => boolean
  readonly finish: () => { readonly data: string[]; readonly reason: FinishReason }
}

/** Starts the writer of a stream. */
export function createStream(subject: Subject & FreeFields): StreamWriter {
  assertFreeFields(subject)
  const renderer = createRenderer(subject)
  const { requestModel, includeUsage, tokens } = subject.prepared
  const start = `{"id":"${subject.id}","object":"chat.completion.chunk","created":${subject.created},"model":${quote(requestModel)},"choices":`
  const tail = includeUsage ? ',"usage":null}' : '}'
  const chunk = (delta: string, reason: FinishReason | null) =>
    `${start}[{"index":0,"delta":${delta},"finish_reason":${reason === null ? 'null' : `"${reason}"`}}]${tail}`
  let drawn = 0

  function push(token: number): string | undefined {
    const piece = renderer.push(token)
    drawn++
    return piece === undefined ? undefined : chunk(`{"content":${quote(piece)}}`, null)
  }

  function finish(): { data: string[]; reason: FinishReason } {
    const { piece, reason } = renderer.finish()
    const data = piece === undefined ? [] : [chunk(`{"content":${quote(piece)}}`, null)]
    data.push(chunk('{}', reason))
    if (includeUsage) data.push(`${start}[],"usage":${usageOf(tokens.length, drawn)}}`)
    return { data, reason }
  }

  return { first: () => chunk('{"role":"assistant","content":""}', null), push, isStopped: renderer.isStopped, finish }
}

/** All chunks of a stream as response leaves: no event name, 0x0A, data payload. */
export function streamChunks(subject: Subject & FreeFields & { readonly output: readonly number[] }): Uint8Array[] {
  // The same end rule as an answer in one piece.
  pieces(subject, subject.output)
  const stream = createStream(subject)
  const data = [stream.first()]
  for (const token of subject.output) {
    const chunk = stream.push(token)
    if (chunk !== undefined) data.push(chunk)
  }
  data.push(...stream.finish().data)
  return data.map(chunkBytes)
}

/** The leaf of one `data:` payload of an event without a name. */
export function chunkBytes(data: string): Uint8Array {
  return Bytes.fromUtf8(`\n${data}`)
}

/** Asserts the form of `id` and `created`; throws `Render.FreeFieldError`. */
export function assertFreeFields(fields: FreeFields): void {
  if (!/^chatcmpl-[0-9a-f]{32}$/.test(fields.id)) throw new FreeFieldError()
  if (!Number.isInteger(fields.created) || fields.created < 0 || fields.created > 999_999_999_999) {
    throw new FreeFieldError()
  }
}

/** Reads `id` and `created` from an answer in one piece or from one chunk; throws `Render.FreeFieldError`. */
export function extractFreeFields(leaf: Uint8Array): FreeFields {
  let text: string
  try {
    // The fields stand at the very front, within 115 bytes; what follows need not be read here.
    text = String.fromCharCode(...leaf.subarray(0, 160))
  } catch {
    throw new FreeFieldError()
  }
  const found =
    /^\n?\{"id":"(chatcmpl-[0-9a-f]{32})","object":"chat\.completion(?:\.chunk)?","created":(0|[1-9][0-9]{0,11}),/.exec(
      text,
    )
  if (found === null) throw new FreeFieldError()
  return { id: found[1] as string, created: Number(found[2]) }
}

/** Text as ECMAScript's JSON.stringify writes it. */
export function quote(text: string): string {
  return JSON.stringify(text)
}

function usageOf(prompt: number, completion: number): string {
  return `{"prompt_tokens":${prompt},"completion_tokens":${completion},"total_tokens":${prompt + completion}}`
}

/** Where the earliest stop text begins. */
function firstStop(text: string, stops: readonly string[]): number | undefined {
  let first: number | undefined
  for (const stop of stops) {
    const at = text.indexOf(stop)
    if (at >= 0 && (first === undefined || at < first)) first = at
  }
  return first
}

/** Length of the longest suffix that is a proper prefix of a stop text. */
function heldBack(text: string, stops: readonly string[]): number {
  let longest = 0
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length
    }
  }
  return longest
}

/** Codes of `Render.OutputError`. */
export type OutputErrorCode = 'token-after-end' | 'too-many-tokens' | 'too-few-tokens'

/** The output is not one that generation can end with. */
export class OutputError extends VerificationError<OutputErrorCode> {
  override readonly name = 'Render.OutputError'
  constructor(code: OutputErrorCode) {
    super(code, `The output does not end where generation ends (${code}).`)
  }
}

/** `id` or `created` is missing or does not have its form. */
export class FreeFieldError extends VerificationError<'free-field-form'> {
  override readonly name = 'Render.FreeFieldError'
  constructor() {
    super('free-field-form', 'The fields id and created of the answer do not have their form.')
  }
}
