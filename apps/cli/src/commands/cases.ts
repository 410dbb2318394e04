/** cases.ts - `assay fault challenge | demand | cases | expire | withdraw`: what a log or a node has to show, against a bond. */
import { resolve } from 'node:path'
import { Cases } from 'assay/client'
import { crypto } from 'assay/crypto/node'
import { Bundle, Bytes, ClaimsTree, errors, Merkle, Order, Pledge, Slot } from 'assay/protocol'
import * as Amount from '../Amount.ts'
import { type Context, type GlobalOptions, homeOf } from '../Context.ts'
import * as Courtroom from '../Courtroom.ts'
import * as Files from '../Files.ts'
import * as Home from '../Home.ts'
import { table } from '../Terminal.ts'

type BondOptions = GlobalOptions & { readonly limit?: bigint }

/** `assay fault challenge LOGID INDEX`. */
export async function challenge(context: Context, logId: string, index: bigint, options: BondOptions): Promise<number> {
  if (!/^[0-9a-f]{64}$/.test(logId)) throw new CaseInputError('a log is named by 64 lower-case hex digits')
  return withCases(context, options, async (open) => [
    await Cases.challengeEntry(open, { logId: Bytes.fromHex(logId), index }),
  ])
}

/** `assay fault demand FILE --slot NAME`. */
export async function demand(
  context: Context,
  path: string,
  options: BondOptions & { readonly slot: string },
): Promise<number> {
  const bundle = Bundle.parse(Files.readReceipt(resolve(context.cwd, path)))
  const slot = Slot.indexOf(options.slot as Slot.Name)
  const receipt = receiptOf(bundle)
  return withCases(context, options, async (open) => {
    if (slot < 2 || slot > 5) return [await Cases.demandOpening(open, receipt, slot)]
    return [
      await Cases.demandContent(open, receipt, slot, orderOf(bundle, Home.clientSigner(homeOf(context, options)))),
    ]
  })
}

/** `assay fault cases`, and `assay fault expire`, which ends those whose time is over and fetches reward and bond. */
export function follow(context: Context, options: GlobalOptions, expire: boolean): Promise<number> {
  return withCases(context, options, (open) => Cases.follow({ ...open, expire }))
}

/** `assay fault withdraw`: bonds that came back. */
export async function withdraw(context: Context, options: GlobalOptions): Promise<number> {
  const { terminal } = context
  const { court } = await Courtroom.open(homeOf(context, options), terminal)
  try {
    const wei = await Cases.withdrawCredit(court)
    if (options.json === true) terminal.print(JSON.stringify({ wei: String(wei) }))
    else terminal.print(wei === 0n ? 'nothing to withdraw' : `withdrawn: ${Amount.inCoin(wei)}`)
  } finally {
    court.sender.close()
  }
  return 0
}

async function withCases(
  context: Context,
  options: BondOptions,
  work: (open: Cases.Options) => Promise<readonly Cases.Followed[]>,
): Promise<number> {
  const { terminal } = context
  const home = homeOf(context, options)
  const { court } = await Courtroom.open(home, terminal)
  try {
    const limit = options.limit === undefined ? {} : { spendLimit: options.limit }
    const followed = await work({ crypto, court, cases: Home.caseStore(home), ...limit })
    const rows = followed.map(toJson)
    if (options.json === true) terminal.print(JSON.stringify(rows))
    else if (rows.length === 0) terminal.print('no cases')
    else for (const row of rows) terminal.rows([...table(Object.entries(row).map(([name, text]) => [name, text])), ''])
    return 0
  } finally {
    court.sender.close()
  }
}

function toJson({ caseId, state, entry, slot, failure }: Cases.Followed): Record<string, string> {
  return {
    caseId,
    stage: state.stage,
    class: String(state.class),
    subject: Bytes.toHex(state.subject),
    bond: Amount.inCoin(state.bond),
    ...(state.index === undefined ? {} : { index: String(state.index) }),
    ...(state.slot === undefined ? {} : { slot: Slot.nameOf(state.slot) }),
    ...(state.lastBlock === undefined ? {} : { lastBlock: String(state.lastBlock) }),
    ...(state.reward === undefined ? {} : { reward: Amount.inTokens(state.reward) }),
    ...(state.isPaid === true ? { paid: Amount.inCoin(state.bond) } : {}),
    ...(entry === undefined ? {} : { entry: Bytes.toHex(entry.entry), head: Bytes.toHex(entry.head) }),
    ...(slot === undefined ? {} : { value: Bytes.toHex(slot.value) }),
    ...(failure === undefined ? {} : { failure: failure.shortMessage }),
  }
}

function receiptOf({ receipt, keys, pledge, checkpoint }: Bundle.Bundle): Cases.Receipt {
  if (pledge === undefined || checkpoint === undefined)
    throw new CaseInputError('the receipt has no inclusion proof yet: `assay log raise FILE` first')
  const { logId, leafIndex: index } = Pledge.parse(pledge.words)
  const { size, proof } = checkpoint
  return { head: { ...receipt, publicKey: keys.node }, place: { logId, index, size, proof } }
}

/** The order as its signer shows it; the siblings of slot 1 from the leaf up. */
function orderOf(bundle: Bundle.Bundle, signer: ReturnType<typeof Home.clientSigner>) {
  const opening = bundle.disclosed.get(1)
  if (bundle.order === undefined || opening === undefined)
    throw new CaseInputError('the receipt does not hold your order (slot order), which alone may ask for content')
  const leaves = Array.from({ length: ClaimsTree.slotCount }, (_, slot) => {
    const shown = bundle.disclosed.get(slot)
    if (shown !== undefined) return ClaimsTree.leaf(crypto, slot, shown.salt, shown.value)
    return bundle.hidden.get(slot) ?? ClaimsTree.unusedLeaf(crypto, slot)
  })
  const path: Uint8Array[] = []
  let row: readonly Uint8Array[] = leaves
  for (let at = 1; row.length > 1; at >>= 1) {
    path.push(row[at ^ 1] as Uint8Array)
    row = Array.from({ length: row.length / 2 }, (_, i) =>
      Merkle.nodeHash(crypto, row[2 * i] as Uint8Array, row[2 * i + 1] as Uint8Array),
    )
  }
  const { words } = bundle.order
  const isAddress = Order.parse(words)
    .client.subarray(0, 12)
    .every((byte) => byte === 0)
  return { words, opening: { ...opening, path }, ...(isAddress ? {} : { signer }) }
}

/** What was named cannot be asked for. */
export class CaseInputError extends errors.UsageError<'case-input'> {
  override readonly name = 'cases.CaseInputError'
  constructor(problem: string) {
    super('case-input', 'This cannot be asked for.', { facts: [`Problem: ${problem}`] })
  }
}
