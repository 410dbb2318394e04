/**
 * FaultOfNode.ts - faults shown by what a node's key signed: two receipts in one place (F1), a wrong link (F13).
 * Source: spec/faults.md sections 2 and 7.
 */
import * as Bytes from './Bytes.ts'
import * as Cose from './Cose.ts'
import type { Crypto, Hash } from './Crypto.ts'
import type { F1, F13 } from './Fault.ts'
import * as Refusal from './FaultRefusal.ts'
import * as Head from './Head.ts'

/** What two heads of one key show; `sequence` is that of the later head. */
export type HeadsFinding<Class extends 1 | 13> = {
  readonly class: Class
  /** 32 bytes. */
  readonly keyId: Hash
  /** 32 bytes. */
  readonly nodeId: Hash
  readonly keyEpoch: number
  readonly sequence: bigint
  readonly chainId: bigint
  /** NodeRegistry, 20 bytes. */
  readonly registry: Uint8Array
  readonly facts: readonly string[]
}

/**
 * Shows that one key signed two different heads with the same number.
 *
 * Throws: `Fault.FaultRefusedError`.
 */
export async function judgeF1(crypto: Crypto, evidence: F1): Promise<HeadsFinding<1>> {
  const { headA, headB } = evidence
  Refusal.assertVersion(headA)
  Refusal.assertVersion(headB)
  if (Bytes.equal(headA, headB)) throw new Refusal.FaultRefusedError('same-head')
  // chainId, registry, nodeId, keyEpoch and sequence stand side by side.
  if (!Bytes.equal(headA.subarray(1, 73), headB.subarray(1, 73))) throw new Refusal.FaultRefusedError('fields-differ')
  await assertBothSigned(crypto, evidence)
  return { class: 1, ...findingOf(crypto, evidence) }
}

/**
 * Shows that a key signed a head whose link is not the hash of the head before it, which the same key signed too.
 *
 * Throws: `Fault.FaultRefusedError`.
 */
export async function judgeF13(crypto: Crypto, evidence: F13): Promise<HeadsFinding<13>> {
  const { headA, headB } = evidence
  Refusal.assertVersion(headA)
  Refusal.assertVersion(headB)
  const isSameKey = Bytes.equal(headA.subarray(1, 65), headB.subarray(1, 65))
  if (!isSameKey || sequenceOf(headB) !== sequenceOf(headA) + 1n) throw new Refusal.FaultRefusedError('fields-differ')
  if (Bytes.equal(headB.subarray(73, 105), Head.hash(crypto, headA))) {
    throw new Refusal.FaultRefusedError('link-correct')
  }
  await assertBothSigned(crypto, evidence)
  return { class: 13, ...findingOf(crypto, evidence) }
}

async function assertBothSigned(crypto: Crypto, evidence: F1 | F13): Promise<void> {
  const { headA, signatureA, headB, signatureB, publicKey } = evidence
  for (const [head, signature] of [
    [headA, signatureA],
    [headB, signatureB],
  ] as const) {
    await Refusal.assertSigned(crypto, { tag: 'receipt', payload: Head.payload(crypto, head), signature, publicKey })
  }
}

/** By offsets: heads with bits that no field uses are judged too. */
function findingOf(crypto: Crypto, { headB, publicKey }: F1 | F13): Omit<HeadsFinding<1>, 'class'> {
  const sequence = sequenceOf(headB)
  return {
    keyId: Cose.keyId(crypto, publicKey),
    nodeId: headB.slice(29, 61),
    keyEpoch: Number(Bytes.toBigInt(headB.subarray(61, 65))),
    sequence,
    chainId: Bytes.toBigInt(headB.subarray(1, 9)),
    registry: headB.slice(9, 29),
    facts: [`Sequence: ${sequence}`],
  }
}

function sequenceOf(head: Uint8Array): bigint {
  return Bytes.toBigInt(head.subarray(65, 73))
}
