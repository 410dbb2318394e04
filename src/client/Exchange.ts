/**
 * Exchange.ts - one call: order out, answer and receipt in, a bundle of everything that came. Source: spec/wire.md, spec/order.md.
 *
 * It grades nothing. It refuses what cannot be a receipt of this call: leaves that do not add up to the signed root, bytes
 * that are not the committed ones. The verdict is made from the bundle.
 */
import * as Body from '../protocol/Body.ts'
import * as Bundle from '../protocol/Bundle.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Claims from '../protocol/Claims.ts'
import * as ClaimsTree from '../protocol/ClaimsTree.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError, UnavailableError, UsageError, VerificationError } from '../protocol/errors.ts'
import * as Head from '../protocol/Head.ts'
import * as Order from '../protocol/Order.ts'
import * as Pledge from '../protocol/Pledge.ts'
import * as Slot from '../protocol/Slot.ts'
import * as Sse from '../protocol/Sse.ts'
import * as Wire from '../protocol/Wire.ts'
import * as HttpBody from './HttpBody.ts'
import type { NodeInfo } from './NodeInfo.ts'
import type { PendingCall } from './PendingCall.ts'

/** What the client brings to a call. */
export type Parts = {
  readonly crypto: Crypto
  readonly fetch: typeof globalThis.fetch
  readonly baseUrl: string
  readonly info: NodeInfo
  /** What the node says of itself now, when its answer is of another key or log; without it the answer is taken as it came. */
  readonly newInfo?: () => Promise<NodeInfo>
  readonly signer: Cose.Signer
  readonly random: (length: number) => Uint8Array
  readonly nowSeconds: () => bigint
  /** Told what parties signed, before anything is made of it; the call waits until it is remembered. */
  readonly watch?: Watch
}

/** Who remembers what comes; heads and pledges as they came, with the keys that are meant to have signed them. */
export type Watch = {
  sawHead(seen: {
    readonly head: Uint8Array
    readonly signature: Uint8Array
    readonly publicKey: Uint8Array
  }): Promise<void>
  sawPledge(promised: Promised): Promise<void>
  /** The node does not give the claims of its receipt. */
  sawUnopened(unopened: Promised & { readonly order: Uint8Array }): Promise<void>
}
type Promised = {
  readonly head: Uint8Array
  readonly signature: Uint8Array
  readonly publicKey: Uint8Array
  readonly pledge: Uint8Array
  readonly pledgeSignature: Uint8Array
  readonly logKey: Uint8Array
}

/** One call as it will be sent. */
export type Request = {
  /** Path of the endpoint, `/v1/chat/completions` for instance. */
  readonly target: string
  /** Exact bytes of the body; they are what the order and the receipt commit to. */
  readonly body: Uint8Array
  /** Manifest hash that the answer must come from, 32 zero bytes = any. */
  readonly model: Uint8Array
  readonly modes: number
  readonly policyHash: Uint8Array
  readonly terms: Order.Terms
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  /** Data payloads of a stream as they come; nothing about them has been checked. */
  readonly onData?: (data: string) => void
}

/** An answer with the bundle that stands behind it. */
export type Answer = {
  readonly status: number
  readonly mediaType: string
  /** Chunks as committed in slot 4: the body, or event name, newline, data. */
  readonly chunks: readonly Uint8Array[]
  readonly receiptHash: string
  readonly bundle: Bundle.Bundle
  /** For this receipt only: lets its holder fetch the rest of it. Never stored in a bundle. */
  readonly readToken: Uint8Array
}

/** Largest answer read: as large as a bundle may be. */
export const maxAnswerBytes = Bundle.maxBytes
/** Most events and comments of a stream: about what a bundle can hold as data items. */
const maxStreamItems = 262_144
/** How long the small answers beside a call may take: they come from the gateway's memory. */
export const besideTimeoutMs = 10_000
/** How long an order stays good. */
const orderSeconds = 300n

/**
 * Makes the call and assembles the bundle; without a pledge in time, gives all that is needed to go on with it later.
 *
 * Throws: `Exchange.RefusedError`, `Exchange.GatewayError`, `Exchange.ReceiptError` and the parsers' errors.
 */
