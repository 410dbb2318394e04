/** ClaimsTree.ts - sixteen salted leaves under one root: absent, hidden and disclosed differ. Source: spec/receipt.md sections 2 and 3. */
import * as Abi from './Abi.ts'
import * as Bytes from './Bytes.ts'
import type { Crypto, Hash } from './Crypto.ts'
import { UsageError } from './errors.ts'
import * as Merkle from './Merkle.ts'

/** Leaves of every claims tree. */
export const slotCount = 16
/** Salts of a call: sixteen slots and four bodies. */
export const saltCount = 20
/** Bytes of a salt. */
export const saltLength = 16
/** Slots that are public, with a zero salt, when modeBits & 3 is not 0: node, attestation, proof. */
export const publicSlots: readonly number[] = Object.freeze([0, 11, 12])

/** The leaf of each unused slot, SHA-256(0x00 || slot), so that readers without a hash function know them. */
export const unusedLeaves: readonly Hash[] = Object.freeze(
  [
    '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
    'b413f47d13ee2fe6c845b2ee141af81de858df4ec549a58b7970bb96645bc8d2',
    'fcf0a6c700dd13e274b6fba8deea8dd9b26e4eedde3495717cac8408c9c5177f',
    '583c7dfb7b3055d99465544032a571e10a134b1b6f769422bbb71fd7fa167a5d',
    '4f35212d12f9ad2036492c95f1fe79baf4ec7bd9bef3dffa7579f2293ff546a4',
    '9f1afa4dc124cba73134e82ff50f17c8f7164257c79fed9a13f5943a6acb8e3d',
    '40d88127d4d31a3891f41598eeed41174e5bc89b1eb9bbd66a8cbfc09956a3fd',
    '2ecd8a6b7d2845546659ad4cf443533cf921b19dc81fa83934e83821b4dfdcb7',
    'b4c43b50bf245bd727623e3c775a8fcfb8d823d00b57dd65f7f79dd33f126315',
    'c87479cd656e7e3ad6bd8db402e8027df454b2b0c42ff29e093458beb98a23d4',
    '67ebbd370daa02ba9aadd05d8e091e862d0d8bcadafdf2a22360240a42fe922e',
    'f09a7a12954169ae595d12d870e69a4c0092003157d72523d626d2a3990241e2',
    'fe251e4dd034dcf589c84794120c85d6015d65ca7d9a2c2ec73c9ecb5e33d83b',
    'a1f386a0ecb061b3c46a038616212779858ba7258b2eccb818a64986c97282da',
    '9f4917386c45e2c0da0d9b475f1a19cf2db1e929195c6a9f4966ca0d2105b196',
    '3b2b7c6ee25e2f28a6235e273eaf13f504bd445024147ebacb878262aae90509',
  ].map((hex) => Bytes.fromHex(hex)),
)

/**
 * All salts of a call: SHA-256(0x02 || secret || nonce || i)[0..16].
 *
 * - `secret`: 32 bytes; `nonce`: 16 bytes
 * - returns: 20 salts of 16 bytes, 0..15 for slots, 16..19 for bodies (request, effective, response, output)
 *
 * The zero salts of public slots are not applied here: see `slotSalt`.
 */
export function salts(crypto: Crypto, secret: Uint8Array, nonce: Uint8Array): Uint8Array[] {
  Bytes.assertLength(secret, 32, 'Secret')
  Bytes.assertLength(nonce, 16, 'Nonce')
  const input = Bytes.concat(Uint8Array.of(0x02), secret, nonce, Uint8Array.of(0))
  return Array.from({ length: saltCount }, (_, i) => {
    input[49] = i
    return crypto.sha256(input).slice(0, saltLength)
  })
}

/** Says whether a slot's salt is sixteen zero bytes under these modeBits: public slots of tee and zk receipts. */
export function isPublic(slot: number, modeBits: number): boolean {
  return (modeBits & 3) !== 0 && publicSlots.includes(slot)
}

/** The salt that a slot has: zero for public slots of tee and zk receipts, else the slot's own of `salts`. */
export function slotSalt(allSalts: readonly Uint8Array[], slot: number, modeBits: number): Uint8Array {
  assertSlot(slot)
  if (isPublic(slot, modeBits)) return new Uint8Array(saltLength)
  const salt = allSalts[slot]
  if (salt === undefined || allSalts.length !== saltCount) throw new TreeShapeError('A call has 20 salts.')
  return salt
}

/** The leaf of a used slot, 32 bytes: SHA-256(0x00 || slot || salt || SHA-256(value)). */
export function leaf(crypto: Crypto, slot: number, salt: Uint8Array, value: Uint8Array): Hash {
  assertSlot(slot)
  Bytes.assertLength(salt, saltLength, 'Salt')
  return crypto.sha256(Bytes.concat(Uint8Array.of(0x00, slot), salt, crypto.sha256(value)))
}

/** The leaf of an unused slot, 32 bytes: SHA-256(0x00 || slot). */
export function unusedLeaf(crypto: Crypto, slot: number): Hash {
  assertSlot(slot)
  return crypto.sha256(Uint8Array.of(0x00, slot))
}

/** The root over exactly 16 leaves of 32 bytes; throws `ClaimsTree.TreeShapeError`, `Bytes.LengthError`. */
export function root(crypto: Crypto, leaves: readonly Hash[]): Hash {
  if (leaves.length !== slotCount) throw new TreeShapeError('A claims tree has 16 leaves.')
  // Sixteen leaves fill the tree, so RFC 9162 gives the balanced tree of depth 4.
  return Merkle.root(crypto, leaves)
}

/**
 * All sixteen leaves of a call from what node and client both know.
 *
 * - `values`: dCBOR bytes by slot; slots without a value are unused
 */
export function build(
  crypto: Crypto,
  call: {
    readonly secret: Uint8Array
    readonly nonce: Uint8Array
    readonly modeBits: number
    readonly values: ReadonlyMap<number, Uint8Array>
  },
): { readonly salts: readonly Uint8Array[]; readonly leaves: readonly Hash[]; readonly root: Hash } {
  for (const slot of call.values.keys()) assertSlot(slot)
  const allSalts = salts(crypto, call.secret, call.nonce)
  const slotSalts = Array.from({ length: slotCount }, (_, slot) => slotSalt(allSalts, slot, call.modeBits))
  const leaves = slotSalts.map((salt, slot) => {
    const value = call.values.get(slot)
    return value === undefined ? (unusedLeaves[slot] as Hash) : leaf(crypto, slot, salt, value)
  })
  return { salts: [...slotSalts, ...allSalts.slice(slotCount)], leaves, root: root(crypto, leaves) }
}

/** Says whether a salt is sixteen zero bytes. */
export function isZeroSalt(salt: Uint8Array): boolean {
  return salt.length === saltLength && Abi.isZero(salt)
}

function assertSlot(slot: number): void {
  if (!Number.isInteger(slot) || slot < 0 || slot >= slotCount) throw new TreeShapeError('A slot is a number 0..15.')
}

/** A claims tree has exactly 16 leaves, numbered 0..15. */
export class TreeShapeError extends UsageError<'tree-shape'> {
  override readonly name = 'ClaimsTree.TreeShapeError'
  constructor(shortMessage: string) {
    super('tree-shape', shortMessage)
  }
}
