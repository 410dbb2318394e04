/**
 * Recompute.ts - the three relations that a reader can compute again: prepared, executed, rendered. Source: spec/execution.md section 6.
 *
 * Takes plain pieces whose hashes the caller has checked against the claims. A difference is a `MismatchError`: it
 * leaves the relation unchecked and accuses nobody, because the reader's own machine may be the one that errs.
 */
import * as Body from '../protocol/Body.ts'
import * as Bytes from '../protocol/Bytes.ts'
import type * as Claims from '../protocol/Claims.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { UnavailableError, VerificationError } from '../protocol/errors.ts'
import type * as Manifest from '../protocol/Manifest.ts'
import * as Chat from './Chat.ts'
import * as Generate from './Generate.ts'
import * as Profiles from './Profiles.ts'
import * as Render from './Render.ts'
import * as Tensor from './Tensor.ts'
import * as Tokenizer from './Tokenizer.ts'

/** A model as the reader has it; `tokenizer` is the file that the manifest names. */
export type LocalModel = {
  readonly manifest: Manifest.Manifest
  readonly manifestBytes: Uint8Array
  readonly tokenizer?: Uint8Array | undefined
}

/** Runs a tensor model: inputs in the manifest's order to all outputs in the manifest's order. */
export type Infer = (tensors: readonly Tensor.Tensor[]) => Promise<readonly Tensor.Tensor[]>

/** The reader's engine for a model. */
export type LocalEngine = {
  readonly model: LocalModel
  /** Computed from the bytes that were loaded. */
  readonly weightsRoot: Uint8Array
  readonly lm?: Generate.CausalLm | undefined
  readonly infer?: Infer | undefined
}

/** Finds the reader's engine for exactly this model, profile and build; undefined when there is none. */
export type Executor = (
  manifestHash: Uint8Array,
  profile: string,
  build: Uint8Array,
) => Promise<LocalEngine | undefined>

/** The parts of the request claim (slot 2) and the body. */
export type RequestPiece = { readonly method: string; readonly target: string; readonly body: Uint8Array }

/** Slot 3 or 5: what was given or drawn. */
export type LeavesClaim = { readonly kind: number; readonly root: Uint8Array; readonly count: number }

/** Slot 8. */
export type EngineClaim = {
  readonly build: Uint8Array
  readonly profile: string
  readonly sampling?: Claims.Sampling | undefined
}

const kinds = { tokens: 1, tensors: 2 } as const

/**
 * Computes the effective request again: slot 2 to slot 3 and the sampling of slot 8.
 *
 * - `salt`: salt_17, 16 bytes
 *
 * Throws: `Recompute.MismatchError`.
 */
export function recomputePrepared(
  crypto: Crypto,
  pieces: {
    readonly request: RequestPiece
    readonly claims: {
      readonly model: Uint8Array
      readonly effectiveRequest: LeavesClaim & { readonly rewrites: readonly Claims.Rewrite[] }
      readonly engine: Pick<EngineClaim, 'sampling'>
    }
    readonly salt: Uint8Array
    readonly model: LocalModel
  },
): { readonly kind: 'tokens' | 'tensors'; readonly count: number; readonly rewrites: number } {
  const { claims } = pieces
  const again = prepareAgain(crypto, pieces, claims.engine.sampling, 'prepared')
  const claim = claims.effectiveRequest
  assertLeaves(crypto, 'prepared', claim, again.kind, pieces.salt, again.prepared.leaves)
  const { rewrites } = again.prepared
  const isSame = (left: Claims.Rewrite, right: Claims.Rewrite | undefined) =>
    right !== undefined && left.code === right.code && left.path === right.path && left.detail === right.detail
  if (claim.rewrites.length !== rewrites.length || !rewrites.every((item, i) => isSame(item, claim.rewrites[i]))) {
    throw new MismatchError('prepared', 'rewrites')
  }
  const mine = again.kind === 'tokens' ? again.prepared.sampling : undefined
  const theirs = claims.engine.sampling
  if (
    (mine === undefined) !== (theirs === undefined) ||
    (mine !== undefined &&
      theirs !== undefined &&
      (mine.seed !== theirs.seed || mine.temperature !== theirs.temperature || mine.topP !== theirs.topP))
  ) {
    throw new MismatchError('prepared', 'sampling')
  }
  return { kind: again.kind, count: again.prepared.leaves.length, rewrites: rewrites.length }
}

