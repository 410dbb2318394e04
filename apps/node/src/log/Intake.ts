/** Intake.ts - what a log checks before it takes a head. Source: spec/log.md section 2. */
import { Bytes, Cose, type Crypto, errors, Head, Identity, LogEntry } from 'assay/protocol'
import * as BlockFloor from './BlockFloor.ts'
import { type ChainView, type KeyRecord, recentBlock } from './ChainView.ts'

/** A head on its way into the log. */
export type Request = {
  /** 139 bytes. */
  readonly head: Uint8Array
  /** 64 bytes, r || s, low S, under tag `receipt`. */
  readonly signature: Uint8Array
  /** 64 bytes, x || y; the registry holds only its hash. */
  readonly publicKey: Uint8Array
}

/** A head that may enter. */
export type Candidate = Request & {
  readonly keyId: Uint8Array
  readonly sequence: bigint
  /** 32 bytes, the leaf of the entry made from the head. */
  readonly leafHash: Uint8Array
}

/** What a head says and hashes to, before anything is checked against the chain. */
export function read(crypto: Crypto, request: Request): { readonly head: Head.Head; readonly candidate: Candidate } {
  Bytes.assertLength(request.signature, 64, 'Signature')
  Bytes.assertLength(request.publicKey, 64, 'Public key')
  const head = Head.parse(request.head)
  return {
    head,
    candidate: {
      // Copies: the caller may reuse its buffers while the entry waits.
      head: new Uint8Array(request.head),
      signature: new Uint8Array(request.signature),
      publicKey: new Uint8Array(request.publicKey),
      keyId: Cose.keyId(crypto, request.publicKey),
      sequence: head.sequence,
      leafHash: leafHash(crypto, request.head),
    },
  }
}

/** The leaf of the entry made from a head. */
export function leafHash(crypto: Crypto, head: Uint8Array): Uint8Array {
  return LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, head))
}

/**
 * Checks that a head belongs to this log's chain and registry, that its key is registered as a node's, and the signature.
 *
 * Throws: `WrongChainError`, `UnregisteredKeyError`, and what `Cose.verifyMessage` throws.
 */
export async function checkOrigin(
  crypto: Crypto,
  subject: {
    readonly chainId: bigint
    readonly registry: Uint8Array
    readonly head: Head.Head
    readonly candidate: Candidate
    readonly record: KeyRecord | undefined
  },
): Promise<KeyRecord> {
  const { head, candidate, record } = subject
  if (head.chainId !== subject.chainId) throw new WrongChainError('chainId', `${subject.chainId}`, `${head.chainId}`)
  if (!Bytes.equal(head.registry, subject.registry)) {
    throw new WrongChainError('registry', Bytes.to0x(subject.registry), Bytes.to0x(head.registry))
  }
  if (record === undefined) throw new UnregisteredKeyError('no-such-epoch', head)
  if (record.role !== Identity.roles.node) throw new UnregisteredKeyError('not-a-node-key', head)
  if (!Bytes.equal(record.keyId, candidate.keyId)) throw new UnregisteredKeyError('other-key', head)
  await checkSignature(crypto, candidate)
  return record
}

/** Checks the signature over a head under the key that came with it; throws what `Cose.verifyMessage` throws. */
export async function checkSignature(crypto: Crypto, candidate: Candidate): Promise<void> {
  const { signature, publicKey } = candidate
  // Not `Cose.verify`: it would hash the key again to name it.
  const message = Cose.sigStructure('receipt', Head.payload(crypto, candidate.head))
  await Cose.verifyMessage(crypto, message, signature, publicKey)
}

/** Checks that a key is valid in a block; throws `UnregisteredKeyError`. */
export function checkValidity(head: Head.Head, record: KeyRecord, block: bigint): void {
  if (block < record.validFromBlock) throw new UnregisteredKeyError('not-yet-valid', head)
  if (record.validUntilBlock !== 0n && block >= record.validUntilBlock) throw new UnregisteredKeyError('ended', head)
}

/** Asks the chain for keys, once per key and block. */
export function keyRecords(chain: ChainView): (head: Head.Head) => Promise<KeyRecord | undefined> {
  let atBlock: string | undefined
  const records = new Map<string, Promise<KeyRecord | undefined>>()
  return (head) => {
    const newest = chain.newest()
    const block = newest === undefined ? 'none' : Bytes.toHex(newest.hash)
    if (block !== atBlock || records.size >= 4096) {
      records.clear()
      atBlock = block
    }
    const name = `${Bytes.toHex(head.nodeId)}/${head.keyEpoch}`
    let record = records.get(name)
    if (record === undefined) {
      record = chain.keyRecord(head.nodeId, head.keyEpoch)
      records.set(name, record)
      record.catch(() => records.delete(name))
    }
    return record
  }
}

/** The newest block; throws `StaleChainError` when it is too old to name in a pledge, or far below one seen before. */
export function blockForPledge(log: {
  readonly chain: ChainView
  readonly now: () => number
  readonly floor: BlockFloor.BlockFloor
  readonly identity: { readonly pledgeBlocks: bigint }
}): { readonly number: bigint; readonly hash: Uint8Array } {
  const nowMs = log.now()
  const block = recentBlock(log.chain, nowMs)
  const isAdmitted = block && BlockFloor.admits(log.floor, block.number, log.identity.pledgeBlocks, nowMs)
  if (block === undefined || isAdmitted !== true) throw new StaleChainError()
  return block
}

/** The head is for another chain or another registry. */
export class WrongChainError extends errors.UsageError<'wrong-chain'> {
  override readonly name = 'Intake.WrongChainError'
  constructor(field: 'chainId' | 'registry', expected: string, got: string) {
    super('wrong-chain', 'The head belongs to another chain or registry than this log.', {
      facts: [`Field: ${field}`, `Expected: ${expected}`, `Got: ${got}`],
    })
  }
}

/** Why a key may not write to the log. */
export type KeyProblem = 'no-such-epoch' | 'not-a-node-key' | 'other-key' | 'not-yet-valid' | 'ended'

/** The key is not registered for the head's node and epoch, or not valid at the newest block. */
export class UnregisteredKeyError extends errors.VerificationError<'key-not-registered'> {
  override readonly name = 'Intake.UnregisteredKeyError'
  readonly problem: KeyProblem
  constructor(problem: KeyProblem, head: { readonly nodeId: Uint8Array; readonly keyEpoch: number }) {
    super('key-not-registered', 'The key is not a valid key of this node and epoch.', {
      facts: [`Problem: ${problem}`, `nodeId: ${Bytes.toHex(head.nodeId)}`, `keyEpoch: ${head.keyEpoch}`],
    })
    this.problem = problem
  }
}

/** The log knows no block that is recent enough to name in a pledge. */
export class StaleChainError extends errors.UnavailableError<'chain-stale'> {
  override readonly name = 'Intake.StaleChainError'
  constructor() {
    super('chain-stale', 'The log knows no recent block that a pledge could name, so it signs none.', {
      retryAfterSeconds: 5,
    })
  }
}
