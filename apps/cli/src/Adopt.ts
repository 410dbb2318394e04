/**
 * Adopt.ts - what `assay up` does with the names of its own daemon: the first time it writes them down as the reader's, and
 * says so; later it compares, says what differs, and changes no name. Only addresses on this machine follow the daemon,
 * because its ports may move.
 */
import { Quorum, Rpc, type TrustAnchors } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes, errors } from 'assay/protocol'
import * as Home from './Home.ts'
import * as ReaderFile from './ReaderFile.ts'

/** What a running daemon says of itself. */
export type Facts = {
  readonly endpoints: { readonly gateway: string; readonly chain: string }
  readonly reader: {
    readonly anchors: TrustAnchors.TrustAnchors
    readonly operator: Uint8Array
    readonly witness: Uint8Array
    /** Endpoints of the chain when there are several; the first is `endpoints.chain`. */
    readonly chainRpcUrls?: readonly string[]
  }
}

/** `notes` tell what was done, `differences` what a person has to decide. */
export type Adopted = { readonly notes: readonly string[]; readonly differences: readonly string[] }

export async function adopt(home: Home.Home, facts: Facts): Promise<Adopted> {
  const notes: string[] = []
  const differences: string[] = []
  const store = Home.anchorStore(home)
  const trusted = await store.trust(facts.reader.anchors)
  if (trusted === 'added')
    notes.push(
      `anchors.json: chain ${facts.reader.anchors.chainId} and its contracts named, as this machine's own daemon runs them`,
    )
  if (trusted === 'completed')
    notes.push(
      `anchors.json: the contracts that hold stake on chain ${facts.reader.anchors.chainId} added to the same two contracts as before`,
    )
  if (trusted === 'differs')
    differences.push(
      'anchors.json names other contracts, other contract code or another rule of finality for this chain than the daemon uses',
    )
  const operator = Bytes.to0x(facts.reader.operator)
  const witness = Bytes.toHex(facts.reader.witness)
  const urls = { chainRpcUrl: facts.endpoints.chain, gatewayUrl: facts.endpoints.gateway }
  const known = Home.readReader(home)
  if (known === undefined) {
    Home.writeReader(home, { ...urls, ...quorumOf(facts), operators: [operator], witnesses: [witness], rewrites: [] })
    notes.push(
      `reader.json: operator ${operator} and witness ${witness.slice(0, 16)}.. named; both are this machine's own`,
    )
  } else {
    if (!known.operators.includes(operator))
      differences.push(`reader.json does not name the daemon's operator ${operator}`)
    if (!known.witnesses.includes(witness))
      differences.push(`reader.json does not name the daemon's witness ${witness}`)
    const moved = followed(known, urls)
    if (moved.length > 0) {
      Home.writeReader(home, withFirst({ ...known, ...Object.fromEntries(moved) }))
      notes.push(`reader.json: ${moved.map(([name, url]) => `${name} is now ${url}`).join(', ')}`)
    }
  }
  if (await isOtherHistory(await store.read(), facts))
    differences.push(
      'the chain no longer has the blocks that anchors.json trusts: receipts from before can rise no further',
    )
  return { notes, differences }
}

/** Several endpoints of the daemon's, with the majority that its own rule counts. */
function quorumOf({ reader }: Facts): Pick<ReaderFile.ReaderFile, 'chainQuorum'> {
  const endpoints = reader.chainRpcUrls ?? []
  return endpoints.length < 2 ? {} : { chainQuorum: { endpoints, k: Quorum.majority(endpoints.length) } }
}

/** The first endpoint of a quorum is the one that follows the daemon. */
function withFirst(file: ReaderFile.ReaderFile): ReaderFile.ReaderFile {
  const { chainQuorum, chainRpcUrl } = file
  if (chainQuorum === undefined || chainRpcUrl === null) return file
  const [, ...others] = chainQuorum.endpoints
  return { ...file, chainQuorum: { ...chainQuorum, endpoints: [chainRpcUrl, ...others] } }
}

/** What to do about differences, for people. */
export const advice =
  'No name was changed. If you wiped the chain or the keys yourself, `assay reset` forgets the old names and the next start names the new ones; if not, find out who did.'

/** Addresses that follow the daemon: those on this machine. Another one was put there by a person and stays. */
function followed(known: ReaderFile.ReaderFile, urls: { readonly chainRpcUrl: string; readonly gatewayUrl: string }) {
  return (['chainRpcUrl', 'gatewayUrl'] as const)
    .filter((name) => known[name] !== urls[name])
    .filter((name) => {
      const old = known[name]
      return old === null ? false : ReaderFile.isLoopback(old) && ReaderFile.isLoopback(urls[name])
    })
    .map((name) => [name, urls[name]] as const)
}

/** True when the newest trusted block is not the chain's block of that number. */
async function isOtherHistory(anchors: readonly TrustAnchors.TrustAnchors[], facts: Facts): Promise<boolean> {
  const { chainId } = facts.reader.anchors
  const newest = anchors.find((entry) => entry.chainId === chainId)?.headers.at(-1)
  if (newest === undefined) return false
  try {
    const rpc = Rpc.create({ url: facts.endpoints.chain, chainId, retries: 1 })
    return !Bytes.equal((await Rpc.fetchHeader(crypto, rpc, newest.number)).hash, newest.hash)
  } catch (error) {
    if (error instanceof Rpc.NotOnChainError) return true
    if (errors.BaseError.isInstance(error)) return false
    throw error
  }
}
