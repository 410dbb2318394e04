/**
 * Registered.ts - whom this client saw its chain know. What was registered once stays so, ended or not; an endpoint that shows old blocks
 * later, with true proofs that a record is absent, takes nothing of it back. Source: spec/client.md section 3.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import type { Registration } from './ChainFacts.ts'
import type { Named } from './LogRound.ts'
import type { WatchStore } from './WatchStore.ts'

/** The memory of it, kept in the `WatchStore`; each under the names that the functions below make. */
export type Registered = {
  has(key: string): Promise<boolean>
  mark(key: string): Promise<void>
  /** The node and epoch of a witness, which its signatures do not name. */
  registrationOf(named: Omit<Named, 'logId'>): Promise<Registration | undefined>
  markWitness(named: Omit<Named, 'logId'>, registration: Registration): Promise<void>
}

/** A key of a node, by the 64 bytes of chain, registry, node and epoch in its heads. */
export function nodeKey(domain: Uint8Array, publicKey: Uint8Array): string {
  return `node/${Bytes.toHex(domain)}/${Bytes.toHex(publicKey)}`
}

/** A log under its key. */
export function log({ chainId, anchorLog, logId, publicKey }: Named): string {
  return `log/${chainId}/${Bytes.toHex(anchorLog)}/${Bytes.toHex(logId)}/${Bytes.toHex(publicKey)}`
}

/** A log whatever its key is: false entries accuse it by its identifier. */
export function anyLog({ anchorLog, logId }: Pick<Named, 'anchorLog' | 'logId'>): string {
  return `log/${Bytes.toHex(anchorLog)}/${Bytes.toHex(logId)}`
}

/** A key that cosigns, at one AnchorLog. */
export function witness({ chainId, anchorLog, publicKey }: Omit<Named, 'logId'>): string {
  return `witness/${chainId}/${Bytes.toHex(anchorLog)}/${Bytes.toHex(publicKey)}`
}

/** The same as the key of one node in one epoch. */
export function witnessOf(
  named: Omit<Named, 'logId'>,
  { nodeId, keyEpoch }: Pick<Registration, 'nodeId' | 'keyEpoch'>,
): string {
  return `${witness(named)}/${Bytes.toHex(nodeId)}/${keyEpoch}`
}

/** Opens the memory. */
export function create(crypto: Crypto, store: WatchStore): Registered {
  // What was seen in this process is not read again; a name takes 300 bytes, and the store forgets sooner.
  const seen = new Set<string>()
  const nameOf = (key: string) => Bytes.toHex(crypto.sha256(Bytes.fromUtf8(key)))

  async function mark(key: string, item: Uint8Array): Promise<void> {
    if (seen.has(key)) return
    await store.put('registered', nameOf(key), item)
    seen.add(key)
  }

  return {
    async has(key) {
      if (seen.has(key)) return true
      const isThere = (await store.get('registered', nameOf(key))) !== undefined
      if (isThere) seen.add(key)
      return isThere
    },
    mark: (key) => mark(key, Uint8Array.of(1)),
    async registrationOf(named) {
      const item = await store.get('registered', nameOf(witness(named)))
      if (item?.length !== 37) return undefined
      const keyEpoch = Number(Bytes.toBigInt(item.subarray(32, 36)))
      return { nodeId: item.slice(0, 32), keyEpoch, role: item[36] as number }
    },
    async markWitness(named, registration) {
      const { nodeId, keyEpoch, role } = registration
      await mark(witness(named), Bytes.concat(nodeId, Bytes.u32(keyEpoch), Uint8Array.of(role)))
      await mark(witnessOf(named, registration), Uint8Array.of(1))
    },
  }
}
