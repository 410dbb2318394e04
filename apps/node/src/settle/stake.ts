/**
 * stake.ts - what is staked on a subject and whose it is, read at one block, and the transactions that change it: for an operator's
 * own bond, and for what anybody delegates. Source: spec/stake.md section 3.
 */
import {
  AssayTokenContract,
  ContractCall,
  FaultCasesContract,
  type Rpc,
  Sender,
  StakeManagerContract,
} from 'assay/chain'
import { Bytes, errors } from 'assay/protocol'

/** The contracts that are asked, 20 bytes each. */
export type Contracts = { readonly stakeManager: Uint8Array; readonly faultCases: Uint8Array }

/** One account's part; amounts in token units. */
export type Position = {
  /** 20 bytes. */
  readonly account: Uint8Array
  readonly active: bigint
  readonly activeShares: bigint
  readonly unbonding: bigint
  /** First block in which `unbonding` can be withdrawn, 0n without any. */
  readonly unlockBlock: bigint
  /** Rewards that were not claimed yet. */
  readonly rewards: bigint
}

/** A subject's books; amounts in token units at the index of the block. */
export type Stake = {
  /** 32 bytes. */
  readonly subject: Uint8Array
  /** 20 bytes; undefined for what neither registry knows. */
  readonly operator: Uint8Array | undefined
  /** `leaving`: all of the self-bond is on its way out; `unbonded`: there is none. */
  readonly state: 'unknown' | 'unbonded' | 'bonded' | 'leaving' | 'retired' | 'ended'
  readonly selfBond: bigint
  readonly delegated: bigint
  readonly unbondingSelf: bigint
  readonly unbondingDelegated: bigint
  /** Token units of 10^18 shares. */
  readonly index: bigint
  /** 0n = not. */
  readonly retiredAtBlock: bigint
  readonly endedAtBlock: bigint
  /** Blocks from asking to leave to leaving, for who asks now. */
  readonly exitDelay: bigint
  /** From which all may leave because it retired or ended; 0n = neither. */
  readonly exitBlock: bigint
  readonly openCases: bigint
  /** Of the accounts that were asked for, in their order. */
  readonly positions: readonly Position[]
}

const { abi } = StakeManagerContract
const one = 10n ** 18n
const hex = Bytes.to0x

/**
 * Reads a subject, as the endpoint says.
 *
 * - `accounts`: 20 bytes each, whose positions are wanted; `block`: default the newest
 */
export async function readStake(
  at: { readonly rpc: Rpc.Rpc; readonly contracts: Contracts },
  subject: Uint8Array,
  accounts: readonly Uint8Array[],
  block?: bigint,
): Promise<Stake> {
  const { rpc, contracts } = at
  const tag = block === undefined ? 'latest' : `0x${block.toString(16)}`
  const id = hex(subject)
  const { stakeManager, faultCases } = contracts
  const args = [id] as const
  const [books, operatorText, exitDelay, exitBlock, openCases] = await Promise.all([
    ContractCall.read(rpc, stakeManager, { abi, functionName: 'getSubject', args }, tag),
    ContractCall.read(rpc, stakeManager, { abi, functionName: 'operatorOf', args }, tag),
    ContractCall.read(rpc, stakeManager, { abi, functionName: 'exitDelay', args }, tag),
    ContractCall.read(rpc, stakeManager, { abi, functionName: 'exitBlock', args }, tag),
    ContractCall.read(rpc, faultCases, { abi: FaultCasesContract.abi, functionName: 'openCases', args }, tag),
  ])
  const { index } = books
  const valueOf = (shares: bigint) => (shares * index) / one
  const positions = await Promise.all(
    accounts.map(async (account): Promise<Position> => {
      const call = { abi, functionName: 'getPosition', args: [id, hex(account)] } as const
      const { shares, unbondingShares, unlockBlock, rewardDebt, rewardOwed } = await ContractCall.read(
        rpc,
        contracts.stakeManager,
        call,
        tag,
      )
      const earned = (shares * (books.rewardPerShare - rewardDebt)) >> 64n
      return {
        ...{ account, active: valueOf(shares), activeShares: shares, unbonding: valueOf(unbondingShares) },
        ...{ unlockBlock: unbondingShares === 0n ? 0n : unlockBlock, rewards: rewardOwed + earned },
      }
    }),
  )
  const selfBond = valueOf(books.selfShares - books.selfUnbonding)
  const unbondingSelf = valueOf(books.selfUnbonding)
  const isKnown = BigInt(operatorText) !== 0n
  const state = !isKnown
    ? 'unknown'
    : books.endedAtBlock !== 0
      ? 'ended'
      : books.retiredAtBlock !== 0
        ? 'retired'
        : selfBond > 0n
          ? 'bonded'
          : unbondingSelf > 0n
            ? 'leaving'
            : 'unbonded'
  return {
    ...{ subject, state, index, selfBond, unbondingSelf, exitDelay, exitBlock, openCases, positions },
    operator: isKnown ? Bytes.from0x(operatorText.toLowerCase()) : undefined,
    delegated: valueOf(books.delegatedShares - books.delegatedUnbonding),
    unbondingDelegated: valueOf(books.delegatedUnbonding),
    retiredAtBlock: BigInt(books.retiredAtBlock),
    endedAtBlock: BigInt(books.endedAtBlock),
  }
}

