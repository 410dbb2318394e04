/** stake.ts - `assay stake`: what is at stake on nodes and logs, and putting it there, taking it away, and what it earned. */
import * as Staking from '@assay/node/settle/stake'
import { Bytes, errors } from 'assay/protocol'
import * as Amount from '../Amount.ts'
import { type Context, type GlobalOptions, homeOf } from '../Context.ts'
import type * as Home from '../Home.ts'
import * as Desk from '../Staking.ts'
import { table } from '../Terminal.ts'

export type StakeOptions = GlobalOptions & { readonly subject?: string }
export type PositionOptions = StakeOptions & { readonly delegated?: boolean }

type Row = Readonly<Record<string, string | null>>

/** `assay stake status [subject]`: everything at one block. */
export async function status(context: Context, subject: string | undefined, options: GlobalOptions): Promise<number> {
  const { terminal } = context
  const found = await Desk.look(context, homeOf(context, options), async (view) => {
    const head = (await view.rpc.request('eth_getBlockByNumber', ['latest', false])) as { number: string; hash: string }
    const block = BigInt(head.number)
    const wanted = subject === undefined ? view.subjects : [Desk.find(view, subject)]
    const accounts = accountsOf(view)
    const rows: object[] = []
    for (const named of wanted) {
      const stake = await Staking.readStake(view, named.subject, [...accounts.values()], block)
      rows.push({ name: named.name, ...toJson(stake, accounts) })
    }
    const holdings: Row[] = []
    for (const [name, account] of accounts) {
      const { balance } = await Staking.readTokens(view, account)
      holdings.push({ account: name, address: Bytes.to0x(account), holds: Amount.inTokens(balance) })
    }
    return { block: String(block), blockHash: head.hash, accounts: holdings, subjects: rows }
  })
  if (options.json === true) {
    terminal.print(JSON.stringify(found))
    return 0
  }
  terminal.print(terminal.style('bold', `at block ${found.block}`))
  for (const { account, address, holds } of found.accounts) terminal.print(`  ${account} ${address} holds ${holds}`, 4)
  if (found.subjects.length === 0) terminal.print('no node and no log has a name here; give its 64 hex digits')
  for (const row of found.subjects) {
    terminal.print()
    const lines = Object.entries(row).filter(([name, value]) => name !== 'positions' && value !== null)
    const ofAccounts = (row as { positions: readonly Row[] }).positions.map((position) => [
      `of ${position.account}`,
      [`${position.active} active`, ...leaving(position), ...earned(position)].join(', '),
    ])
    terminal.rows(table([...lines.map(([name, value]) => [name, String(value)]), ...ofAccounts]))
  }
  return 0
}

const none = '0 ASY'
const leaving = ({ unbonding, unlockBlock }: Row) =>
  unbonding === none ? [] : [`${unbonding} leaving from block ${unlockBlock}`]
const earned = ({ rewards }: Row) => (rewards === none ? [] : [`${rewards} of rewards`])

function accountsOf({ operator, reporter }: Desk.View): ReadonlyMap<string, Uint8Array> {
  const accounts = new Map<string, Uint8Array>()
  if (operator !== undefined) accounts.set('operator', operator)
  if (reporter !== undefined) accounts.set('reporter', reporter)
  return accounts
}

function toJson(stake: Staking.Stake, accounts: ReadonlyMap<string, Uint8Array>) {
  const names = [...accounts.keys()]
  const { retiredAtBlock, endedAtBlock, exitDelay, exitBlock } = stake
  const orNull = (block: bigint) => (block === 0n ? null : String(block))
  return {
    subject: Bytes.toHex(stake.subject),
    operator: stake.operator === undefined ? null : Bytes.to0x(stake.operator),
    state: stake.state,
    selfBond: Amount.inTokens(stake.selfBond),
    delegated: Amount.inTokens(stake.delegated),
    unbondingSelf: Amount.inTokens(stake.unbondingSelf),
    unbondingDelegated: Amount.inTokens(stake.unbondingDelegated),
    index: Amount.inCoin(stake.index),
    exitDelay: String(exitDelay),
    openCases: String(stake.openCases),
    retiredAtBlock: orNull(retiredAtBlock),
    endedAtBlock: orNull(endedAtBlock),
    openToAllFromBlock: orNull(exitBlock),
    positions: stake.positions.map((position, i) => ({
      account: names[i] ?? '',
      active: Amount.inTokens(position.active),
      unbonding: Amount.inTokens(position.unbonding),
      unlockBlock: orNull(position.unlockBlock),
      rewards: Amount.inTokens(position.rewards),
    })),
  }
}

