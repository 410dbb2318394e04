/**
 * Merkle.ts - the tree of the log: hashes, inclusion and consistency proofs. Source: RFC 9162 section 2.1; spec/log.md.
 *
 * Leaves are hashed as SHA-256(0x00 || entry), nodes as SHA-256(0x01 || left || right), the empty tree as SHA-256('').
 * Sizes and indices are bigint, 0..2^63-1. A proof has exactly the length that follows from the sizes.
 */
import * as Bytes from './Bytes.ts'
import type { Crypto, Hash } from './Crypto.ts'
import { UsageError, VerificationError } from './errors.ts'

/** The largest tree, 2^63-1 leaves, so that sizes also fit signed 64-bit integers. */
export const maxSize = 2n ** 63n - 1n

/** Leaves from `start` up to but without `end`. */
export type Range = { readonly start: bigint; readonly end: bigint }

const leafPrefix = Uint8Array.of(0x00)
// 0x01 || left || right, written anew for every node: an array of its own would take longer than the hash.
const nodeInput = new Uint8Array(65).fill(0x01, 0, 1)

/** The root of the tree without leaves: SHA-256 of no bytes, 32 bytes. */
export function emptyRoot(crypto: Crypto): Hash {
  return crypto.sha256(new Uint8Array(0))
}

/** Hashes an entry of any length to its leaf: SHA-256(0x00 || entry), 32 bytes. */
export function leafHash(crypto: Crypto, entry: Uint8Array): Hash {
  return crypto.sha256(Bytes.concat(leafPrefix, entry))
}

/** Hashes two children of 32 bytes to their parent: SHA-256(0x01 || left || right), 32 bytes. */
export function nodeHash(crypto: Crypto, left: Hash, right: Hash): Hash {
  Bytes.assertLength(left, 32, 'Left hash')
  Bytes.assertLength(right, 32, 'Right hash')
  nodeInput.set(left, 1)
  nodeInput.set(right, 33)
  return crypto.sha256(nodeInput)
}

/** The root over leaf hashes of 32 bytes each. */
export function root(crypto: Crypto, leafHashes: readonly Hash[]): Hash {
  if (leafHashes.length === 0) return emptyRoot(crypto)
  return subtreeRoot(crypto, leafHashes, 0, leafHashes.length)
}

/**
 * The proof that a leaf is in the tree of the first `size` leaves, nearest sibling first.
 *
 * - `size`: at most and by default the number of leaf hashes
 *
 * Throws: `Merkle.TreeRangeError`.
 */
export function inclusionProof(
  crypto: Crypto,
  leafHashes: readonly Hash[],
  index: bigint,
  size: bigint = BigInt(leafHashes.length),
): Hash[] {
  assertAvailable(leafHashes, size)
  return inclusionRanges(index, size).map((range) => rangeRoot(crypto, leafHashes, range))
}

/**
 * The proof that the tree of `size1` leaves is a prefix of the tree of `size2`, 1 <= size1 <= size2.
 *
 * - `size2`: at most and by default the number of leaf hashes
 *
 * Throws: `Merkle.TreeRangeError`.
 */
export function consistencyProof(
  crypto: Crypto,
  leafHashes: readonly Hash[],
  size1: bigint,
  size2: bigint = BigInt(leafHashes.length),
): Hash[] {
  assertAvailable(leafHashes, size2)
  return consistencyRanges(size1, size2).map((range) => rangeRoot(crypto, leafHashes, range))
}

/**
 * Which ranges of leaves an inclusion proof gives the roots of, in order; throws `Merkle.TreeRangeError`.
 *
 * Both proofs over an array and proofs over stored tiles are built from it.
 */
export function inclusionRanges(index: bigint, size: bigint): Range[] {
  assertSize(size)
  if (index < 0n || index >= size) throw new TreeRangeError('The index is not in the tree.', { index, size })
  const ranges: Range[] = []
  let start = 0n
  let end = size
  while (end - start > 1n) {
    const middle = start + splitPoint(end - start)
    if (index < middle) {
      ranges.push({ start: middle, end })
      end = middle
    } else {
      ranges.push({ start, end: middle })
      start = middle
    }
  }
  return ranges.reverse()
}

