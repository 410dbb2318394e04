/** scene.t.ts - a gateway for tests: toy models, a log in memory, a real store and a real issuer. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Tensor } from 'assay/execution'
import {
  Body,
  Bytes,
  Claims,
  ClaimsTree,
  Cose,
  errors,
  Head,
  LogEntry,
  Order,
  Pledge,
  Slot,
  Wire,
} from 'assay/protocol'
import * as Toy from '../../../../tests/execution/Toy.ts'
import type { Engine } from '../engine/Engine.ts'
import { createRunQueue } from '../engine/RunQueue.ts'
import * as Issuer from '../receipts/Issuer.ts'
import type { ReceiptStore } from '../receipts/ReceiptStore.ts'
import * as SqliteReceiptStore from '../receipts/SqliteReceiptStore.ts'
import * as Gateway from './Gateway.ts'
import * as LeafCache from './LeafCache.ts'
import * as NodeConfig from './NodeConfig.ts'
import type { LogRecord, Served } from './Served.ts'

const filled = (length: number, value: number) => new Uint8Array(length).fill(value)

/** What requests without a socket must call the gateway. */
export const port = 8547
export const host = `127.0.0.1:${port}`
export const nodeSigner = createP256Signer(filled(32, 1))
export const logSigner = createP256Signer(filled(32, 2))
export const clientSigner = createP256Signer(filled(32, 3))
export const domain = { chainId: 31337n, registry: filled(20, 0x11) }
export const anchorLog = filled(20, 0x22)
export const logId = filled(32, 0x44)
export const nodeId = filled(32, 0x55)
/** The newest block's time. */
export const blockSeconds = 1_800_000_000n

/** How the toy language model misbehaves, if it does. */
export type Mischief = {
  /** Fails at this run of the model. */
  failAt?: number
  /** Waits for this before each run of the model. */
  gate?: () => Promise<void>
  /** Refuses to start. */
  refuse?: Error
  /** Runs of the model so far. */
  runs: number
}

export class Down extends errors.UnavailableError<'down'> {
  override readonly name = 'Down'
  constructor() {
    super('down', 'The log is down.')
  }
}

class Broken extends Error {
  readonly code = 'runtime-failed'
}

/** The toys: a chat model exact and native, and a tensor model. */
export function toyEngines(mischief: Mischief = { runs: 0 }): Map<string, Engine> {
  return new Map<string, Engine>([
    ['toy', chatEngine('toy', true, mischief)],
    ['toy-native', chatEngine('toy-native', false, mischief)],
    ['adder', tensorEngine(mischief)],
  ])
}

export const exposure: Served['exposure'] = {
  saw: [{ party: 'node', what: ['request', 'response'], why: 'inference', retentionSeconds: 600 }],
  retentionSeconds: 600,
}

export async function createScene(context: { after: (work: () => Promise<void>) => void }) {
  const folder = mkdtempSync(join(tmpdir(), 'assay-gateway-'))
  const mischief: Mischief = { runs: 0 }
  const engines = toyEngines(mischief)
  const log = createLog()
  const opened = SqliteReceiptStore.open({ folder: join(folder, 'node') })
  const disk = { isFull: false }
  const refuse = async () => {
    throw new Down()
  }
  const store: ReceiptStore = {
    ...opened,
    addHeads: (receipts) => (disk.isFull ? refuse() : opened.addHeads(receipts)),
    refuseIntent: (id) => (disk.isFull ? refuse() : opened.refuseIntent(id)),
  }
  const identity = { ...domain, nodeId, keyEpoch: 0 }
  const issuer = await Issuer.create({
    ...{ crypto, identity, signer: nodeSigner, store, pledgeTimeoutMs: 10_000 },
    ...{ logs: [{ name: 'log', port: log }], timings: { hedgeMs: 50, retryMs: 20, asideMs: 20 } },
  })
  const records: LogRecord[] = []
  const clock = { nowMs: Number(blockSeconds) * 1000, block: blockSeconds as bigint | undefined }
  const leaves = LeafCache.create({ maxBytes: 1024 * 1024, maxAgeMs: 600_000, now: () => clock.nowMs })
  const files = join(folder, 'static')
  mkdirSync(join(files, 'tile', 'entries'), { recursive: true })
  mkdirSync(join(files, 'tile', '0', '000.p'), { recursive: true })
  writeFileSync(join(files, 'checkpoint'), 'a checkpoint\n')
  writeFileSync(join(files, 'tile', '0', '000.p', '1'), filled(32, 7))
  writeFileSync(join(folder, 'secret'), 'not published')
  const served: Served = {
    ...{ crypto, engines, issuer, store, leaves },
    logs: [
      {
        ...{ logId, publicKey: logSigner.publicKey, ed25519: filled(32, 0x66), files },
        unanchored: () => [{ size: 3n, root: filled(32, 8), signature: filled(64, 9) }],
        proof: async ({ index, size }) => {
          if (index > 0n) throw new NotYet()
          const two = filled(32, 1)
          return {
            ...{ size: size ?? 2n, root: two, signature: filled(64, 2), proof: [filled(32, 3)] },
            cosignatures: [{ publicKey: filled(64, 4), signature: filled(64, 5) }],
          }
        },
      },
    ],
    config: NodeConfig.create(crypto, engines.values(), 600),
    newestBlock: () => (clock.block === undefined ? undefined : { number: 7n, timestampSeconds: clock.block }),
    identity: {
      ...{ chainId: domain.chainId, nodeRegistry: domain.registry, anchorLog, operator: filled(20, 0x33) },
      witnesses: [filled(64, 0x77)],
    },
    publicKeyOf: (keyId) =>
      Bytes.equal(keyId, Cose.keyId(crypto, nodeSigner.publicKey)) ? nodeSigner.publicKey : undefined,
    exposure,
    now: () => clock.nowMs,
    random: (length) => new Uint8Array(randomBytes(length)),
    record: (record) => records.push(record),
    notReady: () => (clock.block === undefined ? 'chain' : undefined),
  }
  const gateway = Gateway.create(served, { port })
  context.after(async () => {
    await gateway.close()
    await issuer.close()
    await store.close()
    leaves.clear()
    rmSync(folder, { recursive: true, force: true })
  })
  return { gateway, app: gateway.app, served, mischief, log, disk, records, clock, issuer, store, leaves }
}

