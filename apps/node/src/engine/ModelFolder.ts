/** ModelFolder.ts - reads a model's folder: the manifest and the files that it names, each read once and checked. */
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { crypto } from 'assay/crypto/node'
import { Bytes, errors, Manifest } from 'assay/protocol'

/** The manifest's file name. */
const manifestName = 'manifest.dcbor'
/** Most bytes of one file, 512 MiB: the wasm runtime's memory is 4 GiB and holds a graph more than once. */
export const maxFileBytes = 512 * 1024 * 1024
/** Most bytes of all files of a model. */
export const maxModelBytes = 1024 * 1024 * 1024

/** A model as read. */
export type ModelFiles = {
  readonly manifest: Manifest.Manifest
  readonly manifestBytes: Uint8Array
  readonly manifestHash: Uint8Array
  /** From the very bytes in `files`. */
  readonly weightsRoot: Uint8Array
  readonly files: ReadonlyMap<string, Uint8Array>
}

/** Reads and parses the manifest alone; throws `ModelFolder.ModelFileError`, `Manifest.MalformedManifestError`. */
export async function readManifest(
  folder: string,
): Promise<Pick<ModelFiles, 'manifest' | 'manifestBytes' | 'manifestHash'>> {
  const manifestBytes = await readCapped(join(folder, manifestName), Manifest.maxBytes)
  return {
    manifest: Manifest.parse(manifestBytes),
    manifestBytes,
    manifestHash: Manifest.hash(crypto, manifestBytes),
  }
}

/**
 * Reads a model.
 *
 * Throws: `ModelFolder.ModelFileError` when a file is missing, too large, or not the one that the manifest names.
 */
export async function readModel(folder: string): Promise<ModelFiles> {
  const head = await readManifest(folder)
  const files = new Map<string, Uint8Array>()
  let left = maxModelBytes
  for (const { path, bytes, sha256 } of head.manifest.files) {
    const content = await readCapped(join(folder, ...path.split('/')), Math.min(maxFileBytes, left))
    left -= content.length
    if (BigInt(content.length) !== bytes || !Bytes.equal(crypto.sha256(content), sha256)) {
      throw new ModelFileError('file-differs', path)
    }
    files.set(path, content)
  }
  const weightsRoot = Manifest.weightsRoot(
    crypto,
    [...files].map(([path, bytes]) => ({ path, bytes })),
  )
  if (!Bytes.equal(weightsRoot, head.manifest.weightsRoot)) throw new ModelFileError('weights-differ', manifestName)
  return { ...head, weightsRoot, files }
}

/** The folders directly inside `folder` that have a manifest, sorted by name. */
export async function listModels(folder: string): Promise<string[]> {
  const found: string[] = []
  let names: string[]
  try {
    names = (await readdir(folder, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  for (const name of names.sort()) {
    const files = await readdir(join(folder, name))
    if (files.includes(manifestName)) found.push(join(folder, name))
  }
  return found
}

/** Reads a regular file of at most `limit` bytes. */
async function readCapped(path: string, limit: number): Promise<Uint8Array> {
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new ModelFileError('file-missing', path)
    throw error
  })
  try {
    const stats = await handle.stat()
    if (!stats.isFile()) throw new ModelFileError('file-missing', path)
    if (stats.size > limit) throw new ModelFileError('file-too-large', path)
    const bytes = await handle.readFile()
    // A plain view over memory of its own, not over Node's shared pool.
    const copy = new Uint8Array(bytes.length)
    copy.set(bytes)
    return copy
  } finally {
    await handle.close()
  }
}

export type ModelFileErrorCode = 'file-missing' | 'file-too-large' | 'file-differs' | 'weights-differ'

/** A file of a model is missing, too large, or not the one that the manifest names. */
export class ModelFileError extends errors.VerificationError<ModelFileErrorCode> {
  override readonly name = 'ModelFolder.ModelFileError'
  constructor(code: ModelFileErrorCode, path: string) {
    super(code, `A file of the model is not usable (${code}).`, { facts: [`File: ${path}`] })
  }
}
