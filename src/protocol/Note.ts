/**
 * Note.ts - signed notes, checkpoints and cosignatures, as witnesses and monitors everywhere read them.
 * Source: C2SP signed-note, tlog-checkpoint, tlog-cosignature; spec/log.md.
 *
 * A parsed note is only text with lines below it. What a line is worth is known after `verifyEd25519`,
 * `verifyCosignature` or `verifyEs256` with a key that the reader already trusts.
 */
import * as Bytes from './Bytes.ts'
import * as Cose from './Cose.ts'
import type { Crypto, Hash } from './Crypto.ts'
import { LimitError, VerificationError } from './errors.ts'
import * as Merkle from './Merkle.ts'

/** Most bytes of a note, 512 KiB: room for the most signatures even if each were post-quantum (about 7 kB a line). */
export const maxBytes = 512 * 1024
/** Most signature lines; the format asks readers for 16 at least, and a log has few witnesses. */
export const maxSignatures = 64

/** A note. */
export type Note = {
  /** What is signed: ends in a newline. */
  readonly text: string
  /** The lines below it, one at least. */
  readonly signatures: readonly Signature[]
}

/** One signature line. */
export type Signature = {
  /** The name of the key: not empty, no white space, no plus. */
  readonly name: string
  /** 4 bytes; with the name it says which known key the line claims to be from. */
  readonly keyId: Uint8Array
  /** What the key made: one byte or more. */
  readonly blob: Uint8Array
}

/** A key of plain Ed25519 lines, as logs make them; 32 bytes. */
export type Ed25519Key = { readonly type: 'ed25519'; readonly name: string; readonly publicKey: Uint8Array }

/** A key of timestamped Ed25519 lines (cosignature/v1), as witnesses make them; 32 bytes. */
export type CosignatureKey = { readonly type: 'cosignature'; readonly name: string; readonly publicKey: Uint8Array }

/** A key of ES256 lines under one tag; 64 bytes, x || y. */
export type Es256Key = {
  readonly type: 'es256'
  readonly name: string
  readonly tag: 'checkpoint' | 'cosign'
  readonly publicKey: Uint8Array
}

/** A key whose lines the reader checks. */
export type Key = Ed25519Key | CosignatureKey | Es256Key

/** Whoever can sign with one Ed25519 key. */
export type Ed25519Signer = {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /** Returns 64 bytes, R || S. */
  readonly sign: (message: Uint8Array) => Uint8Array | Promise<Uint8Array>
}

/** The text of a note about a tree. */
export type Checkpoint = {
  /** The log's identity, for our logs `origin(logId)`. */
  readonly origin: string
  /** Leaves, 0..2^63-1. */
  readonly size: bigint
  /** 32 bytes. */
  readonly root: Hash
  /** Further lines, none of them empty; our logs write none. */
  readonly extensions: readonly string[]
}

const signatureLine = /^\u2014 ([^\p{White_Space}+]+) ([A-Za-z0-9+/=]+)$/u
const nameOnly = /^[^\p{White_Space}+]+$/u
// Below U+0020 only the newline is allowed.
const forbiddenControl = /[\u0000-\u0009\u000b-\u001f]/u
const decimal = /^(?:0|[1-9][0-9]{0,18})$/u

/** The origin of one of our logs: `assay/` + hex of the 32-byte logId. */
export function origin(logId: Uint8Array): string {
  Bytes.assertLength(logId, 32, 'Log identifier')
  return `assay/${Bytes.toHex(logId)}`
}

/** The logId of an origin that `origin` wrote, or undefined if it is another log's. */
export function logIdOf(text: string): Uint8Array | undefined {
  return /^assay\/[0-9a-f]{64}$/u.test(text) ? Bytes.fromHex(text.slice(6)) : undefined
}

/** Reads a note; throws `Note.FormatError`, `LimitError`. */
export function parse(bytes: Uint8Array): Note {
  if (bytes.length > maxBytes) throw new LimitError({ what: 'Note length', limit: maxBytes, got: bytes.length })
  const whole = decodeText(bytes)
  if (forbiddenControl.test(whole)) throw new FormatError('control-character', 'A note holds a control character.')
  const blankLine = whole.lastIndexOf('\n\n')
  if (blankLine < 0) throw new FormatError('no-signatures', 'A note has no blank line before its signatures.')
  const text = whole.slice(0, blankLine + 1)
  const below = whole.slice(blankLine + 2)
  if (!below.endsWith('\n')) throw new FormatError('no-final-newline', 'A note does not end in a newline.')
  const lines = below.slice(0, -1).split('\n')
  if (lines.length > maxSignatures) {
    throw new LimitError({ what: 'Note signature count', limit: maxSignatures, got: lines.length })
  }
  return { text, signatures: lines.map(parseSignature) }
}

