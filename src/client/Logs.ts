/** Logs.ts - the logs whose statements this client has seen, so that they are compared with what they anchor also when no promise is open. */
import * as Bytes from '../protocol/Bytes.ts'
import type { Named } from './LogRound.ts'
import type { WatchStore } from './WatchStore.ts'

/** Remembers a log; its fields have fixed lengths: 8, 20, 32 and 64 bytes. */
export async function keep(store: WatchStore, log: Named): Promise<void> {
  await store.put('logs', nameOf(log), write(log))
}

/** All remembered logs, oldest first. */
export async function all(store: WatchStore): Promise<readonly Named[]> {
  const found: Named[] = []
  for (const name of await store.list('logs')) {
    const item = await store.get('logs', name)
    if (item !== undefined) found.push(read(item))
  }
  return found
}

/** The name of a log: everything that a statement of it depends on. */
export function nameOf(log: Named): string {
  return Bytes.toHex(write(log)).slice(0, 120) + Bytes.toHex(log.publicKey.subarray(0, 16))
}

function write({ chainId, anchorLog, logId, publicKey }: Named): Uint8Array {
  return Bytes.concat(Bytes.u64(chainId), anchorLog, logId, publicKey)
}

function read(item: Uint8Array): Named {
  const reader = new Bytes.Reader(item)
  const log = {
    chainId: reader.u64(),
    anchorLog: reader.bytes(20),
    logId: reader.bytes(32),
    publicKey: reader.bytes(64),
  }
  reader.end()
  return log
}
