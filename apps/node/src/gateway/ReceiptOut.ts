/** ReceiptOut.ts - how an issued receipt leaves: response headers, or lines at the end of a stream. Source: spec/wire.md section 2. */
import { Bytes, Sse, Wire } from 'assay/protocol'
import { limits } from './limits.ts'

/** A receipt ready to leave, or `pending` when no log took it in time. */
export type Outgoing =
  | {
      readonly receiptHash: Uint8Array
      readonly head: Uint8Array
      readonly signature: Uint8Array
      readonly pledge: Wire.SignedPledge
      readonly secret: Uint8Array
      /** dCBOR {slot: value}. */
      readonly claims: Uint8Array
    }
  | typeof Wire.pending

const cacheControl = 'no-store, no-transform'
const { receipt: receiptName, pledge: pledgeName, secret: secretName, claims: claimsName } = Wire.responseHeaders
const exposed = [receiptName, pledgeName, secretName, claimsName, 'Link'].join(', ')

/** The headers of an answer in one piece; claims stay out when they would make them too long for proxies. */
export function toHeaders(outgoing: Outgoing): Record<string, string> {
  const shared = { 'Cache-Control': cacheControl, 'Access-Control-Expose-Headers': exposed }
  if (outgoing === Wire.pending) return { ...shared, [receiptName]: Wire.pending }
  const { receipt, pledge, secret, claims } = encode(outgoing)
  const hash = Bytes.toHex(outgoing.receiptHash)
  const headers = {
    ...shared,
    [receiptName]: receipt,
    [pledgeName]: pledge,
    [secretName]: secret,
    Link: `</v1/receipts/${hash}>; rel="receipt"`,
  }
  const withClaims = { ...headers, [claimsName]: claims }
  const isInline = claims.length <= Wire.maxInlineClaims && byteLength(withClaims) <= limits.receiptHeaderBytes
  return isInline ? withClaims : headers
}

/** Bytes of header lines as they travel. */
export function byteLength(headers: Readonly<Record<string, string>>): number {
  return Object.entries(headers).reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0)
}

/** The headers with which a stream begins. */
export function streamHeaders(): Record<string, string> {
  return {
    'Content-Type': 'text/event-stream',
    'Cache-Control': cacheControl,
    'Access-Control-Expose-Headers': exposed,
    // Asks a proxy in between not to hold chunks back.
    'X-Accel-Buffering': 'no',
  }
}

/** What ends a stream: the receipt as comments or as one event, then `[DONE]`. */
export function toStreamEnd(outgoing: Outgoing, asEvent: boolean): Uint8Array {
  // `pending` is a comment in both forms: an event always has all four values.
  const lines =
    outgoing === Wire.pending
      ? Wire.writeComments(outgoing)
      : asEvent
        ? Sse.writeReceiptEvent(encode(outgoing))
        : Wire.writeComments(encode(outgoing))
  return Bytes.concat(lines, Sse.writeDone())
}

function encode({ head, signature, pledge, secret, claims }: Exclude<Outgoing, typeof Wire.pending>) {
  return {
    receipt: Wire.encodeReceipt({ head, signature }),
    pledge: Wire.encodePledge(pledge),
    secret: Wire.encodeSecret(secret),
    claims: Bytes.toBase64url(claims),
  }
}
