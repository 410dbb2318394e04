/** WitnessStore.ts - what a witness must never forget: the checkpoint it cosigned last, and what it refused. */
import { join } from 'node:path'
import { Checkpoint } from 'assay/protocol'
import * as Database from '../store/Database.ts'

/** Most refused pairs kept: one convicts, and anybody who holds signed checkpoints can send them. */
const maxEvidence = 1000

const migrations = [
  `CREATE TABLE cosigned (
     log_id BLOB PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, statement BLOB NOT NULL,
     signature BLOB NOT NULL) STRICT;
   CREATE TABLE stopped (reason TEXT NOT NULL) STRICT;
   CREATE TABLE evidence (
     number INTEGER PRIMARY KEY, first_statement BLOB NOT NULL, first_signature BLOB NOT NULL,
     second_statement BLOB NOT NULL UNIQUE, second_signature BLOB NOT NULL) STRICT;`,
]

/** A checkpoint statement of 160 bytes with the log's signature of 64. */
export type Signed = { readonly statement: Uint8Array; readonly signature: Uint8Array }

/** The checkpoint that was cosigned last. */
export type Cosigned = Signed & { readonly size: bigint; readonly root: Uint8Array }

/** Two statements of the log, of which the witness refused the second. */
export type Evidence = { readonly first: Signed; readonly second: Signed }

/** A witness's memory. Everything that is written is durable when the call returns. */
export type WitnessStore = {
  readonly last: () => Cosigned | undefined
  readonly advance: (cosigned: Cosigned) => void
  readonly stop: (reason: string) => void
  readonly stopped: () => string | undefined
  readonly keep: (evidence: Evidence) => void
  readonly evidence: () => Evidence[]
  readonly close: () => void
}

type Row = Record<string, unknown>

/** Opens or makes the store in a folder; throws the errors of `Database.open`. */
export function open(folder: string): WitnessStore {
  const database = Database.open({ path: join(folder, 'witness.db'), kind: 'witness', migrations })
  const { handle, transaction } = database
  const last = handle.prepare('SELECT * FROM cosigned')
  const advance = handle.prepare('INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?, ?, ?)')
  const stopped = handle.prepare('SELECT reason FROM stopped LIMIT 1')
  const stop = handle.prepare('INSERT INTO stopped VALUES (?)')
  const count = handle.prepare('SELECT count(*) AS count FROM evidence')
  const keep = handle.prepare('INSERT OR IGNORE INTO evidence VALUES (NULL, ?, ?, ?, ?)')
  const evidence = handle.prepare('SELECT * FROM evidence ORDER BY number')

  const stoppedReason = () => (stopped.get() as Row | undefined)?.reason as string | undefined
  return {
    last: () => {
      const row = last.get() as Row | undefined
      if (row === undefined) return undefined
      return {
        size: BigInt(row.size as number),
        root: row.root as Uint8Array,
        statement: row.statement as Uint8Array,
        signature: row.signature as Uint8Array,
      }
    },
    advance: ({ size, root, statement, signature }) => {
      const { logId } = Checkpoint.parse(statement)
      transaction(() => advance.run(logId, Number(size), root, statement, signature))
    },
    stop: (reason) => {
      if (stoppedReason() === undefined) transaction(() => stop.run(reason))
    },
    stopped: stoppedReason,
    keep: ({ first, second }) => {
      if (((count.get() as Row).count as number) >= maxEvidence) return
      transaction(() => keep.run(first.statement, first.signature, second.statement, second.signature))
    },
    evidence: () =>
      (evidence.all() as Row[]).map((row) => ({
        first: { statement: row.first_statement as Uint8Array, signature: row.first_signature as Uint8Array },
        second: { statement: row.second_statement as Uint8Array, signature: row.second_signature as Uint8Array },
      })),
    close: database.close,
  }
}
