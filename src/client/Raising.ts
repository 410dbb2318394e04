/**
 * Raising.ts - lifts a bundle's anchoring: inclusion proof, then chain proof, then a header that is final for this reader.
 * Source: spec/wire.md section 3, spec/bundle.md. Every piece is checked before it is kept.
 */
import type * as ChainPiece from '../chain/ChainPiece.ts'
import * as Bundle from '../protocol/Bundle.ts'
import * as BundleCut from '../protocol/BundleCut.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Checkpoint from '../protocol/Checkpoint.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError, UnavailableError, VerificationError } from '../protocol/errors.ts'
import * as Head from '../protocol/Head.ts'
import * as LogEntry from '../protocol/LogEntry.ts'
import * as Merkle from '../protocol/Merkle.ts'
import * as Pledge from '../protocol/Pledge.ts'
import type { ChainAccess } from './ChainAccess.ts'
import { besideTimeoutMs } from './Exchange.ts'
import * as HttpBody from './HttpBody.ts'
import * as Published from './Published.ts'
import type { AnchorStore } from './Stores.ts'

/** What raising needs of the world. */
export type Parts = {
  readonly crypto: Crypto
  readonly fetch: typeof globalThis.fetch
  readonly baseUrl: string
  readonly chain: ChainAccess | undefined
  readonly anchors: AnchorStore
  /** keyIds of witnesses whose cosignatures are kept; others are cut before saving. */
  readonly witnesses: readonly Uint8Array[]
  /** Told the log's answers as they came, true or not. */
  readonly sawState?: (stated: Stated) => Promise<void>
}

/** A log's answer about the leaf of a receipt; `logKey`: 64 bytes. */
export type Stated = {
  readonly pledge: Pledge.Pledge
  readonly logKey: Uint8Array
  readonly leafHash: Uint8Array
  readonly checkpoint: Bundle.CheckpointPiece
}

/** The bundle after one attempt; `isFinal`: nothing more can rise. */
export type Raised = { readonly bundle: Bundle.Bundle; readonly changed: boolean; readonly isFinal: boolean }

/** Longest answer of the log's proof endpoint: 63 hashes and 16 cosignatures as JSON. */
const maxProofBytes = 64 * 1024
/** Final headers under which stake is asked for in vain before a receipt is final without it: half a minute of a development chain, hours elsewhere. */
const maxHeadersWithoutStake = 32

/** By receipt, the final headers under which neither stake nor its absence could be shown; as long as the parts live. */
const withoutStake = new WeakMap<Parts, Map<string, Set<bigint>>>()

/** By receipt, published states that the chain does not show yet; as long as the parts live. */
const published = new WeakMap<Parts, Map<string, Bundle.CheckpointPiece>>()
/** More receipts than a client has pending; beyond it the first ones are looked up, or counted, anew. */
const maxRemembered = 10_000

/**
 * One step upwards, as far as possible now. Throws only for evidence that is false; what is not there yet is no error.
 */
export async function raise(parts: Parts, bundle: Bundle.Bundle): Promise<Raised> {
  if (bundle.pledge === undefined || parts.chain === undefined) return { bundle, changed: false, isFinal: false }
  const withProof = (await includedIn(parts, bundle)) ?? bundle
  const raised = await anchoredIn(parts, parts.chain, withProof)
  return { ...raised, changed: raised.changed || withProof !== bundle }
}

/** The inclusion proof under the first anchored size that covers the leaf, once the log has one. */
async function includedIn(parts: Parts, bundle: Bundle.Bundle): Promise<Bundle.Bundle | undefined> {
  const { crypto } = parts
  if (bundle.pledge === undefined || bundle.keys.log === undefined) return undefined
  // Until the size is shown to be anchored another may take its place: a log could name one that it never anchors.
  if (bundle.chain?.anchorLog?.step0 !== undefined) return undefined
  const pledge = Pledge.parse(bundle.pledge.words)
  const url = new URL(`/log/${Bytes.toHex(pledge.logId)}/proof?index=${pledge.leafIndex}`, parts.baseUrl)
  const response = await parts
    .fetch(url, { redirect: 'error', signal: AbortSignal.timeout(besideTimeoutMs) })
    .catch(() => undefined)
  if (response === undefined || !response.ok) {
    if (response !== undefined) await HttpBody.discard(response)
    return undefined
  }
  const proof = parseProof(await HttpBody.readText(response, maxProofBytes))
  const leafHash = leafOf(crypto, bundle)
  await parts.sawState?.({ pledge, logKey: bundle.keys.log, leafHash, checkpoint: proof })
  Merkle.verifyInclusion(crypto, {
    leafHash,
    index: pledge.leafIndex,
    size: proof.size,
    proof: proof.proof,
    root: proof.root,
  })
  const { chainId, anchorLog, logId } = pledge
  const payload = Checkpoint.payload(
    crypto,
    Checkpoint.words({ chainId, anchorLog, logId, size: proof.size, root: proof.root }),
  )
  await Cose.verify(crypto, { tag: 'checkpoint', payload, signature: proof.signature, publicKey: bundle.keys.log })
  return { ...bundle, checkpoint: { ...proof, cosignatures: await goodLines(parts, payload, proof.cosignatures) } }
}

