/**
 * Tree.ts - the log's Merkle tree as tiles: what is complete goes to storage, the right edge stays in memory.
 * Source: C2SP tlog-tiles; RFC 9162 section 2.1; spec/log.md section 5.
 *
 * A tile of level T covers 256 subtrees of height 8 T. Its bytes are all 511 hashes of its own little tree, row by row:
 * 256 of height 0 (exactly the published tile), then 128, 64 ... and last its root. So any proof is a few reads, no
 * hashing. Trees are never changed in place: a failed write leaves the old one as it was.
 */
import { type Crypto, Merkle, MerkleFrontier, TileHashes } from 'assay/protocol'
import type { Tile } from './LogStore.ts'

/** Bytes of a tile with all its rows. */
const tileBytes = 511 * 32
/** Bytes of a published, complete tile. */
export const publishedBytes = 256 * 32
/** Complete tiles kept in memory, 16 KiB each: a proof in a log of a million entries reads at most three. */
const cachedTiles = 64

/** A tree at one size. */
export type Tree = {
  readonly frontier: MerkleFrontier.Frontier
  /** The incomplete tile of each level, its missing hashes zero. */
  readonly edge: readonly Tile[]
}

/** Reads a complete tile from storage. */
export type ReadTile = (level: number, number: bigint) => Uint8Array | undefined

/** The tree without leaves. */
export const empty: Tree = { frontier: MerkleFrontier.empty, edge: [] }

/** Appends leaf hashes; returns the new tree and the tiles that became complete. */
export function append(
  crypto: Crypto,
  tree: Tree,
  leafHashes: readonly Uint8Array[],
): { readonly tree: Tree; readonly completed: readonly Tile[] } {
  const edge = tree.edge.map((tile) => ({ ...tile, hashes: tile.hashes.slice() }))
  const completed: Tile[] = []
  const frontier = MerkleFrontier.append(crypto, tree.frontier, leafHashes, (height, index, hash) => {
    const level = height >> 3
    const row = height & 7
    const position = Number(index)
    const perTile = 256 >> row
    if (row === 0 && level > 0) {
      // The hash is the root of the tile below, which is complete with it.
      const below = edge[level - 1] as { level: number; number: bigint; hashes: Uint8Array }
      below.hashes.set(hash, rowOffset(8))
      completed.push(below)
      edge[level - 1] = { level: level - 1, number: index + 1n, hashes: new Uint8Array(tileBytes) }
    }
    edge[level] ??= { level, number: 0n, hashes: new Uint8Array(tileBytes) }
    ;(edge[level] as Tile).hashes.set(hash, rowOffset(row) + (position % perTile) * 32)
  })
  return { tree: { frontier, edge }, completed }
}

/** The root of the whole tree, 32 bytes. */
export function root(crypto: Crypto, tree: Tree): Uint8Array {
  return MerkleFrontier.root(crypto, tree.frontier)
}

/**
 * Builds the tree of a stored log from its complete tiles and the leaf hashes after them: about 500 small reads.
 *
 * - `leafHashes`: of the entries from the last multiple of 256 on
 */
export function load(crypto: Crypto, size: bigint, leafHashes: readonly Uint8Array[], readTile: ReadTile): Tree {
  const edge: Tile[] = []
  for (let level = 0; level === 0 ? size > 0n : size >> BigInt(8 * level) > 0n; level++) {
    const count = size >> BigInt(8 * level)
    const number = count >> 8n
    const width = Number(count & 255n)
    const hashes = new Uint8Array(tileBytes)
    for (let i = 0; i < width; i++) {
      const hash = level === 0 ? leafHashes[i] : readTile(level - 1, number * 256n + BigInt(i))?.subarray(rowOffset(8))
      if (hash === undefined) throw new Error('A stored log lacks a tile.')
      hashes.set(hash, i * 32)
    }
    fillRows(crypto, hashes, width)
    edge.push({ level, number, hashes })
  }
  const read = reader({ frontier: MerkleFrontier.empty, edge }, readTile)
  const hashes: Uint8Array[] = []
  for (let bit = size.toString(2).length - 1; bit >= 0; bit--) {
    const index = size >> BigInt(bit)
    if ((index & 1n) === 1n) hashes.push(Uint8Array.from(read(bit, index ^ 1n)))
  }
  return { frontier: { size, hashes }, edge }
}

/** Reads roots of complete subtrees from the edge and from stored tiles. */
export function reader(tree: Tree, readTile: ReadTile): (height: number, index: bigint) => Uint8Array {
  return (height, index) => {
    const level = height >> 3
    const row = height & 7
    const perTile = BigInt(256 >> row)
    const number = index / perTile
    const edge = tree.edge[level]
    const hashes = edge?.number === number ? edge.hashes : readTile(level, number)
    if (hashes === undefined) throw new Error('A stored log lacks a tile.')
    const offset = rowOffset(row) + Number(index % perTile) * 32
    return hashes.subarray(offset, offset + 32)
  }
}

/** The root over the first `size` leaves, at most the tree's size. */
export async function rootAt(crypto: Crypto, tree: Tree, readTile: ReadTile, size: bigint): Promise<Uint8Array> {
  if (size > tree.frontier.size) throw new Merkle.TreeRangeError('The tree is smaller.', { size })
  if (size === tree.frontier.size) return root(crypto, tree)
  return TileHashes.root(crypto, reader(tree, readTile), size)
}

/** Keeps the tiles that were read last; a complete tile never changes. */
export function cached(readTile: ReadTile): ReadTile {
  const tiles = new Map<string, Uint8Array>()
  return (level, number) => {
    const name = `${level}/${number}`
    const hashes = tiles.get(name) ?? readTile(level, number)
    if (hashes === undefined) return undefined
    tiles.delete(name)
    tiles.set(name, hashes)
    if (tiles.size > cachedTiles) tiles.delete(tiles.keys().next().value as string)
    return hashes
  }
}

/** Where row `row` of a tile begins, in bytes: rows have 256, 128 ... 1 hashes. */
function rowOffset(row: number): number {
  return (512 - (512 >> row)) * 32
}

function fillRows(crypto: Crypto, hashes: Uint8Array, width: number): void {
  for (let row = 0, count = width; row < 8; row++, count >>= 1) {
    for (let i = 0; i + 1 < count; i += 2) {
      const offset = rowOffset(row) + i * 32
      const left = hashes.subarray(offset, offset + 32)
      const right = hashes.subarray(offset + 32, offset + 64)
      hashes.set(Merkle.nodeHash(crypto, left, right), rowOffset(row + 1) + i * 16)
    }
  }
}
