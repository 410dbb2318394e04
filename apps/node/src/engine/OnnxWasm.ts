/**
 * OnnxWasm.ts - onnxruntime-web's wasm backend in Node.js, one thread: the exact profile `onnx-wasm/1`.
 *
 * The package has several .wasm files (GPU bridges, asynchronous variants). The one without any of these is read once,
 * hashed, and those very bytes are handed to the runtime, so `build` is what runs.
 */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { crypto } from 'assay/crypto/node'
import { Profiles } from 'assay/execution'
import { type OnnxLibrary, openSession, type Runtime } from './Runtime.ts'

let loaded: Promise<Runtime> | undefined

/** The runtime of this process; the first call loads it. */
export function load(): Promise<Runtime> {
  loaded ??= start()
  return loaded
}

async function start(): Promise<Runtime> {
  const path = fileURLToPath(import.meta.resolve('onnxruntime-web/ort-wasm-simd-threaded.wasm'))
  const [library, binary] = await Promise.all([import('onnxruntime-web'), readFile(path)])
  const { wasm, versions } = library.env
  wasm.wasmBinary = binary
  wasm.numThreads = 1
  wasm.proxy = false
  wasm.simd = 'fixed'
  return {
    profile: Profiles.onnxWasm,
    name: 'onnxruntime-web',
    version: versions.web ?? 'unknown',
    build: crypto.sha256(binary),
    open: (graph) => openSession(library as unknown as OnnxLibrary, 'wasm', graph),
  }
}
