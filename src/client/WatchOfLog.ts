/**
 * WatchOfLog.ts - states of logs, signed by the log, cosigned by a witness, or anchored, each against every other of the same signer:
 * two histories (F2), two cosignatures (F6). Source: spec/client.md, spec/faults.md section 2.
 *
 * Two ideas are enough. Every size has one root, so a second root at a size is a contradiction. Every index has one leaf for ever, so
 * a second leaf at an index is one too, whatever the sizes, if both leaves come with their proofs.
 */
import * as Abi from '../protocol/Abi.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import type * as Fault from '../protocol/Fault.ts'
import * as Merkle from '../protocol/Merkle.ts'
import * as Shape from '../protocol/Shape.ts'
import type { WatchStore } from './WatchStore.ts'

/** Who made statements about which log: the log itself, or a witness. `publicKey`: 64 bytes. */
export type Speaker = {
  readonly tag: 'checkpoint' | 'cosign'
  readonly publicKey: Uint8Array
  readonly chainId: bigint
  readonly anchorLog: Uint8Array
  readonly logId: Uint8Array
}

/** A state that somebody signed, and the leaves that are shown in it. */
export type SignedState = {
  readonly size: bigint
  readonly root: Hash
  readonly signature: Uint8Array
  readonly leaves?: readonly Leaf[]
}

/** A leaf with its inclusion proof in the state that it stands beside. */
export type Leaf = { readonly index: bigint; readonly leafHash: Hash; readonly proof: readonly Hash[] }

/** Two states that no append explains; `index` if their sizes differ. */
export type Contradiction = {
  readonly stateA: Fault.State
  readonly stateB: Fault.State
  readonly index?: bigint
}

const { field, optional } = Shape
const item = Shape.record({
  size: field(1, Shape.u64),
  root: field(2, Shape.bytes(32)),
  signature: optional(3, Shape.bytes(64)),
  leaf: optional(4, Shape.bytes(32)),
  proof: optional(5, Shape.list(Shape.bytes(32), 0, 63)),
})
/** 64 hashes and some heads. */
const maxItemBytes = 4096

/**
 * Remembers a state and returns what it contradicts. What nobody signed is not remembered and contradicts nothing; leaves whose proof
 * does not hold are left out.
 */
export async function saw(
  crypto: Crypto,
  store: WatchStore,
  speaker: Speaker,
  state: SignedState,
): Promise<Contradiction[]> {
  if (!(await isSigned(crypto, speaker, state))) return []
  const { size, root, signature } = state
  const found: Contradiction[] = []
  const own = { size, root, signature }
  const kept = read(await store.put('sizes', sizeName(crypto, speaker, size), write(own)))
  if (!Bytes.equal(kept.root, root)) found.push({ stateA: kept, stateB: own })
  for (const leaf of provenIn(crypto, state, state.leaves ?? [])) {
    const placed = { ...own, leaf: leaf.leafHash, proof: leaf.proof }
    const first = read(await store.put('places', placeName(crypto, speaker, leaf.index), write(placed)))
    const contradiction = atIndex(first, placed, leaf.index)
    if (contradiction !== undefined) found.push(contradiction)
  }
  return found
}

/** What the log's own statements say against a state that it has anchored, and against the leaves in that state. Remembers nothing. */
export async function againstAnchored(
  crypto: Crypto,
  store: WatchStore,
  speaker: Speaker,
  anchored: { readonly size: bigint; readonly root: Hash; readonly leaves?: readonly Leaf[] },
): Promise<Contradiction[]> {
  const { size, root } = anchored
  const found: Contradiction[] = []
  const kept = await store.get('sizes', sizeName(crypto, speaker, size))
  if (kept !== undefined && !Bytes.equal(read(kept).root, root))
    found.push({ stateA: read(kept), stateB: { size, root } })
  for (const { index, leafHash, proof } of provenIn(crypto, anchored, anchored.leaves ?? [])) {
    const first = await store.get('places', placeName(crypto, speaker, index))
    const contradiction = first && atIndex(read(first), { size, root, leaf: leafHash, proof }, index)
    if (contradiction !== undefined) found.push(contradiction)
  }
  return found
}

