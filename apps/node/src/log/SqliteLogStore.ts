/** SqliteLogStore.ts - a log's storage in one SQLite file; about 450 bytes per entry, tree included. */
import { join } from 'node:path'
import type { StatementSync } from 'node:sqlite'
import { Bytes, type Crypto, errors } from 'assay/protocol'
import * as Database from '../store/Database.ts'
import type { Changes, Conflict, Cosignature, Entry, LogStore, NoteLine, Place, StoredCheckpoint } from './LogStore.ts'

/** Keys whose row number is kept in memory. */
const cachedKeys = 4096

// Sequence numbers use all 64 bits, so they are stored as 8 big-endian bytes, which sort as they count.
const migrations = [
  `CREATE TABLE identity (log_id BLOB NOT NULL) STRICT;
   CREATE TABLE keys (number INTEGER PRIMARY KEY, key_id BLOB NOT NULL UNIQUE, public_key BLOB NOT NULL) STRICT;
   CREATE TABLE entries (
     position INTEGER PRIMARY KEY, head BLOB NOT NULL, signature BLOB NOT NULL, key INTEGER NOT NULL,
     block INTEGER NOT NULL, block_hash BLOB NOT NULL) STRICT;
   CREATE TABLE places (
     key INTEGER NOT NULL, sequence BLOB NOT NULL, position INTEGER NOT NULL,
     PRIMARY KEY (key, sequence)) STRICT, WITHOUT ROWID;
   CREATE TABLE pledges (position INTEGER PRIMARY KEY, signature BLOB NOT NULL) STRICT;
   CREATE TABLE tiles (id INTEGER PRIMARY KEY, hashes BLOB NOT NULL) STRICT;
   CREATE TABLE conflicts (position INTEGER PRIMARY KEY, head BLOB NOT NULL, signature BLOB NOT NULL) STRICT;
   CREATE TABLE checkpoints (
     size INTEGER PRIMARY KEY, root BLOB NOT NULL, signature BLOB, lines TEXT NOT NULL,
     block INTEGER, passed INTEGER NOT NULL DEFAULT 0) STRICT;
   CREATE INDEX checkpoints_by_block ON checkpoints (block);
   CREATE TABLE cosignatures (
     size INTEGER NOT NULL, public_key BLOB NOT NULL, signature BLOB NOT NULL, lines TEXT NOT NULL,
     PRIMARY KEY (public_key, size)) STRICT, WITHOUT ROWID;
   CREATE INDEX cosignatures_by_size ON cosignatures (size);`,
]

type Row = Record<string, unknown>

/** An open store; the database is exposed for limits and for sharing its transactions. */
export type SqliteLogStore = LogStore & { readonly database: Database.Database }

/**
 * Opens or makes the store of a log in a folder.
 *
 * - `logId`: 32 bytes; a folder belongs to one log for ever
 *
 * Throws: `WrongLogError` and the errors of `Database.open`.
 */
export function open(options: {
  readonly folder: string
  readonly kind: string
  readonly logId: Uint8Array
  readonly crypto: Crypto
}): SqliteLogStore {
  const path = join(options.folder, 'log.db')
  const database = Database.open({ path, kind: options.kind, migrations })
  try {
    claim(database, options.kind, options.logId)
    return wrap(database, options.crypto)
  } catch (error) {
    database.close()
    throw error
  }
}

function claim(database: Database.Database, kind: string, logId: Uint8Array): void {
  const row = database.handle.prepare('SELECT log_id FROM identity').get() as Row | undefined
  if (row === undefined) {
    database.transaction(() => database.handle.prepare('INSERT INTO identity VALUES (?)').run(logId))
  } else if (!Bytes.equal(bytesOf(row.log_id), logId)) {
    throw new WrongLogError(kind)
  }
}

