/** Calls.ts - a client that calls in every way there is, checks the signatures of what it gets, and notes how far each call came. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { NodeInfo } from 'assay/client'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Body, Bytes, Cose, Head, LogEntry, Order, Pledge, Sse, Wire } from 'assay/protocol'

/** Stands in every prompt and must stand nowhere else. */
export const marker = 'QUOKKAMARKER'

export type Kind = 'unary' | 'stream' | 'infer'

/** What became of one call. */
export type Answer = {
  readonly kind: Kind
  /** Hex; undefined for a call without an order. */
  readonly orderHash: string | undefined
  /** True when the last byte arrived. */
  readonly isWhole: boolean
  /** Undefined when nothing arrived. */
  readonly status: number | undefined
  readonly body: string
  /** Undefined when none came, or `pending`. */
  readonly receipt: Receipt | 'pending' | undefined
}

export type Receipt = {
  /** Hex. */
  readonly hash: string
  readonly head: Uint8Array
  readonly signature: Uint8Array
  readonly pledge: Wire.SignedPledge
  /** Hex. */
  readonly secret: string
  /** Hex: of the key that signed the head. */
  readonly keyId: string
  /** Which of the node's logs pledged it: place in the node's own list. */
  readonly slot: number
}

export type Order_ = { readonly hash: string; readonly headers: Readonly<Record<string, string>> }

const client = createP256Signer(Uint8Array.from([1, ...randomBytes(31)]))
const callMs = 20_000

/** What a gateway says of itself. */
export async function nodeInfo(gateway: string): Promise<NodeInfo.NodeInfo> {
  const answer = await fetch(`${gateway}/.well-known/assay.json`, { signal: AbortSignal.timeout(callMs) })
  return NodeInfo.parse(await answer.text())
}

/** A request of a kind, different every time. */
export function request(kind: Kind, change: Readonly<Record<string, unknown>> = {}): { path: string; body: string } {
  if (kind === 'infer') {
    const data = Array.from({ length: 64 }, () => Math.floor(Math.random() * 17))
    const inputs = [{ name: 'image', datatype: 'FP32', shape: [1, 64], data }]
    return { path: '/v2/models/digits/infer', body: JSON.stringify({ id: `${marker}-infer`, inputs, ...change }) }
  }
  const messages = [{ role: 'user', content: `${marker} tell me ${Math.random()}` }]
  const chat = { model: 'tiny', messages, max_tokens: 1 + Math.floor(Math.random() * 24), stream: kind === 'stream' }
  return { path: '/v1/chat/completions', body: JSON.stringify({ ...chat, ...change }) }
}

/** A signed order for a body. */
export async function order(info: NodeInfo.NodeInfo, body: string, notAfterSeconds?: bigint): Promise<Order_> {
  const salt = new Uint8Array(randomBytes(16))
  const terms = Order.encodeTerms({ parties: ['node'], maxRetentionSeconds: 600 })
  const zero = (length: number) => new Uint8Array(length)
  const made: Order.Order = {
    nodeId: info.nodeId,
    client: Cose.keyId(crypto, client.publicKey),
    model: zero(32),
    requestHash: Body.requestHash(crypto, salt, Bytes.fromUtf8(body)),
    policyCommitment: new Uint8Array(randomBytes(32)),
    ...{ modes: 4, asset: zero(20), maxPrice: 0n, nonce: new Uint8Array(randomBytes(16)) },
    notAfter: notAfterSeconds ?? BigInt(Math.floor(Date.now() / 1000) + 600),
    exposureTermsHash: Order.termsHash(crypto, terms),
    ...{ parentsHash: zero(32), replyKeyHash: zero(32) },
  }
  const hash = Order.hash(crypto, made, { chainId: info.chainId, registry: info.nodeRegistry })
  const signature = await Cose.sign(crypto, client, 'order', hash)
  return {
    hash: Bytes.toHex(hash),
    headers: {
      'assay-order': Wire.encodeOrder({ words: Order.words(made), signature, publicKey: client.publicKey }),
      'assay-order-salt': Wire.encodeOrderSalt(salt),
      'assay-order-terms': Wire.encodeOrderTerms(terms),
    },
  }
}

