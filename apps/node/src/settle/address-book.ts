/**
 * address-book.ts - where the contracts are: a file of the home, or one that the operator was given by another operator of
 * the same chain. Every start compares it with the chain: code, instance, and that the contracts name each other.
 */
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  AnchorLogContract,
  AssayTimelockContract,
  FaultCasesContract,
  FaultCourtContract,
  NodeRegistryContract,
  type Rpc,
  StakeManagerContract,
  type TrustAnchors,
} from 'assay/chain'
import { Bytes, type Crypto, errors } from 'assay/protocol'
import { read } from './contract-call.ts'
import { readFileIfThere, replaceFile } from './files.ts'

/** The contracts that hold stake and take it away, with what they rest on. */
export type StakeBook = TrustAnchors.StakeContracts & {
  readonly token: TrustAnchors.Contract
  readonly timelock: TrustAnchors.Contract
}

/** The contracts that write history. */
export type Registries = {
  readonly chainId: bigint
  readonly nodeRegistry: TrustAnchors.Contract
  readonly anchorLog: TrustAnchors.Contract & {
    /** AnchorLog's `instance`, 32 bytes: tells this history of the chain from one that began anew. */
    readonly instance: Uint8Array
  }
}

/** Where the contracts are; kept in `<home>/chain/addresses.json`. */
export type AddressBook = Registries & { readonly stake: StakeBook }

/** A book as a file may hold it: homes that are older than the stake have none. */
export type StoredBook = Registries & { readonly stake?: StakeBook }

const stakeNames = ['token', 'timelock', 'stakeManager', 'faultCourt', 'faultCases'] as const

export function addressBookPath(home: string): string {
  return join(home, 'chain', 'addresses.json')
}

/** The address book of a home, undefined if there is none; throws `AddressBookError`. */
export function readAddressBook(home: string): StoredBook | undefined {
  return readBook(addressBookPath(home))
}

/** The address book in a file, undefined if there is no such file; throws `AddressBookError`. */
export function readBook(path: string): StoredBook | undefined {
  const text = readFileIfThere(path)
  if (text === undefined) return undefined
  try {
    const value = JSON.parse(text)
    const { stake } = value
    const book: StoredBook = {
      chainId: BigInt(value.chainId),
      nodeRegistry: contractOf(value.nodeRegistry),
      anchorLog: { ...contractOf(value.anchorLog), instance: fixed(value.anchorLog.instance, 32) },
      ...(stake === undefined
        ? {}
        : { stake: Object.fromEntries(stakeNames.map((name) => [name, contractOf(stake[name])])) as StakeBook }),
    }
    // One form for one content: what was changed by hand and means something else is not taken for the same.
    if (serializeAddressBook(book) === text) return book
  } catch (cause) {
    throw new AddressBookError(path, cause)
  }
  throw new AddressBookError(path)
}

export function writeAddressBook(home: string, book: AddressBook): void {
  const path = addressBookPath(home)
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  replaceFile(path, serializeAddressBook(book))
}

/** The text of the file; `readBook` reads it back. */
export function serializeAddressBook(book: StoredBook): string {
  const { stake } = book
  const value = {
    chainId: String(book.chainId),
    nodeRegistry: written(book.nodeRegistry),
    anchorLog: { ...written(book.anchorLog), instance: Bytes.to0x(book.anchorLog.instance) },
    ...(stake === undefined
      ? {}
      : { stake: Object.fromEntries(stakeNames.map((name) => [name, written(stake[name])])) }),
  }
  return `${JSON.stringify(value, undefined, 2)}\n`
}

/** Asserts that NodeRegistry and AnchorLog are what the book says; throws `ChainChangedError`, `Rpc.RequestError`. */
export async function assertRegistries(crypto: Crypto, rpc: Rpc.Rpc, book: StoredBook, path: string): Promise<void> {
  const differs = (what: string) => new ChainChangedError(path, what)
  if (book.chainId !== rpc.chainId) throw differs(`chain id ${rpc.chainId} instead of ${book.chainId}`)
  // The code first: what answers at an address without it is no word about the history.
  await Promise.all([
    assertCode(crypto, rpc, book.nodeRegistry, 'NodeRegistry', NodeRegistryContract.codeHash, differs),
    assertCode(crypto, rpc, book.anchorLog, 'AnchorLog', AnchorLogContract.codeHash, differs),
  ])
  const instance = await readInstance(rpc, book.anchorLog.address)
  if (!Bytes.equal(instance, book.anchorLog.instance))
    throw differs('AnchorLog of another history: the chain was wiped')
}

/**
 * Asserts that the contracts of the stake have this release's code and name each other, the timelock and the two registries.
 *
 * Throws: `ChainChangedError`, `Rpc.RequestError`.
 */