export async function run(parts: Parts, request: Request): Promise<Answer | PendingCall> {
  const url = new URL(request.target, parts.baseUrl)
  if (url.origin !== new URL(parts.baseUrl).origin || url.pathname !== request.target) throw new TargetError()
  const made = await makeOrder(parts, request)
  const sent = parts.fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...request.headers, ...made.headers },
    body: request.body as Uint8Array<ArrayBuffer>,
    redirect: 'error',
    ...(request.signal === undefined ? {} : { signal: request.signal }),
  })
  const response = await HttpBody.reach(sent)
  const mediaType = mediaTypeOf(response.headers.get('content-type') ?? '')
  const read =
    mediaType === 'text/event-stream' ? await readStream(response, request.onData) : await readUnary(response)
  const receipt = read.values.get('receipt')
  if (receipt === undefined) {
    if (isCallersFault(response.status)) throw new RefusedError(response.status, errorCode(read.chunks[0]))
    if (!response.ok) throw new GatewayError(response.status, errorCode(read.chunks[0]), retryAfter(response))
    throw new ReceiptError('receipt-missing', 'The answer came without a receipt.')
  }
  if (receipt === Wire.pending) return toPending(parts, request, made, { ...read, status: response.status, mediaType })
  return assemble(parts, request, made, { ...read, status: response.status, mediaType })
}

/** An answer whose receipt follows; the secret that came with it reads the claims then. */
function toPending(parts: Parts, request: Request, made: Made, read: Came): PendingCall {
  const { crypto, info, nowSeconds } = parts
  const secret = read.values.get('secret')
  if (secret === undefined) throw new GatewayError(read.status, 'receipt_pending', 1)
  const orderHash = Order.hash(crypto, Order.parse(made.piece.words), {
    chainId: info.chainId,
    registry: info.nodeRegistry,
  })
  return {
    ...{ orderHash, askedSeconds: nowSeconds(), target: request.target, body: request.body },
    ...{ status: read.status, mediaType: read.mediaType, chunks: read.chunks },
    ...{ secret: Wire.decodeSecret(secret), order: made.piece },
  }
}

/** The order as it goes into the bundle, and its nonce (16 bytes). */
export type Made = { readonly piece: Bundle.OrderPiece; readonly nonce: Uint8Array }

/** What came: status, form, chunks and receipt values. */
export type Came = Read & { readonly status: number; readonly mediaType: string }

/** Chunks as committed, and the values of `receipt`, `pledge`, `secret`, `claims` as they came. */
export type Read = { readonly chunks: readonly Uint8Array[]; readonly values: ReadonlyMap<string, string> }

async function makeOrder({ crypto, info, signer, random, nowSeconds }: Parts, request: Request) {
  const requestSalt = random(16)
  const terms = Order.encodeTerms(request.terms)
  const nonce = random(16)
  const order: Order.Order = {
    nodeId: info.nodeId,
    client: Cose.keyId(crypto, signer.publicKey),
    model: request.model,
    requestHash: Body.requestHash(crypto, requestSalt, request.body),
    policyCommitment: Order.policyCommitment(crypto, request.policyHash, random(16)),
    modes: request.modes,
    asset: new Uint8Array(20),
    maxPrice: 0n,
    nonce,
    notAfter: nowSeconds() + orderSeconds,
    exposureTermsHash: Order.termsHash(crypto, terms),
    parentsHash: new Uint8Array(32),
    replyKeyHash: new Uint8Array(32),
  }
  const words = Order.words(order)
  const digest = Order.hash(crypto, order, { chainId: info.chainId, registry: info.nodeRegistry })
  const signature = await Cose.sign(crypto, signer, 'order', digest)
  const piece: Bundle.OrderPiece = { words, signature, publicKey: signer.publicKey, terms, requestSalt }
  const headers = {
    [Wire.requestHeaders.order]: Wire.encodeOrder({ words, signature, publicKey: signer.publicKey }),
    [Wire.requestHeaders.orderSalt]: Wire.encodeOrderSalt(requestSalt),
    [Wire.requestHeaders.orderTerms]: Wire.encodeOrderTerms(terms),
  }
  return { piece, nonce, headers }
}

async function readUnary(response: Response): Promise<Read> {
  const parts: Uint8Array[] = []
  await HttpBody.eachPart(response, maxAnswerBytes, (part) => parts.push(part))
  const values = new Map<string, string>()
  for (const [name, header] of Object.entries(Wire.responseHeaders)) {
    const value = response.headers.get(header)
    if (value !== null) values.set(name, value)
  }
  return { chunks: [Bytes.concat(...parts)], values }
}

