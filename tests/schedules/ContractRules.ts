/**
 * ContractRules.ts - what NodeRegistry, AnchorLog and FaultCases do with a call, as a function from state to state.
 * Source: spec/contracts.md sections 3 and 4; cases: CaseRules.ts.
 */
import { AnchorLogContract, NodeRegistryContract, type Records } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes, Checkpoint, Cose, Identity, Merkle } from 'assay/protocol'
import { decodeFunctionData, type Hex } from 'viem'
import * as CaseRules from './CaseRules.ts'
import { RevertError, refusing } from './RevertError.ts'

export { RevertError }

export const chainId = 31_337n
export const registry = Bytes.fromHex('11'.repeat(20))
export const anchorLog = Bytes.fromHex('22'.repeat(20))
export const faultCases = Bytes.fromHex('44'.repeat(20))
export const faultCourt = Bytes.fromHex('55'.repeat(20))

/** Where contracts stand: by default at the addresses above. */
export type Place = {
  readonly chainId: bigint
  readonly registry: Uint8Array
  readonly anchorLog: Uint8Array
  readonly faultCases: Uint8Array
}
const here: Place = { chainId, registry, anchorLog, faultCases }

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

/** All contracts at the end of a block; maps by hex. */
export type State = {
  readonly place: Place
  readonly terms: CaseRules.Terms
  readonly cases: CaseRules.Cases
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

/** All contracts right after their construction. */
export function empty(
  instance: Uint8Array,
  minPledgeBlocks: bigint,
  terms: CaseRules.Terms = { openWindowBlocks: 1_300n, answerBlocks: 300n },
  place: Place = here,
): State {
  return {
    ...{ place, terms, cases: new Map() },
    ...{ instance, minPledgeBlocks, nodeCounts: new Map(), nodes: new Map(), keys: new Map(), nodeOfKey: new Map() },
    ...{ logCounts: new Map(), logs: new Map(), logOfKey: new Map() },
  }
}

/** The state after a call in a block; throws `RevertError` when the contract would refuse it. */
export async function apply(state: State, call: Call, block: bigint): Promise<State> {
  const { place } = state
  if (Bytes.equal(call.to, place.registry)) return applyRegistry(state, call, block)
  if (Bytes.equal(call.to, place.anchorLog)) return applyAnchorLog(state, call, block)
  if (Bytes.equal(call.to, place.faultCases)) {
    return { ...state, cases: await CaseRules.apply({ ...state, ...place }, call.from, call.data, block) }
  }
  throw new RevertError('no such contract')
}

async function applyRegistry(state: State, call: Call, block: bigint): Promise<State> {
  const { functionName, args } = decodeFunctionData({ abi: NodeRegistryContract.abi, data: Bytes.to0x(call.data) })
  switch (functionName) {
    case 'registerNode': {
      const operator = hex(call.from)
      const n = state.nodeCounts.get(operator) ?? 0n
      const nodeId = hex(Identity.nodeId(crypto, { ...state.place, operator: call.from, n }))
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
      const keyId = await requirePossession(state, state.nodeOfKey, {
        contract: state.place.registry,
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
      const logId = Identity.logId(crypto, { ...state.place, instance: state.instance, operator: call.from, n })
      const publicKey = Bytes.concat(Bytes.from0x(x), Bytes.from0x(y))
      const entry = { contract: state.place.anchorLog, subject: logId, role: Identity.roles.log, publicKey, signature }
      const keyId = await requirePossession(state, state.logOfKey, entry)
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
      await requireSigned(state.place, log, step)
      if (!log.conflicts.has(step.size)) log = { ...log, conflicts: changed(log.conflicts, step.size, root) }
      continue
    }
    if (step.size < log.size) continue
    await requireSigned(state.place, log, step)
    requireAppend(log, step, root)
    log = { ...log, size: step.size, root, steps: changed(log.steps, step.size, { root, blockNumber: block }) }
  }
  return { ...state, logs: changed(state.logs, logId.slice(2), log) }
}

async function requireSigned(place: Place, log: LogState, step: SignedStep): Promise<void> {
  const { logId, publicKey } = log
  const root = Bytes.from0x(step.root)
  const payload = Checkpoint.payload(crypto, Checkpoint.words({ ...place, logId, size: step.size, root }))
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
  { place }: State,
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
  const payload = Identity.keyStatement(crypto, { chainId: place.chainId, contract, subject, role, publicKey })
  const signature = Bytes.from0x(entry.signature)
  await refusing('InvalidProofOfPossession', () => Cose.verify(crypto, { tag: 'key', payload, signature, publicKey }))
  return keyId
}

function changed<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
  return new Map(map).set(key, value)
}
