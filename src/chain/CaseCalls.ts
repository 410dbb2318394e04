/**
 * CaseCalls.ts - what a challenger sends to FaultCases and reads of it: challenged entries (F17) and demanded openings (F18).
 * Answers are the endpoint's word. Source: spec/faults.md section 6.
 */
import * as Abi from '../protocol/Abi.ts'
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Head from '../protocol/Head.ts'
import * as ContractCall from './ContractCall.ts'
import { abi } from './generated/FaultCases.ts'
import type * as Records from './Records.ts'
import type { Rpc } from './Rpc.ts'

const hex = Bytes.to0x

/** A signed head as the contracts take it: 139 bytes, 64 bytes, and the key's 64 bytes. */
export type SignedHead = {
  readonly head: Uint8Array
  readonly signature: Uint8Array
  readonly publicKey: Uint8Array
}

/** Where an entry stands: under the root that the log has anchored at `size`. */
export type Inclusion = {
  /** 32 bytes. */
  readonly logId: Hash
  readonly index: bigint
  readonly size: bigint
  readonly proof: readonly Hash[]
}

/** A block in which the log did not cover the entry yet: 1 the anchored step of size `seenAt`, 2 the block `seenAt` of `observe`. */
export type Seen = { readonly how: 1 | 2; readonly seenAt: bigint }

/** A slot's opening with its siblings from the leaf up, four hashes. */
export type Opening = { readonly salt: Uint8Array; readonly value: Uint8Array; readonly path: readonly Hash[] }

/** The order of a call: 416 bytes, and for a client that is a key its signature and key, 64 bytes each. */
export type OrderProof = {
  readonly words: Uint8Array
  readonly signature?: Uint8Array
  readonly publicKey?: Uint8Array
}

/** What a case becomes when nobody answers; its fault id is the case's id. */
export type Case = { readonly caseId: Hash; readonly incident: Fault.Incident }

/** The case of an entry that is asked for. */
export function entryCase(crypto: Crypto, logId: Hash, index: bigint): Case {
  const incident: Fault.Incident = { class: 17, subject: logId, keyEpoch: 0, incident: Bytes.u256(index) }
  return { caseId: Fault.faultId(crypto, incident), incident }
}

/** The case of a slot of a receipt that is to be opened; throws `Head.MalformedHeadError`. */
export function openingCase(crypto: Crypto, head: Uint8Array, slot: number): Case {
  const { nodeId, keyEpoch } = Head.parse(head)
  const name = crypto.keccak256(Bytes.concat(Head.hash(crypto, head), Uint8Array.of(slot)))
  const incident: Fault.Incident = { class: 18, subject: nodeId, keyEpoch, incident: name }
  return { caseId: Fault.faultId(crypto, incident), incident }
}

/** The call that asks for an entry. */
export function challengeEntry(logId: Hash, index: bigint): Uint8Array {
  return ContractCall.encode({ abi, functionName: 'challengeEntry', args: [hex(logId), index] })
}

/** The call that asks for a slot that anybody may see. */
export function demandOpening(head: SignedHead, place: Inclusion, seen: Seen, slot: number): Uint8Array {
  const args = [signed(head), placeOf(place), seen.how, seen.seenAt, slot] as const
  return ContractCall.encode({ abi, functionName: 'demandOpening', args })
}

/** The call that asks for a slot that only the order's signer may see. */
export function demandContent(
  head: SignedHead,
  place: Inclusion,
  seen: Seen,
  slot: number,
  order: { readonly opening: Opening; readonly proof: OrderProof },
): Uint8Array {
  const { salt, value, path } = order.opening
  const [one, two, three, four] = path.map(hex)
  if (one === undefined || two === undefined || three === undefined || four === undefined || path.length !== 4)
    throw new Abi.WordCountError()
  const opening = { salt: hex(salt), value: hex(value), path: [one, two, three, four] as const }
  const { words, signature, publicKey } = order.proof
  const proof = {
    words: hex(words),
    signature: hex(signature ?? new Uint8Array(0)),
    ...halves(publicKey ?? new Uint8Array(64)),
  }
  const args = [signed(head), placeOf(place), seen.how, seen.seenAt, slot, opening, proof] as const
  return ContractCall.encode({ abi, functionName: 'demandContent', args })
}

