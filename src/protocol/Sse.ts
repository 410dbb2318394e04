/**
 * Sse.ts - event streams as bytes: what is a chunk of the response, and what travels beside it as comments.
 * Source: WHATWG HTML section 9.2 "Server-sent events"; spec/wire.md section 2; spec/receipt.md section 4.
 *
 * Stricter than a browser where two readers could otherwise see different texts: no lone CR, no leading byte order mark,
 * only the fields `event` and `data`, nothing left over at the end.
 */
import * as Bytes from './Bytes.ts'
import { VerificationError } from './errors.ts'

/** Most bytes of a line and of the data of an event, 1 MiB: the longest comment (claims) has at most 700 kB, and memory stays bounded. */
export const maxLineBytes = 1024 * 1024
/** Most comment lines of a stream that are kept; ours are four, and keep-alives come every few seconds at most. */
export const maxComments = 65_536

/** What a stream consists of, in order. */
export type Item =
  /** An event; `bytes` is its committed form: event name, 0x0A, data. The name is empty for plain `data:` lines. */
  | { readonly type: 'chunk'; readonly event: string; readonly data: Uint8Array; readonly bytes: Uint8Array }
  /** The text after the colon and one space, as Latin-1 of its bytes. */
  | { readonly type: 'comment'; readonly text: string }
  /** `data: [DONE]`. */
  | { readonly type: 'done' }

/** A parser that is fed as bytes arrive. */
export type Parser = {
  /** Takes bytes, split anyhow, and returns the items that they complete; throws `Sse.MalformedStreamError`. */
  readonly push: (bytes: Uint8Array) => Item[]
  /** Says that the stream ended; throws `Sse.MalformedStreamError` if an event or line is unfinished. */
  readonly finish: () => void
}

const done = Bytes.fromUtf8('[DONE]')
const lf = 0x0a
const cr = 0x0d

/** Starts a parser; it keeps one line and one event at most. */
export function createParser(): Parser {
  const line = createBuffer()
  let event: string | undefined
  const data = createBuffer()
  let hasData = false
  let endsInCr = false
  let isDone = false
  let lineCount = 0
  let comments = 0

  function endLine(): Item | undefined {
    const bytes = line.take()
    if (lineCount++ === 0 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) throw malformed('stream-bom')
    if (bytes.length === 0) return endEvent()
    const colon = bytes.indexOf(0x3a)
    if (colon === 0) return comment(valueAfter(bytes, 0))
    const name = latin1(colon < 0 ? bytes : bytes.subarray(0, colon))
    const value = colon < 0 ? new Uint8Array(0) : valueAfter(bytes, colon)
    if (name === 'data') {
      if (hasData) data.add(Uint8Array.of(lf))
      data.add(value)
      hasData = true
    } else if (name === 'event') {
      if (event !== undefined) throw malformed('stream-event-twice')
      event = eventName(value)
    } else throw malformed('stream-unknown-field')
    return undefined
  }

  function endEvent(): Item | undefined {
    if (!hasData) {
      if (event !== undefined) throw malformed('stream-event-without-data')
      return undefined
    }
    if (isDone) throw malformed('stream-after-done')
    const joined = data.take()
    const name = event ?? ''
    event = undefined
    hasData = false
    if (name === '' && Bytes.equal(joined, done)) {
      isDone = true
      return { type: 'done' }
    }
    return { type: 'chunk', event: name, data: joined, bytes: chunkBytes(name, joined) }
  }

  function comment(text: Uint8Array): Item {
    comments++
    if (comments > maxComments) throw malformed('stream-too-long')
    return { type: 'comment', text: latin1(text) }
  }

  return {
    push(bytes) {
      const items: Item[] = []
      let start = 0
      for (let i = 0; i < bytes.length; i++) {
        const byte = bytes[i]
        if (endsInCr && byte !== lf) throw malformed('stream-lone-cr')
        if (byte === cr) {
          line.add(bytes.subarray(start, i))
          endsInCr = true
          start = i + 1
        } else if (byte === lf) {
          if (!endsInCr) line.add(bytes.subarray(start, i))
          endsInCr = false
          start = i + 1
          const item = endLine()
          if (item !== undefined) items.push(item)
        }
      }
      line.add(bytes.subarray(start))
      return items
    },
    finish() {
      if (endsInCr || line.length() > 0 || hasData || event !== undefined) throw malformed('stream-unfinished')
    },
  }
}

/** What a whole stream holds. */
export type Stream = {
  /** Committed chunks in order: event name, 0x0A, data. */
  readonly chunks: readonly Uint8Array[]
  /** `assay-...` comment lines by name, or the same from one `assay.receipt` event. */
  readonly comments: ReadonlyMap<string, string>
  /** Whether `data: [DONE]` was there. */
  readonly done: boolean
}

/** The name of the event that carries a receipt when the client asked for one. */
export const receiptEvent = 'assay.receipt'

/** Reads the whole body of an event stream; throws `Sse.MalformedStreamError`. */
export function splitStream(body: Uint8Array): Stream {
  const parser = createParser()
  const items = parser.push(body)
  parser.finish()
  return collect(items)
}

/** Sorts items into chunks and what came beside them; throws `Sse.MalformedStreamError` for a value given twice. */
export function collect(items: readonly Item[]): Stream {
  const chunks: Uint8Array[] = []
  const comments = new Map<string, string>()
  let isDone = false
  for (const item of items) {
    if (item.type === 'done') isDone = true
    else if (item.type === 'comment') addComment(comments, item.text)
    else if (item.event === receiptEvent) addEvent(comments, item.data)
    else chunks.push(item.bytes)
  }
  return { chunks, comments, done: isDone }
}

