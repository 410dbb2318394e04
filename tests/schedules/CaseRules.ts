/**
 * CaseRules.ts - what FaultCases does with a call, as a function from cases to cases. Source: contracts/src/FaultCases.sol, spec/faults.md
 * section 6.
 *
 * Left out: money (every call here carries bond enough), `demandContent`, and `how` 2 of a demand, which rests on FaultCourt's `observe`.
 */
import { FaultCasesContract, type Records } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes, Cose, errors, Head, LogEntry, Merkle } from 'assay/protocol'
import { decodeFunctionData, encodeAbiParameters, encodePacked, type Hex, keccak256 } from 'viem'
import { RevertError, refusing } from './RevertError.ts'

/** Blocks: how long a receipt is young, how long an answer may take. */
export type Terms = { readonly openWindowBlocks: bigint; readonly answerBlocks: bigint }

export type Case = {
  readonly class: 17 | 18
  readonly subject: Uint8Array
  readonly keyEpoch: number
  readonly incident: Uint8Array
  /** Of class 18. */
  readonly demand: { readonly receiptHash: Uint8Array; readonly slot: number } | undefined
  readonly challenger: Uint8Array
  readonly openedAtBlock: bigint
  readonly state: 'open' | 'answered' | 'expired'
}

/** By case id in hex. */
export type Cases = ReadonlyMap<string, Case>

/** What the contract reads. */
export type Ground = {
  readonly chainId: bigint
  readonly registry: Uint8Array
  readonly terms: Terms
  readonly cases: Cases
  readonly logs: ReadonlyMap<
    string,
    {
      readonly size: bigint
      readonly steps: ReadonlyMap<bigint, { readonly root: Uint8Array; readonly blockNumber: bigint }>
    }
  >
  /** By `nodeId/epoch`. */
  readonly keys: ReadonlyMap<string, Records.KeyRecord>
}

type SignedHead = { readonly head: Hex; readonly signature: Hex; readonly x: Hex; readonly y: Hex }
type Inclusion = { readonly logId: Hex; readonly index: bigint; readonly size: bigint; readonly proof: readonly Hex[] }
type Opening = { readonly salt: Hex; readonly value: Hex; readonly path: readonly Hex[] }

export const maxOpenCases = 8
const maxValueBytes = 65_536
const openSlots = new Set([1, 6, 7, 8, 12, 13])
const hex = Bytes.toHex
const bytes = Bytes.from0x

