/** Wire.ts - how receipts, orders and their secrets travel over HTTP. Source: spec/wire.md. */
import * as Bytes from './Bytes.ts'
import * as Claims from './Claims.ts'
import type { Crypto, Hash } from './Crypto.ts'
import { type BaseError, VerificationError } from './errors.ts'
import * as Head from './Head.ts'
import * as Order from './Order.ts'
import * as Pledge from './Pledge.ts'
import * as Shape from './Shape.ts'
import * as Slot from './Slot.ts'
import * as Sse from './Sse.ts'

/** Names of the headers of requests. */
export const requestHeaders = Object.freeze({
  order: 'Assay-Order',
  orderSalt: 'Assay-Order-Salt',
  orderTerms: 'Assay-Order-Terms',
  nonce: 'Assay-Nonce',
  stream: 'Assay-Stream',
} as const)

/** Names of the headers of responses. */
export const responseHeaders = Object.freeze({
  receipt: 'Assay-Receipt',
  pledge: 'Assay-Pledge',
  secret: 'Assay-Secret',
  claims: 'Assay-Claims',
} as const)

/** The value of `Assay-Stream` that asks for a named event. */
export const streamEvent = 'event'
/** The value of `Assay-Receipt` when no log pledged in time; the receipt follows, and `Assay-Secret` reads it then. */
export const pending = 'pending'
/** Most characters of `Assay-Claims` in a header; proxies allow 4 to 8 kB for all headers together. */
export const maxInlineClaims = 2048
/** Most bytes of the claims map on the wire, 512 KiB: in base64url it still fits one line of a stream (1 MiB). */
export const maxClaimsBytes = 512 * 1024
/** Most bytes of the leaves of a call, 16 MiB: half a million tokens. */
export const maxLeavesBytes = 16 * 1024 * 1024

/** A head of 139 bytes with its signature of 64. */
export type SignedHead = { readonly head: Uint8Array; readonly signature: Uint8Array }
/** Words with the signature over them, and for orders the key. */
export type SignedPledge = { readonly words: Uint8Array; readonly signature: Uint8Array }
/** An order's 416 bytes, signature (64) and public key (64). */
export type SignedOrder = SignedPledge & { readonly publicKey: Uint8Array }

const { field, optional, record, numbered, list, bytes, bytesWithin } = Shape
const claimsShape = numbered(Slot.usable, bytesWithin(0, Claims.maxValueBytes))
const receiptClaimsShape = record({
  head: field(1, bytes(Head.byteLength)),
  signature: field(2, bytes(64)),
  claims: field(3, claimsShape),
  pledge: optional(4, bytes(Pledge.byteLength)),
  pledgeSignature: optional(5, bytes(64)),
})
const leaf = bytesWithin(0, maxLeavesBytes)
const leavesShape = record({
  effective: field(2, list(leaf, 0, 2 ** 20)),
  output: field(4, list(leaf, 0, 2 ** 20)),
})

/** What `GET /v1/receipts/{hash}/claims` answers. */
export type ReceiptClaims = {
  readonly head: Uint8Array
  readonly signature: Uint8Array
  readonly claims: ReadonlyMap<number, Uint8Array>
  readonly pledge?: SignedPledge
}

/** What `GET /v1/receipts/{hash}/leaves` answers. */
export type ReceiptLeaves = Shape.TypeOf<typeof leavesShape>

/** The value of `Assay-Receipt`. */
export function encodeReceipt({ head, signature }: SignedHead): string {
  return encodeParts([head, Head.byteLength], [signature, 64])
}

/** Reads `Assay-Receipt`; `pending` is no receipt. Throws `Wire.MalformedValueError`. */
export function decodeReceipt(value: string): SignedHead {
  const [head, signature] = decodeParts('receipt', value, Head.byteLength, 64)
  return { head, signature }
}

/** The value of `Assay-Pledge`. */
export function encodePledge({ words, signature }: SignedPledge): string {
  return encodeParts([words, Pledge.byteLength], [signature, 64])
}

/** Reads `Assay-Pledge`; throws `Wire.MalformedValueError`. */
export function decodePledge(value: string): SignedPledge {
  const [words, signature] = decodeParts('pledge', value, Pledge.byteLength, 64)
  return { words, signature }
}

