/**
 * CounterEvidence.ts - `.fault` files that the reader holds, judged by the pure functions and related to one receipt.
 * Source: spec/bundle.md section 3, spec/verdict.md section 5.
 */
import type * as Bundle from '../protocol/Bundle.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { LimitError } from '../protocol/errors.ts'
import * as Fault from '../protocol/Fault.ts'
import type { Facts } from './Integrity.ts'
import type { Judgement } from './Judgement.ts'

/** A fault that its function accepts and that concerns the receipt's node key or log. */
export type Found = { readonly id: 'F1' | 'F3' | 'F5'; readonly accused: string; readonly because: string }

/** Most fault files judged per verdict: each costs up to two signature checks. */
export const maxFiles = 64

/**
 * Judges the files and keeps those that hold and concern this receipt. A file that its function refuses, or that accuses somebody
 * else, is left out: it says nothing about this receipt.
 */
export async function judge(
  crypto: Crypto,
  options: {
    readonly files: readonly Uint8Array[]
    readonly bundle: Bundle.Bundle
    readonly facts: Facts
    readonly judgement: Judgement
  },
): Promise<Found[]> {
  const { bundle, facts, judgement } = options
  const node = Cose.keyId(crypto, bundle.keys.node)
  const log = bundle.keys.log === undefined ? undefined : Cose.keyId(crypto, bundle.keys.log)
  const anchored = anchoredIn(facts, judgement)
  const found: Found[] = []
  if (options.files.length > maxFiles)
    throw new LimitError({ what: 'Number of fault files', limit: maxFiles, got: options.files.length })
  for (const file of options.files) {
    let finding: Fault.Finding
    try {
      finding = await Fault.judge(crypto, Fault.parse(file), anchored)
    } catch (error) {
      if (error instanceof Fault.FaultRefusedError || error instanceof Fault.MalformedFaultError) continue
      throw error
    }
    const because = finding.facts.join('; ')
    // Classes 1 and 3 accuse a key and only that: whose name its owner wrote into what it signed is no evidence against that name.
    if (finding.class === 5) {
      if (facts.pledge !== undefined && Bytes.equal(finding.logId, facts.pledge.logId))
        found.push({ id: 'F5', accused: `log:${Bytes.toHex(finding.logId)}`, because })
    } else if ([node, log].some((keyId) => keyId !== undefined && Bytes.equal(finding.keyId, keyId)))
      found.push({ id: finding.class === 1 ? 'F1' : 'F3', accused: `key:${Bytes.toHex(finding.keyId)}`, because })
  }
  return found
}

/** The anchored step that this bundle itself proves under a header that the reader trusts; faults about others need their own proof. */
function anchoredIn(facts: Facts, judgement: Judgement): Fault.Anchored {
  const isAnchored = judgement.anchoring.some((entry) => entry.fact === 'anchored')
  const { pledge, chain } = facts
  const step = chain?.anchorLog?.step
  const size = facts.checkpointSize
  return (logId, asked) => {
    if (!isAnchored || pledge === undefined || step === undefined || size === undefined) return undefined
    return Bytes.equal(logId, pledge.logId) && asked === size ? step.root : undefined
  }
}
