/**
 * FakeGateway.ts - a gateway, its log, its witness and its chain for tests of the client: a real HTTP server on loopback that makes
 * true receipts with the library's own formats, or, when a test says so, one certain lie.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Header, Layout, type TrustAnchors } from 'assay/chain'
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
  Order,
  Pledge,
  Slot,
  Sse,
  Wire,
} from 'assay/protocol'
import { createState, headerRlp } from './Trie.ts'
import {
  anchorLog,
  anchorLogCode,
  chainId,
  crypto,
  digestOf,
  keyIdOf,
  logId,
  logOperator,
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

export type FakeGateway = {
  readonly url: string
  readonly anchors: TrustAnchors.TrustAnchors
  readonly chain: ChainAccess.ChainAccess
  readonly operators: readonly Uint8Array[]
  readonly witnesses: readonly Uint8Array[]
  /** Bodies of calls that arrived, prompts and all. */
  readonly received: readonly string[]
  lie: Lie
  /** From now on blocks count as final. */
  isFinal: boolean
  /** What the chain says of the node's key; undefined = nothing. */
  keyRecord: { readonly keyId: Uint8Array; readonly role: number; readonly validUntilBlock: bigint } | undefined
  /** The log's proofs do not hold. */
  isProofFalse: boolean
  close(): Promise<void>
}

export const answerText = 'The answer nobody may see unchecked.'
const issuedAt = { number: 100n, hash: digestOf('block 100') }
const anchoredAt = 105n

type Answer = { readonly mediaType: string; readonly chunks: readonly Uint8Array[] }