function wrap(database: Database.Database, crypto: Crypto): SqliteLogStore {
  const sql = prepareAll(database)
  const keyNumbers = new Map<string, number>()

  function keyNumber(keyId: Uint8Array): number | undefined {
    const name = Bytes.toHex(keyId)
    let number = keyNumbers.get(name)
    if (number === undefined) {
      number = (sql.keyById.get(keyId) as Row | undefined)?.number as number | undefined
      if (number !== undefined) {
        if (keyNumbers.size >= cachedKeys) keyNumbers.clear()
        keyNumbers.set(name, number)
      }
    }
    return number
  }

  /** Hashing a key for every entry would be waste, so the cache also knows keys by themselves. */
  function keyNumberOf(publicKey: Uint8Array): number {
    const name = Bytes.toHex(publicKey)
    let number = keyNumbers.get(name)
    if (number === undefined) {
      const keyId = crypto.sha256(publicKey)
      number = keyNumber(keyId) ?? Number(sql.addKey.run(keyId, publicKey).lastInsertRowid)
      keyNumbers.set(name, number)
    }
    return number
  }

  function place(row: Row | undefined): Place | undefined {
    if (row === undefined) return undefined
    return { sequence: Bytes.toBigInt(bytesOf(row.sequence)), index: BigInt(row.position as number) }
  }

  function write(changes: Changes): void {
    for (const entry of changes.entries ?? []) {
      const { index, head, signature, publicKey, issuedAtBlock, issuedAtBlockHash } = entry
      const key = keyNumberOf(publicKey)
      sql.addEntry.run(Number(index), head, signature, key, Number(issuedAtBlock), issuedAtBlockHash)
      sql.addPlace.run(key, head.subarray(65, 73), Number(index))
    }
    for (const tile of changes.tiles ?? []) sql.addTile.run(tileId(tile.level, tile.number), tile.hashes)
    for (const { index, issuedAtBlock, issuedAtBlockHash } of changes.replans ?? []) {
      sql.replan.run(Number(issuedAtBlock), issuedAtBlockHash, Number(index))
    }
    for (const { index, signature } of changes.pledges ?? []) sql.addPledge.run(Number(index), signature)
    for (const { index, head, signature } of changes.conflicts ?? []) {
      sql.addConflict.run(Number(index), head, signature)
    }
    for (const checkpoint of changes.checkpoints ?? []) writeCheckpoint(checkpoint)
  }

  function writeCheckpoint(checkpoint: StoredCheckpoint): void {
    const { size, root, signature, lines, cosignatures, anchored } = checkpoint
    const block = anchored === undefined ? null : Number(anchored.block)
    const passed = anchored?.passed === true ? 1 : 0
    sql.putCheckpoint.run(Number(size), root, signature ?? null, toJson(lines), block, passed)
    for (const cosignature of cosignatures) {
      sql.putCosignature.run(Number(size), cosignature.publicKey, cosignature.signature, toJson(cosignature.lines))
    }
  }

  function checkpoint(row: Row | undefined): StoredCheckpoint | undefined {
    if (row === undefined) return undefined
    const cosignatures = sql.cosignatures.all(row.size as number) as Row[]
    return {
      size: BigInt(row.size as number),
      root: bytesOf(row.root),
      signature: row.signature === null ? undefined : bytesOf(row.signature),
      lines: fromJson(row.lines as string),
      cosignatures: cosignatures.map(cosignatureOf),
      anchored: row.block === null ? undefined : { block: BigInt(row.block as number), passed: row.passed === 1 },
    }
  }

  const list = (rows: unknown): StoredCheckpoint[] => (rows as Row[]).map((row) => checkpoint(row) as StoredCheckpoint)

  return {
    database,
    size: () => BigInt(((sql.lastEntry.get() as Row).last as number | null) ?? -1) + 1n,
    entry: (index) => {
      const row = sql.entry.get(Number(index)) as Row | undefined
      return row === undefined ? undefined : entryOf(row)
    },
    entries: (from, to) => (sql.entries.all(Number(from), Number(to)) as Row[]).map(entryOf),
    placeOf: (keyId, sequence) => {
      const key = keyNumber(keyId)
      return key === undefined ? undefined : place(sql.place.get(key, Bytes.u64(sequence)) as Row | undefined)
    },
    highest: (keyId) => {
      const key = keyNumber(keyId)
      return key === undefined ? undefined : place(sql.highest.get(key) as Row | undefined)
    },
    pledge: (index) => {
      const row = sql.pledge.get(Number(index)) as Row | undefined
      return row === undefined ? undefined : bytesOf(row.signature)
    },
    pledgedSize: () => BigInt(((sql.lastPledge.get() as Row).last as number | null) ?? -1) + 1n,
    tile: (level, number) => {
      const row = sql.tile.get(tileId(level, number)) as Row | undefined
      return row === undefined ? undefined : bytesOf(row.hashes)
    },
    conflicts: () => (sql.conflicts.all() as Row[]).map(conflictOf),
    checkpoint: (size) => checkpoint(sql.checkpoint.get(Number(size)) as Row | undefined),
    latestCheckpoint: () => checkpoint(sql.latestCheckpoint.get() as Row | undefined),
    unanchored: () => list(sql.unanchored.all()),
    anchoredSince: (block) => list(sql.anchoredSince.all(Number(block))),
    firstAnchored: (size) => checkpoint(sql.firstAnchored.get(Number(size)) as Row | undefined),
    latestCosigned: (publicKey) => checkpoint(sql.latestCosigned.get(publicKey) as Row | undefined),
    write: (changes) => {
      try {
        database.transaction(() => write(changes))
      } catch (error) {
        // Numbers given to keys in a transaction that was undone are not theirs.
        keyNumbers.clear()
        throw error
      }
    },
    close: database.close,
  }
}

function prepareAll({ handle }: Database.Database): Record<StatementName, StatementSync> {
  const prepared = Object.entries(statements).map(([name, text]) => [name, handle.prepare(text)])
  return Object.fromEntries(prepared)
}

