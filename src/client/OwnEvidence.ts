/**
 * OwnEvidence.ts - the fault files that a reader keeps, for a verdict that is made without a client: the same that a client takes into its
 * own verdicts. Source: spec/client.md section 3.
 */
import type * as Bundle from '../protocol/Bundle.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import * as CounterEvidence from '../verify/CounterEvidence.ts'
import * as Accused from './Accused.ts'
import type { ChainAccess } from './ChainAccess.ts'
import type * as Evidence from './Evidence.ts'
import type { FaultStore } from './Stores.ts'
import * as Suspicions from './Suspicions.ts'
import { memoryWatchStore } from './WatchStore.ts'

/** Most fault files that a verdict takes. */
export const maxFiles = CounterEvidence.maxFiles

/**
 * Reads the files that may concern a receipt's keys, those that hold first; writes nothing.
 *
 * - `chain`: asked for what the files rest on; without it, or an answer, they show what they show by themselves
 * - `limit`: most files, at most `maxFiles` less those that the verdict is given besides
 * - returns: `faults` and `known` of `Verdict.verify`
 *
 * Throws: what the store throws.
 *
 * @example
 * const { files, known } = await OwnEvidence.about({ crypto, faults, chain: undefined }, bundle, 64)
 */
export function about(
  parts: { readonly crypto: Crypto; readonly faults: FaultStore; readonly chain: ChainAccess | undefined },
  bundle: Bundle.Bundle,
  limit: number,
): Promise<{ readonly files: readonly Uint8Array[]; readonly known: Evidence.Known }> {
  return Suspicions.create({ ...parts, store: memoryWatchStore() }).about(Accused.keysOf(bundle), limit)
}