/** Which ranges of leaves a consistency proof gives the roots of, in order; throws `Merkle.TreeRangeError`. */
export function consistencyRanges(size1: bigint, size2: bigint): Range[] {
  assertSize(size2)
  if (size1 < 1n || size1 > size2) {
    throw new TreeRangeError('A consistency proof needs 1 <= size1 <= size2.', { size1, size2 })
  }
  const ranges: Range[] = []
  let start = 0n
  let end = size2
  // Down to the subtree that ends exactly where the old tree ends.
  while (size1 !== end) {
    const middle = start + splitPoint(end - start)
    if (size1 <= middle) {
      ranges.push({ start: middle, end })
      end = middle
    } else {
      ranges.push({ start, end: middle })
      start = middle
    }
  }
  // If that is the old tree itself, its root is known to the verifier and not repeated.
  if (start !== 0n) ranges.push({ start, end })
  return ranges.reverse()
}

/**
 * The root that an inclusion proof leads to.
 *
 * Throws: `Merkle.InclusionError` for a wrong index or proof length.
 */
export function rootFromInclusion(
  crypto: Crypto,
  proof: { readonly leafHash: Hash; readonly index: bigint; readonly size: bigint; readonly proof: readonly Hash[] },
): Hash {
  if (proof.size < 0n || proof.size > maxSize) throw new InclusionError('size-out-of-range', proof)
  if (proof.index < 0n || proof.index >= proof.size) throw new InclusionError('index-out-of-range', proof)
  if (proof.proof.length !== inclusionLength(proof.index, proof.size)) throw new InclusionError('proof-length', proof)
  if (![proof.leafHash, ...proof.proof].every(isHash)) throw new InclusionError('hash-length', proof)
  let node = proof.index
  let last = proof.size - 1n
  let hash = proof.leafHash
  for (const sibling of proof.proof) {
    if ((node & 1n) === 1n || node === last) {
      hash = nodeHash(crypto, sibling, hash)
      // A node at the right edge without a sibling moves up unchanged.
      while ((node & 1n) === 0n && node !== 0n) {
        node >>= 1n
        last >>= 1n
      }
    } else {
      hash = nodeHash(crypto, hash, sibling)
    }
    node >>= 1n
    last >>= 1n
  }
  return Uint8Array.from(hash)
}

/**
 * Checks that a leaf is at an index of the tree with a root.
 *
 * - `leafHash`, `root`, each of `proof`: 32 bytes
 *
 * Throws: `Merkle.InclusionError`.
 */
export function verifyInclusion(
  crypto: Crypto,
  subject: {
    readonly leafHash: Hash
    readonly index: bigint
    readonly size: bigint
    readonly proof: readonly Hash[]
    readonly root: Hash
  },
): void {
  if (!Bytes.equal(rootFromInclusion(crypto, subject), subject.root)) throw new InclusionError('root-mismatch', subject)
}

/**
 * Checks that the tree (size2, root2) begins with the tree (size1, root1).
 *
 * Sizes must satisfy 1 <= size1 <= size2. Size 0 is refused, even with the empty root: every tree extends the empty
 * one, so there is nothing that such a proof could show. Equal sizes need equal roots and an empty proof.
 *
 * Throws: `Merkle.ConsistencyError`.
 */
export function verifyConsistency(
  crypto: Crypto,
  subject: {
    readonly size1: bigint
    readonly root1: Hash
    readonly size2: bigint
    readonly root2: Hash
    readonly proof: readonly Hash[]
  },
): void {
  const { size1, root1, size2, root2, proof } = subject
  if (size1 < 1n || size1 > size2 || size2 > maxSize) throw new ConsistencyError('size-out-of-range', subject)
  if (proof.length !== consistencyLength(size1, size2)) throw new ConsistencyError('proof-length', subject)
  if (![root1, root2, ...proof].every(isHash)) throw new ConsistencyError('hash-length', subject)
  if (size1 === size2) {
    if (!Bytes.equal(root1, root2)) throw new ConsistencyError('root-mismatch', subject)
    return
  }
  // When the old tree is perfect its root is the first node of the path; otherwise the proof begins with that node.
  const path = (size1 & (size1 - 1n)) === 0n ? [root1, ...proof] : proof
  let node = size1 - 1n
  let last = size2 - 1n
  while ((node & 1n) === 1n) {
    node >>= 1n
    last >>= 1n
  }
  let oldHash = path[0] as Hash
  let newHash = oldHash
  for (const sibling of path.slice(1)) {
    if ((node & 1n) === 1n || node === last) {
      oldHash = nodeHash(crypto, sibling, oldHash)
      newHash = nodeHash(crypto, sibling, newHash)
      while ((node & 1n) === 0n && node !== 0n) {
        node >>= 1n
        last >>= 1n
      }
    } else {
      newHash = nodeHash(crypto, newHash, sibling)
    }
    node >>= 1n
    last >>= 1n
  }
  if (!Bytes.equal(oldHash, root1) || !Bytes.equal(newHash, root2)) throw new ConsistencyError('root-mismatch', subject)
}

