/** doctor-contracts.ts - what `assay doctor` says of the contracts that a home's daemon uses, and of what is at stake on them. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  addressBookPath,
  assertRegistries,
  assertStake,
  readAddressBook,
  type StakeBook,
  type StoredBook,
} from '@assay/node/settle/address-book'
import { inTokens, readBond } from '@assay/node/settle/bond'
import { describeP256, findP256 } from '@assay/node/settle/precompile'
import { subjectsOf } from '@assay/node/settle/register'
import { openWallet } from '@assay/node/settle/wallet'
import type { Rpc } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes, errors } from 'assay/protocol'
import type * as Home from '../Home.ts'

type Finding = { readonly what: string; readonly state: 'ok' | 'info' | 'missing' | 'wrong'; readonly says: string }

/** Contracts by the address book; with an endpoint also whether they are there, the precompile, and the bonds. */
export async function findContracts(home: Home.Home, rpc: Rpc.Rpc | undefined): Promise<Finding[]> {
  const path = addressBookPath(home.folder)
  const findings: Finding[] = []
  try {
    const book = readAddressBook(home.folder)
    if (book === undefined) return []
    const { nodeRegistry, anchorLog, stake } = book
    const named = { NodeRegistry: nodeRegistry, AnchorLog: anchorLog, ...namesOf(stake) }
    const list = Object.entries(named).map(([name, { address }]) => `${name} ${Bytes.to0x(address)}`)
    findings.push({ what: 'contracts', state: 'info', says: `chain ${book.chainId}: ${list.join(', ')}` })
    if (stake === undefined)
      findings.push({ what: 'stake', state: 'info', says: 'the home is older than the stake; the next start adds it' })
    if (rpc === undefined || rpc.chainId !== book.chainId) return findings
    return [...findings, ...(await onChain(home, rpc, book, path))]
  } catch (error) {
    if (!errors.BaseError.isInstance(error)) throw error
    return [...findings, { what: 'contracts', state: 'wrong', says: `${error.shortMessage} ${error.facts[0] ?? ''}` }]
  }
}

function namesOf(stake: StakeBook | undefined) {
  if (stake === undefined) return {}
  const { token, timelock, stakeManager, faultCourt, faultCases } = stake
  return {
    ...{ AssayToken: token, AssayTimelock: timelock },
    ...{ StakeManager: stakeManager, FaultCourt: faultCourt, FaultCases: faultCases },
  }
}

async function onChain(home: Home.Home, rpc: Rpc.Rpc, book: StoredBook, path: string): Promise<Finding[]> {
  const { stake } = book
  await assertRegistries(crypto, rpc, book, path)
  if (stake !== undefined) await assertStake(crypto, rpc, book, stake, path)
  const p256 = await findP256(rpc)
  const findings: Finding[] = [
    {
      what: 'on chain',
      state: 'ok',
      says: 'the contracts are there with the code of this release and name each other',
    },
    { what: 'P-256', state: p256 === 'other' ? 'wrong' : 'ok', says: `the chain ${describeP256(p256)}` },
  ]
  // Nothing is made here: without a key there is no operator yet.
  if (stake === undefined || !existsSync(join(home.folder, 'operator.key'))) return findings
  const operator = openWallet(home.folder).address
  for (const { kind, subject } of await subjectsOf({ crypto, rpc, book }, operator)) {
    const { state, amount } = await readBond({ rpc, book: { stake }, sender: { address: operator } }, subject)
    const name = `${kind} ${Bytes.toHex(subject).slice(0, 16)}..`
    findings.push(
      state === 'bonded'
        ? { what: 'bond', state: 'ok', says: `${name}: ${inTokens(amount)} ASY of your own at stake` }
        : { what: 'bond', state: 'info', says: `${name}: ${sayings[state]}` },
    )
  }
  return findings
}

const sayings = {
  unbonded: 'nothing at stake; its receipts have no consequence',
  leaving: 'its stake is leaving',
  ended: 'a fault was recorded against it: it has ended',
}
