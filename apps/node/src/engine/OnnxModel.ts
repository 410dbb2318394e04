/**
 * OnnxModel.ts - a loaded graph as a language model or a tensor function. Source: spec/execution.md section 3.
 *
 * Chat schedule: the whole prompt in one run, then one token per run with the key-value cache. Between runs the event
 * loop gets its turn, because the wasm backend computes on the calling thread.
 */
import { setImmediate } from 'node:timers/promises'
import { type Generate, type Recompute, Tensor } from 'assay/execution'
import { errors, type Manifest } from 'assay/protocol'
import type { RunQueue } from './RunQueue.ts'
import type { RuntimeTensor, Session } from './Runtime.ts'

type Architecture = NonNullable<Manifest.Manifest['architecture']>

/** A causal language model with inputs `input_ids`, `past_keys`, `past_values`; throws `OnnxModel.GraphError`. */
export function toCausalLm(session: Session, architecture: Architecture, queue: RunQueue): Generate.CausalLm {
  assertNames(session.inputNames, ['input_ids', 'past_keys', 'past_values'])
  assertNames(session.outputNames, ['logits', 'present_keys', 'present_values'])
  const { layers, heads, headDim, vocab, context } = architecture

  async function start(signal?: AbortSignal): Promise<Generate.Run> {
    const release = await queue.acquire(signal)
    const empty: RuntimeTensor = { type: 'float32', dims: [layers, heads, 0, headDim], data: new Float32Array(0) }
    let keys: RuntimeTensor | undefined = empty
    let values: RuntimeTensor | undefined = empty
    let fed = 0

    async function forward(tokens: readonly number[]): Promise<Float32Array> {
      if (keys === undefined || values === undefined) throw new RunError('run-disposed')
      if (tokens.length === 0 || fed + tokens.length > context) throw new RunError('context-exceeded')
      if (!tokens.every((token) => Number.isInteger(token) && token >= 0 && token < vocab)) {
        throw new RunError('unknown-token')
      }
      const ids = BigInt64Array.from(tokens, BigInt)
      const outputs = await runGraph(session, {
        input_ids: { type: 'int64', dims: [1, tokens.length], data: ids },
        past_keys: keys,
        past_values: values,
      })
      fed += tokens.length
      const logits = floats(outputs.logits, [tokens.length, vocab])
      keys = cache(outputs.present_keys, [layers, heads, fed, headDim])
      values = cache(outputs.present_values, [layers, heads, fed, headDim])
      if (logits.some(Number.isNaN)) throw new RunError('not-a-number')
      await setImmediate()
      return logits.slice(-vocab)
    }

    function dispose(): void {
      keys = undefined
      values = undefined
      release()
    }

    return { forward, dispose }
  }

  return { start }
}

/** A function from the manifest's inputs to its outputs; throws `OnnxModel.GraphError`. */
export function toInfer(session: Session, manifest: Manifest.Manifest, queue: RunQueue) {
  const inputs = manifest.inputs ?? []
  const outputs = manifest.outputs ?? []
  assertNames(
    session.inputNames,
    inputs.map((port) => port.name),
  )
  for (const port of outputs) if (!session.outputNames.includes(port.name)) throw new GraphError()

  return async (tensors: Parameters<Recompute.Infer>[0], signal?: AbortSignal): Promise<readonly Tensor.Tensor[]> => {
    const release = await queue.acquire(signal)
    try {
      const feeds = Object.fromEntries(tensors.map((tensor) => [tensor.name, toRuntime(tensor)]))
      const results = await runGraph(session, feeds)
      await setImmediate()
      return outputs.map((port) => fromRuntime(port, results[port.name]))
    } finally {
      release()
    }
  }
}

/** The runtime's own messages may quote values, so they do not travel. */
async function runGraph(session: Session, inputs: { readonly [name: string]: RuntimeTensor }) {
  try {
    return await session.run(inputs)
  } catch {
    throw new RunError('runtime-failed')
  }
}

function toRuntime(tensor: Tensor.Tensor): RuntimeTensor {
  return tensor.datatype === 'FP32'
    ? { type: 'float32', dims: tensor.shape, data: Tensor.toFloats(tensor) }
    : { type: 'int64', dims: tensor.shape, data: Tensor.toIntegers(tensor) }
}

function fromRuntime(port: Manifest.Port, result: RuntimeTensor | undefined): Tensor.Tensor {
  if (result === undefined) throw new RunError('unexpected-output')
  const { name, datatype } = port
  const shape = [...result.dims]
  const isFitting =
    shape.length === port.shape.length &&
    shape.every((dim, i) => dim >= 1 && [-1, dim].includes(port.shape[i] as number))
  if (!isFitting || result.type !== (datatype === 'FP32' ? 'float32' : 'int64')) throw new RunError('unexpected-output')
  if (result.data instanceof BigInt64Array) return { name, datatype, shape, data: Tensor.fromIntegers(result.data) }
  if (!result.data.every(Number.isFinite)) throw new RunError('not-a-number')
  return { name, datatype, shape, data: Tensor.fromFloats(result.data) }
}

function floats(tensor: RuntimeTensor | undefined, dims: readonly number[]): Float32Array {
  return cache(tensor, dims).data as Float32Array
}

function cache(tensor: RuntimeTensor | undefined, dims: readonly number[]): RuntimeTensor {
  const isFitting =
    tensor?.data instanceof Float32Array &&
    tensor.dims.length === dims.length &&
    dims.every((dim, i) => dim === tensor.dims[i])
  if (!isFitting) throw new RunError('unexpected-output')
  return tensor as RuntimeTensor
}

function assertNames(names: readonly string[], expected: readonly string[]): void {
  if (names.length !== expected.length || !expected.every((name) => names.includes(name))) throw new GraphError()
}

/** The graph does not have the inputs and outputs that the manifest's kind needs. */
export class GraphError extends errors.UsageError<'graph-mismatch'> {
  override readonly name = 'OnnxModel.GraphError'
  constructor() {
    super('graph-mismatch', "The graph's inputs or outputs are not those of the manifest.")
  }
}

export type RunErrorCode =
  | 'run-disposed'
  | 'context-exceeded'
  | 'unknown-token'
  | 'runtime-failed'
  | 'not-a-number'
  | 'unexpected-output'

/** A run cannot go on. */
export class RunError extends errors.UsageError<RunErrorCode> {
  override readonly name = 'OnnxModel.RunError'
  constructor(code: RunErrorCode) {
    super(code, `The model's run ended with an error (${code}).`)
  }
}
