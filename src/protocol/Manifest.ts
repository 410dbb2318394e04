/** Manifest.ts - what a model is: its files, and how requests become tensors. Source: spec/execution.md section 1; spec/assay.cddl. */
import * as Bytes from './Bytes.ts'
import type { Crypto, Hash } from './Crypto.ts'
import { type BaseError, UsageError, VerificationError } from './errors.ts'
import * as Merkle from './Merkle.ts'
import * as MerkleFrontier from './MerkleFrontier.ts'
import * as Shape from './Shape.ts'

/** Most bytes of a manifest, 1 MiB: thousands of files, yet small beside any model and inside a bundle. */
export const maxBytes = 1024 * 1024
/** Most files of a model; the largest published ones have a few hundred shards. */
export const maxFiles = 4096
/** Most ports of a model and most dimensions of a port: far above what runtimes take. */
export const maxPorts = 1024
/** Bytes of weights in one leaf, 1 MiB. */
export const chunkLength = 1024 * 1024

const { field, optional, record, tuple, list, text, u32, u64, oneOf } = Shape

const port = tuple({
  name: text(),
  datatype: oneOf('FP32', 'INT64'),
  shape: list(Shape.integer(-1, 2 ** 32 - 1), 0, maxPorts),
})

const shape = record({
  version: field(1, oneOf(1)),
  name: field(2, text()),
  kind: field(3, oneOf('causal-lm', 'tensor')),
  weightsRoot: field(4, Shape.bytes(32)),
  files: field(5, list(tuple({ path: text(), bytes: u64, sha256: Shape.bytes(32) }), 1, maxFiles)),
  licence: field(6, text()),
  architecture: optional(
    7,
    record({
      layers: field(1, u32),
      heads: field(2, u32),
      headDim: field(3, u32),
      vocab: field(4, u32),
      context: field(5, u32),
    }),
  ),
  template: optional(
    8,
    record({
      name: field(1, oneOf('role-tokens/1')),
      bos: field(2, u32),
      system: field(3, u32),
      user: field(4, u32),
      assistant: field(5, u32),
      end: field(6, u32),
    }),
  ),
  defaults: optional(9, record({ temperature: field(1, text()), topP: field(2, text()), maxTokens: field(3, u32) })),
  inputs: optional(10, list(port, 1, maxPorts)),
  outputs: optional(11, list(port, 1, maxPorts)),
  graph: field(12, text()),
  tokenizer: optional(13, text()),
})

/** A model; `kind` says which of the optional fields are there. */
export type Manifest = Shape.TypeOf<typeof shape>

/** One tensor that a model takes or gives; -1 stands for any size of at least 1. */
export type Port = Shape.TypeOf<typeof port>

/** Reads a manifest; throws `Manifest.MalformedManifestError`. */
export function parse(bytes: Uint8Array): Manifest {
  const manifest = ofShape(() => Shape.decode(shape, bytes, maxBytes))
  assertRules(manifest)
  return manifest
}

/** Writes a manifest as dCBOR; throws `Manifest.MalformedManifestError`. */
export function serialize(manifest: Manifest): Uint8Array {
  const bytes = ofShape(() => Shape.encode(shape, manifest, maxBytes))
  assertRules(manifest)
  return bytes
}

/** The name of a model everywhere, 32 bytes: SHA-256 of the manifest's bytes. */
export function hash(crypto: Crypto, bytes: Uint8Array): Hash {
  return crypto.sha256(bytes)
}

/** The weights root of files that are in memory, in any order; throws `Manifest.WeightsError`. */
export function weightsRoot(
  crypto: Crypto,
  files: readonly { readonly path: string; readonly bytes: Uint8Array }[],
): Hash {
  const hasher = createWeightsHasher(crypto)
  const sorted = files
    .map((file) => ({ ...file, key: Bytes.fromUtf8(file.path) }))
    .sort((left, right) => Bytes.compare(left.key, right.key))
  for (const { path, bytes } of sorted) {
    hasher.startFile(path, BigInt(bytes.length))
    hasher.push(bytes)
  }
  return hasher.root()
}

/** A weights root that is computed while files are read. */
export type WeightsHasher = {
  /** Begins the next file, which must come later in the order of paths; `length` is its length in bytes. */
  readonly startFile: (path: string, length: bigint) => void
  /** Adds bytes of the current file, split anyhow. */
  readonly push: (bytes: Uint8Array) => void
  /** The root, 32 bytes, once all bytes of all files were given; the hasher is of no more use then. */
  readonly root: () => Hash
}

/** Starts a weights root; it keeps at most one chunk of 1 MiB. All three functions throw `Manifest.WeightsError`. */
export function createWeightsHasher(crypto: Crypto): WeightsHasher {
  let frontier = MerkleFrontier.empty
  let file: { path: Uint8Array; pathHash: Hash; length: bigint; left: bigint; index: number } | undefined
  let chunk = new Uint8Array(0)
  let filled = 0

  function endChunk(): void {
    if (file === undefined) return
    const entry = weightsEntry(crypto, file.pathHash, file.index, file.length, chunk.subarray(0, filled))
    frontier = MerkleFrontier.append(crypto, frontier, [Merkle.leafHash(crypto, entry)])
    file.index++
    filled = 0
  }
  function endFile(): void {
    if (file === undefined) return
    if (file.left !== 0n) throw new WeightsError('weights-length', 'A file gave fewer bytes than it has.')
    if (filled > 0 || file.length === 0n) endChunk()
    file = undefined
  }
  return {
    startFile(path, length) {
      const before = file?.path
      endFile()
      assertPath(path)
      const key = Bytes.fromUtf8(path)
      if (before !== undefined && Bytes.compare(before, key) >= 0) {
        throw new WeightsError('weights-order', 'Files must come sorted by path, each once.')
      }
      file = { path: key, pathHash: crypto.sha256(key), length, left: length, index: 0 }
    },
    push(bytes) {
      if (file === undefined || BigInt(bytes.length) > file.left) {
        throw new WeightsError('weights-length', 'A file gave more bytes than it has.')
      }
      file.left -= BigInt(bytes.length)
      if (chunk.length === 0) chunk = new Uint8Array(chunkLength)
      for (let offset = 0; offset < bytes.length; ) {
        const part = bytes.subarray(offset, offset + chunkLength - filled)
        chunk.set(part, filled)
        filled += part.length
        offset += part.length
        if (filled === chunkLength) endChunk()
      }
    },
    root() {
      endFile()
      return MerkleFrontier.root(crypto, frontier)
    },
  }
}

