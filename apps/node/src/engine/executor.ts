/** executor.ts - the reader's own engines, found by manifest hash, profile and build. Source: spec/execution.md section 6. */
import { Profiles, type Recompute } from 'assay/execution'
import { Bytes } from 'assay/protocol'
import type { Engine, RuntimeName } from './Engine.ts'
import { loadModel, loadRuntime } from './loadModel.ts'
import * as ModelFolder from './ModelFolder.ts'

/** Engines kept loaded, the least recently used closed first: a verdict needs one, a page of verdicts a few. */
const maxLoaded = 4

const runtimeOf: { readonly [profile: string]: RuntimeName } = {
  [Profiles.onnxWasm]: 'onnx-wasm',
  [Profiles.onnx]: 'onnx',
}

/** An executor that can be closed. */
export type LocalExecutor = Recompute.Executor & { readonly close: () => Promise<void> }

/**
 * Finds and loads models under `modelsFolder` (one folder each) when they are asked for.
 *
 * Gives undefined when no folder has that manifest, the profile has no runtime here, or this runtime is another build.
 */
export function createExecutor(modelsFolder: string): LocalExecutor {
  const engines = new Map<string, Promise<Engine>>()

  async function execute(manifestHash: Uint8Array, profile: string, build: Uint8Array) {
    const runtimeName = Object.hasOwn(runtimeOf, profile) ? runtimeOf[profile] : undefined
    if (runtimeName === undefined) return undefined
    const folder = await findModel(modelsFolder, manifestHash)
    if (folder === undefined) return undefined
    const runtime = await loadRuntime(runtimeName)
    if (!Bytes.equal(runtime.build, build)) return undefined
    const key = `${runtimeName}:${Bytes.toHex(manifestHash)}`
    const loading = engines.get(key) ?? loadModel(folder, { runtime: runtimeName })
    // Moved to the end: the map's order is the order of use.
    engines.delete(key)
    engines.set(key, loading)
    try {
      const engine = await loading
      await closeOldest()
      return toLocal(engine)
    } catch (error) {
      engines.delete(key)
      throw error
    }
  }

  async function closeOldest(): Promise<void> {
    while (engines.size > maxLoaded) {
      const [key, oldest] = engines.entries().next().value as [string, Promise<Engine>]
      engines.delete(key)
      await (await oldest).close()
    }
  }

  async function close(): Promise<void> {
    const all = [...engines.values()]
    engines.clear()
    for (const loading of all) await (await loading).close()
  }

  return Object.assign(execute, { close })
}

async function findModel(modelsFolder: string, manifestHash: Uint8Array): Promise<string | undefined> {
  for (const folder of await ModelFolder.listModels(modelsFolder)) {
    const found = await ModelFolder.readManifest(folder)
    if (Bytes.equal(found.manifestHash, manifestHash)) return folder
  }
  return undefined
}

function toLocal(engine: Engine): Recompute.LocalEngine {
  const { manifest, manifestBytes, tokenizerBytes, weightsRoot, lm, infer } = engine
  return { model: { manifest, manifestBytes, tokenizer: tokenizerBytes }, weightsRoot, lm, infer }
}
