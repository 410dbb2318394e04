/**
 * Crypto.ts - the few primitives that the protocol needs from outside, as one small port.
 *
 * Drivers: `assay/crypto/noble` (anywhere) and `assay/crypto/node` (OpenSSL). Functions of the library that hash or
 * check signatures take a `Crypto` as their first argument; those that check signatures are asynchronous, because a
 * driver may be.
 */

/** A SHA-256 or Keccak-256 digest, 32 bytes. */
export type Hash = Uint8Array

/** The primitives; every driver must give the same answer for the same bytes, and keeps no input: callers reuse theirs. */
export type Crypto = {
  /** SHA-256 of any number of bytes; returns 32 bytes. */
  readonly sha256: (bytes: Uint8Array) => Hash
  /** Keccak-256 as the EVM computes it (not SHA3-256); returns 32 bytes. */
  readonly keccak256: (bytes: Uint8Array) => Hash
  /**
   * ECDSA over P-256 with SHA-256 of `message`.
   *
   * - `publicKey`: 64 bytes, x || y; a point that is not on the curve gives false
   * - `signature`: 64 bytes, r || s, with r and s in 1..n-1; other lengths give false
   *
   * Accepts high S: `Cose.verify` refuses it first.
   */
  readonly p256Verify: (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean | Promise<boolean>
  /**
   * Ed25519 under one pinned rule, the same on all drivers (see `src/crypto/Ed25519Rule.ts`): canonical A and R,
   * S < L, neither A nor R of small order, equation without cofactor.
   *
   * - `publicKey`: 32 bytes; `signature`: 64 bytes, R || S; other lengths give false
   */
  readonly ed25519Verify: (
    publicKey: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
  ) => boolean | Promise<boolean>
  /**
   * The EVM address that signed a digest with secp256k1, or undefined if there is none.
   *
   * - `digest`: 32 bytes; `signature`: 65 bytes, r || s || v with v = 27 or 28, low S only
   * - returns: 20 bytes
   */
  readonly secp256k1Recover?: (digest: Uint8Array, signature: Uint8Array) => Uint8Array | undefined
}