/** The cases after a call from `from` in a block; throws `RevertError` when the contract would refuse it. */
export async function apply(ground: Ground, from: Uint8Array, data: Uint8Array, block: bigint): Promise<Cases> {
  const { functionName, args } = decodeFunctionData({ abi: FaultCasesContract.abi, data: Bytes.to0x(data) })
  switch (functionName) {
    case 'challengeEntry': {
      const [logId, index] = args
      const log = ground.logs.get(logId.slice(2))
      if (log === undefined) throw new RevertError('UnknownLog')
      if (index >= log.size) throw new RevertError('NotCovered')
      const of = { class: 17, subject: bytes(logId), keyEpoch: 0, incident: Bytes.u256(index) } as const
      return open(ground, { ...of, demand: undefined, challenger: from, openedAtBlock: block, state: 'open' })
    }
    case 'answerEntry': {
      const [place, entry, signed] = args
      const head = requireHead(signed.head)
      if (hex(bytes(entry)) !== hex(entryOf(head))) throw new RevertError('EntryDiffers')
      await requireSigned(signed)
      requireAnchored(ground, bytes(entry), place)
      const id = caseId(17, bytes(place.logId), 0, Bytes.u256(place.index))
      const isLate = ground.cases.get(id)?.state === 'expired'
      return answer(ground, id, isLate ? 'expired' : 'open')
    }
    case 'demandOpening': {
      const [signed, place, how, seenAt, slot] = args
      if (!openSlots.has(slot)) throw new RevertError('SlotNotOpenToAll')
      const head = requireHead(signed.head)
      await requireYoung(ground, signed, place, { how, seenAt, block })
      const { nodeId, keyEpoch } = partsOf(head)
      const receiptHash = Head.hash(crypto, head)
      const of = { class: 18, subject: nodeId, keyEpoch, incident: incidentOf(receiptHash, slot) } as const
      const demand = { receiptHash, slot }
      return open(ground, { ...of, demand, challenger: from, openedAtBlock: block, state: 'open' })
    }
    case 'answerOpening': {
      const [headHex, slot, opening] = args
      const head = requireHead(headHex)
      requireOpened(head, slot, opening)
      return answer(ground, demandId(head, slot), 'open')
    }
    case 'answerAbsent': {
      const [headHex, slot, path] = args
      const head = requireHead(headHex)
      const leaf = crypto.sha256(Uint8Array.of(0, slot))
      if (hex(rootOf(slot, leaf, path)) !== hex(partsOf(head).claimsRoot)) throw new RevertError('NotOpened')
      return answer(ground, demandId(head, slot), 'open')
    }
    case 'answerAnchoredBefore': {
      const [headHex, slot, place] = args
      const head = requireHead(headHex)
      const anchoredAt = requireAnchored(ground, entryOf(head), place)
      const id = demandId(head, slot)
      const openedAt = ground.cases.get(id)?.openedAtBlock ?? 0n
      if (anchoredAt + ground.terms.openWindowBlocks >= openedAt) throw new RevertError('WrongAge')
      return answer(ground, id, 'open')
    }
    case 'expireCase': {
      const [ofClass, subject, keyEpoch, incident] = args
      const id = caseId(ofClass, bytes(subject), keyEpoch, bytes(incident))
      const found = ground.cases.get(id)
      if (found?.state !== 'open') throw new RevertError('NoOpenCase')
      if (block <= found.openedAtBlock + ground.terms.answerBlocks) throw new RevertError('CaseNotDue')
      return new Map(ground.cases).set(id, { ...found, state: 'expired' })
    }
    default:
      throw new RevertError(`not modelled: ${functionName}`)
  }
}

/** How many cases are open against a subject. */
export function openCases(cases: Cases, subject: Uint8Array): number {
  let count = 0
  for (const one of cases.values()) if (one.state === 'open' && Bytes.equal(one.subject, subject)) count++
  return count
}

/** The identifier of a case, in hex. */
export function caseId(ofClass: number, subject: Uint8Array, keyEpoch: number, incident: Uint8Array): string {
  const types = [{ type: 'uint8' }, { type: 'bytes32' }, { type: 'uint32' }, { type: 'bytes32' }] as const
  const values = [ofClass, Bytes.to0x(subject), keyEpoch, Bytes.to0x(incident)] as const
  return keccak256(encodeAbiParameters(types, values)).slice(2)
}

function incidentOf(receiptHash: Uint8Array, slot: number): Uint8Array {
  return bytes(keccak256(encodePacked(['bytes32', 'uint8'], [Bytes.to0x(receiptHash), slot])))
}

function demandId(head: Uint8Array, slot: number): string {
  const { nodeId, keyEpoch } = partsOf(head)
  return caseId(18, nodeId, keyEpoch, incidentOf(Head.hash(crypto, head), slot))
}

function open({ cases }: Ground, one: Case): Cases {
  const id = caseId(one.class, one.subject, one.keyEpoch, one.incident)
  if (cases.has(id)) throw new RevertError('CaseExists')
  if (openCases(cases, one.subject) >= maxOpenCases) throw new RevertError('TooManyCases')
  return new Map(cases).set(id, one)
}

function answer({ cases }: Ground, id: string, from: 'open' | 'expired'): Cases {
  const found = cases.get(id)
  if (found?.state !== from) throw new RevertError('NoOpenCase')
  return new Map(cases).set(id, { ...found, state: 'answered' })
}

/** 139 bytes of version 1; what stands in them is not looked at. */
function requireHead(head: Hex): Uint8Array {
  const read = bytes(head)
  if (read.length !== Head.byteLength || read[0] !== 1) throw new RevertError('MalformedHead')
  return read
}