/** The value of `Assay-Secret`; `secret` has 32 bytes. */
export function encodeSecret(secret: Uint8Array): string {
  return encodeParts([secret, 32])
}

/** Reads `Assay-Secret`, 32 bytes; throws `Wire.MalformedValueError`. */
export function decodeSecret(value: string): Uint8Array {
  return decodeParts('secret', value, 32)[0]
}

/** The value of `Assay-Claims`: claim values by slot; throws `Wire.MalformedValueError`. */
export function encodeClaims(claims: ReadonlyMap<number, Uint8Array>): string {
  return Bytes.toBase64url(ofShape('claims', () => Shape.encode(claimsShape, claims, maxClaimsBytes)))
}

/** Reads `Assay-Claims`; the values themselves are not decoded. Throws `Wire.MalformedValueError`. */
export function decodeClaims(value: string): ReadonlyMap<number, Uint8Array> {
  const decoded = fromBase64url('claims', value, maxClaimsBytes)
  return ofShape('claims', () => Shape.decode(claimsShape, decoded, maxClaimsBytes))
}

/** The value of `Assay-Order`. */
export function encodeOrder({ words, signature, publicKey }: SignedOrder): string {
  return encodeParts([words, Order.byteLength], [signature, 64], [publicKey, 64])
}

/** Reads `Assay-Order`; throws `Wire.MalformedValueError`. */
export function decodeOrder(value: string): SignedOrder {
  const [words, signature, publicKey] = decodeParts('order', value, Order.byteLength, 64, 64)
  return { words, signature, publicKey }
}

/** The value of `Assay-Order-Salt`; `salt` has 16 bytes. */
export function encodeOrderSalt(salt: Uint8Array): string {
  return encodeParts([salt, 16])
}

/** Reads `Assay-Order-Salt`, 16 bytes; throws `Wire.MalformedValueError`. */
export function decodeOrderSalt(value: string): Uint8Array {
  return decodeParts('order-salt', value, 16)[0]
}

/** The value of `Assay-Order-Terms`; `terms` are the encoded exposure terms. */
export function encodeOrderTerms(terms: Uint8Array): string {
  if (terms.length > Order.maxTermsBytes) throw new MalformedValueError('order-terms')
  return Bytes.toBase64url(terms)
}

/** Reads `Assay-Order-Terms`, the encoded exposure terms; throws `Wire.MalformedValueError`. */
export function decodeOrderTerms(value: string): Uint8Array {
  return fromBase64url('order-terms', value, Order.maxTermsBytes)
}

/** The value of `Assay-Nonce`; `nonce` has 16 bytes. */
export function encodeNonce(nonce: Uint8Array): string {
  return encodeParts([nonce, 16])
}

/** Reads `Assay-Nonce`, 16 bytes; throws `Wire.MalformedValueError`. */
export function decodeNonce(value: string): Uint8Array {
  return decodeParts('nonce', value, 16)[0]
}

/** The two comment lines that end a stream whose receipt follows later; `secret` as in `Assay-Secret`. */
export function writePending(secret: string): Uint8Array {
  return Bytes.concat(Sse.writeComment('assay-receipt', pending), Sse.writeComment('assay-secret', secret))
}

/** The four comment lines that end a stream. */
export function writeComments(values: {
  readonly receipt: string
  readonly pledge: string
  readonly secret: string
  readonly claims: string
}): Uint8Array {
  return Bytes.concat(
    Sse.writeComment('assay-receipt', values.receipt),
    Sse.writeComment('assay-pledge', values.pledge),
    Sse.writeComment('assay-secret', values.secret),
    Sse.writeComment('assay-claims', values.claims),
  )
}

/** Reads the whole body of an event stream; throws `Sse.MalformedStreamError`. */
export const splitStream: typeof Sse.splitStream = Sse.splitStream