/** `assay stake bond AMOUNT`: from the operator's account. */
export function bond(context: Context, amount: bigint, options: StakeOptions): Promise<number> {
  return Desk.asOperator(context, homeOf(context, options), async (desk, view) => {
    const { name, subject } = Desk.find(view, options.subject ?? 'node')
    const { transactionHash, blockNumber } = await Staking.deposit(desk, 'bond', subject, amount)
    const sent = { transaction: transactionHash, block: String(blockNumber) }
    return tell(context, options, [
      { bonded: Amount.inTokens(amount), on: name, subject: Bytes.toHex(subject), ...sent },
    ])
  })
}

/** `assay stake delegate SUBJECT AMOUNT`: from the reporter's account. */
export function delegate(context: Context, named: string, amount: bigint, options: GlobalOptions): Promise<number> {
  return Desk.asReporter(context, homeOf(context, options), async (desk, view) => {
    const { name, subject } = Desk.find(view, named)
    const { transactionHash, blockNumber } = await Staking.deposit(desk, 'delegate', subject, amount)
    const sent = { transaction: transactionHash, block: String(blockNumber) }
    return tell(context, options, [
      { delegated: Amount.inTokens(amount), to: name, subject: Bytes.toHex(subject), ...sent },
    ])
  })
}

/** `assay stake unbond AMOUNT|all`: begins to leave. */
export function unbond(context: Context, amount: bigint | 'all', options: PositionOptions): Promise<number> {
  return asOwner(context, options, async (desk, view) => {
    const { name, subject } = Desk.find(view, options.subject ?? 'node')
    const { transactionHash } = await Staking.unbond(desk, subject, amount)
    const { positions } = await Staking.readStake(desk, subject, [desk.sender.address])
    const [left] = positions
    return tell(context, options, [
      {
        ...{ unbonding: Amount.inTokens(left?.unbonding ?? 0n), active: Amount.inTokens(left?.active ?? 0n) },
        ...{ on: name, subject: Bytes.toHex(subject), fromBlock: String(left?.unlockBlock ?? 0n) },
        transaction: transactionHash,
      },
    ])
  })
}

/** `assay stake retire`: a subject's stake ends for good. */
export function retire(context: Context, options: StakeOptions & { readonly yes?: boolean }): Promise<number> {
  const named = options.subject ?? 'node'
  if (options.yes !== true) throw new NotConfirmedError(named)
  return Desk.asOperator(context, homeOf(context, options), async (desk, view) => {
    const { name, subject } = Desk.find(view, named)
    const { transactionHash } = await Staking.retire(desk, subject)
    const { exitBlock } = await Staking.readStake(desk, subject, [])
    const facts = { retired: name, subject: Bytes.toHex(subject), openToAllFromBlock: String(exitBlock) }
    return tell(context, options, [{ ...facts, transaction: transactionHash }])
  })
}

/** `assay stake withdraw` and `assay stake claim`: what is due, of one subject or of all that have names here. */
export function payOut(context: Context, kind: 'withdraw' | 'claim', options: PositionOptions): Promise<number> {
  return asOwner(context, options, async (desk, view) => {
    const wanted = options.subject === undefined ? view.subjects : [Desk.find(view, options.subject)]
    const rows: Row[] = []
    for (const { name, subject } of wanted) {
      const paid = await Staking.payOut(desk, kind, subject)
      if (paid === undefined && options.subject === undefined) continue
      const { amount = 0n, mined } = paid ?? {}
      const word = kind === 'withdraw' ? 'withdrawn' : 'claimed'
      const base = { [word]: Amount.inTokens(amount), of: name, subject: Bytes.toHex(subject) }
      rows.push({ ...base, transaction: mined?.transactionHash ?? null })
    }
    if (rows.length === 0 && options.json !== true) context.terminal.print('nothing is due')
    return tell(context, options, rows)
  })
}

/** By the operator's account where the home has one, else, or when asked for, by the reporter's. */
function asOwner(
  context: Context,
  options: PositionOptions,
  work: (desk: Staking.Desk, view: Desk.View) => Promise<number>,
): Promise<number> {
  const home: Home.Home = homeOf(context, options)
  const isOperator = options.delegated !== true && Desk.isOperator(home)
  return isOperator ? Desk.asOperator(context, home, work) : Desk.asReporter(context, home, work)
}

function tell({ terminal }: Context, options: GlobalOptions, rows: readonly Row[]): number {
  if (options.json === true) terminal.print(JSON.stringify(rows))
  else
    for (const row of rows) {
      const lines = Object.entries(row).map(([name, value]) => [name, value ?? '-'])
      terminal.rows([...table(lines), ...(rows.length > 1 ? [''] : [])])
    }
  return 0
}

/** Retiring cannot be taken back. */
export class NotConfirmedError extends errors.UsageError<'not-confirmed'> {
  override readonly name = 'stake.NotConfirmedError'
  constructor(named: string) {
    super('not-confirmed', 'This cannot be taken back; say --yes.', {
      facts: [
        `Subject: ${named}`,
        'Its stake leaves for good and nobody can stake on it again: what it signs from then on has no consequence.',
      ],
    })
  }
}
