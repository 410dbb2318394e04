/** chain.ts - the chain of a daemon: the embedded one, or given endpoints that are believed together. */
import { Quorum, Rpc, type TrustAnchors } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { errors } from 'assay/protocol'
import { developmentChainId, startAnvil } from '../settle/anvil.ts'
import { describeP256, findP256 } from '../settle/precompile.ts'
import type { Closers } from './parts.ts'

export type Chain = {
  /** What is asked: with several endpoints, blocks as most of them name them. */
  readonly rpc: Rpc.Rpc
  /** Where transactions go: the first endpoint alone. */
  readonly sending: Rpc.Rpc
  /** The first is that of `sending`. */
  readonly urls: readonly [string, ...string[]]
  /** Whether this daemon runs the chain. */
  readonly isEmbedded: boolean
  /** Whether it is a chain of this kind, run by whomever: contracts get the parameters of a development chain there. */
  readonly isDevelopment: boolean
  /** The rule by which a reader with these endpoints trusts headers. */
  readonly finality: TrustAnchors.FinalityRule
}

/**
 * Opens the chain.
 *
 * - `chainRpcUrl`: one endpoint, or several with commas between them; the embedded chain if not given
 *
 * Throws: `ChainEndpointError`, `P256Error`, `Quorum.SilenceError`, and what `startAnvil` throws.
 */
export async function openChain(options: {
  readonly home: string
  readonly chainRpcUrl: string | undefined
  readonly closers: Closers
  readonly onEvent: (line: string) => void
  readonly say: (line: string) => void
}): Promise<Chain> {
  const { home, chainRpcUrl, closers, onEvent, say } = options
  if (chainRpcUrl === undefined) {
    const chain = await startAnvil({ home, onEvent })
    closers.add('chain', chain.stop)
    const rpc = Rpc.create({ url: chain.url, chainId: chain.chainId })
    return {
      ...{ rpc, sending: rpc, urls: [chain.url], isEmbedded: true, isDevelopment: true, finality: 'development' },
    }
  }
  const urls = parseEndpoints(chainRpcUrl)
  const chainId = await Rpc.askNumber(Rpc.create({ url: urls[0], chainId: 0n }), 'eth_chainId').catch((error) => {
    if (error instanceof Rpc.LieError) throw new ChainEndpointError('the first one does not say its chain id')
    throw error
  })
  const rpcs = urls.map((url) => Rpc.create({ url, chainId }))
  const [sending] = rpcs as [Rpc.Rpc, ...Rpc.Rpc[]]
  const k = Quorum.majority(rpcs.length)
  const rpc = rpcs.length === 1 ? sending : Quorum.create(crypto, rpcs, k)
  await rpc.assertChain()
  const isDevelopment = chainId === developmentChainId
  const p256 = await findP256(sending)
  if (p256 === 'other') throw new P256Error()
  say(`chain ${chainId} over ${rpcs.length} endpoints ${describeP256(p256)}`)
  const finality = isDevelopment ? 'development' : Quorum.rule(k, rpcs.length)
  return { rpc, sending, urls, isEmbedded: false, isDevelopment, finality }
}

/** The endpoints of a list with commas; throws `ChainEndpointError`, which quotes none of them. */
export function parseEndpoints(text: string): readonly [string, ...string[]] {
  const [first, ...others] = text.split(',').map((url) => url.trim())
  const urls = [first ?? '', ...others] as const
  for (const [i, url] of urls.entries())
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
      throw new ChainEndpointError(`number ${i + 1} is no http or https URL`)
  if (new Set(urls.map(Quorum.endpointOf)).size !== urls.length)
    throw new ChainEndpointError('one of them is there twice')
  if (urls.length > Quorum.maxEndpoints) throw new ChainEndpointError(`more than ${Quorum.maxEndpoints}`)
  return urls
}

/** The endpoint does not answer as a chain. */
export class ChainEndpointError extends errors.UsageError<'chain-endpoint'> {
  override readonly name = 'ChainEndpointError'
  constructor(problem: string) {
    super('chain-endpoint', 'The chain endpoints cannot be used.', { facts: [`Problem: ${problem}`] })
  }
}

/** The chain has something else where the P-256 precompile stands. */
export class P256Error extends errors.VerificationError<'p256-precompile'> {
  override readonly name = 'P256Error'
  constructor() {
    super('p256-precompile', 'The chain answers wrongly at the address of the P-256 precompile.', {
      facts: ['Its contracts would take or refuse signatures at will.', 'Address: 0x100'],
    })
  }
}
