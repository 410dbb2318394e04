/** Order.ts - what a client asked for, as EIP-712 typed data signed with P-256. Source: EIP-712; spec/order.md. */
import * as Abi from './Abi.ts'
import * as Bytes from './Bytes.ts'
import type { ClaimValues } from './Claims.ts'
import type { Crypto, Hash } from './Crypto.ts'
import { type BaseError, VerificationError } from './errors.ts'
import * as Shape from './Shape.ts'

/** Bytes of the thirteen words. */
export const byteLength = 416
/** Most bytes of encoded exposure terms, 1 kB: they travel in a request header. */
export const maxTermsBytes = 1024

/** The EIP-712 type. */
export const typeString =
  'Order(bytes32 nodeId,bytes32 client,bytes32 model,bytes32 requestHash,bytes32 policyCommitment,uint8 modes,address asset,uint256 maxPrice,bytes16 nonce,uint64 notAfter,bytes32 exposureTermsHash,bytes32 parentsHash,bytes32 replyKeyHash)'

/** Keccak-256 of `typeString`, 32 bytes. */
export const typeHash = Bytes.fromHex('8aa5084de5057d0da755311c8c08cbed8cab3b4b2ecc63540a00019db75e8a1c')

/** What every domain begins with: Keccak-256 of the domain's type, of the name `Assay` and of the version `1`, 96 bytes. */
const domainStart = Bytes.fromHex(
  '8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f' +
    '41034bd23ecbf5790464f32b19dad6d7170b5d3627ba56dd9cd780ce037a7be7' +
    'c89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc6',
)

/** What a client asks a node for; hashes have 32 bytes. */
export type Order = {
  readonly nodeId: Uint8Array
  /** SHA-256(x || y) of the client's key, or a wallet address padded on the left. */
  readonly client: Uint8Array
  /** Manifest hash; zero = any. */
  readonly model: Uint8Array
  /** `Body.requestHash(crypto, requestSalt, body)`. */
  readonly requestHash: Uint8Array
  /** `policyCommitment(...)`. */
  readonly policyCommitment: Uint8Array
  /** Required bits of the head's modeBits. */
  readonly modes: number
  /** Address of the asset, 20 bytes; zero when nothing is paid. */
  readonly asset: Uint8Array
  /** 0..2^256-1, in the asset's smallest unit. */
  readonly maxPrice: bigint
  /** 16 random bytes. */
  readonly nonce: Uint8Array
  /** Unix seconds. */
  readonly notAfter: bigint
  /** SHA-256 of the exposure terms; zero = no terms. */
  readonly exposureTermsHash: Uint8Array
  /** Zero in this version. */
  readonly parentsHash: Uint8Array
  /** Zero in this version. */
  readonly replyKeyHash: Uint8Array
}

/** The chain and contract for which an order is made. */
export type Domain = { readonly chainId: bigint; readonly registry: Uint8Array }

/** Who may see plaintext, and for how long it may be kept. */
export type Terms = { readonly parties: readonly string[]; readonly maxRetentionSeconds: number }

const termsShape: Shape.Shape<Terms> = Shape.record({
  parties: Shape.field(1, Shape.list(Shape.text(), 0, maxTermsBytes)),
  maxRetentionSeconds: Shape.field(2, Shape.u32),
})

/** The thirteen words, 416 bytes; throws `Order.MalformedOrderError`, `Bytes.LengthError`, `Bytes.IntegerError`. */
export function words(order: Order): Uint8Array {
  assertRules(order)
  return Abi.encode(
    Abi.bytes32(order.nodeId),
    Abi.bytes32(order.client),
    Abi.bytes32(order.model),
    Abi.bytes32(order.requestHash),
    Abi.bytes32(order.policyCommitment),
    Bytes.concat(new Uint8Array(31), Bytes.u8(order.modes)),
    Abi.address(order.asset),
    Abi.uint(order.maxPrice, 256),
    Abi.fixedBytes(order.nonce, 16),
    Abi.uint(order.notAfter, 64),
    Abi.bytes32(order.exposureTermsHash),
    Abi.bytes32(order.parentsHash),
    Abi.bytes32(order.replyKeyHash),
  )
}

