/**
 * PendingCall.ts - a call that was answered before any log had pledged its receipt: what the client keeps to go on with it,
 * also after a restart, and how it asks. Source: spec/wire.md section 5.
 *
 * The record holds request and response in plain bytes, as bundles do, and the call's secret, which is never part of a bundle.
 */
import * as Bundle from '../protocol/Bundle.ts'
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import * as Head from '../protocol/Head.ts'
import * as Order from '../protocol/Order.ts'
import * as Shape from '../protocol/Shape.ts'
import * as Wire from '../protocol/Wire.ts'
import * as Policy from '../verify/Policy.ts'
import type { Verdict } from '../verify/Verdict.ts'
import { digest, version } from '../verify/version.ts'
import * as Exchange from './Exchange.ts'
import * as HttpBody from './HttpBody.ts'

const { field, record, list, text, bytes, bytesWithin, u64, u32 } = Shape

/** Largest record: the largest request and the largest answer, with their order. */
export const maxBytes = 2 * Bundle.maxBytes

const shape = record({
  version: field(0, u32),
  orderHash: field(1, bytes(32)),
  askedSeconds: field(2, u64),
  target: field(3, text()),
  body: field(4, bytesWithin(0, maxBytes)),
  status: field(5, u32),
  mediaType: field(6, text()),
  chunks: field(7, list(bytesWithin(0, maxBytes), 0, 2 ** 20)),
  secret: field(8, bytes(32)),
  words: field(9, bytes(Order.byteLength)),
  signature: field(10, bytes(64)),
  publicKey: field(11, bytes(64)),
  terms: field(12, bytesWithin(0, Order.maxTermsBytes)),
  requestSalt: field(13, bytes(16)),
})

/** An answered call without a receipt yet. */
export type PendingCall = {
  /** 32 bytes: by it the node finds the receipt. */
  readonly orderHash: Uint8Array
  /** When it was asked, unix seconds. */
  readonly askedSeconds: bigint
  readonly target: string
  readonly body: Uint8Array
  readonly status: number
  readonly mediaType: string
  readonly chunks: readonly Uint8Array[]
  /** 32 bytes, `Assay-Secret`. */
  readonly secret: Uint8Array
  readonly order: Bundle.OrderPiece
}

/** How long a receipt is asked for after the call: a log that is down for longer than a day does not come back with its queue. */
export const followSeconds = 86_400n

/** Longest answer of `/v1/receipts/by-order`. */
const maxFoundBytes = 4_096

/** The record as it is kept; throws `Shape.MismatchError`. */
export function serialize({ order, ...call }: PendingCall): Uint8Array {
  return Shape.encode(shape, { version: 1, ...call, ...order }, maxBytes)
}

/** Reads a record; throws `Shape.MismatchError`. */
export function parse(input: Uint8Array): PendingCall {
  const { version: _, words, signature, publicKey, terms, requestSalt, ...call } = Shape.decode(shape, input, maxBytes)
  return { ...call, order: { words, signature, publicKey, terms, requestSalt } }
}

/** True for what `Exchange.run` gives when no log pledged in time. */
export function is(outcome: Exchange.Answer | PendingCall): outcome is PendingCall {
  return 'orderHash' in outcome
}

/**
 * Asks once for the receipt of a call, by its order; undefined while no log has pledged it.
 *
 * - `parts.info`: fresh, because the log that pledged may be new; the key is the one that the receipt names
 *
 * Throws: `Exchange.ReceiptError` when the node knows of no receipt or gives another call's, and what a call's receipt throws.
 */
export async function follow(
  parts: Pick<Exchange.Parts, 'crypto' | 'fetch' | 'baseUrl' | 'info' | 'watch'>,
  call: PendingCall,
): Promise<Exchange.Answer | undefined> {
  const { crypto, fetch, baseUrl, info } = parts
  const url = new URL(`/v1/receipts/by-order/${Bytes.toHex(call.orderHash)}`, baseUrl)
  const signal = AbortSignal.timeout(Exchange.besideTimeoutMs)
  const response = await HttpBody.reach(fetch(url, { redirect: 'error', signal }))
  const body = await HttpBody.readAll(response, maxFoundBytes)
  if (response.status === 404 && Exchange.errorCode(body) === 'receipt_pending') return undefined
  if (response.status === 404)
    throw new Exchange.ReceiptError('receipt-lost', 'The node answered this call and knows of no receipt for it.')
  if (!response.ok) throw new Exchange.GatewayError(response.status, Exchange.errorCode(body), undefined)
  const found = parseFound(body)
  // Before anything is made of it: another head for this place may come, or have come.
  await parts.watch?.sawHead(found)
  const readToken = Wire.readToken(crypto, call.secret)
  const path = `/v1/receipts/${Bytes.toHex(Head.hash(crypto, found.head))}/claims`
  const bytes = await Exchange.fetchWithToken(parts, path, readToken)
  if (bytes === undefined)
    throw new Exchange.ReceiptError('claims-missing', "The node did not give the receipt's claims.")
  const { head, signature, claims, pledge } = Wire.decodeReceiptClaims(bytes)
  await parts.watch?.sawHead({ head, signature, publicKey: found.publicKey })
  if (!Bytes.equal(head, found.head) || !Bytes.equal(signature, found.signature) || pledge === undefined)
    throw new Exchange.ReceiptError('other-receipt', 'The node gives two different receipts for one order.')
  const values = new Map([
    ['receipt', Wire.encodeReceipt({ head, signature })],
    ['pledge', Wire.encodePledge(pledge)],
    ['secret', Wire.encodeSecret(call.secret)],
    ['claims', Wire.encodeClaims(claims)],
  ])
  const made = { piece: call.order, nonce: Order.parse(call.order.words).nonce }
  const { status, mediaType, chunks } = call
  return Exchange.assemble({ ...parts, info: { ...info, publicKey: found.publicKey } }, call, made, {
    ...{ status, mediaType, chunks, values },
  })
}

function parseFound(body: Uint8Array) {
  try {
    const found = JSON.parse(Bytes.toUtf8(body)) as Record<string, unknown>
    const read = (name: string, length: number) => {
      const value = Bytes.fromBase64url(String(found[name]))
      Bytes.assertLength(value, length, name)
      return value
    }
    return { head: read('head', Head.byteLength), signature: read('signature', 64), publicKey: read('publicKey', 64) }
  } catch {
    throw new Exchange.ReceiptError('other-receipt', 'The receipt of this order cannot be read.')
  }
}

/** The verdict on a call without a receipt: nothing is backed by anything, and the one requirement says what is missing. */
export function verdict(crypto: Crypto, asked: Policy.Policy): Verdict {
  const policy = Policy.parse(asked)
  return {
    outcome: 'INSUFFICIENT',
    policy: { name: policy.name, hash: Bytes.toHex(Policy.hash(crypto, policy)) },
    verifier: { version, digest },
    ...{ at: null, receiptHash: null, anchoring: [], rows: [], faults: [] },
    ...{ consequence: 'none', consequenceBecause: 'pending: there is no receipt yet' },
    requirements: [
      {
        ...{ requirement: 'receipt', status: 'UNCHECKED', propositions: [] },
        because: 'pending: no log has pledged the receipt yet',
      },
    ],
  }
}