/** The committed form of an event: event name, 0x0A, data. */
export function chunkBytes(event: string, data: Uint8Array): Uint8Array {
  return Bytes.concat(eventBytes(event), Uint8Array.of(lf), data)
}

/** Writes an event; data with line feeds takes one `data:` line for each. Throws `Sse.MalformedStreamError`. */
export function writeEvent(event: string, data: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = []
  if (event !== '') parts.push(Bytes.fromUtf8('event: '), eventBytes(event), Uint8Array.of(lf))
  if (data.includes(cr)) throw malformed('stream-lone-cr')
  for (let start = 0; start <= data.length; ) {
    const found = data.indexOf(lf, start)
    const end = found < 0 ? data.length : found
    parts.push(Bytes.fromUtf8('data: '), data.subarray(start, end), Uint8Array.of(lf))
    start = end + 1
  }
  return Bytes.concat(...parts, Uint8Array.of(lf))
}

/** Writes a chunk in its committed form as an event. */
export function writeChunk(chunk: Uint8Array): Uint8Array {
  const end = chunk.indexOf(lf)
  if (end < 0) throw malformed('stream-event-without-data')
  return writeEvent(Bytes.toUtf8(chunk.subarray(0, end)), chunk.subarray(end + 1))
}

/** Writes `data: [DONE]`. */
export function writeDone(): Uint8Array {
  return writeEvent('', done)
}

/** Writes one comment line and the blank line after it; the value is ASCII without line breaks. */
export function writeComment(name: string, value: string): Uint8Array {
  if (!/^[a-z-]+$/u.test(name) || !/^[\u0021-\u007e]+$/u.test(value)) throw malformed('stream-comment')
  return Bytes.fromUtf8(`: ${name} ${value}\n\n`)
}

/** Writes the `assay.receipt` event with the four values. */
export function writeReceiptEvent(values: {
  readonly receipt: string
  readonly pledge: string
  readonly secret: string
  readonly claims: string
}): Uint8Array {
  const { receipt, pledge, secret, claims } = values
  return writeEvent(receiptEvent, Bytes.fromUtf8(JSON.stringify({ receipt, pledge, secret, claims })))
}

const receiptComment = /^(assay-[a-z-]+) ([\u0021-\u007e]+)$/u
const base64url = '[A-Za-z0-9_-]+'
const receiptJson = new RegExp(
  `^\\{"receipt":"(${base64url})","pledge":"(${base64url})","secret":"(${base64url})","claims":"(${base64url})"\\}$`,
  'u',
)

function addComment(comments: Map<string, string>, text: string): void {
  const match = receiptComment.exec(text)
  if (match === null) {
    if (text.startsWith('assay-')) throw malformed('stream-comment')
    return
  }
  const [, name = '', value = ''] = match
  if (comments.has(name)) throw malformed('stream-comment-twice')
  comments.set(name, value)
}

/** One exact form of JSON, because a parser would let a repeated key hide the first. */
function addEvent(comments: Map<string, string>, data: Uint8Array): void {
  const match = receiptJson.exec(latin1(data))
  if (match === null) throw malformed('stream-comment')
  for (const [i, name] of ['receipt', 'pledge', 'secret', 'claims'].entries()) {
    addComment(comments, `assay-${name} ${match[i + 1]}`)
  }
}

function valueAfter(line: Uint8Array, colon: number): Uint8Array {
  return line.slice(line[colon + 1] === 0x20 ? colon + 2 : colon + 1)
}

function eventBytes(event: string): Uint8Array {
  if (/[\r\n]/u.test(event) || event.startsWith(' ')) throw malformed('stream-event-name')
  return Bytes.fromUtf8(event)
}

function eventName(value: Uint8Array): string {
  try {
    return Bytes.toUtf8(value)
  } catch (cause) {
    throw malformed('stream-event-name', cause)
  }
}

function latin1(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192))
  return text
}

/** Bytes so far, of a line or of an event's data, in a buffer that doubles up to the limit. */
function createBuffer() {
  let buffer = new Uint8Array(256)
  let filled = 0
  return {
    add(bytes: Uint8Array) {
      if (filled + bytes.length > maxLineBytes) throw malformed('stream-too-long')
      if (filled + bytes.length > buffer.length) {
        const larger = new Uint8Array(Math.min(maxLineBytes, Math.max(2 * buffer.length, filled + bytes.length)))
        larger.set(buffer.subarray(0, filled))
        buffer = larger
      }
      buffer.set(bytes, filled)
      filled += bytes.length
    },
    length: () => filled,
    take() {
      const bytes = buffer.slice(0, filled)
      filled = 0
      return bytes
    },
  }
}

function malformed(code: MalformedStreamErrorCode, cause?: unknown): MalformedStreamError {
  return new MalformedStreamError(code, cause)
}

/** Codes of `Sse.MalformedStreamError`. */
export type MalformedStreamErrorCode =
  | 'stream-bom'
  | 'stream-lone-cr'
  | 'stream-unknown-field'
  | 'stream-event-twice'
  | 'stream-event-name'
  | 'stream-event-without-data'
  | 'stream-after-done'
  | 'stream-unfinished'
  | 'stream-too-long'
  | 'stream-comment'
  | 'stream-comment-twice'

/** Bytes are no event stream in the strict form. */
export class MalformedStreamError extends VerificationError<MalformedStreamErrorCode> {
  override readonly name = 'Sse.MalformedStreamError'
  constructor(code: MalformedStreamErrorCode, cause?: unknown) {
    super(code, 'This is no event stream in the strict form.', { cause })
  }
}
