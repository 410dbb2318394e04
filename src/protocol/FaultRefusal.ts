/** FaultRefusal.ts - why evidence shows no fault, and the checks that faults share. Source: spec/faults.md sections 2 and 7. */
import * as Bytes from './Bytes.ts'
import * as Cose from './Cose.ts'
import type { Crypto, Hash } from './Crypto.ts'
import { BaseError, VerificationError } from './errors.ts'
import * as Merkle from './Merkle.ts'

/** Asserts a signature; throws `Fault.FaultRefusedError`. */
export async function assertSigned(crypto: Crypto, subject: Parameters<typeof Cose.verify>[1]): Promise<void> {
  try {
    await Cose.verify(crypto, subject)
  } catch (cause) {
    if (BaseError.isInstance(cause)) throw new FaultRefusedError('bad-signature', cause)
    throw cause
  }
}

/** Asserts an inclusion proof; throws `Fault.FaultRefusedError`. */
export function assertIncluded(crypto: Crypto, subject: Parameters<typeof Merkle.verifyInclusion>[1]): void {
  refusing('not-included', () => Merkle.verifyInclusion(crypto, subject))
}

/** Asserts that the caller's answer is the root; throws `Fault.FaultRefusedError`. */
export function assertAnchored(known: Hash | undefined, root: Hash): void {
  if (known === undefined || !Bytes.equal(known, root)) throw new FaultRefusedError('not-anchored')
}

/** Asserts the version of a head and no more: a key that signs heads with unknown bits is no less to blame for what it signs. */
export function assertVersion(head: Uint8Array): void {
  if (head[0] !== 1) throw new FaultRefusedError('malformed')
}

/** Runs a check whose own errors mean `code`; throws `Fault.FaultRefusedError`. */
export function refusing<T>(code: FaultRefusedErrorCode, body: () => T): T {
  try {
    return body()
  } catch (cause) {
    if (BaseError.isInstance(cause)) throw new FaultRefusedError(code, cause)
    throw cause
  }
}

/** Codes of `Fault.FaultRefusedError`. */
export type FaultRefusedErrorCode =
  | 'malformed'
  | 'same-head'
  | 'fields-differ'
  | 'link-correct'
  | 'not-contradictory'
  | 'leaf-equal'
  | 'other-receipt'
  | 'entry-correct'
  | 'bad-signature'
  | 'not-included'
  | 'not-anchored'
  | 'not-seen'
  | 'kept'
  | 'not-due'

const refusals: { readonly [code in FaultRefusedErrorCode]: string } = {
  malformed: 'a head is not of version 1, or the words are no pledge',
  'same-head': 'both heads are the same',
  'fields-differ': 'the heads do not stand where the fault needs them',
  'link-correct': 'the later head links to the earlier one',
  'not-contradictory': 'an append may explain both states',
  'leaf-equal': 'the leaf is the pledged one',
  'other-receipt': 'the entry carries the hash of another receipt',
  'entry-correct': "the entry is the head's own",
  'bad-signature': 'a signature does not hold under the key',
  'not-included': 'the inclusion proof does not hold',
  'not-anchored': 'the log is not known to have anchored this size and root',
  'not-seen': "nothing is known of the log's size in the block that is named, or of a demand that expired",
  kept: 'the log covered the pledged index in that block',
  'not-due': 'that block is not after the deadline, or the grace after the demand',
}

/** A fault file shows no fault. */
export class FaultRefusedError extends VerificationError<FaultRefusedErrorCode> {
  override readonly name = 'Fault.FaultRefusedError'
  constructor(code: FaultRefusedErrorCode, cause?: BaseError) {
    super(code, 'The file shows no fault.', { facts: [`Reason: ${refusals[code]}`], cause })
  }
}
