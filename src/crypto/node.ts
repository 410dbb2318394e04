/** node.ts - the crypto port over node:crypto (OpenSSL), for the daemon and the command line; Keccak and secp256k1 from noble. */
import {
  createECDH,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  sign as signWith,
  verify as verifyWith,
} from 'node:crypto'
import * as Bytes from '../protocol/Bytes.ts'
import type { Signer } from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import type { Ed25519Signer } from '../protocol/Note.ts'
import * as P256 from '../protocol/P256.ts'
import * as EcdsaDer from './EcdsaDer.ts'
import * as Ed25519Rule from './Ed25519Rule.ts'
import { crypto as noble, secp256k1Recover } from './noble.ts'

/** Parsed public keys kept, least recently used first out: a network's active keys, at about 1 kB each. */
export const maxCachedKeys = 1024

// SubjectPublicKeyInfo up to the key itself: id-ecPublicKey with prime256v1 and an uncompressed point; Ed25519.
const p256Prefix = Bytes.fromHex('3059301306072a8648ce3d020106082a8648ce3d03010703420004')
const ed25519Prefix = Bytes.fromHex('302a300506032b6570032100')
// PrivateKeyInfo of an Ed25519 seed up to the seed.
const ed25519PrivatePrefix = Bytes.fromHex('302e020100300506032b657004220420')

const cachedKeys = new Map<string, KeyObject>()

/** The driver. */
export const crypto: Crypto = Object.freeze({
  sha256,
  keccak256: noble.keccak256,
  p256Verify,
  ed25519Verify,
  secp256k1Recover,
})

/**
 * A signer with a P-256 private key of 32 bytes; each signature is random and of any S (`Cose.sign` makes it low).
 *
 * Throws: `Bytes.LengthError`, and what node:crypto throws for a key outside 1..n-1.
 */
export function createP256Signer(privateKey: Uint8Array): Signer {
  Bytes.assertLength(privateKey, 32, 'Private key')
  const exchange = createECDH('prime256v1')
  exchange.setPrivateKey(privateKey)
  const publicKey = Uint8Array.from(exchange.getPublicKey().subarray(1))
  const key = createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'EC',
      crv: 'P-256',
      d: Bytes.toBase64url(privateKey),
      x: Bytes.toBase64url(publicKey.subarray(0, 32)),
      y: Bytes.toBase64url(publicKey.subarray(32)),
    },
  })
  return {
    publicKey,
    sign: (message) => EcdsaDer.decode(signWith('sha256', message, key)),
  }
}

/** Makes a new P-256 key from the system's randomness; the private key has 32 bytes and is the caller's to protect. */
export function generateP256(): { readonly privateKey: Uint8Array; readonly signer: Signer } {
  const { d } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey.export({ format: 'jwk' })
  const privateKey = Bytes.fromBase64url(d as string)
  return { privateKey, signer: createP256Signer(privateKey) }
}

/** A signer with an Ed25519 seed of 32 bytes. Throws: `Bytes.LengthError`. */
export function createEd25519Signer(seed: Uint8Array): Ed25519Signer {
  Bytes.assertLength(seed, 32, 'Seed')
  const der = Buffer.from(Bytes.concat(ed25519PrivatePrefix, seed))
  const key = createPrivateKey({ format: 'der', type: 'pkcs8', key: der })
  const { x } = createPublicKey(key).export({ format: 'jwk' })
  return {
    publicKey: Bytes.fromBase64url(x as string),
    sign: (message) => Uint8Array.from(signWith(null, message, key)),
  }
}

/** Makes a new Ed25519 key from the system's randomness; the seed has 32 bytes and is the caller's to protect. */
export function generateEd25519(): { readonly seed: Uint8Array; readonly signer: Ed25519Signer } {
  const { d } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  const seed = Bytes.fromBase64url(d as string)
  return { seed, signer: createEd25519Signer(seed) }
}

function sha256(bytes: Uint8Array): Uint8Array {
  // As text: a Buffer of its own for each digest costs twice as much as hashing a short input.
  const text = hash('sha256', bytes, 'binary')
  const digest = new Uint8Array(32)
  for (let i = 0; i < 32; i++) digest[i] = text.charCodeAt(i)
  return digest
}

function p256Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (!P256.isInRange(signature)) return false
  const key = keyOf(p256Prefix, publicKey, P256.isOnCurve)
  return key !== undefined && verifyWith('sha256', message, key, EcdsaDer.encode(signature))
}

function ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (!Ed25519Rule.isAllowed(publicKey, signature)) return false
  const key = keyOf(ed25519Prefix, publicKey, () => true)
  return key !== undefined && verifyWith(null, message, key, signature)
}

/** The parsed key, from the cache if it is there; undefined if it is no key. */
function keyOf(
  prefix: Uint8Array,
  publicKey: Uint8Array,
  isValid: (bytes: Uint8Array) => boolean,
): KeyObject | undefined {
  const name = Bytes.toHex(publicKey)
  let key = cachedKeys.get(name)
  if (key === undefined) {
    if (!isValid(publicKey)) return undefined
    try {
      key = createPublicKey({ format: 'der', type: 'spki', key: Buffer.from(Bytes.concat(prefix, publicKey)) })
    } catch {
      return undefined
    }
  }
  // A Map iterates in order of insertion, so the first entry is the least recently used.
  cachedKeys.delete(name)
  cachedKeys.set(name, key)
  if (cachedKeys.size > maxCachedKeys) cachedKeys.delete(cachedKeys.keys().next().value as string)
  return key
}
