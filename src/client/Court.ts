/**
 * Court.ts - where a client files what it has found: the contracts that it trusts, its own account and its own endpoint.
 */
import type * as Rpc from '../chain/Rpc.ts'
import type * as Sender from '../chain/Sender.ts'
import type * as TrustAnchors from '../chain/TrustAnchors.ts'
import * as Bytes from '../protocol/Bytes.ts'
import { UsageError } from '../protocol/errors.ts'

/** Contracts of one chain, and an account on it. */
export type Court = {
  readonly chainId: bigint
  readonly contracts: TrustAnchors.StakeContracts
  /** 20 bytes. */
  readonly anchorLog: Uint8Array
  /** 32 bytes; what rests on the log's final state is not believed without. */
  readonly anchorLogCodeHash?: Uint8Array
  /** 20 bytes. */
  readonly nodeRegistry: Uint8Array
  readonly sender: Sender.Sender
  readonly rpc: Rpc.Rpc
}

/** The court of trust anchors; throws `Court.NoStakeError` when they name none. */
export function from(anchors: TrustAnchors.TrustAnchors, sender: Sender.Sender, rpc: Rpc.Rpc): Court {
  if (anchors.stake === undefined) throw new NoStakeError(anchors)
  return {
    chainId: anchors.chainId,
    contracts: anchors.stake,
    anchorLog: anchors.anchorLog.address,
    anchorLogCodeHash: anchors.anchorLog.codeHash,
    nodeRegistry: anchors.nodeRegistry.address,
    sender,
    rpc,
  }
}

/** The trust anchors name no contracts that hold stake: there is nowhere to file. */
export class NoStakeError extends UsageError<'no-stake-contracts'> {
  override readonly name = 'Court.NoStakeError'
  constructor(anchors: TrustAnchors.TrustAnchors) {
    super('no-stake-contracts', 'The trust anchors name no stake contracts for this chain.', {
      facts: [`Chain: ${anchors.chainId}`, `AnchorLog: ${Bytes.to0x(anchors.anchorLog.address)}`],
    })
  }
}
