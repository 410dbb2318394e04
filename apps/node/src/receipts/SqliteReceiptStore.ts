/** SqliteReceiptStore.ts - the node's receipts in its own folder; one transaction and one sync per group of writes. */
import { join } from 'node:path'
import { Bytes, errors } from 'assay/protocol'
import * as Database from '../store/Database.ts'
import * as GroupCommit from '../store/GroupCommit.ts'
import type { Intent, IntentState, ReceiptStore, StoredReceipt } from './ReceiptStore.ts'

const migrations = [
  `CREATE TABLE intents (
     id INTEGER PRIMARY KEY,
     target TEXT NOT NULL,
     received_ms INTEGER NOT NULL,
     order_hash BLOB,
     state TEXT NOT NULL
   ) STRICT;
   CREATE INDEX intents_by_state ON intents (state) WHERE state IN ('running', 'interrupted');
   CREATE UNIQUE INDEX intents_by_order ON intents (order_hash) WHERE order_hash IS NOT NULL;
   -- Rows are as large as a third of a page: they stay in the order in which they came and are never written twice.
   CREATE TABLE heads (
     id INTEGER PRIMARY KEY,
     receipt_hash BLOB NOT NULL,
     key_id BLOB NOT NULL,
     sequence INTEGER NOT NULL,
     head BLOB NOT NULL,
     claims BLOB NOT NULL,
     secret BLOB NOT NULL,
     order_hash BLOB,
     intent INTEGER NOT NULL
   ) STRICT;
   CREATE UNIQUE INDEX heads_by_hash ON heads (receipt_hash);
   CREATE UNIQUE INDEX heads_by_place ON heads (key_id, sequence);
   CREATE INDEX heads_by_order ON heads (order_hash) WHERE order_hash IS NOT NULL;
   CREATE TABLE releases (
     head INTEGER PRIMARY KEY,
     signature BLOB NOT NULL,
     pledge_words BLOB NOT NULL,
     pledge_signature BLOB NOT NULL,
     leaf_index INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE unreleased (head INTEGER PRIMARY KEY) STRICT;
   CREATE VIEW receipts AS
     SELECT id, receipt_hash, key_id, sequence, heads.head, claims, secret, order_hash, intent,
       signature, pledge_words, pledge_signature, leaf_index
     FROM heads LEFT JOIN releases ON releases.head = id;`,
  // Before there was a column for it, calls without an order had zeros; of others the opening is not known any more.
  `ALTER TABLE heads ADD COLUMN nonce BLOB;
   UPDATE heads SET nonce = zeroblob(16);
   CREATE INDEX heads_opened ON heads (id) WHERE nonce IS NOT NULL;
   DROP VIEW receipts;
   CREATE VIEW receipts AS
     SELECT id, receipt_hash, key_id, sequence, heads.head, claims, secret, nonce, order_hash, intent,
       signature, pledge_words, pledge_signature, leaf_index
     FROM heads LEFT JOIN releases ON releases.head = id;`,
  // A head may stand in two logs; the receipt carries the first pledge, and the other one binds its log all the same.
  `CREATE TABLE other_pledges (
     head INTEGER NOT NULL,
     pledge_words BLOB NOT NULL,
     pledge_signature BLOB NOT NULL,
     PRIMARY KEY (head, pledge_words)
   ) STRICT;
   CREATE INDEX intents_refused ON intents (id) WHERE state = 'refused';`,
  // One row a log: whether an older copy of the log's folder was put back is asked at every start, and must not take a look at all receipts.
  // In a pledge logId stands at byte 64, the index at 152.
  `CREATE TABLE highest_pledges (
     log_id BLOB PRIMARY KEY, leaf_index BLOB NOT NULL, words BLOB NOT NULL, signature BLOB NOT NULL
   ) STRICT, WITHOUT ROWID;
   INSERT INTO highest_pledges
     SELECT substr(pledge_words, 65, 32), max(substr(pledge_words, 153, 8)), pledge_words, pledge_signature
     FROM (SELECT pledge_words, pledge_signature FROM releases UNION ALL
           SELECT pledge_words, pledge_signature FROM other_pledges)
     GROUP BY substr(pledge_words, 65, 32);`,
]

/** Refused calls left no trace anywhere else: the last ones are kept for whoever looks for a reason, the others are not. */
export const maxRefused = 1_000
/** How many may come above it before they are looked at again. */
const refusedSlack = 256

type Row = Record<string, string | number | bigint | Uint8Array | null>