async function readStream(response: Response, onData: ((data: string) => void) | undefined): Promise<Read> {
  const parser = Sse.createParser()
  const items: Sse.Item[] = []
  await HttpBody.eachPart(response, maxAnswerBytes, (part) => {
    for (const item of parser.push(part)) {
      items.push(item)
      // Tiny events take a hundred times their bytes in memory, and a file holds no more of them.
      if (items.length > maxStreamItems) throw new HttpBody.TooLargeError(maxAnswerBytes)
      if (item.type === 'chunk' && item.event !== Sse.receiptEvent) onData?.(Bytes.toUtf8(item.data))
    }
  })
  parser.finish()
  const { chunks, comments } = Sse.collect(items)
  return { chunks, values: new Map([...comments].map(([name, value]) => [name.replace(/^assay-/, ''), value])) }
}

/** Puts the bundle of a call together; throws `Exchange.ReceiptError`, `Exchange.ResponseMismatchError` and the parsers' errors. */
export async function assemble(
  parts: Pick<Parts, 'crypto' | 'fetch' | 'baseUrl' | 'info' | 'newInfo' | 'watch'>,
  request: Pick<Request, 'target' | 'body'>,
  made: Made,
  read: Came,
): Promise<Answer> {
  const { crypto } = parts
  const [receipt, pledge, secret, claims] = ['receipt', 'pledge', 'secret', 'claims'].map((name) =>
    read.values.get(name),
  )
  const signed = receipt === undefined ? undefined : Wire.decodeReceipt(receipt)
  if (signed === undefined) throw incomplete()
  const { head, signature } = signed
  const pledgePiece = pledge === undefined ? undefined : Wire.decodePledge(pledge)
  const info = await currentInfo(parts, head, pledgePiece?.words)
  const seen = { head, signature, publicKey: info.publicKey }
  await parts.watch?.sawHead(seen)
  const log = logOf(info, pledgePiece?.words)
  const promised =
    pledgePiece === undefined || log === undefined
      ? undefined
      : { ...seen, pledge: pledgePiece.words, pledgeSignature: pledgePiece.signature, logKey: log.publicKey }
  if (promised !== undefined) await parts.watch?.sawPledge(promised)
  // What is signed is remembered whether or not the rest came with it.
  if (secret === undefined) throw incomplete()
  const secretBytes = Wire.decodeSecret(secret)
  const receiptHash = Bytes.toHex(Head.hash(crypto, head))
  const readToken = Wire.readToken(crypto, secretBytes)
  const values = claims === undefined ? await fetchClaims(parts, receiptHash, readToken) : Wire.decodeClaims(claims)
  if (values === undefined) {
    if (promised !== undefined) await parts.watch?.sawUnopened({ ...promised, order: made.piece.words })
    throw new ReceiptError('claims-missing', "The node did not give the receipt's claims.")
  }
  const salts = ClaimsTree.salts(crypto, secretBytes, made.nonce)
  const parsed = Head.parse(head)
  const disclosed = new Map(
    [...values].map(([slot, value]) => [slot, { salt: ClaimsTree.slotSalt(salts, slot, parsed.modeBits), value }]),
  )
  assertRoot(crypto, parsed.claimsRoot, disclosed)
  assertAnswered(request, read, disclosed)
  const leaves = await fetchLeaves(parts, receiptHash, readToken)
  const salt = (name: Body.Name) => salts[Body.saltIndexOf(name)] as Uint8Array
  const bodies: NonNullable<Bundle.Bundle['bodies']> = {
    request: { salt: salt('request'), leaves: [request.body] },
    // A body without leaves has no place in a bundle.
    ...(leaves === undefined || leaves.effective.length === 0 || !disclosed.has(Body.slotOf('effective'))
      ? {}
      : { effective: { salt: salt('effective'), leaves: leaves.effective } }),
    ...(read.chunks.length === 0 ? {} : { response: { salt: salt('response'), leaves: read.chunks } }),
    ...(leaves === undefined || leaves.output.length === 0 || !disclosed.has(Body.slotOf('output'))
      ? {}
      : { output: { salt: salt('output'), leaves: leaves.output } }),
  }
  const bundle: Bundle.Bundle = {
    receipt: { head, signature },
    disclosed,
    hidden: new Map(),
    ...(disclosed.has(1) ? { order: made.piece } : {}),
    ...(pledgePiece === undefined || log === undefined ? {} : { pledge: pledgePiece }),
    keys: { node: info.publicKey, ...(pledgePiece === undefined || log === undefined ? {} : { log: log.publicKey }) },
    bodies,
  }
  assertResponse(crypto, disclosed, salt('response'), read.chunks)
  return { status: read.status, mediaType: read.mediaType, chunks: read.chunks, receiptHash, bundle, readToken }
}

