/** ChatRoute.ts - POST /v1/chat/completions: prepare, check the order, run, render, receipt. Source: spec/execution.md, spec/wire.md. */
import { BadRequest, Chat, Generate, Render } from 'assay/execution'
import { Body, Bytes, Wire } from 'assay/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Engine } from '../engine/Engine.ts'
import * as CallRecord from './CallRecord.ts'
import { modelFailed, RefusedError } from './ErrorTable.ts'
import * as EventStream from './EventStream.ts'
import * as ReceiptOut from './ReceiptOut.ts'
import type { Served } from './Served.ts'

/** The one target of chat calls; recomputing reads it from slot 2. */
export const target = '/v1/chat/completions'

type ChatEngine = Engine & Required<Pick<Engine, 'lm' | 'tokenizer'>>

/** Serves one call. */
export async function serve(served: Served, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const body = new Uint8Array(request.body as Buffer)
  const asEvent = wantsEvent(request)
  const engine = findEngine(served, body)
  const prepared = Chat.prepare(served.crypto, {
    body,
    manifest: engine.manifest,
    tokenizer: engine.tokenizer,
    drawnSeed: Bytes.toBigInt(served.random(8)),
  })
  const { leaves, rewrites, sampling } = prepared
  const effective = { kind: 1, leaves, rewrites, sampling } as const
  const call = await CallRecord.open(served, { target, body, headers: request.headers, engine, effective })
  const free = {
    id: `chatcmpl-${Bytes.toHex(served.random(16))}`,
    created: Math.floor(call.receivedMs / 1000),
  }
  const run: Run = { served, engine, prepared, call, free, signal: EventStream.disconnected(reply.raw) }
  if (prepared.stream) await stream(run, reply, asEvent)
  else await unary(run, reply)
}

type Run = {
  readonly served: Served
  readonly engine: ChatEngine
  readonly prepared: Chat.Prepared
  readonly call: CallRecord.CallRecord
  readonly free: Render.FreeFields
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal
}

async function unary(run: Run, reply: FastifyReply): Promise<void> {
  const { served, engine, prepared, call, free } = run
  const drawn: number[] = []
  let answer: { readonly status: number; readonly body: Uint8Array } | undefined
  let end: Pick<CallRecord.End, 'finish' | 'error'>
  try {
    const { finish } = await generate(run, { onToken: (token) => void drawn.push(token) })
    end = { finish, ...(finish === 'cancelled' ? { error: 'client-disconnected' } : {}) }
    if (finish !== 'cancelled') {
      const { manifest, tokenizer } = engine
      answer = { status: 200, body: Render.unaryBody({ prepared, manifest, tokenizer, ...free, output: drawn }) }
    }
  } catch (error) {
    if (error instanceof NotStartedError) return await refuse(run, error)
    end = { finish: 'error', error: codeOf(error) }
    const refusal = modelFailed()
    answer = { status: refusal.status, body: Bytes.fromUtf8(JSON.stringify(refusal.body)) }
  }
  if (answer !== undefined) call.addChunk(answer.body)
  const outgoing = await call.end({
    ...end,
    response: answer === undefined ? undefined : { status: answer.status, mediaType: Render.mediaTypes.unary },
    output: Body.tokenLeaves(drawn),
    usage: { prompt: prepared.tokens.length, completion: drawn.length },
  })
  served.record({
    event: 'call',
    stream: false,
    finish: end.finish,
    tokens: drawn.length,
    pending: outgoing.isPending,
  })
  if (answer === undefined) return void reply.hijack()
  reply.code(answer.status).headers(ReceiptOut.toHeaders(outgoing)).type(Render.mediaTypes.unary)
  await reply.send(Buffer.from(answer.body))
}

