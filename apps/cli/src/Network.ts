/**
 * Network.ts - opens what a command needs of the outside: the reader's own chain endpoint, the gateway's client, the reader
 * itself. Nothing is opened that is not asked for; with `offline` nothing is opened at all.
 */
import { randomBytes } from 'node:crypto'
import { Header, Quorum, Rpc, TrustAnchors } from 'assay/chain'
import { ChainAccess, Client, Court } from 'assay/client'
import { readSmallFile } from 'assay/client/node'
import { crypto } from 'assay/crypto/node'
import { Bundle, errors, Pledge } from 'assay/protocol'
import type { Policy, Reader, Verdict } from 'assay/verify'
import * as Account from './Account.ts'
import * as Home from './Home.ts'
import * as ReaderFile from './ReaderFile.ts'

/** Attempts are few: a verdict without a view of the chain is still a verdict. */
const rpcOptions = { timeoutMs: 3_000, retries: 1 }

export type Opened = { readonly chain: ChainAccess.ChainAccess; readonly rpc: Rpc.Rpc; readonly url: string }

/**
 * The reader's own chain endpoints, if they are named and serve a chain that the reader trusts; several are believed together.
 *
 * Throws: `OtherRuleError` when the anchors of that chain count other endpoints than the reader names.
 */
export async function openChain(
  named: Pick<ReaderFile.ReaderFile, 'chainRpcUrl' | 'chainQuorum'> | undefined,
  anchors: readonly TrustAnchors.TrustAnchors[],
): Promise<Opened | undefined> {
  const url = named?.chainRpcUrl
  if (named === undefined || url === null || url === undefined) return undefined
  const { endpoints, k } = named.chainQuorum ?? { endpoints: [url], k: 1 }
  for (const entry of anchors) {
    const { chainId } = entry
    const rpcs = endpoints.map((one) => Rpc.create({ url: one, chainId, ...rpcOptions }))
    const rpc = named.chainQuorum === undefined ? (rpcs[0] as Rpc.Rpc) : Quorum.create(crypto, rpcs, k)
    try {
      await rpc.assertChain()
      // Headers that are learnt are kept for all entries of the chain.
      for (const one of anchors.filter((other) => other.chainId === chainId)) assertRule(named, one)
      return { chain: ChainAccess.overRpc(crypto, rpc, entry), rpc, url }
    } catch (error) {
      if (error instanceof OtherRuleError) throw error
      if (error instanceof Rpc.LieError && error.code === 'rpc-chain-id') continue
      if (error instanceof Quorum.SilenceError) continue
      if (errors.BaseError.isInstance(error)) return undefined
      throw error
    }
  }
  return undefined
}

/** Headers of one rule must not be learnt by another: what the anchors say they rest on would be false. */
function assertRule(
  named: Pick<ReaderFile.ReaderFile, 'chainQuorum'>,
  { chainId, finality }: TrustAnchors.TrustAnchors,
) {
  const isOne = named.chainQuorum === undefined
  if (finality === 'development' ? isOne : finality === ReaderFile.finalityOf(named)) return
  throw new OtherRuleError(chainId, finality, isOne ? 'one endpoint' : ReaderFile.finalityOf(named))
}

/** A client of the home's gateway. Throws `NoNetworkError` when the home names none. */
export async function openClient(
  home: Home.Home,
  options: {
    readonly policy?: Policy.Policy
    readonly recompute?: Verdict.Options['recompute']
    readonly gatewayUrl?: string
  } = {},
): Promise<{ readonly client: Client.Client; readonly gatewayUrl: string; readonly isChainSeen: boolean }> {
  const reader = Home.readReader(home)
  const gatewayUrl = options.gatewayUrl ?? reader?.gatewayUrl
  if (reader === undefined || gatewayUrl === null || gatewayUrl === undefined) throw new NoNetworkError(home.folder)
  const anchors = Home.anchorStore(home)
  const trusted = await anchors.read()
  const chain = await openChain(reader, trusted)
  const entry = trusted.find(({ chainId }) => chainId === chain?.rpc.chainId)
  const court =
    chain === undefined || entry?.stake === undefined
      ? undefined
      : Court.from(entry, Account.openLater(home, chain.rpc), chain.rpc)
  const client = Client.create({
    baseUrl: gatewayUrl,
    crypto,
    signer: Home.clientSigner(home),
    random: (length) => new Uint8Array(randomBytes(length)),
    anchors,
    pending: Home.pendingStore(home),
    ...{ faults: Home.faultStore(home), cases: Home.caseStore(home), watch: Home.watchStore(home) },
    ...(court === undefined ? {} : { court }),
    calls: Home.callStore(home),
    names: ReaderFile.toNames(reader),
    ...(chain === undefined ? {} : { chain: chain.chain }),
    ...(options.policy === undefined ? {} : { policy: options.policy }),
    ...(options.recompute === undefined ? {} : { recompute: options.recompute }),
  })
  return { client, gatewayUrl, isChainSeen: chain !== undefined }
}

