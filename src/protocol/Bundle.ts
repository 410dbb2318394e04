/**
 * Bundle.ts - one `.receipt` file: a receipt and everything that speaks for it, readable offline. Source: spec/bundle.md.
 *
 * `parse` decides only whether bytes are a bundle: types, lengths, known keys, and which pieces need which others. What
 * pieces say, and whether they fit each other, is judged later and never here.
 */
import * as Abi from './Abi.ts'
import * as Body from './Body.ts'
import * as Bytes from './Bytes.ts'
import * as Claims from './Claims.ts'
import * as ClaimsTree from './ClaimsTree.ts'
import { type BaseError, VerificationError } from './errors.ts'
import * as Head from './Head.ts'
import * as Order from './Order.ts'
import * as Pledge from './Pledge.ts'
import * as Shape from './Shape.ts'
import * as Slot from './Slot.ts'

/** Most bytes of a bundle, 4 MiB: it is mailed, dropped into pages and kept by the thousand. */
export const maxBytes = 4 * 1024 * 1024
/** Most cosignatures, 16: as many lines as readers of signed notes must take. */
export const maxCosignatures = 16
/** Most hashes of an inclusion proof: a tree of 2^63-1 leaves has paths of 63. */
export const maxInclusionHashes = 63
/** Most nodes of a trie proof: 64 nibbles of a hashed key and a last node. */
export const maxTrieNodes = 65
/** Most bytes of a trie node: a branch of 17 full items has 532. */
export const maxTrieNodeBytes = 1024
/** Most bytes of a block header: today's have about 600, and rollups add fields. */
export const maxHeaderBytes = 4096

const { field, optional, record, tuple, list, bytes, bytesWithin } = Shape

const trieProof = list(bytesWithin(1, maxTrieNodeBytes), 1, maxTrieNodes)
const stakeOfSubject = record({
  word0: field(1, trieProof),
  word1: field(2, trieProof),
  word2: field(3, trieProof),
  word5: field(4, trieProof),
  openCases: field(5, trieProof),
})
const body = tuple({ salt: bytes(16), leaves: list(bytesWithin(0, maxBytes), 0, Body.maxLeaves) })

const shape = record({
  version: field(0, Shape.oneOf(1)),
  receipt: field(1, record({ head: field(1, bytes(Head.byteLength)), signature: field(2, bytes(64)) })),
  disclosed: field(
    2,
    Shape.numbered(Slot.usable, tuple({ salt: bytes(16), value: bytesWithin(0, Claims.maxValueBytes) })),
  ),
  hidden: field(3, Shape.numbered(Slot.usable, bytes(32))),
  order: optional(
    4,
    record({
      words: field(1, bytes(Order.byteLength)),
      signature: field(2, bytes(64)),
      publicKey: field(3, bytes(64)),
      terms: optional(4, bytesWithin(0, Order.maxTermsBytes)),
      requestSalt: optional(5, bytes(16)),
    }),
  ),
  pledge: optional(5, record({ words: field(1, bytes(Pledge.byteLength)), signature: field(2, bytes(64)) })),
  checkpoint: optional(
    6,
    record({
      size: field(1, Shape.u64),
      root: field(2, bytes(32)),
      signature: field(3, bytes(64)),
      proof: field(4, list(bytes(32), 0, maxInclusionHashes)),
      cosignatures: field(5, list(tuple({ publicKey: bytes(64), signature: bytes(64) }), 0, maxCosignatures)),
    }),
  ),
  keys: field(7, record({ node: field(1, bytes(64)), log: optional(2, bytes(64)) })),
  chain: optional(
    8,
    record({
      header: field(1, bytesWithin(1, maxHeaderBytes)),
      blockHash: field(2, bytes(32)),
      registry: field(
        3,
        record({ account: field(1, trieProof), word0: field(2, trieProof), word1: field(3, trieProof) }),
      ),
      anchorLog: optional(
        4,
        record({
          account: field(1, trieProof),
          record0: field(2, trieProof),
          record1: field(3, trieProof),
          step0: optional(4, trieProof),
          step1: optional(5, trieProof),
        }),
      ),
      stake: optional(
        5,
        record({
          stakeManager: field(
            1,
            record({ address: field(1, bytes(20)), account: field(2, trieProof), terms: field(3, trieProof) }),
          ),
          faultCourt: field(
            2,
            record({
              address: field(1, bytes(20)),
              account: field(2, trieProof),
              penalties: field(3, trieProof),
              cases: field(4, trieProof),
            }),
          ),
          faultCases: field(3, record({ address: field(1, bytes(20)), account: field(2, trieProof) })),
          node: field(4, stakeOfSubject),
          log: field(5, stakeOfSubject),
        }),
      ),
    }),
  ),
  bodies: optional(
    9,
    record({
      request: optional(1, body),
      effective: optional(2, body),
      response: optional(3, body),
      output: optional(4, body),
    }),
  ),
  manifest: optional(10, bytesWithin(1, maxBytes)),
})

type Encoded = Shape.TypeOf<typeof shape>

/** A receipt with its evidence; lengths as in spec/assay.cddl. */
export type Bundle = { readonly [name in keyof Encoded as name extends 'version' ? never : name]: Encoded[name] }

