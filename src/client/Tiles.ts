/**
 * Tiles.ts - reads a log's published files and believes nothing of them that does not lead to a root that the caller knows.
 * Source: C2SP tlog-tiles; spec/log.md section 5.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto, Hash } from '../protocol/Crypto.ts'
import { BaseError, UnavailableError } from '../protocol/errors.ts'
import * as LogEntry from '../protocol/LogEntry.ts'
import * as Merkle from '../protocol/Merkle.ts'
import * as TileHashes from '../protocol/TileHashes.ts'
import { besideTimeoutMs } from './Exchange.ts'
import * as HttpBody from './HttpBody.ts'
import type { Leaf } from './WatchOfLog.ts'

/** A state whose root the caller knows. */
export type State = { readonly size: bigint; readonly root: Hash }

/** Published files of one log; what was read is kept for as long as the object lives, so make one for each round. */
export type Tiles = {
  /** The leaf at an index of a state, with its proof, which holds. Throws `Tiles.WithheldError`. */
  leaf(state: State, index: bigint): Promise<Leaf>
  /** The root of the first `size` leaves of a state, shown to be a part of it. Throws `Tiles.WithheldError`. */
  rootAt(state: State, size: bigint): Promise<Hash>
  /** That one state is the beginning of another, hashes of RFC 9162; empty from size 0. Throws `Tiles.WithheldError`. */
  consistency(from: State, to: State): Promise<readonly Hash[]>
  /** The entries beside an index, by index; nothing about them is shown. Throws `Tiles.WithheldError`. */
  entries(state: State, index: bigint): Promise<ReadonlyMap<bigint, Uint8Array>>
  /** The same, every one of them shown to be the entry of its leaf in the state. Throws `Tiles.WithheldError`. */
  provenEntries(state: State, index: bigint): Promise<ReadonlyMap<bigint, Uint8Array>>
  /** The published checkpoint note. Throws `Tiles.WithheldError`. */
  checkpoint(): Promise<Uint8Array>
}

/** Bytes of a complete tile. */
const tileBytes = 256 * 32
/** Entries have 75 bytes; a bundle with longer ones is as good as none. */
const bundleBytes = 256 * (2 + 256)
/** A note with some lines. */
const checkpointBytes = 64 * 1024

