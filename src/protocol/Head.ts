/** Head.ts - the 139 signed bytes of a receipt. Source: spec/receipt.md section 1. */
import * as Abi from './Abi.ts'
import * as Bytes from './Bytes.ts'
import type { Crypto, Hash } from './Crypto.ts'
import { VerificationError } from './errors.ts'

/** Bytes of a head. */
export const byteLength = 139

/** Bits of `modeBits`. */
export const modes = Object.freeze({ tee: 1, zk: 2, exact: 4 } as const)
/** Bits of `flags`. */
export const flags = Object.freeze({ notCompleted: 1 } as const)

/** What a node signs. */
export type Head = {
  /** 0..2^64-1. */
  readonly chainId: bigint
  /** Address of NodeRegistry, 20 bytes. */
  readonly registry: Uint8Array
  /** 32 bytes. */
  readonly nodeId: Uint8Array
  /** 0..2^32-1. */
  readonly keyEpoch: number
  /** Running number of the signing key, 0..2^64-1. */
  readonly sequence: bigint
  /** receiptHash of the number before, 32 bytes; zero if and only if `sequence` is 0. */
  readonly previous: Uint8Array
  /** Sum of `modes`. */
  readonly modeBits: number
  /** Sum of `flags`. */
  readonly flags: number
  /** 32 bytes. */
  readonly claimsRoot: Uint8Array
}

/** Reads a head of 139 bytes; throws `Head.MalformedHeadError`. */
export function parse(bytes: Uint8Array): Head {
  if (bytes.length !== byteLength) {
    throw new MalformedHeadError('head-length', [`Expected: ${byteLength} bytes`, `Got: ${bytes.length} bytes`])
  }
  const reader = new Bytes.Reader(bytes)
  const version = reader.u8()
  if (version !== 1) throw new MalformedHeadError('head-version', ['Expected: 1', `Got: ${version}`])
  const head: Head = {
    chainId: reader.u64(),
    registry: reader.bytes(20),
    nodeId: reader.bytes(32),
    keyEpoch: reader.u32(),
    sequence: reader.u64(),
    previous: reader.bytes(32),
    modeBits: reader.u8(),
    flags: reader.u8(),
    claimsRoot: reader.bytes(32),
  }
  reader.end()
  assertRules(head)
  return head
}

/** Writes a head, 139 bytes; throws `Head.MalformedHeadError`, `Bytes.LengthError`, `Bytes.IntegerError`. */
export function serialize(head: Head): Uint8Array {
  Bytes.assertLength(head.registry, 20, 'Registry address')
  Bytes.assertLength(head.nodeId, 32, 'Node identifier')
  Bytes.assertLength(head.previous, 32, 'Previous receipt hash')
  Bytes.assertLength(head.claimsRoot, 32, 'Claims root')
  assertRules(head)
  return Bytes.concat(
    Uint8Array.of(1),
    Bytes.u64(head.chainId),
    head.registry,
    head.nodeId,
    Bytes.u32(head.keyEpoch),
    Bytes.u64(head.sequence),
    head.previous,
    Bytes.u8(head.modeBits),
    Bytes.u8(head.flags),
    head.claimsRoot,
  )
}

/** The identity of a receipt, 32 bytes: SHA-256(0x03 || head). The signature is no part of it. */
export function hash(crypto: Crypto, bytes: Uint8Array): Hash {
  Bytes.assertLength(bytes, byteLength, 'Head')
  return crypto.sha256(Bytes.concat(Uint8Array.of(0x03), bytes))
}

/** What is signed under tag `receipt`, 32 bytes: SHA-256(head). */
export function payload(crypto: Crypto, bytes: Uint8Array): Hash {
  Bytes.assertLength(bytes, byteLength, 'Head')
  return crypto.sha256(bytes)
}

function assertRules(head: Head): void {
  if ((head.modeBits & ~7) !== 0) throw new MalformedHeadError('head-mode-bits', ['Known bits: 1, 2, 4'])
  if ((head.flags & ~1) !== 0) throw new MalformedHeadError('head-flags', ['Known bits: 1'])
  if ((head.sequence === 0n) !== Abi.isZero(head.previous)) {
    throw new MalformedHeadError('head-previous', ['Rule: previous is zero if and only if sequence is 0'])
  }
}

/** Codes of `Head.MalformedHeadError`. */
export type MalformedHeadErrorCode = 'head-length' | 'head-version' | 'head-mode-bits' | 'head-flags' | 'head-previous'

/** Bytes or fields are no head of version 1. */
export class MalformedHeadError extends VerificationError<MalformedHeadErrorCode> {
  override readonly name = 'Head.MalformedHeadError'
  constructor(code: MalformedHeadErrorCode, facts: readonly string[]) {
    super(code, 'This is no head of version 1.', { facts })
  }
}