/** By place, as the contract reads them: a head that our parser refuses can be a head all the same. */
function partsOf(head: Uint8Array) {
  return {
    ...{ chainId: Bytes.toBigInt(head.slice(1, 9)), registry: head.slice(9, 29), nodeId: head.slice(29, 61) },
    ...{ keyEpoch: Number(Bytes.toBigInt(head.slice(61, 65))), claimsRoot: head.slice(107, 139) },
  }
}

function entryOf(head: Uint8Array): Uint8Array {
  const receiptHash = crypto.sha256(Bytes.concat(Uint8Array.of(3), head))
  return Bytes.concat(Uint8Array.of(1), receiptHash, head.slice(29, 61), head.slice(65, 73), head.slice(105, 107))
}

async function requireSigned({ head, signature, x, y }: SignedHead): Promise<void> {
  const publicKey = Bytes.concat(bytes(x), bytes(y))
  const of = { tag: 'receipt', payload: crypto.sha256(bytes(head)), signature: bytes(signature), publicKey } as const
  await refusing('BadSignature', () => Cose.verify(crypto, of))
}

function requireAnchored(ground: Ground, entry: Uint8Array, place: Inclusion): bigint {
  const step = ground.logs.get(place.logId.slice(2))?.steps.get(place.size)
  if (step === undefined) throw new RevertError('NotAnchored')
  try {
    const proof = place.proof.map((hash) => bytes(hash))
    const leafHash = LogEntry.leafHash(crypto, entry)
    Merkle.verifyInclusion(crypto, { leafHash, index: place.index, size: place.size, proof, root: step.root })
  } catch (error) {
    if (errors.BaseError.isInstance(error)) throw new RevertError('NotIncluded')
    throw error
  }
  return step.blockNumber
}

async function requireYoung(
  ground: Ground,
  signed: SignedHead,
  place: Inclusion,
  at: { readonly how: number; readonly seenAt: bigint; readonly block: bigint },
): Promise<void> {
  const head = bytes(signed.head)
  const { chainId, registry, nodeId, keyEpoch } = partsOf(head)
  if (chainId !== ground.chainId || !Bytes.equal(registry, ground.registry)) throw new RevertError('ForeignHead')
  const key = ground.keys.get(`${hex(nodeId)}/${keyEpoch}`)
  const keyId = crypto.sha256(Bytes.concat(bytes(signed.x), bytes(signed.y)))
  if (key === undefined || key.role !== 1 || !Bytes.equal(key.keyId, keyId)) throw new RevertError('UnknownSigner')
  await requireSigned(signed)
  requireAnchored(ground, entryOf(head), place)
  if (at.how !== 1) throw new RevertError('NotObserved')
  const seen = ground.logs.get(place.logId.slice(2))?.steps.get(at.seenAt)
  if (seen === undefined) throw new RevertError('NotAnchored')
  const isOld = seen.blockNumber + ground.terms.openWindowBlocks < at.block
  if (at.seenAt > place.index || isOld) throw new RevertError('WrongAge')
}

function requireOpened(head: Uint8Array, slot: number, { salt, value, path }: Opening): void {
  const { length } = bytes(value)
  if (slot > 15 || length === 0 || length > maxValueBytes) throw new RevertError('NotOpened')
  const leaf = crypto.sha256(Bytes.concat(Uint8Array.of(0, slot), bytes(salt), crypto.sha256(bytes(value))))
  if (hex(rootOf(slot, leaf, path)) !== hex(partsOf(head).claimsRoot)) throw new RevertError('NotOpened')
}

function rootOf(slot: number, leaf: Uint8Array, path: readonly Hex[]): Uint8Array {
  return path.reduce((below, sibling, height) => {
    const pair = (slot >> height) & 1 ? [bytes(sibling), below] : [below, bytes(sibling)]
    return crypto.sha256(Bytes.concat(Uint8Array.of(1), ...pair))
  }, leaf)
}