/**
 * Runs the model again: slots 3, 6, 7, 8 to slot 5.
 *
 * - `effectiveLeaves`: all leaves of body 2; `salt`: salt_19, 16 bytes
 * - `outputLeaves`: the claimed output; needed only to compare tensors within the tolerance of a profile that is not exact
 * - returns: `isExact` says whether the profile is exact; `maxDifference` is set when tensors were equal only within tolerance
 *
 * Throws: `Recompute.MismatchError`, `Recompute.EngineMissingError`, what the engine throws.
 */
export async function recomputeExecuted(
  crypto: Crypto,
  pieces: {
    readonly effectiveLeaves: readonly Uint8Array[]
    readonly outputLeaves?: readonly Uint8Array[] | undefined
    readonly claims: {
      readonly model: Uint8Array
      readonly weights: Uint8Array
      readonly engine: EngineClaim
      readonly output: LeavesClaim
    }
    readonly salt: Uint8Array
    readonly executor: Executor
    readonly signal?: AbortSignal | undefined
  },
): Promise<{ readonly isExact: boolean; readonly count: number; readonly maxDifference?: number }> {
  const { claims } = pieces
  const engine = await pieces.executor(claims.model, claims.engine.profile, claims.engine.build)
  if (engine === undefined) throw new EngineMissingError(claims.engine.profile)
  const { manifest } = engine.model
  assertModel(crypto, 'executed', engine.model, claims.model)
  if (!Bytes.equal(engine.weightsRoot, claims.weights)) throw new MismatchError('executed', 'weights')
  const isExact = Profiles.isExact(claims.engine.profile)

  if (manifest.kind === 'tensor') {
    if (engine.infer === undefined) throw new EngineMissingError(claims.engine.profile)
    const inputs = attempt('executed', 'effective-request', () => Tensor.fromLeaves(pieces.effectiveLeaves))
    const leaves = Tensor.outputLeaves(await engine.infer(inputs), manifest)
    if (isExact || pieces.outputLeaves === undefined) {
      assertLeaves(crypto, 'executed', claims.output, 'tensors', pieces.salt, leaves)
      return { isExact, count: leaves.length }
    }
    assertLeaves(crypto, 'executed', claims.output, 'tensors', pieces.salt, pieces.outputLeaves)
    const maxDifference = differenceWithin(leaves, pieces.outputLeaves)
    return { isExact, count: leaves.length, maxDifference }
  }

  const { sampling } = claims.engine
  if (sampling === undefined) throw new MismatchError('executed', 'sampling')
  // Texts that no request could have led to: JavaScript would read them as some number or as NaN.
  const isTemperature = Chat.isDecimal(sampling.temperature, (value) => value >= 0 && value <= 2)
  const isTopP = Chat.isDecimal(sampling.topP, (value) => value > 0 && value <= 1)
  if (!isTemperature || !isTopP) throw new MismatchError('executed', 'sampling')
  if (engine.lm === undefined) throw new EngineMissingError(claims.engine.profile)
  const tokenizer = loadTokenizer(crypto, 'executed', engine.model)
  const model = Chat.assertChat(manifest, tokenizer)
  const { params, tokens } = attempt('executed', 'effective-request', () => Chat.fromLeaves(pieces.effectiveLeaves))
  if (tokens.length === 0 || tokens.length + params.maxTokens > model.architecture.context) {
    throw new MismatchError('executed', 'effective-request')
  }
  if (tokens.some((token) => token >= model.architecture.vocab))
    throw new MismatchError('executed', 'effective-request')
  const generated = await Generate.generate(crypto, {
    lm: engine.lm,
    prepared: { params, tokens, sampling },
    manifest,
    tokenizer,
    signal: pieces.signal,
  })
  assertLeaves(crypto, 'executed', claims.output, 'tokens', pieces.salt, Body.tokenLeaves(generated.tokens))
  return { isExact, count: generated.tokens.length }
}

