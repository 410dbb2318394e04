/**
 * EcdsaDer.ts - P-256 signatures between r || s and DER, the form in which OpenSSL has them. Source: RFC 3279 section 2.2.3.
 *
 * node:crypto can convert by itself, but only when the key comes in an object of options, which takes it longer than
 * half a signature does.
 */
import { VerificationError } from '../protocol/errors.ts'

const coordinateLength = 32

/** Writes r || s, 64 bytes, as SEQUENCE { r INTEGER, s INTEGER }, each in its one shortest form. */
export function encode(signature: Uint8Array): Uint8Array {
  const r = integerStart(signature, 0)
  const s = integerStart(signature, coordinateLength)
  const rLength = coordinateLength - r.start + r.padding
  const sLength = coordinateLength - s.start + s.padding
  const der = new Uint8Array(6 + rLength + sLength)
  der[0] = 0x30
  // Two integers of at most 33 bytes: the length is always one byte.
  der[1] = 4 + rLength + sLength
  der[2] = 0x02
  der[3] = rLength
  der.set(signature.subarray(r.start, coordinateLength), 4 + r.padding)
  der[4 + rLength] = 0x02
  der[5 + rLength] = sLength
  der.set(signature.subarray(coordinateLength + s.start), 6 + rLength + s.padding)
  return der
}

/** Reads what `encode` writes as r || s, 64 bytes; throws `EcdsaDer.MalformedSignatureError`. */
export function decode(der: Uint8Array): Uint8Array {
  const signature = new Uint8Array(2 * coordinateLength)
  if (der[0] !== 0x30 || der[1] !== der.length - 2) throw new MalformedSignatureError()
  const end = readInteger(der, 2, signature, 0)
  if (readInteger(der, end, signature, coordinateLength) !== der.length) throw new MalformedSignatureError()
  return signature
}

/** Where the first byte of an integer's shortest form is, and whether a zero must keep it from reading as negative. */
function integerStart(signature: Uint8Array, offset: number): { readonly start: number; readonly padding: 0 | 1 } {
  let start = 0
  while (start < coordinateLength - 1 && signature[offset + start] === 0) start++
  return { start, padding: (signature[offset + start] as number) >= 0x80 ? 1 : 0 }
}

/** Copies one integer to the end of its 32 bytes and returns where the next begins. */
function readInteger(der: Uint8Array, start: number, signature: Uint8Array, offset: number): number {
  const length = der[start + 1] ?? 0
  const end = start + 2 + length
  const first = der[start + 2] ?? 0
  const isPadded = first === 0 && length > 1
  const isShortest = !isPadded || (der[start + 3] as number) >= 0x80
  const from = isPadded ? start + 3 : start + 2
  if (der[start] !== 0x02 || length === 0 || end > der.length || first >= 0x80 || !isShortest) {
    throw new MalformedSignatureError()
  }
  if (end - from > coordinateLength) throw new MalformedSignatureError()
  signature.set(der.subarray(from, end), offset + coordinateLength - (end - from))
  return end
}

/** Bytes are no DER signature of P-256. */
export class MalformedSignatureError extends VerificationError<'signature-malformed'> {
  override readonly name = 'EcdsaDer.MalformedSignatureError'
  constructor() {
    super('signature-malformed', 'Bytes are no DER signature of P-256.')
  }
}
