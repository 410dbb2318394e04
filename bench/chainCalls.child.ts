/**
 * chainCalls.child.ts - the clients of the load: plain calls at a fixed rate, and beside them the library's own client, which follows
 * one receipt after the other to `final`. In a process of its own, whose memory is watched as well.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Rpc, TrustAnchors } from 'assay/chain'
import { ChainAccess, Client, Stores } from 'assay/client'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, Pledge, Wire } from 'assay/protocol'
import { policies } from 'assay/verify'
import { Agent, request } from 'undici'
import type { Started } from './chainDaemon.child.ts'

/** What the parent asks for. */
export type Ask = { readonly daemon: Started; readonly seconds: number; readonly perSecond: number }

/** One receipt: its log (hex), its index there, and when it had come, milliseconds since 1970. */
export type Came = { readonly log: string; readonly index: number; readonly atMs: number }

/** Messages to the parent. */
export type Told =
  | { readonly kind: 'came'; readonly receipts: readonly Came[] }
  | { readonly kind: 'followed'; readonly ms: number }
  | {
      readonly kind: 'end'
      readonly sent: number
      readonly refused: number
      readonly pending: number
      readonly seconds: number
    }
  | { readonly kind: 'error'; readonly error: string }

const target = '/v2/models/digits/infer'
/** Below the length of the engine's line, so that no call is refused because many come at once. */
const connections = 12
const tell = (told: Told) => void process.send?.(told)
const nowMs = () => performance.timeOrigin + performance.now()

/** The body of a call: an image that the model reads in a moment, so that what surrounds it shows. */
async function makeBody(gateway: string): Promise<Uint8Array> {
  const described = (await (await fetch(`${gateway}/v2/models/digits`)).json()) as {
    readonly inputs: readonly { readonly name: string; readonly shape: readonly number[] }[]
  }
  const [input] = described.inputs
  if (input === undefined) throw new Error('the model has no input')
  const shape = input.shape.map((dim) => (dim === -1 ? 1 : dim))
  const data = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i % 17)
  return Bytes.fromUtf8(JSON.stringify({ inputs: [{ name: input.name, shape, datatype: 'FP32', data }] }))
}

async function load({ daemon, seconds, perSecond }: Ask, body: Uint8Array): Promise<void> {
  const agent = new Agent({ connections, pipelining: 1 })
  const headers = { 'content-type': 'application/json' }
  const counts = { sent: 0, refused: 0, pending: 0 }
  let came: Came[] = []
  let open = 0
  const call = async () => {
    const answer = await request(`${daemon.gateway}${target}`, { method: 'POST', headers, body, dispatcher: agent })
    await answer.body.dump()
    const pledge = answer.headers['assay-pledge']
    if (answer.statusCode !== 200) counts.refused++
    else if (typeof pledge !== 'string') counts.pending++
    else {
      const { logId, leafIndex } = Pledge.parse(Wire.decodePledge(pledge).words)
      came.push({ log: Bytes.toHex(logId), index: Number(leafIndex), atMs: nowMs() })
    }
  }
  const startedMs = performance.now()
  const running = new Set<Promise<void>>()
  while (performance.now() - startedMs < seconds * 1000) {
    const due = Math.floor(((performance.now() - startedMs) / 1000) * perSecond)
    // What could not be sent in time is sent as soon as a connection is free; the rate that was reached is reported.
    for (; counts.sent < due && open < connections; counts.sent++) {
      open++
      const one = call().finally(() => {
        open--
        running.delete(one)
      })
      running.add(one)
      one.catch(() => {})
    }
    if (came.length >= 50) {
      tell({ kind: 'came', receipts: came })
      came = []
    }
    await sleep(4)
  }
  await Promise.all(running)
  tell({ kind: 'came', receipts: came })
  tell({ kind: 'end', ...counts, seconds: (performance.now() - startedMs) / 1000 })
  await agent.close()
}

/** The library's client, one call after the other, each followed until its verdict under `embedded` is MEETS. */
async function follow({ daemon, seconds }: Ask, body: Uint8Array): Promise<void> {
  const [anchors] = TrustAnchors.parse(daemon.anchors)
  if (anchors === undefined) throw new Error('no trust anchors')
  const rpc = Rpc.create({ url: daemon.chain, chainId: anchors.chainId })
  const client = Client.create({
    ...{ baseUrl: daemon.gateway, crypto, policy: policies.embedded },
    ...{ anchors: Stores.memoryAnchorStore([anchors]), pending: Stores.memoryPendingStore() },
    signer: createP256Signer(new Uint8Array(32).fill(5)),
    random: (length) => new Uint8Array(randomBytes(length)),
    names: { operators: [Bytes.fromHex(daemon.operator)], witnesses: [Bytes.fromHex(daemon.witness)], rewrites: [] },
    chain: ChainAccess.overRpc(crypto, rpc, anchors),
  })
  const startedMs = performance.now()
  while (performance.now() - startedMs < seconds * 1000) {
    const graded = await client.call(target, body)
    const cameMs = performance.now()
    await graded.meets(policies.embedded, { waitSeconds: 60 })
    tell({ kind: 'followed', ms: performance.now() - cameMs })
  }
}

process.once('message', (ask: Ask) => {
  const work = async () => {
    const body = await makeBody(ask.daemon.gateway)
    await Promise.all([load(ask, body), follow(ask, body)])
  }
  work().catch((error: Error) => tell({ kind: 'error', error: error.message }))
})
