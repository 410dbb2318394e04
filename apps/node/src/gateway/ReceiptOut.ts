/** ReceiptOut.ts - how an issued receipt leaves: response headers, or lines at the end of a stream. Source: spec/wire.md section 2. */
import { Bytes, Sse, Wire } from 'assay/protocol'
import { limits } from './limits.ts'

/** A receipt ready to leave. */
export type Complete = {
  readonly isPending: false
  readonly receiptHash: Uint8Array
  readonly head: Uint8Array
  readonly signature: Uint8Array
  readonly pledge: Wire.SignedPledge
  readonly secret: Uint8Array
  /** dCBOR {slot: value}. */
  readonly claims: Uint8Array
}

/** No log pledged in time: nothing signed leaves, only what finds and reads the receipt once it is there. */
export type Pending = { readonly isPending: true; readonly receiptHash: Uint8Array; readonly secret: Uint8Array }

export type Outgoing = Complete | Pending

const cacheControl = 'no-store, no-transform'
const { receipt: receiptName, pledge: pledgeName, secret: secretName, claims: claimsName } = Wire.responseHeaders
const exposed = [receiptName, pledgeName, secretName, claimsName, 'Link'].join(', ')

/** The headers of an answer in one piece; claims stay out when they would make them too long for proxies. */
export function toHeaders(outgoing: Outgoing): Record<string, string> {
  const shared = {
    'Cache-Control': cacheControl,
    'Access-Control-Expose-Headers': exposed,
    Link: `</v1/receipts/${Bytes.toHex(outgoing.receiptHash)}>; rel="receipt"`,
    [secretName]: Wire.encodeSecret(outgoing.secret),
  }
  if (outgoing.isPending) return { ...shared, [receiptName]: Wire.pending }
  const { receipt, pledge, claims } = encode(outgoing)
  const headers = { ...shared, [receiptName]: receipt, [pledgeName]: pledge }
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
  // `pending` comes as comments in both forms: an event always has all four values.
  const lines = outgoing.isPending
    ? Wire.writePending(Wire.encodeSecret(outgoing.secret))
    : asEvent
      ? Sse.writeReceiptEvent(encode(outgoing))
      : Wire.writeComments(encode(outgoing))
  return Bytes.concat(lines, Sse.writeDone())
}

function encode({ head, signature, pledge, secret, claims }: Complete) {
  return {
    receipt: Wire.encodeReceipt({ head, signature }),
    pledge: Wire.encodePledge(pledge),
    secret: Wire.encodeSecret(secret),
    claims: Bytes.toBase64url(claims),
  }
}
