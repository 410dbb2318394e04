/**
 * WitnessBinding.ts - the log keys for which a witness's key has cosigned, in the folder of that key. Source: spec/log.md section 6.
 *
 * A cosignature names a log by its logId, which is made from a running number. A reorganisation can give the number to another
 * log key, whose tree is another one. Whoever cosigned the first must not cosign the second, whatever its mirror remembers.
 */
import { join } from 'node:path'
import { Bytes } from 'assay/protocol'
import { readFileIfThere, replaceFile } from '../settle/files.ts'

/** Logs of one key; a node has two at a time. */
const maxLogs = 4_096

/**
 * Binds a logId (32 bytes) to the public key (64 bytes) of the log that has it now, durably, before anything is cosigned for it.
 *
 * - `keyId`: of the witness, 32 bytes; a new key begins with nothing
 * - returns: false when this witness's key is bound to another key of that logId, or nobody can say to which
 */
export function bind(
  folder: string,
  keyId: Uint8Array,
  log: { readonly logId: Uint8Array; readonly publicKey: Uint8Array },
): boolean {
  const path = join(folder, 'logs.json')
  const bound = read(path, Bytes.toHex(keyId))
  if (bound === undefined) return false
  const [logId, publicKey] = [Bytes.toHex(log.logId), Bytes.toHex(log.publicKey)]
  const known = bound.get(logId)
  if (known !== undefined) return known === publicKey
  if (bound.size >= maxLogs) return false
  bound.set(logId, publicKey)
  replaceFile(path, `${JSON.stringify({ version: 1, keyId: Bytes.toHex(keyId), logs: Object.fromEntries(bound) })}\n`)
  return true
}

/** What this key is bound to; undefined for a file that cannot be read and may have named any log. */
function read(path: string, keyId: string): Map<string, string> | undefined {
  const text = readFileIfThere(path)
  if (text === undefined) return new Map()
  try {
    const file = JSON.parse(text) as { version: unknown; keyId: unknown; logs: unknown }
    if (file.version !== 1 || typeof file.keyId !== 'string') return undefined
    if (typeof file.logs !== 'object' || file.logs === null) return undefined
    return file.keyId === keyId ? new Map(Object.entries(file.logs as Record<string, string>)) : new Map()
  } catch {
    return undefined
  }
}
