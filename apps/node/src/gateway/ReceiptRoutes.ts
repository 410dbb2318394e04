/** ReceiptRoutes.ts - receipts of earlier calls: the head for anybody, the rest for who holds the read token. Source: spec/wire.md section 3. */
import { timingSafeEqual } from 'node:crypto'
import { Bytes, Wire } from 'assay/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Released, StoredReceipt } from '../receipts/ReceiptStore.ts'
import { RefusedError } from './ErrorTable.ts'
import type { Served } from './Served.ts'

const cbor = 'application/cbor'

/** GET /v1/receipts/{hash} */
export function byHash(served: Served, request: FastifyRequest) {
  return toJson(served, found(served.store.byHash(hashOf(request, 'hash'))))
}

/** GET /v1/receipts/by-order/{orderHash} */
export function byOrder(served: Served, request: FastifyRequest) {
  return toJson(served, found(served.store.byOrder(hashOf(request, 'orderHash'))))
}

/** GET /v1/receipts/{hash}/claims */
export function claims(served: Served, request: FastifyRequest, reply: FastifyReply) {
  const { head, claims: bytes, released } = opened(served, request)
  const { signature, pledgeWords, pledgeSignature } = released
  const answer = Wire.encodeReceiptClaims({
    head,
    signature,
    claims: Wire.decodeClaims(Bytes.toBase64url(bytes)),
    pledge: { words: pledgeWords, signature: pledgeSignature },
  })
  return reply.type(cbor).header('cache-control', 'no-store').send(Buffer.from(answer))
}

/** GET /v1/receipts/{hash}/leaves */
export function leaves(served: Served, request: FastifyRequest, reply: FastifyReply) {
  const { receiptHash } = opened(served, request)
  const kept = served.leaves.get(Bytes.toHex(receiptHash))
  if (kept === undefined) throw new RefusedError(404, 'leaves-not-found', 'The leaves of this call are no longer held.')
  const answer = Wire.encodeReceiptLeaves(kept)
  return reply.type(cbor).header('cache-control', 'no-store').send(Buffer.from(answer))
}

function toJson(served: Served, receipt: StoredReceipt & { readonly released: Released }) {
  const publicKey = served.publicKeyOf(receipt.keyId)
  if (publicKey === undefined) throw new RefusedError(404, 'receipt-not-found', 'The key of this receipt is not known.')
  return {
    hash: Bytes.toHex(receipt.receiptHash),
    head: Bytes.toBase64url(receipt.head),
    signature: Bytes.toBase64url(receipt.released.signature),
    publicKey: Bytes.toBase64url(publicKey),
  }
}

/** A receipt that left: before a log has it, its signature stays here. */
function found(receipt: StoredReceipt | undefined): StoredReceipt & { readonly released: Released } {
  if (receipt === undefined) throw new RefusedError(404, 'receipt-not-found', 'There is no such receipt here.')
  const { released } = receipt
  if (released === undefined) {
    throw new RefusedError(404, 'receipt-pending', 'No log has taken this receipt yet.', {
      headers: { 'retry-after': '1' },
    })
  }
  return { ...receipt, released }
}

function opened(served: Served, request: FastifyRequest): StoredReceipt & { readonly released: Released } {
  const { authorization } = request.headers
  const token = /^Bearer ([0-9a-f]{64})$/.exec(authorization ?? '')?.[1]
  const receipt = served.store.byHash(hashOf(request, 'hash'))
  if (receipt !== undefined && receipt.nonce === undefined) {
    // Its token cannot be computed any more, and a token of nothing is anybody's.
    throw new RefusedError(410, 'opening-gone', 'The node does not hold the claims of this receipt any more.')
  }
  // Compared even when there is no such receipt, so that the time tells nothing.
  const expected = Wire.readToken(served.crypto, receipt?.secret ?? new Uint8Array(32))
  const isEqual = timingSafeEqual(expected, token === undefined ? new Uint8Array(32) : Bytes.fromHex(token))
  if (token === undefined || receipt === undefined || !isEqual) {
    throw new RefusedError(401, 'read-token', 'This needs the read token of an existing receipt.', {
      headers: { 'www-authenticate': 'Bearer' },
    })
  }
  return found(receipt)
}

function hashOf(request: FastifyRequest, name: string): Uint8Array {
  const text = (request.params as Readonly<Record<string, string>>)[name] ?? ''
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw new RefusedError(400, 'invalid-parameter', 'A hash has 64 hex digits in lower case.', { param: name })
  }
  return Bytes.fromHex(text)
}