/** Starts it on a free loopback port. */
export async function start(): Promise<FakeGateway> {
  const leaves: Uint8Array[] = [digestOf('somebody else')]
  const bodies = new Map<string, { readonly effective: Uint8Array[]; readonly output: Uint8Array[] }>()
  const received: string[] = []
  let sequence = 0n
  let previous: Uint8Array = new Uint8Array(32)
  let first: Record<string, string> | undefined

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
    if (pathname === '/.well-known/assay.json') return json(response, wellKnown())
    if (pathname === '/v1/models') return json(response, { object: 'list', data: [{ id: 'tiny', object: 'model' }] })
    if (pathname.endsWith('/proof')) return json(response, await proof(Number(searchParams.get('index'))))
    const found = /^\/v1\/receipts\/([0-9a-f]{64})\/leaves$/.exec(pathname)
    if (found !== null) {
      const kept = bodies.get(found[1] ?? '')
      if (kept === undefined) return json(response, {}, 404)
      response.end(Wire.encodeReceiptLeaves(kept))
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
      ...{ chainId, registry, keyEpoch: 0, sequence, previous, modeBits: 4, flags: 0 },
      nodeId: lie === 'other-node-id' ? digestOf('another node') : nodeId,
      claimsRoot: ClaimsTree.root(crypto, tree),
    })
    sequence++
    previous = Head.hash(crypto, head)
    const signer = lie === 'other-node-key' ? signers.stranger : signers.node
    const signature = await Cose.sign(crypto, signer, 'receipt', Head.payload(crypto, head))
    const leafHash = LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, head))
    const leafIndex = BigInt(leaves.push(leafHash) - 1)
    const words = Pledge.words({
      ...{ chainId, anchorLog, logId, leafHash, leafIndex },
      ...{ issuedAtBlock: issuedAt.number, issuedAtBlockHash: issuedAt.hash },
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
    if (lie === 'replayed-receipt') return first
    if (lie === 'no-receipt') return {}
    if (lie === 'no-secret') delete all.Secret
    if (lie === 'no-pledge') delete all.Pledge
    return all
  }

  async function proof(index: number) {
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
        { publicKey: Bytes.toBase64url(signers.witness.publicKey), signature: await line(signers.witness, 'cosign') },
        { publicKey: Bytes.toBase64url(signers.stranger.publicKey), signature: await line(signers.stranger, 'cosign') },
      ],
    }
  }

  const headers = new Map<bigint, Uint8Array>([[issuedAt.number, issuedAt.hash]])
  let height = 110n
  const chain: ChainAccess.ChainAccess = {
    chainId,
    async view(numbers) {
      const blocks = numbers.flatMap((number) => {
        const hash = headers.get(number)
        return hash === undefined ? [] : [{ number, hash }]
      })
      return { chainId, newest: height, blocks }
    },
    async keyRecord() {
      const { keyRecord } = gateway
      return keyRecord === undefined ? undefined : { ...keyRecord, operator: nodeOperator, validFromBlock: 90n }
    },
    async piece({ log }) {
      height++
      const word = (value: bigint) => Bytes.u256(value)
      const keySlots = Layout.keyRecordSlots(crypto, nodeId, 0)
      const logSlots = Layout.logRecordSlots(crypto, logId)
      const stepSlots = log?.size === undefined ? undefined : Layout.stepSlots(crypto, logId, log.size)
      const state = await createState([
        {
          ...{ address: registry, codeHash: registryCode },
          storage: new Map([
            [Bytes.toHex(keySlots[0]), keyIdOf(signers.node)],
            [Bytes.toHex(keySlots[1]), word(Bytes.toBigInt(nodeOperator) | (1n << 160n) | (90n << 168n))],
          ]),
        },
        {
          ...{ address: anchorLog, codeHash: anchorLogCode },
          storage: new Map([
            [Bytes.toHex(logSlots[0]), keyIdOf(signers.log)],
            [Bytes.toHex(logSlots[1]), word(Bytes.toBigInt(logOperator) | (600n << 160n))],
            ...(stepSlots === undefined
              ? []
              : ([
                  [Bytes.toHex(stepSlots[0]), Merkle.root(crypto, leaves.slice(0, Number(log?.size)))],
                  [Bytes.toHex(stepSlots[1]), word(anchoredAt)],
                ] as const)),
          ]),
        },
      ])
      const header = headerRlp({ stateRoot: state.root, number: height, timestampSeconds: 1_900_000_000n })
      const hash = Header.hash(crypto, header)
      headers.set(height, hash)
      const of = (slot: Uint8Array) => state.storage(anchorLog, slot)
      return {
        piece: {
          ...{ header, blockHash: hash },
          registry: {
            account: await state.account(registry),
            word0: await state.storage(registry, keySlots[0]),
            word1: await state.storage(registry, keySlots[1]),
          },
          anchorLog: {
            ...{
              account: await state.account(anchorLog),
              record0: await of(logSlots[0]),
              record1: await of(logSlots[1]),
            },
            ...(stepSlots === undefined ? {} : { step0: await of(stepSlots[0]), step1: await of(stepSlots[1]) }),
          },
        },
        header: { number: height, hash },
        isFinal: gateway.isFinal,
      }
    },
  }

  const gateway: FakeGateway = {
    url: `http://127.0.0.1:${port}`,
    anchors: {
      ...{ chainId, finality: 'development', headers: [] },
      nodeRegistry: { address: registry, codeHash: registryCode },
      anchorLog: { address: anchorLog, codeHash: anchorLogCode },
    },
    ...{ chain, received, operators: [nodeOperator], witnesses: [keyIdOf(signers.witness)] },
    ...{ lie: 'none', isFinal: true, isProofFalse: false },
    keyRecord: { keyId: keyIdOf(signers.node), role: 1, validUntilBlock: 0n },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
  return gateway
}

function wellKnown() {
  return {
    version: 1,
    chain: { chainId: String(chainId), nodeRegistry: Bytes.to0x(registry), anchorLog: Bytes.to0x(anchorLog) },
    node: {
      ...{ nodeId: Bytes.toHex(nodeId), keyEpoch: 0, operator: Bytes.to0x(nodeOperator) },
      publicKey: Bytes.toBase64url(signers.node.publicKey),
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