/** The sizes that a speaker signed, oldest sighting first. */
export async function sizes(crypto: Crypto, store: WatchStore, speaker: Speaker): Promise<readonly bigint[]> {
  const prefix = prefixOf(crypto, speaker)
  return (await store.list('sizes', prefix)).map((name) => BigInt(name.slice(prefix.length)))
}

/** The indices at which a speaker's states were shown with a leaf, oldest sighting first. */
export async function indices(crypto: Crypto, store: WatchStore, speaker: Speaker): Promise<readonly bigint[]> {
  const prefix = prefixOf(crypto, speaker)
  return (await store.list('places', prefix)).map((name) => BigInt(name.slice(prefix.length)))
}

/**
 * The leaves that one inclusion proof shows: the leaf itself, and its sibling where the first hash of the proof is a leaf. The proof of
 * the sibling is the same path with the two exchanged.
 */
export function leavesOf(shown: Leaf & { readonly size: bigint }): readonly Leaf[] {
  const { index, leafHash, proof, size } = shown
  const [sibling, ...rest] = proof
  const other = index ^ 1n
  if (sibling === undefined || other >= size) return [{ index, leafHash, proof }]
  return [
    { index, leafHash, proof },
    { index: other, leafHash: sibling, proof: [leafHash, ...rest] },
  ]
}

/** Says whether the speaker signed the state. */
export async function isSigned(
  crypto: Crypto,
  { tag, publicKey, chainId, anchorLog, logId }: Speaker,
  { size, root, signature }: SignedState,
): Promise<boolean> {
  try {
    // Not `Checkpoint.words`: who signs for a size that no tree has is no less to blame for signing two.
    const words = Abi.encode(
      ...[Abi.uint(chainId, 64), Abi.address(anchorLog), Abi.bytes32(logId), Abi.uint(size, 64), Abi.bytes32(root)],
    )
    await Cose.verify(crypto, { tag, payload: crypto.sha256(words), signature, publicKey })
    return true
  } catch (error) {
    if (BaseError.isInstance(error)) return false
    throw error
  }
}

function atIndex(first: Fault.State, second: Fault.State, index: bigint): Contradiction | undefined {
  if (first.leaf === undefined || second.leaf === undefined || Bytes.equal(first.leaf, second.leaf)) return undefined
  // Two leaves at equal sizes are two roots, which the size has shown already.
  return first.size === second.size ? undefined : { stateA: first, stateB: second, index }
}

function provenIn(
  crypto: Crypto,
  { size, root }: { readonly size: bigint; readonly root: Hash },
  leaves: readonly Leaf[],
): readonly Leaf[] {
  return leaves.filter((leaf) => {
    try {
      Merkle.verifyInclusion(crypto, { ...leaf, size, root })
      return true
    } catch (error) {
      if (BaseError.isInstance(error)) return false
      throw error
    }
  })
}

function prefixOf(crypto: Crypto, { tag, publicKey, chainId, anchorLog, logId }: Speaker): string {
  const domain = Bytes.concat(publicKey, Bytes.u64(chainId), anchorLog, logId)
  return `${tag}/${Bytes.toHex(crypto.sha256(domain))}/`
}

function sizeName(crypto: Crypto, speaker: Speaker, size: bigint): string {
  return prefixOf(crypto, speaker) + size
}

function placeName(crypto: Crypto, speaker: Speaker, index: bigint): string {
  return prefixOf(crypto, speaker) + index
}

function write(state: Fault.State): Uint8Array {
  return Shape.encode(item, state, maxItemBytes)
}

function read(bytes: Uint8Array): Fault.State {
  return Shape.decode(item, bytes, maxItemBytes)
}