/** Opens the store in the node's folder; throws `Database`'s errors. */
export function open(options: { readonly folder: string; readonly hooks?: GroupCommit.Hooks }): ReceiptStore {
  const database = Database.open({ path: join(options.folder, 'receipts.sqlite'), kind: 'node', migrations })
  const group = GroupCommit.create({ database, ...(options.hooks === undefined ? {} : { hooks: options.hooks }) })
  const { handle } = database
  // What is forgotten is overwritten, not only unlinked.
  handle.exec('PRAGMA secure_delete = ON')
  const sql = {
    openIntent: handle.prepare(
      `INSERT INTO intents (target, received_ms, order_hash, state) VALUES (?, ?, ?, 'running')`,
    ),
    closeIntent: handle.prepare(`UPDATE intents SET state = 'issued' WHERE id = ?`),
    // The call never ran, so its order may be used again.
    refuseIntent: handle.prepare(`UPDATE intents SET state = 'refused', order_hash = NULL WHERE id = ?`),
    pruneRefused: handle.prepare(
      `DELETE FROM intents WHERE state = 'refused' AND id <= (
         SELECT id FROM intents WHERE state = 'refused' ORDER BY id DESC LIMIT 1 OFFSET ${maxRefused})`,
    ),
    countRefused: handle.prepare(`SELECT count(*) AS count FROM intents WHERE state = 'refused'`),
    interrupt: handle.prepare(`UPDATE intents SET state = 'interrupted' WHERE state = 'running'`),
    interrupted: handle.prepare(
      `SELECT id, target, received_ms, state FROM intents WHERE state = 'interrupted' ORDER BY id DESC LIMIT ?`,
    ),
    addHead: handle.prepare(
      'INSERT INTO heads (receipt_hash, key_id, sequence, head, claims, secret, nonce, order_hash, intent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
    ),
    addUnreleased: handle.prepare('INSERT INTO unreleased VALUES (?)'),
    release: handle.prepare('INSERT INTO releases VALUES (?, ?, ?, ?, ?)'),
    addOther: handle.prepare('INSERT OR IGNORE INTO other_pledges VALUES (?, ?, ?)'),
    raiseHighest: handle.prepare(
      `INSERT INTO highest_pledges VALUES (?, ?, ?, ?) ON CONFLICT (log_id) DO
         UPDATE SET leaf_index = excluded.leaf_index, words = excluded.words, signature = excluded.signature
         WHERE excluded.leaf_index > highest_pledges.leaf_index`,
    ),
    highest: handle.prepare('SELECT words, signature FROM highest_pledges WHERE log_id = ?'),
    others: handle.prepare(
      'SELECT pledge_words, pledge_signature FROM other_pledges JOIN heads ON heads.id = other_pledges.head WHERE receipt_hash = ?',
    ),
    removeUnreleased: handle.prepare('DELETE FROM unreleased WHERE head = ?'),
    tip: handle.prepare('SELECT sequence, receipt_hash FROM heads WHERE key_id = ? ORDER BY sequence DESC LIMIT 1'),
    // CROSS JOIN keeps the order of the tables: the few that wait first, not all of a key.
    unreleased: handle.prepare(
      'SELECT receipts.* FROM unreleased CROSS JOIN receipts ON id = unreleased.head WHERE key_id = ? ORDER BY sequence',
    ),
    byHash: handle.prepare('SELECT * FROM receipts WHERE receipt_hash = ?'),
    byOrder: handle.prepare('SELECT * FROM receipts WHERE order_hash = ?'),
    hasOrder: handle.prepare('SELECT 1 FROM intents WHERE order_hash = ?'),
    opened: handle.prepare('SELECT * FROM receipts WHERE nonce IS NOT NULL AND id > ? ORDER BY id LIMIT ?'),
    forget: handle.prepare(`UPDATE heads SET claims = x'', secret = x'', nonce = NULL WHERE id = ?`),
  }
  let refused = 0
  for (const statement of [sql.tip, sql.unreleased, sql.byHash, sql.byOrder, sql.opened]) statement.setReadBigInts(true)

  return {
    openIntent: (target, receivedMs, orderHash) =>
      group.write(() => {
        if (orderHash !== undefined && sql.hasOrder.get(orderHash) !== undefined) throw new OrderUsedError()
        return Number(sql.openIntent.run(target, receivedMs, orderHash ?? null).lastInsertRowid)
      }),
    refuseIntent: (id) =>
      group.write(() => {
        sql.refuseIntent.run(id)
        if (++refused % refusedSlack === 1) sql.pruneRefused.run()
      }),
    refusedCount: () => Number(sql.countRefused.get()?.count),
    interruptRunning: () => group.write(() => Number(sql.interrupt.run().changes)),
    interrupted: (limit) =>
      sql.interrupted.all(limit).map(
        (row): Intent => ({
          id: Number(row.id),
          target: String(row.target),
          receivedMs: Number(row.received_ms),
          state: String(row.state) as IntentState,
        }),
      ),
    addHeads: (receipts) =>
      group.write(() => {
        for (const { receiptHash, keyId, sequence, head, claims, secret, nonce, orderHash, intent } of receipts) {
          const opening = [claims, secret, nonce ?? null] as const
          const added = sql.addHead.run(receiptHash, keyId, sequence, head, ...opening, orderHash ?? null, intent)
          sql.addUnreleased.run(added.lastInsertRowid)
          sql.closeIntent.run(intent)
        }
      }),
    release: (receiptHash, released) =>
      group.write(() => {
        const { signature, pledgeWords, pledgeSignature, leafIndex } = released
        const row = sql.byHash.get(receiptHash)
        if (row === undefined) return released
        // Before anything else is known of it: a log that ever promised this is not to be believed with less.
        // By offset (logId, the low 8 bytes of leafIndex, leafHash): what a log gives is kept before it is understood.
        sql.raiseHighest.run(pledgeWords.slice(64, 96), pledgeWords.slice(152, 160), pledgeWords, pledgeSignature)
        const kept = toReceipt(row as Row).released
        if (kept === undefined) {
          sql.release.run(row.id as bigint, signature, pledgeWords, pledgeSignature, leafIndex)
          sql.removeUnreleased.run(row.id as bigint)
          return released
        }
        if (!Bytes.equal(kept.pledgeWords, pledgeWords))
          sql.addOther.run(row.id as bigint, pledgeWords, pledgeSignature)
        return kept
      }),
    otherPledges: (receiptHash) =>
      sql.others.all(receiptHash).map((row) => ({
        pledgeWords: row.pledge_words as Uint8Array,
        pledgeSignature: row.pledge_signature as Uint8Array,
      })),
    highestPledge: (logId) => {
      const row = sql.highest.get(logId)
      return row === undefined ? undefined : { words: row.words as Uint8Array, signature: row.signature as Uint8Array }
    },
    tip: (keyId) => {
      const row = sql.tip.get(keyId)
      return row === undefined
        ? undefined
        : { sequence: BigInt(row.sequence as bigint), receiptHash: row.receipt_hash as Uint8Array }
    },
    unreleased: (keyId) => sql.unreleased.all(keyId).map((row) => toReceipt(row as Row)),
    byHash: (receiptHash) => {
      const row = sql.byHash.get(receiptHash)
      return row === undefined ? undefined : toReceipt(row as Row)
    },
    byOrder: (orderHash) => {
      const row = sql.byOrder.get(orderHash)
      return row === undefined ? undefined : toReceipt(row as Row)
    },
    hasOrder: (orderHash) => sql.hasOrder.get(orderHash) !== undefined,
    opened: (after, limit) =>
      sql.opened.all(after, limit).map((row) => ({ row: Number(row.id), receipt: toReceipt(row as Row) })),
    forgetOpenings: (rows) =>
      group.write(() => {
        for (const row of rows) sql.forget.run(row)
      }),
    close: async () => {
      await group.close()
      database.close()
    },
  }
}

function toReceipt(row: Row): StoredReceipt {
  const { signature, pledge_words, pledge_signature, leaf_index } = row
  const released =
    signature === null
      ? undefined
      : {
          signature: signature as Uint8Array,
          pledgeWords: pledge_words as Uint8Array,
          pledgeSignature: pledge_signature as Uint8Array,
          leafIndex: BigInt(leaf_index as bigint),
        }
  return {
    keyId: row.key_id as Uint8Array,
    sequence: BigInt(row.sequence as bigint),
    receiptHash: row.receipt_hash as Uint8Array,
    head: row.head as Uint8Array,
    claims: row.claims as Uint8Array,
    secret: row.secret as Uint8Array,
    nonce: row.nonce === null ? undefined : (row.nonce as Uint8Array),
    orderHash: row.order_hash === null ? undefined : (row.order_hash as Uint8Array),
    intent: Number(row.intent),
    released,
  }
}

/** An order is good for one call; this one was taken before. */
export class OrderUsedError extends errors.UsageError<'order-used'> {
  override readonly name = 'OrderUsedError'
  constructor() {
    super('order-used', 'This order was used for another call.')
  }
}
