/**
 * daemon.child.ts - a whole daemon as a process of its own, for tests that kill it. Its clock and its disk can be moved
 * from outside; everything else is what runs in production.
 */
import { realpathSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { startDaemon } from '../../apps/node/src/daemon.ts'
import type { Order, Told } from './Daemon.ts'

let clockMs = 0
const realNow = Date.now
Date.now = () => realNow() + clockMs

// Every open database, so that a full disk can be played with SQLite's own limit: the error is the one of a real one.
const databases = new Set<DatabaseSync>()
const prepare = DatabaseSync.prototype.prepare
DatabaseSync.prototype.prepare = function (this: DatabaseSync, ...args: Parameters<typeof prepare>) {
  databases.add(this)
  return prepare.apply(this, args)
}

const tell = (told: Told) => void process.send?.(told)
const [home = '', models = '', chainRpcUrl = ''] = process.argv.slice(2)

function limitDisk(isFull: boolean, of: readonly string[] | undefined): void {
  for (const database of databases) {
    if (!database.isOpen) continue
    const { file } = database.prepare('PRAGMA database_list').get() as { file: string }
    if (of !== undefined && !of.some((folder) => file.startsWith(`${realpathSync(home)}/${folder}/`))) continue
    const pages = Number((database.prepare('PRAGMA page_count').get() as { page_count: number }).page_count)
    database.exec(`PRAGMA max_page_count = ${isFull ? pages : 1_073_741_823}`)
  }
}

process.on('message', (order: Order) => {
  if (order.kind === 'clock') clockMs = order.ms
  if (order.kind === 'disk') limitDisk(order.isFull, order.of)
  if (order.kind === 'memory') globalThis.gc?.()
  if (order.kind === 'stop') return void stop()
  const { rss, heapUsed, external } = process.memoryUsage()
  tell({ kind: 'done', rss, heapUsed: heapUsed + external })
})
// A test that died must leave nothing behind.
process.on('disconnect', () => process.exit(1))

let stop = async () => process.exit(0)
try {
  const daemon = await startDaemon({ home, models, port: 0, ...(chainRpcUrl === '' ? {} : { chainRpcUrl }) })
  stop = async () => {
    await daemon.stop()
    process.disconnect()
    process.exit(0)
  }
  tell({ kind: 'ready', endpoints: daemon.endpoints })
} catch (error) {
  const { name, code, message } = error as { name: string; code?: unknown; message: string }
  tell({ kind: 'failed', name, code: String(code), message })
  process.disconnect()
  process.exitCode = 1
}
