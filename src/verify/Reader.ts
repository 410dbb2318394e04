/**
 * Reader.ts - what the reader brings: trust anchors, names, a view of the chain. Nothing of it comes from a bundle.
 * Source: spec/bundle.md section 4, spec/verdict.md.
 */
import type * as TrustAnchors from '../chain/TrustAnchors.ts'

/** What this reader's own chain connection shows at this moment; without a connection there is none. */
export type ChainView = {
  readonly chainId: bigint
  /** Newest block known to the reader. */
  readonly newest: bigint
  /** Pairs that are canonical in this view (looked up by the reader for the numbers that a bundle names). */
  readonly blocks: readonly { readonly number: bigint; readonly hash: Uint8Array }[]
}

/** The reader's own side of a verdict. */
export type Reader = {
  /** One entry per chain that the reader trusts; empty means that nothing on a chain counts. */
  readonly anchors: readonly TrustAnchors.TrustAnchors[]
  readonly view?: ChainView
  /** keyIds (32 bytes) of witnesses that the reader holds independent. */
  readonly witnesses: readonly Uint8Array[]
  /** Operators (20 bytes) whose word the reader relies on by name. */
  readonly operators: readonly Uint8Array[]
  /** Rewrites (`code path detail`) that the reader allows under `subsetOf: "reader"`. */
  readonly rewrites: readonly string[]
}

/** A reader who trusts nothing: every claim about the chain stays UNCHECKED. */
export const nobody: Reader = { anchors: [], witnesses: [], operators: [], rewrites: [] }