export async function assertStake(
  crypto: Crypto,
  rpc: Rpc.Rpc,
  registries: Registries,
  stake: StakeBook,
  path: string,
): Promise<void> {
  const differs = (what: string) => new ChainChangedError(path, what)
  await Promise.all([
    assertCode(crypto, rpc, stake.timelock, 'AssayTimelock', AssayTimelockContract.codeHash, differs),
    assertCode(crypto, rpc, stake.stakeManager, 'StakeManager', StakeManagerContract.codeHash, differs),
    assertCode(crypto, rpc, stake.faultCourt, 'FaultCourt', FaultCourtContract.codeHash, differs),
    assertCode(crypto, rpc, stake.faultCases, 'FaultCases', FaultCasesContract.codeHash, differs),
    // It holds its own address and chain id, so each deployment has its own code.
    assertCode(crypto, rpc, stake.token, 'AssayToken', undefined, differs),
  ])
  const found = await readLinks(rpc, stake)
  for (const [what, expected] of links(registries, stake)) {
    const address = found[what]
    if (!Bytes.equal(address, expected.address))
      throw differs(`${what} is another contract than the address book names`)
  }
}

/** Which contracts the contracts of the stake name; all 20 bytes. */
export async function readLinks(rpc: Rpc.Rpc, stake: TrustAnchors.StakeContracts) {
  const { stakeManager, faultCourt, faultCases } = stake
  const manager = { abi: StakeManagerContract.abi, args: [] } as const
  const court = { abi: FaultCourtContract.abi, args: [] } as const
  const [ofManager, ofCourt, managerTimelock, courtTimelock, ofCases] = await Promise.all([
    read(rpc, stakeManager.address, { ...manager, functionName: 'contracts' }),
    read(rpc, faultCourt.address, { ...court, functionName: 'contracts' }),
    read(rpc, stakeManager.address, { ...manager, functionName: 'timelock' }),
    read(rpc, faultCourt.address, { ...court, functionName: 'timelock' }),
    // FaultCases has no function for it; spec/faults.md section 6.5, slot 0.
    rpc.request('eth_getStorageAt', [Bytes.to0x(faultCases.address), '0x0', 'latest']) as Promise<string>,
  ])
  const address = (text: string) => Bytes.from0x(text.toLowerCase())
  return {
    "StakeManager's token": address(ofManager[0]),
    "StakeManager's court": address(ofManager[1]),
    "StakeManager's NodeRegistry": address(ofManager[2]),
    "StakeManager's AnchorLog": address(ofManager[3]),
    "FaultCourt's StakeManager": address(ofCourt[0]),
    "FaultCourt's AnchorLog": address(ofCourt[1]),
    "FaultCourt's NodeRegistry": address(ofCourt[2]),
    "FaultCourt's cases": address(ofCourt[3]),
    "StakeManager's timelock": address(managerTimelock),
    "FaultCourt's timelock": address(courtTimelock),
    "FaultCases' court": Bytes.from0x(ofCases).slice(12),
  }
}

function links(registries: Registries, stake: StakeBook) {
  const { nodeRegistry, anchorLog } = registries
  return [
    ["StakeManager's token", stake.token],
    ["StakeManager's court", stake.faultCourt],
    ["StakeManager's NodeRegistry", nodeRegistry],
    ["StakeManager's AnchorLog", anchorLog],
    ["FaultCourt's StakeManager", stake.stakeManager],
    ["FaultCourt's AnchorLog", anchorLog],
    ["FaultCourt's NodeRegistry", nodeRegistry],
    ["FaultCourt's cases", stake.faultCases],
    ["StakeManager's timelock", stake.timelock],
    ["FaultCourt's timelock", stake.timelock],
    ["FaultCases' court", stake.faultCourt],
  ] as const
}

/** Keccak-256 of the code at an address, 32 bytes; undefined without code. */
export async function readCodeHash(crypto: Crypto, rpc: Rpc.Rpc, address: Uint8Array): Promise<Uint8Array | undefined> {
  const code = (await rpc.request('eth_getCode', [Bytes.to0x(address), 'latest'])) as string
  return code === '0x' ? undefined : crypto.keccak256(Bytes.from0x(code))
}

export async function readInstance(rpc: Rpc.Rpc, anchorLog: Uint8Array): Promise<Uint8Array> {
  return Bytes.from0x(await read(rpc, anchorLog, { abi: AnchorLogContract.abi, functionName: 'instance', args: [] }))
}

async function assertCode(
  crypto: Crypto,
  rpc: Rpc.Rpc,
  contract: TrustAnchors.Contract,
  name: string,
  ofRelease: string | undefined,
  differs: (what: string) => Error,
): Promise<void> {
  if (ofRelease !== undefined && Bytes.to0x(contract.codeHash) !== ofRelease)
    throw differs(`${name} of another release in the address book`)
  const codeHash = await readCodeHash(crypto, rpc, contract.address)
  if (codeHash === undefined) throw differs(`no ${name} at its address: the chain was wiped`)
  if (!Bytes.equal(codeHash, contract.codeHash)) throw differs(`other code at the address of ${name}`)
}

function written({ address, codeHash }: TrustAnchors.Contract) {
  return { address: Bytes.to0x(address), codeHash: Bytes.to0x(codeHash) }
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

/** The contracts that were given are not those that this home works with. */
export class OtherContractsError extends errors.UsageError<'other-contracts'> {
  override readonly name = 'OtherContractsError'
  constructor(given: string, kept: string) {
    super('other-contracts', 'The contracts that were given are not those that this home works with.', {
      facts: [`Given: ${given}`, `Kept: ${kept}`, 'Leave the option away, or use another home for other contracts.'],
    })
  }
}
