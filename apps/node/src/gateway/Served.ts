/** Served.ts - what a node serves and who it is, as the gateway's routes need it. */
import type { Claims, Crypto } from 'assay/protocol'
import type { Engine } from '../engine/Engine.ts'
import type { Heart } from '../heartbeat/Heart.ts'
import type { Proof } from '../log/Log.ts'
import type { Issuer } from '../receipts/Issuer.ts'
import type { ReceiptStore } from '../receipts/ReceiptStore.ts'
import type { LeafCache } from './LeafCache.ts'
import type { NodeConfig } from './NodeConfig.ts'

/** A log that this daemon publishes. */
export type PublishedLog = {
  /** 32 bytes. */
  readonly logId: Uint8Array
  /** 64 bytes. */
  readonly publicKey: Uint8Array
  /** 32 bytes. */
  readonly ed25519: Uint8Array
  /** Folder of the published files. */
  readonly files: string
  /** States that it has signed for the chain and that are not anchored, by size: anybody may anchor them. */
  readonly unanchored?: () => readonly {
    readonly size: bigint
    readonly root: Uint8Array
    readonly signature: Uint8Array
  }[]
  readonly proof: (request: { readonly index: bigint; readonly size?: bigint | undefined }) => Promise<Proof>
}

/** The newest block that the node knows. */
export type NewestBlock = () => { readonly number: bigint; readonly timestampSeconds: bigint } | undefined

/** Structured lines about what happened; never with content, keys, tokens or header values. */
export type LogRecord = { readonly event: string; readonly [field: string]: string | number | boolean | null }

/** Everything that routes use. */
export type Served = {
  readonly crypto: Crypto
  readonly engines: ReadonlyMap<string, Engine>
  readonly issuer: Issuer
  /** Without one the node gives no heartbeats. */
  readonly heart?: Heart
  readonly store: ReceiptStore
  readonly leaves: LeafCache
  /** In order of preference. */
  readonly logs: readonly PublishedLog[]
  readonly config: NodeConfig
  readonly newestBlock: NewestBlock
  readonly identity: {
    readonly chainId: bigint
    /** 20 bytes each. */
    readonly nodeRegistry: Uint8Array
    readonly anchorLog: Uint8Array
    readonly operator: Uint8Array
    readonly witnesses: readonly Uint8Array[]
  }
  /** The 64-byte key of a keyId of this node, retired ones included. */
  readonly publicKeyOf: (keyId: Uint8Array) => Uint8Array | undefined
  readonly exposure: Claims.ClaimValues['exposure']
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly random: (length: number) => Uint8Array
  readonly record: (record: LogRecord) => void
  /** Answers health probes: why calls would not be served now, if so. */
  readonly notReady: () => string | undefined
}
