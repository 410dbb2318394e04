/**
 * Integrity.ts - the checks that need nothing but the file: does it contradict itself? Source: spec/verdict.md section 5.
 *
 * Each step is one function, run in the order of `steps`; the first that throws names the step of an INVALID verdict.
 * Whether the chain, the keys or the witnesses are ones the reader trusts is judged later, in Judgement.ts.
 */
import * as ChainPiece from '../chain/ChainPiece.ts'
import * as Body from '../protocol/Body.ts'
import type * as Bundle from '../protocol/Bundle.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Checkpoint from '../protocol/Checkpoint.ts'
import * as Claims from '../protocol/Claims.ts'
import * as ClaimsTree from '../protocol/ClaimsTree.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError, VerificationError } from '../protocol/errors.ts'
import * as Head from '../protocol/Head.ts'
import * as LogEntry from '../protocol/LogEntry.ts'
import * as Manifest from '../protocol/Manifest.ts'
import * as Merkle from '../protocol/Merkle.ts'
import * as Order from '../protocol/Order.ts'
import * as Pledge from '../protocol/Pledge.ts'
import * as Slot from '../protocol/Slot.ts'

/** The steps of integrity in their order. Source: spec/verdict.md section 5. */
export const stepNames = [
  'head',
  'head-signature',
  'claims-root',
  'salts',
  'claim-values',
  'order',
  'bodies',
  'manifest',
  'pledge',
  'pledge-signature',
  'checkpoint-signature',
  'inclusion',
  'cosignatures',
  'header',
  'registry-proof',
  'log-proof',
  'stake-proof',
] as const
/** The name of a step. */
export type StepName = (typeof stepNames)[number]

/** What is checked. */
export type Subject = {
  readonly crypto: Crypto
  readonly bundle: Bundle.Bundle
  /** Profiles of which bit-exact re-execution is owed. An argument, because the list is data of the execution floor. */
  readonly exactProfiles: readonly string[]
}

/** What is known once a step has passed; later steps rely on earlier ones. */
export type Facts = {
  head: Head.Head
  receiptHash: Uint8Array
  leafHash: Uint8Array
  claims: Partial<Claims.ClaimValues>
  order?: Order.Order
  terms?: Order.Terms
  pledge?: Pledge.Pledge
  manifest?: Manifest.Manifest
  /** Size of the checkpoint, if there is one. */
  checkpointSize?: bigint
  witnessKeyIds: Uint8Array[]
  chain?: ChainPiece.Facts
}

type Step = { readonly name: StepName; readonly run: (subject: Subject, facts: Facts) => void | Promise<void> }

/** The ordered list: what is checked, in which order. */
export const steps: readonly Step[] = [
  { name: 'head', run: headStep },
  { name: 'head-signature', run: headSignature },
  { name: 'claims-root', run: claimsRoot },
  { name: 'salts', run: salts },
  { name: 'claim-values', run: claimValues },
  { name: 'order', run: order },
  { name: 'bodies', run: bodies },
  { name: 'manifest', run: manifest },
  { name: 'pledge', run: pledge },
  { name: 'pledge-signature', run: pledgeSignature },
  { name: 'checkpoint-signature', run: checkpointSignature },
  { name: 'inclusion', run: inclusion },
  { name: 'cosignatures', run: cosignatures },
  { name: 'header', run: chain },
]

/**
 * Runs all steps and returns the facts, or throws `StepError` naming the first step that found a contradiction.
 * Errors that are not ours (a defect in this code) escape unchanged.
 *
 * @throws {StepError}
 */
export async function check(subject: Subject): Promise<Facts> {
  const facts = {} as Facts
  facts.witnessKeyIds = []
  for (const step of steps) {
    try {
      await step.run(subject, facts)
    } catch (cause) {
      if (cause instanceof StepError) throw cause
      if (cause instanceof ChainPiece.ContradictionError) throw new StepError(cause.step, cause.shortMessage, cause)
      if (BaseError.isInstance(cause)) throw new StepError(step.name, cause.shortMessage, cause)
      throw cause
    }
  }
  return facts
}

