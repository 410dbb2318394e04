/** EventStream.ts - writes a stream at the reader's pace, and notices when the reader is gone. */
import type { ServerResponse } from 'node:http'
import { Sse } from 'assay/protocol'
import type { FastifyReply } from 'fastify'
import { limits } from './limits.ts'

/** An event stream on its way out. */
export type EventStream = {
  /** Sends status and headers; nothing else may answer this request any more. */
  readonly begin: (headers: Readonly<Record<string, string>>) => void
  readonly isBegun: () => boolean
  /** Commits a chunk, writes it as an event and waits until there is room for more. Throws `ReaderGoneError`. */
  readonly chunk: (chunk: Uint8Array) => Promise<void>
  /** Writes the last bytes and ends the response. */
  readonly end: (bytes: Uint8Array) => Promise<void>
  /** Cuts the connection: the stream must not look whole. */
  readonly destroy: () => void
}

/** Makes it; `commit` takes each chunk before it is written, so that nothing leaves that the receipt does not know. */
export function create(reply: FastifyReply, commit: (chunk: Uint8Array) => void): EventStream {
  const { raw } = reply
  let isBegun = false
  return {
    begin(headers) {
      const known = reply.getHeaders() as Record<string, string>
      reply.hijack()
      raw.writeHead(200, { ...known, ...headers })
      isBegun = true
    },
    isBegun: () => isBegun,
    async chunk(chunk) {
      if (isGone(raw)) throw new ReaderGoneError('client-disconnected')
      commit(chunk)
      await write(raw, Sse.writeChunk(chunk))
    },
    async end(bytes) {
      if (isGone(raw)) return
      cutStalled(raw)
      raw.end(bytes)
    },
    destroy() {
      if (!isBegun) reply.hijack()
      raw.destroy()
    },
  }
}

/** A signal that aborts when the client goes away before the answer is complete. */
export function disconnected(raw: ServerResponse): AbortSignal {
  const controller = new AbortController()
  const onClose = () => {
    if (!raw.writableFinished) controller.abort(new ReaderGoneError('client-disconnected'))
  }
  if (raw.destroyed) onClose()
  else raw.once('close', onClose)
  return controller.signal
}

/** Cuts the connection of a reader that does not take the rest of an answer in time; it would hold its place for ever. */
export function cutStalled(raw: ServerResponse, ms: number = limits.stalledReaderMs): void {
  const start = () => {
    const timer = setTimeout(() => raw.destroy(), ms).unref()
    raw.once('close', () => clearTimeout(timer))
  }
  // An answer behind another one on the same connection waits for its turn first.
  if (raw.socket === null) raw.once('socket', start)
  else start()
}

function isGone(raw: ServerResponse): boolean {
  return raw.destroyed || raw.writableEnded
}

async function write(raw: ServerResponse, bytes: Uint8Array): Promise<void> {
  if (raw.write(bytes)) return
  await new Promise<void>((resolve, reject) => {
    const settle = (error?: ReaderGoneError) => {
      clearTimeout(timer)
      raw.off('drain', onDrain)
      raw.off('close', onClose)
      if (error === undefined) resolve()
      else reject(error)
    }
    const onDrain = () => settle()
    const onClose = () => settle(new ReaderGoneError('client-disconnected'))
    const timer = setTimeout(() => {
      settle(new ReaderGoneError('client-stalled'))
      raw.destroy()
    }, limits.stalledReaderMs)
    raw.once('drain', onDrain)
    raw.once('close', onClose)
  })
}

/** The reader of a stream is gone, or takes nothing any more; the call ends as cancelled. */
export class ReaderGoneError extends Error {
  override readonly name = 'ReaderGoneError'
  readonly code: 'client-disconnected' | 'client-stalled'
  constructor(code: 'client-disconnected' | 'client-stalled') {
    super(code)
    this.code = code
  }
}