/** Writes a note; throws `Note.FormatError`, `LimitError`. `parse` reads exactly the same note back. */
export function serialize(note: Note): Uint8Array {
  assertText(note.text)
  if (note.signatures.length === 0) throw new FormatError('no-signatures', 'A note needs a signature.')
  if (note.signatures.length > maxSignatures) {
    throw new LimitError({ what: 'Note signature count', limit: maxSignatures, got: note.signatures.length })
  }
  const bytes = Bytes.fromUtf8(`${note.text}\n${note.signatures.map(serializeSignature).join('')}`)
  if (bytes.length > maxBytes) throw new LimitError({ what: 'Note length', limit: maxBytes, got: bytes.length })
  return bytes
}

/** Reads one signature line without its newline; throws `Note.FormatError`. */
export function parseSignature(line: string): Signature {
  const match = signatureLine.exec(line)
  if (match === null) throw new FormatError('signature-line', 'A signature line is malformed.')
  const [, name = '', encoded = ''] = match
  let bytes: Uint8Array
  try {
    bytes = Bytes.fromBase64(encoded)
  } catch (cause) {
    throw new FormatError('signature-line', 'A signature line is not in the one form of base64.', { cause })
  }
  if (bytes.length < 5) throw new FormatError('signature-line', 'A signature line holds no signature.')
  return { name, keyId: bytes.slice(0, 4), blob: bytes.slice(4) }
}

/** Writes one signature line with its newline; throws `Note.FormatError`. */
export function serializeSignature(signature: Signature): string {
  assertName(signature.name)
  Bytes.assertLength(signature.keyId, 4, 'Note key identifier')
  if (signature.blob.length === 0) throw new FormatError('signature-line', 'A signature line holds no signature.')
  return `\u2014 ${signature.name} ${Bytes.toBase64(Bytes.concat(signature.keyId, signature.blob))}\n`
}

/** Writes the text of a checkpoint; throws `Note.FormatError`. */
export function serializeCheckpoint(checkpoint: Checkpoint): string {
  if (checkpoint.size < 0n || checkpoint.size > Merkle.maxSize) {
    throw new FormatError('checkpoint-size', 'The size of a checkpoint is not in 0..2^63-1.')
  }
  Bytes.assertLength(checkpoint.root, 32, 'Root')
  for (const line of [checkpoint.origin, ...checkpoint.extensions]) {
    if (line === '' || line.includes('\n'))
      throw new FormatError('checkpoint-line', 'A line is empty or more than one.')
  }
  const lines = [checkpoint.origin, `${checkpoint.size}`, Bytes.toBase64(checkpoint.root), ...checkpoint.extensions]
  const text = `${lines.join('\n')}\n`
  assertText(text)
  return text
}

/** Reads the text of a checkpoint; throws `Note.FormatError`. */
export function parseCheckpoint(text: string): Checkpoint {
  assertText(text)
  const lines = text.slice(0, -1).split('\n')
  const [originLine = '', sizeLine = '', rootLine = '', ...extensions] = lines
  if (lines.length < 3 || lines.some((line) => line === '')) {
    throw new FormatError('checkpoint-line', 'A checkpoint has fewer than three lines, or an empty one.')
  }
  if (!decimal.test(sizeLine)) throw new FormatError('checkpoint-size', 'The size of a checkpoint is malformed.')
  const size = BigInt(sizeLine)
  if (size > Merkle.maxSize) throw new FormatError('checkpoint-size', 'The size of a checkpoint is above 2^63-1.')
  let root: Uint8Array
  try {
    root = Bytes.fromBase64(rootLine)
  } catch (cause) {
    throw new FormatError('checkpoint-root', 'The root of a checkpoint is not in the one form of base64.', { cause })
  }
  if (root.length !== 32) throw new FormatError('checkpoint-root', 'The root of a checkpoint is not 32 bytes long.')
  return { origin: originLine, size, root, extensions }
}

/**
 * The identifier of a key in notes, 4 bytes: SHA-256(name || 0x0A || type || public key)[0..4].
 *
 * Types: Ed25519 0x01, cosignature/v1 0x04, ES256 0xff followed by `assay/checkpoint/v1` or `assay/cosign/v1`.
 */
export function keyId(crypto: Crypto, key: Key): Uint8Array {
  assertName(key.name)
  return crypto.sha256(Bytes.concat(Bytes.fromUtf8(`${key.name}\n`), keyMaterial(key))).slice(0, 4)
}