/** The largest power of two below `size`, which must be 2 at least: where RFC 9162 splits a tree. */
function splitPoint(size: bigint): bigint {
  return 1n << BigInt((size - 1n).toString(2).length - 1)
}

/** Hashes in an inclusion proof: down to where the path leaves the right edge, plus one per set bit on the edge. */
function inclusionLength(index: bigint, size: bigint): number {
  const inner = bitLength(index ^ (size - 1n))
  return inner + bitCount(index >> BigInt(inner))
}

function consistencyLength(size1: bigint, size2: bigint): number {
  if (size1 === size2) return 0
  // The path of the old tree's last perfect subtree: as for a leaf, without the levels below that subtree.
  let level = 0n
  while (((size1 >> level) & 1n) === 0n) level++
  const length = inclusionLength((size1 - 1n) >> level, ((size2 - 1n) >> level) + 1n)
  return (size1 & (size1 - 1n)) === 0n ? length : length + 1
}

function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(2).length
}

function bitCount(value: bigint): number {
  return value.toString(2).replaceAll('0', '').length
}

function subtreeRoot(crypto: Crypto, leafHashes: readonly Hash[], start: number, end: number): Hash {
  if (end - start === 1) {
    const hash = leafHashes[start] as Hash
    Bytes.assertLength(hash, 32, 'Leaf hash')
    return hash
  }
  // As `splitPoint`, in numbers: an array has fewer than 2^32 elements.
  const middle = start + 2 ** (31 - Math.clz32(end - start - 1))
  return nodeHash(crypto, subtreeRoot(crypto, leafHashes, start, middle), subtreeRoot(crypto, leafHashes, middle, end))
}

function rangeRoot(crypto: Crypto, leafHashes: readonly Hash[], range: Range): Hash {
  return subtreeRoot(crypto, leafHashes, Number(range.start), Number(range.end))
}

function assertSize(size: bigint): void {
  if (size < 0n || size > maxSize) throw new TreeRangeError('The size is not in 0..2^63-1.', { size })
}

function assertAvailable(leafHashes: readonly Hash[], size: bigint): void {
  if (size > BigInt(leafHashes.length)) {
    throw new TreeRangeError('The tree has fewer leaves than the size.', { size, leaves: BigInt(leafHashes.length) })
  }
}

function isHash(bytes: Uint8Array): boolean {
  return bytes.length === 32
}

/** A proof was asked for that no such tree has. */
export class TreeRangeError extends UsageError<'tree-range'> {
  override readonly name = 'Merkle.TreeRangeError'
  constructor(shortMessage: string, numbers: Readonly<Record<string, bigint>>) {
    super('tree-range', shortMessage, { facts: Object.entries(numbers).map(([name, value]) => `${name}: ${value}`) })
  }
}

/** Codes of `Merkle.InclusionError`. */
export type InclusionErrorCode =
  | 'size-out-of-range'
  | 'index-out-of-range'
  | 'proof-length'
  | 'hash-length'
  | 'root-mismatch'

/** A leaf is not shown to be in a tree. */
export class InclusionError extends VerificationError<InclusionErrorCode> {
  override readonly name = 'Merkle.InclusionError'
  constructor(code: InclusionErrorCode, subject: { index: bigint; size: bigint; proof: readonly Hash[] }) {
    super(code, 'The inclusion proof does not hold.', {
      facts: [`Index: ${subject.index}`, `Size: ${subject.size}`, `Hashes: ${subject.proof.length}`],
    })
  }
}

/** Codes of `Merkle.ConsistencyError`. */
export type ConsistencyErrorCode = 'size-out-of-range' | 'proof-length' | 'hash-length' | 'root-mismatch'

/** A tree is not shown to extend another. */
export class ConsistencyError extends VerificationError<ConsistencyErrorCode> {
  override readonly name = 'Merkle.ConsistencyError'
  constructor(code: ConsistencyErrorCode, subject: { size1: bigint; size2: bigint; proof: readonly Hash[] }) {
    super(code, 'The consistency proof does not hold.', {
      facts: [`Sizes: ${subject.size1}, ${subject.size2}`, `Hashes: ${subject.proof.length}`],
    })
  }
}
