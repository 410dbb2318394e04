/**
 * Settling.ts - anchors what a log has signed and not brought to the chain itself: anybody may, from the log's public files.
 * Source: spec/log.md section 4, spec/contracts.md section 4.
 *
 * Nothing of the files is believed: signatures are checked under the key that AnchorLog has registered, and every state must
 * continue the anchored one by a proof built from the tiles.
 */
import * as CourtCalls from '../chain/CourtCalls.ts'
import type * as Rpc from '../chain/Rpc.ts'
import type * as Sender from '../chain/Sender.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Checkpoint from '../protocol/Checkpoint.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import { BaseError, UnavailableError, UsageError } from '../protocol/errors.ts'
import * as Note from '../protocol/Note.ts'
import { besideTimeoutMs } from './Exchange.ts'
import * as HttpBody from './HttpBody.ts'
import * as Tiles from './Tiles.ts'

/** A log whose files are public. */
export type Options = {
  readonly crypto: Crypto
  readonly rpc: Rpc.Rpc
  /** 20 bytes. */
  readonly anchorLog: Uint8Array
  /** 32 bytes. */
  readonly logId: Hash
  /** Where its files lie: `checkpoint`, `tile/...`. */
  readonly folderUrl: string
  readonly fetch?: typeof globalThis.fetch
}

/** A state that can be anchored. */
export type Step = {
  readonly size: bigint
  readonly root: Hash
  /** 64 bytes. */
  readonly signature: Uint8Array
  /** From the state before it, or from the chain's head. */
  readonly proof: readonly Hash[]
}

/** What there is to do for a log. */
export type Found = {
  /** What the chain has. */
  readonly head: { readonly size: bigint; readonly root: Hash }
  readonly steps: readonly Step[]
}

/** AnchorLog's limit on one call. */
const maxSteps = 16
/** Sixteen states as JSON. */
const maxBytes = 16 * 1024

/**
 * States that the log has signed above the chain's head, checked; none means that there is nothing to do.
 *
 * Throws: `Settling.UnknownLogError`, `Tiles.WithheldError` when its files do not show what it signed, `Rpc.RequestError`.
 */
export async function find(options: Options): Promise<Found> {
  const { crypto, rpc, anchorLog, logId, folderUrl } = options
  const fetch = options.fetch ?? globalThis.fetch
  const record = await CourtCalls.logRecord(rpc, anchorLog, logId)
  if (record === undefined) throw new UnknownLogError(logId)
  const head = { size: record.headSize, root: record.headRoot }
  const about = { chainId: rpc.chainId, anchorLog, logId, publicKey: record.publicKey }
  const tiles = Tiles.create({ crypto, fetch, logId, baseUrl: folderUrl, folderUrl })
  const steps: Step[] = []
  let before: Tiles.State = head
  for (const state of await signedStates(options, fetch, tiles, about)) {
    if (state.size <= before.size || steps.length === maxSteps) continue
    const proof = await tiles.consistency(before, state)
    steps.push({ ...state, proof })
    before = state
  }
  return { head, steps }
}

/**
 * Anchors what was found, from the sender's account; returns where it was mined.
 *
 * Throws: as `Sender.send`.
 */
export function anchor(
  sender: Sender.Sender,
  of: { readonly anchorLog: Uint8Array; readonly logId: Hash },
  steps: readonly Step[],
): Promise<Sender.Mined> {
  return sender.send({ to: of.anchorLog, data: CourtCalls.anchor(of.logId, steps) })
}

type Signed = Omit<Step, 'proof'>
type About = {
  readonly chainId: bigint
  readonly anchorLog: Uint8Array
  readonly logId: Hash
  readonly publicKey: Uint8Array
}

/** By size. The list of the gateway, and the published checkpoint, which any host of the files has. */
async function signedStates(
  { crypto, folderUrl }: Options,
  fetch: typeof globalThis.fetch,
  tiles: Tiles.Tiles,
  about: About,
): Promise<readonly Signed[]> {
  const found = new Map<bigint, Signed>()
  for (const state of await listed(fetch, folderUrl))
    if (await isSigned(crypto, about, state)) found.set(state.size, state)
  try {
    const note = Note.parse(await tiles.checkpoint())
    const { statement, signature } = await Checkpoint.fromNote(crypto, note, about)
    found.set(statement.size, { size: statement.size, root: statement.root, signature })
  } catch (error) {
    // A log that never signed one has no file; a file that is not the log's is as good as none.
    if (!BaseError.isInstance(error)) throw error
    if (found.size === 0 && !(error instanceof Tiles.WithheldError)) throw new UnreadableError(error)
  }
  return [...found.values()].sort((a, b) => (a.size < b.size ? -1 : 1))
}

async function listed(fetch: typeof globalThis.fetch, folderUrl: string): Promise<readonly Signed[]> {
  try {
    const url = new URL('unanchored', folderUrl.endsWith('/') ? folderUrl : `${folderUrl}/`)
    const response = await HttpBody.reach(
      fetch(url, { redirect: 'error', signal: AbortSignal.timeout(besideTimeoutMs) }),
    )
    if (!response.ok) {
      await HttpBody.discard(response)
      return []
    }
    const { checkpoints } = JSON.parse(await HttpBody.readText(response, maxBytes)) as {
      readonly checkpoints: readonly { readonly size: string; readonly root: string; readonly signature: string }[]
    }
    return checkpoints.slice(0, maxSteps).map(({ size, root, signature }) => ({
      size: BigInt(size),
      root: Bytes.fromBase64url(root),
      signature: Bytes.fromBase64url(signature),
    }))
  } catch {
    // Whatever is wrong with the list: the published checkpoint is enough.
    return []
  }
}

async function isSigned(crypto: Crypto, about: About, { size, root, signature }: Signed): Promise<boolean> {
  const { publicKey, chainId, anchorLog, logId } = about
  try {
    const payload = Checkpoint.payload(crypto, Checkpoint.words({ chainId, anchorLog, logId, size, root }))
    await Cose.verify(crypto, { tag: 'checkpoint', payload, signature, publicKey })
    return true
  } catch (error) {
    if (BaseError.isInstance(error)) return false
    throw error
  }
}

/** AnchorLog knows no such log. */
export class UnknownLogError extends UsageError<'unknown-log'> {
  override readonly name = 'Settling.UnknownLogError'
  constructor(logId: Hash) {
    super('unknown-log', 'AnchorLog knows no such log.', { facts: [`Log: ${Bytes.toHex(logId)}`] })
  }
}

/** What the log has published is no checkpoint of its key. */
export class UnreadableError extends UnavailableError<'log-files-withheld'> {
  override readonly name = 'Settling.UnreadableError'
  constructor(cause: BaseError) {
    super('log-files-withheld', 'What the log has published is no checkpoint of its key.', {
      facts: cause.facts,
      cause,
    })
  }
}
