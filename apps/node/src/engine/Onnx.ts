/**
 * Onnx.ts - onnxruntime-node on the CPU, one thread: profile `onnx/1`, within tolerance only.
 *
 * `build` is the SHA-256 of the package's shared library for this system, read from its place on disk: the loader of
 * the operating system reads it a second time, which is one more reason why this profile is never exact.
 */
import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
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
  const library = await import('onnxruntime-node')
  const entry = createRequire(import.meta.url).resolve('onnxruntime-node')
  const folder = join(dirname(entry), '..', 'bin', 'napi-v6', process.platform, process.arch)
  const names = await readdir(folder)
  const name = names.filter((file) => /^(lib)?onnxruntime(\.[0-9]+)*\.(so|dylib|dll)(\.[0-9]+)*$/.test(file)).sort()[0]
  if (name === undefined) throw new Error(`onnxruntime-node has no library for ${process.platform}-${process.arch}`)
  return {
    profile: Profiles.onnx,
    name: 'onnxruntime-node',
    version: library.env.versions.node ?? 'unknown',
    build: crypto.sha256(await readFile(join(folder, name))),
    open: (graph) => openSession(library as unknown as OnnxLibrary, 'cpu', graph),
  }
}
