/**
 * World.ts - a whole world in memory for tests of verdicts: keys, a node, a log, a witness, a chain state with real tries, and
 * one receipt with everything that speaks for it. Every part can be changed before what depends on it is signed, so a
 * test can break one thing and keep the rest true. Keys come from names; nothing here is random.
 */
import { Header, Layout, type TrustAnchors } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import {
  Body,
  Bundle,
  Bytes,
  Checkpoint,
  type Claims,
  ClaimsTree,
  Claims as ClaimValues,
  Cose,
  Head,
  Identity,
  LogEntry,
  Manifest,
  Merkle,
  Order,
  Pledge,
  Slot,
} from 'assay/protocol'
import type { Reader } from 'assay/verify'
import * as Signer from './Signer.ts'
import * as Stake from './Stake.ts'
import { createState, headerRlp } from './Trie.ts'

export { crypto }

export const digestOf = (name: string): Uint8Array => crypto.sha256(Bytes.fromUtf8(name))
export const signerOf = (name: string): Cose.Signer => Signer.create(digestOf(`assay test key ${name}`))

export const chainId = 31_337n
export const registry = digestOf('registry').slice(0, 20)
export const anchorLog = digestOf('anchor log').slice(0, 20)
export const nodeOperator = digestOf('node operator').slice(0, 20)
export const logOperator = digestOf('log operator').slice(0, 20)
export const registryCode = crypto.keccak256(Bytes.fromUtf8('registry code'))
export const anchorLogCode = crypto.keccak256(Bytes.fromUtf8('anchor log code'))
export const nodeId = Identity.nodeId(crypto, { chainId, registry, operator: nodeOperator, n: 0n })
export const logId = Identity.logId(crypto, {
  chainId,
  anchorLog,
  instance: digestOf('instance'),
  operator: logOperator,
  n: 0n,
})
export const signers = {
  node: signerOf('node'),
  log: signerOf('log'),
  witness: signerOf('witness'),
  client: signerOf('client'),
  stranger: signerOf('stranger'),
}
export const keyIdOf = (signer: Cose.Signer): Uint8Array => Cose.keyId(crypto, signer.publicKey)

export const requestBody = Bytes.fromUtf8(
  '{"model":"tiny","messages":[{"role":"user","content":"Hello"}],"temperature":0}',
)
const responseBody = Bytes.fromUtf8('{"id":"chatcmpl-0123456789abcdef0123456789abcdef","object":"chat.completion"}')
const secret = digestOf('call secret')
const nonce = digestOf('nonce').slice(0, 16)

/** What a test may change; every field has a true default. */
export type Changes = {
  readonly head?: Partial<Head.Head>
  readonly values?: (values: Map<number, Uint8Array>) => void
  readonly claims?: Partial<{ -readonly [K in keyof Claims.ClaimValues]: Claims.ClaimValues[K] | null }>
  readonly salts?: (salts: Uint8Array[]) => void
  readonly order?: Partial<Order.Order>
  readonly orderSigner?: Cose.Signer
  readonly orderTag?: Cose.Tag
  readonly terms?: Order.Terms
  readonly headSigner?: Cose.Signer
  readonly headTag?: Cose.Tag
  readonly pledge?: Partial<Pledge.Pledge>
  readonly pledgeSigner?: Cose.Signer
  readonly checkpointSigner?: Cose.Signer
  readonly cosignSigner?: Cose.Signer
  readonly cosignTag?: Cose.Tag
  readonly keyRecord?: Partial<{
    keyId: Uint8Array
    operator: Uint8Array
    role: number
    validFrom: bigint
    validUntil: bigint
  }>
  readonly logRecord?: Partial<{ keyId: Uint8Array; operator: Uint8Array; pledgeBlocks: bigint }>
  readonly step?: Partial<{ root: Uint8Array; blockNumber: bigint }>
  readonly header?: Partial<{ number: bigint; timestampSeconds: bigint }>
  readonly registryCode?: Uint8Array
  /** Stake behind node and log; without it the world has no such contracts. */
  readonly stake?: Stake.Changes
  readonly requestBytes?: Uint8Array
  readonly logSize?: number
  readonly rewrites?: readonly Claims.Rewrite[]
}