/** Files at `/log/<logId>/` of a gateway, or at `folderUrl` if they lie elsewhere. */
export function create(parts: {
  readonly crypto: Crypto
  readonly fetch: typeof globalThis.fetch
  readonly baseUrl: string
  readonly logId: Uint8Array
  readonly folderUrl?: string
}): Tiles {
  const { crypto } = parts
  const known = new Map<string, Promise<Uint8Array>>()

  const read = (path: string, maxBytes: number): Promise<Uint8Array> => {
    const found = known.get(path) ?? fetchFile(path, maxBytes)
    known.set(path, found)
    return found
  }

  async function fetchFile(path: string, maxBytes: number): Promise<Uint8Array> {
    try {
      const { baseUrl, folderUrl, logId } = parts
      const url =
        folderUrl === undefined
          ? new URL(`/log/${Bytes.toHex(logId)}/${path}`, baseUrl)
          : new URL(path, folderUrl.endsWith('/') ? folderUrl : `${folderUrl}/`)
      const response = await HttpBody.reach(
        parts.fetch(url, { redirect: 'error', signal: AbortSignal.timeout(besideTimeoutMs) }),
      )
      if (response.ok) return await HttpBody.readAll(response, maxBytes)
      await HttpBody.discard(response)
    } catch (error) {
      if (!BaseError.isInstance(error)) throw error
    }
    throw new WithheldError()
  }

  /** A partial tile may have given way to the complete one. */
  async function tile(kind: number | 'entries', number: bigint, width: number, maxBytes: number): Promise<Uint8Array> {
    if (width === 256) return read(pathOf(kind, number), maxBytes)
    return read(`${pathOf(kind, number)}.p/${width}`, maxBytes).catch(() => read(pathOf(kind, number), maxBytes))
  }

  const hashes =
    (size: bigint, own?: { readonly number: bigint; readonly leaves: Uint8Array }): TileHashes.Read =>
    async (height, index) => {
      const level = Math.floor(height / 8)
      const row = BigInt(height % 8)
      const first = index << row
      const count = size >> BigInt(8 * level)
      const number = first >> 8n
      const isOwn = level === 0 && number === own?.number
      const bytes = isOwn ? own.leaves : await tile(level, number, widthOf(count, number), tileBytes)
      const offset = Number(first & 255n) * 32
      const end = offset + 32 * (1 << Number(row))
      if (bytes.length < end) throw new WithheldError()
      const nodes = Array.from({ length: 1 << Number(row) }, (_, i) =>
        bytes.slice(offset + 32 * i, offset + 32 * i + 32),
      )
      return Merkle.root(crypto, nodes)
    }

  async function entries({ size }: State, index: bigint): Promise<Map<bigint, Uint8Array>> {
    const number = index >> 8n
    const bytes = await tile('entries', number, widthOf(size, number), bundleBytes)
    return new Map(split(bytes).map((entry, i) => [(number << 8n) + BigInt(i), entry]))
  }

  return {
    async leaf({ size, root }, index) {
      const reader = hashes(size)
      const leafHash = await reader(0, index)
      const proof = await TileHashes.inclusionProof(crypto, reader, index, size)
      withheldUnless(() => Merkle.verifyInclusion(crypto, { leafHash, index, size, proof, root }))
      return { index, leafHash, proof }
    },
    async rootAt(state, size) {
      const reader = hashes(state.size)
      const root = await TileHashes.root(crypto, reader, size)
      const proof = await TileHashes.consistencyProof(crypto, reader, size, state.size)
      withheldUnless(() =>
        Merkle.verifyConsistency(crypto, { size1: size, root1: root, size2: state.size, root2: state.root, proof }),
      )
      return root
    },
    async consistency(from, to) {
      if (from.size === 0n) return []
      const proof = await TileHashes.consistencyProof(crypto, hashes(to.size), from.size, to.size)
      const [size1, size2] = [from.size, to.size]
      withheldUnless(() => Merkle.verifyConsistency(crypto, { size1, root1: from.root, size2, root2: to.root, proof }))
      return proof
    },
    entries,
    async provenEntries(state, index) {
      const { size, root } = state
      const number = index >> 8n
      const first = number << 8n
      const found = new Map([...(await entries(state, index))].filter(([at]) => at < size))
      // Whatever bytes stand in the place of an entry: only those of the state's leaf get through what follows.
      if ([...found.values()].some((entry) => entry.length !== LogEntry.byteLength)) throw new WithheldError()
      const leaves = [...found.values()].map((entry) => LogEntry.leafHash(crypto, entry))
      // The path of one leaf takes in all the others of its tile.
      const proof = await TileHashes.inclusionProof(
        crypto,
        hashes(size, { number, leaves: Bytes.concat(...leaves) }),
        ...([first, size] as const),
      )
      const leafHash = leaves[0]
      if (leafHash === undefined) throw new WithheldError()
      withheldUnless(() => Merkle.verifyInclusion(crypto, { leafHash, index: first, size, proof, root }))
      return found
    },
    checkpoint: () => read('checkpoint', checkpointBytes),
  }
}

/** How many of 256 places of a tile are used when there are `count` in all. */
function widthOf(count: bigint, number: bigint): number {
  const rest = count - (number << 8n)
  return rest >= 256n ? 256 : Number(rest < 1n ? 1n : rest)
}

/** `tile/<L>/<N>`, N in groups of three digits, all but the last with an x. */
function pathOf(kind: number | 'entries', number: bigint): string {
  const digits = number.toString().padStart(Math.ceil(number.toString().length / 3) * 3, '0')
  const groups = digits.match(/\d{3}/g) as string[]
  return `tile/${kind}/${groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/')}`
}

/** Entries, each behind its length in two bytes. */
function split(bytes: Uint8Array): Uint8Array[] {
  const entries: Uint8Array[] = []
  for (let offset = 0; offset < bytes.length; ) {
    const length = ((bytes[offset] as number) << 8) | (bytes[offset + 1] ?? 0)
    if (offset + 2 + length > bytes.length) throw new WithheldError()
    entries.push(bytes.slice(offset + 2, offset + 2 + length))
    offset += 2 + length
  }
  return entries
}

/** Files that lead elsewhere are no better than none: who changed them on the way is not known. */
function withheldUnless(check: () => void): void {
  try {
    check()
  } catch (error) {
    if (BaseError.isInstance(error)) throw new WithheldError()
    throw error
  }
}

/** The log's files are not there, or are not those of the state. */
export class WithheldError extends UnavailableError<'log-files-withheld'> {
  override readonly name = 'Tiles.WithheldError'
  constructor() {
    super('log-files-withheld', "The log's files are not there, or are not those of its anchored state.", {
      retryAfterSeconds: 2,
    })
  }
}