export type Scene = Awaited<ReturnType<typeof createScene>>

/** Posts JSON without a socket. */
export function post(scene: Scene, url: string, body: unknown, headers: Readonly<Record<string, string>> = {}) {
  const payload = typeof body === 'string' ? body : JSON.stringify(body)
  return scene.app.inject({
    method: 'POST',
    url,
    payload,
    headers: { host, 'content-type': 'application/json', ...headers },
  })
}

export function get(scene: Scene, url: string, headers: Readonly<Record<string, string>> = {}) {
  return scene.app.inject({ method: 'GET', url, headers: { host, ...headers } })
}

export const chatTarget = '/v1/chat/completions'

/** A chat that the toy answers the same way every time. */
export function chat(change: Readonly<Record<string, unknown>> = {}) {
  return {
    model: 'toy',
    messages: [{ role: 'user', content: 'hello there' }],
    temperature: 0,
    max_tokens: 8,
    ...change,
  }
}

/** An order for a body, with its headers. */
export async function order(
  body: string,
  change: Partial<Order.Order> = {},
  options: { terms?: Order.Terms | null; domain?: Order.Domain; salt?: Uint8Array } = {},
) {
  const salt = options.salt ?? new Uint8Array(randomBytes(16))
  const terms =
    options.terms === null
      ? undefined
      : Order.encodeTerms(options.terms ?? { parties: ['node'], maxRetentionSeconds: 600 })
  const made: Order.Order = {
    nodeId,
    client: Cose.keyId(crypto, clientSigner.publicKey),
    model: Toy.manifestHash,
    requestHash: Body.requestHash(crypto, salt, Bytes.fromUtf8(body)),
    policyCommitment: filled(32, 9),
    modes: 4,
    ...{ asset: filled(20, 0), maxPrice: 0n, nonce: new Uint8Array(randomBytes(16)), notAfter: blockSeconds + 300n },
    exposureTermsHash: terms === undefined ? filled(32, 0) : Order.termsHash(crypto, terms),
    ...{ parentsHash: filled(32, 0), replyKeyHash: filled(32, 0) },
    ...change,
  }
  const hash = Order.hash(crypto, made, options.domain ?? domain)
  const signature = await Cose.sign(crypto, clientSigner, 'order', hash)
  const words = Order.words(made)
  const headers: Record<string, string> = {
    'assay-order': Wire.encodeOrder({ words, signature, publicKey: clientSigner.publicKey }),
    'assay-order-salt': Wire.encodeOrderSalt(salt),
    ...(terms === undefined ? {} : { 'assay-order-terms': Wire.encodeOrderTerms(terms) }),
  }
  return { order: made, hash, headers, salt, nonce: made.nonce }
}

