/** wallet.ts - the operator's account on the chain: one secp256k1 key in the daemon's home. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Rpc } from 'assay/chain'
import { Bytes, errors } from 'assay/protocol'
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import * as Passphrase from '../keys/Passphrase.ts'
import * as Sealed from '../keys/Sealed.ts'
import { createFile, readFileIfThere, replaceFile } from './files.ts'

/** An account that signs; the key itself stays inside. */
export type Wallet = {
  /** 20 bytes. */
  readonly address: Uint8Array
  readonly account: PrivateKeyAccount
}

// Ten thousand ether, what the development chain's own accounts would have.
const developmentBalance = 10_000n * 10n ** 18n

/**
 * Opens `<home>/operator.key` (64 hex digits, or sealed; mode 0600), making it the first time.
 *
 * - `name`: of another account's file in `home`
 * - `passphrase`: opens a sealed file, and seals one that is made here; default: the environment's
 *
 * Throws: `WalletError` when the file is readable by others or is no key, `Sealed.LockedError`, `Sealed.WrongPassphraseError`.
 */
export function openWallet(home: string, name = 'operator.key', passphrase = Passphrase.ofEnvironment()): Wallet {
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const path = join(home, name)
  if (readFileIfThere(path) === undefined) createFile(path, serialize(randomBytes(32).toString('hex'), passphrase))
  return toWallet(readPrivateKey(path, passphrase), path)
}

/** The address (20 bytes) of an account's file and whether it is sealed; undefined without a file. Throws as `openWallet`. */
export function readAddress(path: string): { readonly address: Uint8Array; readonly isSealed: boolean } | undefined {
  if (readFileIfThere(path) === undefined) return undefined
  const file = sealedFile(readOwn(path))
  if (file === undefined) return { address: toWallet(readPrivateKey(path, undefined), path).address, isSealed: false }
  if (!/^0x[0-9a-f]{40}$/.test(file.address)) throw new WalletError('wallet-file-invalid', path)
  return { address: Bytes.from0x(file.address), isSealed: true }
}

/** Seals an account's file or opens it for good, whole; says whether it was changed. */
export function convertWallet(
  path: string,
  change: { readonly from: string | undefined; readonly to: string | undefined },
): boolean {
  const found = readAddress(path)
  if (found === undefined || found.isSealed === (change.to !== undefined)) return false
  replaceFile(path, serialize(readPrivateKey(path, change.from), change.to))
  return true
}

type SealedFile = Sealed.Sealed & { readonly version: number; readonly role: string; readonly address: string }

function serialize(privateKey: string, passphrase: string | undefined): string {
  if (passphrase === undefined) return `${privateKey}\n`
  const open = { version: 2, role: 'account', address: privateKeyToAccount(`0x${privateKey}`).address.toLowerCase() }
  return `${JSON.stringify({ ...open, ...Sealed.seal(passphrase, privateKey, JSON.stringify(open)) })}\n`
}

function readOwn(path: string): string {
  if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0)
    throw new WalletError('wallet-file-open', path)
  return readFileIfThere(path)?.trim() ?? ''
}

function sealedFile(text: string): SealedFile | undefined {
  if (!text.startsWith('{') || text.length > 4_096) return undefined
  try {
    const file = JSON.parse(text) as SealedFile
    return file.version === 2 && file.role === 'account' && typeof file.sealed === 'string' ? file : undefined
  } catch {
    return undefined
  }
}

function readPrivateKey(path: string, passphrase: string | undefined): string {
  const text = readOwn(path)
  const file = sealedFile(text)
  if (file === undefined) {
    if (!/^[0-9a-f]{64}$/.test(text)) throw new WalletError('wallet-file-invalid', path)
    return text
  }
  const { version, role, address, ...sealed } = file
  const privateKey = Sealed.open(passphrase, sealed, JSON.stringify({ version, role, address }))
  const isOwn = /^[0-9a-f]{64}$/.test(privateKey) && Bytes.to0x(toWallet(privateKey, path).address) === address
  if (!isOwn) throw new WalletError('wallet-file-invalid', path)
  return privateKey
}

function toWallet(privateKey: string, path: string): Wallet {
  try {
    const account = privateKeyToAccount(`0x${privateKey}`)
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

/** The key file of an account cannot be used. */
export class WalletError extends errors.UsageError<'wallet-file-open' | 'wallet-file-invalid'> {
  override readonly name = 'WalletError'
  constructor(code: 'wallet-file-open' | 'wallet-file-invalid', path: string) {
    const what = code === 'wallet-file-open' ? 'can be read by others; set its mode to 0600' : 'holds no key'
    super(code, `The account's key file ${what}.`, { facts: [`File: ${path}`] })
  }
}
