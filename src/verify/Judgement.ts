/**
 * Judgement.ts - turns facts of an uncontradicted bundle into pieces of evidence, by what this reader trusts.
 * Source: spec/verdict.md section 2 (the table; anything not in it gives nothing).
 */
import * as Finality from '../chain/Finality.ts'
import * as TrustAnchors from '../chain/TrustAnchors.ts'
import type * as Bundle from '../protocol/Bundle.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { roles } from '../protocol/Identity.ts'
import * as Order from '../protocol/Order.ts'
import type * as Pledge from '../protocol/Pledge.ts'
import * as Slot from '../protocol/Slot.ts'
import type { Atom } from './Assumption.ts'
import type { Backing } from './Backing.ts'
import * as Consequence from './Consequence.ts'
import type { Facts } from './Integrity.ts'
import type { AnchoringFact } from './Policy.ts'
import * as Proposition from './Proposition.ts'
import type { Reader } from './Reader.ts'
import type { Recomputation } from './Recomputation.ts'

/**
 * One alternative behind a proposition: it holds if all of its assumptions hold. `behind` are keys and logs that a proven operator
 * stands for: one party with it, so not listed beside it, yet a policy that forbids one of them means this evidence too.
 */
export type Piece = {
  readonly backing: Backing
  readonly because: string
  readonly assumptions: readonly Atom[]
  readonly behind?: readonly Atom[]
}

/** One anchoring fact with what it rests on; the same fact may be there several times, each enough by itself. */
export type Anchored = {
  readonly fact: AnchoringFact
  readonly because: string
  readonly assumptions: readonly Atom[]
  readonly behind?: readonly Atom[]
}

/** What the pieces of a file back before any policy is asked. */
export type Judgement = {
  readonly pieces: ReadonlyMap<Proposition.Proposition, readonly Piece[]>
  /** Why a proposition got no more than it has; for rows and requirements. */
  readonly reasons: ReadonlyMap<Proposition.Proposition, string>
  readonly anchoring: readonly Anchored[]
  /** Why an anchoring fact is not there. */
  readonly anchoringReasons: ReadonlyMap<AnchoringFact, string>
  /** What stands behind the key that signed the head: the pieces of every used slot. */
  readonly key: readonly Piece[]
  readonly nodeOperator: Uint8Array | undefined
  readonly logOperator: Uint8Array | undefined
  /** Node and log sign with the very same key, so they are one party whatever the contracts name as operators. */
  readonly isOneKey: boolean
  /** Witness keyIds that cosigned and that the reader named, without the keys of node and log. */
  readonly witnesses: readonly Uint8Array[]
  /** Time of the trusted header, unix seconds. */
  readonly headerTimestamp: bigint | undefined
  /** Block of the anchor under the trusted header. */
  readonly anchoredAtBlock: bigint | undefined
  readonly at: { readonly chainId: bigint; readonly number: bigint; readonly hash: Uint8Array } | undefined
  /** The stake behind node and log, or why none counts. */
  readonly stake: Consequence.Judged
}

/** Blocks below and above the reader's head within which a pledge's block counts. Source: spec/log.md section 3. */
const pledgeBlocksBelow = 32n
const pledgeBlocksAbove = 2n

