/** KeyRing.ts - which keys a home has, and where: those that sign statements, and the accounts that send transactions. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { slots } from '@assay/node/daemon/logs'
import type * as KeyFile from '@assay/node/keys/KeyFile'
import { readAddressBook } from '@assay/node/settle/address-book'
import { type DevelopmentChain, startAnvil } from '@assay/node/settle/anvil'
import { type Registrar, roles } from '@assay/node/settle/register'
import { createSender } from '@assay/node/settle/sender'
import { openWallet, readAddress } from '@assay/node/settle/wallet'
import { Rpc } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { errors, Identity } from 'assay/protocol'
import type { Context } from './Context.ts'
import * as Home from './Home.ts'

/** A key folder of a home. */
export type Ring = { readonly name: string; readonly role: KeyFile.Role; readonly folder: string }

/** An account file of a home. */
export type Account = { readonly name: 'operator' | 'reporter'; readonly path: string }

/** All key folders of a home, whether or not they hold a key yet. */
export function rings(home: Home.Home): readonly Ring[] {
  const ring = (name: string, role: KeyFile.Role, folder = join(home.folder, name)) => ({ name, role, folder })
  return [
    ring('node', 'node'),
    ...slots.map(({ log }) => ring(log, 'log')),
    ring('witness', 'witness'),
    ring('client', 'client', home.clientFolder),
  ]
}

/** The accounts of a home: the operator's, and the one that files evidence. */
export function accounts(home: Home.Home): readonly Account[] {
  return [
    { name: 'operator', path: join(home.folder, 'operator.key') },
    { name: 'reporter', path: join(home.clientFolder, 'reporter.key') },
  ]
}

/** The place of a role's keys in NodeRegistry. */
export const registryRole: Readonly<Partial<Record<KeyFile.Role, number>>> = {
  node: roles.node,
  witness: roles.witness,
}

/** What the contracts are asked with, if the home knows contracts; sends nothing. */
export function view(context: Context, home: Home.Home) {
  const book = readAddressBook(home.folder)
  const operator = existsSync(join(home.folder, 'operator.key'))
    ? readAddress(join(home.folder, 'operator.key'))?.address
    : undefined
  const url = endpoint(context) ?? Home.readReader(home)?.chainRpcUrl ?? undefined
  if (book === undefined || operator === undefined || url === undefined) return undefined
  const [first = url] = url.split(',')
  const rpc = Rpc.create({ url: first, chainId: book.chainId, timeoutMs: 2_000, retries: 0 })
  const registry = book.nodeRegistry.address
  const nodeId = Identity.nodeId(crypto, { chainId: book.chainId, registry, operator, n: 0n })
  return { crypto, rpc, book: book as Registrar['book'], nodeId }
}

/** A registrar on the home's chain, which is started if it is the embedded one; undefined if the home never had one. */
export async function withRegistrar<T>(
  context: Context,
  home: Home.Home,
  passphrase: string | undefined,
  work: (registrar: Registrar, nodeId: Uint8Array) => Promise<T>,
): Promise<T | undefined> {
  const book = readAddressBook(home.folder)
  if (book === undefined) return undefined
  const wallet = openWallet(home.folder, 'operator.key', passphrase)
  const url = endpoint(context)
  let chain: DevelopmentChain | undefined
  if (url === undefined) chain = await startAnvil({ home: home.folder })
  const rpc = Rpc.create({ url: url?.split(',')[0] ?? (chain?.url as string), chainId: book.chainId })
  const sender = createSender({ rpc, wallet })
  try {
    const registry = book.nodeRegistry.address
    const nodeId = Identity.nodeId(crypto, { chainId: book.chainId, registry, operator: wallet.address, n: 0n })
    return await work({ crypto, rpc, sender, book: book as Registrar['book'] }, nodeId)
  } finally {
    sender.close()
    await chain?.stop()
  }
}

function endpoint({ env }: Context): string | undefined {
  const url = env.ASSAY_CHAIN_RPC
  return url === undefined || url === '' ? undefined : url
}

/** The folder of a name, or no such key. */
export function find(home: Home.Home, name: string): Ring {
  const ring = rings(home).find((one) => one.name === name)
  if (ring === undefined) throw new UnknownKeyError(name)
  return ring
}

/** There is no such key. */
export class UnknownKeyError extends errors.UsageError<'key-unknown'> {
  override readonly name = 'KeyRing.UnknownKeyError'
  constructor(name: string) {
    super('key-unknown', 'This home has no such key.', { facts: [`Name: ${name}`] })
  }
}