/**
 * Writes the answer again: slot 5 to slot 4.
 *
 * - `responseChunks`: all leaves of body 3; `outputLeaves`: all leaves of body 4
 *
 * Throws: `Recompute.MismatchError`.
 */
export function recomputeRendered(
  crypto: Crypto,
  pieces: {
    readonly request: RequestPiece
    readonly outputLeaves: readonly Uint8Array[]
    readonly responseChunks: readonly Uint8Array[]
    readonly claims: {
      readonly model: Uint8Array
      readonly response: { readonly status: number; readonly mediaType: string }
      readonly engine?: Pick<EngineClaim, 'sampling'> | undefined
    }
    readonly model: LocalModel
  },
): { readonly chunks: number; readonly bytes: number } {
  const { response } = pieces.claims
  const again = prepareAgain(crypto, pieces, pieces.claims.engine?.sampling, 'rendered')
  const isStream = again.kind === 'tokens' && again.prepared.stream
  if (response.status !== 200) throw new MismatchError('rendered', 'status')
  // Parameters of a media type, such as charset, change no byte of the body.
  const mediaType = response.mediaType.split(';', 1)[0]
  if (mediaType !== (isStream ? Render.mediaTypes.stream : Render.mediaTypes.unary)) {
    throw new MismatchError('rendered', 'media-type')
  }
  const expected = attempt('rendered', 'output', () => {
    if (again.kind === 'tensors') {
      const output = Tensor.fromLeaves(pieces.outputLeaves)
      Tensor.outputLeaves(output, pieces.model.manifest)
      return [Tensor.renderInfer(again.prepared, output)]
    }
    const first = pieces.responseChunks[0]
    if (first === undefined) throw new MismatchError('rendered', 'chunks')
    const subject = {
      ...Render.extractFreeFields(first),
      prepared: again.prepared,
      manifest: pieces.model.manifest,
      tokenizer: again.tokenizer,
      output: Body.tokensOf(pieces.outputLeaves),
    }
    return isStream ? Render.streamChunks(subject) : [Render.unaryBody(subject)]
  })
  if (expected.length !== pieces.responseChunks.length) throw new MismatchError('rendered', 'chunks')
  let bytes = 0
  for (const [index, chunk] of expected.entries()) {
    if (!Bytes.equal(chunk, pieces.responseChunks[index] as Uint8Array)) {
      throw new MismatchError('rendered', 'bytes', [`Chunk: ${index}`])
    }
    bytes += chunk.length
  }
  return { chunks: expected.length, bytes }
}

type Again =
  | { readonly kind: 'tokens'; readonly prepared: Chat.Prepared; readonly tokenizer: Tokenizer.Tokenizer }
  | { readonly kind: 'tensors'; readonly prepared: Tensor.PreparedInfer }

function prepareAgain(
  crypto: Crypto,
  pieces: {
    readonly request: RequestPiece
    readonly claims: { readonly model: Uint8Array }
    readonly model: LocalModel
  },
  sampling: Claims.Sampling | undefined,
  relation: Relation,
): Again {
  const { request, model } = pieces
  const { manifest } = model
  assertModel(crypto, relation, model, pieces.claims.model)
  if (request.method !== 'POST') throw new MismatchError(relation, 'target')
  if (manifest.kind === 'tensor') {
    const name = /^\/v2\/models\/([A-Za-z0-9._-]+)\/infer$/.exec(request.target)?.[1]
    if (name === undefined) throw new MismatchError(relation, 'target')
    const prepared = attempt(relation, 'request', () => Tensor.prepareInfer(request.body, manifest, name))
    return { kind: 'tensors', prepared }
  }
  if (request.target !== '/v1/chat/completions') throw new MismatchError(relation, 'target')
  const tokenizer = loadTokenizer(crypto, relation, model)
  const drawnSeed = sampling === undefined ? 0n : sampling.seed
  const prepared = attempt(relation, 'request', () =>
    Chat.prepare(crypto, { body: request.body, manifest, tokenizer, drawnSeed }),
  )
  return { kind: 'tokens', prepared, tokenizer }
}

function assertModel(crypto: Crypto, relation: Relation, model: LocalModel, manifestHash: Uint8Array): void {
  if (!Bytes.equal(crypto.sha256(model.manifestBytes), manifestHash)) throw new MismatchError(relation, 'manifest')
}