function incomplete(): ReceiptError {
  return new ReceiptError('receipt-incomplete', 'The answer carries only a part of its receipt.')
}

/** Asked for anew when the head names another key or the pledge another log than is known: a node replaces both. */
async function currentInfo(
  { info, newInfo }: Pick<Parts, 'info' | 'newInfo'>,
  head: Uint8Array,
  pledge: Uint8Array | undefined,
): Promise<NodeInfo> {
  if (newInfo === undefined) return info
  const keyEpoch = Number(Bytes.toBigInt(head.subarray(61, 65)))
  const isKnown = keyEpoch === info.keyEpoch && (pledge === undefined || logOf(info, pledge) !== undefined)
  if (isKnown) return info
  try {
    return await newInfo()
  } catch (error) {
    // What cannot be had now changes nothing about what came.
    if (BaseError.isInstance(error)) return info
    throw error
  }
}

/** The node's log that gave the pledge. */
function logOf(info: NodeInfo, words: Uint8Array | undefined): NodeInfo['logs'][number] | undefined {
  if (words === undefined) return undefined
  const { logId } = Pledge.parse(words)
  return info.logs.find((log) => Bytes.equal(log.logId, logId))
}

/** All sixteen leaves, rebuilt from this call's own secret and nonce, must be what the node signed. */
function assertRoot(crypto: Crypto, signedRoot: Uint8Array, disclosed: Bundle.Bundle['disclosed']): void {
  const leaves = Slot.names.map((_, slot) => {
    const opening = disclosed.get(slot)
    return opening === undefined
      ? ClaimsTree.unusedLeaf(crypto, slot)
      : ClaimsTree.leaf(crypto, slot, opening.salt, opening.value)
  })
  if (!Bytes.equal(ClaimsTree.root(crypto, leaves), signedRoot))
    throw new ReceiptError('claims-root-differs', 'The claims do not add up to what the node signed for this call.')
}

/** The receipt must be for this endpoint, and the status and form that came must be those of the receipt: the order and the body's hash do not say it. */
function assertAnswered(
  request: Pick<Request, 'target'>,
  read: { readonly status: number; readonly mediaType: string },
  disclosed: Bundle.Bundle['disclosed'],
): void {
  const asked = disclosed.get(Slot.indexOf('request'))
  const given = disclosed.get(Slot.indexOf('response'))
  if (asked === undefined || given === undefined)
    throw new ReceiptError('receipt-incomplete', 'The receipt does not commit to both request and response.')
  const { method, target } = Claims.decode('request', asked.value)
  if (method !== 'POST' || target !== request.target)
    throw new ReceiptError('other-endpoint', 'The receipt is for a call of another endpoint.')
  const { status, mediaType } = Claims.decode('response', given.value)
  if (status !== read.status || mediaTypeOf(mediaType) !== read.mediaType) throw new ResponseMismatchError()
}

/** Without parameters such as charset, which change no byte. */
function mediaTypeOf(header: string): string {
  return header.split(';', 1)[0]?.trim() ?? ''
}

/** Bytes that only this reader saw accuse nobody: something on the way may have changed them. */
function assertResponse(
  crypto: Crypto,
  disclosed: Bundle.Bundle['disclosed'],
  salt: Uint8Array,
  chunks: readonly Uint8Array[],
): void {
  const value = disclosed.get(Body.slotOf('response'))?.value
  if (value === undefined) return
  const claim = Claims.decode('response', value)
  if (!Bytes.equal(Body.root(crypto, salt, chunks), claim.root)) throw new ResponseMismatchError()
}

async function fetchClaims(
  parts: Beside,
  receiptHash: string,
  readToken: Uint8Array,
): Promise<ReadonlyMap<number, Uint8Array> | undefined> {
  const bytes = await fetchWithToken(parts, `/v1/receipts/${receiptHash}/claims`, readToken)
  return bytes === undefined ? undefined : Wire.decodeReceiptClaims(bytes).claims
}