function headStep({ crypto, bundle }: Subject, facts: Facts): void {
  facts.head = Head.parse(bundle.receipt.head)
  facts.receiptHash = Head.hash(crypto, bundle.receipt.head)
  facts.leafHash = LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, bundle.receipt.head))
}

async function headSignature({ crypto, bundle }: Subject): Promise<void> {
  const { head, signature } = bundle.receipt
  await Cose.verify(crypto, {
    tag: 'receipt',
    payload: Head.payload(crypto, head),
    signature,
    publicKey: bundle.keys.node,
  })
}

function claimsRoot({ crypto, bundle }: Subject, facts: Facts): void {
  const leaves = Slot.names.map((_, slot) => {
    const opening = bundle.disclosed.get(slot)
    if (opening !== undefined) return ClaimsTree.leaf(crypto, slot, opening.salt, opening.value)
    return bundle.hidden.get(slot) ?? ClaimsTree.unusedLeaf(crypto, slot)
  })
  expectEqual(
    'claims-root',
    'The claims do not add up to the signed root.',
    ClaimsTree.root(crypto, leaves),
    facts.head.claimsRoot,
  )
}

function salts({ bundle }: Subject, facts: Facts): void {
  const open = (facts.head.modeBits & 3) !== 0
  for (const [slot, { salt }] of bundle.disclosed) {
    const mustBeZero = open && (slot === 0 || slot === 11 || slot === 12)
    if (salt.every((byte) => byte === 0) !== mustBeZero)
      throw new StepError('salts', `The salt of slot ${slot} must ${mustBeZero ? '' : 'not '}be zero.`)
  }
  if (open)
    for (const slot of [0, 11, 12])
      if (bundle.hidden.has(slot)) throw new StepError('salts', `Slot ${slot} must be public in this mode.`)
  const others = [...Object.values(bundle.bodies ?? {}).map((piece) => piece.salt), bundle.order?.requestSalt]
  if (others.some((salt) => salt?.every((byte) => byte === 0)))
    throw new StepError('salts', 'The salt of a body must not be zero.')
}

function claimValues({ bundle, exactProfiles }: Subject, facts: Facts): void {
  const claims: Record<string, unknown> = {}
  for (const [slot, { value }] of bundle.disclosed) {
    const name = Slot.names[slot] as Slot.Name
    claims[name] = Claims.decode(name, value)
  }
  facts.claims = claims as Partial<Claims.ClaimValues>
  const { outcome, engine } = facts.claims
  if (outcome !== undefined) {
    const incomplete = outcome.finish === 'error' || outcome.finish === 'cancelled'
    if (incomplete !== ((facts.head.flags & Head.flags.notCompleted) !== 0))
      throw new StepError('claim-values', 'The head and slot 15 disagree on completion.')
  }
  const exact = (facts.head.modeBits & Head.modes.exact) !== 0
  if (exact && engine !== undefined && !exactProfiles.includes(engine.profile))
    throw new StepError('claim-values', 'The head says exact, but the profile of slot 8 is not an exact one.')
}

async function order({ crypto, bundle }: Subject, facts: Facts): Promise<void> {
  const piece = bundle.order
  if (piece === undefined) return
  const parsed = Order.parse(piece.words)
  const domain = { chainId: facts.head.chainId, registry: facts.head.registry }
  const hash = Order.hash(crypto, parsed, domain)
  expectEqual('order', 'The order is not the one in slot 1.', hash, facts.claims.order)
  expectEqual(
    'order',
    "The order's client is not the key that signed it.",
    Cose.keyId(crypto, piece.publicKey),
    parsed.client,
  )
  await Cose.verify(crypto, { tag: 'order', payload: hash, signature: piece.signature, publicKey: piece.publicKey })
  expectEqual('order', 'The order is for another node.', parsed.nodeId, facts.head.nodeId)
  if ((facts.head.modeBits & parsed.modes) !== parsed.modes)
    throw new StepError('order', 'The receipt lacks a mode that the order requires.')
  const anyModel = parsed.model.every((byte) => byte === 0)
  if (!anyModel && facts.claims.model !== undefined)
    expectEqual('order', 'The order names another model.', facts.claims.model, parsed.model)
  if (piece.terms !== undefined) {
    expectEqual(
      'order',
      "The terms are not the order's.",
      Order.termsHash(crypto, piece.terms),
      parsed.exposureTermsHash,
    )
    facts.terms = Order.decodeTerms(piece.terms)
  }
  facts.order = parsed
}

