/**
 * Claims.ts - the values of the sixteen slots. Source: spec/receipt.md section 5; spec/assay.cddl.
 *
 * Field names are those that policies use. A claim is what a node says: nothing here is believed because it parses.
 */
import * as Body from './Body.ts'
import { VerificationError } from './errors.ts'
import * as Shape from './Shape.ts'
import * as Slot from './Slot.ts'

/** Most bytes of one value: claims are metadata, and sixteen of them must fit a response. */
export const maxValueBytes = 65_536
/** Most rewrites, parties, or things that a party saw: each list is for people to read. */
export const maxListLength = 1024

const { field, optional, record, tuple, list, text, u32, u64, oneOf, nullable } = Shape
const hash = Shape.bytes(32)
const count = Shape.integer(0, Body.maxLeaves)
const kind = oneOf(1, 2)
const texts = list(text(), 0, maxListLength)

const sampling = record({ seed: field(1, u64), temperature: field(2, text()), topP: field(3, text()) })

const shapes = {
  node: record({ version: field(1, text()), config: field(2, hash) }),
  order: hash,
  request: record({
    method: field(1, text()),
    target: field(2, text()),
    mediaType: field(3, text()),
    hash: field(4, hash),
    bytes: field(5, u64),
  }),
  effectiveRequest: record({
    kind: field(1, kind),
    root: field(2, hash),
    count: field(3, count),
    rewrites: field(
      4,
      list(
        tuple({
          code: oneOf('default', 'clamp', 'alias', 'inject', 'truncate', 'drop'),
          path: text(),
          detail: text(),
        }),
        0,
        maxListLength,
      ),
    ),
  }),
  response: record({
    status: field(1, Shape.integer(100, 599)),
    mediaType: field(2, text()),
    root: field(3, hash),
    chunks: field(4, count),
    bytes: field(5, u64),
  }),
  output: record({
    kind: field(1, kind),
    root: field(2, hash),
    count: field(3, count),
    fingerprint: optional(4, record({ kind: field(1, text()), root: field(2, hash) })),
  }),
  model: hash,
  weights: hash,
  engine: record({
    name: field(1, text()),
    version: field(2, text()),
    build: field(3, hash),
    profile: field(4, text()),
    sampling: optional(5, sampling),
  }),
  route: record({
    origin: field(1, text()),
    tlsSpki: field(2, nullable(hash)),
    upstreamId: field(3, nullable(text())),
    region: field(4, nullable(text())),
  }),
  exposure: record({
    saw: field(
      1,
      list(
        record({
          party: field(1, text()),
          what: field(2, texts),
          why: field(3, text()),
          retentionSeconds: field(4, u32),
        }),
        0,
        maxListLength,
      ),
    ),
    retentionSeconds: field(2, u32),
  }),
  attestation: hash,
  proof: hash,
  price: hash,
  outcome: record({
    finish: field(1, oneOf('stop', 'length', 'error', 'cancelled')),
    error: field(2, nullable(text())),
    usage: field(3, record({ prompt: field(1, u64), completion: field(2, u64) })),
    receivedMs: field(4, u64),
    completedMs: field(5, u64),
    clock: field(6, text()),
  }),
} as const

/** The value of each slot; `step` is reserved in this version and has none. */
export type ClaimValues = { readonly [name in keyof typeof shapes]: Shape.TypeOf<(typeof shapes)[name]> }

/** A slot that can have a value in this version. */
export type Name = keyof ClaimValues

/** One change between what the client asked and what the engine got. */
export type Rewrite = ClaimValues['effectiveRequest']['rewrites'][number]

/** The sampling parameters of slot 8. */
export type Sampling = Shape.TypeOf<typeof sampling>

/** Writes the value of a slot as dCBOR; throws `Claims.InvalidClaimError`. */
export function encode<N extends Name>(name: N, value: ClaimValues[N]): Uint8Array {
  const shape = shapeOf(name)
  return named(name, () => Shape.encode(shape, value, maxValueBytes))
}

/** Reads the value of a slot, given by name or number; throws `Claims.InvalidClaimError`. */
export function decode<N extends Name>(name: N, bytes: Uint8Array): ClaimValues[N]
export function decode(slot: Slot.Name | number, bytes: Uint8Array): ClaimValues[Name]
export function decode(slot: Slot.Name | number, bytes: Uint8Array): ClaimValues[Name] {
  const name = typeof slot === 'number' ? Slot.nameOf(slot) : slot
  const shape = shapeOf(name)
  return named(name, () => Shape.decode(shape, bytes, maxValueBytes))
}

/** The names of a slot's fields, for policies; none for slots whose value is a hash. */
export function fieldsOf(name: Slot.Name): readonly string[] {
  if (name === 'step') return []
  const shape = shapes[name]
  return 'names' in shape ? shape.names : []
}

function shapeOf(name: Slot.Name): Shape.Shape<ClaimValues[Name]> {
  if (name === 'step' || !Object.hasOwn(shapes, name)) throw new InvalidClaimError(name, 'claim-reserved')
  return shapes[name]
}

function named<T>(slot: Slot.Name, body: () => T): T {
  try {
    return body()
  } catch (cause) {
    if (cause instanceof Shape.MismatchError) throw new InvalidClaimError(slot, 'claim-malformed', cause)
    throw cause
  }
}

/** Codes of `Claims.InvalidClaimError`. */
export type InvalidClaimErrorCode = 'claim-malformed' | 'claim-reserved'

/** A claim's value does not match the definition of its slot. */
export class InvalidClaimError extends VerificationError<InvalidClaimErrorCode> {
  override readonly name = 'Claims.InvalidClaimError'
  readonly slot: Slot.Name
  constructor(slot: Slot.Name, code: InvalidClaimErrorCode, cause?: Shape.MismatchError) {
    super(code, 'A claim does not match the definition of its slot.', {
      facts: [`Slot: ${slot}`, ...(cause?.facts ?? ['Problem: the slot has no value in this version'])],
      cause,
    })
    this.slot = slot
  }
}
