/**
 * world.ts - one fixed little world for the vectors: a chain, a node, a log, a witness, a client and one call.
 *
 * Keys come from SHA-256 of names and signatures follow RFC 6979, so everything here is the same on every machine.
 * Nothing of it is secret, and no key of it may ever be used.
 */
import { createEd25519Signer, createP256Signer, crypto } from '../../src/crypto/noble.ts'
import * as Body from '../../src/protocol/Body.ts'
import type * as Bundle from '../../src/protocol/Bundle.ts'
import * as Bytes from '../../src/protocol/Bytes.ts'
import * as Checkpoint from '../../src/protocol/Checkpoint.ts'
import * as Claims from '../../src/protocol/Claims.ts'
import * as ClaimsTree from '../../src/protocol/ClaimsTree.ts'
import * as Cose from '../../src/protocol/Cose.ts'
import * as Dcbor from '../../src/protocol/Dcbor.ts'
import * as Head from '../../src/protocol/Head.ts'
import * as Identity from '../../src/protocol/Identity.ts'
import * as LogEntry from '../../src/protocol/LogEntry.ts'
import * as Manifest from '../../src/protocol/Manifest.ts'
import * as Merkle from '../../src/protocol/Merkle.ts'
import * as Order from '../../src/protocol/Order.ts'
import * as Pledge from '../../src/protocol/Pledge.ts'
import * as Slot from '../../src/protocol/Slot.ts'
import * as Sse from '../../src/protocol/Sse.ts'

export { crypto }

/** 32 bytes that stand for a name. */
export function digest(name: string): Uint8Array {
  return crypto.sha256(Bytes.fromUtf8(`assay vectors: ${name}`))
}

/** The P-256 key of a name. */
export function signer(name: string): Cose.Signer {
  return createP256Signer(digest(`key ${name}`))
}

/** The Ed25519 key of a name. */
export function ed25519Signer(name: string) {
  return createEd25519Signer(digest(`ed25519 key ${name}`))
}

export const chainId = 31337n
export const registry = digest('registry').slice(0, 20)
export const anchorLog = digest('anchor log').slice(0, 20)
export const instance = digest('instance')
export const nodeOperator = digest('node operator').slice(0, 20)
export const logOperator = digest('log operator').slice(0, 20)
export const nodeId = Identity.nodeId(crypto, { chainId, registry, operator: nodeOperator, n: 0n })
export const logId = Identity.logId(crypto, { chainId, anchorLog, instance, operator: logOperator, n: 0n })

export const node = signer('node')
export const log = signer('log')
export const witness = signer('witness')
const otherWitness = signer('other witness')
export const client = signer('client')

export const secret = digest('secret')
export const nonce = digest('nonce').slice(0, 16)
export const requestSalt = digest('request salt').slice(0, 16)
export const salts = ClaimsTree.salts(crypto, secret, nonce)

const files = ['model.onnx', 'tokenizer.bin'].map((path) => ({ path, bytes: Bytes.fromUtf8(`contents of ${path}\n`) }))

export const weightsRoot = Manifest.weightsRoot(crypto, files)
export const manifest: Manifest.Manifest = {
  version: 1,
  name: 'tiny-echo',
  kind: 'causal-lm',
  weightsRoot,
  files: files.map(({ path, bytes }) => ({ path, bytes: BigInt(bytes.length), sha256: crypto.sha256(bytes) })),
  licence: 'CC0-1.0',
  architecture: { layers: 2, heads: 2, headDim: 8, vocab: 512, context: 128 },
  template: { name: 'role-tokens/1', bos: 256, system: 257, user: 258, assistant: 259, end: 260 },
  defaults: { temperature: '1', topP: '1', maxTokens: 16 },
  graph: 'model.onnx',
  tokenizer: 'tokenizer.bin',
}
export const manifestBytes = Manifest.serialize(manifest)
export const manifestHash = Manifest.hash(crypto, manifestBytes)

