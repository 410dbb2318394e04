/**
 * Heartbeats.ts - asks a node for its heartbeat and holds it against the reader's own chain. Source: spec/wire.md section 6.
 *
 * What comes out are facts: how old the block is that the node saw, and that its counter did not go back. What they mean is
 * for the reader to say.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { type BaseError, PolicyError, UnavailableError, UsageError, VerificationError } from '../protocol/errors.ts'
import * as Heartbeat from '../protocol/Heartbeat.ts'
import type { ChainAccess } from './ChainAccess.ts'
import * as HttpBody from './HttpBody.ts'
import type { NodeInfo } from './NodeInfo.ts'

/** What a reader learned from one heartbeat. */
export type Facts = {
  readonly keyEpoch: number
  readonly counter: bigint
  /** The block that the node saw; canonical in the reader's own view. */
  readonly blockNumber: bigint
  /** Blocks of the reader's own view above it; 0 for one that is the newest or newer. */
  readonly ageBlocks: bigint
  /** The newest block of the reader's own view. */
  readonly newestBlock: bigint
}

/** The last heartbeats of keys, by keyId in hex: what a counter must not go back behind. */
export type Memory = Map<string, { readonly counter: bigint; readonly words: Uint8Array }>

/** Blocks that a node may know before the reader does. */
export const maxAheadBlocks = 2n
const maxBytes = 4_096
const timeoutMs = 10_000
/** Keys remembered: a node has one at a time. */
const maxKeys = 64

/** What asking needs; `info` is what the node says of itself, checked against the chain. */
export type Parts = {
  readonly crypto: Crypto
  readonly fetch: typeof globalThis.fetch
  readonly baseUrl: string
  readonly info: NodeInfo
  readonly chain: ChainAccess
  readonly memory: Memory
}

/**
 * Asks for a heartbeat and checks it.
 *
 * Throws: `NoHeartbeatError`, `Heartbeat.MalformedHeartbeatError`, what `Cose.verify` throws, `OtherNodeError`,
 * `OtherChainError`, `CounterError`, and what the chain throws.
 */
export async function ask(parts: Parts): Promise<Facts> {
  const { crypto, info, chain, memory } = parts
  const { words, signature } = await fetchSigned(parts)
  const { keyId, ...said } = await Heartbeat.verify(crypto, { words, signature, publicKey: info.publicKey })
  const isNode =
    said.chainId === info.chainId &&
    Bytes.equal(said.registry, info.nodeRegistry) &&
    Bytes.equal(said.nodeId, info.nodeId) &&
    said.keyEpoch === info.keyEpoch
  if (!isNode) throw new OtherNodeError()
  const { newest, blocks } = await chain.view([said.blockNumber])
  if (said.blockNumber > newest + maxAheadBlocks) throw new OtherChainError(said.blockNumber, newest)
  const own = blocks.find(({ number }) => number === said.blockNumber)
  if (own !== undefined && !Bytes.equal(own.hash, said.blockHash)) throw new OtherChainError(said.blockNumber, newest)
  const name = Bytes.toHex(keyId)
  const last = memory.get(name)
  if (last !== undefined) assertOn(last, said.counter, words)
  if (memory.size >= maxKeys && last === undefined) memory.delete(memory.keys().next().value as string)
  memory.set(name, { counter: said.counter, words })
  const { keyEpoch, counter, blockNumber } = said
  return {
    ...{ keyEpoch, counter, blockNumber, newestBlock: newest },
    ageBlocks: newest > blockNumber ? newest - blockNumber : 0n,
  }
}

function assertOn(last: { readonly counter: bigint; readonly words: Uint8Array }, counter: bigint, words: Uint8Array) {
  if (counter < last.counter) throw new CounterError('heartbeat-went-back', last.counter, counter)
  if (counter === last.counter && !Bytes.equal(words, last.words))
    throw new CounterError('heartbeat-contradiction', last.counter, counter)
}

async function fetchSigned({ fetch, baseUrl }: Parts): Promise<Heartbeat.Signed> {
  const url = new URL('/v1/heartbeat', baseUrl)
  const response = await HttpBody.reach(fetch(url, { redirect: 'error', signal: AbortSignal.timeout(timeoutMs) }))
  if (!response.ok) {
    await HttpBody.discard(response)
    throw new NoHeartbeatError(`status ${response.status}`)
  }
  const text = await HttpBody.readText(response, maxBytes)
  try {
    const { words, signature } = JSON.parse(text) as Record<string, unknown>
    return { words: Bytes.fromBase64url(String(words)), signature: Bytes.fromBase64url(String(signature)) }
  } catch (cause) {
    throw new MalformedAnswerError(cause)
  }
}

/** The node gives no heartbeat now. */
export class NoHeartbeatError extends UnavailableError<'heartbeat-missing'> {
  override readonly name = 'Heartbeats.NoHeartbeatError'
  constructor(problem: string) {
    super('heartbeat-missing', 'The node gives no heartbeat.', { facts: [`Problem: ${problem}`] })
  }
}

/** The node's answer is no heartbeat. */
export class MalformedAnswerError extends VerificationError<'heartbeat-malformed'> {
  override readonly name = 'Heartbeats.MalformedAnswerError'
  constructor(cause: unknown) {
    super('heartbeat-malformed', "The node's answer is no heartbeat.", {
      cause: cause as BaseError,
      docsPath: 'spec/wire.md',
    })
  }
}

/** The heartbeat is of another node, chain, registry or key than the node said. */
export class OtherNodeError extends VerificationError<'heartbeat-other-node'> {
  override readonly name = 'Heartbeats.OtherNodeError'
  constructor() {
    super('heartbeat-other-node', 'The heartbeat is of another node or key than the one that was asked.')
  }
}

/** The node saw a block that the reader's own chain does not have. */
export class OtherChainError extends PolicyError<'heartbeat-other-block'> {
  override readonly name = 'Heartbeats.OtherChainError'
  constructor(block: bigint, newest: bigint) {
    super('heartbeat-other-block', 'The node saw a block that your own view of the chain does not have.', {
      facts: [`Its block: ${block}`, `Your newest: ${newest}`],
    })
  }
}

/** The counter of a key went back, or stands for two heartbeats: its signer lost its memory, or there are two of them. */
export class CounterError extends VerificationError<'heartbeat-went-back' | 'heartbeat-contradiction'> {
  override readonly name = 'Heartbeats.CounterError'
  constructor(code: 'heartbeat-went-back' | 'heartbeat-contradiction', last: bigint, counter: bigint) {
    super(code, "The counter of the node's heartbeats did not go on.", {
      facts: [`Seen before: ${last}`, `Now: ${counter}`],
    })
  }
}

/** Without an own view of the chain a heartbeat says nothing. */
export class NoChainError extends UsageError<'heartbeat-needs-chain'> {
  override readonly name = 'Heartbeats.NoChainError'
  constructor() {
    super('heartbeat-needs-chain', 'A heartbeat is judged by your own view of the chain; give the client one.')
  }
}