async function stream(run: Run, reply: FastifyReply, asEvent: boolean): Promise<void> {
  const { served, engine, prepared, call, free, signal } = run
  const { manifest, tokenizer } = engine
  const writer = Render.createStream({ prepared, manifest, tokenizer, ...free })
  const drawn: number[] = []
  const output = EventStream.create(reply, call.addChunk)
  let end: Pick<CallRecord.End, 'finish' | 'error'>
  try {
    const { finish } = await generate(run, {
      onStart: () => {
        output.begin(ReceiptOut.streamHeaders())
        return output.chunk(Render.chunkBytes(writer.first()))
      },
      onToken: async (token) => {
        drawn.push(token)
        const data = writer.push(token)
        if (data !== undefined) await output.chunk(Render.chunkBytes(data))
      },
    })
    if (finish === 'cancelled') throw new EventStream.ReaderGoneError('client-disconnected')
    for (const data of writer.finish().data) await output.chunk(Render.chunkBytes(data))
    end = { finish }
  } catch (error) {
    if (error instanceof NotStartedError) return await refuse(run, error)
    if (error instanceof EventStream.ReaderGoneError) end = { finish: 'cancelled', error: error.code }
    else {
      end = { finish: 'error', error: codeOf(error) }
      // After the first byte an error is an event of the stream, and committed like the others.
      const data = JSON.stringify(modelFailed().body)
      await output.chunk(Render.chunkBytes(data)).catch(() => {})
    }
  }
  let outgoing: ReceiptOut.Outgoing
  try {
    outgoing = await call.end({
      ...end,
      response: output.isBegun() ? { status: 200, mediaType: Render.mediaTypes.stream } : undefined,
      output: Body.tokenLeaves(drawn),
      usage: { prompt: prepared.tokens.length, completion: drawn.length },
    })
  } catch (error) {
    if (!output.isBegun()) throw error
    // Without its receipt the stream must not look whole.
    output.destroy()
    served.record({ event: 'call-without-receipt', code: codeOf(error) })
    return
  }
  served.record({
    event: 'call',
    stream: true,
    finish: end.finish,
    tokens: drawn.length,
    pending: outgoing.isPending,
  })
  if (signal.aborted || !output.isBegun()) return output.destroy()
  await output.end(ReceiptOut.toStreamEnd(outgoing, asEvent))
}

/** Runs the model; what fails before the model has its turn is a `NotStartedError`, because nothing ran then. */
async function generate(
  { served, engine, prepared, signal }: Run,
  on: {
    readonly onStart?: () => Promise<void>
    readonly onToken: (token: number) => void | Promise<void>
  },
): Promise<Generate.Generated> {
  const { manifest, tokenizer, lm } = engine
  const started: Generate.CausalLm = {
    async start(runSignal) {
      let run: Generate.Run
      try {
        run = await lm.start(runSignal)
      } catch (cause) {
        if (runSignal?.aborted === true) throw cause
        throw new NotStartedError(cause)
      }
      try {
        await on.onStart?.()
      } catch (error) {
        run.dispose()
        throw error
      }
      return run
    },
  }
  return Generate.generate(served.crypto, {
    ...{ lm: started, prepared, manifest, tokenizer, signal },
    onToken: (token) => on.onToken(token),
  })
}

async function refuse({ call }: Run, { cause }: NotStartedError): Promise<never> {
  await call.refuse()
  throw cause
}

function findEngine(served: Served, body: Uint8Array): ChatEngine {
  const id = BadRequest.parseObject(body).get('model')
  if (id === undefined) throw new BadRequest.BadRequestError('missing-field', '/model')
  if (typeof id !== 'string') throw new BadRequest.BadRequestError('invalid-type', '/model')
  const engine = served.engines.get(id)
  if (engine === undefined) {
    throw new RefusedError(404, 'model-not-found', 'The node does not serve this model.', { param: '/model' })
  }
  const { lm, tokenizer } = engine
  if (lm === undefined || tokenizer === undefined) {
    throw new RefusedError(400, 'model-kind', 'This model takes tensors: use /v2/models/{model}/infer.', {
      param: '/model',
    })
  }
  return { ...engine, lm, tokenizer }
}

function wantsEvent({ headers }: FastifyRequest): boolean {
  const value = headers[Wire.requestHeaders.stream.toLowerCase()]
  if (value === undefined) return false
  if (value === Wire.streamEvent) return true
  throw new RefusedError(400, 'header-malformed', `Assay-Stream knows '${Wire.streamEvent}' only.`)
}

/** The code of an error of ours; messages of others could quote what they worked on. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && /^[a-z0-9-]{1,64}$/.test(code) ? code : 'engine-failed'
}

/** The model never had its turn. */
class NotStartedError extends Error {
  override readonly name = 'NotStartedError'
  constructor(cause: unknown) {
    super('not started', { cause })
  }
}