/** The log-like entry of one chunk, 76 bytes: SHA-256(path) || chunk index u32 || file length u64 || SHA-256(chunk). */
export function weightsEntry(
  crypto: Crypto,
  pathHash: Hash,
  index: number,
  fileLength: bigint,
  chunk: Uint8Array,
): Uint8Array {
  return Bytes.concat(pathHash, Bytes.u32(index), Bytes.u64(fileLength), crypto.sha256(chunk))
}

function assertRules(manifest: Manifest): void {
  const isCausal = manifest.kind === 'causal-lm'
  const causal = [manifest.architecture, manifest.template, manifest.defaults, manifest.tokenizer]
  const tensor = [manifest.inputs, manifest.outputs]
  const [present, absent] = isCausal ? [causal, tensor] : [tensor, causal]
  if (present.includes(undefined) || absent.some((value) => value !== undefined)) {
    throw new MalformedManifestError('manifest-kind', ['Rule: the kind says which optional keys are there'])
  }
  for (const { path } of manifest.files) {
    if (!isPath(path))
      throw new MalformedManifestError('manifest-path', ['Rule: a path is relative, without empty, . or ..'])
  }
  assertSorted(manifest.files.map(({ path }) => path))
  const paths = new Set(manifest.files.map(({ path }) => path))
  if (!paths.has(manifest.graph) || (manifest.tokenizer !== undefined && !paths.has(manifest.tokenizer))) {
    throw new MalformedManifestError('manifest-path', ['Rule: graph and tokenizer are among the files'])
  }
  if (manifest.architecture !== undefined && manifest.template !== undefined) {
    const { bos, system, user, assistant, end } = manifest.template
    const { vocab, context } = manifest.architecture
    if ([bos, system, user, assistant, end].some((token) => token >= vocab) || context === 0) {
      throw new MalformedManifestError('manifest-architecture', [
        'Rule: template tokens are below vocab, context is not 0',
      ])
    }
  }
  if (manifest.defaults !== undefined && !isDefaults(manifest.defaults)) {
    throw new MalformedManifestError('manifest-defaults', ['Rule: temperature 0..2, 0 < topP <= 1, maxTokens >= 1'])
  }
  for (const ports of [manifest.inputs ?? [], manifest.outputs ?? []]) {
    if (new Set(ports.map(({ name }) => name)).size !== ports.length) {
      throw new MalformedManifestError('manifest-ports', ['Rule: names of ports are unique'])
    }
  }
}

// The grammar of a JSON number, which is how a request would write it.
const jsonNumber = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/u

function isDefaults(defaults: NonNullable<Manifest['defaults']>): boolean {
  const { temperature, topP, maxTokens } = defaults
  if (!jsonNumber.test(temperature) || !jsonNumber.test(topP)) return false
  return Number(temperature) >= 0 && Number(temperature) <= 2 && Number(topP) > 0 && Number(topP) <= 1 && maxTokens >= 1
}

function assertSorted(paths: readonly string[]): void {
  for (let i = 1; i < paths.length; i++) {
    const before = Bytes.fromUtf8(paths[i - 1] as string)
    if (Bytes.compare(before, Bytes.fromUtf8(paths[i] as string)) >= 0) {
      throw new MalformedManifestError('manifest-order', ['Rule: files are sorted by path, each once'])
    }
  }
}

/** A path inside the model's folder: no way out of it, on any system. */
function isPath(path: string): boolean {
  if (/[\\:\u0000-\u001f]/u.test(path)) return false
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}

function assertPath(path: string): void {
  if (!isPath(path)) throw new WeightsError('weights-path', 'A path is relative, without empty, . or .. parts.')
}

function ofShape<T>(body: () => T): T {
  try {
    return body()
  } catch (cause) {
    if (cause instanceof Shape.MismatchError) throw new MalformedManifestError('manifest-shape', cause.facts, cause)
    throw cause
  }
}

/** Codes of `Manifest.MalformedManifestError`. */
export type MalformedManifestErrorCode =
  | 'manifest-shape'
  | 'manifest-kind'
  | 'manifest-path'
  | 'manifest-order'
  | 'manifest-architecture'
  | 'manifest-defaults'
  | 'manifest-ports'

/** Bytes or fields are no model manifest of version 1. */
export class MalformedManifestError extends VerificationError<MalformedManifestErrorCode> {
  override readonly name = 'Manifest.MalformedManifestError'
  constructor(code: MalformedManifestErrorCode, facts: readonly string[], cause?: BaseError) {
    super(code, 'This is no model manifest of version 1.', { facts, cause })
  }
}

/** Codes of `Manifest.WeightsError`. */
export type WeightsErrorCode = 'weights-length' | 'weights-order' | 'weights-path'

/** Files were given to a weights root in a way that has none. */
export class WeightsError extends UsageError<WeightsErrorCode> {
  override readonly name = 'Manifest.WeightsError'
}
