/**
 * Courtroom.ts - what commands about faults stand on: the reader's contracts and endpoint, the account that pays for
 * transactions, and what was found and filed so far.
 */
import { randomBytes } from 'node:crypto'
import type { Rpc, TrustAnchors } from 'assay/chain'
import { type ChainAccess, Court } from 'assay/client'
import { Bytes, errors } from 'assay/protocol'
import * as Account from './Account.ts'
import * as Home from './Home.ts'
import * as Network from './Network.ts'
import type { Terminal } from './Terminal.ts'

export type Courtroom = {
  readonly court: Court.Court
  readonly chain: ChainAccess.ChainAccess
  readonly anchors: TrustAnchors.TrustAnchors
  /** 0x and 40 hex digits. */
  readonly account: string
}

export const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))

/** The chain that the reader named, with the anchors it serves; throws `NoChainError`. */
export async function openChain(home: Home.Home): Promise<{
  readonly rpc: Rpc.Rpc
  readonly chain: ChainAccess.ChainAccess
  readonly anchors: TrustAnchors.TrustAnchors
}> {
  const all = await Home.anchorStore(home).read()
  const opened = await Network.openChain(Home.readReader(home), all)
  const anchors = all.find(({ chainId }) => chainId === opened?.rpc.chainId)
  if (opened === undefined || anchors === undefined) throw new NoChainError(home.folder)
  return { rpc: opened.rpc, chain: opened.chain, anchors }
}

/** Everything; throws `NoChainError`, `Court.NoStakeError`, `Sender.NoCoinError`. */
export async function open(home: Home.Home, terminal: Terminal): Promise<Courtroom> {
  const { rpc, chain, anchors } = await openChain(home)
  if (anchors.stake === undefined) throw new Court.NoStakeError(anchors)
  const sender = await Account.open(home, rpc, terminal)
  return { court: Court.from(anchors, sender, rpc), chain, anchors, account: Bytes.to0x(sender.address) }
}

/** The reader has no chain endpoint that answers for a chain it trusts. */
export class NoChainError extends errors.UsageError<'no-chain'> {
  override readonly name = 'Courtroom.NoChainError'
  constructor(folder: string) {
    super('no-chain', 'No endpoint of yours answers for a chain that you trust.', {
      facts: [
        `Home: ${folder}`,
        'reader.json names the endpoint (chainRpcUrl), anchors.json the chain and its contracts.',
      ],
    })
  }
}