function leafOf(crypto: Crypto, bundle: Bundle.Bundle): Uint8Array {
  return LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, bundle.receipt.head))
}

/**
 * The same from the log's published files, for a receipt about which the log does not answer although its time has come. It is taken
 * once the chain has anchored that very state: until then another may take its place, and one that the chain passes over is let go.
 */
async function publishedFor(
  parts: Parts,
  chain: ChainAccess,
  bundle: Bundle.Bundle,
  pledge: Pledge.Pledge,
  finalBlock: bigint,
): Promise<Bundle.CheckpointPiece | undefined> {
  const { crypto } = parts
  if (bundle.checkpoint !== undefined || bundle.keys.log === undefined) return undefined
  if (finalBlock < pledge.issuedAtBlock + Published.patienceBlocks) return undefined
  const states = published.get(parts) ?? new Map<string, Bundle.CheckpointPiece>()
  published.set(parts, states)
  const name = Bytes.toHex(Head.hash(crypto, bundle.receipt.head))
  let state = states.get(name)
  if (state === undefined) {
    const found = await Published.find(parts, pledge, bundle.keys.log)
    if (found === undefined) return undefined
    await parts.sawState?.({ pledge, logKey: bundle.keys.log, leafHash: found.leafHash, checkpoint: found.checkpoint })
    // Another leaf in this place is no proof of this one.
    if (!Bytes.equal(found.leafHash, leafOf(crypto, bundle))) return undefined
    state = found.checkpoint
    if (states.size >= maxRemembered) states.clear()
    states.set(name, state)
  }
  const step = await chain.step(pledge.logId, state.size)
  const isPassedOver = step === undefined && ((await chain.logHead(pledge.logId))?.size ?? 0n) > state.size
  if (step !== undefined || isPassedOver) states.delete(name)
  return step !== undefined && Bytes.equal(step.root, state.root) ? state : undefined
}

/** Cosignatures of known witnesses that hold, one for each key, sorted; the gateway can not spoil a receipt with others. */
async function goodLines(
  { crypto, witnesses }: Parts,
  payload: Uint8Array,
  lines: Bundle.CheckpointPiece['cosignatures'],
): Promise<Bundle.CheckpointPiece['cosignatures']> {
  const good = new Map<string, (typeof lines)[number]>()
  for (const line of lines.slice(0, Bundle.maxCosignatures)) {
    const { publicKey, signature } = line
    if (publicKey.length !== 64) continue
    if (!witnesses.some((keyId) => Bytes.equal(keyId, Cose.keyId(crypto, publicKey)))) continue
    try {
      await Cose.verify(crypto, { tag: 'cosign', payload, signature, publicKey })
    } catch (error) {
      if (BaseError.isInstance(error)) continue
      throw error
    }
    good.set(Bytes.toHex(publicKey), line)
  }
  return [...good.values()].sort((a, b) => Bytes.compare(a.publicKey, b.publicKey))
}