/** Weighs the pieces of a bundle that contradicts itself nowhere, by the tables of spec/verdict.md section 2. */
export function judge(
  crypto: Crypto,
  bundle: Bundle.Bundle,
  facts: Facts,
  reader: Reader,
  recomputation: Recomputation,
): Judgement {
  const trust = trustHeader(facts, reader)
  const node = nodeKey(crypto, bundle, facts, trust)
  const pieces = new Map<Proposition.Proposition, Piece[]>()
  const reasons = new Map<Proposition.Proposition, string>()
  const add = (proposition: Proposition.Proposition, piece: Piece) =>
    pieces.set(proposition, [...(pieces.get(proposition) ?? []), piece])
  const isUsed = (name: Slot.Name) => bundle.disclosed.has(Slot.indexOf(name)) || bundle.hidden.has(Slot.indexOf(name))

  for (const name of Slot.names) {
    // Nothing was committed to in an unused slot, so nothing stands behind it.
    if (!isUsed(name)) reasons.set(name, `slot ${name} is absent`)
    else {
      for (const piece of node.pieces) add(name, piece)
      if (node.reason !== undefined) reasons.set(name, node.reason)
    }
  }
  for (const relation of Proposition.relations) {
    const missing = Proposition.joins[relation].find((name) => !isUsed(name))
    if (missing !== undefined) reasons.set(relation, `slot ${missing} is absent`)
    else for (const piece of node.pieces) add(relation, piece)
  }
  const ordered = orderedPiece(crypto, bundle, facts)
  if ('backing' in ordered) add('ordered', ordered)
  else if (!reasons.has('ordered')) reasons.set('ordered', ordered.reason)
  for (const [relation, result] of Object.entries(recomputation) as [
    Proposition.Relation,
    Recomputation[keyof Recomputation],
  ][]) {
    if (result === undefined) continue
    if (result.kind === 'same')
      add(relation, { backing: result.backing, because: result.because, assumptions: ['client-code'] })
    else reasons.set(relation, result.kind === 'mismatch' ? `Mismatch(local): ${result.because}` : result.because)
  }
  for (const relation of ['prepared', 'executed', 'rendered'] as const)
    if (!reasons.has(relation) && recomputation[relation] === undefined) reasons.set(relation, 'not recomputed')
  return {
    pieces,
    reasons,
    ...anchoring(crypto, bundle, facts, reader, trust),
    key: node.pieces,
    nodeOperator: node.operator,
    isOneKey: bundle.keys.log !== undefined && Bytes.equal(bundle.keys.node, bundle.keys.log),
    at: trust.at,
    stake: Consequence.judge(facts.chain, reader, trust.stake, trust.reason),
    headerTimestamp: trust.at === undefined ? undefined : facts.chain?.header.timestampSeconds,
    anchoredAtBlock: trust.at === undefined ? undefined : facts.chain?.anchorLog?.step?.blockNumber,
  }
}

type Trust = {
  /** final: in the trust anchors; canonical: only in the reader's present view. */
  readonly level: 'final' | 'canonical' | undefined
  readonly reason: string
  readonly atoms: readonly Atom[]
  readonly rule: string
  readonly at: Judgement['at']
  /** What proofs of stake are held against; there whenever the header is trusted. */
  readonly stake: Parameters<typeof Consequence.judge>[2]
}

/** Does this reader trust the header, and are the contracts the named ones? */
function trustHeader(facts: Facts, reader: Reader): Trust {
  const none = (reason: string): Trust => ({
    ...{ level: undefined, reason, atoms: [], rule: '', at: undefined, stake: undefined },
  })
  const chain = facts.chain
  if (chain === undefined) return none('no chain proof in the file')
  const { chainId } = facts.head
  const subject = { chainId, header: chain.header, nodeRegistry: chain.registry, anchorLog: chain.anchorLog }
  const at = { chainId, number: chain.header.number, hash: chain.header.hash }
  const trusted = (level: 'final' | 'canonical', anchors: TrustAnchors.TrustAnchors): Trust => {
    const atoms = Finality.assumptions(anchors)
    return { level, reason: '', atoms, rule: anchors.finality, at, stake: { anchors, at, atoms } }
  }
  const final = Finality.judge(reader.anchors, subject)
  if (final.trusted !== undefined) return trusted('final', final.trusted)
  if (reader.view !== undefined && reader.view.chainId === chainId) {
    const seen = reader.view.blocks.filter((pair) => pair.number === chain.header.number)
    const canonical = Finality.judge(
      reader.anchors.map((anchors) => ({ ...anchors, headers: seen })),
      subject,
    )
    if (canonical.trusted !== undefined) return trusted('canonical', canonical.trusted)
  }
  return none(final.reason === 'no trust anchors for this chain' ? 'no trusted header' : final.reason)
}

/** The head's signature makes every slot `asserted`; a fitting registry record under a trusted header makes it `signed`. */
function nodeKey(
  crypto: Crypto,
  bundle: Bundle.Bundle,
  facts: Facts,
  trust: Trust,
): { pieces: Piece[]; reason?: string; operator: Uint8Array | undefined } {
  const keyId = Bytes.toHex(Cose.keyId(crypto, bundle.keys.node))
  const word: Piece = {
    backing: 'asserted',
    because: 'signed by a key that nobody is shown to answer for',
    assumptions: [`key:${keyId}`],
  }
  const asserted = (reason: string) => ({ pieces: [word], reason, operator: undefined })
  if (facts.chain === undefined || trust.level === undefined) return asserted(trust.reason)
  const record = facts.chain.registry.keyRecord
  // Without the anchor nobody knows when the receipt was there, and knowing less must not count for more.
  const block = facts.chain.anchorLog?.step?.blockNumber
  if (block === undefined) return asserted('not anchored: the block by which the key must have been valid is unknown')
  if (record.role !== roles.node) return asserted('the key is registered for another role')
  if (record.validFromBlock > block) return asserted('the key was registered after the block that covers the receipt')
  if (record.validUntilBlock !== 0n && record.validUntilBlock <= block)
    return asserted('the key had ended before the block that covers the receipt')
  const operator = `operator:0x${Bytes.toHex(record.operator)}`
  const because = `key registered by ${operator} since block ${record.validFromBlock}`
  return {
    pieces: [word, { backing: 'signed', because, assumptions: [operator, ...trust.atoms], behind: [`key:${keyId}`] }],
    operator: record.operator,
  }
}