/** Address of the staked token (20 bytes), and what an account holds of it, token units. */
export async function readTokens(
  { rpc, contracts }: { readonly rpc: Rpc.Rpc; readonly contracts: Contracts },
  account: Uint8Array,
): Promise<{ readonly token: Uint8Array; readonly balance: bigint }> {
  const [address] = await ContractCall.read(rpc, contracts.stakeManager, { abi, functionName: 'contracts', args: [] })
  const token = Bytes.from0x(address.toLowerCase())
  const call = { abi: AssayTokenContract.abi, functionName: 'balanceOf', args: [hex(account)] } as const
  return { token, balance: await ContractCall.read(rpc, token, call) }
}

/** Whose account sends, and where. */
export type Desk = { readonly rpc: Rpc.Rpc; readonly contracts: Contracts; readonly sender: Sender.Sender }

/**
 * Adds to a position: the operator's own, or a delegation; nothing is sent that the contract would refuse for what can be known
 * before.
 *
 * Throws: `TooFewTokensError`, `NoStakeTakenError`, as `Sender.send`.
 */
export async function deposit(
  desk: Desk,
  kind: 'bond' | 'delegate',
  subject: Uint8Array,
  amount: bigint,
): Promise<Sender.Mined> {
  const { rpc, contracts, sender } = desk
  const { state, operator } = await readStake(desk, subject, [])
  if (state === 'unknown' || state === 'retired' || state === 'ended') throw new NoStakeTakenError(subject, state)
  const isOwn = operator !== undefined && Bytes.equal(operator, sender.address)
  if (isOwn !== (kind === 'bond')) throw new NoStakeTakenError(subject, isOwn ? 'own' : 'foreign')
  const { token, balance } = await readTokens(desk, sender.address)
  if (balance < amount) throw new TooFewTokensError(sender.address, token, { balance, amount })
  const spender = hex(contracts.stakeManager)
  const allowed = {
    abi: AssayTokenContract.abi,
    functionName: 'allowance',
    args: [hex(sender.address), spender],
  } as const
  if ((await ContractCall.read(rpc, token, allowed)) < amount) {
    const approval = { abi: AssayTokenContract.abi, functionName: 'approve', args: [spender, amount] } as const
    await sender.send({ to: token, data: ContractCall.encode(approval) })
  }
  const data = ContractCall.encode({ abi, functionName: kind, args: [hex(subject), amount] })
  return sender.send({ to: contracts.stakeManager, data })
}

