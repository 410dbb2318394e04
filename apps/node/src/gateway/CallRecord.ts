/**
 * CallRecord.ts - one call from its intent to its receipt: what is committed while it runs, and the claims at its end.
 * Source: spec/receipt.md sections 3 to 5.
 *
 * Order of work: intent durable, then the engine, then claims, then the issuer, then the answer.
 */
import type { Chat } from 'assay/execution'
import { Body, Bytes, Claims, ClaimsTree, Head, Slot } from 'assay/protocol'
import type { Engine } from '../engine/Engine.ts'
import * as Issuer from '../receipts/Issuer.ts'
import { RefusedError } from './ErrorTable.ts'
import { limits } from './limits.ts'
import * as OrderCheck from './OrderCheck.ts'
import type { Outgoing } from './ReceiptOut.ts'
import type { Served } from './Served.ts'

/** What the engine is given, of chat and tensors alike. */
export type Effective = {
  readonly kind: 1 | 2
  readonly leaves: readonly Uint8Array[]
  readonly rewrites: readonly Claims.Rewrite[]
  readonly sampling?: Chat.Prepared['sampling']
}

/** How a call ended. */
export type End = {
  readonly finish: 'stop' | 'length' | 'error' | 'cancelled'
  /** A code of ours, never a message. */
  readonly error?: string
  /** Undefined when no response was begun. */
  readonly response: { readonly status: number; readonly mediaType: string } | undefined
  /** Undefined when nothing came out. */
  readonly output: readonly Uint8Array[] | undefined
  readonly usage: { readonly prompt: number; readonly completion: number }
}

/** A call that may run. */
export type CallRecord = {
  readonly receivedMs: number
  readonly body: Uint8Array
  /** Commits a chunk that is about to be sent. */
  readonly addChunk: (chunk: Uint8Array) => void
  /** The call was refused before it ran: no receipt, and its order counts as unused. */
  readonly refuse: () => Promise<void>
  /** Ends the call with a receipt, pending when no log took it in time. Throws the issuer's errors. */
  readonly end: (end: End) => Promise<Outgoing>
}

/** The mode bits of receipts of an engine. */
function modeBitsOf(engine: Pick<Engine, 'isExact'>): number {
  return engine.isExact ? Head.modes.exact : 0
}

/** Refuses calls while more of them would only wait. */
function assertRoom({ issuer }: Pick<Served, 'issuer'>): void {
  if (issuer.depth() < limits.waitingCalls && issuer.unreleased() < limits.unreleasedHeads) return
  throw new RefusedError(503, 'overloaded', 'Too many receipts wait for the disk or the log.', {
    headers: { 'retry-after': '2' },
  })
}

/**
 * Checks the order and writes the intent; when it returns, the call may run.
 *
 * Throws: `RefusedError`, `OrderUsedError`, and the store's errors.
 */
export async function open(
  served: Served,
  request: {
    readonly target: string
    readonly body: Uint8Array
    readonly headers: OrderCheck.RequestHeaders
    readonly engine: Engine
    readonly effective: Effective
  },
): Promise<CallRecord> {
  const { crypto, store, issuer, identity, exposure } = served
  const { engine, body, target, effective } = request
  const receivedMs = served.now()
  const modeBits = modeBitsOf(engine)
  const { nonce, orderHash } = await OrderCheck.bind(crypto, request.headers, {
    chainId: identity.chainId,
    registry: identity.nodeRegistry,
    nodeId: issuer.identity.nodeId,
    modeBits,
    manifestHash: engine.manifestHash,
    exposure,
    body,
    blockSeconds: served.newestBlock()?.timestampSeconds,
  })
  assertRoom(served)
  const intent = await store.openIntent(target, receivedMs, orderHash)
  const secret = served.random(32)
  const salts = ClaimsTree.salts(crypto, secret, nonce)
  const saltOf = (name: Body.Name) => salts[Body.saltIndexOf(name)] as Uint8Array
  const response = Body.createHasher(crypto, saltOf('response'))
  let isEnded = false

  function claims(end: End): Map<number, Uint8Array> {
    const values = new Map<number, Uint8Array>()
    const put = <N extends Claims.Name>(name: N, value: Claims.ClaimValues[N]) => {
      values.set(Slot.indexOf(name), Claims.encode(name, value))
    }
    put('node', { version: served.config.version, config: served.config.digest })
    if (orderHash !== undefined) put('order', orderHash)
    put('request', {
      method: 'POST',
      target,
      mediaType: 'application/json',
      hash: Body.requestHash(crypto, saltOf('request'), body),
      bytes: BigInt(body.length),
    })
    put('effectiveRequest', {
      kind: effective.kind,
      root: Body.root(crypto, saltOf('effective'), effective.leaves),
      count: effective.leaves.length,
      rewrites: effective.rewrites,
    })
    if (end.response !== undefined) {
      const { status, mediaType } = end.response
      put('response', {
        ...{ status, mediaType, root: response.root(), chunks: response.count(), bytes: response.byteLength() },
      })
    }
    if (end.output !== undefined) {
      const root = Body.root(crypto, saltOf('output'), end.output)
      put('output', { kind: effective.kind, root, count: end.output.length })
    }
    put('model', engine.manifestHash)
    put('weights', engine.weightsRoot)
    const { name, version, build, profile } = engine
    const { sampling } = effective
    put('engine', { name, version, build, profile, ...(sampling === undefined ? {} : { sampling }) })
    put('exposure', exposure)
    put('outcome', {
      finish: end.finish,
      error: end.error ?? null,
      usage: { prompt: BigInt(end.usage.prompt), completion: BigInt(end.usage.completion) },
      receivedMs: BigInt(receivedMs),
      // A clock that was set back must not say that the call ended before it began.
      completedMs: BigInt(Math.max(receivedMs, served.now())),
      clock: 'node',
    })
    return values
  }

  async function end(how: End): Promise<Outgoing> {
    if (isEnded) throw new Error('a call ends once')
    isEnded = true
    const values = claims(how)
    const flags = how.finish === 'error' || how.finish === 'cancelled' ? Head.flags.notCompleted : 0
    const keep = (receiptHash: Uint8Array) =>
      served.leaves.put(Bytes.toHex(receiptHash), { effective: effective.leaves, output: how.output ?? [] })
    try {
      const issued = await issuer.issue({ intent, modeBits, flags, values, secret, nonce, orderHash })
      keep(issued.receiptHash)
      return { ...issued, secret, isPending: false }
    } catch (error) {
      if (!(error instanceof Issuer.PendingError)) throw error
      keep(error.receiptHash)
      return { isPending: true, receiptHash: error.receiptHash, secret }
    }
  }

  return {
    receivedMs,
    body,
    addChunk: response.push,
    async refuse() {
      isEnded = true
      await store.refuseIntent(intent)
    },
    end,
  }
}
