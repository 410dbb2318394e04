/**
 * AddCheckpoint.ts - the witness as the HTTP call that logs everywhere make: `POST add-checkpoint`.
 * Source: C2SP tlog-witness.
 *
 * A function of the body; the server around it is somebody else's. Only checkpoints with the log's ES256 line count.
 */
import { Bytes, Checkpoint, Cose, errors, Merkle, Note } from 'assay/protocol'
import * as Witness from './Witness.ts'

/** Most hashes of a consistency proof. */
const maxProofHashes = 63
/** Most bytes of a request: the old size, the proof and a note. */
const maxBodyBytes = 64 * 1024

/** An answer. */
export type Response = { readonly status: number; readonly contentType: string; readonly body: Uint8Array }

/** What a body asks for. */
export type Request = {
  readonly oldSize: bigint
  readonly proof: readonly Uint8Array[]
  readonly note: Note.Note
}

/**
 * Answers a request.
 *
 * 200 cosignature lines; 400 malformed; 403 not signed by the log; 404 another log; 409 another size was cosigned last,
 * or another root of the same size (body: that size); 422 the proof does not hold; 503 the witness has stopped.
 */
export async function addCheckpoint(
  witness: Witness.Witness,
  crypto: Parameters<typeof Checkpoint.fromNote>[0],
  body: Uint8Array,
): Promise<Response> {
  try {
    const { oldSize, proof, note } = parse(body)
    const { origin, size } = Note.parseCheckpoint(note.text)
    if (origin !== Checkpoint.origin(witness.log.logId)) return answer(404, 'unknown log')
    if (oldSize > size) return answer(400, 'the old size is above the size of the checkpoint')
    const { statement, signature } = await Checkpoint.fromNote(crypto, note, witness.log)
    const { lines } = await witness.cosign({ statement, logSignature: signature, oldSize, proof })
    return answer(200, lines.map(Note.serializeSignature).join('').trimEnd())
  } catch (error) {
    return refusal(witness, error)
  }
}

/** Reads a body: `old N`, proof lines in base64, an empty line, the note. Throws `BodyError` and what `Note` throws. */
export function parse(body: Uint8Array): Request {
  if (body.length > maxBodyBytes)
    throw new errors.LimitError({ what: 'Request', limit: maxBodyBytes, got: body.length })
  const text = Bytes.toUtf8(body)
  const blankLine = text.indexOf('\n\n')
  if (blankLine < 0) throw new BodyError('No empty line ends the proof.')
  const [first = '', ...hashes] = text.slice(0, blankLine).split('\n')
  const match = /^old (0|[1-9][0-9]{0,18})$/.exec(first)
  if (match === null) throw new BodyError('The first line is not the old size.')
  if (hashes.length > maxProofHashes) throw new BodyError('The proof has too many hashes.')
  const proof = hashes.map((line) => Bytes.fromBase64(line))
  if (proof.some((hash) => hash.length !== 32)) throw new BodyError('A hash of the proof is not 32 bytes long.')
  return { oldSize: BigInt(match[1] as string), proof, note: Note.parse(Bytes.fromUtf8(text.slice(blankLine + 2))) }
}

function refusal(witness: Witness.Witness, error: unknown): Response {
  if (error instanceof Witness.StaleSizeError) return conflict(error.size)
  if (error instanceof Witness.ContradictionError) return conflict(witness.last()?.size ?? 0n)
  if (error instanceof Witness.StoppedError) return answer(503, error.shortMessage)
  if (error instanceof Merkle.ConsistencyError) return answer(422, error.shortMessage)
  if (error instanceof Note.MissingSignatureError || error instanceof Note.BadSignatureError) {
    return answer(403, error.shortMessage)
  }
  if (error instanceof Cose.BadSignatureError || error instanceof Cose.HighSError)
    return answer(403, error.shortMessage)
  if (errors.UnavailableError.isInstance(error)) return answer(503, error.shortMessage)
  if (errors.BaseError.isInstance(error)) return answer(400, error.shortMessage)
  throw error
}

function conflict(size: bigint): Response {
  return { status: 409, contentType: 'text/x.tlog.size', body: Bytes.fromUtf8(`${size}\n`) }
}

function answer(status: number, text: string): Response {
  return { status, contentType: 'text/plain; charset=utf-8', body: Bytes.fromUtf8(`${text}\n`) }
}

/** A body is not in the form of the protocol. */
export class BodyError extends errors.UsageError<'add-checkpoint-body'> {
  override readonly name = 'AddCheckpoint.BodyError'
  constructor(shortMessage: string) {
    super('add-checkpoint-body', shortMessage)
  }
}
