/** Runtime.ts - what an engine needs from a runtime; both ONNX runtimes have this form. */

/** A value that goes into a run or comes out of it; row order. */
export type RuntimeTensor = {
  readonly type: 'float32' | 'int64'
  readonly dims: readonly number[]
  readonly data: Float32Array | BigInt64Array
}

/** A loaded graph. */
export type Session = {
  readonly inputNames: readonly string[]
  readonly outputNames: readonly string[]
  /** Runs the graph once; throws what the runtime throws. */
  readonly run: (inputs: { readonly [name: string]: RuntimeTensor }) => Promise<{ [name: string]: RuntimeTensor }>
  readonly close: () => Promise<void>
}

/** A runtime as slot 8 names it; `build` is 32 bytes. */
export type Runtime = {
  readonly profile: string
  readonly name: string
  readonly version: string
  readonly build: Uint8Array
  /** Loads a graph from the bytes of its ONNX file. */
  readonly open: (graph: Uint8Array) => Promise<Session>
}

/** The parts of the ONNX runtimes' common interface that are used; both packages have their own copy of its types. */
export type OnnxLibrary = {
  readonly InferenceSession: {
    readonly create: (
      graph: Uint8Array,
      options: {
        executionProviders: string[]
        graphOptimizationLevel: 'all'
        executionMode: 'sequential'
        intraOpNumThreads: number
        interOpNumThreads: number
        logSeverityLevel: 3
      },
    ) => Promise<OnnxSession>
  }
  readonly Tensor: new (
    type: 'float32' | 'int64',
    data: Float32Array | BigInt64Array,
    dims: readonly number[],
  ) => unknown
}

type OnnxSession = {
  readonly inputNames: readonly string[]
  readonly outputNames: readonly string[]
  readonly run: (feeds: Record<string, never>) => Promise<{ readonly [name: string]: unknown }>
  readonly release: () => Promise<void>
}

/** Loads a graph with one thread, all optimisations, sequentially. */
export async function openSession(library: OnnxLibrary, provider: string, graph: Uint8Array): Promise<Session> {
  const session = await library.InferenceSession.create(graph, {
    executionProviders: [provider],
    graphOptimizationLevel: 'all',
    executionMode: 'sequential',
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  })
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async run(inputs) {
      const feeds: Record<string, unknown> = {}
      for (const [name, { type, data, dims }] of Object.entries(inputs)) {
        feeds[name] = new library.Tensor(type, data, dims)
      }
      const results = await session.run(feeds as Record<string, never>)
      const outputs: { [name: string]: RuntimeTensor } = {}
      for (const [name, result] of Object.entries(results)) {
        const { type, dims, data } = result as RuntimeTensor
        outputs[name] = { type, dims, data }
      }
      return outputs
    },
    close: () => session.release(),
  }
}