const entryColumns = 'position, head, signature, public_key, block, block_hash'
const checkpointColumns = 'c.size, c.root, c.signature, c.lines, c.block, c.passed'
const statements = {
  keyById: 'SELECT number FROM keys WHERE key_id = ?',
  addKey: 'INSERT INTO keys (key_id, public_key) VALUES (?, ?)',
  addEntry: 'INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)',
  addPlace: 'INSERT INTO places VALUES (?, ?, ?)',
  addTile: 'INSERT INTO tiles VALUES (?, ?)',
  addPledge: 'INSERT INTO pledges VALUES (?, ?)',
  addConflict: 'INSERT OR IGNORE INTO conflicts VALUES (?, ?, ?)',
  replan: 'UPDATE entries SET block = ?, block_hash = ? WHERE position = ?',
  lastEntry: 'SELECT max(position) AS last FROM entries',
  entry: `SELECT ${entryColumns} FROM entries JOIN keys ON number = key WHERE position = ?`,
  entries: `SELECT ${entryColumns} FROM entries JOIN keys ON number = key WHERE position >= ? AND position < ? ORDER BY position`,
  place: 'SELECT sequence, position FROM places WHERE key = ? AND sequence = ?',
  highest: 'SELECT sequence, position FROM places WHERE key = ? ORDER BY sequence DESC LIMIT 1',
  pledge: 'SELECT signature FROM pledges WHERE position = ?',
  lastPledge: 'SELECT max(position) AS last FROM pledges',
  tile: 'SELECT hashes FROM tiles WHERE id = ?',
  conflicts: 'SELECT position, head, signature FROM conflicts ORDER BY position',
  checkpoint: `SELECT ${checkpointColumns} FROM checkpoints c WHERE c.size = ?`,
  latestCheckpoint: `SELECT ${checkpointColumns} FROM checkpoints c ORDER BY c.size DESC LIMIT 1`,
  unanchored: `SELECT ${checkpointColumns} FROM checkpoints c WHERE c.block IS NULL ORDER BY c.size`,
  anchoredSince: `SELECT ${checkpointColumns} FROM checkpoints c WHERE c.block >= ? ORDER BY c.size`,
  firstAnchored: `SELECT ${checkpointColumns} FROM checkpoints c WHERE c.size >= ? AND c.block IS NOT NULL AND c.passed = 0
    ORDER BY c.size LIMIT 1`,
  latestCosigned: `SELECT ${checkpointColumns} FROM cosignatures s JOIN checkpoints c ON c.size = s.size
    WHERE s.public_key = ? ORDER BY s.size DESC LIMIT 1`,
  cosignatures: 'SELECT public_key, signature, lines FROM cosignatures WHERE size = ? ORDER BY public_key',
  putCheckpoint: `INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (size) DO UPDATE
    SET root = excluded.root, signature = excluded.signature, lines = excluded.lines, block = excluded.block,
    passed = excluded.passed`,
  putCosignature: 'INSERT OR REPLACE INTO cosignatures VALUES (?, ?, ?, ?)',
} as const
type StatementName = keyof typeof statements

function entryOf(row: Row): Entry {
  return {
    index: BigInt(row.position as number),
    head: bytesOf(row.head),
    signature: bytesOf(row.signature),
    publicKey: bytesOf(row.public_key),
    issuedAtBlock: BigInt(row.block as number),
    issuedAtBlockHash: bytesOf(row.block_hash),
  }
}

function conflictOf(row: Row): Conflict {
  return { index: BigInt(row.position as number), head: bytesOf(row.head), signature: bytesOf(row.signature) }
}

function cosignatureOf(row: Row): Cosignature {
  return {
    publicKey: bytesOf(row.public_key),
    signature: bytesOf(row.signature),
    lines: fromJson(row.lines as string),
  }
}

/** Tiles of one level lie together; a level has at most 2^48 of them. */
function tileId(level: number, number: bigint): number {
  return level * 2 ** 48 + Number(number)
}

function toJson(lines: readonly NoteLine[]): string {
  return JSON.stringify(lines.map(({ name, keyId, blob }) => [name, Bytes.toHex(keyId), Bytes.toHex(blob)]))
}

function fromJson(text: string): NoteLine[] {
  const lines = JSON.parse(text) as [string, string, string][]
  return lines.map(([name, keyId, blob]) => ({ name, keyId: Bytes.fromHex(keyId), blob: Bytes.fromHex(blob) }))
}

function bytesOf(value: unknown): Uint8Array {
  return value as Uint8Array
}

/** The folder belongs to another log. */
export class WrongLogError extends errors.UsageError<'wrong-log'> {
  override readonly name = 'WrongLogError'
  constructor(kind: string) {
    super('wrong-log', `The ${kind} folder belongs to another log.`, {
      facts: ['A wiped chain gives other log identifiers: an old folder cannot be used with a new chain.'],
    })
  }
}
