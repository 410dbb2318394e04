/**
 * ContractRules.ts - what NodeRegistry and AnchorLog do with a call, as a function from state to state.
 * Source: spec/contracts.md sections 3 and 4.
 */
import { AnchorLogContract, NodeRegistryContract, type Records } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes, Checkpoint, Cose, errors, Identity, Merkle } from 'assay/protocol'
import { decodeFunctionData, type Hex } from 'viem'

export const chainId = 31_337n
export const registry = Bytes.fromHex('11'.repeat(20))
export const anchorLog = Bytes.fromHex('22'.repeat(20))

export type Step = { readonly root: Uint8Array; readonly blockNumber: bigint }
export type LogState = {
  readonly logId: Uint8Array
  readonly operator: Uint8Array
  readonly publicKey: Uint8Array
  readonly pledgeBlocks: bigint
  readonly size: bigint
  readonly root: Uint8Array
  readonly steps: ReadonlyMap<bigint, Step>
  readonly conflicts: ReadonlyMap<bigint, Uint8Array>
}
export type NodeState = {
  readonly operator: Uint8Array
  readonly nextKeyEpoch: number
  readonly registeredAtBlock: bigint
}

/** Both contracts at the end of a block; maps by hex. */
export type State = {
  readonly instance: Uint8Array
  readonly minPledgeBlocks: bigint
  readonly nodeCounts: ReadonlyMap<string, bigint>
  readonly nodes: ReadonlyMap<string, NodeState>
  /** By `nodeId/epoch`. */
  readonly keys: ReadonlyMap<string, Records.KeyRecord>
  readonly nodeOfKey: ReadonlyMap<string, Uint8Array>
  readonly logCounts: ReadonlyMap<string, bigint>
  readonly logs: ReadonlyMap<string, LogState>
  readonly logOfKey: ReadonlyMap<string, Uint8Array>
}

/** A call as it stands in a block. */
export type Call = { readonly from: Uint8Array; readonly to: Uint8Array; readonly data: Uint8Array }

const hex = Bytes.toHex
const emptyRoot = Merkle.emptyRoot(crypto)
const maxSteps = 16
const maxProofHashes = 64

/** Both contracts right after their construction. */
export function empty(instance: Uint8Array, minPledgeBlocks: bigint): State {
  return {
    ...{ instance, minPledgeBlocks, nodeCounts: new Map(), nodes: new Map(), keys: new Map(), nodeOfKey: new Map() },
    ...{ logCounts: new Map(), logs: new Map(), logOfKey: new Map() },
  }
}

/** The state after a call in a block; throws `RevertError` when the contract would refuse it. */
export async function apply(state: State, call: Call, block: bigint): Promise<State> {
  if (Bytes.equal(call.to, registry)) return applyRegistry(state, call, block)
  if (Bytes.equal(call.to, anchorLog)) return applyAnchorLog(state, call, block)
  throw new RevertError('no such contract')
}

async function applyRegistry(state: State, call: Call, block: bigint): Promise<State> {
  const { functionName, args } = decodeFunctionData({ abi: NodeRegistryContract.abi, data: Bytes.to0x(call.data) })
  switch (functionName) {
    case 'registerNode': {
      const operator = hex(call.from)
      const n = state.nodeCounts.get(operator) ?? 0n
      const nodeId = hex(Identity.nodeId(crypto, { chainId, registry, operator: call.from, n }))
      const node = { operator: call.from, nextKeyEpoch: 0, registeredAtBlock: block }
      return {
        ...state,
        nodeCounts: changed(state.nodeCounts, operator, n + 1n),
        nodes: changed(state.nodes, nodeId, node),
      }
    }
    case 'addKey': {
      const [nodeId, role, x, y, signature] = args as readonly [Hex, number, Hex, Hex, Hex]
      const name = nodeId.slice(2)
      const node = ownNode(state, name, call.from)
      if (!Identity.isRole(role)) throw new RevertError('InvalidRole')
      const publicKey = Bytes.concat(Bytes.from0x(x), Bytes.from0x(y))
      const subject = Bytes.from0x(nodeId)
      const keyId = await requirePossession(state.nodeOfKey, {
        contract: registry,
        subject,
        role,
        publicKey,
        signature,
      })
      const record: Records.KeyRecord = {
        ...{ keyId, operator: call.from, role, validFromBlock: block, validUntilBlock: 0n },
      }
      return {
        ...state,
        nodes: changed(state.nodes, name, { ...node, nextKeyEpoch: node.nextKeyEpoch + 1 }),
        keys: changed(state.keys, `${name}/${node.nextKeyEpoch}`, record),
        nodeOfKey: changed(state.nodeOfKey, hex(keyId), subject),
      }
    }
    case 'endKey': {
      const [nodeId, keyEpoch] = args as readonly [Hex, number]
      const name = `${nodeId.slice(2)}/${keyEpoch}`
      ownNode(state, nodeId.slice(2), call.from)
      const key = state.keys.get(name)
      if (key === undefined) throw new RevertError('UnknownKey')
      if (key.validUntilBlock !== 0n) throw new RevertError('KeyAlreadyEnded')
      return { ...state, keys: changed(state.keys, name, { ...key, validUntilBlock: block }) }
    }
    default:
      throw new RevertError(`not modelled: ${functionName}`)
  }
}

