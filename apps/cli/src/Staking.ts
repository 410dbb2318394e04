/**
 * Staking.ts - what `assay stake` stands on: the chain of a home, the accounts of its owner, and the subjects that have names there.
 *
 * The operator's account is the daemon's: while it runs nobody else sends from it, so what is sent from it needs the home for itself.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as KeyFile from '@assay/node/keys/KeyFile'
import * as Passphrase from '@assay/node/keys/Passphrase'
import { readAddressBook } from '@assay/node/settle/address-book'
import { startAnvil } from '@assay/node/settle/anvil'
import { FolderInUseError, lockFolder } from '@assay/node/settle/folder-lock'
import { findLog, type Registrar, subjectsOf } from '@assay/node/settle/register'
import type { Contracts, Desk } from '@assay/node/settle/stake'
import { readAddress } from '@assay/node/settle/wallet'
import { Rpc } from 'assay/chain'
import { Court } from 'assay/client'
import { crypto } from 'assay/crypto/node'
import { Bytes, errors } from 'assay/protocol'
import type { Context } from './Context.ts'
import * as Courtroom from './Courtroom.ts'
import type * as Home from './Home.ts'
import * as KeyRing from './KeyRing.ts'
import * as Network from './Network.ts'
import * as Secret from './Secret.ts'

/** A subject and what it is called here: `node`, `log`, `log2`, `earlier log`, or its own 64 hex digits. */
export type Named = { readonly name: string; readonly subject: Uint8Array }

/** A chain that is asked, and the accounts of this home, 20 bytes each. */
export type View = {
  readonly rpc: Rpc.Rpc
  readonly contracts: Contracts
  readonly operator: Uint8Array | undefined
  readonly reporter: Uint8Array | undefined
  /** Everything that has a name here. */
  readonly subjects: readonly Named[]
}

type Book = Registrar['book']

const operatorPath = (home: Home.Home) => join(home.folder, 'operator.key')

/** Whether this home is an operator's: it has the account, and contracts. */
export function isOperator(home: Home.Home): boolean {
  return existsSync(operatorPath(home)) && readAddressBook(home.folder)?.stake !== undefined
}

/** Asks without sending. The embedded chain is started for it when no daemon runs it. */
export async function look<T>(context: Context, home: Home.Home, work: (view: View) => Promise<T>): Promise<T> {
  const reporter = readAddress(join(home.clientFolder, 'reporter.key'))?.address
  const book = readAddressBook(home.folder)
  const operator = readAddress(operatorPath(home))?.address
  if (book?.stake === undefined || operator === undefined) {
    const { rpc, anchors } = await Courtroom.openChain(home)
    if (anchors.stake === undefined) throw new Court.NoStakeError(anchors)
    return work({
      rpc,
      contracts: addresses(anchors.stake),
      operator: undefined,
      reporter,
      subjects: await served(home),
    })
  }
  const contracts = addresses(book.stake)
  return withRpc(context, home, book as Book, async (rpc) =>
    work({ rpc, contracts, operator, reporter, subjects: await own(rpc, home, book as Book, operator) }),
  )
}

/** Sends from the operator's account; throws `DaemonRunsError`, `NoOperatorError`. */
export async function asOperator<T>(
  context: Context,
  home: Home.Home,
  work: (desk: Desk, view: View) => Promise<T>,
): Promise<T> {
  const operator = readAddress(operatorPath(home))
  if (!isOperator(home) || operator === undefined) throw new NoOperatorError(home.folder)
  const unlock = lockAlone(home)
  try {
    const passphrase = operator.isSealed
      ? await Secret.ask(context, 'Passphrase: ')
      : Passphrase.ofEnvironment(context.env)
    const done = await KeyRing.withRegistrar(context, home, passphrase, async ({ rpc, sender, book }) => {
      const contracts = addresses(book.stake)
      const subjects = await own(rpc, home, book, operator.address)
      const view = { rpc, contracts, operator: operator.address, reporter: undefined, subjects }
      return { value: await work({ rpc, contracts, sender }, view) }
    })
    if (done === undefined) throw new NoOperatorError(home.folder)
    return done.value
  } finally {
    unlock()
  }
}

/** Sends from the reporter's account, which the daemon does not use. */
export async function asReporter<T>(
  context: Context,
  home: Home.Home,
  work: (desk: Desk, view: View) => Promise<T>,
): Promise<T> {
  const { court } = await Courtroom.open(home, context.terminal)
  const { rpc, sender } = court
  const contracts = addresses(court.contracts)
  try {
    const book = readAddressBook(home.folder)
    const operator = readAddress(operatorPath(home))?.address
    const isOwn = book?.stake !== undefined && operator !== undefined
    const subjects = isOwn ? await own(rpc, home, book as Book, operator) : await served(home)
    return await work({ rpc, contracts, sender }, { rpc, contracts, operator, reporter: sender.address, subjects })
  } finally {
    sender.close()
  }
}