/**
 * Sends a part of a position on its way out; `amount`: token units, or all that is active.
 *
 * Throws: `TooLittleStakedError`, as `Sender.send` (`SelfBondTooLow` when delegated stake would stand alone).
 */
export async function unbond(desk: Desk, subject: Uint8Array, amount: bigint | 'all'): Promise<Sender.Mined> {
  const { contracts, sender } = desk
  const { index, positions } = await readStake(desk, subject, [sender.address])
  const { active, activeShares } = positions[0] as Position
  if (activeShares === 0n || (amount !== 'all' && amount > active)) throw new TooLittleStakedError(subject, active)
  // Rounded up, so that what leaves is not less than what was asked for.
  const wanted = amount === 'all' ? activeShares : (amount * one + index - 1n) / index
  const shares = wanted < activeShares ? wanted : activeShares
  const data = ContractCall.encode({ abi, functionName: 'unbond', args: [hex(subject), shares] })
  return sender.send({ to: contracts.stakeManager, data })
}

/** Ends a subject's stake for good: everything of everybody leaves; throws as `Sender.send`. */
export function retire({ contracts, sender }: Desk, subject: Uint8Array): Promise<Sender.Mined> {
  const data = ContractCall.encode({ abi, functionName: 'retire', args: [hex(subject)] })
  return sender.send({ to: contracts.stakeManager, data })
}

/**
 * Pays out what is due of a position (`withdraw`) or its rewards (`claim`); undefined when nothing is.
 *
 * Throws: as `Sender.send`.
 */
export async function payOut(
  { contracts, sender }: Desk,
  kind: 'withdraw' | 'claim',
  subject: Uint8Array,
): Promise<{ readonly amount: bigint; readonly mined: Sender.Mined } | undefined> {
  const call = {
    to: contracts.stakeManager,
    data: ContractCall.encode({ abi, functionName: kind, args: [hex(subject)] }),
  }
  try {
    const amount = Bytes.toBigInt(await sender.call(call))
    return { amount, mined: await sender.send(call) }
  } catch (error) {
    if (error instanceof Sender.CallRevertedError && error.errorName === 'NothingDue') return undefined
    throw error
  }
}

/** The account holds fewer tokens than are to be staked. */
export class TooFewTokensError extends errors.UsageError<'too-few-tokens'> {
  override readonly name = 'stake.TooFewTokensError'
  constructor(account: Uint8Array, token: Uint8Array, of: { readonly balance: bigint; readonly amount: bigint }) {
    super('too-few-tokens', 'The account holds fewer tokens than are to be staked.', {
      facts: [
        `Account: ${hex(account)}`,
        `Token: ${hex(token)}`,
        `Held: ${of.balance} units of 10^-18 ASY`,
        `Wanted: ${of.amount} units`,
      ],
    })
  }
}

const whyNot = {
  unknown: 'neither registry knows it',
  retired: 'its operator retired it',
  ended: 'a fault ended it',
  own: 'it is your own: an operator bonds and cannot delegate',
  foreign: 'it is not yours: only its operator bonds, others delegate',
} as const

/** A subject takes no stake, or not this account's. */
export class NoStakeTakenError extends errors.UsageError<'no-stake-taken'> {
  override readonly name = 'stake.NoStakeTakenError'
  constructor(subject: Uint8Array, why: keyof typeof whyNot) {
    super('no-stake-taken', 'No stake can be put there from this account.', {
      facts: [`Subject: ${Bytes.toHex(subject)}`, `Reason: ${whyNot[why]}`],
    })
  }
}

/** A position holds less active stake than is to leave. */
export class TooLittleStakedError extends errors.UsageError<'too-little-staked'> {
  override readonly name = 'stake.TooLittleStakedError'
  constructor(subject: Uint8Array, active: bigint) {
    super('too-little-staked', 'Less than that is staked there by this account.', {
      facts: [`Subject: ${Bytes.toHex(subject)}`, `Active: ${active} units of 10^-18 ASY`],
    })
  }
}
