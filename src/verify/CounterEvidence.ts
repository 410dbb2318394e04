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

/** A fault that its function accepts and that concerns the receipt's node key, its log, or a witness that counts for it. */
export type Found = {
  readonly id: 'F1' | 'F2' | 'F3' | 'F4' | 'F5' | 'F6' | 'F13'
  readonly accused: string
  readonly because: string
}

/** Most fault files judged per verdict: each costs up to two signature checks. */
export const maxFiles = 64

/** What a verdict knows when it comes to the files. */
type Subject = {
  readonly bundle: Bundle.Bundle
  readonly facts: Facts
  readonly judgement: Judgement
  /** Identifiers of the witnesses' keys that the policy lets count, 32 bytes each. */
  readonly witnesses: readonly Uint8Array[]
  /** What the reader had proven to itself beside the file. */
  readonly known?: Known | undefined
}

/** What only contracts know, by state proofs that the reader checked: anchored roots, and what pledges are judged by. */
export type Known = { readonly anchored: Fault.Anchored; readonly terms: Fault.PledgeTerms }

/**
 * Judges the files and keeps those that hold and concern this receipt. A file that its function refuses, or that accuses somebody
 * else, is left out: it says nothing about this receipt. So is one that needs more of the chain's state than this file proves.
 */
export async function judge(
  crypto: Crypto,
  options: Subject & { readonly files: readonly Uint8Array[] },
): Promise<Found[]> {
  const step = anchoredStep(options)
  const { anchored, terms } = together({ anchored: anchoredIn(step), terms: termsIn(step) }, options.known)
  const found: Found[] = []
  if (options.files.length > maxFiles)
    throw new LimitError({ what: 'Number of fault files', limit: maxFiles, got: options.files.length })
  for (const file of options.files) {
    let finding: Fault.Finding
    try {
      finding = await Fault.judge(crypto, Fault.parse(file), anchored, terms)
    } catch (error) {
      if (error instanceof Fault.FaultRefusedError || error instanceof Fault.MalformedFaultError) continue
      throw error
    }
    const accused = accusedIn(crypto, finding, options)
    if (accused !== undefined) found.push({ id: `F${finding.class}`, accused, because: finding.facts.join('; ') })
  }
  return found
}

/**
 * Whom of this receipt a finding accuses. A key is accused by what it signed, and only the key: whose name its owner wrote into
 * that is no evidence against that name. What rests on state must be about the log whose state the file proves.
 */
function accusedIn(crypto: Crypto, finding: Fault.Finding, subject: Subject): string | undefined {
  const { bundle, facts, witnesses } = subject
  const { pledge } = facts
  const isKey = (publicKey: Uint8Array | undefined, keyId: Uint8Array) =>
    publicKey !== undefined && Bytes.equal(Cose.keyId(crypto, publicKey), keyId)
  const isPledgesLog = (found: { readonly anchorLog: Uint8Array; readonly logId: Uint8Array }) =>
    pledge !== undefined && Bytes.equal(found.logId, pledge.logId) && Bytes.equal(found.anchorLog, pledge.anchorLog)
  switch (finding.class) {
    case 1:
    case 13:
      return isKey(bundle.keys.node, finding.keyId) || isKey(bundle.keys.log, finding.keyId)
        ? `key:${Bytes.toHex(finding.keyId)}`
        : undefined
    case 6:
      return witnesses.some((keyId) => Bytes.equal(keyId, finding.keyId))
        ? `witness:${Bytes.toHex(finding.keyId)}`
        : undefined
    case 5:
      return isPledgesLog(finding) ? `log:${Bytes.toHex(finding.logId)}` : undefined
    case 2:
      if (!isKey(bundle.keys.log, finding.keyId)) return undefined
      if (!finding.isSigned && !(isPledgesLog(finding) && finding.chainId === pledge?.chainId)) return undefined
      return `key:${Bytes.toHex(finding.keyId)}`
    case 3:
    case 4:
      return isKey(bundle.keys.log, finding.keyId) && isPledgesLog(finding) && finding.chainId === pledge?.chainId
        ? `key:${Bytes.toHex(finding.keyId)}`
        : undefined
  }
}

type AnchoredStep = {
  readonly logId: Uint8Array
  readonly size: bigint
  readonly root: Uint8Array
  readonly block: bigint
  readonly pledgeBlocks: bigint
}

/** The anchored step that this bundle itself proves under a header that the reader trusts; faults about others need their own proof. */
function anchoredStep({ facts, judgement }: Subject): AnchoredStep | undefined {
  const { pledge, chain, checkpointSize: size } = facts
  const log = chain?.anchorLog
  const isAnchored = judgement.anchoring.some((entry) => entry.fact === 'anchored')
  if (!isAnchored || pledge === undefined || log?.step === undefined || size === undefined) return undefined
  const { root, blockNumber: block } = log.step
  return { logId: pledge.logId, size, root, block, pledgeBlocks: log.logRecord.pledgeBlocks }
}

/** What the file proves comes first: it is what its holder can show to others. */
function together(own: Known, known: Known | undefined): Known {
  if (known === undefined) return own
  return {
    anchored: (logId, size) => own.anchored(logId, size) ?? known.anchored(logId, size),
    terms: {
      pledgeBlocks: (logId) => own.terms.pledgeBlocks(logId) ?? known.terms.pledgeBlocks(logId),
      graceBlocks: known.terms.graceBlocks,
      seen: (logId, how, at) => own.terms.seen(logId, how, at) ?? known.terms.seen(logId, how, at),
      withheld: known.terms.withheld,
    },
  }
}

function anchoredIn(step: AnchoredStep | undefined): Fault.Anchored {
  return (logId, size) =>
    step !== undefined && Bytes.equal(logId, step.logId) && size === step.size ? step.root : undefined
}

/** Lateness in the proven step can be judged; grace and written-down heads are state of another contract that no bundle proves. */
function termsIn(step: AnchoredStep | undefined): Fault.PledgeTerms {
  return {
    pledgeBlocks: (logId) => (step !== undefined && Bytes.equal(logId, step.logId) ? step.pledgeBlocks : undefined),
    graceBlocks: undefined,
    seen: (logId, how, at) =>
      step !== undefined && how === 1 && at === step.size && Bytes.equal(logId, step.logId) ? step : undefined,
    withheld: () => undefined,
  }
}