export const requestBody = Bytes.fromUtf8(
  '{"model":"tiny-echo","messages":[{"role":"user","content":"Say hi."}],"temperature":0}',
)
const parameters = Dcbor.encode(
  new Map<Dcbor.Key, Dcbor.Value>([
    [1, 16],
    [2, []],
  ]),
)
const promptTokens = [256, 258, 83, 97, 121, 32, 104, 105, 46, 260, 259]
const outputTokens = [72, 105, 33, 260]
export const leaves: { readonly [name in Body.Name]: readonly Uint8Array[] } = {
  request: [requestBody],
  effective: [parameters, ...Body.tokenLeaves(promptTokens)],
  response: [
    Sse.chunkBytes('', Bytes.fromUtf8('{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}')),
    Sse.chunkBytes('', Bytes.fromUtf8('{"choices":[{"index":0,"delta":{"content":"Hi!"}}]}')),
  ],
  output: Body.tokenLeaves(outputTokens),
}

/** The root of a body of the call. */
function rootOf(name: Body.Name): Uint8Array {
  return Body.root(crypto, salts[Body.saltIndexOf(name)] as Uint8Array, leaves[name])
}

const sum = (parts: readonly Uint8Array[]) => BigInt(parts.reduce((total, part) => total + part.length, 0))

export const terms: Order.Terms = { parties: ['node'], maxRetentionSeconds: 600 }
export const termsBytes = Order.encodeTerms(terms)
export const order: Order.Order = {
  nodeId,
  client: Cose.keyId(crypto, client.publicKey),
  model: manifestHash,
  requestHash: Body.requestHash(crypto, requestSalt, requestBody),
  policyCommitment: Order.policyCommitment(crypto, digest('policy'), digest('blind').slice(0, 16)),
  modes: 4,
  asset: new Uint8Array(20),
  maxPrice: 0n,
  nonce,
  notAfter: 1_800_000_000n,
  exposureTermsHash: Order.termsHash(crypto, termsBytes),
  parentsHash: new Uint8Array(32),
  replyKeyHash: new Uint8Array(32),
}
export const orderWords = Order.words(order)
export const orderHash = Order.hash(crypto, order, { chainId, registry })

/** One value for every slot that has values in this version. */
export const claims: Claims.ClaimValues = {
  node: { version: '0.1.0', config: digest('config') },
  order: orderHash,
  request: {
    method: 'POST',
    target: '/v1/chat/completions',
    mediaType: 'application/json',
    hash: rootOf('request'),
    bytes: BigInt(requestBody.length),
  },
  effectiveRequest: {
    kind: 1,
    root: rootOf('effective'),
    count: leaves.effective.length,
    rewrites: [
      { code: 'default', path: '/top_p', detail: '1' },
      { code: 'default', path: '/max_tokens', detail: '16' },
      { code: 'default', path: '/seed', detail: '0' },
    ],
  },
  response: {
    status: 200,
    mediaType: 'text/event-stream',
    root: rootOf('response'),
    chunks: leaves.response.length,
    bytes: sum(leaves.response),
  },
  output: { kind: 1, root: rootOf('output'), count: leaves.output.length },
  model: manifestHash,
  weights: weightsRoot,
  engine: {
    name: 'assay-onnx',
    version: '0.1.0',
    build: digest('build'),
    profile: 'onnx-wasm/1',
    sampling: { seed: 0n, temperature: '0', topP: '1' },
  },
  route: { origin: 'https://example.test', tlsSpki: null, upstreamId: null, region: null },
  exposure: {
    saw: [{ party: 'node', what: ['request', 'response'], why: 'runs the model', retentionSeconds: 600 }],
    retentionSeconds: 600,
  },
  attestation: digest('attestation'),
  proof: digest('proof'),
  price: digest('price'),
  outcome: {
    finish: 'stop',
    error: null,
    usage: { prompt: 11n, completion: 4n },
    receivedMs: 1_790_000_000_000n,
    completedMs: 1_790_000_000_250n,
    clock: 'system',
  },
}

/** Slots of the call; route, attestation, proof, price and step are absent. */
const usedSlots: readonly Claims.Name[] = [
  'node',
  'order',
  'request',
  'effectiveRequest',
  'response',
  'output',
  'model',
  'weights',
  'engine',
  'exposure',
  'outcome',
]

export const values: ReadonlyMap<number, Uint8Array> = new Map(
  usedSlots.map((name) => [Slot.indexOf(name), Claims.encode(name, claims[name])]),
)
export const tree = ClaimsTree.build(crypto, { secret, nonce, modeBits: 4, values })

export const head: Head.Head = {
  chainId,
  registry,
  nodeId,
  keyEpoch: 0,
  sequence: 7n,
  previous: digest('previous receipt'),
  modeBits: 4,
  flags: 0,
  claimsRoot: tree.root,
}
export const headBytes = Head.serialize(head)
export const entryBytes = LogEntry.fromHead(crypto, headBytes)

