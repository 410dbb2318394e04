/**
 * Accused.ts - whom a fault file accuses of what, by its bytes alone: which files stand for one fault, which count against one limit,
 * which concern a receipt. Source: spec/client.md section 3.
 */
import type * as Bundle from '../protocol/Bundle.ts'
import * as Bytes from '../protocol/Bytes.ts'
import { BaseError } from '../protocol/errors.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Pledge from '../protocol/Pledge.ts'
import type { ChainAccess } from './ChainAccess.ts'
import * as Registered from './Registered.ts'
import * as WatchOfNode from './WatchOfNode.ts'

/** Whose faults concern a receipt: public keys of 64 bytes, the log's identifier. */
export type Keys = {
  readonly node: Uint8Array
  readonly log?: Uint8Array | undefined
  readonly logId?: Uint8Array | undefined
  readonly cosigners?: readonly Uint8Array[]
}

/** Blocks whose pledges share a file of class 4: FaultCourt counts them by such windows too. */
const windowBlocks = 100n

const hex = Bytes.toHex

/** Reads a file; undefined for one that names nobody. */
export function parse(file: Uint8Array): Fault.Fault | undefined {
  try {
    const fault = Fault.parse(file)
    // A pledge is read only here: words that are none would stop whoever looks at all files.
    subjectOf(fault)
    return fault
  } catch (error) {
    if (BaseError.isInstance(error)) return undefined
    throw error
  }
}

/**
 * What a file is about: two files with one subject would be filed as one fault. Everything that the accused did not sign is part of
 * it, so nobody puts a file in the place of another by changing what no signature covers.
 */
export function subjectOf(fault: Fault.Fault): string {
  switch (fault.class) {
    case 1:
    case 13:
      return `${fault.class}/${hex(fault.evidence.publicKey)}/${hex(fault.evidence.headB.subarray(1, 73))}`
    case 2:
      return `2/${keyOf(fault)}`
    case 3:
      return `3/${keyOf(fault)}/${Pledge.parse(fault.evidence.pledge).leafIndex}`
    case 4: {
      const { issuedAtBlock } = Pledge.parse(fault.evidence.pledge)
      const { missing, how } = fault.evidence
      return `4/${keyOf(fault)}/${missing}/${how === 0 ? 'now' : 'lasting'}/${issuedAtBlock / windowBlocks}`
    }
    case 5:
      return `5/${keyOf(fault)}/${fault.evidence.index}`
    case 6:
      return `6/${keyOf(fault)}/${hex(fault.evidence.logId)}`
  }
}

/** Who signed, as the chain would know it: the name of a key of a node, of a witness, of a log. */
export function keyOf(fault: Fault.Fault): string {
  switch (fault.class) {
    case 1:
    case 13:
      return Registered.nodeKey(fault.evidence.headB.subarray(1, 65), fault.evidence.publicKey)
    case 2:
      return Registered.log(fault.evidence)
    case 3:
    case 4: {
      const { pledge, publicKey } = fault.evidence
      return Registered.log({ ...Pledge.parse(pledge), publicKey })
    }
    case 5:
      return Registered.anyLog(fault.evidence)
    case 6:
      return Registered.witnessOf(fault.evidence, fault.evidence)
  }
}

/**
 * Against whom a file counts. A node has many keys, and a receipt is made worthless by faults of its own key: what another key did
 * takes no place there. Nor does lateness, which costs a log little, take the place of what ends it.
 */
export function accusedOf(fault: Fault.Fault): string {
  switch (fault.class) {
    case 2:
    case 3:
      return `${keyOf(fault)}/contradiction`
    case 4:
      return `${keyOf(fault)}/${fault.evidence.missing ? 'missing' : 'late'}`
    default:
      return keyOf(fault)
  }
}

/** Whether a file shows its fault by itself, once its key is known: then it shows it for ever. */
export function isWhole(fault: Fault.Fault): boolean {
  return fault.class !== 4 && !restsOnChain(fault)
}

/** Whether a file needs what a block put on the chain; that of lateness now (`how` 0) is meant to pass. */
export function restsOnChain(fault: Fault.Fault): boolean {
  switch (fault.class) {
    case 2:
      return [fault.evidence.stateA, fault.evidence.stateB].some(({ signature }) => signature === undefined)
    case 3:
    case 5:
      return true
    case 4:
      return fault.evidence.how !== 0
    default:
      return false
  }
}

/** Whether the statements are for other contracts than this chain's: no block of it will ever make them a fault. */
export function isElsewhere({ chainId, contracts }: ChainAccess, fault: Fault.Fault): boolean {
  const { anchorLog, nodeRegistry } = contracts
  switch (fault.class) {
    case 1:
    case 13:
      return [fault.evidence.headA, fault.evidence.headB].some((head) => {
        const signer = WatchOfNode.signerOf(head)
        return signer.chainId !== chainId || !Bytes.equal(signer.registry, nodeRegistry)
      })
    case 3:
    case 4: {
      const pledge = Pledge.parse(fault.evidence.pledge)
      return pledge.chainId !== chainId || !Bytes.equal(pledge.anchorLog, anchorLog)
    }
    case 5:
      return !Bytes.equal(fault.evidence.anchorLog, anchorLog)
    default:
      return fault.evidence.chainId !== chainId || !Bytes.equal(fault.evidence.anchorLog, anchorLog)
  }
}

/** Whose faults concern a receipt; the log's identifier only if the pledge can be read. */
export function keysOf({ keys, pledge, checkpoint }: Bundle.Bundle): Keys {
  const cosigners = (checkpoint?.cosignatures ?? []).map(({ publicKey }) => publicKey)
  return { node: keys.node, log: keys.log, logId: pledge && logIdOf(pledge.words), cosigners }
}

function logIdOf(words: Uint8Array): Uint8Array | undefined {
  try {
    return Pledge.parse(words).logId
  } catch (error) {
    if (BaseError.isInstance(error)) return undefined
    throw error
  }
}

/** Whether a file may concern a receipt. */
export function concerns(fault: Fault.Fault, { node, log, logId, cosigners }: Keys): boolean {
  const isLogs = (key: Uint8Array) => log !== undefined && Bytes.equal(key, log)
  switch (fault.class) {
    case 1:
    case 13:
      return Bytes.equal(fault.evidence.publicKey, node) || isLogs(fault.evidence.publicKey)
    case 2:
    case 3:
    case 4:
      return isLogs(fault.evidence.publicKey)
    case 5:
      return logId !== undefined && Bytes.equal(fault.evidence.logId, logId)
    case 6:
      return (cosigners ?? []).some((key) => Bytes.equal(key, fault.evidence.publicKey))
  }
}

/** Whether a file shows that a pledge is broken for good; of class 4 one that is missing itself. */
export function breaks(fault: Fault.Fault, pledge: Uint8Array): boolean {
  switch (fault.class) {
    case 3:
      return Bytes.equal(fault.evidence.pledge, pledge)
    case 4:
      return fault.evidence.missing && isSameWindow(fault.evidence.pledge, pledge)
    case 5: {
      const { logId, leafIndex } = Pledge.parse(pledge)
      return Bytes.equal(fault.evidence.logId, logId) && fault.evidence.index === leafIndex
    }
    default:
      return false
  }
}

function isSameWindow(left: Uint8Array, right: Uint8Array): boolean {
  const [one, other] = [Pledge.parse(left), Pledge.parse(right)]
  return Bytes.equal(one.logId, other.logId) && one.issuedAtBlock / windowBlocks === other.issuedAtBlock / windowBlocks
}
