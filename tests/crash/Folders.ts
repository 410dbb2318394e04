/** Folders.ts - what stands in the folders of a daemon that is not running, read from copies so that nothing is repaired on the way. */
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Bytes } from 'assay/protocol'

type Row = Record<string, string | number | bigint | Uint8Array | null>

/** What one log and its witness hold. */
export type HeldLog = {
  /** Heads of the log in hex, by index. */
  readonly log: readonly string[]
  /** Heads at the mirror in hex, by index. */
  readonly mirror: readonly string[]
  /** Indices with a signed pledge. */
  readonly pledged: ReadonlySet<number>
  readonly conflicts: number
  /** Signed checkpoints: roots in hex by size. */
  readonly checkpoints: ReadonlyMap<number, string>
  /** What the witness cosigned last. */
  readonly cosigned: { readonly size: number; readonly root: string } | undefined
  readonly stopped: string | undefined
}

/** The first log's content, and beside it that of all logs and of the node. */
export type Held = HeldLog & {
  /** In order of the node's preference, the first included. */
  readonly logs: readonly HeldLog[]
  /** Heads of any log, each once. */
  readonly heads: ReadonlySet<string>
  /** Receipts of the node: by key, in order of their sequence. */
  readonly receipts: readonly HeldReceipt[]
  /** State of the intent of an order, by order hash in hex. */
  readonly intents: ReadonlyMap<string, string>
  readonly intentStates: ReadonlyMap<string, number>
}

export type HeldReceipt = {
  readonly hash: string
  readonly keyId: string
  readonly sequence: bigint
  readonly head: Uint8Array
  readonly isReleased: boolean
  readonly orderHash: string | undefined
}

const hex = (value: unknown) => Bytes.toHex(value as Uint8Array)

/** Reads the folders of the node, the logs and the witness. */
export function read(home: string): Held {
  const folder = mkdtempSync(join(tmpdir(), 'assay-copy-'))
  const all = (path: string, sql: string): Row[] => {
    if (!existsSync(join(home, path))) return []
    const copy = copyOf(folder, home, path)
    const database = new DatabaseSync(copy)
    try {
      const statement = database.prepare(sql)
      statement.setReadBigInts(true)
      return statement.all() as Row[]
    } catch (error) {
      // A kill can come before the first migration.
      if (/no such table/.test((error as Error).message)) return []
      throw error
    } finally {
      database.close()
    }
  }
  const readLog = (logFolder: string, witnessFolder: string): HeldLog => {
    const log = `${logFolder}/log.db`
    const heads = 'SELECT head FROM entries ORDER BY position'
    const cosigned = all(`${witnessFolder}/witness.db`, 'SELECT size, root FROM cosigned')[0]
    return {
      log: all(log, heads).map((row) => hex(row.head)),
      mirror: all(`${witnessFolder}/mirror/log.db`, heads).map((row) => hex(row.head)),
      pledged: new Set(all(log, 'SELECT position FROM pledges').map((row) => Number(row.position))),
      conflicts: all(log, 'SELECT position FROM conflicts').length,
      checkpoints: new Map(
        all(log, 'SELECT size, root FROM checkpoints').map((row) => [Number(row.size), hex(row.root)]),
      ),
      cosigned: cosigned === undefined ? undefined : { size: Number(cosigned.size), root: hex(cosigned.root) },
      stopped: all(`${witnessFolder}/witness.db`, 'SELECT reason FROM stopped')[0]?.reason as string | undefined,
    }
  }
  const node = 'node/receipts.sqlite'
  try {
    const intents = all(node, 'SELECT order_hash, state FROM intents')
    const [first, second] = [readLog('log', 'witness'), readLog('log2', 'witness2')]
    return {
      ...first,
      logs: [first, second],
      heads: new Set([...first.log, ...second.log]),
      receipts: all(node, 'SELECT * FROM receipts ORDER BY key_id, sequence').map((row) => ({
        hash: hex(row.receipt_hash),
        keyId: hex(row.key_id),
        sequence: row.sequence as bigint,
        head: row.head as Uint8Array,
        isReleased: row.signature !== null,
        orderHash: row.order_hash === null ? undefined : hex(row.order_hash),
      })),
      intents: new Map(
        intents.filter((row) => row.order_hash !== null).map((row) => [hex(row.order_hash), String(row.state)]),
      ),
      intentStates: countBy(intents.map((row) => String(row.state))),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function copyOf(folder: string, home: string, path: string): string {
  const target = join(folder, dirname(path))
  const [name] = path.split('/').slice(-1)
  for (const file of readdirSync(join(home, dirname(path))))
    if (file.startsWith(name as string)) cpSync(join(home, dirname(path), file), join(target, file))
  return join(folder, path)
}

function countBy(texts: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1)
  return counts
}
