/**
 * MerkleFrontier.ts - a growing log tree in memory: the size and the roots of its perfect subtrees, nothing else.
 * Source: RFC 9162 section 2.1.2; spec/log.md.
 */
import * as Bytes from './Bytes.ts'
import type { Crypto, Hash } from './Crypto.ts'
import { VerificationError } from './errors.ts'
import * as Merkle from './Merkle.ts'

/** A tree by its right edge; values are never changed in place. */
export type Frontier = {
  /** Leaves, 0..2^63-1. */
  readonly size: bigint
  /** Roots of the perfect subtrees, largest first, one for each set bit of `size`; 32 bytes each. */
  readonly hashes: readonly Hash[]
}

/** Told about every perfect subtree as it is completed: `level` 0 is a leaf, `index` counts subtrees of that level. */
export type OnNode = (level: number, index: bigint, hash: Hash) => void

/** The tree without leaves. */
export const empty: Frontier = Object.freeze({ size: 0n, hashes: Object.freeze([]) })

/**
 * Appends leaf hashes of 32 bytes in order; returns the new tree.
 *
 * Throws: `Bytes.LengthError`, `Merkle.TreeRangeError` above 2^63-1 leaves.
 */
export function append(crypto: Crypto, frontier: Frontier, leafHashes: readonly Hash[], onNode?: OnNode): Frontier {
  const hashes = [...frontier.hashes]
  let { size } = frontier
  for (const leafHash of leafHashes) {
    Bytes.assertLength(leafHash, 32, 'Leaf hash')
    if (size >= Merkle.maxSize) throw new Merkle.TreeRangeError('The tree is full.', { size })
    let hash = leafHash
    let index = size
    let level = 0
    onNode?.(level, index, hash)
    while ((index & 1n) === 1n) {
      hash = Merkle.nodeHash(crypto, hashes.pop() as Hash, hash)
      index >>= 1n
      level++
      onNode?.(level, index, hash)
    }
    hashes.push(hash)
    size++
  }
  return { size, hashes }
}

/** The root of the tree, 32 bytes. */
export function root(crypto: Crypto, frontier: Frontier): Hash {
  if (frontier.size === 0n) return Merkle.emptyRoot(crypto)
  return frontier.hashes.reduceRight((right, left) => Merkle.nodeHash(crypto, left, right))
}

/** Writes size u64 || hashes, 8 + 32 * (set bits of the size) bytes. */
export function serialize(frontier: Frontier): Uint8Array {
  return Bytes.concat(Bytes.u64(frontier.size), ...frontier.hashes)
}

/** Reads what `serialize` wrote; throws `MerkleFrontier.FrontierError`, `Bytes.ReadError`. */
export function parse(bytes: Uint8Array): Frontier {
  const reader = new Bytes.Reader(bytes)
  const size = reader.u64()
  if (size > Merkle.maxSize) throw new FrontierError()
  const hashes: Hash[] = []
  for (let rest = size; rest !== 0n; rest &= rest - 1n) hashes.push(reader.bytes(32))
  reader.end()
  return { size, hashes }
}

/** A stored frontier has an impossible size. */
export class FrontierError extends VerificationError<'size-out-of-range'> {
  override readonly name = 'MerkleFrontier.FrontierError'
  constructor() {
    super('size-out-of-range', 'The size is not in 0..2^63-1.')
  }
}
