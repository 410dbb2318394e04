/**
 * StateProof.ts - what a state root says about one account or one storage word: EIP-1186 proofs, checked strictly.
 * Source: Ethereum Yellow Paper appendix D, EIP-1186; spec/contracts.md section 5.
 *
 * A proof is the list of trie nodes from the root to the leaf, exactly those that are referred to by hash: a node
 * that stands inside its parent (less than 32 bytes) is not repeated, and nothing may follow the last one. A path ends in
 * its value, or where the trie shows that it has none: at an empty place of a branch, at a leaf or an extension that leads
 * elsewhere, or in the root of nothing. What a proof shows follows from its nodes alone: nobody can ask for one or the other.
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

/** Root of a trie without any key, 32 bytes: Keccak-256 of the RLP of no bytes. No node leads from it, so its proofs are empty. */
export const emptyRoot: Hash = Bytes.fromHex('56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421')

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
  return wordOf(verifyPath(crypto, { root: subject.storageRoot, path, proof: subject.proof }, known))
}

/**
 * Reads one storage word that may be zero: 32 zero bytes only where the proof shows that the trie has no such key.
 *
 * - as in `verifyStorage`
 *
 * Throws: `Bytes.LengthError`, `StateProof.ProofError`.
 */
export function verifyStorageOrZero(
  crypto: Crypto,
  subject: { readonly storageRoot: Hash; readonly slot: Uint8Array; readonly proof: Proof },
  known: KnownNodes = [],
): Uint8Array {
  Bytes.assertLength(subject.slot, 32, 'Storage slot')
  const path = crypto.keccak256(subject.slot)
  const end = walk(crypto, { root: subject.storageRoot, path, proof: subject.proof }, known)
  return 'absent' in end ? new Uint8Array(32) : wordOf(end.value)
}

/**
 * Reads one storage word that may be zero, from a reader's own endpoint: as `verifyStorageOrZero`, and a leaf that holds zero is a
 * zero too. Ethereum's tries have no such leaf, those of some development chains keep one for every word that was ever written;
 * it is under the root like any other, so it shows what it says. No bundle may hold one.
 *
 * Throws: `Bytes.LengthError`, `StateProof.ProofError`.
 */
export function verifyWord(
  crypto: Crypto,
  subject: { readonly storageRoot: Hash; readonly slot: Uint8Array; readonly proof: Proof },
  known: KnownNodes = [],
): Uint8Array {
  Bytes.assertLength(subject.slot, 32, 'Storage slot')
  const path = crypto.keccak256(subject.slot)
  const end = walk(crypto, { root: subject.storageRoot, path, proof: subject.proof }, known)
  const isZero = 'absent' in end || (end.value.length === 1 && end.value[0] === 0x80)
  return isZero ? new Uint8Array(32) : wordOf(end.value)
}

/**
 * Walks a proof along a path of 32 bytes (64 nibbles) and returns the leaf's value as it stands in the trie.
 *
 * Throws: `Bytes.LengthError`, `StateProof.ProofError`; `proof-absent` also for a good proof that there is no value.
 */
export function verifyPath(
  crypto: Crypto,
  subject: { readonly root: Hash; readonly path: Uint8Array; readonly proof: Proof },
  known: KnownNodes = [],
): Uint8Array {
  const end = walk(crypto, subject, known)
  if ('absent' in end) throw new ProofError('proof-absent', end.absent)
  return end.value
}

/**
 * Asserts that a trie has nothing at a path of 32 bytes: the proof is the nodes from the root to where the path ends.
 *
 * Throws: `Bytes.LengthError`, `StateProof.ProofError`; `proof-present` for a good proof of a value.
 */
export function verifyAbsence(
  crypto: Crypto,
  subject: { readonly root: Hash; readonly path: Uint8Array; readonly proof: Proof },
  known: KnownNodes = [],
): void {
  if ('value' in walk(crypto, subject, known)) throw new ProofError('proof-present', 'The path leads to a value')
}

function wordOf(value: Uint8Array): Uint8Array {
  return strictly(() => {
    const word = Rlp.toInteger(Rlp.decode(value), 32)
    // A trie never stores a zero: setting a word to zero removes its leaf.
    if (word === 0n) throw new ProofError('proof-value', 'The word is zero')
    return Bytes.u256(word)
  }, 'proof-value')
}

/** Where a path ends: in a value, or at the place that shows that there is none. */
type End = { readonly value: Uint8Array } | { readonly absent: string }

function walk(
  crypto: Crypto,
  subject: { readonly root: Hash; readonly path: Uint8Array; readonly proof: Proof },
  known: KnownNodes,
): End {
  const { root, proof } = subject
  Bytes.assertLength(root, 32, 'Root')
  Bytes.assertLength(subject.path, 32, 'Path')
  if (proof.length > maxNodes) throw new ProofError('proof-too-long', `Nodes: ${proof.length}, limit: ${maxNodes}`)
  const path = nibblesOf(subject.path)
  let offset = 0
  let used = 0
  let mustBeBranch = false
  let reference: Rlp.Item = Bytes.equal(root, emptyRoot) ? new Uint8Array(0) : root
  const ends = (end: End): End => {
    if (used !== proof.length) throw new ProofError('proof-trailing', `Nodes: ${proof.length}, used: ${used}`)
    return end
  }
  for (;;) {
    let node: readonly Rlp.Item[]
    if (reference instanceof Uint8Array) {
      if (reference.length === 0) return ends({ absent: `Ends after ${offset} of 64 nibbles` })
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
      if (offset + nibbles.length !== path.length)
        throw new ProofError('proof-node', 'A leaf is not at the end of a path of 64 nibbles')
      const value = strictly(() => Rlp.toBytes(node[1]), 'proof-node')
      if (value.length === 0) throw new ProofError('proof-node', 'A leaf holds nothing')
      return ends(matches ? { value } : { absent: 'The leaf is another key' })
    }
    if (mustBeBranch || nibbles.length === 0)
      throw new ProofError('proof-node', 'An extension is not in its shortest form')
    if (offset + nibbles.length >= path.length)
      throw new ProofError('proof-node', 'An extension leads beyond the last nibble')
    reference = childOf(node[1])
    if (reference.length === 0) throw new ProofError('proof-node', 'An extension leads nowhere')
    if (!matches) return ends({ absent: `Ends after ${offset} of 64 nibbles` })
    offset += nibbles.length
    mustBeBranch = true
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
  | 'proof-present'
  | 'proof-value'

/** A list of trie nodes does not show a value under the root. */
export class ProofError extends VerificationError<ProofErrorCode> {
  override readonly name = 'StateProof.ProofError'
  constructor(code: ProofErrorCode, fact: string, cause?: unknown) {
    super(code, 'The state proof does not hold.', { facts: [fact], cause })
  }
}
