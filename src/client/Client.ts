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
import * as CounterEvidence from '../verify/CounterEvidence.ts'
import * as Integrity from '../verify/Integrity.ts'
import * as Policy from '../verify/Policy.ts'
import { strict } from '../verify/policies.ts'
import type { Reader } from '../verify/Reader.ts'
import * as Verdict from '../verify/Verdict.ts'
import * as Awaiting from './Awaiting.ts'
import * as Cases from './Cases.ts'
import type { ChainAccess } from './ChainAccess.ts'
import type { Court } from './Court.ts'
import * as CourtDemands from './CourtDemands.ts'
import * as Exchange from './Exchange.ts'
import * as Filing from './Filing.ts'
import * as Graded from './Graded.ts'
import * as Heartbeats from './Heartbeats.ts'
import * as HttpBody from './HttpBody.ts'
import * as NodeInfo from './NodeInfo.ts'
import * as Patience from './Patience.ts'
import * as PendingCall from './PendingCall.ts'
import * as Raising from './Raising.ts'
import * as Rounds from './Rounds.ts'
import {
  type AnchorStore,
  type CallStore,
  type CaseStore,
  type FaultStore,
  maxPending,
  memoryCaseStore,
  memoryFaultStore,
  memoryPendingStore,
  type PendingStore,
} from './Stores.ts'
import * as Watching from './Watching.ts'
import { memoryWatchStore, type WatchStore } from './WatchStore.ts'

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
  /** Calls whose receipt is still to come. Default: for as long as the client lives. */
  readonly calls?: CallStore
  /** Default: nobody is named, which `strict` answers with UNCHECKED. */
  readonly names?: Names
  /** The reader's own view of the chain; without it nothing rises above what the files show. */
  readonly chain?: ChainAccess
  /** Default: strict. */
  readonly policy?: Policy.Policy
  /** Default: only the node itself may see plaintext, and may keep it for 10 minutes in memory. */
  readonly terms?: Terms
  readonly recompute?: Verdict.Options['recompute']
  /** Memory of what parties signed. Default: for as long as the client lives. */
  readonly watch?: WatchStore
  /** Where `.fault` files go. Default: for as long as the client lives. */
  readonly faults?: FaultStore
  /** Where faults are filed, and entries and openings are demanded. Default: files are written, and nothing is filed. */
  readonly court?: Court
  /** Cases that this client opened. Default: for as long as the client lives. */
  readonly cases?: CaseStore
  /** Most wei in bonds of open cases at once. Default: `Cases.defaultSpendLimit`. */
  readonly spendLimit?: bigint
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

/** What one round over the pending receipts came to. */
export type PendingReport = Rounds.Report

