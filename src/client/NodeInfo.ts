/**
 * NodeInfo.ts - what a node says of itself at `/.well-known/assay.json`. Source: spec/wire.md section 4.
 *
 * Nothing here is believed: keys are compared with state proofs, addresses with the reader's trust anchors.
 */
import * as Bytes from '../protocol/Bytes.ts'
import { VerificationError } from '../protocol/errors.ts'

/** A model that the node offers; `manifestHash`: 32 bytes. */
export type ModelInfo = {
  readonly id: string
  readonly kind: 'causal-lm' | 'tensor'
  readonly manifestHash: Uint8Array
  readonly profile: string
}

/** A log that the node uses; `logId`: 32 bytes, `publicKey`: 64 bytes, x || y. */
export type LogInfo = { readonly logId: Uint8Array; readonly publicKey: Uint8Array; readonly url: string }

/** What a node says of itself: addresses 20 bytes, `nodeId` 32, keys 64 (x || y). Source: spec/wire.md section 4. */
export type NodeInfo = {
  readonly chainId: bigint
  readonly nodeRegistry: Uint8Array
  readonly anchorLog: Uint8Array
  readonly nodeId: Uint8Array
  readonly keyEpoch: number
  readonly publicKey: Uint8Array
  readonly logs: readonly LogInfo[]
  readonly models: readonly ModelInfo[]
}

/** Longest document read: a node lists at most a few hundred models. */
export const maxBytes = 1024 * 1024

/** Reads the document; throws `NodeInfo.NodeInfoError` naming the place. */
export function parse(text: string): NodeInfo {
  let data: unknown
  try {
    data = JSON.parse(text)
  } catch (cause) {
    throw new NodeInfoError('$', cause)
  }
  const root = object(data, '$')
  if (root.version !== 1) throw new NodeInfoError('$.version')
  const chain = object(root.chain, '$.chain')
  const node = object(root.node, '$.node')
  return {
    chainId: decimal(chain.chainId, '$.chain.chainId'),
    nodeRegistry: address(chain.nodeRegistry, '$.chain.nodeRegistry'),
    anchorLog: address(chain.anchorLog, '$.chain.anchorLog'),
    nodeId: hex(node.nodeId, '$.node.nodeId'),
    keyEpoch: integer(node.keyEpoch, '$.node.keyEpoch'),
    publicKey: key(node.publicKey, '$.node.publicKey'),
    logs: list(root.logs, '$.logs', 16).map((item, i) => {
      const log = object(item, `$.logs[${i}]`)
      const url = text_(log.url, `$.logs[${i}].url`)
      if (!url.startsWith('/') || url.startsWith('//')) throw new NodeInfoError(`$.logs[${i}].url`)
      return {
        logId: hex(log.logId, `$.logs[${i}].logId`),
        publicKey: key(log.publicKey, `$.logs[${i}].publicKey`),
        url,
      }
    }),
    models: list(root.models, '$.models', 1024).map((item, i) => {
      const model = object(item, `$.models[${i}]`)
      const kind = model.kind
      if (kind !== 'causal-lm' && kind !== 'tensor') throw new NodeInfoError(`$.models[${i}].kind`)
      return {
        id: text_(model.id, `$.models[${i}].id`),
        kind,
        manifestHash: hex(model.manifestHash, `$.models[${i}].manifestHash`),
        profile: text_(model.profile, `$.models[${i}].profile`),
      }
    }),
  }
}

/** The logs of a description, with the contracts that it names. */
export function namedLogs({ chainId, anchorLog, logs }: NodeInfo) {
  return logs.map(({ logId, publicKey }) => ({ chainId, anchorLog, logId, publicKey }))
}

function object(value: unknown, place: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new NodeInfoError(place)
  return value as Record<string, unknown>
}

function list(value: unknown, place: string, limit: number): unknown[] {
  if (!Array.isArray(value) || value.length > limit) throw new NodeInfoError(place)
  return value
}

function text_(value: unknown, place: string): string {
  if (typeof value !== 'string' || value.length === 0 || value.length > 1024) throw new NodeInfoError(place)
  return value
}

function decimal(value: unknown, place: string): bigint {
  if (typeof value !== 'string' || !/^(0|[1-9][0-9]{0,19})$/.test(value)) throw new NodeInfoError(place)
  return BigInt(value)
}

function integer(value: unknown, place: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 0xffffffff)
    throw new NodeInfoError(place)
  return value
}

function hex(value: unknown, place: string): Uint8Array {
  if (typeof value !== 'string' || !/^[0-9a-f]{64}$/.test(value)) throw new NodeInfoError(place)
  return Bytes.fromHex(value)
}

function address(value: unknown, place: string): Uint8Array {
  if (typeof value !== 'string' || !/^0x[0-9a-f]{40}$/.test(value)) throw new NodeInfoError(place)
  return Bytes.from0x(value)
}

function key(value: unknown, place: string): Uint8Array {
  if (typeof value !== 'string' || !/^[A-Za-z0-9_-]{86}$/.test(value)) throw new NodeInfoError(place)
  return Bytes.fromBase64url(value)
}

/** The node's description of itself is not what spec/wire.md says. */
export class NodeInfoError extends VerificationError<'node-info-malformed'> {
  override readonly name = 'NodeInfo.NodeInfoError'
  constructor(place: string, cause?: unknown) {
    super('node-info-malformed', "The node's description of itself cannot be read.", {
      facts: [`Place: ${place}`],
      ...(cause === undefined ? {} : { cause }),
    })
  }
}
