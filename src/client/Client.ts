/**
 * Client.ts - calls a gateway and hands out answers only against a verdict. Source: spec/wire.md, spec/verdict.md.
 */
import * as Header from '../chain/Header.ts'
import * as Profiles from '../execution/Profiles.ts'
import * as Bundle from '../protocol/Bundle.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError, PolicyError, UsageError } from '../protocol/errors.ts'
import { roles } from '../protocol/Identity.ts'
import type { Terms } from '../protocol/Order.ts'
import * as Pledge from '../protocol/Pledge.ts'
import * as Integrity from '../verify/Integrity.ts'
import * as Policy from '../verify/Policy.ts'
import { strict } from '../verify/policies.ts'
import type { Reader } from '../verify/Reader.ts'
import * as Verdict from '../verify/Verdict.ts'
import type { ChainAccess } from './ChainAccess.ts'
import * as Exchange from './Exchange.ts'
import * as Graded from './Graded.ts'
import * as HttpBody from './HttpBody.ts'
import * as NodeInfo from './NodeInfo.ts'
import * as Raising from './Raising.ts'
import { type AnchorStore, maxPending, type PendingStore } from './Stores.ts'

/** Names that the reader gives; the rest of a `Reader` comes from the anchor store and the chain. */
export type Names = Pick<Reader, 'witnesses' | 'operators' | 'rewrites'>

/** What a client is made from; everything that is left out has its strict value. */
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
  /** Resolves after the time, or when the signal aborts. */
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>
}

/** What one call asks for beside its body. */
export type CallOptions = {
  readonly signal?: AbortSignal
  /** Mode bits that the order requires; 4 = exact. Default 0. */
  readonly modes?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Data payloads of a stream as they come: provisional, nothing checked. */
  readonly onProvisional?: (data: Graded.Provisional<string>) => void
}

/** Exposure terms of a client that names none: the node alone sees plaintext, and keeps it for ten minutes. */
export const defaultTerms: Terms = Object.freeze({ parties: Object.freeze(['node']), maxRetentionSeconds: 600 })
/** Policy of a client that names none. */
export const defaultPolicy: Policy.Policy = strict
const nobody: Names = Object.freeze({ witnesses: [], operators: [], rewrites: [] })

/** What one round over the pending receipts came to; hashes in hex. */
export type PendingReport = {
  readonly final: readonly string[]
  readonly pending: readonly string[]
  readonly failed: readonly { readonly receiptHash: string; readonly code: string }[]
}

