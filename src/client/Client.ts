/**
 * Client.ts - calls a gateway and hands out answers only against a verdict. Source: spec/wire.md, spec/verdict.md.
 */
import * as Bundle from '../protocol/Bundle.ts'
import * as Bytes from '../protocol/Bytes.ts'
import type * as Cose from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { PolicyError, UsageError } from '../protocol/errors.ts'
import type { Terms } from '../protocol/Order.ts'
import * as Pledge from '../protocol/Pledge.ts'
import * as Policy from '../verify/Policy.ts'
import { strict } from '../verify/policies.ts'
import type { Reader } from '../verify/Reader.ts'
import * as Verdict from '../verify/Verdict.ts'
import type { ChainAccess } from './ChainAccess.ts'
import * as Exchange from './Exchange.ts'
import * as Graded from './Graded.ts'
import * as NodeInfo from './NodeInfo.ts'
import * as Raising from './Raising.ts'
import { type AnchorStore, maxPending, type PendingStore } from './Stores.ts'

/** Names that the reader gives; the rest of a `Reader` comes from the anchor store and the chain. */
export type Names = Pick<Reader, 'witnesses' | 'operators' | 'rewrites'>

export type Options = {
  readonly baseUrl: string
  readonly crypto: Crypto
  /** The key that signs orders. */
  readonly signer: Cose.Signer
  /** Cryptographically random bytes. */
  readonly random: (length: number) => Uint8Array
  readonly anchors: AnchorStore
  readonly pending: PendingStore
  /** Default: nobody is named, which `strict` answers with UNCHECKED. */
  readonly names?: Names
  /** The reader's own view of the chain; without it nothing rises above what the files show. */
  readonly chain?: ChainAccess
  /** Default: strict. */
  readonly policy?: Policy.Policy
  /** Default: only the node itself may see plaintext, and may keep it for 10 minutes in memory. */
  readonly terms?: Terms
  readonly recompute?: Verdict.Options['recompute']
  readonly fetch?: typeof globalThis.fetch
  readonly now?: () => number
  readonly sleep?: (ms: number) => Promise<void>
}

export type CallOptions = {
  readonly signal?: AbortSignal
  /** Mode bits that the order requires; 4 = exact. Default 0. */
  readonly modes?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Data payloads of a stream as they come: provisional, nothing checked. */
  readonly onProvisional?: (data: Graded.Provisional<string>) => void
}

export const defaultTerms: Terms = Object.freeze({ parties: Object.freeze(['node']), maxRetentionSeconds: 600 })
export const defaultPolicy: Policy.Policy = strict
const nobody: Names = Object.freeze({ witnesses: [], operators: [], rewrites: [] })

export type Client = {
  /** What the node says of itself, after the checks that come before anything is sent. */
  info(): Promise<NodeInfo.NodeInfo>
  /** Sends exact bytes to an endpoint; the answer's chunks are graded. */
  call(target: string, body: Uint8Array, options?: CallOptions): Promise<Graded.Graded<Exchange.Answer>>
  /** Verdict on any bundle as this client sees it now. */
  verdict(bundle: Uint8Array, policy?: Policy.Policy): Promise<Verdict.Verdict>
  /** Raises the anchoring of all pending receipts once; gives the number still pending. */
  raisePending(): Promise<number>
  /** Raises one bundle as far as possible now. */
  raise(
    bundle: Uint8Array,
  ): Promise<{ readonly bundle: Uint8Array; readonly changed: boolean; readonly isFinal: boolean }>
}

/**
 * Makes a client.
 *
 * @example
 * const client = create({ baseUrl, crypto, signer, random, anchors, pending, chain })
 * const graded = await client.call('/v1/chat/completions', body)
 * const answer = await graded.meets(strict, { waitSeconds: 30 })
 */