/** Relation `ordered`. Source: spec/order.md section 3; hash and signature checks were made by the step `order`. */
function orderedPiece(crypto: Crypto, bundle: Bundle.Bundle, facts: Facts): Piece | { readonly reason: string } {
  if (facts.order === undefined)
    return { reason: facts.claims.order === undefined ? 'slot order is not disclosed' : 'no order in the file' }
  if (bundle.bodies?.request === undefined) return { reason: 'no request bytes' }
  // The log's key is not looked at: leaving out the pledge would leave it out too, and knowing less must not count for more.
  if (Bytes.equal(Cose.keyId(crypto, bundle.keys.node), facts.order.client))
    return { reason: 'the order is signed by the key of the node' }
  const { request, model, exposure } = facts.claims
  if (request === undefined || request.method !== 'POST') return { reason: 'the request of slot 2 is not a POST' }
  if (!facts.order.model.every((byte) => byte === 0) && model === undefined)
    return { reason: 'slot model is not disclosed' }
  if (bundle.hidden.has(Slot.indexOf('price')) || bundle.disclosed.has(Slot.indexOf('price')))
    return { reason: 'prices are not read by this version' }
  if (!facts.order.exposureTermsHash.every((byte) => byte === 0)) {
    if (exposure === undefined || facts.terms === undefined) return { reason: 'slot exposure is not disclosed' }
    if (!Order.withinTerms(exposure, facts.terms))
      return { reason: "the exposure of slot 10 is outside the order's terms" }
  }
  return {
    backing: 'recomputed',
    because: `order of client ${Bytes.toHex(facts.order.client)}, its signature and the request bytes checked by this reader; not its deadline, nor whether it was answered once`,
    assumptions: ['client-code'],
  }
}

function anchoring(
  crypto: Crypto,
  bundle: Bundle.Bundle,
  facts: Facts,
  reader: Reader,
  trust: Trust,
): Pick<Judgement, 'anchoring' | 'anchoringReasons' | 'logOperator' | 'witnesses'> {
  const result: Anchored[] = [{ fact: 'local', because: 'the file itself', assumptions: [] }]
  const reasons = new Map<AnchoringFact, string>()
  const { pledge } = facts
  const log = trust.level === undefined ? undefined : facts.chain?.anchorLog
  const logOperator = log?.logRecord.operator
  const step = log?.step
  const witnesses = facts.witnessKeyIds.filter((keyId) => reader.witnesses.some((named) => Bytes.equal(named, keyId)))
  const parties = [bundle.keys.node, bundle.keys.log].flatMap((key) =>
    key === undefined ? [] : Cose.keyId(crypto, key),
  )
  // The key of the node or of the log is no second party, under whichever tag it signs.
  const others = witnesses.filter((keyId) => !parties.some((party) => Bytes.equal(party, keyId)))

  // Anybody can sign with a key of their own in the name of a log: only the log's record says that the key is the log's.
  const unknownLog =
    log !== undefined
      ? undefined
      : facts.chain?.anchorLog === undefined
        ? "no proof that the key is the log's"
        : `${trust.reason}: no proof that the key is the log's`
  const ofLog = {
    assumptions: logOperator === undefined ? [] : [`operator:0x${Bytes.toHex(logOperator)}`, ...trust.atoms],
    behind:
      pledge === undefined || bundle.keys.log === undefined
        ? []
        : [`log:${Bytes.toHex(pledge.logId)}`, `key:${Bytes.toHex(Cose.keyId(crypto, bundle.keys.log))}`],
  }

  const pledged = pledgedBecause(facts, reader, step, log?.logRecord.pledgeBlocks)
  if (!pledged.holds) reasons.set('pledged', pledged.because)
  else if (unknownLog !== undefined) reasons.set('pledged', unknownLog)
  else result.push({ fact: 'pledged', because: pledged.because, ...ofLog })

  if (pledge === undefined || bundle.checkpoint === undefined) reasons.set('included', 'no inclusion proof')
  else if (unknownLog !== undefined) reasons.set('included', unknownLog)
  else
    result.push({
      fact: 'included',
      because: `leaf ${pledge.leafIndex} of ${bundle.checkpoint.size} under the log's own checkpoint`,
      ...ofLog,
    })

  for (const keyId of others)
    result.push({
      fact: 'witnessed',
      because: 'cosignature of a witness that the reader named',
      assumptions: [`witness:${Bytes.toHex(keyId)}`],
    })
  if (others.length === 0)
    reasons.set(
      'witnessed',
      reader.witnesses.length === 0
        ? 'name a witness or log'
        : witnesses.length > 0
          ? 'the named witness is the node or the log itself'
          : 'no cosignature of a named witness',
    )

  if (step !== undefined) {
    result.push({ fact: 'anchored', because: `root anchored at block ${step.blockNumber}`, assumptions: trust.atoms })
    if (trust.level === 'final' && TrustAnchors.isFinalityRule(trust.rule))
      result.push({ fact: 'final', because: `${trust.rule}(block ${trust.at?.number})`, assumptions: trust.atoms })
    else
      reasons.set(
        'final',
        trust.level === 'final' ? `unknown finality rule ${trust.rule}` : 'the header is not final yet',
      )
  } else {
    const reason = bundle.chain?.anchorLog?.step0 === undefined ? 'no anchor in the file' : trust.reason
    reasons.set('anchored', reason)
    reasons.set('final', reason)
  }
  return { anchoring: result, anchoringReasons: reasons, logOperator, witnesses: others }
}

