/**
 * Finality.ts - which headers count for a reader. Source: spec/bundle.md section 4, spec/verdict.md section 2.
 *
 * Two rules: `development`, one sequencer that the reader watched, which never passes the policy `strict`; `quorum:k/n`, what k of
 * the reader's n endpoints called final (`Quorum.ts`).
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { Contract, TrustAnchors } from './TrustAnchors.ts'

/** What state proofs showed, as far as trust depends on it. */
export type Subject = {
  readonly chainId: bigint
  readonly header: { readonly number: bigint /** 32 bytes, recomputed from the RLP. */; readonly hash: Uint8Array }
  readonly nodeRegistry: Contract
  /** Only if something of AnchorLog was proven. */
  readonly anchorLog?: Contract | undefined
}

/** Why a proof does not count: the text that a verdict shows. */
export type Reason =
  | 'no trust anchors for this chain'
  | 'no trust anchors for these contracts'
  | 'other contract code than trusted'
  | 'no trusted header'

/** The reader's judgement about one proof. */
export type Judgement =
  | { readonly trusted: TrustAnchors; readonly assumptions: readonly string[] }
  | { readonly trusted: undefined; readonly reason: Reason }

/** Judges a proof by the reader's trust anchors: chain, contracts, code hashes, then the (number, hash) of the header. */
export function judge(anchors: readonly TrustAnchors[], subject: Subject): Judgement {
  const { anchorLog, header, nodeRegistry } = subject
  const ofChain = anchors.filter((one) => one.chainId === subject.chainId)
  if (ofChain.length === 0) return { trusted: undefined, reason: 'no trust anchors for this chain' }
  const named = ofChain.filter(
    (one) =>
      Bytes.equal(one.nodeRegistry.address, nodeRegistry.address) &&
      (anchorLog === undefined || Bytes.equal(one.anchorLog.address, anchorLog.address)),
  )
  if (named.length === 0) return { trusted: undefined, reason: 'no trust anchors for these contracts' }
  const sameCode = named.filter(
    (one) =>
      Bytes.equal(one.nodeRegistry.codeHash, nodeRegistry.codeHash) &&
      (anchorLog === undefined || Bytes.equal(one.anchorLog.codeHash, anchorLog.codeHash)),
  )
  if (sameCode.length === 0) return { trusted: undefined, reason: 'other contract code than trusted' }
  const trusted = sameCode.find((one) => holds(one, header))
  if (trusted === undefined) return { trusted: undefined, reason: 'no trusted header' }
  return { trusted, assumptions: assumptions(trusted) }
}

/** The parties one relies on under the anchors' rule, as verdict atoms. */
export function assumptions(anchors: Pick<TrustAnchors, 'chainId' | 'finality'>): readonly string[] {
  const chain = `chain:${anchors.finality}:${anchors.chainId}`
  return anchors.finality === 'development' ? [chain, `sequencer:${anchors.chainId}`] : [chain]
}

/** Binary search: a reader may keep tens of thousands of headers. */
function holds(anchors: TrustAnchors, header: Subject['header']): boolean {
  let low = 0
  let high = anchors.headers.length
  while (low < high) {
    const middle = (low + high) >> 1
    const candidate = anchors.headers[middle]
    if (candidate === undefined) return false
    if (candidate.number === header.number) return Bytes.equal(candidate.hash, header.hash)
    if (candidate.number < header.number) low = middle + 1
    else high = middle
  }
  return false
}