/** The value of a disclosed slot with its salt. */
export type Opening = { readonly salt: Uint8Array; readonly value: Uint8Array }
/** The chain's part of a bundle. */
export type ChainPiece = NonNullable<Bundle['chain']>
/** The order's part of a bundle. */
export type OrderPiece = NonNullable<Bundle['order']>
/** The checkpoint's part of a bundle. */
export type CheckpointPiece = NonNullable<Bundle['checkpoint']>
/** One body of a bundle. */
export type BodyPiece = Shape.TypeOf<typeof body>

/** Reads a bundle; throws `Bundle.MalformedBundleError`, and nothing else, for any bytes that are none. */
export function parse(input: Uint8Array): Bundle {
  const { version, ...bundle } = ofShape(() => Shape.decode(shape, input, maxBytes))
  assertPresence(bundle)
  return bundle
}

/** Writes a bundle, the one form of it; throws `Bundle.MalformedBundleError`. */
export function serialize(bundle: Bundle): Uint8Array {
  const output = ofShape(() => Shape.encode(shape, { version: 1, ...bundle }, maxBytes))
  assertPresence(bundle)
  return output
}

/** Taking pieces out without any key. */
export { type Cut, cut } from './BundleCut.ts'

/** Which of the three visibilities a slot has; throws `Slot.UnknownSlotError`. */
export function visibilityOf(bundle: Bundle, slot: number): 'absent' | 'hidden' | 'disclosed' {
  Slot.nameOf(slot)
  if (bundle.disclosed.has(slot)) return 'disclosed'
  return bundle.hidden.has(slot) ? 'hidden' : 'absent'
}

/** The rules about which pieces need which others. */
function assertPresence(bundle: Bundle): void {
  assertSlots(bundle)
  assertOrder(bundle)
  const { pledge, checkpoint, keys, chain, bodies, manifest, disclosed } = bundle
  need(pledge === undefined || keys.log !== undefined, 'a pledge needs the key of the log')
  need(keys.log === undefined || pledge !== undefined, 'the key of a log is there only with a pledge')
  need(checkpoint === undefined || pledge !== undefined, 'a checkpoint needs a pledge')
  if (checkpoint !== undefined) assertCosigners(checkpoint)
  if (chain?.anchorLog !== undefined) {
    const { step0, step1 } = chain.anchorLog
    need(pledge !== undefined, 'a proof of the log record needs a pledge')
    need((step0 === undefined) === (step1 === undefined), 'a step has two words or none')
    need(step0 === undefined || checkpoint !== undefined, 'a proof of a step needs a checkpoint')
  }
  need(
    chain?.stake === undefined || (pledge !== undefined && chain.anchorLog !== undefined),
    'a proof of stake needs a pledge and a proof of the log record',
  )
  if (bodies !== undefined) {
    need(Object.keys(bodies).length > 0, 'bodies are there only when there is one')
    for (const name of Body.names) {
      if (bodies[name] === undefined) continue
      need(disclosed.has(Body.slotOf(name)), `the ${name} body needs its slot disclosed`)
    }
    need(bodies.request === undefined || bodies.request.leaves.length === 1, 'the request body is one leaf')
  }
  need(manifest === undefined || disclosed.has(6), 'a manifest needs slot 6 disclosed')
}

function assertSlots(bundle: Bundle): void {
  for (const [slot, leaf] of bundle.hidden) {
    need(!bundle.disclosed.has(slot), 'a slot is either disclosed or hidden')
    const unused = ClaimsTree.unusedLeaves[slot] as Uint8Array
    need(!Bytes.equal(leaf, unused), 'an unused slot is left out and not given as hidden')
  }
}

function assertOrder(bundle: Bundle): void {
  const { order, disclosed, bodies } = bundle
  if (order === undefined) return
  need(disclosed.has(1), 'an order needs slot 1 disclosed')
  // exposureTermsHash is the eleventh word.
  const hasTerms = !Abi.isZero(order.words.subarray(320, 352))
  need(hasTerms === (order.terms !== undefined), 'exposure terms are there if and only if the order names their hash')
  const hasRequest = bodies?.request !== undefined
  need(hasRequest === (order.requestSalt !== undefined), "the order's salt is there if and only if the request body is")
}

function assertCosigners(checkpoint: CheckpointPiece): void {
  const keys = checkpoint.cosignatures.map(({ publicKey }) => publicKey)
  for (let i = 1; i < keys.length; i++) {
    const isAfter = Bytes.compare(keys[i - 1] as Uint8Array, keys[i] as Uint8Array) < 0
    need(isAfter, 'cosignatures are sorted by public key, each key once')
  }
}

function need(isHeld: boolean, rule: string): void {
  if (!isHeld) throw new MalformedBundleError('bundle-presence', [`Rule: ${rule}`])
}

function ofShape<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof Shape.MismatchError) throw new MalformedBundleError('bundle-shape', cause.facts, cause)
    throw cause
  }
}

/** Codes of `Bundle.MalformedBundleError`. */
export type MalformedBundleErrorCode = 'bundle-shape' | 'bundle-presence'

/** Bytes or fields are no bundle of version 1. */
export class MalformedBundleError extends VerificationError<MalformedBundleErrorCode> {
  override readonly name = 'Bundle.MalformedBundleError'
  constructor(code: MalformedBundleErrorCode, facts: readonly string[], cause?: BaseError) {
    super(code, 'This is no bundle of version 1.', { facts, cause })
  }
}