function bodies({ crypto, bundle }: Subject, facts: Facts): void {
  const given = bundle.bodies
  if (given === undefined) return
  // The root over no leaves is a constant, so nothing would cover the salt.
  for (const piece of Object.values(given))
    if (piece.leaves.length === 0) throw new StepError('bodies', 'A body without leaves has no place in a bundle.')
  const { request, effectiveRequest, response, output } = facts.claims
  if (given.request !== undefined) {
    const { salt, leaves } = given.request
    const [bytes, ...others] = leaves
    if (bytes === undefined || others.length > 0) throw new StepError('bodies', 'A request body has exactly one leaf.')
    expectEqual('bodies', 'The request bytes are not those of slot 2.', Body.root(crypto, salt, leaves), request?.hash)
    if (BigInt(bytes.length) !== BigInt(request?.bytes ?? -1))
      throw new StepError('bodies', 'The length of the request bytes is not that of slot 2.')
    if (bundle.order !== undefined && facts.order !== undefined) {
      const requestSalt = bundle.order.requestSalt
      if (requestSalt === undefined)
        throw new StepError('bodies', 'The order has no request salt beside the request bytes.')
      expectEqual(
        'bodies',
        'The order was given for other request bytes.',
        Body.requestHash(crypto, requestSalt, bytes),
        facts.order.requestHash,
      )
    }
  }
  body(crypto, given.effective, effectiveRequest, 'effective request (slot 3)')
  body(crypto, given.output, output, 'output (slot 5)')
  if (given.response !== undefined) {
    body(
      crypto,
      given.response,
      response === undefined ? undefined : { root: response.root, count: response.chunks },
      'response (slot 4)',
    )
    const total = given.response.leaves.reduce((sum, chunk) => sum + BigInt(chunk.length), 0n)
    if (total !== BigInt(response?.bytes ?? -1))
      throw new StepError('bodies', 'The length of the response bytes is not that of slot 4.')
  }
}

function body(
  crypto: Crypto,
  given: Bundle.BodyPiece | undefined,
  claim: { root: Uint8Array; count: number | bigint } | undefined,
  what: string,
): void {
  if (given === undefined) return
  expectEqual(
    'bodies',
    `The ${what} does not match its claim.`,
    Body.root(crypto, given.salt, given.leaves),
    claim?.root,
  )
  if (BigInt(given.leaves.length) !== BigInt(claim?.count ?? -1))
    throw new StepError('bodies', `The number of leaves of the ${what} does not match its claim.`)
}

function manifest({ crypto, bundle }: Subject, facts: Facts): void {
  if (bundle.manifest === undefined) return
  expectEqual(
    'manifest',
    'The manifest is not the one of slot 6.',
    Manifest.hash(crypto, bundle.manifest),
    facts.claims.model,
  )
  facts.manifest = Manifest.parse(bundle.manifest)
  if (facts.claims.weights !== undefined)
    expectEqual(
      'manifest',
      "The weights of slot 7 are not the manifest's.",
      facts.claims.weights,
      facts.manifest.weightsRoot,
    )
}

function pledge({ bundle }: Subject, facts: Facts): void {
  if (bundle.pledge === undefined) return
  const parsed = Pledge.parse(bundle.pledge.words)
  if (parsed.chainId !== facts.head.chainId) throw new StepError('pledge', 'The pledge is for another chain.')
  expectEqual('pledge', 'The pledge is for another receipt.', parsed.leafHash, facts.leafHash)
  facts.pledge = parsed
}