/** The key as text (a vkey): name+hex(identifier)+base64(type || public key). */
export function serializeKey(crypto: Crypto, key: Key): string {
  return `${key.name}+${Bytes.toHex(keyId(crypto, key))}+${Bytes.toBase64(keyMaterial(key))}`
}

/** Reads a key that `serializeKey`, or another implementation for Ed25519, wrote; throws `Note.FormatError`. */
export function parseKey(crypto: Crypto, text: string): Key {
  const match = /^([^\p{White_Space}+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/u.exec(text)
  if (match === null) throw new FormatError('verifier-key', 'A verifier key is malformed.')
  const [, name = '', id = '', material = ''] = match
  let bytes: Uint8Array
  try {
    bytes = Bytes.fromBase64(material)
  } catch (cause) {
    throw new FormatError('verifier-key', 'A verifier key is not in the one form of base64.', { cause })
  }
  const key = keyOfMaterial(name, bytes)
  if (Bytes.toHex(keyId(crypto, key)) !== id) {
    throw new FormatError('verifier-key', 'The identifier of a verifier key does not belong to it.')
  }
  return key
}

/** The lines of a note that claim to be from a key. */
export function signaturesOf(crypto: Crypto, note: Note, key: Key): Signature[] {
  const id = keyId(crypto, key)
  return note.signatures.filter((line) => line.name === key.name && Bytes.equal(line.keyId, id))
}

/**
 * Checks the Ed25519 lines of a key over the text; every line of that key must hold.
 *
 * Throws: `Note.MissingSignatureError`, `Note.BadSignatureError`.
 */
export async function verifyEd25519(crypto: Crypto, note: Note, key: Ed25519Key): Promise<void> {
  const message = Bytes.fromUtf8(note.text)
  for (const { blob } of linesOf(crypto, note, key)) {
    if (!(await crypto.ed25519Verify(key.publicKey, message, blob))) throw new BadSignatureError(key.name)
  }
}

/**
 * Checks the timestamped lines of a witness over the text; every line of that key must hold.
 *
 * - returns: the latest time, in seconds since 1970, that the witness signed; whether that is recent is the reader's question
 *
 * Throws: `Note.MissingSignatureError`, `Note.BadSignatureError`.
 */
export async function verifyCosignature(
  crypto: Crypto,
  note: Note,
  key: CosignatureKey,
): Promise<{ readonly timestampSeconds: bigint }> {
  let latest = 0n
  for (const { blob } of linesOf(crypto, note, key)) {
    if (blob.length !== 72) throw new BadSignatureError(key.name)
    const timestampSeconds = Bytes.toBigInt(blob.subarray(0, 8))
    if (timestampSeconds > Merkle.maxSize) throw new BadSignatureError(key.name)
    const message = cosignatureMessage(note.text, timestampSeconds)
    if (!(await crypto.ed25519Verify(key.publicKey, message, blob.subarray(8)))) throw new BadSignatureError(key.name)
    if (timestampSeconds > latest) latest = timestampSeconds
  }
  return { timestampSeconds: latest }
}

/**
 * Checks the ES256 lines of a key; they sign a statement, not the text.
 *
 * - `payload`: 32 bytes, SHA-256 of the ABI tuple that the reader rebuilt from the text and what it knows of the log
 *
 * Throws: `Note.MissingSignatureError`, and what `Cose.verify` throws.
 */
export async function verifyEs256(crypto: Crypto, note: Note, key: Es256Key, payload: Uint8Array): Promise<void> {
  for (const { blob } of linesOf(crypto, note, key)) {
    await Cose.verify(crypto, { tag: key.tag, payload, signature: blob, publicKey: key.publicKey })
  }
}

/** Makes an Ed25519 line over a text. */
export async function signEd25519(
  crypto: Crypto,
  signer: Ed25519Signer,
  name: string,
  text: string,
): Promise<Signature> {
  assertText(text)
  const id = keyId(crypto, { type: 'ed25519', name, publicKey: signer.publicKey })
  return { name, keyId: id, blob: await signer.sign(Bytes.fromUtf8(text)) }
}

/** Makes a timestamped line over a text; the time is in seconds since 1970. */
export async function signCosignature(
  crypto: Crypto,
  signer: Ed25519Signer,
  name: string,
  text: string,
  timestampSeconds: bigint,
): Promise<Signature> {
  const message = cosignatureMessage(text, timestampSeconds)
  const id = keyId(crypto, { type: 'cosignature', name, publicKey: signer.publicKey })
  return { name, keyId: id, blob: Bytes.concat(Bytes.u64(timestampSeconds), await signer.sign(message)) }
}

/** Makes an ES256 line of a statement whose payload has 32 bytes. */
export async function signEs256(
  crypto: Crypto,
  signer: Cose.Signer,
  name: string,
  tag: 'checkpoint' | 'cosign',
  payload: Uint8Array,
): Promise<Signature> {
  const id = keyId(crypto, { type: 'es256', name, tag, publicKey: signer.publicKey })
  return { name, keyId: id, blob: await Cose.sign(crypto, signer, tag, payload) }
}

/** What a timestamped line signs: a header line, the time, and the whole text. */
export function cosignatureMessage(text: string, timestampSeconds: bigint): Uint8Array {
  assertText(text)
  if (timestampSeconds < 0n || timestampSeconds > Merkle.maxSize) {
    throw new FormatError('timestamp', 'A time is not in 0..2^63-1.')
  }
  return Bytes.fromUtf8(`cosignature/v1\ntime ${timestampSeconds}\n${text}`)
}

function linesOf(crypto: Crypto, note: Note, key: Key): Signature[] {
  const lines = signaturesOf(crypto, note, key)
  if (lines.length === 0) throw new MissingSignatureError(key.name)
  return lines
}

function keyMaterial(key: Key): Uint8Array {
  if (key.type === 'es256') {
    Bytes.assertLength(key.publicKey, 64, 'Public key')
    return Bytes.concat(Uint8Array.of(0xff), Cose.aad(key.tag), key.publicKey)
  }
  Bytes.assertLength(key.publicKey, 32, 'Public key')
  return Bytes.concat(Uint8Array.of(key.type === 'ed25519' ? 0x01 : 0x04), key.publicKey)
}

function keyOfMaterial(name: string, bytes: Uint8Array): Key {
  const [type] = bytes
  if ((type === 0x01 || type === 0x04) && bytes.length === 33) {
    return { type: type === 0x01 ? 'ed25519' : 'cosignature', name, publicKey: bytes.slice(1) }
  }
  for (const tag of ['checkpoint', 'cosign'] as const) {
    const prefix = Bytes.concat(Uint8Array.of(0xff), Cose.aad(tag))
    if (bytes.length === prefix.length + 64 && Bytes.equal(bytes.subarray(0, prefix.length), prefix)) {
      return { type: 'es256', name, tag, publicKey: bytes.slice(prefix.length) }
    }
  }
  throw new FormatError('verifier-key', 'A verifier key has an unknown type or a wrong length.')
}

function decodeText(bytes: Uint8Array): string {
  try {
    return Bytes.toUtf8(bytes)
  } catch (cause) {
    throw new FormatError('not-utf8', 'A note is not UTF-8.', { cause })
  }
}

function assertName(name: string): void {
  if (!nameOnly.test(name) || forbiddenControl.test(name) || !name.isWellFormed()) {
    throw new FormatError('key-name', 'A key name is empty, or holds white space, a plus or a control character.')
  }
}

function assertText(text: string): void {
  if (!text.endsWith('\n')) throw new FormatError('no-final-newline', 'The text of a note does not end in a newline.')
  if (forbiddenControl.test(text)) throw new FormatError('control-character', 'A note holds a control character.')
  if (!text.isWellFormed()) throw new FormatError('not-utf8', 'A note holds a lone surrogate.')
}

/** Codes of `Note.FormatError`. */
export type FormatErrorCode =
  | 'not-utf8'
  | 'control-character'
  | 'no-signatures'
  | 'no-final-newline'
  | 'signature-line'
  | 'key-name'
  | 'verifier-key'
  | 'checkpoint-line'
  | 'checkpoint-size'
  | 'checkpoint-root'
  | 'timestamp'

/** Text is no note, checkpoint or verifier key. */
export class FormatError extends VerificationError<FormatErrorCode> {
  override readonly name = 'Note.FormatError'
}

/** A note has no line of a key. */
export class MissingSignatureError extends VerificationError<'note-signature-missing'> {
  override readonly name = 'Note.MissingSignatureError'
  constructor(keyName: string) {
    super('note-signature-missing', 'The note has no line of the key.', { facts: [`Key: ${keyName}`] })
  }
}

/** A line of a known key does not hold. */
export class BadSignatureError extends VerificationError<'note-signature-mismatch'> {
  override readonly name = 'Note.BadSignatureError'
  constructor(keyName: string) {
    super('note-signature-mismatch', 'A line of the key does not belong to this text.', { facts: [`Key: ${keyName}`] })
  }
}
