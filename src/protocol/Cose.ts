/**
 * Cose.ts - the one shape of COSE_Sign1 that everything in Assay is signed with: ES256, low S, a 32-byte payload and a
 * tag as external data. Source: RFC 9052 section 4.4; spec/signatures.md.
 */
import * as Bytes from './Bytes.ts'
import type { Crypto } from './Crypto.ts'
import { VerificationError } from './errors.ts'
import * as P256 from './P256.ts'

/** What a signature is about; it enters the signed bytes as `assay/<tag>/v1`, so no statement passes for another. */
export type Tag =
  | 'receipt'
  | 'pledge'
  | 'order'
  | 'key'
  | 'checkpoint'
  | 'cosign'
  | 'vote'
  | 'heartbeat'
  | 'report'
  | 'price'

/** All tags. */
export const tags: readonly Tag[] = Object.freeze([
  'receipt',
  'pledge',
  'order',
  'key',
  'checkpoint',
  'cosign',
  'vote',
  'heartbeat',
  'report',
  'price',
])

/** Bytes of an envelope. */
export const envelopeLength = 141

/** Whoever can sign with one P-256 key; the key itself may be in hardware. */
export type Signer = {
  /** 64 bytes, x || y. */
  readonly publicKey: Uint8Array
  /** Signs SHA-256(message); returns r || s, 64 bytes, of any S. */
  readonly sign: (message: Uint8Array) => Uint8Array | Promise<Uint8Array>
}

/** An envelope; `keyId` is a hint for finding the key and never a reason to trust it. */
export type Envelope = {
  /** 32 bytes, SHA-256(x || y) if the sender is honest. */
  readonly keyId: Uint8Array
  /** 32 bytes. */
  readonly payload: Uint8Array
  /** 64 bytes, r || s. */
  readonly signature: Uint8Array
}

// [ "Signature1", h'a10126', ... : array of 4, the context text, the protected header {1: -7} as a byte string.
const structurePrefix = Bytes.fromHex('846a5369676e61747572653143a10126')
const payloadPrefix = Bytes.fromHex('5820')
// [ h'a10126', {4: h'<32 bytes>'} , h'<32 bytes>', h'<64 bytes>' ], split where the three values stand.
const envelopePrefix = Bytes.fromHex('8443a10126a1045820')
const signaturePrefix = Bytes.fromHex('5840')

const structureStarts = Object.fromEntries(tags.map((tag) => [tag, structureStart(tag)])) as Record<Tag, Uint8Array>

/** Says whether a text is one of the tags. */
export function isTag(text: string): text is Tag {
  return (tags as readonly string[]).includes(text)
}

/** The external data of a tag: ASCII `assay/<tag>/v1`. */
export function aad(tag: Tag): Uint8Array {
  return Bytes.fromUtf8(`assay/${tag}/v1`)
}

/**
 * The exact bytes that are signed: the Sig_structure of RFC 9052.
 *
 * - `payload`: 32 bytes
 *
 * Throws: `Bytes.LengthError`.
 */
export function sigStructure(tag: Tag, payload: Uint8Array): Uint8Array {
  Bytes.assertLength(payload, 32, 'Payload')
  return Bytes.concat(structureStarts[tag], payload)
}

/** A Sig_structure up to its payload. */
function structureStart(tag: Tag): Uint8Array {
  const external = aad(tag)
  // The longest tag gives 19 bytes, so the byte string head of the external data is always one byte.
  return Bytes.concat(structurePrefix, Uint8Array.of(0x40 | external.length), external, payloadPrefix)
}

/** The identifier of a public key: SHA-256(x || y), 32 bytes. */
export function keyId(crypto: Crypto, publicKey: Uint8Array): Uint8Array {
  Bytes.assertLength(publicKey, 64, 'Public key')
  return crypto.sha256(publicKey)
}

/** Signs a payload of 32 bytes under a tag; returns r || s, 64 bytes, with low S. */
export async function sign(crypto: Crypto, signer: Signer, tag: Tag, payload: Uint8Array): Promise<Uint8Array> {
  const message = sigStructure(tag, payload)
  const signature = normalizeLowS(await signer.sign(message))
  // A broken signer (or a fault in hardware) must not put a bad signature into the world.
  await verify(crypto, { tag, payload, signature, publicKey: signer.publicKey })
  return signature
}

/**
 * Checks one signature.
 *
 * - `payload`: 32 bytes; `signature`: 64 bytes, r || s; `publicKey`: 64 bytes, x || y
 * - returns: the key's identifier, computed here
 *
 * Throws: `Bytes.LengthError`, `Cose.InvalidKeyError`, `Cose.HighSError`, `Cose.BadSignatureError`.
 */
export async function verify(
  crypto: Crypto,
  subject: {
    readonly tag: Tag
    readonly payload: Uint8Array
    readonly signature: Uint8Array
    readonly publicKey: Uint8Array
  },
): Promise<{ readonly keyId: Uint8Array }> {
  const message = sigStructure(subject.tag, subject.payload)
  await verifyMessage(crypto, message, subject.signature, subject.publicKey)
  return { keyId: keyId(crypto, subject.publicKey) }
}