export const leafIndex = 5n
export const size = 11n
/** The leaves of the log at `size`: ours at `leafIndex`, the others stand for other receipts. */
export const logLeaves: readonly Uint8Array[] = Array.from({ length: Number(size) }, (_, i) =>
  BigInt(i) === leafIndex ? LogEntry.leafHash(crypto, entryBytes) : digest(`leaf ${i}`),
)
export const root = Merkle.root(crypto, logLeaves)
export const pledge: Pledge.Pledge = {
  chainId,
  anchorLog,
  logId,
  leafHash: LogEntry.leafHash(crypto, entryBytes),
  leafIndex,
  issuedAtBlock: 1000n,
  issuedAtBlockHash: digest('block 1000'),
}
export const pledgeWords = Pledge.words(pledge)
export const statement: Checkpoint.Statement = { chainId, anchorLog, logId, size, root }
export const statementWords = Checkpoint.words(statement)
const statementPayload = Checkpoint.payload(crypto, statementWords)

export const signatures = {
  receipt: await Cose.sign(crypto, node, 'receipt', Head.payload(crypto, headBytes)),
  order: await Cose.sign(crypto, client, 'order', orderHash),
  pledge: await Cose.sign(crypto, log, 'pledge', Pledge.payload(crypto, pledgeWords)),
  checkpoint: await Cose.sign(crypto, log, 'checkpoint', statementPayload),
  cosign: await Cose.sign(crypto, witness, 'cosign', statementPayload),
  otherCosign: await Cose.sign(crypto, otherWitness, 'cosign', statementPayload),
}

/** Openings of the used slots. */
export const disclosed: ReadonlyMap<number, Bundle.Opening> = new Map(
  [...values].map(([slot, value]) => [slot, { salt: tree.salts[slot] as Uint8Array, value }]),
)

/** Leaves of the used slots, for bundles that hide them. */
export const hidden: ReadonlyMap<number, Uint8Array> = new Map(
  [...values.keys()].map((slot) => [slot, tree.leaves[slot] as Uint8Array]),
)

/** The smallest bundle of the call: every slot hidden, no evidence. */
export const minimal: Bundle.Bundle = {
  receipt: { head: headBytes, signature: signatures.receipt },
  disclosed: new Map(),
  hidden,
  keys: { node: node.publicKey },
}

/** Everything disclosed, with the order and no bodies. */
export const ordered: Bundle.Bundle = {
  ...minimal,
  disclosed,
  hidden: new Map(),
  order: { words: orderWords, signature: signatures.order, publicKey: client.publicKey, terms: termsBytes },
}

const body = (name: Body.Name) => ({ salt: salts[Body.saltIndexOf(name)] as Uint8Array, leaves: leaves[name] })

/** `ordered` with all four bodies, the order's salt and the manifest. */
export const withBodies: Bundle.Bundle = {
  ...ordered,
  order: { ...(ordered.order as Bundle.OrderPiece), requestSalt },
  bodies: {
    request: body('request'),
    effective: body('effective'),
    response: body('response'),
    output: body('output'),
  },
  manifest: manifestBytes,
}

/** `ordered` with pledge, checkpoint and two cosignatures. */
export const logged: Bundle.Bundle = {
  ...ordered,
  keys: { node: node.publicKey, log: log.publicKey },
  pledge: { words: pledgeWords, signature: signatures.pledge },
  checkpoint: {
    size,
    root,
    signature: signatures.checkpoint,
    proof: Merkle.inclusionProof(crypto, logLeaves, leafIndex),
    cosignatures: [
      { publicKey: witness.publicKey, signature: signatures.cosign },
      { publicKey: otherWitness.publicKey, signature: signatures.otherCosign },
    ].sort((left, right) => Bytes.compare(left.publicKey, right.publicKey)),
  },
}

/** Everything that the call has; a chain piece can be put in by whoever builds one. */
export function complete(chain?: Bundle.ChainPiece): Bundle.Bundle {
  const whole: Bundle.Bundle = {
    ...logged,
    order: withBodies.order as Bundle.OrderPiece,
    bodies: withBodies.bodies as NonNullable<Bundle.Bundle['bodies']>,
    manifest: manifestBytes,
  }
  return chain === undefined ? whole : { ...whole, chain }
}
