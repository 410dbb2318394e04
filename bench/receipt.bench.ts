/**
 * receipt.bench.ts - what a receipt costs a node: from the end of the engine's run to the answer that may leave.
 *
 * The real issuer, log and witness in three folders, each with its SQLite file and its syncs; only the chain is a
 * variable. Calls come 64 at a time, as from as many clients.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as Parallel from '@assay/node/log/Parallel'
import * as SqliteLogStore from '@assay/node/log/SqliteLogStore'
import * as scene from '@assay/node/log/scene'
import * as Tree from '@assay/node/log/Tree'
import * as Issuer from '@assay/node/receipts/Issuer'
import type { StoredReceipt } from '@assay/node/receipts/ReceiptStore'
import * as SqliteReceiptStore from '@assay/node/receipts/SqliteReceiptStore'
import { crypto } from 'assay/crypto/node'
import { Body, Bytes, Claims, ClaimsTree, Cose, type Crypto, Head, LogEntry, Slot, Wire } from 'assay/protocol'
import * as Measure from './Measure.ts'
import * as Result from './Result.ts'

const concurrency = 64
const promptTokens = Array.from({ length: 32 }, (_, i) => i)
const outputTokens = Array.from({ length: 24 }, (_, i) => i)
const requestBody = Bytes.fromUtf8('{"model":"tiny","messages":[{"role":"user","content":"What is a receipt?"}]}')
const responseBody = new Uint8Array(480).fill(0x61)
const digest = (i: number): Uint8Array => crypto.sha256(Bytes.u32(i >>> 0))
const headIdentity = {
  ...{ chainId: scene.identity.chainId, registry: scene.identity.registry, nodeId: scene.nodeId, keyEpoch: 0 },
}

/** Roots of the four bodies. */
type Roots = { readonly request: Uint8Array; readonly effective: Uint8Array; readonly response: Uint8Array } & {
  readonly output: Uint8Array
}

const fixedRoots: Roots = { request: digest(1), effective: digest(2), response: digest(3), output: digest(4) }

/** The eleven claims of a plain chat call, encoded. */
function claims(i: number, roots: Roots): Map<number, Uint8Array> {
  const values = new Map<number, Uint8Array>()
  const put = <N extends Claims.Name>(name: N, value: Claims.ClaimValues[N]) => {
    values.set(Slot.indexOf(name), Claims.encode(name, value))
  }
  const outputCount = outputTokens.length
  put('node', { version: '0.1.0', config: digest(5) })
  put('order', digest(i))
  put('request', {
    ...{ method: 'POST', target: '/v1/chat/completions', mediaType: 'application/json' },
    ...{ hash: roots.request, bytes: BigInt(requestBody.length) },
  })
  put('effectiveRequest', { kind: 1, root: roots.effective, count: promptTokens.length + 1, rewrites: [] })
  put('response', {
    ...{ status: 200, mediaType: 'application/json', root: roots.response },
    ...{ chunks: 1, bytes: BigInt(responseBody.length) },
  })
  put('output', { kind: 1, root: roots.output, count: outputCount })
  put('model', digest(6))
  put('weights', digest(7))
  put('engine', {
    ...{ name: 'onnxruntime-web', version: '1.30.0', build: digest(8), profile: 'onnx-wasm/1' },
    sampling: { seed: 0n, temperature: '0', topP: '1' },
  })
  put('exposure', {
    saw: [{ party: 'node', what: ['request', 'response'], why: 'inference', retentionSeconds: 600 }],
    retentionSeconds: 600,
  })
  put('outcome', {
    ...{ finish: 'stop', error: null, usage: { prompt: 32n, completion: BigInt(outputCount) } },
    ...{ receivedMs: 1_900_000_000_000n, completedMs: 1_900_000_000_000n + BigInt(i), clock: 'node' },
  })
  return values
}

function bodyRoots(secret: Uint8Array, nonce: Uint8Array): Roots {
  const salts = ClaimsTree.salts(crypto, secret, nonce)
  const saltOf = (name: Body.Name) => salts[Body.saltIndexOf(name)] as Uint8Array
  const response = Body.createHasher(crypto, saltOf('response'))
  response.push(responseBody)
  const effective = [digest(9), ...Body.tokenLeaves(promptTokens)]
  return {
    request: Body.requestHash(crypto, saltOf('request'), requestBody),
    effective: Body.root(crypto, saltOf('effective'), effective),
    response: response.root(),
    output: Body.root(crypto, saltOf('output'), Body.tokenLeaves(outputTokens)),
  }
}