/** Makes one call; never throws for what the server or the connection does. */
export async function call(
  gateway: string,
  info: NodeInfo.NodeInfo,
  kind: Kind,
  options: { readonly withOrder?: boolean; readonly change?: Readonly<Record<string, unknown>> } = {},
): Promise<Answer> {
  const { path, body } = request(kind, options.change)
  const ordered = options.withOrder === true ? await order(info, body) : undefined
  const headers = { 'content-type': 'application/json', ...ordered?.headers }
  const parts: Uint8Array[] = []
  let status: number | undefined
  let isEnded = false
  let received: Headers | undefined
  try {
    const signal = AbortSignal.timeout(callMs)
    const response = await fetch(`${gateway}${path}`, { method: 'POST', headers, body, signal })
    status = response.status
    received = response.headers
    for await (const part of response.body as ReadableStream<Uint8Array>) parts.push(part)
    isEnded = true
  } catch {
    // Refused, cut or late: what came before still counts.
  }
  const bytes = Bytes.concat(...parts)
  const shared = { kind, orderHash: ordered?.hash, status, body: new TextDecoder().decode(bytes) }
  if (kind === 'stream' && status === 200) {
    const { done, comments } = Sse.collect(Sse.createParser().push(bytes))
    const value = (name: string) => comments.get(`assay-${name}`)
    return { ...shared, isWhole: isEnded && done, receipt: await receiptOf(info, value) }
  }
  return { ...shared, isWhole: isEnded, receipt: await receiptOf(info, (name) => received?.get(`assay-${name}`)) }
}

/** Reads what came with an answer and checks both signatures. */
async function receiptOf(
  info: NodeInfo.NodeInfo,
  value: (name: string) => string | null | undefined,
): Promise<Answer['receipt']> {
  const text = value('receipt')
  if (text === 'pending') return text
  const [pledgeText, secretText] = [value('pledge'), value('secret')]
  if (typeof text !== 'string' || typeof pledgeText !== 'string' || typeof secretText !== 'string') return undefined
  const { head, signature } = Wire.decodeReceipt(text)
  const pledge = Wire.decodePledge(pledgeText)
  const slot = await checkSignatures(info, head, signature, pledge)
  return {
    hash: Bytes.toHex(Head.hash(crypto, head)),
    ...{ head, signature, pledge },
    secret: Bytes.toHex(Wire.decodeSecret(secretText)),
    keyId: Bytes.toHex(Cose.keyId(crypto, info.publicKey)),
    slot,
  }
}

async function checkSignatures(
  info: NodeInfo.NodeInfo,
  head: Uint8Array,
  signature: Uint8Array,
  pledge: Wire.SignedPledge,
): Promise<number> {
  const { publicKey } = info
  await Cose.verify(crypto, { tag: 'receipt', payload: Head.payload(crypto, head), signature, publicKey })
  const { leafHash, logId } = Pledge.parse(pledge.words)
  const slot = info.logs.findIndex((one) => Bytes.equal(one.logId, logId))
  const log = info.logs[slot]
  if (log === undefined) throw new Error('the pledge is of a log that the node does not name')
  const payload = Pledge.payload(crypto, pledge.words)
  await Cose.verify(crypto, { tag: 'pledge', payload, signature: pledge.signature, publicKey: log.publicKey })
  if (!Bytes.equal(leafHash, LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, head))))
    throw new Error('the pledge is for another head')
  return slot
}

/** Calls in all ways, several at a time, until told to stop or the server is gone; gives all answers, the last ones cut. */
export function load(gateway: string, info: NodeInfo.NodeInfo, options: { readonly workers?: number } = {}) {
  const answers: Answer[] = []
  let isStopped = false
  const work = async () => {
    while (!isStopped) {
      const kinds = ['unary', 'stream', 'infer', 'infer', 'infer'] as const
      const kind = kinds[Math.floor(Math.random() * kinds.length)] as Kind
      const answer = await call(gateway, info, kind, { withOrder: Math.random() < 0.5 })
      answers.push(answer)
      if (answer.status === undefined) await sleep(20)
    }
  }
  const workers = Array.from({ length: options.workers ?? 6 }, work)
  return {
    answers,
    /** Lets the calls of the moment end, however they end. */
    async stop(): Promise<readonly Answer[]> {
      isStopped = true
      await Promise.all(workers)
      return answers
    },
  }
}

/** Asks for a stored receipt. */
export async function stored(
  gateway: string,
  path: string,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await fetch(`${gateway}/v1/receipts/${path}`, { signal: AbortSignal.timeout(callMs) })
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}
