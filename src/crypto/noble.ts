/** noble.ts - the crypto port over the noble libraries: pure JavaScript, for browsers and anywhere else. */
import { ed25519 } from '@noble/curves/ed25519.js'
import { p256 } from '@noble/curves/nist.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { sha256, sha512 } from '@noble/hashes/sha2.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import * as Bytes from '../protocol/Bytes.ts'
import type { Signer } from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import type { Ed25519Signer } from '../protocol/Note.ts'
import * as P256 from '../protocol/P256.ts'
import * as Ed25519Rule from './Ed25519Rule.ts'

const uncompressed = Uint8Array.of(0x04)
const { Point } = ed25519

/** The driver. */
export const crypto: Crypto = Object.freeze({
  sha256: (bytes: Uint8Array): Uint8Array => sha256(bytes),
  keccak256: (bytes: Uint8Array): Uint8Array => keccak_256(bytes),
  p256Verify,
  ed25519Verify,
  secp256k1Recover,
})

/**
 * A signer with a P-256 private key of 32 bytes; signatures are deterministic (RFC 6979) and low-S.
 *
 * Throws: `Bytes.LengthError`, and what noble throws for a key outside 1..n-1.
 */
export function createP256Signer(privateKey: Uint8Array): Signer {
  Bytes.assertLength(privateKey, 32, 'Private key')
  const secret = Uint8Array.from(privateKey)
  return {
    publicKey: p256.getPublicKey(secret, false).slice(1),
    sign: (message) => p256.sign(message, secret, { prehash: true, lowS: true, format: 'compact' }),
  }
}

/** A signer with an Ed25519 seed of 32 bytes. Throws: `Bytes.LengthError`. */
export function createEd25519Signer(seed: Uint8Array): Ed25519Signer {
  Bytes.assertLength(seed, 32, 'Seed')
  const secret = Uint8Array.from(seed)
  return { publicKey: ed25519.getPublicKey(secret), sign: (message) => ed25519.sign(message, secret) }
}

function p256Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (!P256.isInRange(signature) || !P256.isOnCurve(publicKey)) return false
  const key = Bytes.concat(uncompressed, publicKey)
  return p256.verify(signature, message, key, { prehash: true, lowS: false, format: 'compact' })
}

/** Computes S*B - k*A itself, because noble's own verification multiplies by the cofactor. */
function ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (!Ed25519Rule.isAllowed(publicKey, signature)) return false
  const r = signature.subarray(0, 32)
  let key: InstanceType<typeof Point>
  try {
    key = Point.fromBytes(publicKey, false)
  } catch {
    return false
  }
  const k = scalarOf(sha512(Bytes.concat(r, publicKey, message))) % Point.Fn.ORDER
  const s = scalarOf(signature.subarray(32))
  const computed = Point.BASE.multiplyUnsafe(s).subtract(key.multiplyUnsafe(k))
  return Bytes.equal(computed.toBytes(), r)
}

function scalarOf(littleEndian: Uint8Array): bigint {
  return Bytes.toBigInt(Uint8Array.from(littleEndian).reverse())
}

/** The address that signed a digest with secp256k1; see the port. */
export function secp256k1Recover(digest: Uint8Array, signature: Uint8Array): Uint8Array | undefined {
  if (digest.length !== 32 || signature.length !== 65) return undefined
  const recovery = (signature[64] as number) - 27
  if (recovery !== 0 && recovery !== 1) return undefined
  try {
    const parsed = secp256k1.Signature.fromBytes(signature.subarray(0, 64), 'compact')
    if (parsed.hasHighS()) return undefined
    const point = parsed.addRecoveryBit(recovery).recoverPublicKey(digest)
    return keccak_256(point.toBytes(false).subarray(1)).slice(12)
  } catch {
    return undefined
  }
}