/** The leaves are kept by the node for a short time; without them the call cannot be recomputed, and nothing else is lost. */
async function fetchLeaves(parts: Beside, receiptHash: string, readToken: Uint8Array) {
  const bytes = await fetchWithToken(parts, `/v1/receipts/${receiptHash}/leaves`, readToken)
  return bytes === undefined ? undefined : Wire.decodeReceiptLeaves(bytes)
}

/** What the small answers beside a call need. */
type Beside = Pick<Parts, 'fetch' | 'baseUrl'>

/** What a receipt's holder may read of it; undefined when the node does not give it. */
export async function fetchWithToken(
  parts: Beside,
  path: string,
  readToken: Uint8Array,
): Promise<Uint8Array | undefined> {
  const asked = parts.fetch(new URL(path, parts.baseUrl), {
    headers: { authorization: `Bearer ${Bytes.toHex(readToken)}` },
    redirect: 'error',
    signal: AbortSignal.timeout(besideTimeoutMs),
  })
  const response = await HttpBody.reach(asked)
  if (!response.ok) {
    await HttpBody.discard(response)
    return undefined
  }
  return HttpBody.readAll(response, Wire.maxLeavesBytes)
}

/** The code of an OpenAI-shaped error, never its message: a message could repeat the prompt. */
export function errorCode(body: Uint8Array | undefined): string {
  try {
    const parsed = JSON.parse(Bytes.toUtf8(body ?? new Uint8Array())) as { error?: { code?: unknown; type?: unknown } }
    const code = parsed.error?.code ?? parsed.error?.type
    return typeof code === 'string' && /^[a-z0-9_-]{1,64}$/.test(code) ? code : 'unknown'
  } catch {
    return 'unknown'
  }
}

/** Statuses that the same request would get again: 4xx but for time-out, too early and too many. */
function isCallersFault(status: number): boolean {
  return status >= 400 && status < 500 && ![408, 425, 429].includes(status)
}

function retryAfter(response: Response): number | undefined {
  const value = response.headers.get('retry-after')
  return value !== null && /^[0-9]{1,5}$/.test(value) ? Number(value) : undefined
}

/** The gateway does not take this request, and would not take it again; `gatewayCode` is its error code. */
export class RefusedError extends UsageError<'request-refused'> {
  override readonly name = 'Exchange.RefusedError'
  readonly status: number
  readonly gatewayCode: string
  constructor(status: number, gatewayCode: string) {
    super('request-refused', 'The gateway does not take this request.', {
      facts: [`Status: ${status}`, `Code: ${gatewayCode}`],
    })
    this.status = status
    this.gatewayCode = gatewayCode
  }
}

/** The gateway could not serve the call now; `gatewayCode` is its error code. */
export class GatewayError extends UnavailableError<'gateway-failed'> {
  override readonly name = 'Exchange.GatewayError'
  readonly status: number
  readonly gatewayCode: string
  constructor(status: number, gatewayCode: string, retryAfterSeconds: number | undefined) {
    super('gateway-failed', 'The gateway did not serve the call.', {
      facts: [`Status: ${status}`, `Code: ${gatewayCode}`],
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    })
    this.status = status
    this.gatewayCode = gatewayCode
  }
}

/** Codes of `Exchange.ReceiptError`. */
export type ReceiptErrorCode =
  | 'receipt-missing'
  | 'receipt-incomplete'
  | 'claims-missing'
  | 'receipt-lost'
  | 'other-receipt'
  | 'claims-root-differs'
  | 'other-endpoint'

/** The target is no plain path of the gateway: nothing was sent. */
export class TargetError extends UsageError<'target-no-path'> {
  override readonly name = 'Exchange.TargetError'
  constructor() {
    super('target-no-path', 'The target must be the path of an endpoint of the gateway, in its normal form.')
  }
}

/** The answer's receipt is not there, not whole, or not for this call. */
export class ReceiptError extends VerificationError<ReceiptErrorCode> {
  override readonly name = 'Exchange.ReceiptError'
  constructor(code: ReceiptErrorCode, message: string) {
    super(code, message, { docsPath: 'spec/wire.md' })
  }
}

/** `Mismatch(local)`: the bytes that arrived are not those of the receipt; who changed them is not known, and nobody is accused. */
export class ResponseMismatchError extends VerificationError<'response-mismatch'> {
  override readonly name = 'Exchange.ResponseMismatchError'
  constructor() {
    super('response-mismatch', 'Mismatch(local): the bytes that arrived are not those that the receipt commits to.', {
      facts: ['Slot: response'],
      docsPath: 'spec/verdict.md',
    })
  }
}