/** The tokenizer counts only if it is the file that the manifest names. */
function loadTokenizer(crypto: Crypto, relation: Relation, model: LocalModel): Tokenizer.Tokenizer {
  const { tokenizer, manifest } = model
  const file = manifest.files.find(({ path }) => path === manifest.tokenizer)
  if (tokenizer === undefined || file === undefined || !Bytes.equal(crypto.sha256(tokenizer), file.sha256)) {
    throw new MismatchError(relation, 'tokenizer')
  }
  return attempt(relation, 'tokenizer', () => Tokenizer.load(tokenizer))
}

function assertLeaves(
  crypto: Crypto,
  relation: Relation,
  claim: LeavesClaim,
  kind: keyof typeof kinds,
  salt: Uint8Array,
  leaves: readonly Uint8Array[],
): void {
  if (claim.kind !== kinds[kind]) throw new MismatchError(relation, 'kind')
  if (claim.count !== leaves.length) {
    throw new MismatchError(relation, 'count', [`Claimed: ${claim.count}`, `Computed: ${leaves.length}`])
  }
  if (!Bytes.equal(Body.root(crypto, salt, leaves), claim.root)) throw new MismatchError(relation, 'root')
}

/** The largest difference of FP32 values, all within the tolerance; INT64 values and descriptions must be equal. */
function differenceWithin(mine: readonly Uint8Array[], theirs: readonly Uint8Array[]): number {
  const left = Tensor.fromLeaves(mine)
  const right = attempt('executed', 'output', () => Tensor.fromLeaves(theirs))
  if (!Bytes.equal(mine[0] as Uint8Array, theirs[0] as Uint8Array)) throw new MismatchError('executed', 'output')
  let largest = 0
  for (const [index, tensor] of left.entries()) {
    const other = right[index] as Tensor.Tensor
    if (tensor.datatype === 'INT64') {
      if (!Bytes.equal(tensor.data, other.data)) throw new MismatchError('executed', 'output')
      continue
    }
    const claimed = Tensor.toFloats(other)
    for (const [i, value] of Tensor.toFloats(tensor).entries()) {
      const difference = Math.abs(value - (claimed[i] as number))
      const { absolute, relative } = Profiles.tolerance
      // Written so that NaN fails.
      if (!(difference <= absolute + relative * Math.abs(claimed[i] as number))) {
        throw new MismatchError('executed', 'output', [`Difference: ${difference}`])
      }
      largest = Math.max(largest, difference)
    }
  }
  return largest
}

/** What the pure functions refuse is a mismatch here, with the refusal as its cause. */
function attempt<T>(relation: Relation, what: Difference, action: () => T): T {
  try {
    return action()
  } catch (cause) {
    if (cause instanceof MismatchError) throw cause
    throw new MismatchError(relation, what, [], cause)
  }
}

/** A relation that running again can back. */
export type Relation = 'prepared' | 'executed' | 'rendered'

/** What differed. */
export type Difference =
  | 'manifest'
  | 'tokenizer'
  | 'weights'
  | 'target'
  | 'request'
  | 'effective-request'
  | 'kind'
  | 'count'
  | 'root'
  | 'rewrites'
  | 'sampling'
  | 'output'
  | 'status'
  | 'media-type'
  | 'chunks'
  | 'bytes'

/** The reader's own computation gives something else than was claimed; it accuses nobody. */
export class MismatchError extends VerificationError<'mismatch'> {
  override readonly name = 'Recompute.MismatchError'
  readonly relation: Relation
  readonly difference: Difference
  constructor(relation: Relation, difference: Difference, facts: readonly string[] = [], cause?: unknown) {
    super('mismatch', `Computing "${relation}" again gives another result (${difference}).`, {
      facts,
      ...(cause === undefined ? {} : { cause }),
    })
    this.relation = relation
    this.difference = difference
  }
}

/** The reader has no engine for this model, profile and build. */
export class EngineMissingError extends UnavailableError<'engine-missing'> {
  override readonly name = 'Recompute.EngineMissingError'
  constructor(profile: string) {
    super('engine-missing', 'No engine here runs this model under this profile and build.', {
      facts: [`Profile: ${profile}`],
    })
  }
}
