/**
 * register.ts - enters a daemon's node, keys and log in the contracts. Every step looks at the chain first, so a start
 * that was cut off anywhere goes on where it stopped.
 */
import { AnchorLogContract, NodeRegistryContract, type Records, type Rpc } from 'assay/chain'
import { Bytes, Cose, type Crypto, errors, Identity } from 'assay/protocol'
import type { AddressBook, Registries } from './address-book.ts'
import { encode, read } from './contract-call.ts'
import { CallRevertedError, type Sender } from './sender.ts'

/** What registering needs. */
export type Registrar = {
  readonly crypto: Crypto
  readonly rpc: Rpc.Rpc
  readonly sender: Sender
  readonly book: AddressBook
}

/** Roles of keys, as the contracts number them. */
export const roles = Object.freeze({ node: 1, log: 2, witness: 3, verifier: 4 })

const registryAbi = NodeRegistryContract.abi
const anchorAbi = AnchorLogContract.abi
const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0)

/** Fewest blocks from a pledge to its deadline that AnchorLog takes, as the endpoint says. */
export function readPledgeBlocks(rpc: Rpc.Rpc, book: Pick<AddressBook, 'anchorLog'>): Promise<bigint> {
  return read(rpc, book.anchorLog.address, { abi: anchorAbi, functionName: 'minPledgeBlocks', args: [] })
}

/**
 * The operator's first node: registered if the operator has none; returns its nodeId, 32 bytes.
 *
 * - `endpoint`: URL, at most 256 bytes; `platform`: 0 = none, 255 = simulated
 */
export async function registerNode(
  registrar: Registrar,
  node: { readonly endpoint: string; readonly evidenceHash?: Uint8Array; readonly platform?: number },
): Promise<Uint8Array> {
  const { book, crypto, rpc, sender } = registrar
  const registry = book.nodeRegistry.address
  const operator = Bytes.to0x(sender.address)
  const count = await read(rpc, registry, { abi: registryAbi, functionName: 'nodeCount', args: [operator] })
  if (count === 0n) {
    const evidenceHash = Bytes.to0x(node.evidenceHash ?? new Uint8Array(32))
    const args = [node.endpoint, evidenceHash, node.platform ?? 0] as const
    await sender.send({ to: registry, data: encode({ abi: registryAbi, functionName: 'registerNode', args }) })
  }
  // Computed here: a key that proved its possession for an identifier of the endpoint's choice could be entered there.
  return Identity.nodeId(crypto, { chainId: book.chainId, registry, operator: sender.address, n: 0n })
}

/**
 * Enters a key of a node in a role, unless it is there; returns its place and record.
 *
 * Throws: `KeyTakenError` when the key belongs to another node or has another role.
 */
export async function registerKey(
  registrar: Registrar,
  key: { readonly nodeId: Uint8Array; readonly role: number; readonly signer: Cose.Signer },
): Promise<{ readonly keyEpoch: number; readonly record: Records.KeyRecord }> {
  const { crypto, book, sender } = registrar
  const { nodeId, role, signer } = key
  const known = await findKey(registrar, key)
  if (known !== undefined) return known
  const registry = book.nodeRegistry.address
  const signature = await provePossession(crypto, {
    chainId: book.chainId,
    contract: registry,
    subject: nodeId,
    role,
    signer,
  })
  const [x, y] = coordinates(signer)
  const args = [Bytes.to0x(nodeId), role, x, y, Bytes.to0x(signature)] as const
  const failure = await sender
    .send({ to: registry, data: encode({ abi: registryAbi, functionName: 'addKey', args }) })
    .then(() => undefined, asRevert)
  // A transaction from before a crash may have entered it in between: then the chain has it although this one reverted.
  const entered = await findKey(registrar, key)
  if (entered === undefined) throw failure ?? new KeyTakenError('The key is not in the registry after its transaction.')
  return entered
}

/**
 * Registers a log with its two keys, unless its ES256 key has one already; returns the logId, 32 bytes.
 *
 * - `ed25519Key`: 32 bytes; `pledgeBlocks`: at least AnchorLog's minimum
 */
export async function registerLog(
  registrar: Registrar,
  log: { readonly signer: Cose.Signer; readonly ed25519Key: Uint8Array; readonly pledgeBlocks: bigint },
): Promise<Uint8Array> {
  const { crypto, book, rpc, sender } = registrar
  const contract = book.anchorLog.address
  const operator = Bytes.to0x(sender.address)
  for (let attempt = 0; ; attempt++) {
    const known = await findLog(registrar, log.signer)
    if (known !== undefined) return known
    const n = await read(rpc, contract, { abi: anchorAbi, functionName: 'logCount', args: [operator] })
    const instance = Bytes.from0x(await read(rpc, contract, { abi: anchorAbi, functionName: 'instance', args: [] }))
    // Computed here, as the nodeId: whatever the endpoint says, it is a log of this operator.
    const subject = { chainId: book.chainId, anchorLog: contract, instance, operator: sender.address, n }
    const signature = await provePossession(crypto, {
      chainId: book.chainId,
      contract,
      subject: Identity.logId(crypto, subject),
      role: roles.log,
      signer: log.signer,
    })
    const [x, y] = coordinates(log.signer)
    const args = [x, y, Bytes.to0x(log.ed25519Key), log.pledgeBlocks, Bytes.to0x(signature)] as const
    const failure = await sender
      .send({ to: contract, data: encode({ abi: anchorAbi, functionName: 'register', args }) })
      .then(() => undefined, asRevert)
    // Another log of this operator may have taken the number in between: the proof names it, so sign again.
    if (failure !== undefined && attempt >= 3) throw failure
  }
}

