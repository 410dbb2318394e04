/**
 * OrderCheck.ts - what a node checks of an order before anything runs. Source: spec/order.md, spec/wire.md section 1.
 *
 * Every difference is a 400 without a receipt; an order that was refused never stands in slot 1.
 */
import { Body, Bytes, type Claims, Cose, type Crypto, Order, Wire } from 'assay/protocol'
import { type RefusedCode, RefusedError } from './ErrorTable.ts'

/** What the client sent beside the body; values as Node.js gives them. */
export type RequestHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/** What an order is compared with. */
export type Subject = {
  readonly chainId: bigint
  readonly registry: Uint8Array
  readonly nodeId: Uint8Array
  readonly modeBits: number
  readonly manifestHash: Uint8Array
  readonly exposure: Claims.ClaimValues['exposure']
  /** Exact bytes of the body. */
  readonly body: Uint8Array
  /** Time of the newest block that the node knows; without a recent one no order can be judged. */
  readonly blockSeconds: bigint | undefined
}

/** What the call takes from the headers. */
export type Bound = {
  /** 16 bytes for the salts: the order's, the header's, or zero. */
  readonly nonce: Uint8Array
  readonly orderHash: Uint8Array | undefined
}

const names = {
  order: Wire.requestHeaders.order.toLowerCase(),
  salt: Wire.requestHeaders.orderSalt.toLowerCase(),
  terms: Wire.requestHeaders.orderTerms.toLowerCase(),
  nonce: Wire.requestHeaders.nonce.toLowerCase(),
}

/** Reads the headers and checks the order, if there is one; throws `RefusedError`. */
export async function bind(crypto: Crypto, headers: RequestHeaders, subject: Subject): Promise<Bound> {
  const order = one(headers, names.order)
  const salt = one(headers, names.salt)
  const terms = one(headers, names.terms)
  const nonce = one(headers, names.nonce)
  if (order === undefined) {
    if (salt !== undefined || terms !== undefined) {
      throw refused('header-conflict', 'Assay-Order-Salt and Assay-Order-Terms go with Assay-Order.')
    }
    const value = nonce === undefined ? new Uint8Array(16) : decoded('Assay-Nonce', () => Wire.decodeNonce(nonce))
    return { nonce: value, orderHash: undefined }
  }
  if (nonce !== undefined) throw refused('header-conflict', 'Assay-Nonce is for calls without an order.')
  return checkOrder(crypto, subject, { order, salt, terms })
}

async function checkOrder(
  crypto: Crypto,
  subject: Subject,
  headers: { readonly order: string; readonly salt: string | undefined; readonly terms: string | undefined },
): Promise<Bound> {
  const signed = decoded('Assay-Order', () => Wire.decodeOrder(headers.order))
  const order = decoded('Assay-Order', () => Order.parse(signed.words), 'order-malformed')
  const domain = { chainId: subject.chainId, registry: subject.registry }

  if (!Bytes.equal(order.nodeId, subject.nodeId)) throw refused('order-node-mismatch', 'The order is for another node.')
  const { salt: saltText } = headers
  if (saltText === undefined) throw refused('order-salt-missing', 'An order needs Assay-Order-Salt.')
  const salt = decoded('Assay-Order-Salt', () => Wire.decodeOrderSalt(saltText))
  if (!Bytes.equal(order.requestHash, Body.requestHash(crypto, salt, subject.body))) {
    throw refused('order-request-mismatch', 'The order is for another request body or salt.')
  }
  if (!order.model.every((byte) => byte === 0) && !Bytes.equal(order.model, subject.manifestHash)) {
    throw refused('order-model-mismatch', 'The order names another model than the request.')
  }
  if ((subject.modeBits & order.modes) !== order.modes) {
    throw refused('order-modes', 'The model does not run in the modes that the order requires.')
  }
  if (subject.blockSeconds === undefined) {
    throw new RefusedError(
      503,
      'not-ready',
      "The node knows no recent block, so the order's deadline cannot be judged.",
      {
        headers: { 'retry-after': '1' },
      },
    )
  }
  if (order.notAfter < subject.blockSeconds) throw refused('order-expired', 'The order is past its deadline.')
  checkTerms(crypto, order, subject.exposure, headers.terms)

  if (!Bytes.equal(order.client, Cose.keyId(crypto, signed.publicKey))) {
    throw refused('order-client-mismatch', "The order's client is not the key that came with it.")
  }
  // The domain is part of what is signed: an order for another chain or registry has another digest.
  const orderHash = Order.hash(crypto, order, domain)
  try {
    await Cose.verify(crypto, {
      tag: 'order',
      payload: orderHash,
      signature: signed.signature,
      publicKey: signed.publicKey,
    })
  } catch {
    throw refused('order-signature', "The order's signature does not hold for this chain and registry.")
  }
  return { nonce: order.nonce, orderHash }
}

function checkTerms(
  crypto: Crypto,
  order: Order.Order,
  exposure: Claims.ClaimValues['exposure'],
  termsText: string | undefined,
): void {
  const hasTerms = !order.exposureTermsHash.every((byte) => byte === 0)
  if (!hasTerms) {
    if (termsText !== undefined)
      throw refused('header-conflict', 'The order has no terms, but Assay-Order-Terms is there.')
    return
  }
  if (termsText === undefined) throw refused('order-terms-missing', 'The order needs Assay-Order-Terms.')
  const bytes = decoded('Assay-Order-Terms', () => Wire.decodeOrderTerms(termsText))
  if (!Bytes.equal(Order.termsHash(crypto, bytes), order.exposureTermsHash)) {
    throw refused('order-terms-mismatch', 'Assay-Order-Terms are not the terms of the order.')
  }
  const terms = decoded('Assay-Order-Terms', () => Order.decodeTerms(bytes))
  if (!Order.withinTerms(exposure, terms)) {
    const [saw] = exposure.saw
    throw refused(
      'order-terms-exceeded',
      `This node cannot keep the order's terms: '${saw?.party ?? ''}' sees the call and keeps its tokens for ${exposure.retentionSeconds} seconds.`,
    )
  }
}

function decoded<T>(header: string, read: () => T, code: RefusedCode = 'header-malformed'): T {
  try {
    return read()
  } catch {
    throw refused(code, `${header} does not have its one form.`)
  }
}

function one(headers: RequestHeaders, name: string): string | undefined {
  const value = headers[name]
  if (value === undefined || typeof value === 'string') return value
  throw refused('header-malformed', 'A header of the order is there twice.')
}

function refused(code: RefusedCode, message: string): RefusedError {
  return new RefusedError(400, code, message)
}