/**
 * Checks an ES256 signature over any message under the same rules: key on the curve, low S, r and s in range.
 *
 * Throws: `Cose.InvalidKeyError`, `Cose.HighSError`, `Cose.BadSignatureError`.
 */
export async function verifyMessage(
  crypto: Crypto,
  message: Uint8Array,
  signature: Uint8Array,
  publicKey: Uint8Array,
): Promise<void> {
  assertKey(publicKey)
  if (signature.length !== 64)
    throw new BadSignatureError('signature-wrong-length', 'A signature is not 64 bytes long.')
  assertLowS(signature)
  if (!P256.isInRange(signature)) throw new BadSignatureError('signature-out-of-range', 'r or s is not in 1..n-1.')
  if (!(await crypto.p256Verify(publicKey, message, signature))) {
    throw new BadSignatureError('signature-mismatch', 'The signature does not belong to this key and statement.')
  }
}

/** Asserts that 64 bytes are a point of P-256; throws `Cose.InvalidKeyError`. */
export function assertKey(publicKey: Uint8Array): void {
  if (!P256.isOnCurve(publicKey)) throw new InvalidKeyError()
}

/** Asserts S <= n / 2 of a signature of 64 bytes; throws `Cose.HighSError`. */
export function assertLowS(signature: Uint8Array): void {
  Bytes.assertLength(signature, 64, 'Signature')
  if (!P256.isLowS(signature)) throw new HighSError()
}

/** Replaces a high S by n - S, which is valid for the same key and message; leaves everything else as it is. */
export function normalizeLowS(signature: Uint8Array): Uint8Array {
  Bytes.assertLength(signature, 64, 'Signature')
  if (P256.isLowS(signature)) return Uint8Array.from(signature)
  const s = Bytes.toBigInt(signature.subarray(32))
  if (s >= P256.order) return Uint8Array.from(signature)
  return Bytes.concat(signature.subarray(0, 32), Bytes.u256(P256.order - s))
}

/** Writes the envelope: an untagged COSE_Sign1 of 141 bytes. */
export function encode(envelope: Envelope): Uint8Array {
  Bytes.assertLength(envelope.keyId, 32, 'Key identifier')
  Bytes.assertLength(envelope.payload, 32, 'Payload')
  Bytes.assertLength(envelope.signature, 64, 'Signature')
  return Bytes.concat(
    envelopePrefix,
    envelope.keyId,
    payloadPrefix,
    envelope.payload,
    signaturePrefix,
    envelope.signature,
  )
}

/** Reads an envelope of exactly that shape; checks no signature. Throws `Cose.EnvelopeError`. */
export function decode(bytes: Uint8Array): Envelope {
  if (bytes.length !== envelopeLength) throw new EnvelopeError(`Length: ${bytes.length} instead of ${envelopeLength}`)
  const reader = new Bytes.Reader(bytes)
  expect(reader, envelopePrefix)
  const keyId = reader.bytes(32)
  expect(reader, payloadPrefix)
  const payload = reader.bytes(32)
  expect(reader, signaturePrefix)
  return { keyId, payload, signature: reader.bytes(64) }
}

function expect(reader: Bytes.Reader, expected: Uint8Array): void {
  const { offset } = reader
  if (!Bytes.equal(reader.bytes(expected.length), expected)) {
    throw new EnvelopeError(`Offset: ${offset}, expected ${Bytes.toHex(expected)}`)
  }
}

/** Codes of `Cose.BadSignatureError`. */
export type BadSignatureErrorCode = 'signature-wrong-length' | 'signature-out-of-range' | 'signature-mismatch'

/** A signature does not hold. */
export class BadSignatureError extends VerificationError<BadSignatureErrorCode> {
  override readonly name = 'Cose.BadSignatureError'
}

/** A signature may hold but has the high S, the second form that anybody can derive, and is refused. */
export class HighSError extends VerificationError<'signature-high-s'> {
  override readonly name = 'Cose.HighSError'
  constructor() {
    super('signature-high-s', 'The signature has a high S; only the low form is a signature here.')
  }
}

/** A public key is no point of P-256. */
export class InvalidKeyError extends VerificationError<'invalid-key'> {
  override readonly name = 'Cose.InvalidKeyError'
  constructor() {
    super('invalid-key', 'The public key is no point of P-256.', { facts: ['Expected: 64 bytes, x || y'] })
  }
}

/** Bytes are no envelope of the fixed shape. */
export class EnvelopeError extends VerificationError<'envelope-malformed'> {
  override readonly name = 'Cose.EnvelopeError'
  constructor(fact: string) {
    super('envelope-malformed', 'Bytes are no COSE_Sign1 of the one allowed shape.', { facts: [fact] })
  }
}
