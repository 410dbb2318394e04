/**
 * Recomputation.ts - what the reader found when it ran the call again. Source: spec/execution.md section 6.
 */

/** Result for one relation: the same bytes, other bytes (nobody is accused), or not possible with what is there. */
export type Outcome =
  | { readonly kind: 'same'; readonly backing: 'recomputed' | 'reexecuted'; readonly because: string }
  | { readonly kind: 'mismatch'; readonly because: string }
  | { readonly kind: 'unavailable'; readonly because: string }

/** Relations that a reader can recompute; what was not asked for is left out. */
export type Recomputation = { readonly prepared?: Outcome; readonly executed?: Outcome; readonly rendered?: Outcome }
