/**
 * KeyBinding.ts - the logs under which a node's key signs, in the node's folder. Source: spec/log.md section 6.
 *
 * What a restored folder has forgotten, a log remembers: the places that the key has taken. When one of these logs is gone
 * (its folder was lost, it ended, the chain began anew) nobody can say what the key signed, and it signs no more. A log is
 * its logId and its key: a reorganisation can give the logId to another log, which remembers nothing.
 */
import { join } from 'node:path'
import { Bytes, errors } from 'assay/protocol'
import { readFileIfThere, replaceFile } from '../settle/files.ts'

/** Most logs of one key. */
const maxLogs = 64

/** A log that can be asked now: logId 32 bytes, publicKey 64. */
export type BoundLog = { readonly logId: Uint8Array; readonly publicKey: Uint8Array }

/**
 * Binds a key to logs, durably, before it signs for them.
 *
 * - `keyId`: 32 bytes
 *
 * Throws: `OtherLogsError` when the key was bound to a log that is not among them.
 */
export function bind(folder: string, keyId: Uint8Array, logs: readonly BoundLog[]): void {
  const path = join(folder, 'logs.json')
  const names = logs.map(({ logId, publicKey }) => `${Bytes.toHex(logId)}/${Bytes.toHex(publicKey)}`)
  const bound = read(path, Bytes.toHex(keyId))
  // Version 1 named the logId alone.
  const gone = bound.filter((one) => !names.some((name) => name === one || name.startsWith(`${one}/`)))
  if (gone.length > 0) throw new OtherLogsError(gone.length)
  if (names.every((name) => bound.includes(name))) return
  replaceFile(path, `${JSON.stringify({ version: 2, keyId: Bytes.toHex(keyId), logs: names })}\n`)
}

/** The logs of this key; none for a key that was never bound. */
function read(path: string, keyId: string): readonly string[] {
  const text = readFileIfThere(path)
  if (text === undefined) return []
  try {
    const file = JSON.parse(text) as { version: unknown; keyId: unknown; logs: unknown }
    const isList = Array.isArray(file.logs) && file.logs.length <= maxLogs
    if ((file.version === 1 || file.version === 2) && isList && typeof file.keyId === 'string') {
      return file.keyId === keyId ? (file.logs as unknown[]).map(String) : []
    }
  } catch {
    // Below: what cannot be read may have named any log.
  }
  throw new OtherLogsError(0)
}

/** The key signed under a log that cannot be asked any more: it may have taken places that its folder does not remember. */
export class OtherLogsError extends errors.VerificationError<'key-of-other-logs'> {
  override readonly name = 'KeyBinding.OtherLogsError'
  constructor(gone: number) {
    super('key-of-other-logs', "A log that remembers this key's places is gone; the key signs no more.", {
      facts: [gone === 0 ? 'The list of its logs cannot be read.' : `Logs gone: ${gone}`],
    })
  }
}
