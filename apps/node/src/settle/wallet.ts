/** wallet.ts - the operator's account on the chain: one secp256k1 key in the daemon's home. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Rpc } from 'assay/chain'
import { Bytes, errors } from 'assay/protocol'
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { createFile, readFileIfThere } from './files.ts'

/** An account that signs; the key itself stays inside. */
export type Wallet = {
  /** 20 bytes. */
  readonly address: Uint8Array
  readonly account: PrivateKeyAccount
}

// Ten thousand ether, what the development chain's own accounts would have.
const developmentBalance = 10_000n * 10n ** 18n

/**
 * Opens `<home>/operator.key` (64 hex digits, mode 0600), making it the first time.
 *
 * Throws: `WalletError` when the file is readable by others or is no key.
 */
export function openWallet(home: string): Wallet {
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const path = join(home, 'operator.key')
  if (readFileIfThere(path) === undefined) createFile(path, `${randomBytes(32).toString('hex')}\n`)
  if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0)
    throw new WalletError('wallet-file-open', path)
  const text = readFileIfThere(path)?.trim() ?? ''
  if (!/^[0-9a-f]{64}$/.test(text)) throw new WalletError('wallet-file-invalid', path)
  try {
    const account = privateKeyToAccount(`0x${text}`)
    return { account, address: Bytes.from0x(account.address.toLowerCase()) }
  } catch {
    // Not passed on as a cause: it could quote the key.
    throw new WalletError('wallet-file-invalid', path)
  }
}

/** Gives the account money on a development chain; any other chain refuses the method. Does nothing if it has enough. */
export async function fundOnDevelopmentChain(rpc: Rpc.Rpc, wallet: Wallet): Promise<void> {
  await rpc.assertChain()
  const address = Bytes.to0x(wallet.address)
  const balance = BigInt((await rpc.request('eth_getBalance', [address, 'latest'])) as string)
  if (balance >= developmentBalance / 2n) return
  await rpc.request('anvil_setBalance', [address, `0x${developmentBalance.toString(16)}`])
  // The balance changes outside of any block: until the next one, state proofs do not fit the newest header.
  await rpc.request('evm_mine')
}

/** The operator's key file cannot be used. */
export class WalletError extends errors.UsageError<'wallet-file-open' | 'wallet-file-invalid'> {
  override readonly name = 'WalletError'
  constructor(code: 'wallet-file-open' | 'wallet-file-invalid', path: string) {
    const what = code === 'wallet-file-open' ? 'can be read by others; set its mode to 0600' : 'holds no key'
    super(code, `The operator's key file ${what}.`, { facts: [`File: ${path}`] })
  }
}
