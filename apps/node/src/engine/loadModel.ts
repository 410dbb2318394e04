/** loadModel.ts - from a folder to an engine. */
import { Chat, Profiles, Tokenizer } from 'assay/execution'
import type { Engine, RuntimeName } from './Engine.ts'
import * as ModelFolder from './ModelFolder.ts'
import * as Onnx from './Onnx.ts'
import * as OnnxModel from './OnnxModel.ts'
import * as OnnxWasm from './OnnxWasm.ts'
import { createRunQueue } from './RunQueue.ts'
import type { Runtime } from './Runtime.ts'

/** The runtime of a name, loaded once per process. */
export function loadRuntime(name: RuntimeName): Promise<Runtime> {
  return name === 'onnx-wasm' ? OnnxWasm.load() : Onnx.load()
}

/**
 * Loads the model in `folder` (with its `manifest.dcbor`) into a runtime.
 *
 * - `id`: the name to serve it under; the manifest's name by default
 * - `maxWaiting`: calls that may wait behind the one that runs
 *
 * Throws: `ModelFolder.ModelFileError`, `Manifest.MalformedManifestError`, `OnnxModel.GraphError`,
 * `Tokenizer.TokenizerFileError`, `Chat.UnfitModelError`, what the runtime throws for a graph that it cannot load.
 */
export async function loadModel(
  folder: string,
  options: { readonly runtime: RuntimeName; readonly id?: string; readonly maxWaiting?: number },
): Promise<Engine> {
  const { manifest, manifestBytes, manifestHash, weightsRoot, files } = await ModelFolder.readModel(folder)
  const runtime = await loadRuntime(options.runtime)
  const session = await runtime.open(files.get(manifest.graph) as Uint8Array)
  const queue = createRunQueue(options.maxWaiting)
  const { profile, name, version, build } = runtime
  const base = {
    id: options.id ?? manifest.name,
    manifest,
    manifestBytes,
    manifestHash,
    weightsRoot,
    profile,
    isExact: Profiles.isExact(profile),
    name,
    version,
    build,
    waiting: queue.waiting,
    async close() {
      const release = await queue.acquire()
      try {
        await session.close()
      } finally {
        release()
      }
    },
  }
  try {
    if (manifest.kind === 'tensor') {
      return { ...base, kind: manifest.kind, infer: OnnxModel.toInfer(session, manifest, queue) }
    }
    const tokenizerBytes = files.get(manifest.tokenizer as string) as Uint8Array
    const tokenizer = Tokenizer.load(tokenizerBytes)
    const { architecture } = Chat.assertChat(manifest, tokenizer)
    const lm = OnnxModel.toCausalLm(session, architecture as NonNullable<typeof manifest.architecture>, queue)
    return { ...base, kind: manifest.kind, lm, tokenizer, tokenizerBytes }
  } catch (error) {
    await session.close()
    throw error
  }
}
