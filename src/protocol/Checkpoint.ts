/**
 * Checkpoint.ts - the statement that a log signs and witnesses cosign, and its published form as a signed note.
 * Source: spec/log.md section 4; C2SP tlog-checkpoint.
 */
import * as Abi from './Abi.ts'
import * as Bytes from './Bytes.ts'
import * as Cose from './Cose.ts'
import type { Crypto, Hash } from './Crypto.ts'
import { type BaseError, VerificationError } from './errors.ts'
import * as Merkle from './Merkle.ts'
import * as Note from './Note.ts'

/** Bytes of the five words. */
export const byteLength = 160

/** What a log and its witnesses say. */
export type Statement = {
  /** 0..2^64-1. */
  readonly chainId: bigint
  /** Address of AnchorLog, 20 bytes. */
  readonly anchorLog: Uint8Array
  /** 32 bytes. */
  readonly logId: Uint8Array
  /** Leaves, 0..2^63-1. */
  readonly size: bigint
  /** RFC 9162 root over the leaf hashes, 32 bytes. */
  readonly root: Hash
}

/** Whose line of a note is read: the log's under tag `checkpoint`, a witness's under tag `cosign`. */
export type Es256Line = { readonly name: string; readonly publicKey: Uint8Array; readonly signature: Uint8Array }

/** The five words, 160 bytes; throws `Checkpoint.MalformedCheckpointError`, `Bytes.LengthError`, `Bytes.IntegerError`. */
export function words(statement: Statement): Uint8Array {
  assertSize(statement.size)
  return Abi.encode(
    Abi.uint(statement.chainId, 64),
    Abi.address(statement.anchorLog),
    Abi.bytes32(statement.logId),
    Abi.uint(statement.size, 64),
    Abi.bytes32(statement.root),
  )
}

/** Reads 160 bytes of words; throws `Checkpoint.MalformedCheckpointError`. */
export function parse(bytes: Uint8Array): Statement {
  if (bytes.length !== byteLength) {
    throw new MalformedCheckpointError('checkpoint-length', [`Expected: ${byteLength} bytes`, `Got: ${bytes.length}`])
  }
  try {
    const reader = new Abi.Reader(bytes)
    const statement: Statement = {
      chainId: reader.uint(64),
      anchorLog: reader.address(),
      logId: reader.bytes32(),
      size: reader.uint(64),
      root: reader.bytes32(),
    }
    reader.end()
    assertSize(statement.size)
    return statement
  } catch (cause) {
    if (cause instanceof Abi.WordError) throw new MalformedCheckpointError('checkpoint-word', cause.facts, cause)
    throw cause
  }
}

/** What is signed under tags `checkpoint` and `cosign`, 32 bytes: SHA-256 of the words. */
export function payload(crypto: Crypto, bytes: Uint8Array): Hash {
  Bytes.assertLength(bytes, byteLength, 'Checkpoint statement')
  return crypto.sha256(bytes)
}

/** The origin line of a log: `assay/` + hex(logId). */
export function origin(logId: Uint8Array): string {
  return Note.origin(logId)
}

/** The text of a statement's note; throws `Note.FormatError`. */
export function text(statement: Statement): string {
  const { size, root } = statement
  return Note.serializeCheckpoint({ origin: origin(statement.logId), size, root, extensions: [] })
}

/**
 * The note of a statement.
 *
 * - `log`: key (64 bytes) and ES256 signature (64 bytes) of the log, without which a checkpoint counts as absent
 * - `cosignatures`: ES256 lines of witnesses; `lines`: other lines, made with `Note.signEd25519` and `Note.signCosignature`
 */
export function toNote(
  crypto: Crypto,
  statement: Statement,
  signed: {
    readonly log: { readonly publicKey: Uint8Array; readonly signature: Uint8Array }
    readonly cosignatures?: readonly Es256Line[]
    readonly lines?: readonly Note.Signature[]
  },
): Note.Note {
  const log = es256Line(crypto, 'checkpoint', { name: origin(statement.logId), ...signed.log })
  const witnesses = (signed.cosignatures ?? []).map((line) => es256Line(crypto, 'cosign', line))
  return { text: text(statement), signatures: [...(signed.lines ?? []), log, ...witnesses] }
}

