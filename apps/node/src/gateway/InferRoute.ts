/** InferRoute.ts - the Open Inference Protocol: tensors in, tensors out, with a receipt. Source: spec/execution.md section 2.3. */
import { Render, Tensor } from 'assay/execution'
import { Bytes } from 'assay/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Engine } from '../engine/Engine.ts'
import * as CallRecord from './CallRecord.ts'
import { codeOf } from './ChatRoute.ts'
import { modelFailed, RefusedError } from './ErrorTable.ts'
import * as EventStream from './EventStream.ts'
import { softwareVersion } from './NodeConfig.ts'
import * as ReceiptOut from './ReceiptOut.ts'
import type { Served } from './Served.ts'

/** Serves one inference. */
export async function serve(served: Served, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { model } = request.params as { readonly model: string }
  const body = new Uint8Array(request.body as Buffer)
  const engine = findEngine(served, model)
  const { infer } = engine
  if (infer === undefined) {
    throw new RefusedError(400, 'model-kind', 'This model takes messages: use /v1/chat/completions.')
  }
  const prepared = Tensor.prepareInfer(body, engine.manifest, model)
  const { leaves, rewrites } = prepared
  const target = `/v2/models/${model}/infer`
  const effective = { kind: 2, leaves, rewrites } as const
  const call = await CallRecord.open(served, { target, body, headers: request.headers, engine, effective })
  const signal = EventStream.disconnected(reply.raw)

  let answer: { readonly status: number; readonly body: Uint8Array } | undefined
  let output: readonly Uint8Array[] | undefined
  let end: Pick<CallRecord.End, 'finish' | 'error'>
  try {
    const tensors = await infer(prepared.tensors, signal)
    output = Tensor.outputLeaves(tensors, engine.manifest)
    if (signal.aborted) end = { finish: 'cancelled', error: 'client-disconnected' }
    else {
      answer = { status: 200, body: Tensor.renderInfer(prepared, tensors) }
      end = { finish: 'stop' }
    }
  } catch (error) {
    if (codeOf(error) === 'engine-overloaded') {
      await call.refuse()
      throw error
    }
    if (signal.aborted) end = { finish: 'cancelled', error: 'client-disconnected' }
    else {
      end = { finish: 'error', error: codeOf(error) }
      const refusal = modelFailed()
      answer = { status: refusal.status, body: Bytes.fromUtf8(JSON.stringify(refusal.body)) }
    }
  }
  if (answer !== undefined) call.addChunk(answer.body)
  const outgoing = await call.end({
    ...end,
    response: answer === undefined ? undefined : { status: answer.status, mediaType: Render.mediaTypes.unary },
    output,
    usage: { prompt: 0, completion: 0 },
  })
  served.record({ event: 'call', stream: false, finish: end.finish, pending: outgoing.isPending })
  if (answer === undefined) return void reply.hijack()
  reply.code(answer.status).headers(ReceiptOut.toHeaders(outgoing)).type(Render.mediaTypes.unary)
  await reply.send(Buffer.from(answer.body))
}

/** GET /v2 */
export function server() {
  return { name: 'assay', version: softwareVersion, extensions: [] }
}

/** GET /v2/models/{model} */
export function metadata(served: Served, request: FastifyRequest) {
  const { model } = request.params as { readonly model: string }
  const { id, profile, manifest } = findEngine(served, model)
  const ports = (list: typeof manifest.inputs) =>
    (list ?? []).map(({ name, datatype, shape }) => ({ name, datatype, shape }))
  return {
    name: id,
    versions: ['1'],
    platform: profile,
    inputs: ports(manifest.inputs),
    outputs: ports(manifest.outputs),
  }
}

function findEngine(served: Served, model: string): Engine {
  const engine = served.engines.get(model)
  if (engine === undefined) throw new RefusedError(404, 'model-not-found', 'The node does not serve this model.')
  return engine
}