/** Reads 416 bytes of words; throws `Order.MalformedOrderError`. */
export function parse(bytes: Uint8Array): Order {
  if (bytes.length !== byteLength) {
    throw new MalformedOrderError('order-length', [`Expected: ${byteLength} bytes`, `Got: ${bytes.length} bytes`])
  }
  try {
    const reader = new Abi.Reader(bytes)
    const order: Order = {
      nodeId: reader.bytes32(),
      client: reader.bytes32(),
      model: reader.bytes32(),
      requestHash: reader.bytes32(),
      policyCommitment: reader.bytes32(),
      modes: Number(reader.uint(8)),
      asset: reader.address(),
      maxPrice: reader.uint(256),
      nonce: reader.fixedBytes(16),
      notAfter: reader.uint(64),
      exposureTermsHash: reader.bytes32(),
      parentsHash: reader.bytes32(),
      replyKeyHash: reader.bytes32(),
    }
    reader.end()
    assertRules(order)
    return order
  } catch (cause) {
    if (cause instanceof Abi.WordError) throw new MalformedOrderError('order-word', cause.facts, cause)
    throw cause
  }
}

/** orderHash, 32 bytes: the EIP-712 digest keccak256(0x1901 || domainSeparator || hashStruct). */
export function hash(crypto: Crypto, order: Order, domain: Domain): Hash {
  const struct = crypto.keccak256(Bytes.concat(typeHash, words(order)))
  return crypto.keccak256(Bytes.concat(Uint8Array.of(0x19, 0x01), domainSeparator(crypto, domain), struct))
}

/** The EIP-712 domain separator, 32 bytes; name `Assay`, version `1`. */
export function domainSeparator(crypto: Crypto, domain: Domain): Hash {
  return crypto.keccak256(Bytes.concat(domainStart, Abi.uint(domain.chainId, 64), Abi.address(domain.registry)))
}

/** SHA-256(policyHash || blind), 32 bytes, so that a node does not learn who checks less; `blind` has 16 bytes. */
export function policyCommitment(crypto: Crypto, policyHash: Uint8Array, blind: Uint8Array): Hash {
  Bytes.assertLength(policyHash, 32, 'Policy hash')
  Bytes.assertLength(blind, 16, 'Blind')
  return crypto.sha256(Bytes.concat(policyHash, blind))
}

/** Writes exposure terms as dCBOR; throws `Order.MalformedTermsError`. */
export function encodeTerms(terms: Terms): Uint8Array {
  return ofTerms(() => Shape.encode(termsShape, terms, maxTermsBytes))
}

/** Reads exposure terms; throws `Order.MalformedTermsError`. */
export function decodeTerms(bytes: Uint8Array): Terms {
  return ofTerms(() => Shape.decode(termsShape, bytes, maxTermsBytes))
}

/** SHA-256 of encoded exposure terms, 32 bytes. */
export function termsHash(crypto: Crypto, bytes: Uint8Array): Hash {
  return crypto.sha256(bytes)
}

/** Says whether slot 10 stays within the terms: every party is listed, and nothing is kept longer than allowed. */
export function withinTerms(exposure: ClaimValues['exposure'], terms: Terms): boolean {
  if (exposure.retentionSeconds > terms.maxRetentionSeconds) return false
  return exposure.saw.every(
    ({ party, retentionSeconds }) => terms.parties.includes(party) && retentionSeconds <= terms.maxRetentionSeconds,
  )
}

function assertRules(order: Order): void {
  if (!Number.isInteger(order.modes) || (order.modes & ~7) !== 0) {
    throw new MalformedOrderError('order-modes', ['Known bits: 1, 2, 4'])
  }
  if (!Abi.isZero(order.parentsHash) || !Abi.isZero(order.replyKeyHash)) {
    throw new MalformedOrderError('order-reserved', ['Rule: parentsHash and replyKeyHash are zero in this version'])
  }
}

function ofTerms<T>(body: () => T): T {
  try {
    return body()
  } catch (cause) {
    if (cause instanceof Shape.MismatchError) throw new MalformedTermsError(cause)
    throw cause
  }
}

/** Codes of `Order.MalformedOrderError`. */
export type MalformedOrderErrorCode = 'order-length' | 'order-word' | 'order-modes' | 'order-reserved'

/** Words or fields are no order of version 1. */
export class MalformedOrderError extends VerificationError<MalformedOrderErrorCode> {
  override readonly name = 'Order.MalformedOrderError'
  constructor(code: MalformedOrderErrorCode, facts: readonly string[], cause?: BaseError) {
    super(code, 'This is no order of version 1.', { facts, cause })
  }
}

/** Bytes or fields are no exposure terms. */
export class MalformedTermsError extends VerificationError<'terms-malformed'> {
  override readonly name = 'Order.MalformedTermsError'
  constructor(cause: BaseError) {
    super('terms-malformed', 'These are no exposure terms.', { facts: cause.facts, cause })
  }
}
