/**
 * Ed25519Rule.ts - which encodings an Ed25519 signature may use at all, decided before any driver computes with them.
 * Source: RFC 8032 section 5.1; spec/signatures.md.
 *
 * Libraries disagree on adversarial signatures, so one rule is pinned: A and R are canonical encodings, S < L, neither
 * A nor R has small order, and then S*B = R + k*A holds exactly (without the cofactor). These are the byte checks; the
 * equation, and that A is a point at all, is the driver's part.
 */
import * as Bytes from '../protocol/Bytes.ts'

const prime = 2n ** 255n - 19n
const groupOrder = 2n ** 252n + 27742317777372353535851937790883648493n

// y of the points whose order divides 8: 0 (order 4), 1 (order 1), -1 (order 2) and the two of order 8.
const smallOrderY: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  prime - 1n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n,
])

/** Says whether a public key of 32 bytes and a signature of 64 bytes, R || S, are in allowed form. */
export function isAllowed(publicKey: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false
  if (!isAllowedPoint(publicKey) || !isAllowedPoint(signature.subarray(0, 32))) return false
  return littleEndian(signature.subarray(32)) < groupOrder
}

/**
 * Canonical and not of small order, by bytes alone.
 *
 * Canonical means y < p, and no sign bit where x = 0; those two points (y = 1, -1) have small order anyway.
 */
function isAllowedPoint(encoded: Uint8Array): boolean {
  const y = littleEndian(encoded) & (2n ** 255n - 1n)
  return y < prime && !smallOrderY.has(y)
}

function littleEndian(bytes: Uint8Array): bigint {
  return Bytes.toBigInt(Uint8Array.from(bytes).reverse())
}
