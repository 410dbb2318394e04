/** Heartbeat.ts - a node's signed word that it saw a block: what a reader tells a living node by. Source: spec/wire.md section 6. */
import * as Abi from './Abi.ts'
import * as Bytes from './Bytes.ts'
import * as Cose from './Cose.ts'
import type { Crypto, Hash } from './Crypto.ts'
import { type BaseError, VerificationError } from './errors.ts'

/** Bytes of the seven words. */
export const byteLength = 224

/** What a node says. */
export type Heartbeat = {
  /** 0..2^64-1. */
  readonly chainId: bigint
  /** Address of NodeRegistry, 20 bytes. */
  readonly registry: Uint8Array
  /** 32 bytes. */
  readonly nodeId: Uint8Array
  /** 0..2^32-1. */
  readonly keyEpoch: number
  /** Grows with every heartbeat of a key, 0..2^64-1. */
  readonly counter: bigint
  readonly blockNumber: bigint
  /** 32 bytes. */
  readonly blockHash: Uint8Array
}

/** The words and the signature over them. */
export type Signed = { readonly words: Uint8Array /** 64 bytes, r || s. */; readonly signature: Uint8Array }

/** The seven words, 224 bytes; throws `Bytes.LengthError`, `Bytes.IntegerError`. */
export function words(heartbeat: Heartbeat): Uint8Array {
  return Abi.encode(
    Abi.uint(heartbeat.chainId, 64),
    Abi.address(heartbeat.registry),
    Abi.bytes32(heartbeat.nodeId),
    Abi.uint(BigInt(heartbeat.keyEpoch), 32),
    Abi.uint(heartbeat.counter, 64),
    Abi.uint(heartbeat.blockNumber, 64),
    Abi.bytes32(heartbeat.blockHash),
  )
}

/** Reads 224 bytes of words; throws `Heartbeat.MalformedHeartbeatError`. */
export function parse(bytes: Uint8Array): Heartbeat {
  if (bytes.length !== byteLength) {
    throw new MalformedHeartbeatError('heartbeat-length', [
      `Expected: ${byteLength} bytes`,
      `Got: ${bytes.length} bytes`,
    ])
  }
  try {
    const reader = new Abi.Reader(bytes)
    const heartbeat: Heartbeat = {
      chainId: reader.uint(64),
      registry: reader.address(),
      nodeId: reader.bytes32(),
      keyEpoch: Number(reader.uint(32)),
      counter: reader.uint(64),
      blockNumber: reader.uint(64),
      blockHash: reader.bytes32(),
    }
    reader.end()
    return heartbeat
  } catch (cause) {
    if (cause instanceof Abi.WordError) throw new MalformedHeartbeatError('heartbeat-word', cause.facts, cause)
    throw cause
  }
}

/** What is signed under tag `heartbeat`, 32 bytes: SHA-256 of the words. */
export function payload(crypto: Crypto, bytes: Uint8Array): Hash {
  Bytes.assertLength(bytes, byteLength, 'Heartbeat')
  return crypto.sha256(bytes)
}

/**
 * Checks the signature under a key and gives what the words say; whose key that is, and which blocks are canonical, is the
 * reader's to know.
 *
 * - `publicKey`: 64 bytes, x || y
 *
 * Throws: `Heartbeat.MalformedHeartbeatError`, and what `Cose.verify` throws.
 *
 * @example
 * const { counter, blockNumber } = await Heartbeat.verify(crypto, { words, signature, publicKey })
 */
export async function verify(
  crypto: Crypto,
  subject: Signed & { readonly publicKey: Uint8Array },
): Promise<Heartbeat & { readonly keyId: Uint8Array }> {
  const heartbeat = parse(subject.words)
  const { signature, publicKey } = subject
  const statement = { tag: 'heartbeat', payload: payload(crypto, subject.words), signature, publicKey } as const
  const { keyId } = await Cose.verify(crypto, statement)
  return { ...heartbeat, keyId }
}

/** Codes of `Heartbeat.MalformedHeartbeatError`. */
export type MalformedHeartbeatErrorCode = 'heartbeat-length' | 'heartbeat-word'

/** Bytes are no heartbeat. */
export class MalformedHeartbeatError extends VerificationError<MalformedHeartbeatErrorCode> {
  override readonly name = 'Heartbeat.MalformedHeartbeatError'
  constructor(code: MalformedHeartbeatErrorCode, facts: readonly string[], cause?: BaseError) {
    super(code, 'These words are no heartbeat.', { facts, cause })
  }
}
