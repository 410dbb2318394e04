/**
 * deploy.ts - puts the contracts on a chain once, or takes those of another operator, and checks at every start that they
 * are still there and name each other.
 *
 * NodeRegistry, AnchorLog, the timelock and the token go through the CREATE2 deployer (`create2.ts`), the three contracts
 * that name each other come after them (`deploy-stake.ts`). The address book is written at the end.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { AnchorLogContract, NodeRegistryContract, type Rpc, type TrustAnchors } from 'assay/chain'
import { Bytes, type Crypto } from 'assay/protocol'
import {
  type AddressBook,
  AddressBookError,
  addressBookPath,
  assertRegistries,
  assertStake,
  ChainChangedError,
  OtherContractsError,
  type Registries,
  readAddressBook,
  readBook,
  readCodeHash,
  readInstance,
  type StakeBook,
  serializeAddressBook,
  writeAddressBook,
} from './address-book.ts'
import { ensure, settled } from './create2.ts'
import { deployBase, deployGroup, groupAddresses } from './deploy-stake.ts'
import { readFileIfThere, replaceFile } from './files.ts'
import { type ChainParameters, development, measureBlockTime, production } from './parameters.ts'
import type { Sender } from './sender.ts'

export { type AddressBook, AddressBookError, ChainChangedError, readAddressBook } from './address-book.ts'
export { developmentPledgeBlocks } from './parameters.ts'

export type DeployOptions = {
  readonly home: string
  readonly crypto: Crypto
  readonly rpc: Rpc.Rpc
  readonly sender: Sender
  /** Whether the contracts get the parameters of the development chain, simulated evidence included. */
  readonly development: boolean
  /** Address book of another operator on this chain: nothing is created, and what it names is checked. */
  readonly contractsFile?: string | undefined
  /** Time from block to block elsewhere than on the development chain, milliseconds; measured if not given. */
  readonly blockTimeMs?: number | undefined
}

/**
 * Returns the address book of a home; deploys the contracts if the home has none, and those of the stake if it is older.
 *
 * Throws: `ChainChangedError` when the chain is not the one of the address book, `OtherContractsError`, `AddressBookError`,
 * `BlockTimeError`, `Rpc.RequestError`, `CallRevertedError`.
 */
export async function deploy(options: DeployOptions): Promise<AddressBook> {
  const { contractsFile, crypto, home, rpc } = options
  const path = addressBookPath(home)
  await rpc.assertChain()
  if (contractsFile !== undefined) return adoptContracts(options, contractsFile)
  const known = readAddressBook(home)
  if (known?.stake !== undefined) {
    const { stake } = known
    try {
      await Promise.all([assertRegistries(crypto, rpc, known, path), assertStake(crypto, rpc, known, stake, path)])
      return { ...known, stake }
    } catch (error) {
      if (!(error instanceof ChainChangedError) || !(await wasForgotten(options, stake))) throw error
    }
  }
  if (known !== undefined) await assertRegistries(crypto, rpc, known, path)
  const plan = openPlan(home, rpc.chainId)
  const parameters = await parametersFor(options, plan)
  const [registries, base] = await settled([known ?? deployRegistries(options, parameters), deployBase(options)])
  const group = await deployGroup(
    {
      ...{ crypto, rpc, sender: options.sender, parameters, firstNonce: plan.read().firstNonce },
      saveFirstNonce: (firstNonce) => plan.save({ firstNonce }),
    },
    base,
    registries,
  )
  const book = { ...registries, stake: { ...base, ...group } }
  writeAddressBook(home, book)
  return book
}

/**
 * True when the chain lost the last blocks of a deployment of this home's own (a killed development chain, a reorganisation):
 * there is nothing at all where one of its contracts stood.
 */
async function wasForgotten({ crypto, home, rpc, sender }: DeployOptions, stake: StakeBook): Promise<boolean> {
  const { firstNonce } = openPlan(home, rpc.chainId).read()
  if (firstNonce === undefined) return false
  const [manager] = groupAddresses(sender.address, firstNonce)
  if (!Bytes.equal(manager, stake.stakeManager.address)) return false
  const codes = await Promise.all(Object.values(stake).map(({ address }) => readCodeHash(crypto, rpc, address)))
  return codes.includes(undefined)
}

