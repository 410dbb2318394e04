/** SqliteReceiptStore.ts - the node's receipts in its own folder; one transaction and one sync per group of writes. */
import { join } from 'node:path'
import { errors } from 'assay/protocol'
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
]

type Row = Record<string, string | number | bigint | Uint8Array | null>

/** Opens the store in the node's folder; throws `Database`'s errors. */
export function open(options: { readonly folder: string; readonly hooks?: GroupCommit.Hooks }): ReceiptStore {
  const database = Database.open({ path: join(options.folder, 'receipts.sqlite'), kind: 'node', migrations })
  const group = GroupCommit.create({ database, ...(options.hooks === undefined ? {} : { hooks: options.hooks }) })
  const { handle } = database
  const sql = {
    openIntent: handle.prepare(
      `INSERT INTO intents (target, received_ms, order_hash, state) VALUES (?, ?, ?, 'running')`,
    ),
    closeIntent: handle.prepare(`UPDATE intents SET state = 'issued' WHERE id = ?`),
    // The call never ran, so its order may be used again.
    refuseIntent: handle.prepare(`UPDATE intents SET state = 'refused', order_hash = NULL WHERE id = ?`),
    interrupt: handle.prepare(`UPDATE intents SET state = 'interrupted' WHERE state = 'running'`),
    interrupted: handle.prepare(
      `SELECT id, target, received_ms, state FROM intents WHERE state = 'interrupted' ORDER BY id DESC LIMIT ?`,
    ),
    addHead: handle.prepare(
      'INSERT INTO heads (receipt_hash, key_id, sequence, head, claims, secret, order_hash, intent) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    ),
    addUnreleased: handle.prepare('INSERT INTO unreleased VALUES (?)'),
    headByHash: handle.prepare('SELECT id FROM heads WHERE receipt_hash = ?'),
    release: handle.prepare('INSERT OR REPLACE INTO releases VALUES (?, ?, ?, ?, ?)'),
    removeUnreleased: handle.prepare('DELETE FROM unreleased WHERE head = ?'),
    tip: handle.prepare('SELECT sequence, receipt_hash FROM heads WHERE key_id = ? ORDER BY sequence DESC LIMIT 1'),
    // CROSS JOIN keeps the order of the tables: the few that wait first, not all of a key.
    unreleased: handle.prepare(
      'SELECT receipts.* FROM unreleased CROSS JOIN receipts ON id = unreleased.head WHERE key_id = ? ORDER BY sequence',
    ),
    byHash: handle.prepare('SELECT * FROM receipts WHERE receipt_hash = ?'),
    byOrder: handle.prepare('SELECT * FROM receipts WHERE order_hash = ?'),
    hasOrder: handle.prepare('SELECT 1 FROM intents WHERE order_hash = ?'),
  }
  for (const statement of [sql.tip, sql.unreleased, sql.byHash, sql.byOrder]) statement.setReadBigInts(true)

  return {
    openIntent: (target, receivedMs, orderHash) =>
      group.write(() => {
        if (orderHash !== undefined && sql.hasOrder.get(orderHash) !== undefined) throw new OrderUsedError()
        return Number(sql.openIntent.run(target, receivedMs, orderHash ?? null).lastInsertRowid)
      }),
    refuseIntent: (id) => group.write(() => void sql.refuseIntent.run(id)),
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
        for (const { receiptHash, keyId, sequence, head, claims, secret, orderHash, intent } of receipts) {
          const added = sql.addHead.run(receiptHash, keyId, sequence, head, claims, secret, orderHash ?? null, intent)
          sql.addUnreleased.run(added.lastInsertRowid)
          sql.closeIntent.run(intent)
        }
      }),
    release: (receiptHash, { signature, pledgeWords, pledgeSignature, leafIndex }) =>
      group.write(() => {
        const id = sql.headByHash.get(receiptHash)?.id
        if (id === undefined) return
        sql.release.run(id, signature, pledgeWords, pledgeSignature, leafIndex)
        sql.removeUnreleased.run(id)
      }),
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
