/** Identity.ts - names of nodes and logs, roles, and the statement with which a key enters a contract. Source: spec/log.md section 1, spec/encodings.md section 5. */
import * as Abi from './Abi.ts'
import type { Crypto, Hash } from './Crypto.ts'

/** What a key is for; a key has one role for ever. */
export const roles = Object.freeze({ node: 1, log: 2, witness: 3, verifier: 4 } as const)

/** One of the role numbers. */
export type Role = (typeof roles)[keyof typeof roles]

/** Says whether a number is a role. */
export function isRole(value: number): value is Role {
  return Number.isInteger(value) && value >= 1 && value <= 4
}

/**
 * The name of a node, 32 bytes: SHA-256(abi.encode(uint256 chainId, address registry, address operator, uint64 n)).
 *
 * - `registry`, `operator`: 20 bytes; `n`: the operator's running number from 0
 */
export function nodeId(
  crypto: Crypto,
  subject: {
    readonly chainId: bigint
    readonly registry: Uint8Array
    readonly operator: Uint8Array
    readonly n: bigint
  },
): Hash {
  return crypto.sha256(
    Abi.encode(
      Abi.uint(subject.chainId, 64),
      Abi.address(subject.registry),
      Abi.address(subject.operator),
      Abi.uint(subject.n, 64),
    ),
  )
}

/**
 * The name of a log, 32 bytes: SHA-256(abi.encode(chainId, anchorLog, instance, operator, n)).
 *
 * - `anchorLog`, `operator`: 20 bytes; `instance`: 32 bytes, from the contract's storage; `n`: from 0
 */
export function logId(
  crypto: Crypto,
  subject: {
    readonly chainId: bigint
    readonly anchorLog: Uint8Array
    readonly instance: Uint8Array
    readonly operator: Uint8Array
    readonly n: bigint
  },
): Hash {
  return crypto.sha256(
    Abi.encode(
      Abi.uint(subject.chainId, 64),
      Abi.address(subject.anchorLog),
      Abi.bytes32(subject.instance),
      Abi.address(subject.operator),
      Abi.uint(subject.n, 64),
    ),
  )
}

/**
 * What a key signs, under tag `key`, to show that its holder possesses it; 32 bytes.
 *
 * - `contract`: 20 bytes; `subject`: nodeId or logId, 32 bytes; `publicKey`: 64 bytes, x || y
 */
export function keyStatement(
  crypto: Crypto,
  statement: {
    readonly chainId: bigint
    readonly contract: Uint8Array
    readonly subject: Uint8Array
    readonly role: Role
    readonly publicKey: Uint8Array
  },
): Hash {
  return crypto.sha256(
    Abi.encode(
      Abi.uint(statement.chainId, 64),
      Abi.address(statement.contract),
      Abi.bytes32(statement.subject),
      Abi.uint(BigInt(statement.role), 8),
      Abi.fixedBytes(statement.publicKey.slice(0, 32), 32),
      Abi.fixedBytes(statement.publicKey.slice(32), 32),
    ),
  )
}
