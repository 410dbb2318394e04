/** Body.ts - the four committed byte sequences of a call, as salted leaves. Source: spec/receipt.md section 4. */
import * as Bytes from './Bytes.ts'
import type { Crypto, Hash } from './Crypto.ts'
import { LimitError } from './errors.ts'
import * as Merkle from './Merkle.ts'
import * as MerkleFrontier from './MerkleFrontier.ts'

/** Most leaves of a body, 2^20: more than any context window has tokens, and hashing them takes seconds at most. */
export const maxLeaves = 2 ** 20

/** Names in the order of their salts, 16..19. */
export const names = Object.freeze(['request', 'effective', 'response', 'output'] as const)

/** The name of a body. */
export type Name = (typeof names)[number]

/** The slot in which a body is committed: 2, 3, 4, 5. */
export function slotOf(name: Name): number {
  return names.indexOf(name) + 2
}

/** The number of a body's salt: 16, 17, 18, 19. */
export function saltIndexOf(name: Name): number {
  return names.indexOf(name) + 16
}

/** One leaf, 32 bytes: SHA-256(0x00 || salt || index u32 || bytes); `salt` has 16 bytes. */
export function leafHash(crypto: Crypto, salt: Uint8Array, index: number, bytes: Uint8Array): Hash {
  Bytes.assertLength(salt, 16, 'Salt')
  // The first byte is the 0x00.
  const input = new Uint8Array(21 + bytes.length)
  input.set(salt, 1)
  input.set(Bytes.u32(index), 17)
  input.set(bytes, 21)
  return crypto.sha256(input)
}

/** The RFC 9162 root over the leaves of a body, 32 bytes; throws `LimitError` above 2^20 leaves. */
export function root(crypto: Crypto, salt: Uint8Array, leaves: readonly Uint8Array[]): Hash {
  if (leaves.length > maxLeaves) throw new LimitError({ what: 'Body leaf count', limit: maxLeaves, got: leaves.length })
  return Merkle.root(
    crypto,
    leaves.map((bytes, index) => leafHash(crypto, salt, index, bytes)),
  )
}

/** The commitment to a request body, 32 bytes: its one leaf, so slot 2's `hash` and an order's `requestHash`. */
export function requestHash(crypto: Crypto, salt: Uint8Array, bytes: Uint8Array): Hash {
  return leafHash(crypto, salt, 0, bytes)
}

/** Token ids as leaves: one u32, big-endian, for each; throws `Bytes.IntegerError`. */
export function tokenLeaves(tokens: Uint32Array | readonly number[]): Uint8Array[] {
  return Array.from(tokens, (token) => Bytes.u32(token))
}

/** Token ids of leaves of four bytes each; throws `Bytes.LengthError`. */
export function tokensOf(leaves: readonly Uint8Array[]): number[] {
  return leaves.map((bytes) => {
    Bytes.assertLength(bytes, 4, 'Token leaf')
    return new Bytes.Reader(bytes).u32()
  })
}

/** A body that is hashed while it streams. */
export type Hasher = {
  /** Adds one leaf; throws `LimitError` above 2^20 leaves. */
  readonly push: (bytes: Uint8Array) => void
  /** The root over what was added so far, 32 bytes. */
  readonly root: () => Hash
  /** Leaves so far. */
  readonly count: () => number
  /** Sum of the leaves' lengths so far. */
  readonly byteLength: () => bigint
}

/** Starts to hash a body leaf by leaf, in memory that does not grow with it. */
export function createHasher(crypto: Crypto, salt: Uint8Array): Hasher {
  let frontier = MerkleFrontier.empty
  let byteLength = 0n
  return {
    push(bytes) {
      const index = Number(frontier.size)
      if (index >= maxLeaves) throw new LimitError({ what: 'Body leaf count', limit: maxLeaves })
      frontier = MerkleFrontier.append(crypto, frontier, [leafHash(crypto, salt, index, bytes)])
      byteLength += BigInt(bytes.length)
    },
    root: () => MerkleFrontier.root(crypto, frontier),
    count: () => Number(frontier.size),
    byteLength: () => byteLength,
  }
}