/** The chain proof; replaced by one under a final header as soon as there is one. */
async function anchoredIn(parts: Parts, chain: ChainAccess, bundle: Bundle.Bundle): Promise<Raised> {
  if (bundle.pledge === undefined) return { bundle, changed: false, isFinal: false }
  const head = Head.parse(bundle.receipt.head)
  const pledge = Pledge.parse(bundle.pledge.words)
  const log = { logId: pledge.logId, ...(bundle.checkpoint === undefined ? {} : { size: bundle.checkpoint.size }) }
  try {
    const query = { nodeId: head.nodeId, keyEpoch: head.keyEpoch, log }
    const { piece, header, isFinal, isStakeOpen } = await chain.piece(query)
    if (isFinal) await parts.anchors.addHeader(chain.chainId, header)
    const found = isFinal ? await publishedFor(parts, chain, bundle, pledge, header.number) : undefined
    if (found !== undefined) return { bundle: { ...bundle, checkpoint: found }, changed: true, isFinal: false }
    const isWhole = isFinal && bundle.checkpoint !== undefined
    const mayRise = isWhole && isStakeOpen === true && mayShowStake(parts, bundle, header.number)
    return { bundle: { ...bundle, chain: toBundle(piece) }, changed: true, isFinal: isWhole && !mayRise }
  } catch (error) {
    if (error instanceof UnavailableError) return { bundle, changed: false, isFinal: false }
    throw error
  }
}

/** A proof of stake that did not come is asked for again, but an endpoint that never gives it holds no receipt back for ever. */
function mayShowStake(parts: Parts, bundle: Bundle.Bundle, headerNumber: bigint): boolean {
  const receipts = withoutStake.get(parts) ?? new Map<string, Set<bigint>>()
  withoutStake.set(parts, receipts)
  const name = Bytes.toHex(Head.hash(parts.crypto, bundle.receipt.head))
  const headers = (receipts.get(name) ?? new Set()).add(headerNumber)
  receipts.set(name, headers)
  const [oldest] = receipts.keys()
  if (receipts.size > maxRemembered && oldest !== undefined) receipts.delete(oldest)
  if (headers.size <= maxHeadersWithoutStake) return true
  receipts.delete(name)
  return false
}

function parseProof(text: string): Bundle.CheckpointPiece {
  try {
    const data = JSON.parse(text) as {
      size: unknown
      root: unknown
      signature: unknown
      proof: unknown
      cosignatures: unknown
    }
    const bytes = (value: unknown) => Bytes.fromBase64url(String(value))
    const list = (value: unknown): unknown[] => {
      if (!Array.isArray(value)) throw new ProofError('has no list')
      return value
    }
    if (typeof data.size !== 'string' || !/^[1-9][0-9]{0,18}$/.test(data.size)) throw new ProofError('has no size')
    return {
      size: BigInt(data.size),
      root: bytes(data.root),
      signature: bytes(data.signature),
      proof: list(data.proof).map(bytes),
      cosignatures: list(data.cosignatures).map((item) => {
        const { publicKey, signature } = item as { publicKey: unknown; signature: unknown }
        return { publicKey: bytes(publicKey), signature: bytes(signature) }
      }),
    }
  } catch (cause) {
    if (cause instanceof ProofError) throw cause
    throw new ProofError('cannot be read', cause)
  }
}

/** A chain piece as it stands in a bundle: pieces that are not there are left out. */
function toBundle(piece: ChainPiece.ChainPiece): Bundle.ChainPiece {
  const { header, blockHash, registry, anchorLog, stake } = piece
  if (anchorLog === undefined) return { header, blockHash, registry }
  const { account, record0, record1, step0, step1 } = anchorLog
  const step = step0 === undefined || step1 === undefined ? {} : { step0, step1 }
  const log = { account, record0, record1, ...step }
  return { header, blockHash, registry, anchorLog: log, ...(stake === undefined ? {} : { stake }) }
}

/** A copy without what the holder does not know, ready to be saved. */
export function withoutStrangers(
  crypto: Crypto,
  bundle: Bundle.Bundle,
  witnesses: readonly Uint8Array[],
): Bundle.Bundle {
  const keep = (bundle.checkpoint?.cosignatures ?? [])
    .map((line) => line.publicKey)
    .filter((key) => witnesses.some((keyId) => Bytes.equal(keyId, Cose.keyId(crypto, key))))
  return BundleCut.cut(crypto, bundle, { keepCosigners: keep })
}

/** The log's answer is not a proof. */
export class ProofError extends VerificationError<'log-proof-malformed'> {
  override readonly name = 'Raising.ProofError'
  constructor(problem: string, cause?: unknown) {
    super('log-proof-malformed', `The log's proof ${problem}.`, cause === undefined ? {} : { cause })
  }
}