/** A caller of one gateway; its answers are reachable only against a verdict. */
export type Client = {
  readonly baseUrl: string
  /** Under which this client asks; the default of its verdicts. */
  readonly policy: Policy.Policy
  /** What the node says of itself, after the checks that come before anything is sent. */
  info(): Promise<NodeInfo.NodeInfo>
  /** Sends exact bytes to an endpoint; the answer's chunks are graded. */
  call(target: string, body: Uint8Array, options?: CallOptions): Promise<Graded.Graded<Exchange.Answer>>
  /** Verdict on any bundle as this client sees it now. */
  verdict(bundle: Uint8Array, policy?: Policy.Policy): Promise<Verdict.Verdict>
  /** Raises the anchoring of all pending receipts once; what became final leaves the store. */
  raisePending(): Promise<PendingReport>
  /**
   * Raises them in the background, round after round, until the signal aborts. What cannot be reached now is asked again in the
   * next round.
   *
   * - `everyMs`: pause between two rounds, default 5,000
   */
  keepRaising(options: {
    readonly signal: AbortSignal
    readonly everyMs?: number
    readonly onRound?: (report: PendingReport) => void
  }): Promise<void>
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
  const sleep = options.sleep ?? sleepFor
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
    const response = await HttpBody.reach(
      fetch(new URL('/.well-known/assay.json', baseUrl), {
        redirect: 'error',
        signal: AbortSignal.timeout(Exchange.besideTimeoutMs),
      }),
    )
    if (!response.ok) throw new Exchange.GatewayError(response.status, 'no_description', undefined)
    const read = NodeInfo.parse(await HttpBody.readText(response, NodeInfo.maxBytes))
    await assertTrustedChain(read)
    await assertRegistered(read)
    cached = read
    return read
  }

  /** With a view of the chain: the key that will sign is the registered one of that node, or nothing is sent. */
  async function assertRegistered(read: NodeInfo.NodeInfo): Promise<void> {
    if (options.chain === undefined) return
    const record = await options.chain.keyRecord({ nodeId: read.nodeId, keyEpoch: read.keyEpoch })
    const keyId = Cose.keyId(crypto, read.publicKey)
    if (record === undefined) throw new UnregisteredKeyError('the chain has no record of it')
    if (!Bytes.equal(record.keyId, keyId)) throw new UnregisteredKeyError('the record names another key')
    if (record.role !== roles.node) throw new UnregisteredKeyError('the record is for another role')
    if (record.validUntilBlock !== 0n) throw new UnregisteredKeyError('the record has an end')
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
    try {
      const numbers: bigint[] = []
      if (parsed.pledge !== undefined) numbers.push(Pledge.parse(parsed.pledge.words).issuedAtBlock)
      if (parsed.chain !== undefined) numbers.push(Header.parse(parsed.chain.header).number)
      return { ...base, view: await options.chain.view(numbers) }
    } catch {
      // Without an answer from the chain the verdict rests on the files alone, which can only lower it; words that can not be
      // read are the verdict's to name.
      return base
    }
  }

  async function verdict(
    bundle: Uint8Array,
    asked: Policy.Policy = policy,
    recompute: Verdict.Options['recompute'] = options.recompute,
  ): Promise<Verdict.Verdict> {
    return Verdict.verify(crypto, {
      bundle,
      reader: await reader(bundle),
      policy: asked,
      nowSeconds: BigInt(Math.floor(now() / 1000)),
      ...(recompute === undefined ? {} : { recompute }),
    })
  }

  async function raise(bytes: Uint8Array) {
    const raised = await Raising.raise(raisingParts, Bundle.parse(bytes))
    // What contradicts the rest is not kept: it would spoil a receipt that is good without it.
    if (raised.changed) await Integrity.check({ crypto, bundle: raised.bundle, exactProfiles: Profiles.exact })
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
    // Signatures, order and exact bytes before anybody sees text; throws `Integrity.StepError`.
    await Integrity.check({ crypto, bundle: Bundle.parse(bytes), exactProfiles: Profiles.exact })
    const recompute = once(options.recompute)
    await pending.save(answer.receiptHash, bytes)
    return Graded.create<Exchange.Answer>({
      value: answer,
      receiptHash: answer.receiptHash,
      bundle: () => bytes,
      policy,
      verdict: (asked) => verdict(bytes, asked, recompute),
      raise: async () => {
        const raised = await raise(bytes)
        const isNew = raised.changed && !Bytes.equal(raised.bundle, bytes)
        bytes = raised.bundle
        if (raised.isFinal) await pending.remove(answer.receiptHash)
        else if (isNew) await pending.save(answer.receiptHash, bytes)
      },
      sleep,
      now,
    })
  }

  async function raisePending(): Promise<PendingReport> {
    const report = {
      final: [] as string[],
      pending: [] as string[],
      failed: [] as { receiptHash: string; code: string }[],
    }
    for (const receiptHash of await pending.list()) {
      try {
        const bytes = await pending.load(receiptHash)
        if (bytes === undefined) continue
        const raised = await raise(bytes)
        if (raised.isFinal) await pending.remove(receiptHash)
        else if (raised.changed && !Bytes.equal(raised.bundle, bytes)) await pending.save(receiptHash, raised.bundle)
        ;(raised.isFinal ? report.final : report.pending).push(receiptHash)
      } catch (error) {
        // One receipt that cannot rise must not hold back the others; it stays for its holder to look at.
        if (!BaseError.isInstance(error)) throw error
        report.failed.push({ receiptHash, code: error.code })
      }
    }
    return report
  }

  async function keepRaising({
    signal,
    everyMs = 5_000,
    onRound,
  }: Parameters<Client['keepRaising']>[0]): Promise<void> {
    while (!signal.aborted) {
      try {
        const report = await raisePending()
        onRound?.(report)
      } catch (error) {
        if (!BaseError.isInstance(error)) throw error
      }
      await sleep(everyMs, signal)
    }
  }

  const ofBundle: Client['verdict'] = (bundle, asked) => verdict(bundle, asked)
  return { baseUrl, policy, info, call, verdict: ofBundle, raisePending, keepRaising, raise }
}

function sleepFor(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done)
  })
}

/** Running a model again gives the same each time, however often a verdict is asked for while anchoring rises. */
function once(recompute: Verdict.Options['recompute']): Verdict.Options['recompute'] {
  if (recompute === undefined) return undefined
  let result: ReturnType<typeof recompute> | undefined
  return (bundle, facts) => {
    result ??= recompute(bundle, facts)
    return result
  }
}

/** The manifest hash of the model that the request names, so that the order binds it; 32 zero bytes if the node does not list it. */
function modelOf(info: NodeInfo.NodeInfo, target: string, body: Uint8Array): Uint8Array {
  const tensor = /^\/v2\/models\/([^/]+)\/infer$/.exec(target)?.[1]
  let id: unknown = tensor
  if (tensor === undefined) {
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

/** The key that would sign is not the node's registered one: nothing was sent. */
export class UnregisteredKeyError extends PolicyError<'unregistered-key'> {
  override readonly name = 'Client.UnregisteredKeyError'
  constructor(problem: string) {
    super('unregistered-key', "The node's key is not registered as it says; nothing was sent.", {
      facts: [`Problem: ${problem}`],
      docsPath: 'spec/contracts.md',
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
