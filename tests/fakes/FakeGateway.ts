/**
 * FakeGateway.ts - a gateway, its log, its witness and its chain for tests of the client: a real HTTP server on loopback that makes
 * true receipts with the library's own formats, or, when a test says so, one certain lie.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TrustAnchors } from 'assay/chain'
import type { ChainAccess } from 'assay/client'
import {
  Body,
  Bytes,
  Checkpoint,
  type Claims,
  ClaimsTree,
  Claims as ClaimValues,
  Cose,
  Head,
  LogEntry,
  Merkle,
  Note,
  Order,
  Pledge,
  Slot,
  Sse,
  Wire,
} from 'assay/protocol'
import { anchoredAt, createChain, issuedAt, type Seen } from './FakeChain.ts'
import {
  anchorLog,
  anchorLogCode,
  chainId,
  crypto,
  digestOf,
  keyIdOf,
  logId,
  nodeId,
  nodeOperator,
  registry,
  registryCode,
  signers,
} from './World.ts'

/** What is wrong with the next answer; everything else stays true. */
export type Lie =
  | 'none'
  | 'gateway-error'
  | 'gateway-refusal'
  | 'no-receipt'
  | 'no-secret'
  | 'no-pledge'
  | 'pending'
  /** No pledge in time: the answer is pending, and its receipt follows once `lateReceipts` says so. */
  | 'late'
  | 'late-other-receipt'
  | 'replayed-receipt'
  | 'other-node-key'
  | 'swapped-response'
  | 'claim-changed'
  | 'claim-left-out'
  | 'other-request'
  | 'other-node-id'
  | 'stranger-pledge'
  | 'too-large'
  | 'malformed-receipt'
  | 'stream-without-end'
  | 'claims-withheld'
  | 'two-heads'
  | 'wrong-link'
  | 'wrong-leaf'
  | 'false-entry'
  | 'pledged-false-entry'
  | 'other-pledge'

export type FakeGateway = Seen & {
  readonly url: string
  readonly anchors: TrustAnchors.TrustAnchors
  readonly chain: ChainAccess.ChainAccess
  readonly operators: readonly Uint8Array[]
  readonly witnesses: readonly Uint8Array[]
  /** Bodies of calls that arrived, prompts and all. */
  readonly received: readonly string[]
  lie: Lie
  /** The log's proofs do not hold. */
  isProofFalse: boolean
  /** What is said of receipts that were not pledged in time. */
  lateReceipts: 'pending' | 'there' | 'lost' | 'down'
  /** What does not answer any more. */
  readonly hidden: Set<'tiles' | 'entries' | 'proof' | 'receipts' | 'everything'>
  /** The leaves that are anchored; undefined = all that the log was given. */
  anchored: (() => readonly Uint8Array[]) | undefined
  /** The leaves that proofs and signed states speak of; undefined = the anchored ones. */
  told: (() => readonly Uint8Array[]) | undefined
  /** Leaves and entries of the log, and heads by their hashes. */
  readonly leaves: Uint8Array[]
  readonly entries: Uint8Array[]
  readonly heads: Map<
    string,
    { readonly head: Uint8Array; readonly signature: Uint8Array; readonly publicKey: Uint8Array }
  >
  /** Signs and stores a head of this node that nobody asked for. */
  issue(fields: Partial<Head.Head>): Promise<void>
  /** The block that pledges name. */
  issuedAt: { readonly number: bigint; readonly hash: Uint8Array }
  /** The witness cosigns what the log shows; else only what is anchored. */
  isWitnessFalse: boolean
  /** The node's keys, the last one in use; a new one takes the next epoch and begins at 0. */
  readonly keys: Cose.Signer[]
  rotate(signer: Cose.Signer): void
  close(): Promise<void>
}

/** Receipt values that were held back, with the receipt's hash. */
type Late = { Receipt: string; Pledge: string; Secret: string; Claims: string; hash: string }

export const answerText = 'The answer nobody may see unchecked.'

