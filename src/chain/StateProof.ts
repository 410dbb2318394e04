/**
 * StateProof.ts - what a state root says about one account or one storage word: EIP-1186 proofs, checked strictly.
 * Source: Ethereum Yellow Paper appendix D, EIP-1186; spec/contracts.md section 5.
 *
 * A proof is the list of trie nodes from the root to the leaf, exactly those that are referred to by hash: a node
 * that stands inside its parent (less than 32 bytes) is not repeated, and nothing may follow the leaf. There is no
 * proof of absence here: whatever does not end in a value throws.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import { VerificationError } from '../protocol/errors.ts'
import * as Rlp from './Rlp.ts'

/** Trie nodes from root to leaf. */
export type Proof = readonly Uint8Array[]

/** An account of the state trie. */
export type Account = {
  readonly nonce: bigint
  /** In wei. */
  readonly balance: bigint
  /** Root of its storage trie, 32 bytes. */
  readonly storageRoot: Hash
  /** Keccak-256 of its code, 32 bytes. */
  readonly codeHash: Hash
}

/** Trie nodes that were checked against their hash; proofs under one root begin with the same ones. Starts empty. */
export type KnownNodes = { readonly hash: Hash; readonly bytes: Uint8Array; readonly items: readonly Rlp.Item[] }[]

// A path has 64 nibbles, and every node uses up at least one of them; the leaf may use none.
const maxNodes = 65

/**
 * Reads an account from a proof under a state root.
 *
 * - `stateRoot`: 32 bytes; `address`: 20 bytes; `known`: shared by proofs that are checked one after the other
 *
 * Throws: `Bytes.LengthError`, `StateProof.ProofError`.
 */
export function verifyAccount(
  crypto: Crypto,
  subject: { readonly stateRoot: Hash; readonly address: Uint8Array; readonly proof: Proof },
  known: KnownNodes = [],
): Account {
  Bytes.assertLength(subject.address, 20, 'Address')
  const path = crypto.keccak256(subject.address)
  const value = verifyPath(crypto, { root: subject.stateRoot, path, proof: subject.proof }, known)
  return strictly(() => {
    const fields = Rlp.decodeList(value)
    if (fields.length !== 4) throw new ProofError('proof-value', `Account fields: ${fields.length}, expected 4`)
    return {
      nonce: Rlp.toInteger(fields[0], 8),
      balance: Rlp.toInteger(fields[1], 32),
      storageRoot: Rlp.toBytes(fields[2], 32),
      codeHash: Rlp.toBytes(fields[3], 32),
    }
  }, 'proof-value')
}

/**
 * Reads one storage word, not zero, from a proof under an account's storage root; returns 32 bytes.
 *
 * - `storageRoot`: 32 bytes; `slot`: 32 bytes, before hashing; `known`: as in `verifyAccount`
 *
 * Throws: `Bytes.LengthError`, `StateProof.ProofError`.
 */
export function verifyStorage(
  crypto: Crypto,
  subject: { readonly storageRoot: Hash; readonly slot: Uint8Array; readonly proof: Proof },
  known: KnownNodes = [],
): Uint8Array {
  Bytes.assertLength(subject.slot, 32, 'Storage slot')
  const path = crypto.keccak256(subject.slot)
  const value = verifyPath(crypto, { root: subject.storageRoot, path, proof: subject.proof }, known)
  return strictly(() => {
    const word = Rlp.toInteger(Rlp.decode(value), 32)
    // A trie never stores a zero: setting a word to zero removes its leaf.
    if (word === 0n) throw new ProofError('proof-value', 'The word is zero')
    return Bytes.u256(word)
  }, 'proof-value')
}

/**
 * Walks a proof along a path of 32 bytes (64 nibbles) and returns the leaf's value as it stands in the trie.
 *
 * Throws: `Bytes.LengthError`, `StateProof.ProofError`.
 */