/** What an operator can be held to: its nodes and its logs, each 32 bytes, oldest first, as the endpoint counts them. */
export async function subjectsOf(
  { book, crypto, rpc }: Pick<Registrar, 'crypto' | 'rpc'> & { readonly book: Registries },
  operator: Uint8Array,
): Promise<readonly { readonly kind: 'node' | 'log'; readonly subject: Uint8Array }[]> {
  const { chainId } = book
  const [registry, anchorLog] = [book.nodeRegistry.address, book.anchorLog.address]
  const args = [Bytes.to0x(operator)] as const
  const [nodes, logs] = await Promise.all([
    read(rpc, registry, { abi: registryAbi, functionName: 'nodeCount', args }),
    read(rpc, anchorLog, { abi: anchorAbi, functionName: 'logCount', args }),
  ])
  const { instance } = book.anchorLog
  const each = <T>(count: bigint, make: (n: bigint) => T) =>
    Array.from({ length: Number(count) }, (_, n) => make(BigInt(n)))
  return [
    ...each(nodes, (n) => ({
      kind: 'node' as const,
      subject: Identity.nodeId(crypto, { chainId, registry, operator, n }),
    })),
    ...each(logs, (n) => ({
      ...{ kind: 'log' as const, subject: Identity.logId(crypto, { chainId, anchorLog, instance, operator, n }) },
    })),
  ]
}

/** A key of a node with its place; undefined if it never entered. Throws `KeyTakenError`. */
export async function findKey(
  registrar: Omit<Registrar, 'sender'>,
  key: { readonly nodeId: Uint8Array; readonly role: number; readonly signer: Pick<Cose.Signer, 'publicKey'> },
): Promise<{ readonly keyEpoch: number; readonly record: Records.KeyRecord } | undefined> {
  const { book, crypto, rpc } = registrar
  const registry = book.nodeRegistry.address
  const keyId = Bytes.to0x(Cose.keyId(crypto, key.signer.publicKey))
  const owner = Bytes.from0x(await read(rpc, registry, { abi: registryAbi, functionName: 'nodeOfKey', args: [keyId] }))
  if (isZero(owner)) return undefined
  if (!Bytes.equal(owner, key.nodeId)) throw new KeyTakenError('The key belongs to another node.')
  const nodeId = Bytes.to0x(key.nodeId)
  const node = await read(rpc, registry, { abi: registryAbi, functionName: 'getNode', args: [nodeId] })
  for (let keyEpoch = node.nextKeyEpoch - 1; keyEpoch >= 0; keyEpoch--) {
    const found = await read(rpc, registry, { abi: registryAbi, functionName: 'getKey', args: [nodeId, keyEpoch] })
    if (found.keyId !== keyId) continue
    if (found.role !== key.role) throw new KeyTakenError('The key has another role.')
    const record: Records.KeyRecord = {
      keyId: Bytes.from0x(found.keyId),
      operator: Bytes.from0x(found.operator.toLowerCase()),
      role: found.role,
      validFromBlock: BigInt(found.validFromBlock),
      validUntilBlock: BigInt(found.validUntilBlock),
    }
    return { keyEpoch, record }
  }
  return undefined
}

/** The logId of a key, 32 bytes; undefined if it has no log. */
export async function findLog(
  registrar: Omit<Registrar, 'sender'>,
  signer: Pick<Cose.Signer, 'publicKey'>,
): Promise<Uint8Array | undefined> {
  const { book, crypto, rpc } = registrar
  const keyId = Bytes.to0x(Cose.keyId(crypto, signer.publicKey))
  const call = { abi: anchorAbi, functionName: 'logOfKey', args: [keyId] } as const
  const logId = Bytes.from0x(await read(rpc, book.anchorLog.address, call))
  return isZero(logId) ? undefined : logId
}

/** Signs SHA-256(abi.encode(chainId, contract, subject, role, x, y)) under the tag `key`. Source: spec/encodings.md section 4. */
async function provePossession(
  crypto: Crypto,
  entry: { chainId: bigint; contract: Uint8Array; subject: Uint8Array; role: number; signer: Cose.Signer },
): Promise<Uint8Array> {
  const words = Bytes.concat(
    Bytes.u256(entry.chainId),
    Bytes.u256(Bytes.toBigInt(entry.contract)),
    entry.subject,
    Bytes.u256(BigInt(entry.role)),
    entry.signer.publicKey,
  )
  return Cose.sign(crypto, entry.signer, 'key', crypto.sha256(words))
}

function coordinates(signer: Cose.Signer): readonly [`0x${string}`, `0x${string}`] {
  return [Bytes.to0x(signer.publicKey.subarray(0, 32)), Bytes.to0x(signer.publicKey.subarray(32))]
}

function asRevert(error: unknown): CallRevertedError {
  if (error instanceof CallRevertedError) return error
  throw error
}

/** A key cannot have the place that it was meant for. */
export class KeyTakenError extends errors.UsageError<'key-taken'> {
  override readonly name = 'KeyTakenError'
  constructor(shortMessage: string) {
    super('key-taken', shortMessage)
  }
}