export function create(options: Options): Client {
  const { crypto, baseUrl, anchors, pending } = options
  const policy = options.policy ?? defaultPolicy
  const names = options.names ?? nobody
  const now = options.now ?? Date.now
  const sleep = options.sleep ?? ((ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)))
  const fetch = options.fetch ?? globalThis.fetch
  const raisingParts: Raising.Parts = {
    crypto,
    fetch,
    baseUrl,
    chain: options.chain,
    anchors,
    witnesses: names.witnesses,
  }
  let cached: NodeInfo.NodeInfo | undefined

  async function info(): Promise<NodeInfo.NodeInfo> {
    if (cached !== undefined) return cached
    const response = await fetch(new URL('/.well-known/assay.json', baseUrl), { redirect: 'error' })
    const text = await response.text()
    if (!response.ok || text.length > NodeInfo.maxBytes) throw new NodeInfo.NodeInfoError(`status ${response.status}`)
    const read = NodeInfo.parse(text)
    await assertTrustedChain(read)
    cached = read
    return read
  }

  /** Nothing is sent to a node whose chain and contracts this reader did not name. */
  async function assertTrustedChain(read: NodeInfo.NodeInfo): Promise<void> {
    const known = (await anchors.read()).some(
      (entry) =>
        entry.chainId === read.chainId &&
        Bytes.equal(entry.nodeRegistry.address, read.nodeRegistry) &&
        Bytes.equal(entry.anchorLog.address, read.anchorLog),
    )
    if (!known) throw new UntrustedChainError(read.chainId)
  }

  async function reader(bundle: Uint8Array): Promise<Reader> {
    const base = { ...names, anchors: await anchors.read() }
    if (options.chain === undefined) return base
    const parsed = Bundle.parse(bundle)
    const numbers: bigint[] = []
    if (parsed.pledge !== undefined) numbers.push(Pledge.parse(parsed.pledge.words).issuedAtBlock)
    try {
      return { ...base, view: await options.chain.view(numbers) }
    } catch {
      // Without an answer from the chain the verdict rests on the files alone, which can only lower it.
      return base
    }
  }

  async function verdict(bundle: Uint8Array, asked: Policy.Policy = policy): Promise<Verdict.Verdict> {
    return Verdict.verify(crypto, {
      bundle,
      reader: await reader(bundle),
      policy: asked,
      nowSeconds: BigInt(Math.floor(now() / 1000)),
      ...(options.recompute === undefined ? {} : { recompute: options.recompute }),
    })
  }

  async function raise(bytes: Uint8Array) {
    const raised = await Raising.raise(raisingParts, Bundle.parse(bytes))
    return {
      bundle: raised.changed ? Bundle.serialize(raised.bundle) : bytes,
      changed: raised.changed,
      isFinal: raised.isFinal,
    }
  }

  async function call(
    target: string,
    body: Uint8Array,
    callOptions: CallOptions = {},
  ): Promise<Graded.Graded<Exchange.Answer>> {
    const read = await info()
    if ((await pending.list()).length >= maxPending) throw new PendingFullError()
    const { onProvisional } = callOptions
    const answer = await Exchange.run(
      {
        crypto,
        fetch,
        baseUrl,
        info: read,
        signer: options.signer,
        random: options.random,
        nowSeconds: () => BigInt(Math.floor(now() / 1000)),
      },
      {
        target,
        body,
        model: modelOf(read, target, body),
        modes: callOptions.modes ?? 0,
        policyHash: Policy.hash(crypto, policy),
        terms: options.terms ?? defaultTerms,
        ...(callOptions.headers === undefined ? {} : { headers: callOptions.headers }),
        ...(callOptions.signal === undefined ? {} : { signal: callOptions.signal }),
        ...(onProvisional === undefined ? {} : { onData: (data: string) => onProvisional({ provisional: data }) }),
      },
    )
    let bytes = Bundle.serialize(Raising.withoutStrangers(crypto, answer.bundle, names.witnesses))
    await pending.save(answer.receiptHash, bytes)
    return Graded.create<Exchange.Answer>({
      value: answer,
      receiptHash: answer.receiptHash,
      bundle: () => bytes,
      verdict: (asked) => verdict(bytes, asked),
      raise: async () => {
        const raised = await raise(bytes)
        if (!raised.changed) return false
        const isNew = !Bytes.equal(raised.bundle, bytes)
        bytes = raised.bundle
        if (isNew) await pending.save(answer.receiptHash, bytes)
        return false
      },
      sleep,
      now,
    })
  }

  async function raisePending(): Promise<number> {
    let left = 0
    for (const receiptHash of await pending.list()) {
      const bytes = await pending.load(receiptHash)
      if (bytes === undefined) continue
      const raised = await raise(bytes)
      if (raised.changed) await pending.save(receiptHash, raised.bundle)
      if (raised.isFinal) await pending.remove(receiptHash)
      else left++
    }
    return left
  }

  return { info, call, verdict, raisePending, raise }
}

/** The manifest hash of the model that the request names, so that the order binds it; 32 zero bytes if the node does not list it. */
function modelOf(info: NodeInfo.NodeInfo, target: string, body: Uint8Array): Uint8Array {
  const tensor = /^\/v2\/models\/([^/]+)\/infer$/.exec(target)
  let id: unknown = tensor?.[1] === undefined ? undefined : decodeURIComponent(tensor[1])
  if (id === undefined) {
    try {
      id = (JSON.parse(Bytes.toUtf8(body)) as { model?: unknown }).model
    } catch {
      id = undefined
    }
  }
  return info.models.find((model) => model.id === id)?.manifestHash ?? new Uint8Array(32)
}

/** The node stands on a chain or on contracts that this reader did not name: nothing was sent. */
export class UntrustedChainError extends PolicyError<'untrusted-chain'> {
  override readonly name = 'Client.UntrustedChainError'
  constructor(chainId: bigint) {
    super('untrusted-chain', 'The node is on a chain or on contracts that you have not named; nothing was sent.', {
      facts: [`Chain: ${chainId}`],
      docsPath: 'spec/bundle.md',
    })
  }
}

/** Too many receipts wait for their anchor; let them rise (`raisePending`) before making more. */
export class PendingFullError extends UsageError<'pending-full'> {
  override readonly name = 'Client.PendingFullError'
  constructor() {
    super('pending-full', `More than ${maxPending} receipts wait for their anchor.`)
  }
}