async function applyAnchorLog(state: State, call: Call, block: bigint): Promise<State> {
  const { functionName, args } = decodeFunctionData({ abi: AnchorLogContract.abi, data: Bytes.to0x(call.data) })
  switch (functionName) {
    case 'register': {
      const [x, y, , pledgeBlocks, signature] = args as readonly [Hex, Hex, Hex, bigint, Hex]
      if (pledgeBlocks < state.minPledgeBlocks) throw new RevertError('PledgeBlocksTooFew')
      const operator = hex(call.from)
      const n = state.logCounts.get(operator) ?? 0n
      const logId = Identity.logId(crypto, { chainId, anchorLog, instance: state.instance, operator: call.from, n })
      const publicKey = Bytes.concat(Bytes.from0x(x), Bytes.from0x(y))
      const entry = { contract: anchorLog, subject: logId, role: Identity.roles.log, publicKey, signature }
      const keyId = await requirePossession(state.logOfKey, entry)
      const log: LogState = {
        ...{ logId, operator: call.from, publicKey, pledgeBlocks, size: 0n, root: emptyRoot, conflicts: new Map() },
        steps: new Map([[0n, { root: emptyRoot, blockNumber: block }]]),
      }
      return {
        ...state,
        logCounts: changed(state.logCounts, operator, n + 1n),
        logs: changed(state.logs, hex(logId), log),
        logOfKey: changed(state.logOfKey, hex(keyId), logId),
      }
    }
    case 'anchor':
      return anchor(state, args as readonly [Hex, readonly SignedStep[]], block)
    case 'request':
      return state
    default:
      throw new RevertError(`not modelled: ${functionName}`)
  }
}

type SignedStep = {
  readonly size: bigint
  readonly root: Hex
  readonly signature: Hex
  readonly consistencyProof: readonly Hex[]
}

async function anchor(state: State, args: readonly [Hex, readonly SignedStep[]], block: bigint): Promise<State> {
  const [logId, steps] = args
  if (steps.length === 0 || steps.length > maxSteps) throw new RevertError('InvalidStepCount')
  let log = state.logs.get(logId.slice(2))
  if (log === undefined) throw new RevertError('UnknownLog')
  for (const step of steps) {
    const root = Bytes.from0x(step.root)
    if (root.every((byte) => byte === 0)) throw new RevertError('ZeroRoot')
    if (step.size > Merkle.maxSize) throw new RevertError('SizeTooLarge')
    const stored = log.steps.get(step.size)
    if (stored !== undefined) {
      if (Bytes.equal(stored.root, root)) continue
      await requireSigned(log, step)
      if (!log.conflicts.has(step.size)) log = { ...log, conflicts: changed(log.conflicts, step.size, root) }
      continue
    }
    if (step.size < log.size) continue
    await requireSigned(log, step)
    requireAppend(log, step, root)
    log = { ...log, size: step.size, root, steps: changed(log.steps, step.size, { root, blockNumber: block }) }
  }
  return { ...state, logs: changed(state.logs, logId.slice(2), log) }
}

async function requireSigned(log: LogState, step: SignedStep): Promise<void> {
  const { logId, publicKey } = log
  const root = Bytes.from0x(step.root)
  const payload = Checkpoint.payload(crypto, Checkpoint.words({ chainId, anchorLog, logId, size: step.size, root }))
  const signature = Bytes.from0x(step.signature)
  await refusing('InvalidCheckpointSignature', () =>
    Cose.verify(crypto, { tag: 'checkpoint', payload, signature, publicKey }),
  )
}

function requireAppend(log: LogState, step: SignedStep, root: Uint8Array): void {
  const proof = step.consistencyProof.map((hash) => Bytes.from0x(hash))
  if (proof.length > maxProofHashes) throw new RevertError('ProofTooLong')
  if (log.size === 0n) {
    if (proof.length > 0) throw new RevertError('InvalidConsistencyProof')
    return
  }
  try {
    Merkle.verifyConsistency(crypto, { size1: log.size, root1: log.root, size2: step.size, root2: root, proof })
  } catch {
    throw new RevertError('InvalidConsistencyProof')
  }
}

function ownNode(state: State, name: string, sender: Uint8Array): NodeState {
  const node = state.nodes.get(name)
  if (node === undefined) throw new RevertError('UnknownNode')
  if (!Bytes.equal(node.operator, sender)) throw new RevertError('NotOperator')
  return node
}

async function requirePossession(
  taken: ReadonlyMap<string, unknown>,
  entry: {
    readonly contract: Uint8Array
    readonly subject: Uint8Array
    readonly role: Identity.Role
    readonly publicKey: Uint8Array
    readonly signature: Hex
  },
): Promise<Uint8Array> {
  const { contract, subject, role, publicKey } = entry
  await refusing('InvalidPublicKey', () => Cose.assertKey(publicKey))
  const keyId = Cose.keyId(crypto, publicKey)
  if (taken.has(hex(keyId))) throw new RevertError('KeyAlreadyRegistered')
  const payload = Identity.keyStatement(crypto, { chainId, contract, subject, role, publicKey })
  const signature = Bytes.from0x(entry.signature)
  await refusing('InvalidProofOfPossession', () => Cose.verify(crypto, { tag: 'key', payload, signature, publicKey }))
  return keyId
}

async function refusing(name: string, check: () => unknown): Promise<void> {
  try {
    await check()
  } catch (error) {
    if (errors.BaseError.isInstance(error)) throw new RevertError(name)
    throw error
  }
}

function changed<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
  return new Map(map).set(key, value)
}

/** A call that the contract refuses, by the name of its error. */
export class RevertError extends Error {
  override readonly name = 'RevertError'
}
