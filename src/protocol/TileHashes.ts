/**
 * TileHashes.ts - roots and proofs of a stored log from few reads of perfect subtrees, as tiles hold them.
 * Source: RFC 9162 section 2.1; C2SP tlog-tiles; spec/log.md.
 *
 * A log of n leaves answers with at most about 2 * log2(n) reads. Nothing that is read is trusted: whoever needs the
 * result to be right checks it against a root.
 */
import * as Bytes from './Bytes.ts'
import type { Crypto, Hash } from './Crypto.ts'
import * as Merkle from './Merkle.ts'

/**
 * Reads the root of one perfect subtree, 32 bytes.
 *
 * - `level`: its height, 0 for a leaf; `index`: its number among the subtrees of that height
 *
 * Only complete subtrees of the tree in question are asked for.
 */
export type Read = (level: number, index: bigint) => Hash | Promise<Hash>

/** The root of the first `size` leaves. */
export async function root(crypto: Crypto, read: Read, size: bigint): Promise<Hash> {
  if (size < 0n || size > Merkle.maxSize) throw new Merkle.TreeRangeError('The size is not in 0..2^63-1.', { size })
  if (size === 0n) return Merkle.emptyRoot(crypto)
  return rangeRoot(crypto, read, { start: 0n, end: size })
}

/** The proof that leaf `index` is in the tree of the first `size` leaves; throws `Merkle.TreeRangeError`. */
export async function inclusionProof(crypto: Crypto, read: Read, index: bigint, size: bigint): Promise<Hash[]> {
  return Promise.all(Merkle.inclusionRanges(index, size).map((range) => rangeRoot(crypto, read, range)))
}

/** The proof that the first `size1` leaves begin the tree of `size2`; throws `Merkle.TreeRangeError`. */
export async function consistencyProof(crypto: Crypto, read: Read, size1: bigint, size2: bigint): Promise<Hash[]> {
  return Promise.all(Merkle.consistencyRanges(size1, size2).map((range) => rangeRoot(crypto, read, range)))
}

/** A range starts at a multiple of the power of two that is not below its length, so it splits into perfect subtrees. */
async function rangeRoot(crypto: Crypto, read: Read, range: Merkle.Range): Promise<Hash> {
  const reads: (Hash | Promise<Hash>)[] = []
  let { start } = range
  while (start < range.end) {
    const level = (range.end - start).toString(2).length - 1
    reads.push(read(level, start >> BigInt(level)))
    start += 1n << BigInt(level)
  }
  const hashes = await Promise.all(reads)
  for (const hash of hashes) Bytes.assertLength(hash, 32, 'Stored hash')
  return hashes.reduceRight((right, left) => Merkle.nodeHash(crypto, left, right))
}