/** A node's issuer over a log and its witness, on real folders. */
async function openStation(folder: string, parts: { readonly crypto: Crypto; readonly logSigner: Cose.Signer }) {
  const chain = scene.createChain()
  const both = await scene.openBoth(folder, chain, { crypto: parts.crypto, signer: parts.logSigner })
  const store = SqliteReceiptStore.open({ folder: join(folder, 'node') })
  const issuer = await Issuer.create({
    ...{ crypto: parts.crypto, identity: headIdentity, signer: scene.signers.node, store },
    logs: [{ name: 'log', port: both.log }],
    // A slow disk must show as time, not as a call that is answered later.
    pledgeTimeoutMs: 60_000,
  })
  return {
    chain,
    issuer,
    store,
    close: async () => {
      await issuer.close()
      await both.close()
      await store.close()
    },
  }
}

type Station = Awaited<ReturnType<typeof openStation>>

async function issueOne({ issuer }: Station, i: number): Promise<unknown> {
  const values = claims(i, fixedRoots)
  const nonce = Bytes.u32(i)
  return issuer.issue({
    ...{ intent: 0, modeBits: Head.modes.exact, flags: 0, values, secret: digest(i) },
    ...{ nonce: Bytes.concat(nonce, new Uint8Array(12)), orderHash: undefined },
  })
}

/** With the intent before and the commitments to bodies, as the gateway does it. */
async function serveOne({ issuer, store }: Station, i: number): Promise<unknown> {
  const orderHash = digest(i)
  const nonce = Bytes.concat(Bytes.u32(i), new Uint8Array(12))
  const secret = digest(i + 1)
  const intent = await store.openIntent('/v1/chat/completions', i, orderHash)
  const values = claims(i, bodyRoots(secret, nonce))
  return issuer.issue({ intent, modeBits: Head.modes.exact, flags: 0, values, secret, nonce, orderHash })
}

/** `concurrency` callers, each with one call at a time. */
async function inFlight(station: Station, one: typeof issueOne, count: number, start: number): Promise<number> {
  station.chain.seenAtMs = Date.now()
  let next = start
  const caller = async () => {
    while (next < start + count) Measure.consume(await one(station, next++))
  }
  await Promise.all(Array.from({ length: concurrency }, caller))
  return count
}

async function measureWhole(folder: string, isQuick: boolean): Promise<readonly Result.Result[]> {
  const pool = Parallel.create({ base: crypto })
  const stations = {
    alone: await openStation(join(folder, 'alone'), { crypto, logSigner: scene.signers.log }),
    pooled: await openStation(join(folder, 'pooled'), {
      ...{ crypto: pool.crypto, logSigner: pool.createSigner(new Uint8Array(32).fill(3)) },
    }),
    served: await openStation(join(folder, 'served'), { crypto, logSigner: scene.signers.log }),
  }
  const iterations = 512
  const subject = (name: keyof typeof stations, one: typeof issueOne): Measure.Subject => {
    return { name, iterations, runSample: (count, start) => inFlight(stations[name], one, count, start) }
  }
  const timings = await Measure.interleave(
    [subject('alone', issueOne), subject('pooled', issueOne), subject('served', serveOne)],
    { samples: isQuick ? 5 : 15, warmUp: 4 },
  )
  for (const station of Object.values(stations)) await station.close()
  await pool.close()
  const input = `11 claims, ${concurrency} calls in flight, ${iterations} calls a sample`
  const line = (name: keyof typeof stations, title: string, note: string, goal?: Result.Goal) => {
    const timing = timings.get(name) as Measure.Timing
    const perSecond = Math.round(1e6 / timing.wall.median)
    return Result.of({
      ...{ name: title, unit: 'us CPU a call', input, timing, note: `${note}; ${perSecond} calls a second` },
      ...(goal === undefined ? {} : { goal }),
    })
  }
  return [
    line(
      'alone',
      'receipt path',
      'claims, tree, head and pledge signatures (each head checked twice), entry, mirror, group commits; one thread',
      { atMost: 350 },
    ),
    line('pooled', 'receipt path, ES256 on workers', 'the same with signatures on worker threads, their CPU included'),
    line('served', 'receipt path with intent and bodies', 'as the gateway does it: intent synced first, bodies hashed'),
  ]
}

