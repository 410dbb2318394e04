/**
 * deploy.ts - puts NodeRegistry and AnchorLog on a chain once, and checks at every start that they are still there.
 *
 * The contracts go through the CREATE2 deployer to addresses that depend on their code and parameters alone, so a
 * deployment that was cut off is found again instead of repeated, and operators on one chain share the contracts.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { AnchorLogContract, NodeRegistryContract, type Rpc, type TrustAnchors } from 'assay/chain'
import { Bytes, type Crypto, errors } from 'assay/protocol'
import { encodeDeployData, type Hex } from 'viem'
import { read } from './contract-call.ts'
import { readFileIfThere, replaceFile } from './files.ts'
import type { Sender } from './sender.ts'

/** Where the contracts are; kept in `<home>/chain/addresses.json`. */
export type AddressBook = {
  readonly chainId: bigint
  readonly nodeRegistry: TrustAnchors.Contract
  readonly anchorLog: TrustAnchors.Contract & {
    /** AnchorLog's `instance`, 32 bytes: tells this history of the chain from one that began anew. */
    readonly instance: Uint8Array
  }
}

/** Fewest blocks from a pledge to its deadline on a development chain. */
export const developmentPledgeBlocks = 600n

// The keyless deployer that stands at the same address on most chains and on the development chain from its first block.
const deployer = Bytes.fromHex('4e59b44847b379578588920ca78fbf26c0b4956c')
const salt = new Uint8Array(32)

/**
 * Returns the address book of a home; deploys the contracts if the home has none.
 *
 * - `development`: whether NodeRegistry admits simulated evidence; `minPledgeBlocks`: see AnchorLog
 *
 * Throws: `ChainChangedError` when the chain is not the one of the address book, `Rpc.RequestError`, `CallRevertedError`.
 */
export async function deploy(options: {
  readonly home: string
  readonly crypto: Crypto
  readonly rpc: Rpc.Rpc
  readonly sender: Sender
  readonly development: boolean
  readonly minPledgeBlocks?: bigint
}): Promise<AddressBook> {
  const { crypto, home, rpc } = options
  const path = addressBookPath(home)
  const known = readAddressBook(home)
  await rpc.assertChain()
  if (known !== undefined) {
    await assertAddressBook(crypto, rpc, known, path)
    return known
  }
  const nodeRegistry = await ensure(options, 'NodeRegistry', NodeRegistryContract.codeHash, {
    abi: NodeRegistryContract.abi,
    bytecode: NodeRegistryContract.bytecode,
    args: [options.development],
  })
  const anchorLog = await ensure(options, 'AnchorLog', AnchorLogContract.codeHash, {
    abi: AnchorLogContract.abi,
    bytecode: AnchorLogContract.bytecode,
    args: [options.minPledgeBlocks ?? developmentPledgeBlocks],
  })
  const instance = await readInstance(rpc, anchorLog.address)
  const book = { chainId: rpc.chainId, nodeRegistry, anchorLog: { ...anchorLog, instance } }
  mkdirSync(join(home, 'chain'), { recursive: true, mode: 0o700 })
  replaceFile(path, serializeAddressBook(book))
  return book
}

/** The trust anchors that follow from an address book, without headers. */
export function trustAnchorsOf(book: AddressBook): TrustAnchors.TrustAnchors {
  const { address, codeHash } = book.anchorLog
  return {
    chainId: book.chainId,
    nodeRegistry: book.nodeRegistry,
    anchorLog: { address, codeHash },
    finality: 'development',
    headers: [],
  }
}

/** The address book of a home, undefined if there is none; throws `AddressBookError`. */
export function readAddressBook(home: string): AddressBook | undefined {
  const path = addressBookPath(home)
  const text = readFileIfThere(path)
  if (text === undefined) return undefined
  try {
    const value = JSON.parse(text)
    const book: AddressBook = {
      chainId: BigInt(value.chainId),
      nodeRegistry: contractOf(value.nodeRegistry),
      anchorLog: { ...contractOf(value.anchorLog), instance: fixed(value.anchorLog.instance, 32) },
    }
    if (serializeAddressBook(book) === text) return book
  } catch (cause) {
    throw new AddressBookError(path, cause)
  }
  throw new AddressBookError(path)
}

function serializeAddressBook(book: AddressBook): string {
  const contract = ({ address, codeHash }: TrustAnchors.Contract) => ({
    address: Bytes.to0x(address),
    codeHash: Bytes.to0x(codeHash),
  })
  const value = {
    chainId: String(book.chainId),
    nodeRegistry: contract(book.nodeRegistry),
    anchorLog: { ...contract(book.anchorLog), instance: Bytes.to0x(book.anchorLog.instance) },
  }
  return `${JSON.stringify(value, undefined, 2)}\n`
}