type Answer = { readonly mediaType: string; readonly chunks: readonly Uint8Array[] }

/** Starts it on a free loopback port. */
export async function start(): Promise<FakeGateway> {
  const entries: Uint8Array[] = [
    LogEntry.serialize({
      ...{ receiptHash: digestOf('somebody'), nodeId: digestOf('somebody else'), sequence: 0n, modeBits: 0, flags: 0 },
    }),
  ]
  const leaves: Uint8Array[] = [LogEntry.leafHash(crypto, entries[0] as Uint8Array)]
  const heads: FakeGateway['heads'] = new Map()
  const bodies = new Map<string, { readonly effective: Uint8Array[]; readonly output: Uint8Array[] }>()
  const received: string[] = []
  let sequence = 0n
  let previous: Uint8Array = new Uint8Array(32)
  let lastPrevious: Uint8Array = new Uint8Array(32)
  let first: Record<string, string> | undefined
  const late = new Map<string, Late>()
  const nodeKey = (): Cose.Signer => gateway.keys.at(-1) as Cose.Signer
  const keyEpoch = (): number => gateway.keys.length - 1

  const server = createServer((request, response) => {
    route(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo

  async function route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://x')
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const body = Uint8Array.from(Buffer.concat(parts))
    if (gateway.hidden.has('everything')) return void response.destroy()
    if (pathname === '/.well-known/assay.json') return json(response, wellKnown(nodeKey(), keyEpoch()))
    if (pathname === '/v1/models') return json(response, { object: 'list', data: [{ id: 'tiny', object: 'model' }] })
    const file = /^\/log\/[0-9a-f]{64}\/(tile\/.*|checkpoint)$/.exec(pathname)?.[1]
    if (file !== undefined) return published(response, file)
    const asked = /^\/v1\/receipts\/([0-9a-f]{64})$/.exec(pathname)?.[1]
    if (asked !== undefined) return signedHead(response, asked)
    if (pathname.endsWith('/proof') && gateway.hidden.has('proof')) return json(response, {}, 404)
    if (pathname.endsWith('/proof')) return json(response, await proof(Number(searchParams.get('index'))))
    const found = /^\/v1\/receipts\/([0-9a-f]{64})\/leaves$/.exec(pathname)
    if (found !== null) {
      const kept = bodies.get(found[1] ?? '')
      if (kept === undefined) return json(response, {}, 404)
      response.end(Wire.encodeReceiptLeaves(kept))
      return
    }
    const lateHash = /^\/v1\/receipts\/by-order\/([0-9a-f]{64})$/.exec(pathname)?.[1]
    if (lateHash !== undefined) return byOrder(response, late.get(lateHash))
    const claimsOf = /^\/v1\/receipts\/([0-9a-f]{64})\/claims$/.exec(pathname)?.[1]
    if (claimsOf !== undefined) {
      const values = [...late.values()].find((one) => one.hash === claimsOf)
      const token = values && Bytes.toHex(Wire.readToken(crypto, Wire.decodeSecret(values.Secret)))
      if (values === undefined || request.headers.authorization !== `Bearer ${token}`) return json(response, {}, 401)
      const { head, signature } = Wire.decodeReceipt(values.Receipt)
      const [claims, pledge] = [Wire.decodeClaims(values.Claims), Wire.decodePledge(values.Pledge)]
      response.end(Wire.encodeReceiptClaims({ head, signature, claims, pledge }))
      return
    }
    if (pathname === '/v1/chat/completions' && request.method === 'POST') return call(request, response, pathname, body)
    json(response, { error: { code: 'not-found' } }, 404)
  }

  async function call(request: IncomingMessage, response: ServerResponse, target: string, body: Uint8Array) {
    received.push(Bytes.toUtf8(body))
    if (gateway.lie === 'gateway-refusal')
      return json(response, { error: { message: answerText, code: 'invalid_value' } }, 400)
    if (gateway.lie === 'gateway-error')
      return json(response, { error: { message: answerText, code: 'overloaded' } }, 503, { 'Retry-After': '7' })
    const isStream = (JSON.parse(Bytes.toUtf8(body)) as { stream?: boolean }).stream === true
    const answer = isStream ? streamed() : unary()
    const values = gateway.lie === 'pending' ? undefined : await receipt(request, target, body, answer)
    const shown = gateway.lie === 'swapped-response' ? swapped(answer) : answer
    if (gateway.lie === 'too-large') return void response.end(Buffer.alloc(5 * 1024 * 1024, 0x20))
    if (!isStream) {
      const headers: Record<string, string> = { 'Content-Type': answer.mediaType }
      if (values === undefined) headers[Wire.responseHeaders.receipt] = Wire.pending
      else for (const [name, value] of Object.entries(values)) headers[`Assay-${name}`] = value
      response.writeHead(200, headers).end(shown.chunks[0])
      return
    }
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    for (const chunk of shown.chunks) response.write(Sse.writeChunk(chunk))
    for (const [name, value] of Object.entries(values ?? { Receipt: Wire.pending }))
      response.write(Sse.writeComment(`assay-${name.toLowerCase()}`, value))
    if (gateway.lie === 'stream-without-end') return void response.destroy()
    response.end(Sse.writeDone())
  }

  function byOrder(response: ServerResponse, found: Late | undefined): void {
    const { lateReceipts } = gateway
    if (lateReceipts === 'down') return void response.destroy()
    if (lateReceipts === 'pending') return void json(response, { error: { code: 'receipt_pending' } }, 404)
    if (lateReceipts === 'lost' || found === undefined)
      return void json(response, { error: { code: 'receipt_not_found' } }, 404)
    const { head, signature } = Wire.decodeReceipt(found.Receipt)
    const publicKey = Bytes.toBase64url((gateway.keys[Head.parse(head).keyEpoch] ?? nodeKey()).publicKey)
    json(response, {
      ...{ hash: found.hash, head: Bytes.toBase64url(head), signature: Bytes.toBase64url(signature), publicKey },
    })
  }

  /** Values of the receipt headers by name. */
  async function receipt(request: IncomingMessage, target: string, body: Uint8Array, answer: Answer) {
    const { lie } = gateway
    const order = Wire.decodeOrder(String(request.headers['assay-order']))
    const fields = Order.parse(order.words)
    const secret = digestOf(`secret ${sequence}`)
    const salts = ClaimsTree.salts(crypto, secret, fields.nonce)
    const saltOf = (name: Body.Name) => salts[Body.saltIndexOf(name)] as Uint8Array
    const asked = lie === 'other-request' ? Bytes.fromUtf8('{}') : body
    const effective = [Bytes.fromHex('a201100280'), ...Body.tokenLeaves([0, 3, 4])]
    const output = Body.tokenLeaves([9, 8, 4])
    const claims: Partial<Claims.ClaimValues> = {
      node: { version: '0.1.0', config: digestOf('config') },
      order: Order.hash(crypto, fields, { chainId, registry }),
      request: {
        ...{ method: 'POST', target, mediaType: 'application/json' },
        ...{ hash: Body.root(crypto, saltOf('request'), [asked]), bytes: BigInt(asked.length) },
      },
      effectiveRequest: { kind: 1, root: Body.root(crypto, saltOf('effective'), effective), count: 4, rewrites: [] },
      response: {
        ...{ status: 200, mediaType: answer.mediaType, root: Body.root(crypto, saltOf('response'), answer.chunks) },
        chunks: answer.chunks.length,
        bytes: answer.chunks.reduce((sum, chunk) => sum + BigInt(chunk.length), 0n),
      },
      output: { kind: 1, root: Body.root(crypto, saltOf('output'), output), count: 3 },
      model: digestOf('manifest'),
      weights: digestOf('weights'),
      engine: {
        ...{ name: 'onnxruntime-web', version: '1.30.0', build: digestOf('build'), profile: 'onnx-wasm/1' },
        sampling: { seed: 0n, temperature: '0', topP: '1' },
      },
      exposure: {
        saw: [{ party: 'node', what: ['request', 'response'], why: 'inference', retentionSeconds: 600 }],
        retentionSeconds: 600,
      },
      outcome: {
        ...{ finish: 'stop', error: null, usage: { prompt: 3n, completion: 3n } },
        ...{ receivedMs: 1n, completedMs: 2n, clock: 'node' },
      },
    }
    const values = new Map<number, Uint8Array>()
    for (const [name, value] of Object.entries(claims))
      values.set(Slot.indexOf(name as Slot.Name), ClaimValues.encode(name as never, value as never))
    const tree = Slot.names.map((_, slot) => {
      const value = values.get(slot)
      return value === undefined
        ? ClaimsTree.unusedLeaf(crypto, slot)
        : ClaimsTree.leaf(crypto, slot, salts[slot] as Uint8Array, value)
    })
    const head = Head.serialize({
      ...{ chainId, registry, keyEpoch: keyEpoch(), modeBits: 4, flags: 0, ...linkOf(lie) },
      nodeId: lie === 'other-node-id' ? digestOf('another node') : nodeId,
      claimsRoot: ClaimsTree.root(crypto, tree),
    })
    if (lie !== 'two-heads') sequence++
    if (lie !== 'two-heads') previous = Head.hash(crypto, head)
    const signer = lie === 'other-node-key' ? signers.stranger : nodeKey()
    const signature = await Cose.sign(crypto, signer, 'receipt', Head.payload(crypto, head))
    const { leafHash, leafIndex } = appended({ head, signature, publicKey: signer.publicKey }, lie)
    const words = Pledge.words({
      ...{ chainId, anchorLog, logId, leafHash, leafIndex },
      ...{ issuedAtBlock: gateway.issuedAt.number, issuedAtBlockHash: gateway.issuedAt.hash },
    })
    const logSigner = lie === 'stranger-pledge' ? signers.stranger : signers.log
    const pledge = { words, signature: await Cose.sign(crypto, logSigner, 'pledge', Pledge.payload(crypto, words)) }
    bodies.set(Bytes.toHex(Head.hash(crypto, head)), { effective, output })
    if (lie === 'claim-changed') values.set(7, ClaimValues.encode('weights', digestOf('other weights')))
    if (lie === 'claim-left-out') values.delete(10)
    const all: Record<string, string> = {
      Receipt: lie === 'malformed-receipt' ? 'AAAA' : Wire.encodeReceipt({ head, signature }),
      Pledge: Wire.encodePledge(pledge),
      Secret: Wire.encodeSecret(secret),
      Claims: Wire.encodeClaims(values),
    }
    first ??= all
    if (lie === 'late' || lie === 'late-other-receipt') {
      const orderHash = Bytes.toHex(Order.hash(crypto, fields, { chainId, registry }))
      const values = lie === 'late' ? all : (([...late.values()][0] ?? all) as Record<string, string>)
      late.set(orderHash, {
        ...(values as Late),
        hash: Bytes.toHex(Head.hash(crypto, Wire.decodeReceipt(values.Receipt ?? '').head)),
      })
      return { Receipt: Wire.pending, Secret: String(values.Secret) }
    }
    if (lie === 'replayed-receipt') return first
    if (lie === 'no-receipt') return {}
    if (lie === 'other-pledge') return { ...all, Pledge: first.Pledge as string }
    if (lie === 'claims-withheld') delete all.Claims
    if (lie === 'no-secret') delete all.Secret
    if (lie === 'no-pledge') delete all.Pledge
    return all
  }

  /** Where the next head stands. */
  function linkOf(lie: Lie) {
    if (lie === 'two-heads' && sequence > 0n) return { sequence: sequence - 1n, previous: lastPrevious }
    lastPrevious = previous
    return { sequence, previous: lie === 'wrong-link' ? digestOf('nothing before') : previous }
  }

  /** Puts a head into the log, as truly as the lie has it; returns what is pledged. */
  function appended(signed: { head: Uint8Array; signature: Uint8Array; publicKey: Uint8Array }, lie: Lie) {
    heads.set(Bytes.toHex(Head.hash(crypto, signed.head)), signed)
    const entry = LogEntry.fromHead(crypto, signed.head)
    const isFalse = lie === 'false-entry' || lie === 'pledged-false-entry'
    const bent = LogEntry.serialize({ ...LogEntry.parse(entry), flags: 1 })
    const stored = isFalse ? bent : lie === 'wrong-leaf' ? (entries[0] as Uint8Array) : entry
    entries.push(stored)
    const leafIndex = BigInt(leaves.push(LogEntry.leafHash(crypto, stored)) - 1)
    return { leafHash: LogEntry.leafHash(crypto, lie === 'pledged-false-entry' ? bent : entry), leafIndex }
  }

  async function issue(fields: Partial<Head.Head>): Promise<void> {
    const head = Head.serialize({
      ...{ chainId, registry, nodeId, keyEpoch: keyEpoch(), modeBits: 4, flags: 0 },
      claimsRoot: digestOf(`another call ${heads.size}`),
      ...{ sequence, previous },
      ...fields,
    })
    const signature = await Cose.sign(crypto, nodeKey(), 'receipt', Head.payload(crypto, head))
    appended({ head, signature, publicKey: nodeKey().publicKey }, 'none')
    if (fields.sequence === undefined) {
      sequence++
      previous = Head.hash(crypto, head)
    }
  }

  const anchoredLeaves = () => gateway.anchored?.() ?? leaves

  function signedHead(response: ServerResponse, hash: string): void {
    const found = gateway.hidden.has('receipts') ? undefined : heads.get(hash)
    const values = Object.entries(found ?? {}).map(([name, bytes]) => [name, Bytes.toBase64url(bytes)])
    json(response, { hash, ...Object.fromEntries(values) }, found === undefined ? 404 : 200)
  }

  async function published(response: ServerResponse, path: string): Promise<void> {
    const tile = /^tile\/(0|entries)\/000\.p\/([0-9]+)$/.exec(path)
    const isHidden = gateway.hidden.has('tiles') || (tile?.[1] === 'entries' && gateway.hidden.has('entries'))
    if (isHidden || (tile === null && path !== 'checkpoint')) return json(response, {}, 404)
    if (tile === null) {
      const { signature, size, root } = await proof(0)
      const statement = { chainId, anchorLog, logId, size: BigInt(size), root: Bytes.fromBase64url(root) }
      const log = { publicKey: signers.log.publicKey, signature: Bytes.fromBase64url(signature) }
      return void response.end(Note.serialize(Checkpoint.toNote(crypto, statement, { log })))
    }
    const width = Number(tile[2])
    if (width > anchoredLeaves().length) return json(response, {}, 404)
    if (tile[1] === '0') return void response.end(Bytes.concat(...anchoredLeaves().slice(0, width)))
    response.end(Bytes.concat(...entries.slice(0, width).flatMap((entry) => [Bytes.u16(entry.length), entry])))
  }

  async function proof(index: number) {
    const toldTruly = anchoredLeaves()
    const leaves = gateway.told?.() ?? toldTruly
    const root = Merkle.root(crypto, leaves)
    const statement = Checkpoint.payload(
      crypto,
      Checkpoint.words({ chainId, anchorLog, logId, size: BigInt(leaves.length), root }),
    )
    const line = async (signer: Cose.Signer, tag: Cose.Tag) =>
      Bytes.toBase64url(await Cose.sign(crypto, signer, tag, statement))
    return {
      size: String(leaves.length),
      root: Bytes.toBase64url(root),
      signature: await line(signers.log, 'checkpoint'),
      proof: Merkle.inclusionProof(crypto, leaves, BigInt(gateway.isProofFalse ? index - 1 : index)).map(
        Bytes.toBase64url,
      ),
      cosignatures: [
        ...(gateway.isWitnessFalse || leaves === toldTruly
          ? [
              {
                publicKey: Bytes.toBase64url(signers.witness.publicKey),
                signature: await line(signers.witness, 'cosign'),
              },
            ]
          : []),
        { publicKey: Bytes.toBase64url(signers.stranger.publicKey), signature: await line(signers.stranger, 'cosign') },
      ],
    }
  }

  const chain = createChain(() => gateway, anchoredLeaves)
  const gateway: FakeGateway = {
    url: `http://127.0.0.1:${port}`,
    anchors: {
      ...{ chainId, finality: 'development', headers: [] },
      nodeRegistry: { address: registry, codeHash: registryCode },
      anchorLog: { address: anchorLog, codeHash: anchorLogCode },
    },
    ...{ issuedAt, isWitnessFalse: true, keys: [signers.node] },
    rotate: (signer) => {
      gateway.keys.push(signer)
      sequence = 0n
      previous = new Uint8Array(32)
      lastPrevious = previous
    },
    ...{ chain, received, operators: [nodeOperator], witnesses: [keyIdOf(signers.witness)] },
    ...{
      lie: 'none',
      isFinal: true,
      isProofFalse: false,
      lateReceipts: 'pending',
      hidden: new Set(),
      anchored: undefined,
      told: undefined,
    },
    ...{ stepBlock: () => anchoredAt, height: 110n, observed: new Map(), leaves, entries, heads, issue },
    withheld: new Map(),
    hints: { anchored: [], observed: [], conflicts: [] },
    keyRecord: { keyId: keyIdOf(signers.node), role: 1, validUntilBlock: 0n },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
  return gateway
}

function wellKnown(signer: Cose.Signer, keyEpoch: number) {
  return {
    version: 1,
    chain: { chainId: String(chainId), nodeRegistry: Bytes.to0x(registry), anchorLog: Bytes.to0x(anchorLog) },
    node: {
      ...{ nodeId: Bytes.toHex(nodeId), keyEpoch, operator: Bytes.to0x(nodeOperator) },
      publicKey: Bytes.toBase64url(signer.publicKey),
    },
    logs: [
      {
        ...{ logId: Bytes.toHex(logId), url: `/log/${Bytes.toHex(logId)}` },
        publicKey: Bytes.toBase64url(signers.log.publicKey),
      },
    ],
    models: [
      { id: 'tiny', kind: 'causal-lm', manifestHash: Bytes.toHex(digestOf('manifest')), profile: 'onnx-wasm/1' },
    ],
  }
}

function unary(): Answer {
  const body = {
    ...{ id: 'chatcmpl-0123456789abcdef0123456789abcdef', object: 'chat.completion', created: 1, model: 'tiny' },
    choices: [{ index: 0, message: { role: 'assistant', content: answerText }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 },
  }
  return { mediaType: 'application/json', chunks: [Bytes.fromUtf8(JSON.stringify(body))] }
}

function streamed(): Answer {
  const chunk = (delta: unknown, finish: string | null) =>
    Sse.chunkBytes(
      '',
      Bytes.fromUtf8(
        JSON.stringify({
          ...{ id: 'chatcmpl-0123456789abcdef0123456789abcdef', object: 'chat.completion.chunk', created: 1 },
          ...{ model: 'tiny', choices: [{ index: 0, delta, finish_reason: finish }] },
        }),
      ),
    )
  return {
    mediaType: 'text/event-stream',
    chunks: [chunk({ role: 'assistant', content: '' }, null), chunk({ content: answerText }, null), chunk({}, 'stop')],
  }
}

function swapped(answer: Answer): Answer {
  const chunks = answer.chunks.map((chunk) => Bytes.fromUtf8(Bytes.toUtf8(chunk).replace('nobody', 'anybody')))
  return { ...answer, chunks }
}

function json(
  response: ServerResponse,
  data: unknown,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(data))
}