async function measureParts(folder: string, isQuick: boolean): Promise<readonly Result.Result[]> {
  const values = claims(7, fixedRoots)
  const nonce = new Uint8Array(16).fill(3)
  const keyId = Cose.keyId(crypto, scene.signers.node.publicKey)
  const { publicKey } = scene.signers.node
  const built = ClaimsTree.build(crypto, { values, secret: digest(1), nonce, modeBits: 4 })
  const headOf = (i: number) =>
    Head.serialize({
      ...headIdentity,
      ...{ sequence: BigInt(i), modeBits: 4, flags: 0, claimsRoot: built.root },
      previous: i === 0 ? new Uint8Array(32) : digest(i),
    })
  const head = headOf(1)
  const payload = Head.payload(crypto, head)
  const signature = await Cose.sign(crypto, scene.signers.node, 'receipt', payload)
  const message = Cose.sigStructure('receipt', payload)
  const store = SqliteReceiptStore.open({ folder: join(folder, 'parts-node') })
  const { logId } = scene.identity
  const logStores = ['parts-log', 'parts-mirror'].map((name) =>
    SqliteLogStore.open({ folder: join(folder, name), kind: 'bench', logId, crypto }),
  )
  let tree = Tree.empty

  const stored = (i: number): StoredReceipt => ({
    ...{ keyId, sequence: BigInt(i), receiptHash: digest(i), head, secret: digest(1), orderHash: undefined },
    nonce: new Uint8Array(16),
    ...{ claims: Bytes.fromBase64url(Wire.encodeClaims(values)), intent: 0, released: undefined },
  })
  async function storeReceipts(count: number, start: number): Promise<number> {
    for (let from = start; from < start + count; from += concurrency) {
      const group = Array.from({ length: concurrency }, (_, i) => stored(from + i))
      await store.addHeads(group)
      const released = { signature, pledgeWords: new Uint8Array(224), pledgeSignature: signature, leafIndex: 1n }
      await Promise.all(group.map(({ receiptHash }) => store.release(receiptHash, released)))
    }
    return count
  }
  async function storeEntries(count: number, start: number): Promise<number> {
    for (let from = start; from < start + count; from += concurrency) {
      const entries = Array.from({ length: concurrency }, (_, i) => ({
        ...{ index: BigInt(from + i), head: headOf(from + i), signature, publicKey },
        ...{ issuedAtBlock: 100n, issuedAtBlockHash: scene.blockHash(100n) },
      }))
      const leaves = entries.map((entry) => LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, entry.head)))
      const appended = Tree.append(crypto, tree, leaves)
      tree = appended.tree
      for (const one of logStores) one.write({ entries, tiles: appended.completed })
      logStores[0]?.write({ pledges: entries.map(({ index }) => ({ index, signature })) })
    }
    return count
  }

  const subjects: readonly (Measure.Subject & { readonly note: string })[] = [
    { name: 'claims', iterations: 200, run: (i) => claims(i, fixedRoots).size, note: '11 values encoded' },
    {
      ...{ name: 'tree', iterations: 200, note: '20 salts, 16 leaves, root' },
      run: () => ClaimsTree.build(crypto, { values, secret: digest(1), nonce, modeBits: 4 }).root,
    },
    {
      ...{ name: 'head', iterations: 1000, note: 'serialize, hash, payload' },
      run: (i) => Head.payload(crypto, headOf(i)),
    },
    { name: 'sign', iterations: 100, run: () => scene.signers.node.sign(message), note: 'ES256; two a call' },
    {
      ...{ name: 'check', iterations: 100, note: 'ES256; two a call: the own head, and the log' },
      run: () => Cose.verify(crypto, { tag: 'receipt', payload, signature, publicKey }),
    },
    {
      ...{ name: 'bodies', iterations: 100, note: `${promptTokens.length} + ${outputTokens.length} tokens` },
      run: (i) => bodyRoots(digest(i), nonce).output,
    },
    { name: 'sqlite, node', iterations: 512, runSample: storeReceipts, note: 'two syncs a group of 64' },
    {
      name: 'sqlite, log and mirror',
      iterations: 512,
      runSample: storeEntries,
      note: 'three syncs a group of 64, tiles',
    },
    { name: 'sha256', iterations: 4000, run: (i) => digest(i), note: 'of 4 bytes, the floor of every hash' },
  ]
  const timings = await Measure.interleave(subjects, { samples: isQuick ? 5 : 11, warmUp: 6 })
  await store.close()
  for (const one of logStores) one.close()
  return subjects.map(({ name, note, iterations }) =>
    Result.of({
      ...{ name: `receipt part: ${name}`, unit: 'us CPU', note, input: `${iterations} a sample` },
      timing: timings.get(name) as Measure.Timing,
    }),
  )
}

export const run: Result.Suite = async ({ isQuick }) => {
  const folder = mkdtempSync(join(tmpdir(), 'assay-bench-receipt-'))
  try {
    const whole = await measureWhole(folder, isQuick)
    return [...whole, ...(await measureParts(folder, isQuick))]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
