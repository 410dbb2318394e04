/** Opening.ts - one slot of a receipt with its path to the claims root, or the proof that it is unused. Source: spec/receipt.md section 2. */
import { Bytes, ClaimsTree, type Crypto, Dcbor, errors, Head, Merkle } from 'assay/protocol'
import type { StoredReceipt } from '../receipts/ReceiptStore.ts'

/** A slot's leaf: used with salt (16 bytes) and value, or unused; `path`: 4 siblings of 32 bytes from the leaf up. */
export type Opening = {
  readonly used: { readonly salt: Uint8Array; readonly value: Uint8Array } | undefined
  readonly path: readonly Uint8Array[]
}

/**
 * The opening of a slot from what the node kept.
 *
 * Throws: `OpeningGoneError` when it was thrown away, or never kept whole (receipts of releases before the nonce was kept).
 */
export function of(crypto: Crypto, receipt: StoredReceipt, slot: number): Opening {
  const { claims, secret, nonce } = receipt
  if (nonce === undefined) throw new OpeningGoneError()
  const { modeBits, claimsRoot } = Head.parse(receipt.head)
  const values = Dcbor.decode(claims) as ReadonlyMap<number, Uint8Array>
  const { leaves, salts, root } = ClaimsTree.build(crypto, { secret, nonce, modeBits, values })
  if (!Bytes.equal(root, claimsRoot)) throw new OpeningGoneError()
  const value = values.get(slot)
  const used = value === undefined ? undefined : { salt: salts[slot] as Uint8Array, value }
  return { used, path: pathOf(crypto, leaves, slot) }
}

function pathOf(crypto: Crypto, leaves: readonly Uint8Array[], slot: number): Uint8Array[] {
  const path: Uint8Array[] = []
  let level = leaves
  for (let index = slot; level.length > 1; index >>= 1) {
    path.push(level[index ^ 1] as Uint8Array)
    level = Array.from({ length: level.length / 2 }, (_, i) =>
      Merkle.nodeHash(crypto, level[2 * i] as Uint8Array, level[2 * i + 1] as Uint8Array),
    )
  }
  return path
}

/** The node does not hold the opening of this receipt. */
export class OpeningGoneError extends errors.UsageError<'opening-gone'> {
  override readonly name = 'Opening.OpeningGoneError'
  constructor() {
    super('opening-gone', 'The node does not hold the opening of this receipt.')
  }
}