async function pledgeSignature({ crypto, bundle }: Subject): Promise<void> {
  if (bundle.pledge === undefined) return
  const { words, signature } = bundle.pledge
  await Cose.verify(crypto, {
    tag: 'pledge',
    payload: Pledge.payload(crypto, words),
    signature,
    publicKey: logKey(bundle, 'pledge-signature'),
  })
}

/** The statement that the log and its witnesses signed: it takes chain, contract and log from the pledge. */
function statement(bundle: Bundle.Bundle, facts: Facts): Checkpoint.Statement | undefined {
  if (bundle.checkpoint === undefined || facts.pledge === undefined) return undefined
  const { chainId, anchorLog, logId } = facts.pledge
  return { chainId, anchorLog, logId, size: bundle.checkpoint.size, root: bundle.checkpoint.root }
}

async function checkpointSignature({ crypto, bundle }: Subject, facts: Facts): Promise<void> {
  const signed = statement(bundle, facts)
  if (signed === undefined || bundle.checkpoint === undefined) return
  facts.checkpointSize = signed.size
  await Cose.verify(crypto, {
    tag: 'checkpoint',
    payload: Checkpoint.payload(crypto, Checkpoint.words(signed)),
    signature: bundle.checkpoint.signature,
    publicKey: logKey(bundle, 'checkpoint-signature'),
  })
}

function inclusion({ crypto, bundle }: Subject, facts: Facts): void {
  if (bundle.checkpoint === undefined || facts.pledge === undefined) return
  const { size, root, proof } = bundle.checkpoint
  Merkle.verifyInclusion(crypto, { leafHash: facts.leafHash, index: facts.pledge.leafIndex, size, proof, root })
}

async function cosignatures({ crypto, bundle }: Subject, facts: Facts): Promise<void> {
  const signed = statement(bundle, facts)
  if (signed === undefined || bundle.checkpoint === undefined) return
  const payload = Checkpoint.payload(crypto, Checkpoint.words(signed))
  for (const { publicKey, signature } of bundle.checkpoint.cosignatures) {
    await Cose.verify(crypto, { tag: 'cosign', payload, signature, publicKey })
    facts.witnessKeyIds.push(Cose.keyId(crypto, publicKey))
  }
}

/** Steps `header`, `registry-proof`, `log-proof` and `stake-proof`: one reading of the trie proofs, which names the step that failed. */
function chain({ crypto, bundle }: Subject, facts: Facts): void {
  if (bundle.chain === undefined) return
  const { registry, nodeId, keyEpoch } = facts.head
  const log =
    facts.pledge === undefined
      ? undefined
      : { address: facts.pledge.anchorLog, logId: facts.pledge.logId, size: bundle.checkpoint?.size }
  facts.chain = ChainPiece.verify(
    crypto,
    bundle.chain,
    { registry: { address: registry, nodeId, keyEpoch }, log },
    {
      nodeKeyId: Cose.keyId(crypto, bundle.keys.node),
      logKeyId: bundle.keys.log === undefined ? undefined : Cose.keyId(crypto, bundle.keys.log),
      root: bundle.checkpoint?.root,
    },
  )
}

function logKey(bundle: Bundle.Bundle, step: StepName): Uint8Array {
  if (bundle.keys.log === undefined) throw new StepError(step, 'The log key is missing.')
  return bundle.keys.log
}

function expectEqual(step: StepName, message: string, got: Uint8Array, expected: Uint8Array | undefined): void {
  if (expected === undefined || !Bytes.equal(got, expected))
    throw new StepError(step, message, undefined, [
      `Expected: ${expected === undefined ? 'a disclosed claim' : Bytes.toHex(expected)}`,
      `Got: ${Bytes.toHex(got)}`,
    ])
}

/** The file contradicts itself at this step; nobody is accused. */
export class StepError extends VerificationError<'bundle-contradiction'> {
  override readonly name = 'Integrity.StepError'
  readonly step: StepName
  constructor(step: StepName, message: string, cause?: unknown, facts: readonly string[] = []) {
    super('bundle-contradiction', message, {
      facts: [`Step: ${step}`, ...facts],
      ...(cause === undefined ? {} : { cause }),
    })
    this.step = step
  }
}
