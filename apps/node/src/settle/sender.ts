/** sender.ts - the operator's transactions: `Sender` of the library, for a wallet of this daemon. */
import { type Rpc, Sender as Sending } from 'assay/chain'
import type { Wallet } from './wallet.ts'

export type Call = Sending.Call
export type Mined = Sending.Mined
export type Sender = Sending.Sender

export const { CallRevertedError, TransactionLostError } = Sending
export type CallRevertedError = Sending.CallRevertedError
export type TransactionLostError = Sending.TransactionLostError

/**
 * A sender for one account; all services of a daemon share it.
 *
 * - `waitMs`: longest wait for a block, default 30,000; `pollMs`: between looks, default 100
 */
export function createSender(options: {
  readonly rpc: Rpc.Rpc
  readonly wallet: Wallet
  readonly waitMs?: number
  readonly pollMs?: number
}): Sender {
  const { wallet, ...rest } = options
  return Sending.create({ ...rest, account: wallet.account })
}