async function assertAddressBook(crypto: Crypto, rpc: Rpc.Rpc, book: AddressBook, path: string): Promise<void> {
  const differs = (what: string) => new ChainChangedError(path, what)
  if (book.chainId !== rpc.chainId) throw differs(`chain id ${rpc.chainId} instead of ${book.chainId}`)
  for (const [name, contract, expected] of [
    ['NodeRegistry', book.nodeRegistry, NodeRegistryContract.codeHash],
    ['AnchorLog', book.anchorLog, AnchorLogContract.codeHash],
  ] as const) {
    if (Bytes.to0x(contract.codeHash) !== expected) throw differs(`${name} of another release in the address book`)
    const codeHash = await readCodeHash(crypto, rpc, contract.address)
    if (codeHash === undefined) throw differs(`no ${name} at its address: the chain was wiped`)
    if (!Bytes.equal(codeHash, contract.codeHash)) throw differs(`other code at the address of ${name}`)
  }
  const instance = await readInstance(rpc, book.anchorLog.address)
  if (!Bytes.equal(instance, book.anchorLog.instance))
    throw differs('AnchorLog of another history: the chain was wiped')
}

async function ensure(
  options: { readonly crypto: Crypto; readonly rpc: Rpc.Rpc; readonly sender: Sender },
  name: string,
  expected: Hex,
  creation: Parameters<typeof encodeDeployData>[0],
): Promise<TrustAnchors.Contract> {
  const { crypto, rpc, sender } = options
  const initCode = Bytes.from0x(encodeDeployData(creation))
  const input = Bytes.concat(Uint8Array.of(0xff), deployer, salt, crypto.keccak256(initCode))
  const address = crypto.keccak256(input).slice(12)
  let codeHash = await readCodeHash(crypto, rpc, address)
  if (codeHash === undefined) {
    if ((await readCodeHash(crypto, rpc, deployer)) === undefined) throw new DeployerMissingError()
    await sender.send({ to: deployer, data: Bytes.concat(salt, initCode) })
    codeHash = await readCodeHash(crypto, rpc, address)
  }
  if (codeHash === undefined || Bytes.to0x(codeHash) !== expected) throw new DeploymentError(name)
  return { address, codeHash }
}

async function readCodeHash(crypto: Crypto, rpc: Rpc.Rpc, address: Uint8Array): Promise<Uint8Array | undefined> {
  const code = (await rpc.request('eth_getCode', [Bytes.to0x(address), 'latest'])) as string
  return code === '0x' ? undefined : crypto.keccak256(Bytes.from0x(code))
}

async function readInstance(rpc: Rpc.Rpc, anchorLog: Uint8Array): Promise<Uint8Array> {
  return Bytes.from0x(await read(rpc, anchorLog, { abi: AnchorLogContract.abi, functionName: 'instance', args: [] }))
}

function addressBookPath(home: string): string {
  return join(home, 'chain', 'addresses.json')
}

function contractOf(value: { address: string; codeHash: string }): TrustAnchors.Contract {
  return { address: fixed(value.address, 20), codeHash: fixed(value.codeHash, 32) }
}

function fixed(hex: string, length: number): Uint8Array {
  const bytes = Bytes.from0x(hex)
  Bytes.assertLength(bytes, length, 'Field')
  return bytes
}

/** The chain is not the one that this home worked with. */
export class ChainChangedError extends errors.UsageError<'chain-changed'> {
  override readonly name = 'ChainChangedError'
  constructor(path: string, what: string) {
    super('chain-changed', 'The chain is not the one that this home worked with.', {
      facts: [
        `Found: ${what}`,
        'Point the daemon at the former chain, or restore its state file.',
        'If that chain is gone: begin with a new home. The log, its pledges and its receipts belong to the old chain',
        'and cannot move; receipts whose chain proof is already in their file stay readable with their trust anchors.',
        `Address book: ${path}`,
      ],
    })
  }
}

/** The address book file cannot be read. */
export class AddressBookError extends errors.UsageError<'address-book-invalid'> {
  override readonly name = 'AddressBookError'
  constructor(path: string, cause?: unknown) {
    super('address-book-invalid', 'The address book cannot be read.', { facts: [`File: ${path}`], cause })
  }
}

/** The chain lacks the CREATE2 deployer. */
export class DeployerMissingError extends errors.UsageError<'deployer-missing'> {
  override readonly name = 'DeployerMissingError'
  constructor() {
    super('deployer-missing', 'The chain has no CREATE2 deployer at the usual address.', {
      facts: [`Address: ${Bytes.to0x(deployer)}`],
    })
  }
}

/** A contract was created with other code than this release's. */
export class DeploymentError extends errors.VerificationError<'deployment-mismatch'> {
  override readonly name = 'DeploymentError'
  constructor(name: string) {
    super('deployment-mismatch', `${name} has other code after its deployment than it should.`)
  }
}
