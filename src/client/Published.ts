/**
 * Published.ts - the place of a receipt's leaf from the log's published files alone, for when the log does not answer about it: who
 * serves tiles need not be the log. Source: spec/log.md section 5, spec/wire.md section 3.
 */
import type * as Bundle from '../protocol/Bundle.ts'
import * as Checkpoint from '../protocol/Checkpoint.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import * as Note from '../protocol/Note.ts'
import type * as Pledge from '../protocol/Pledge.ts'
import * as Tiles from './Tiles.ts'

/**
 * Final blocks after a pledge before the files are asked: longer than a log that answers takes to anchor, so that the receipts of a busy
 * client do not ask twice each round.
 */
export const patienceBlocks = 8n

/**
 * The leaf at the pledge's index under the published checkpoint, once that covers it; which leaf it is the caller has to see.
 *
 * - `logKey`: x || y of the log, 64 bytes
 *
 * Returns undefined where the files are not given, or do not add up to what the log signed.
 */
export async function find(
  parts: { readonly crypto: Crypto; readonly fetch: typeof globalThis.fetch; readonly baseUrl: string },
  pledge: Pledge.Pledge,
  logKey: Uint8Array,
): Promise<{ readonly checkpoint: Bundle.CheckpointPiece; readonly leafHash: Uint8Array } | undefined> {
  const { crypto } = parts
  const { chainId, anchorLog, logId, leafIndex } = pledge
  const tiles = Tiles.create({ ...parts, logId })
  try {
    const note = Note.parse(await tiles.checkpoint())
    const { statement, signature } = await Checkpoint.fromNote(crypto, note, {
      ...{ chainId, anchorLog, logId, publicKey: logKey },
    })
    const { size, root } = statement
    if (size <= leafIndex) return undefined
    const { leafHash, proof } = await tiles.leaf(statement, leafIndex)
    return { leafHash, checkpoint: { size, root, signature, proof, cosignatures: [] } }
  } catch (error) {
    if (BaseError.isInstance(error)) return undefined
    throw error
  }
}
