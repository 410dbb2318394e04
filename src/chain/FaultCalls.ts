/**
 * FaultCalls.ts - the call of FaultCourt that files a fault file, and the commitment that goes before it.
 * Source: spec/faults.md sections 4 and 7.
 */
import { encodeFunctionData } from 'viem'
import * as Abi from '../protocol/Abi.ts'
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import type * as Fault from '../protocol/Fault.ts'
import * as Pledge from '../protocol/Pledge.ts'
import { abi } from './generated/FaultCourt.ts'

const hex = Bytes.to0x

/**
 * The bytes of the call that files a fault.
 *
 * - `fault`: one that was judged good; of the words of its pledge only the form is looked at here
 * - `salt`: 32 random bytes, without which who sees the commitment could guess the call
 *
 * Throws: `Bytes.LengthError`, `Pledge.MalformedPledgeError`.
 *
 * @example
 * const callData = FaultCalls.callDataOf(Fault.parse(file), salt)
 */
export function callDataOf(fault: Fault.Fault, salt: Uint8Array): Uint8Array {
  Bytes.assertLength(salt, 32, 'Salt')
  return Bytes.from0x(encoded(fault, hex(salt)))
}

/**
 * What a reporter commits to before filing: Keccak-256(abi.encode(chainId, faultCourt, reporter, Keccak-256(callData))), 32 bytes.
 *
 * - `faultCourt`, `reporter`: 20 bytes; `callData`: the exact bytes of the later call
 */
export function commitment(
  crypto: Crypto,
  filing: {
    readonly chainId: bigint
    readonly faultCourt: Uint8Array
    readonly reporter: Uint8Array
    readonly callData: Uint8Array
  },
): Hash {
  return crypto.keccak256(
    Abi.encode(
      Abi.uint(filing.chainId, 64),
      Abi.address(filing.faultCourt),
      Abi.address(filing.reporter),
      Abi.bytes32(crypto.keccak256(filing.callData)),
    ),
  )
}

function encoded(fault: Fault.Fault, salt: `0x${string}`): `0x${string}` {
  switch (fault.class) {
    case 1:
      return encodeFunctionData({ abi, functionName: 'fileTwoHeads', args: [headsOf(fault.evidence), salt] })
    case 13:
      return encodeFunctionData({ abi, functionName: 'fileWrongLink', args: [headsOf(fault.evidence), salt] })
    case 2: {
      const { logId, index, stateA, stateB } = fault.evidence
      const args = [hex(logId), index ?? 0n, stateOf(stateA), stateOf(stateB), salt] as const
      return encodeFunctionData({ abi, functionName: 'fileTwoHistories', args })
    }
    case 6: {
      const { nodeId, keyEpoch, publicKey, logId, index, stateA, stateB } = fault.evidence
      const witness = { nodeId: hex(nodeId), keyEpoch, ...halvesOf(publicKey) }
      const args = [witness, hex(logId), index ?? 0n, stateOf(stateA), stateOf(stateB), salt] as const
      return encodeFunctionData({ abi, functionName: 'fileTwoCosignatures', args })
    }
    case 3: {
      const { otherLeafHash, size, proof } = fault.evidence
      const args = [pledgeOf(fault.evidence), hex(otherLeafHash), size, proof.map(hex), salt] as const
      return encodeFunctionData({ abi, functionName: 'fileWrongLeaf', args })
    }
    case 4: {
      const { missing, how, at } = fault.evidence
      const args = [pledgeOf(fault.evidence), missing, how, at, salt] as const
      return encodeFunctionData({ abi, functionName: 'fileUnkeptPledge', args })
    }
    case 5: {
      const { entry, head, signature, publicKey, logId, index, size, proof } = fault.evidence
      const place = { logId: hex(logId), index, size, proof: proof.map(hex) }
      const signedHead = { head: hex(head), signature: hex(signature), ...halvesOf(publicKey) }
      return encodeFunctionData({ abi, functionName: 'fileFalseEntry', args: [place, hex(entry), signedHead, salt] })
    }
  }
}

const zero = hex(new Uint8Array(32))

function halvesOf(publicKey: Uint8Array) {
  return { x: hex(publicKey.subarray(0, 32)), y: hex(publicKey.subarray(32)) }
}

function headsOf({ headA, signatureA, headB, signatureB, publicKey }: Fault.F1 | Fault.F13) {
  const signed = { headA: hex(headA), signatureA: hex(signatureA), headB: hex(headB), signatureB: hex(signatureB) }
  return { ...signed, ...halvesOf(publicKey) }
}

/** What a file does not have is empty in a call. */
function stateOf({ size, root, signature, leaf, proof }: Fault.State) {
  return {
    size,
    root: hex(root),
    signature: signature === undefined ? '0x' : hex(signature),
    leaf: leaf === undefined ? zero : hex(leaf),
    proof: (proof ?? []).map(hex),
  } as const
}

function pledgeOf({ pledge, signature }: Fault.F3 | Fault.F4) {
  const { logId, leafHash, leafIndex, issuedAtBlock, issuedAtBlockHash } = Pledge.parse(pledge)
  const words = { logId: hex(logId), leafHash: hex(leafHash), issuedAtBlockHash: hex(issuedAtBlockHash) }
  return { ...words, leafIndex, issuedAtBlock, signature: hex(signature) }
}

/**
 * What a fault file would be recorded as, by what it says of itself; nothing is judged.
 *
 * - `terms`: asked for class 4 only; `pledgeBlocks` of a log that is not registered is 0
 *
 * Throws: `Pledge.MalformedPledgeError` when the words of its pledge have another form.
 */
export async function incidentOf(
  fault: Fault.Fault,
  terms: {
    readonly incidentBlocks: () => Promise<bigint>
    readonly pledgeBlocks: (logId: Hash) => Promise<bigint>
  },
): Promise<Fault.Incident> {
  const number = Bytes.u256
  switch (fault.class) {
    case 1:
    case 13: {
      // By place, as the court reads it: it takes heads that no honest node signs.
      const place = new Bytes.Reader(fault.evidence[fault.class === 1 ? 'headA' : 'headB'].subarray(29, 73))
      const [subject, keyEpoch, sequence] = [place.bytes(32), place.u32(), place.u64()]
      return { class: fault.class, subject, keyEpoch, incident: number(sequence) }
    }
    case 2:
      return { class: 2, subject: fault.evidence.logId, keyEpoch: 0, incident: number(0n) }
    case 3: {
      const { logId: subject, leafIndex } = Pledge.parse(fault.evidence.pledge)
      return { class: 3, subject, keyEpoch: 0, incident: number(leafIndex) }
    }
    case 4: {
      const { logId: subject, issuedAtBlock } = Pledge.parse(fault.evidence.pledge)
      const deadline = issuedAtBlock + (await terms.pledgeBlocks(subject))
      const incident = number(deadline / (await terms.incidentBlocks()))
      return { class: fault.evidence.missing ? 104 : 4, subject, keyEpoch: 0, incident }
    }
    case 5:
      return { class: 5, subject: fault.evidence.logId, keyEpoch: 0, incident: number(fault.evidence.index) }
    case 6: {
      const { nodeId: subject, keyEpoch, logId: incident } = fault.evidence
      return { class: 6, subject, keyEpoch, incident }
    }
  }
}
