/**
 * bond.ts - stakes the operator's tokens on its node and its logs at start. Every step looks at the chain first: a start that
 * was cut off goes on, and a later start sends nothing. Source: spec/stake.md section 3.
 */
import { AssayTokenContract, StakeManagerContract } from 'assay/chain'
import { Bytes } from 'assay/protocol'
import { encode, read } from './contract-call.ts'
import type { Registrar } from './register.ts'

/** What one subject should have at stake: `subject` 32 bytes, `amount` in token units (10^-18 ASY). */
export type Wanted = { readonly subject: Uint8Array; readonly amount: bigint }

/**
 * How a subject stands. `bonded`: `amount` is its active self-bond; `unbonded`: nothing, because the operator holds no tokens;
 * `leaving`: the operator retired it or takes everything out; `ended`: a fault ended it. The last three stay as they are.
 */
export type Bond = {
  readonly subject: Uint8Array
  readonly state: 'bonded' | 'unbonded' | 'leaving' | 'ended'
  readonly amount: bigint
}

/** 100,000 ASY: what a daemon stakes on its node and on each of its logs. */
export const bondAmount: bigint = 100_000n * 10n ** 18n

/**
 * On a development chain both transactions go into one block: the second cannot be estimated before the first. Measured:
 * 46,000 and up to 180,000.
 */
const developmentGas = { approve: 80_000n, bond: 300_000n }

/**
 * Bonds every subject that has no self-bond yet, as far as the operator holds tokens: the first ones first. A self-bond that is
 * there is never topped up, so that a slash stays visible and an operator can stake less.
 *
 * - `development`: whether gas may be taken as known, so that everything fits one block
 *
 * Throws: `CallRevertedError`, `TransactionLostError`, `Rpc.RequestError`.
 */
export async function bondAtStart(
  registrar: Registrar,
  wanted: readonly Wanted[],
  options: { readonly development?: boolean } = {},
): Promise<readonly Bond[]> {
  const { book, rpc, sender } = registrar
  const { token, stakeManager } = book.stake
  const bonds = await Promise.all(wanted.map(({ subject }) => readBond(registrar, subject)))
  const missing = wanted.filter((_, i) => bonds[i]?.state === 'unbonded')
  if (missing.length === 0) return bonds
  const owner = Bytes.to0x(sender.address)
  const spender = Bytes.to0x(stakeManager.address)
  const abi = AssayTokenContract.abi
  const [balance, allowance] = await Promise.all([
    read(rpc, token.address, { abi, functionName: 'balanceOf', args: [owner] }),
    read(rpc, token.address, { abi, functionName: 'allowance', args: [owner, spender] }),
  ])
  let left = balance
  const due = missing.flatMap(({ subject, amount }) => {
    const given = left - (left > amount ? left - amount : 0n)
    left -= given
    return given === 0n ? [] : [{ subject, amount: given }]
  })
  if (due.length === 0) return bonds
  const sum = due.reduce((total, { amount }) => total + amount, 0n)
  const gas = (name: keyof typeof developmentGas) => (options.development ? { gas: developmentGas[name] } : {})
  const sent: Promise<unknown>[] = []
  if (allowance < sum) {
    const data = encode({ abi, functionName: 'approve', args: [spender, sum] })
    const approved = sender.send({ to: token.address, data, ...gas('approve') })
    if (options.development) sent.push(approved)
    else await approved
  }
  for (const { subject, amount } of due) {
    const args = [Bytes.to0x(subject), amount] as const
    const data = encode({ abi: StakeManagerContract.abi, functionName: 'bond', args })
    sent.push(sender.send({ to: stakeManager.address, data, ...gas('bond') }))
  }
  for (const one of await Promise.allSettled(sent)) if (one.status === 'rejected') throw one.reason
  return Promise.all(wanted.map(({ subject }) => readBond(registrar, subject)))
}

/** How a subject of this operator stands now, as the endpoint says. */
export async function readBond(
  at: {
    readonly rpc: Registrar['rpc']
    readonly book: Pick<Registrar['book'], 'stake'>
    /** The operator. */
    readonly sender: Pick<Registrar['sender'], 'address'>
  },
  subject: Uint8Array,
): Promise<Bond> {
  const { book, rpc, sender } = at
  const abi = StakeManagerContract.abi
  const { address } = book.stake.stakeManager
  const id = Bytes.to0x(subject)
  const [books, [active, unbonding]] = await Promise.all([
    read(rpc, address, { abi, functionName: 'getSubject', args: [id] }),
    read(rpc, address, { abi, functionName: 'valueOf', args: [id, Bytes.to0x(sender.address)] }),
  ])
  if (books.endedAtBlock !== 0) return { subject, state: 'ended', amount: 0n }
  if (books.retiredAtBlock !== 0) return { subject, state: 'leaving', amount: 0n }
  if (active > 0n) return { subject, state: 'bonded', amount: active }
  return { subject, state: unbonding > 0n ? 'leaving' : 'unbonded', amount: 0n }
}

/**
 * Bonds without holding up the start, and never fails: what is not staked is said, and the daemon serves unbonded. Resolves when
 * nothing more is under way.
 */
export async function bondInBackground(
  registrar: Registrar,
  subjects: readonly Uint8Array[],
  options: {
    readonly development: boolean
    readonly say: (line: string) => void
    readonly record: (record: { readonly event: string; readonly code?: string; readonly count?: number }) => void
  },
): Promise<void> {
  const { say, record } = options
  try {
    const bonds = await bondAtStart(
      registrar,
      subjects.map((subject) => ({ subject, amount: bondAmount })),
      options,
    )
    for (const line of describe(registrar, bonds)) say(line)
    const unbonded = bonds.filter(({ state }) => state !== 'bonded').length
    if (unbonded > 0) record({ event: 'unbonded', count: unbonded })
  } catch (error) {
    const { code } = error as { code?: unknown }
    say('nothing more could be staked now; the next start tries again')
    record({ event: 'bond-failed', code: typeof code === 'string' ? code : 'failed' })
  }
}

/** Lines for people. */
export function describe({ book, sender }: Pick<Registrar, 'book' | 'sender'>, bonds: readonly Bond[]): string[] {
  const of = (state: Bond['state']) => bonds.filter((bond) => bond.state === state)
  const [bonded, unbonded] = [of('bonded'), of('unbonded')]
  const lines: string[] = []
  if (bonded.length > 0) {
    const amounts = [...new Set(bonded.map(({ amount }) => inTokens(amount)))]
    lines.push(`${amounts.join(' and ')} ASY at stake on ${bonded.length} of ${bonds.length} (the node and its logs)`)
  }
  if (unbonded.length > 0)
    lines.push(
      `${unbonded.length} of ${bonds.length} without stake, so their receipts have no consequence: send ` +
        `${inTokens(BigInt(unbonded.length) * bondAmount)} ASY (token ${Bytes.to0x(book.stake.token.address)}) to ${Bytes.to0x(sender.address)} and start again`,
    )
  for (const { state, subject } of bonds)
    if (state === 'leaving' || state === 'ended')
      lines.push(
        `${Bytes.toHex(subject).slice(0, 16)}.. is ${state === 'ended' ? 'ended by a fault' : 'leaving its stake'}`,
      )
  return lines
}

/** Token units as whole ASY, with what is behind the point. */
export function inTokens(amount: bigint): string {
  const rest = (amount % 10n ** 18n).toString().padStart(18, '0').replace(/0+$/, '')
  const whole = (amount / 10n ** 18n).toString().replace(/\B(?=(\d{3})+$)/g, ',')
  return rest === '' ? whole : `${whole}.${rest}`
}