/**
 * Reads the note of a known log and checks the log's ES256 line.
 *
 * - `log`: chainId, address of AnchorLog (20 bytes), logId and the log's key (64 bytes)
 * - returns: the statement, the log's signature, and the ES256 lines of those `witnesses` that signed, checked too
 *
 * Throws: `Checkpoint.MalformedCheckpointError`, `Note.FormatError`, `Note.MissingSignatureError`, what `Cose.verify` throws.
 */
export async function fromNote(
  crypto: Crypto,
  note: Note.Note,
  log: {
    readonly chainId: bigint
    readonly anchorLog: Uint8Array
    readonly logId: Uint8Array
    readonly publicKey: Uint8Array
  },
  witnesses: readonly { readonly name: string; readonly publicKey: Uint8Array }[] = [],
): Promise<{
  readonly statement: Statement
  readonly signature: Uint8Array
  readonly cosignatures: readonly Es256Line[]
}> {
  const checkpoint = Note.parseCheckpoint(note.text)
  if (checkpoint.origin !== origin(log.logId)) throw new MalformedCheckpointError('checkpoint-origin', [])
  if (checkpoint.extensions.length > 0) throw new MalformedCheckpointError('checkpoint-extension', [])
  const { chainId, anchorLog, logId } = log
  const statement: Statement = { chainId, anchorLog, logId, size: checkpoint.size, root: checkpoint.root }
  const digest = payload(crypto, words(statement))
  const signature = await signatureOf(crypto, note, 'checkpoint', checkpoint.origin, log.publicKey, digest)
  if (signature === undefined) throw new Note.MissingSignatureError(checkpoint.origin)
  const cosignatures: Es256Line[] = []
  for (const { name, publicKey } of witnesses) {
    const cosignature = await signatureOf(crypto, note, 'cosign', name, publicKey, digest)
    if (cosignature !== undefined) cosignatures.push({ name, publicKey, signature: cosignature })
  }
  return { statement, signature, cosignatures }
}

async function signatureOf(
  crypto: Crypto,
  note: Note.Note,
  tag: 'checkpoint' | 'cosign',
  name: string,
  publicKey: Uint8Array,
  digest: Hash,
): Promise<Uint8Array | undefined> {
  const key = { type: 'es256', name, tag, publicKey } as const
  const [line] = Note.signaturesOf(crypto, note, key)
  if (line === undefined) return undefined
  await Note.verifyEs256(crypto, note, key, digest)
  return line.blob
}

function es256Line(crypto: Crypto, tag: 'checkpoint' | 'cosign', line: Es256Line): Note.Signature {
  Bytes.assertLength(line.signature, 64, 'Signature')
  Cose.assertLowS(line.signature)
  const { name, publicKey } = line
  return { name, keyId: Note.keyId(crypto, { type: 'es256', name, tag, publicKey }), blob: line.signature }
}

function assertSize(size: bigint): void {
  if (size < 0n || size > Merkle.maxSize) throw new MalformedCheckpointError('checkpoint-size', ['Range: 0..2^63-1'])
}

/** Codes of `Checkpoint.MalformedCheckpointError`. */
export type MalformedCheckpointErrorCode =
  | 'checkpoint-length'
  | 'checkpoint-word'
  | 'checkpoint-size'
  | 'checkpoint-origin'
  | 'checkpoint-extension'

/** Bytes, fields or a note are no checkpoint of the log. */
export class MalformedCheckpointError extends VerificationError<MalformedCheckpointErrorCode> {
  override readonly name = 'Checkpoint.MalformedCheckpointError'
  constructor(code: MalformedCheckpointErrorCode, facts: readonly string[], cause?: BaseError) {
    super(code, 'This is no checkpoint of the log.', { facts, cause })
  }
}
