/**
 * ChainAccess.ts - how a client sees its chain: its own RPC endpoint, believed only as far as `chain/Rpc.ts` can check it.
 */
import type * as ChainPiece from '../chain/ChainPiece.ts'
import type * as Records from '../chain/Records.ts'
import * as Rpc from '../chain/Rpc.ts'
import type * as TrustAnchors from '../chain/TrustAnchors.ts'
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import type { ChainView } from '../verify/Reader.ts'
import * as ChainFacts from './ChainFacts.ts'

/** What a client wants proven: a key's record, and with `log` the log's record, with `size` the step of that size. `nodeId`, `logId`: 32 bytes. */
export type PieceQuery = {
  readonly nodeId: Uint8Array
  readonly keyEpoch: number
  readonly log?: { readonly logId: Uint8Array; readonly size?: bigint }
}

/** What the client asks of its chain; interface owned by the client, so that tests and other chains can stand in. */
export type ChainAccess = ChainFacts.ChainFacts & {
  readonly chainId: bigint
  /** Newest block, and the canonical hashes of the asked numbers (numbers that do not exist yet are left out). */
  view(numbers: readonly bigint[]): Promise<ChainView>
  /** The record of a node's key at the newest block, by state proof; undefined if the chain has none. */
  keyRecord(query: Pick<PieceQuery, 'nodeId' | 'keyEpoch'>): Promise<Records.KeyRecord | undefined>
  /**
   * The proofs, at the finalized block if the record is there already, else at the newest; with those of the stake of node and
   * log if the reader names contracts of stake and both are staked.
   */
  piece(query: PieceQuery): Promise<{
    readonly piece: ChainPiece.ChainPiece
    readonly header: TrustAnchors.TrustedHeader
    readonly isFinal: boolean
    /** The reader names contracts of stake, and neither the stake nor its absence is shown: another attempt may show it. */
    readonly isStakeOpen?: boolean
  }>
}

/** Access through one JSON-RPC endpoint, for the contracts that the reader trusts. */
export function overRpc(
  crypto: Crypto,
  rpc: Rpc.Rpc,
  anchors: Pick<TrustAnchors.TrustAnchors, 'nodeRegistry' | 'anchorLog' | 'stake'>,
): ChainAccess {
  return {
    ...ChainFacts.overRpc(crypto, rpc, anchors),
    chainId: rpc.chainId,
    async view(numbers) {
      const newest = await Rpc.newest(crypto, rpc)
      const blocks = [{ number: newest.number, hash: newest.hash }]
      for (const number of new Set(numbers)) {
        if (number > newest.number || number === newest.number) continue
        const header = await Rpc.fetchHeader(crypto, rpc, number)
        blocks.push({ number, hash: header.hash })
      }
      return { chainId: rpc.chainId, newest: newest.number, blocks }
    },
    async keyRecord({ nodeId, keyEpoch }) {
      try {
        const request = {
          nodeRegistry: anchors.nodeRegistry,
          nodeId,
          keyEpoch,
          block: 'latest',
          log: undefined,
        } as const
        return (await Rpc.fetchChainPiece(crypto, rpc, request)).facts.registry.keyRecord
      } catch (error) {
        if (error instanceof Rpc.NotOnChainError && error.what === 'key-record') return undefined
        throw error
      }
    },
    async piece(query) {
      const request = (block: Rpc.Block): Rpc.PieceRequest => ({
        nodeRegistry: anchors.nodeRegistry,
        nodeId: query.nodeId,
        keyEpoch: query.keyEpoch,
        block,
        log:
          query.log === undefined
            ? undefined
            : { anchorLog: anchors.anchorLog, logId: query.log.logId, size: query.log.size },
        stake: anchors.stake,
      })
      try {
        const tip = await Rpc.finalized(crypto, rpc)
        const { piece, facts, isStakeOpen } = await Rpc.fetchChainPiece(crypto, rpc, request(tip.number))
        return {
          piece,
          header: { number: facts.header.number, hash: facts.header.hash },
          isFinal: Bytes.equal(facts.header.hash, tip.hash),
          isStakeOpen,
        }
      } catch (error) {
        if (!(error instanceof Rpc.NotOnChainError)) throw error
        const { piece, facts, isStakeOpen } = await Rpc.fetchChainPiece(crypto, rpc, request('latest'))
        return { piece, header: { number: facts.header.number, hash: facts.header.hash }, isFinal: false, isStakeOpen }
      }
    },
  }
}
