/**
 * ForkedLog.ts - a second history of a log, CHEATING ON PURPOSE for the demonstration of faults: signed with the log's real key over
 * a tree that holds one entry's leaf and is false elsewhere. No daemon can reach this; see Cheats.ts.
 */
import { crypto } from 'assay/crypto/node'
import { Checkpoint, Cose, LogEntry, Merkle } from 'assay/protocol'
import { type Log, NotAnchoredError, type Proof } from '../log/Log.ts'

/** A proof of `index` under a history that was never anchored; throws `NotAnchoredError` until two entries are anchored. */
export async function forkedProof(
  log: Log,
  index: bigint,
  signers: { readonly log: Cose.Signer; readonly witness?: Cose.Signer },
): Promise<Proof> {
  const size = (await anchoredSize(log)) ?? 0n
  // With one entry the tree is its leaf, and there is nothing to be false about.
  if (size < 2n || index >= size) throw new NotAnchoredError(index, undefined)
  const leaves = Array.from({ length: Number(size) }, (_, i) => leafAt(log, BigInt(i)))
  const other = index === 0n ? 1 : 0
  leaves[other] = crypto.sha256(leaves[other] as Uint8Array)
  const root = Merkle.root(crypto, leaves)
  const { chainId, anchorLog, logId } = log.identity
  const payload = Checkpoint.payload(crypto, Checkpoint.words({ chainId, anchorLog, logId, size, root }))
  const { witness } = signers
  return {
    ...{ size, root, proof: Merkle.inclusionProof(crypto, leaves, index) },
    signature: await Cose.sign(crypto, signers.log, 'checkpoint', payload),
    cosignatures:
      witness === undefined
        ? []
        : [{ publicKey: witness.publicKey, signature: await Cose.sign(crypto, witness, 'cosign', payload) }],
  }
}

/** The largest size for which the log serves proofs. */
async function anchoredSize(log: Log): Promise<bigint | undefined> {
  const last = log.size()
  if (last === 0n) return undefined
  try {
    return (await log.proof({ index: last - 1n })).size
  } catch (error) {
    if (error instanceof NotAnchoredError) return undefined
    throw error
  }
}

function leafAt(log: Log, index: bigint): Uint8Array {
  const entry = log.entry(index)
  if (entry === undefined) throw new RangeError('no such entry')
  return LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, entry.head))
}