export type World = {
  readonly bundle: Bundle.Bundle
  readonly bytes: Uint8Array
  readonly reader: Reader.Reader
  readonly leafHash: Uint8Array
  readonly leaves: readonly Uint8Array[]
  readonly receiptHash: Uint8Array
}

/** Builds the world with one bundle that holds every piece (bodies, manifest, cosignature, chain proof). */
export async function create(changes: Changes = {}): Promise<World> {
  const salts = ClaimsTree.salts(crypto, secret, nonce)
  const saltOf = (name: Body.Name) => salts[Body.saltIndexOf(name)] as Uint8Array
  const requestBytes = changes.requestBytes ?? requestBody
  const effectiveLeaves = [Bytes.fromHex('a201100280'), ...Body.tokenLeaves([0, 3, 7, 4, 3])]
  const outputLeaves = Body.tokenLeaves([9, 8, 4])
  const manifest = manifestBytes()
  const terms = Order.encodeTerms(changes.terms ?? { parties: ['node'], maxRetentionSeconds: 600 })

  const requestSalt = digestOf('request salt').slice(0, 16)
  const orderFields: Order.Order = {
    nodeId,
    client: keyIdOf(changes.orderSigner ?? signers.client),
    model: Manifest.hash(crypto, manifest),
    requestHash: Body.requestHash(crypto, requestSalt, requestBody),
    policyCommitment: digestOf('policy'),
    modes: 0,
    asset: new Uint8Array(20),
    maxPrice: 0n,
    nonce,
    notAfter: 2_000_000_000n,
    exposureTermsHash: Order.termsHash(crypto, terms),
    parentsHash: new Uint8Array(32),
    replyKeyHash: new Uint8Array(32),
    ...changes.order,
  }
  const orderHash = Order.hash(crypto, orderFields, { chainId, registry })
  const orderSigner = changes.orderSigner ?? signers.client
  const orderSignature = await Cose.sign(crypto, orderSigner, changes.orderTag ?? 'order', orderHash)

  const claims: { [K in keyof Claims.ClaimValues]?: Claims.ClaimValues[K] | null } = {
    node: { version: '0.1.0', config: digestOf('config') },
    order: orderHash,
    request: {
      method: 'POST',
      target: '/v1/chat/completions',
      mediaType: 'application/json',
      hash: Body.root(crypto, saltOf('request'), [requestBytes]),
      bytes: BigInt(requestBytes.length),
    },
    effectiveRequest: {
      kind: 1,
      root: Body.root(crypto, saltOf('effective'), effectiveLeaves),
      count: effectiveLeaves.length,
      rewrites: changes.rewrites ?? [],
    },
    response: {
      status: 200,
      mediaType: 'application/json',
      root: Body.root(crypto, saltOf('response'), [responseBody]),
      chunks: 1,
      bytes: BigInt(responseBody.length),
    },
    output: { kind: 1, root: Body.root(crypto, saltOf('output'), outputLeaves), count: outputLeaves.length },
    model: Manifest.hash(crypto, manifest),
    weights: digestOf('weights'),
    engine: {
      name: 'onnxruntime-web',
      version: '1.30.0',
      build: digestOf('build'),
      profile: 'onnx-wasm/1',
      sampling: { seed: 0n, temperature: '0', topP: '1' },
    },
    exposure: {
      saw: [{ party: 'node', what: ['request', 'response'], why: 'inference', retentionSeconds: 600 }],
      retentionSeconds: 600,
    },
    outcome: {
      finish: 'stop',
      error: null,
      usage: { prompt: 5n, completion: 3n },
      receivedMs: 1n,
      completedMs: 2n,
      clock: 'system',
    },
    ...changes.claims,
  } as never
  const values = new Map<number, Uint8Array>()
  for (const [name, value] of Object.entries(claims))
    if (value !== null && value !== undefined)
      values.set(Slot.indexOf(name as Slot.Name), ClaimValues.encode(name as never, value as never))
  changes.values?.(values)
  const slotSalts = salts.slice(0, 16).map((salt) => salt.slice())
  changes.salts?.(slotSalts)
  const leaves16 = Slot.names.map((_, slot) => {
    const value = values.get(slot)
    return value === undefined
      ? ClaimsTree.unusedLeaf(crypto, slot)
      : ClaimsTree.leaf(crypto, slot, slotSalts[slot] as Uint8Array, value)
  })
  const headFields: Head.Head = {
    chainId,
    registry,
    nodeId,
    keyEpoch: 0,
    sequence: 0n,
    previous: new Uint8Array(32),
    modeBits: 4,
    flags: 0,
    claimsRoot: ClaimsTree.root(crypto, leaves16),
    ...changes.head,
  }
  const head = Head.serialize(headFields)
  const headSigner = changes.headSigner ?? signers.node
  const signature = await Cose.sign(crypto, headSigner, changes.headTag ?? 'receipt', Head.payload(crypto, head))

  const leafHash = LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, head))
  const size = changes.logSize ?? 7
  const index = 3
  const leaves = Array.from({ length: size }, (_, i) => (i === index ? leafHash : digestOf(`leaf ${i}`)))
  const root = Merkle.root(crypto, leaves)
  const pledgeFields: Pledge.Pledge = {
    chainId,
    anchorLog,
    logId,
    leafHash,
    leafIndex: BigInt(index),
    issuedAtBlock: 100n,
    issuedAtBlockHash: digestOf('block 100'),
    ...changes.pledge,
  }
  const pledgeWords = Pledge.words(pledgeFields)
  const pledgeSignature = await Cose.sign(
    crypto,
    changes.pledgeSigner ?? signers.log,
    'pledge',
    Pledge.payload(crypto, pledgeWords),
  )
  const statement = Checkpoint.payload(
    crypto,
    Checkpoint.words({ chainId, anchorLog, logId, size: BigInt(size), root }),
  )
  const checkpointSignature = await Cose.sign(crypto, changes.checkpointSigner ?? signers.log, 'checkpoint', statement)
  const cosignature = await Cose.sign(
    crypto,
    changes.cosignSigner ?? signers.witness,
    changes.cosignTag ?? 'cosign',
    statement,
  )

  const key = {
    keyId: keyIdOf(signers.node),
    operator: nodeOperator,
    role: 1,
    validFrom: 90n,
    validUntil: 0n,
    ...changes.keyRecord,
  }
  const log = { keyId: keyIdOf(signers.log), operator: logOperator, pledgeBlocks: 600n, ...changes.logRecord }
  const step = { root, blockNumber: 105n, ...changes.step }
  const word = (value: bigint) => Bytes.u256(value)
  const operatorWord = (operator: Uint8Array) => Bytes.toBigInt(operator)
  const keySlots = Layout.keyRecordSlots(crypto, nodeId, headFields.keyEpoch)
  const logSlots = Layout.logRecordSlots(crypto, logId)
  const stepSlots = Layout.stepSlots(crypto, logId, BigInt(size))
  const subjects = { node: { id: nodeId, operator: nodeOperator }, log: { id: logId, operator: logOperator } }
  const state = await createState([
    ...(changes.stake === undefined ? [] : Stake.accounts(subjects, changes.stake)),
    {
      address: registry,
      codeHash: changes.registryCode ?? registryCode,
      storage: new Map([
        [Bytes.toHex(keySlots[0]), key.keyId],
        [
          Bytes.toHex(keySlots[1]),
          word(
            operatorWord(key.operator) |
              (BigInt(key.role) << 160n) |
              (key.validFrom << 168n) |
              (key.validUntil << 208n),
          ),
        ],
      ]),
    },
    {
      address: anchorLog,
      codeHash: anchorLogCode,
      storage: new Map([
        [Bytes.toHex(logSlots[0]), log.keyId],
        [Bytes.toHex(logSlots[1]), word(operatorWord(log.operator) | (log.pledgeBlocks << 160n))],
        [Bytes.toHex(stepSlots[0]), step.root],
        [Bytes.toHex(stepSlots[1]), word(step.blockNumber)],
      ]),
    },
  ])
  const headerFields = { number: 110n, timestampSeconds: 1_900_000_000n, ...changes.header }
  const header = headerRlp({ stateRoot: state.root, ...headerFields })
  const blockHash = Header.hash(crypto, header)

  const bundle: Bundle.Bundle = {
    receipt: { head, signature },
    disclosed: new Map([...values].map(([slot, value]) => [slot, { salt: slotSalts[slot] as Uint8Array, value }])),
    hidden: new Map(),
    order: {
      words: Order.words(orderFields),
      signature: orderSignature,
      publicKey: orderSigner.publicKey,
      terms,
      requestSalt,
    },
    pledge: { words: pledgeWords, signature: pledgeSignature },
    checkpoint: {
      size: BigInt(size),
      root,
      signature: checkpointSignature,
      proof: Merkle.inclusionProof(crypto, leaves, BigInt(index)),
      cosignatures: [{ publicKey: (changes.cosignSigner ?? signers.witness).publicKey, signature: cosignature }],
    },
    keys: { node: headSigner.publicKey, log: signers.log.publicKey },
    chain: {
      header,
      blockHash,
      registry: {
        account: await state.account(registry),
        word0: await state.storage(registry, keySlots[0]),
        word1: await state.storage(registry, keySlots[1]),
      },
      anchorLog: {
        account: await state.account(anchorLog),
        record0: await state.storage(anchorLog, logSlots[0]),
        record1: await state.storage(anchorLog, logSlots[1]),
        step0: await state.storage(anchorLog, stepSlots[0]),
        step1: await state.storage(anchorLog, stepSlots[1]),
      },
      ...(changes.stake === undefined ? {} : { stake: await Stake.piece(state, subjects) }),
    },
    bodies: {
      request: { salt: saltOf('request'), leaves: [requestBytes] },
      effective: { salt: saltOf('effective'), leaves: effectiveLeaves },
      response: { salt: saltOf('response'), leaves: [responseBody] },
      output: { salt: saltOf('output'), leaves: outputLeaves },
    },
    manifest,
  }
  const anchors: TrustAnchors.TrustAnchors = {
    chainId,
    nodeRegistry: { address: registry, codeHash: registryCode },
    anchorLog: { address: anchorLog, codeHash: anchorLogCode },
    ...(changes.stake === undefined ? {} : { stake: Stake.contracts }),
    finality: 'development',
    headers: [{ number: headerFields.number, hash: blockHash }],
  }
  const reader: Reader.Reader = {
    anchors: [anchors],
    witnesses: [keyIdOf(signers.witness)],
    operators: [nodeOperator],
    rewrites: [],
  }
  return { bundle, bytes: Bundle.serialize(bundle), reader, leafHash, leaves, receiptHash: Head.hash(crypto, head) }
}

function manifestBytes(): Uint8Array {
  return Manifest.serialize({
    version: 1,
    name: 'tiny',
    kind: 'causal-lm',
    weightsRoot: digestOf('weights'),
    files: [
      { path: 'model.onnx', bytes: 1n, sha256: digestOf('model') },
      { path: 'tokenizer.json', bytes: 1n, sha256: digestOf('tokenizer') },
    ],
    licence: 'Apache-2.0',
    architecture: { layers: 1, heads: 1, headDim: 8, vocab: 16, context: 64 },
    template: { name: 'role-tokens/1', bos: 0, system: 1, user: 2, assistant: 3, end: 4 },
    defaults: { temperature: '0', topP: '1', maxTokens: 16 },
    graph: 'model.onnx',
    tokenizer: 'tokenizer.json',
  } as never)
}