/** A subject by its name or its 64 hex digits; throws `SubjectError`. */
export function find({ subjects }: Pick<View, 'subjects'>, text: string): Named {
  const named = subjects.find(({ name }) => name === text)
  if (named !== undefined) return named
  if (!/^[0-9a-f]{64}$/.test(text)) throw new SubjectError(text, subjects)
  const subject = Bytes.fromHex(text)
  return subjects.find((one) => Bytes.equal(one.subject, subject)) ?? { name: text, subject }
}

function addresses(stake: Pick<Book['stake'], 'stakeManager' | 'faultCases'>): Contracts {
  return { stakeManager: stake.stakeManager.address, faultCases: stake.faultCases.address }
}

/** All nodes and logs of the operator; those whose keys are here have the names of their folders. */
async function own(rpc: Rpc.Rpc, home: Home.Home, book: Book, operator: Uint8Array): Promise<readonly Named[]> {
  const names = new Map<string, string>()
  for (const { name, role, folder } of KeyRing.rings(home)) {
    const key = role === 'log' ? KeyFile.readPublic(folder, role) : undefined
    const logId = key === undefined ? undefined : await findLog({ crypto, rpc, book }, key)
    if (logId !== undefined) names.set(Bytes.toHex(logId), name)
  }
  const all = await subjectsOf({ crypto, rpc, book }, operator)
  const firstNode = all.find(({ kind }) => kind === 'node')
  return all.map((one) => {
    const { kind, subject } = one
    const name = one === firstNode ? 'node' : (names.get(Bytes.toHex(subject)) ?? `earlier ${kind}`)
    return { name, subject }
  })
}

/** The node and the logs of the gateway that the reader names; none when it does not answer. */
async function served(home: Home.Home): Promise<readonly Named[]> {
  try {
    const { client } = await Network.openClient(home)
    const { nodeId, logs } = await client.info()
    const ofLogs = logs.map(({ logId }, i) => ({ name: i === 0 ? 'log' : `log${i + 1}`, subject: logId }))
    return [{ name: 'node', subject: nodeId }, ...ofLogs]
  } catch (error) {
    if (errors.BaseError.isInstance(error)) return []
    throw error
  }
}

/** The endpoint that the home names, if it answers, else the embedded chain, started for this. */
async function withRpc<T>(
  context: Context,
  home: Home.Home,
  { chainId }: Book,
  work: (rpc: Rpc.Rpc) => Promise<T>,
): Promise<T> {
  const isEmbedded = existsSync(join(home.folder, 'chain', 'state.json')) && !context.env.ASSAY_CHAIN_RPC
  const known = KeyRing.view(context, home)?.rpc
  if (known === undefined && !isEmbedded) throw new Courtroom.NoChainError(home.folder)
  try {
    await known?.assertChain()
    if (known !== undefined) return await work(known)
  } catch (error) {
    const isSilent = error instanceof Rpc.RequestError && error.code === 'rpc-unreachable'
    if (!isSilent || !isEmbedded) throw error
  }
  const unlock = lockAlone(home)
  try {
    const chain = await startAnvil({ home: home.folder })
    try {
      return await work(Rpc.create({ url: chain.url, chainId }))
    } finally {
      await chain.stop()
    }
  } finally {
    unlock()
  }
}

function lockAlone(home: Home.Home): () => void {
  try {
    return lockFolder(home.folder)
  } catch (error) {
    if (error instanceof FolderInUseError) throw new DaemonRunsError(home.folder)
    throw error
  }
}

/** The daemon of this home runs, and the account is its. */
export class DaemonRunsError extends errors.UsageError<'daemon-runs'> {
  override readonly name = 'Staking.DaemonRunsError'
  constructor(folder: string) {
    super('daemon-runs', 'The daemon of this home runs and sends from the same account: stop it first.', {
      facts: [`Home: ${folder}`, '`assay stake status`, and everything with --delegated, works beside it.'],
    })
  }
}

/** The home has no operator's account, or no contracts yet. */
export class NoOperatorError extends errors.UsageError<'no-operator'> {
  override readonly name = 'Staking.NoOperatorError'
  constructor(folder: string) {
    super('no-operator', 'This home has no operator with contracts; `assay up` makes both.', {
      facts: [`Home: ${folder}`, 'What you delegated yourself is reached with --delegated.'],
    })
  }
}

/** There is no such subject. */
export class SubjectError extends errors.UsageError<'subject-unknown'> {
  override readonly name = 'Staking.SubjectError'
  constructor(text: string, subjects: readonly Named[]) {
    const names = subjects.map(({ name }) => name).join(', ')
    super('subject-unknown', 'No node or log is called so here.', {
      facts: [`Name: ${text}`, `There are: ${names === '' ? '' : `${names}, or `}64 lower-case hex digits`],
    })
  }
}