/** The trust anchors that follow from an address book, without headers. */
export function trustAnchorsOf(
  book: AddressBook,
  finality: TrustAnchors.FinalityRule = 'development',
): TrustAnchors.TrustAnchors {
  const { address, codeHash } = book.anchorLog
  const { stakeManager, faultCourt, faultCases } = book.stake
  return {
    chainId: book.chainId,
    nodeRegistry: book.nodeRegistry,
    anchorLog: { address, codeHash },
    stake: { stakeManager, faultCourt, faultCases },
    finality,
    headers: [],
  }
}

/** Takes the contracts of a file, if the chain has them as they are named and the home works with no others. */
async function adoptContracts({ crypto, home, rpc }: DeployOptions, file: string): Promise<AddressBook> {
  const given = readBook(file)
  if (given?.stake === undefined) throw new AddressBookError(file)
  const { stake } = given
  await Promise.all([assertRegistries(crypto, rpc, given, file), assertStake(crypto, rpc, given, stake, file)])
  const book = { ...given, stake }
  const known = readAddressBook(home)
  // A home that is older than the stake has the same registries and no stake yet.
  const expected = known === undefined || known.stake !== undefined ? known : { ...known, stake }
  if (expected !== undefined && serializeAddressBook(expected) !== serializeAddressBook(book))
    throw new OtherContractsError(file, addressBookPath(home))
  if (known?.stake === undefined) writeAddressBook(home, book)
  return book
}

async function deployRegistries(options: DeployOptions, parameters: ChainParameters): Promise<Registries> {
  const [nodeRegistry, anchorLog] = await settled([
    ensure(options, 'NodeRegistry', NodeRegistryContract.codeHash, {
      abi: NodeRegistryContract.abi,
      bytecode: NodeRegistryContract.bytecode,
      args: [parameters.development],
    }),
    ensure(options, 'AnchorLog', AnchorLogContract.codeHash, {
      abi: AnchorLogContract.abi,
      bytecode: AnchorLogContract.bytecode,
      args: [parameters.minPledgeBlocks],
    }),
  ])
  const instance = await readInstance(options.rpc, anchorLog.address)
  return { chainId: options.rpc.chainId, nodeRegistry, anchorLog: { ...anchorLog, instance } }
}

async function parametersFor(options: DeployOptions, plan: OpenPlan): Promise<ChainParameters> {
  const { rpc } = options
  if (options.development) return development
  // The same after a cut-off start, for addresses follow from it.
  const blockTimeMs = plan.read().blockTimeMs ?? options.blockTimeMs ?? (await measureBlockTime(rpc))
  const parameters = production(blockTimeMs, BigInt((await rpc.request('eth_gasPrice')) as string))
  plan.save({ blockTimeMs })
  return parameters
}

/** What a deployment has decided; it stays in the home, so that the contracts are found again without the address book. */
type Plan = { readonly blockTimeMs?: number; readonly firstNonce?: bigint }
type OpenPlan = { readonly read: () => Plan; readonly save: (more: Plan) => void }

function openPlan(home: string, chainId: bigint): OpenPlan {
  const path = join(home, 'chain', 'deployment.json')
  const found = readFileIfThere(path)
  // It holds nothing that the chain would not show: of another chain, or unreadable, it is begun anew.
  let plan = found === undefined ? {} : (parsePlan(found, chainId) ?? {})
  return {
    read: () => plan,
    save: (more) => {
      plan = { ...plan, ...more }
      mkdirSync(join(home, 'chain'), { recursive: true, mode: 0o700 })
      const { blockTimeMs, firstNonce } = plan
      const text = JSON.stringify({ chainId: String(chainId), blockTimeMs, firstNonce: firstNonce?.toString() })
      replaceFile(path, `${text}\n`)
    },
  }
}

function parsePlan(text: string, chainId: bigint): Plan | undefined {
  try {
    const { blockTimeMs, firstNonce, ...rest } = JSON.parse(text)
    if (rest.chainId !== String(chainId)) return undefined
    return {
      ...(typeof blockTimeMs === 'number' ? { blockTimeMs } : {}),
      ...(typeof firstNonce === 'string' ? { firstNonce: BigInt(firstNonce) } : {}),
    }
  } catch {
    return undefined
  }
}