/** A caller of one gateway; its answers are reachable only against a verdict. */
export type Client = {
  readonly baseUrl: string
  /** Under which this client asks; the default of its verdicts. */
  readonly policy: Policy.Policy
  /** What the node says of itself, after the checks that come before anything is sent. */
  info(): Promise<NodeInfo.NodeInfo>
  /** How old the newest block is that the node saw, by this reader's own view of the chain; facts, no grade. See `Heartbeats.ask`. */
  heartbeat(): Promise<Heartbeats.Facts>
  /** Sends exact bytes to an endpoint; the answer's chunks are graded. */
  call(target: string, body: Uint8Array, options?: CallOptions): Promise<Graded.Graded<Exchange.Answer>>
  /** Verdict on any bundle as this client sees it now. */
  verdict(bundle: Uint8Array, policy?: Policy.Policy): Promise<Verdict.Verdict>
  /** Asks for receipts that are still to come and raises the anchoring of all pending ones once; what became final leaves the store. */
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
  const faults = options.faults ?? memoryFaultStore()
  const { court } = options
  const patience = Patience.create(fetch, now)
  const watching = Watching.create({
    ...{ crypto, fetch: patience.fetch, baseUrl, chain: options.chain, faults },
    store: options.watch ?? memoryWatchStore(),
    observe: court === undefined ? undefined : (logId) => Filing.observe(court, logId),
    demands:
      court === undefined
        ? undefined
        : CourtDemands.create({
            ...{ crypto, court, signer: options.signer, cases: options.cases ?? memoryCaseStore() },
            spendLimit: options.spendLimit ?? Cases.defaultSpendLimit,
          }),
  })
  const raisingParts: Raising.Parts = {
    crypto,
    fetch: patience.fetch,
    baseUrl,
    chain: options.chain,
    anchors,
    witnesses: names.witnesses,
    sawState: watching.sawState,
  }
  const awaiting = Awaiting.create({
    ...{ crypto, policy, sleep, now, grade, calls: options.calls ?? memoryPendingStore() },
    follow: async (asked) =>
      PendingCall.follow(
        { crypto, fetch: patience.fetch, baseUrl, watch: watching, info: await describe(patience.fetch) },
        asked,
      ),
  })
  let cached: NodeInfo.NodeInfo | undefined
  const beats: Heartbeats.Memory = new Map()

  async function info(): Promise<NodeInfo.NodeInfo> {
    if (cached !== undefined) return cached
    const read = await describe(fetch)
    await assertRegistered(read)
    await watching.sawLogs(NodeInfo.namedLogs(read))
    cached = read
    return read
  }

  /** The node may have new keys and new logs since. */
  function newInfo(): Promise<NodeInfo.NodeInfo> {
    cached = undefined
    return info()
  }

  /** The logs that the node uses now, also those that it took up after the first call. */
  async function lookAtLogs(): Promise<void> {
    try {
      await watching.sawLogs(NodeInfo.namedLogs(await describe(patience.fetch)))
    } catch (error) {
      if (!BaseError.isInstance(error)) throw error
    }
  }

  /** What the node says of itself now, if it stands on a chain that this reader named. */
  async function describe(by: typeof globalThis.fetch): Promise<NodeInfo.NodeInfo> {
    const response = await HttpBody.reach(
      by(new URL('/.well-known/assay.json', baseUrl), {
        redirect: 'error',
        signal: AbortSignal.timeout(Exchange.besideTimeoutMs),
      }),
    )
    if (!response.ok) throw new Exchange.GatewayError(response.status, 'no_description', undefined)
    const read = NodeInfo.parse(await HttpBody.readText(response, NodeInfo.maxBytes))
    await assertTrustedChain(read)
    return read
  }

  async function heartbeat(): Promise<Heartbeats.Facts> {
    const { chain } = options
    if (chain === undefined) throw new Heartbeats.NoChainError()
    return Heartbeats.ask({ ...{ crypto, fetch, baseUrl, chain, memory: beats }, info: await newInfo() })
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
    const own = await watching.about(Bundle.parse(bundle), CounterEvidence.maxFiles)
    return Verdict.verify(crypto, {
      bundle,
      ...{ faults: own.files, known: own.known },
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
    if ((await pending.list()).length + (await awaiting.count()) >= maxPending) throw new PendingFullError()
    await watching.assertRoom()
    const { onProvisional } = callOptions
    const outcome = await Exchange.run(
      {
        crypto,
        fetch,
        baseUrl,
        info: read,
        newInfo,
        signer: options.signer,
        random: options.random,
        nowSeconds: () => BigInt(Math.floor(now() / 1000)),
        watch: watching,
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
    return PendingCall.is(outcome) ? awaiting.keep(outcome) : grade(outcome)
  }

  /** Keeps a receipt that came, and hands the answer out against a verdict. */
  async function grade(answer: Exchange.Answer): Promise<Graded.Graded<Exchange.Answer>> {
    let bytes = Bundle.serialize(Raising.withoutStrangers(crypto, answer.bundle, names.witnesses))
    // Signatures, order and exact bytes before anybody sees text; throws `Integrity.StepError`.
    await Integrity.check({ crypto, bundle: Bundle.parse(bytes), exactProfiles: Profiles.exact })
    const recompute = once(options.recompute)
    await pending.save(answer.receiptHash, bytes)
    const last = { ms: 0 }
    return Graded.create<Exchange.Answer>({
      value: answer,
      receiptHash: answer.receiptHash,
      bundle: () => bytes,
      policy,
      verdict: (asked) => verdict(bytes, asked, recompute),
      raise: () =>
        watched(answer.receiptHash, last, async () => {
          const raised = await raise(bytes)
          const isNew = raised.changed && !Bytes.equal(raised.bundle, bytes)
          bytes = raised.bundle
          if (raised.isFinal) await finish(answer.receiptHash)
          else if (isNew) await pending.save(answer.receiptHash, bytes)
        }),
      sleep,
      now,
    })
  }

  /** Nothing more is owed for a receipt. What stands beside it is looked at first, because it may be evidence. */
  async function finish(receiptHash: string): Promise<void> {
    const bytes = await pending.load(receiptHash)
    await watching.kept(receiptHash, bytes && Bundle.parse(bytes).pledge?.words)
    await pending.remove(receiptHash)
  }

  /** Evidence that does not hold may be a lie on the way or a fault. If it is a fault the verdict says so; else the error stands. */
  async function watched(receiptHash: string, last: { ms: number }, work: () => Promise<void>): Promise<void> {
    let failure: BaseError | undefined
    try {
      await work()
    } catch (error) {
      if (!BaseError.isInstance(error)) throw error
      failure = error
    }
    // A chain makes a block a second at most: looking more often shows nothing new.
    if (failure === undefined && Math.abs(now() - last.ms) < 1_000) return
    last.ms = now()
    const { faults: found } = await watching.round(receiptHash)
    if (failure !== undefined && found.length === 0) throw failure
  }

  /** Takes all fault files a step further. A court that cannot be reached now is asked again in the next round. */
  async function filed(): Promise<Filing.Report | undefined> {
    if (court === undefined) return undefined
    try {
      return await Filing.advance({ crypto, court, faults, random: options.random })
    } catch (error) {
      if (BaseError.isInstance(error)) return undefined
      throw error
    }
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

  const raisePending = Rounds.create({ awaiting, pending, patience, watching, raise, finish, lookAtLogs, filed })

  const ofBundle: Client['verdict'] = (bundle, asked) => verdict(bundle, asked)
  return { baseUrl, policy, info, heartbeat, call, verdict: ofBundle, raisePending, keepRaising, raise }
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