/** Writes the answer of `/claims` as dCBOR; throws `Wire.MalformedValueError`. */
export function encodeReceiptClaims(answer: ReceiptClaims): Uint8Array {
  const { head, signature, claims, pledge } = answer
  const proof = pledge === undefined ? {} : { pledge: pledge.words, pledgeSignature: pledge.signature }
  return ofShape('claims', () =>
    Shape.encode(receiptClaimsShape, { head, signature, claims, ...proof }, 2 * maxClaimsBytes),
  )
}

/** Reads the answer of `/claims`; throws `Wire.MalformedValueError`. */
export function decodeReceiptClaims(input: Uint8Array): ReceiptClaims {
  const { pledge, pledgeSignature, ...answer } = ofShape('claims', () =>
    Shape.decode(receiptClaimsShape, input, 2 * maxClaimsBytes),
  )
  if ((pledge === undefined) !== (pledgeSignature === undefined)) throw new MalformedValueError('claims')
  if (pledge === undefined || pledgeSignature === undefined) return answer
  return { ...answer, pledge: { words: pledge, signature: pledgeSignature } }
}

/** Writes the answer of `/leaves` as dCBOR; throws `Wire.MalformedValueError`. */
export function encodeReceiptLeaves(leaves: ReceiptLeaves): Uint8Array {
  return ofShape('leaves', () => Shape.encode(leavesShape, leaves, maxLeavesBytes))
}

/** Reads the answer of `/leaves`; throws `Wire.MalformedValueError`. */
export function decodeReceiptLeaves(input: Uint8Array): ReceiptLeaves {
  return ofShape('leaves', () => Shape.decode(leavesShape, input, maxLeavesBytes))
}

/**
 * The token that reads a receipt's claims, 32 bytes: SHA-256(0x04 || secret); sent as `Authorization: Bearer` and 64 hex
 * digits. The secret itself is never sent back.
 */
export function readToken(crypto: Crypto, secret: Uint8Array): Hash {
  Bytes.assertLength(secret, 32, 'Secret')
  return crypto.sha256(Bytes.concat(Uint8Array.of(0x04), secret))
}

function encodeParts(...parts: readonly (readonly [Uint8Array, number])[]): string {
  for (const [part, length] of parts) Bytes.assertLength(part, length, 'Part of a header value')
  return Bytes.toBase64url(Bytes.concat(...parts.map(([part]) => part)))
}

type Parts<L extends readonly number[]> = { readonly [i in keyof L]: Uint8Array }

function decodeParts<const L extends readonly number[]>(what: Value, value: string, ...lengths: L): Parts<L> {
  const total = lengths.reduce((sum, length) => sum + length, 0)
  const decoded = fromBase64url(what, value, total)
  if (decoded.length !== total) throw new MalformedValueError(what)
  const reader = new Bytes.Reader(decoded)
  return lengths.map((length) => reader.bytes(length)) as unknown as Parts<L>
}

function fromBase64url(what: Value, value: string, maxBytes: number): Uint8Array {
  if (value.length > Math.ceil((maxBytes * 4) / 3)) throw new MalformedValueError(what)
  try {
    return Bytes.fromBase64url(value)
  } catch (cause) {
    if (cause instanceof Bytes.EncodingError) throw new MalformedValueError(what, cause)
    throw cause
  }
}

function ofShape<T>(what: Value, body: () => T): T {
  try {
    return body()
  } catch (cause) {
    if (cause instanceof Shape.MismatchError) throw new MalformedValueError(what, cause)
    throw cause
  }
}

/** The things that travel. */
type Value = 'receipt' | 'pledge' | 'secret' | 'claims' | 'leaves' | 'order' | 'order-salt' | 'order-terms' | 'nonce'

/** Codes of `Wire.MalformedValueError`. */
export type MalformedValueErrorCode = `wire-${Value}`

/** A header, a comment line or an answer does not have the one allowed form; its content is not repeated. */
export class MalformedValueError extends VerificationError<MalformedValueErrorCode> {
  override readonly name = 'Wire.MalformedValueError'
  constructor(what: Value, cause?: BaseError) {
    super(`wire-${what}`, 'A value on the wire does not have the one allowed form.', {
      facts: [`Value: ${what}`, ...(cause instanceof Shape.MismatchError ? cause.facts : [])],
      cause,
    })
  }
}