export function verifyPath(
  crypto: Crypto,
  subject: { readonly root: Hash; readonly path: Uint8Array; readonly proof: Proof },
  known: KnownNodes = [],
): Uint8Array {
  const { root, proof } = subject
  Bytes.assertLength(root, 32, 'Root')
  Bytes.assertLength(subject.path, 32, 'Path')
  if (proof.length > maxNodes) throw new ProofError('proof-too-long', `Nodes: ${proof.length}, limit: ${maxNodes}`)
  const path = nibblesOf(subject.path)
  let offset = 0
  let used = 0
  let mustBeBranch = false
  let reference: Rlp.Item = root
  for (;;) {
    let node: readonly Rlp.Item[]
    if (reference instanceof Uint8Array) {
      if (reference.length === 0) throw new ProofError('proof-absent', `Ends after ${offset} of 64 nibbles`)
      node = resolve(crypto, reference, proof[used], used, known)
      used++
    } else node = reference

    if (node.length === 17) {
      mustBeBranch = false
      if (branchValue(node).length !== 0) throw new ProofError('proof-node', 'A branch holds a value at an inner place')
      const nibble = path[offset]
      if (nibble === undefined) throw new ProofError('proof-node', 'The path ends in a branch')
      offset++
      reference = childOf(node[nibble])
      continue
    }
    if (node.length !== 2) throw new ProofError('proof-node', `Items: ${node.length}, expected 2 or 17`)
    const { isLeaf, nibbles } = pathOf(node[0])
    const matches = nibbles.every((nibble, i) => path[offset + i] === nibble)
    if (isLeaf) {
      if (mustBeBranch) throw new ProofError('proof-node', 'An extension leads to something other than a branch')
      if (!matches || offset + nibbles.length !== path.length)
        throw new ProofError('proof-absent', 'The leaf is another key')
      if (used !== proof.length) throw new ProofError('proof-trailing', `Nodes: ${proof.length}, used: ${used}`)
      return strictly(() => Rlp.toBytes(node[1]), 'proof-node')
    }
    if (mustBeBranch || nibbles.length === 0)
      throw new ProofError('proof-node', 'An extension is not in its shortest form')
    if (!matches) throw new ProofError('proof-absent', `Ends after ${offset} of 64 nibbles`)
    offset += nibbles.length
    mustBeBranch = true
    reference = childOf(node[1])
    if (reference.length === 0) throw new ProofError('proof-node', 'An extension leads nowhere')
  }
}

/** Takes the next node of the proof, which must have the hash that its parent names. */
function resolve(
  crypto: Crypto,
  hash: Uint8Array,
  bytes: Uint8Array | undefined,
  position: number,
  known: KnownNodes,
): readonly Rlp.Item[] {
  if (bytes === undefined) throw new ProofError('proof-too-short', `Nodes: ${position}`)
  const before = known.find((node) => Bytes.equal(node.hash, hash) && Bytes.equal(node.bytes, bytes))
  if (before === undefined && !Bytes.equal(crypto.keccak256(bytes), hash))
    throw new ProofError('proof-hash', `Node: ${position}`)
  // A smaller node stands inside its parent; only the root is always named by its hash.
  if (bytes.length < 32 && position > 0) throw new ProofError('proof-node', `Node ${position} should be embedded`)
  if (before !== undefined) return before.items
  const items = strictly(() => Rlp.decodeList(bytes), 'proof-node')
  known.push({ hash, bytes, items })
  return items
}

/** A reference to a child: nothing, a hash of 32 bytes, or the child itself if it takes less than 32 bytes. */
function childOf(item: Rlp.Item | undefined): Rlp.Item {
  if (item instanceof Uint8Array) {
    if (item.length !== 0 && item.length !== 32) throw new ProofError('proof-node', `Reference: ${item.length} bytes`)
    return item
  }
  if (item === undefined || Rlp.encode(item).length >= 32)
    throw new ProofError('proof-node', 'An embedded node is too large')
  return item
}

function branchValue(node: readonly Rlp.Item[]): Uint8Array {
  return strictly(() => Rlp.toBytes(node[16]), 'proof-node')
}

/** Hex-prefix encoding: the first nibble says leaf and odd, an even path is padded with one zero nibble. */
function pathOf(item: Rlp.Item | undefined): { isLeaf: boolean; nibbles: readonly number[] } {
  const encoded = nibblesOf(strictly(() => Rlp.toBytes(item), 'proof-node'))
  const flags = encoded[0]
  if (flags === undefined || flags > 3) throw new ProofError('proof-node', 'The path has unknown flags')
  const isOdd = (flags & 1) === 1
  if (!isOdd && encoded[1] !== 0) throw new ProofError('proof-node', 'The padding of a path is not zero')
  return { isLeaf: flags >= 2, nibbles: encoded.slice(isOdd ? 1 : 2) }
}

function nibblesOf(bytes: Uint8Array): number[] {
  const nibbles: number[] = []
  for (const byte of bytes) nibbles.push(byte >> 4, byte & 15)
  return nibbles
}

function strictly<T>(read: () => T, code: ProofErrorCode): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof Rlp.DecodeError) throw new ProofError(code, cause.facts[0] ?? cause.code, cause)
    throw cause
  }
}

/** Codes of `StateProof.ProofError`. */
export type ProofErrorCode =
  | 'proof-too-long'
  | 'proof-too-short'
  | 'proof-trailing'
  | 'proof-hash'
  | 'proof-node'
  | 'proof-absent'
  | 'proof-value'

/** A list of trie nodes does not show a value under the root. */
export class ProofError extends VerificationError<ProofErrorCode> {
  override readonly name = 'StateProof.ProofError'
  constructor(code: ProofErrorCode, fact: string, cause?: unknown) {
    super(code, 'The state proof does not hold.', { facts: [fact], cause })
  }
}