/** The reader for a verdict on one file, and what could not be asked. */
export async function readerFor(
  bundleBytes: Uint8Array,
  options: { readonly home: Home.Home; readonly offline: boolean; readonly anchorsFile?: string | undefined },
): Promise<{
  readonly reader: Reader.Reader
  readonly notes: readonly string[]
  /** The chain, where it was asked and answered. */
  readonly chain?: ChainAccess.ChainAccess
}> {
  const file = Home.readReader(options.home)
  const anchors = await readAnchors(options.home, options.anchorsFile)
  const reader: Reader.Reader = { anchors, ...ReaderFile.toNames(file) }
  if (options.offline) return { reader, notes: [] }
  const bundle = readable(bundleBytes)
  if (bundle === undefined || file?.chainRpcUrl === null || file?.chainRpcUrl === undefined || anchors.length === 0)
    return { reader, notes: [] }
  const opened = await openChain(file, anchors)
  const unanswered = { reader, notes: ['your chain endpoint gave no usable answer: judged from the files alone'] }
  if (opened === undefined) return unanswered
  try {
    const numbers: bigint[] = []
    if (bundle.pledge !== undefined) numbers.push(Pledge.parse(bundle.pledge.words).issuedAtBlock)
    if (bundle.chain !== undefined) numbers.push(Header.parse(bundle.chain.header).number)
    const view = await opened.chain.view(numbers)
    const seen = { ...reader, anchors: await withFinal(anchors, opened, bundle), view }
    return { reader: seen, notes: [], chain: opened.chain }
  } catch (error) {
    if (errors.BaseError.isInstance(error)) return unanswered
    throw error
  }
}

/** The anchors and, if the reader's own endpoint shows it at or below its finalized tag, the block of the file; kept for this verdict only. */
async function withFinal(
  anchors: readonly TrustAnchors.TrustAnchors[],
  opened: Opened,
  bundle: Bundle.Bundle,
): Promise<readonly TrustAnchors.TrustAnchors[]> {
  if (bundle.chain === undefined) return anchors
  try {
    const header = await Rpc.fetchTrustedHeader(crypto, opened.rpc, Header.parse(bundle.chain.header).number)
    return anchors.map((entry) => (entry.chainId === opened.rpc.chainId ? TrustAnchors.add(entry, header) : entry))
  } catch (error) {
    if (error instanceof Rpc.NotOnChainError) return anchors
    throw error
  }
}

async function readAnchors(home: Home.Home, path: string | undefined): Promise<readonly TrustAnchors.TrustAnchors[]> {
  if (path === undefined) return Home.anchorStore(home).read()
  const text = readSmallFile(path, 16 * 1024 * 1024)
  if (text === undefined) throw new MissingFileError(path)
  return TrustAnchors.parse(text)
}

/** A file that is no bundle gets its error where the verdict is made. */
function readable(bytes: Uint8Array): Bundle.Bundle | undefined {
  try {
    const bundle = Bundle.parse(bytes)
    if (bundle.pledge !== undefined) Pledge.parse(bundle.pledge.words)
    if (bundle.chain !== undefined) Header.parse(bundle.chain.header)
    return bundle
  } catch (error) {
    if (errors.BaseError.isInstance(error)) return undefined
    throw error
  }
}

/** The home does not know a gateway. */
export class NoNetworkError extends errors.UsageError<'no-network'> {
  override readonly name = 'Network.NoNetworkError'
  constructor(folder: string) {
    super('no-network', 'This home names no gateway yet.', {
      facts: [
        `Home: ${folder}`,
        'Start one with `npm start` (or `assay up`); it writes reader.json on its first start.',
      ],
    })
  }
}

/** The rule in anchors.json and the endpoints in reader.json do not go together. */
export class OtherRuleError extends errors.UsageError<'other-rule'> {
  override readonly name = 'Network.OtherRuleError'
  constructor(chainId: bigint, rule: string, named: string) {
    super('other-rule', 'Your trust anchors and your chain endpoints do not go together.', {
      facts: [
        `anchors.json, chain ${chainId}: ${rule}`,
        `reader.json: ${named}`,
        'Headers learnt under one rule are not headers of another: change the endpoints back, or the rule together with its headers.',
      ],
    })
  }
}

/** A file that was named is not there. */
export class MissingFileError extends errors.UsageError<'file-missing'> {
  override readonly name = 'Network.MissingFileError'
  constructor(path: string) {
    super('file-missing', 'There is no such file.', { facts: [`File: ${path}`] })
  }
}