/** Reads what came with an answer, checks signature and claims root, and gives the claims. */
export async function open(
  values: { readonly receipt: string; readonly secret: string; readonly claims: string },
  nonce: Uint8Array = filled(16, 0),
) {
  const { head, signature } = Wire.decodeReceipt(values.receipt)
  await Cose.verify(crypto, {
    tag: 'receipt',
    payload: Head.payload(crypto, head),
    signature,
    publicKey: nodeSigner.publicKey,
  })
  const parsed = Head.parse(head)
  const secret = Wire.decodeSecret(values.secret)
  const claims = Wire.decodeClaims(values.claims)
  const built = ClaimsTree.build(crypto, { secret, nonce, modeBits: parsed.modeBits, values: claims })
  if (!Bytes.equal(built.root, parsed.claimsRoot)) throw new Error('the claims do not give the root')
  const claim = <N extends Claims.Name>(name: N): Claims.ClaimValues[N] | undefined => {
    const value = claims.get(Slot.indexOf(name))
    return value === undefined ? undefined : Claims.decode(name, value)
  }
  const saltOf = (name: Body.Name) => built.salts[Body.saltIndexOf(name)] as Uint8Array
  return {
    head,
    parsed,
    claim,
    claims,
    saltOf,
    secret,
    hash: Bytes.toHex(Head.hash(crypto, head)),
    token: Bytes.toHex(Wire.readToken(crypto, secret)),
  }
}

/** The receipt headers of an answer. */
export function receiptOf(headers: Readonly<Record<string, unknown>>) {
  const value = (name: string) => String(headers[name])
  return { receipt: value('assay-receipt'), secret: value('assay-secret'), claims: value('assay-claims') }
}

function chatEngine(id: string, isExact: boolean, mischief: Mischief): Engine {
  const toy = Toy.createLm()
  const queue = createRunQueue(2)
  const { manifest, manifestBytes, manifestHash, weightsRoot, tokenizer, tokenizerBytes } = Toy
  return {
    ...{ id, isExact, manifest, manifestBytes, manifestHash, weightsRoot, tokenizer, tokenizerBytes },
    ...{ kind: 'causal-lm', name: 'toy', version: '1', build: filled(32, 8), waiting: queue.waiting },
    profile: isExact ? 'onnx-wasm/1' : 'onnx/1',
    lm: {
      async start(signal) {
        if (mischief.refuse !== undefined) throw mischief.refuse
        const release = await queue.acquire(signal)
        const run = await toy.start()
        let count = 0
        return {
          async forward(tokens) {
            mischief.runs++
            await mischief.gate?.()
            if (mischief.failAt === count++) throw new Broken('the prompt was: hello there')
            // As real engines do: the event loop gets its turn.
            await new Promise((resolve) => setImmediate(resolve))
            return run.forward(tokens)
          },
          dispose() {
            run.dispose()
            release()
          },
        }
      },
    },
    close: async () => {},
  }
}

function tensorEngine(mischief: Mischief): Engine {
  const { tensorManifest: manifest, tensorManifestBytes: manifestBytes } = Toy
  const queue = createRunQueue(1)
  return {
    ...{ id: 'adder', isExact: true, manifest, manifestBytes, kind: 'tensor', name: 'toy', version: '1' },
    ...{ manifestHash: crypto.sha256(manifestBytes), weightsRoot: manifest.weightsRoot, build: filled(32, 8) },
    ...{ profile: 'onnx-wasm/1', waiting: queue.waiting },
    async infer([a], signal) {
      const release = await queue.acquire(signal)
      try {
        mischief.runs++
        await mischief.gate?.()
        if (mischief.failAt === 0) throw new Broken('the input was: 4711')
        const values = Tensor.toFloats(a as Tensor.Tensor)
        const sums = Array.from(
          { length: values.length / 2 },
          (_, i) => (values[2 * i] as number) + (values[2 * i + 1] as number),
        )
        return [
          { name: 'sum', datatype: 'FP32', shape: [sums.length], data: Tensor.fromFloats(sums) },
          { name: 'count', datatype: 'INT64', shape: [1], data: Tensor.fromIntegers([BigInt(sums.length)]) },
        ]
      } finally {
        release()
      }
    },
    close: async () => {},
  }
}

function createLog() {
  const heads: Uint8Array[] = []
  const log = {
    heads,
    isDown: false,
    async append(request: { readonly head: Uint8Array }) {
      if (log.isDown) throw new Down()
      const index = BigInt(heads.push(request.head) - 1)
      const leafHash = LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, request.head))
      const pledge = { chainId: domain.chainId, anchorLog, logId, leafHash, leafIndex: index }
      const words = Pledge.words({ ...pledge, issuedAtBlock: 7n, issuedAtBlockHash: filled(32, 7) })
      const signature = await Cose.sign(crypto, logSigner, 'pledge', Pledge.payload(crypto, words))
      return { index, pledge: { words, signature } }
    },
    highest: () => undefined,
  }
  return log
}

class NotYet extends errors.UnavailableError<'not-anchored'> {
  override readonly name = 'NotYet'
  constructor() {
    super('not-anchored', 'No anchored checkpoint of the log covers the entry.', { retryAfterSeconds: 2 })
  }
}
