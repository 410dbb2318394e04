/** P256.ts - the curve NIST P-256 as integers: is a key a point of it, is a signature in range. Source: SEC 2 section 2.4.2. */
import * as Bytes from './Bytes.ts'

/** The field prime p. */
export const prime = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn
/** The order n of the group; the cofactor is 1. */
export const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
/** The largest S that counts as low, floor(n / 2). */
export const halfOrder = order >> 1n

const orderBytes = Bytes.u256(order)
const halfOrderBytes = Bytes.u256(halfOrder)
const b = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn

/**
 * Says whether 64 bytes x || y are a point of the curve.
 *
 * Coordinates must be below p. The point at infinity has no such form (0, 0 is not on the curve), and the cofactor
 * is 1, so every accepted point generates the whole group.
 */
export function isOnCurve(publicKey: Uint8Array): boolean {
  if (publicKey.length !== 64) return false
  const x = Bytes.toBigInt(publicKey.subarray(0, 32))
  const y = Bytes.toBigInt(publicKey.subarray(32))
  if (x >= prime || y >= prime) return false
  return (y * y - (x * x * x - 3n * x + b)) % prime === 0n
}

/** Says whether 64 bytes r || s both lie in 1..n-1. */
export function isInRange(signature: Uint8Array): boolean {
  if (signature.length !== 64) return false
  return isScalar(signature.subarray(0, 32)) && isScalar(signature.subarray(32))
}

/** Says whether the s of 64 bytes r || s is at most floor(n / 2). */
export function isLowS(signature: Uint8Array): boolean {
  return Bytes.compare(signature.subarray(32), halfOrderBytes) <= 0
}

/** Numbers of equal length order as their bytes do. */
function isScalar(bytes: Uint8Array): boolean {
  return Bytes.compare(bytes, orderBytes) < 0 && bytes.some((byte) => byte !== 0)
}