/** What an order's signer signs under tag `report` for a case: SHA-256(abi.encode(chainId, faultCases, caseId, sender)), 32 bytes. */
export function reportPayload(
  crypto: Crypto,
  report: {
    readonly chainId: bigint
    readonly faultCases: Uint8Array
    readonly caseId: Hash
    readonly sender: Uint8Array
  },
): Hash {
  const { chainId, faultCases, caseId, sender } = report
  return crypto.sha256(
    Abi.encode(Abi.uint(chainId, 256), Abi.address(faultCases), Abi.bytes32(caseId), Abi.address(sender)),
  )
}

/** The call that ends a case that nobody answered. */
export function expireCase(of: Fault.Incident): Uint8Array {
  const args = [of.class, hex(of.subject), of.keyEpoch, hex(of.incident)] as const
  return ContractCall.encode({ abi, functionName: 'expireCase', args })
}

/** The call that pays out the sender's credit. */
export function withdrawCredit(): Uint8Array {
  return ContractCall.encode({ abi, functionName: 'withdrawCredit', args: [] })
}

/** A case as the contract keeps it. */
export type CaseRecord = Records.CaseRecord

/** A case by its id as the endpoint says, undefined if there is none. */
export async function getCase(rpc: Rpc, faultCases: Uint8Array, caseId: Hash): Promise<CaseRecord | undefined> {
  const call = { abi, functionName: 'getCase', args: [hex(caseId)] } as const
  const found = await ContractCall.read(rpc, faultCases, call)
  const state = ([undefined, 'open', 'answered', 'expired'] as const)[found.state]
  if (state === undefined) return undefined
  return {
    challenger: Bytes.from0x(found.challenger.toLowerCase()),
    openedAtBlock: BigInt(found.openedAtBlock),
    state,
    bond: BigInt(found.bondGwei) * 10n ** 9n,
  }
}

/** How many cases are open against a subject. */
export function openCases(rpc: Rpc, faultCases: Uint8Array, subject: Hash): Promise<bigint> {
  return ContractCall.read(rpc, faultCases, { abi, functionName: 'openCases', args: [hex(subject)] })
}

/** What an account can withdraw, wei; `account`: 20 bytes. */
export function credit(rpc: Rpc, faultCases: Uint8Array, account: Uint8Array): Promise<bigint> {
  return ContractCall.read(rpc, faultCases, { abi, functionName: 'credit', args: [hex(account)] })
}

// Source: spec/faults.md section 6.1.
const answerGas = { entry: 400_000n, slot: 500_000n, content: 3_500_000n }
const bondUnit = 10n ** 9n

/**
 * A bond, wei: the least that the contract takes at a base fee, a multiple of 10^9 wei.
 *
 * - `floor`: of FaultCourt, wei; `open`: cases open against the subject; `slot`: undefined for an entry
 *
 * @example
 * // Base fees rise by at most an eighth a block: twice today's is enough for six blocks.
 * CaseCalls.bondOf({ baseFee: 2n * baseFee, floor, open: 0n, slot: 6 })
 */
export function bondOf(terms: {
  readonly baseFee: bigint
  readonly floor: bigint
  readonly open: bigint
  readonly slot: number | undefined
}): bigint {
  const { baseFee, floor, open, slot } = terms
  const gas = slot === undefined ? answerGas.entry : slot >= 2 && slot <= 5 ? answerGas.content : answerGas.slot
  const cost = 2n * gas * baseFee
  const bond = (cost > floor ? cost : floor) << open
  return ((bond + bondUnit - 1n) / bondUnit) * bondUnit
}

function halves(publicKey: Uint8Array) {
  Bytes.assertLength(publicKey, 64, 'Public key')
  return { x: hex(publicKey.subarray(0, 32)), y: hex(publicKey.subarray(32)) }
}

function signed({ head, signature, publicKey }: SignedHead) {
  return { head: hex(head), signature: hex(signature), ...halves(publicKey) }
}

function placeOf({ logId, index, size, proof }: Inclusion) {
  return { logId: hex(logId), index, size, proof: proof.map(hex) }
}
