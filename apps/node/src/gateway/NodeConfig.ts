/** NodeConfig.ts - the node's canonical runtime configuration, whose digest stands in slot 0. Source: spec/assay.cddl `node-config`. */
import { type Crypto, Dcbor } from 'assay/protocol'
import type { Engine } from '../engine/Engine.ts'

/** The software's version as slot 0 names it. */
export const softwareVersion = '0.1.0'

/** The configuration as published. */
export type NodeConfig = {
  readonly version: string
  /** dCBOR. */
  readonly bytes: Uint8Array
  /** 32 bytes, SHA-256 of `bytes`. */
  readonly digest: Uint8Array
}

/** Makes it from what the node serves: models sorted by id, no injected prompts, no third parties. */
export function create(crypto: Crypto, engines: Iterable<Engine>, leafRetentionSeconds: number): NodeConfig {
  const models = [...engines]
    .sort((left, right) => (left.id < right.id ? -1 : 1))
    .map(({ id, profile, name, version, manifestHash }) => [id, profile, `${name} ${version}`, manifestHash])
  const bytes = Dcbor.encode(
    new Map<Dcbor.Key, Dcbor.Value>([
      [1, softwareVersion],
      [2, models],
      [3, []],
      [4, []],
      [5, leafRetentionSeconds],
    ]),
  )
  return { version: softwareVersion, bytes, digest: crypto.sha256(bytes) }
}
