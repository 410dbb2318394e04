/**
 * Signer.ts - P-256 signatures that are the same in every run (RFC 6979, low S), with the multiplication by OpenSSL: tests sign
 * tens of thousands of times, and the deterministic signer of the library is JavaScript for browsers. Not for real keys: nothing
 * here takes the same time for every key.
 */
import { createECDH } from 'node:crypto'
import { crypto } from 'assay/crypto/node'
import { Bytes, type Cose } from 'assay/protocol'

/** The order of the group. Source: FIPS 186-5, P-256. */
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** A signer with a private key of 32 bytes, in 1..n-1. */
export function create(privateKey: Uint8Array): Cose.Signer {
  Bytes.assertLength(privateKey, 32, 'Private key')
  const secret = Bytes.toBigInt(privateKey)
  const publicKey = multiplyBase(privateKey)
  return {
    publicKey,
    sign(message) {
      const digest = crypto.sha256(message)
      const z = Bytes.toBigInt(digest)
      for (const nonce of nonces(privateKey, Bytes.u256(z % order))) {
        const r = Bytes.toBigInt(multiplyBase(nonce).subarray(0, 32)) % order
        const s = (inverse(Bytes.toBigInt(nonce)) * (z + r * secret)) % order
        if (r > 0n && s > 0n) return Bytes.concat(Bytes.u256(r), Bytes.u256(2n * s > order ? order - s : s))
      }
      throw new Error('not reached')
    },
  }
}

/** k * G, 64 bytes x || y. */
function multiplyBase(scalar: Uint8Array): Uint8Array {
  const exchange = createECDH('prime256v1')
  exchange.setPrivateKey(scalar)
  return Uint8Array.from(exchange.getPublicKey().subarray(1))
}

/** The candidates for k in their order. Source: RFC 6979, section 3.2. */
function* nonces(privateKey: Uint8Array, reduced: Uint8Array): Generator<Uint8Array> {
  let [key, value]: [Uint8Array, Uint8Array] = [new Uint8Array(32), new Uint8Array(32).fill(1)]
  for (const separator of [0, 1]) {
    key = hmac(key, value, Uint8Array.of(separator), privateKey, reduced)
    value = hmac(key, value)
  }
  for (;;) {
    value = hmac(key, value)
    const candidate = Bytes.toBigInt(value)
    if (candidate > 0n && candidate < order) yield value
    key = hmac(key, value, Uint8Array.of(0))
    value = hmac(key, value)
  }
}

/** HMAC-SHA-256 with a key of 32 bytes. Source: RFC 2104. */
function hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const padded = (mask: number) => {
    const block = new Uint8Array(64).fill(mask)
    for (const [i, byte] of key.entries()) block[i] = byte ^ mask
    return block
  }
  return crypto.sha256(Bytes.concat(padded(0x5c), crypto.sha256(Bytes.concat(padded(0x36), ...parts))))
}

/** Modulo the order, by the extended Euclidean algorithm. */
function inverse(value: bigint): bigint {
  let [a, b, x, y] = [value, order, 1n, 0n]
  while (b > 0n) {
    const quotient = a / b
    ;[a, b, x, y] = [b, a - quotient * b, y, x - quotient * y]
  }
  return ((x % order) + order) % order
}
