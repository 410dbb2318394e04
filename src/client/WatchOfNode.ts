/**
 * WatchOfNode.ts - heads that a node's key signed, each against what the same key signed in the same place and beside it: two
 * receipts in one place (F1), a wrong link (F13). Source: spec/client.md, spec/faults.md section 2.
 */
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import type * as Fault from '../protocol/Fault.ts'
import * as Head from '../protocol/Head.ts'
import type { WatchStore } from './WatchStore.ts'

/** A signed head: 139, 64 and 64 bytes. */
export type SignedHead = { readonly head: Uint8Array; readonly signature: Uint8Array; readonly publicKey: Uint8Array }

/**
 * Remembers a head and returns what it contradicts. A head whose signature does not hold was made by nobody: it is not remembered and
 * contradicts nothing. Bits that no field uses are no way out.
 */
export async function saw(crypto: Crypto, store: WatchStore, seen: SignedHead): Promise<Fault.Fault[]> {
  const { head, signature, publicKey } = seen
  if (!(await isSigned(crypto, seen))) return []
  const item = Bytes.concat(head, signature)
  const number = sequenceOf(head)
  const kept = read(await store.put('heads', placeOf(crypto, seen, number), item))
  const found: Fault.Fault[] = []
  const pair = (a: { head: Uint8Array; signature: Uint8Array }, b: { head: Uint8Array; signature: Uint8Array }) => ({
    ...{ headA: a.head, signatureA: a.signature, headB: b.head, signatureB: b.signature, publicKey },
  })
  if (!Bytes.equal(kept.head, head)) found.push({ class: 1, evidence: pair(kept, seen) })
  const before = number === 0n ? undefined : await store.get('heads', placeOf(crypto, seen, number - 1n))
  if (before !== undefined && !isLinked(crypto, read(before).head, head)) {
    found.push({ class: 13, evidence: pair(read(before), seen) })
  }
  const after = await store.get('heads', placeOf(crypto, seen, number + 1n))
  if (after !== undefined && !isLinked(crypto, head, read(after).head)) {
    found.push({ class: 13, evidence: pair(seen, read(after)) })
  }
  return found
}

/** A key that answered this client: chain, registry, node and epoch as in its heads, 64 bytes, and the key. */
export type Signer = { readonly domain: Uint8Array; readonly publicKey: Uint8Array }

/** Remembers a key that answered this client, so that its other heads are looked for. */
export async function keepSigner(crypto: Crypto, store: WatchStore, seen: SignedHead): Promise<void> {
  if (!(await isSigned(crypto, seen))) return
  const item = Bytes.concat(seen.head.subarray(1, 65), seen.publicKey)
  await store.put('nodes', Bytes.toHex(crypto.sha256(item)), item)
}

/** The keys that answered this client, by the nodeId of their heads in hex. */
export async function signers(store: WatchStore): Promise<ReadonlyMap<string, readonly Signer[]>> {
  const found = new Map<string, Signer[]>()
  for (const name of await store.list('nodes')) {
    const item = await store.get('nodes', name)
    if (item === undefined) continue
    const signer = { domain: item.slice(0, 64), publicKey: item.slice(64) }
    const nodeId = Bytes.toHex(signer.domain.subarray(28, 60))
    found.set(nodeId, [...(found.get(nodeId) ?? []), signer])
  }
  return found
}

/**
 * Says whether a receipt would stand in the place of a remembered head, being another, or beside one, being new: then its head is
 * worth looking at.
 */
export async function isTelling(
  crypto: Crypto,
  store: WatchStore,
  { domain, publicKey }: Signer,
  receipt: { readonly sequence: bigint; readonly receiptHash: Uint8Array },
): Promise<boolean> {
  const at = (sequence: bigint) =>
    sequence < 0n ? undefined : store.get('heads', nameOf(crypto, publicKey, domain, sequence))
  const { sequence, receiptHash } = receipt
  const own = await at(sequence)
  if (own !== undefined) return !Bytes.equal(Head.hash(crypto, read(own).head), receiptHash)
  return (await at(sequence - 1n)) !== undefined || (await at(sequence + 1n)) !== undefined
}

/** Says whether the head that is remembered in a place is that of a receipt. */
export async function isRemembered(
  crypto: Crypto,
  store: WatchStore,
  { domain, publicKey }: Signer,
  { sequence, receiptHash }: { readonly sequence: bigint; readonly receiptHash: Uint8Array },
): Promise<boolean> {
  // The place before the first one has no name; its neighbours have.
  if (sequence < 0n) return true
  const kept = await store.get('heads', nameOf(crypto, publicKey, domain, sequence))
  return kept !== undefined && Bytes.equal(Head.hash(crypto, read(kept).head), receiptHash)
}

/** Says whether bytes are a head of version 1 that the key signed. */
export async function isSigned(crypto: Crypto, { head, signature, publicKey }: SignedHead): Promise<boolean> {
  if (head.length !== Head.byteLength || head[0] !== 1) return false
  try {
    await Cose.verify(crypto, { tag: 'receipt', payload: Head.payload(crypto, head), signature, publicKey })
    return true
  } catch (error) {
    if (BaseError.isInstance(error)) return false
    throw error
  }
}

/** By offsets, because a head with unknown bits is watched like any other: its running number. */
export function sequenceOf(head: Uint8Array): bigint {
  return Bytes.toBigInt(head.subarray(65, 73))
}

/** Whom a head names: its key's place in the registry. */
export function signerOf(head: Uint8Array): {
  readonly chainId: bigint
  readonly registry: Uint8Array
  readonly nodeId: Uint8Array
  readonly keyEpoch: number
} {
  return {
    chainId: Bytes.toBigInt(head.subarray(1, 9)),
    registry: head.slice(9, 29),
    nodeId: head.slice(29, 61),
    keyEpoch: Number(Bytes.toBigInt(head.subarray(61, 65))),
  }
}

function isLinked(crypto: Crypto, first: Uint8Array, second: Uint8Array): boolean {
  return Bytes.equal(second.subarray(73, 105), Head.hash(crypto, first))
}

/** One key, chain, registry, node, epoch and number: the bytes that F1 compares, under the key that signed. */
function placeOf(
  crypto: Crypto,
  { head, publicKey }: Pick<SignedHead, 'head' | 'publicKey'>,
  sequence: bigint,
): string {
  return nameOf(crypto, publicKey, head.subarray(1, 65), sequence)
}

function nameOf(crypto: Crypto, publicKey: Uint8Array, domain: Uint8Array, sequence: bigint): string {
  if (sequence >= 2n ** 64n) return 'none'
  return Bytes.toHex(crypto.sha256(Bytes.concat(publicKey, domain, Bytes.u64(sequence))))
}

function read(item: Uint8Array): { head: Uint8Array; signature: Uint8Array } {
  return { head: item.slice(0, Head.byteLength), signature: item.slice(Head.byteLength) }
}