/**
 * Two ways, either is enough: the pledge's block is in the reader's present view and near its head, or the anchor lies between
 * issue and deadline. They are alternatives, so that leaving out the anchor can not count for more than showing it.
 */
function pledgedBecause(
  facts: Facts,
  reader: Reader,
  step: { readonly blockNumber: bigint } | undefined,
  pledgeBlocks: bigint | undefined,
): { holds: boolean; because: string } {
  const { pledge } = facts
  if (pledge === undefined) return { holds: false, because: 'no pledge' }
  const anchored = pledgedByAnchor(pledge, step, pledgeBlocks)
  if (anchored?.holds) return anchored
  const seen = pledgedByView(pledge, reader, pledgeBlocks)
  return seen.holds || anchored === undefined ? seen : anchored
}

function pledgedByAnchor(
  pledge: Pledge.Pledge,
  step: { readonly blockNumber: bigint } | undefined,
  pledgeBlocks: bigint | undefined,
): { holds: boolean; because: string } | undefined {
  if (step === undefined || pledgeBlocks === undefined) return undefined
  const deadline = pledge.issuedAtBlock + pledgeBlocks
  if (step.blockNumber < pledge.issuedAtBlock) return { holds: false, because: 'the anchor is older than the pledge' }
  if (step.blockNumber > deadline)
    return { holds: false, because: `anchored at block ${step.blockNumber}, after the deadline ${deadline}` }
  const because = `issued at block ${pledge.issuedAtBlock}, anchored at ${step.blockNumber}, deadline ${deadline}`
  return { holds: true, because }
}

function pledgedByView(
  pledge: Pledge.Pledge,
  reader: Reader,
  pledgeBlocks: bigint | undefined,
): { holds: boolean; because: string } {
  const view = reader.view
  if (view === undefined || view.chainId !== pledge.chainId)
    return { holds: false, because: 'no trusted header, and no view of the chain' }
  const isCanonical = view.blocks.some(
    (pair) => pair.number === pledge.issuedAtBlock && Bytes.equal(pair.hash, pledge.issuedAtBlockHash),
  )
  if (!isCanonical) return { holds: false, because: "the pledge's block is not in the chain that the reader sees" }
  if (pledge.issuedAtBlock + pledgeBlocksBelow < view.newest || pledge.issuedAtBlock > view.newest + pledgeBlocksAbove)
    return { holds: false, because: "the pledge's block is too far from the reader's head" }
  // Past its deadline a pledge says nothing of itself any more: only the anchor tells whether it was kept.
  if (pledgeBlocks !== undefined && pledge.issuedAtBlock + pledgeBlocks < view.newest)
    return { holds: false, because: "the pledge's deadline has passed" }
  return { holds: true, because: `issued at block ${pledge.issuedAtBlock}, canonical in the reader's view` }
}
