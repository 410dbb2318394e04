/**
 * Neighbours.ts - the heads that a node signed in the places of this client's receipts and beside them, for whomever: found in the log
 * by their public entries, fetched from the node by their hashes. So a client that calls once can still see two receipts in one place
 * (F1) and a wrong link (F13). Source: spec/client.md.
 */
import * as Bytes from '../protocol/Bytes.ts'
import { BaseError } from '../protocol/errors.ts'
import * as Head from '../protocol/Head.ts'
import * as LogEntry from '../protocol/LogEntry.ts'
import { besideTimeoutMs } from './Exchange.ts'
import * as HttpBody from './HttpBody.ts'
import { type Log, type Parts, unlessWithheld } from './LogRound.ts'
import * as WatchOfNode from './WatchOfNode.ts'

/** Bundles of 256 entries read in one look at one log: 80 kB, and 1,024 entries in five seconds by default. */
const maxBundles = 4
/** Most heads fetched in one look: two neighbours of each own receipt, and some more. */
const maxFetched = 64
/** `{hash, head, signature, publicKey}` has about 600 bytes. */
const maxAnswerBytes = 4096

/** An entry whose head is worth looking at and was not given; hash of the receipt in hex. */
export type Unshown = { readonly index: bigint; readonly hash: string }

/** Heads worth comparing, entries whose heads were not given, and the index up to which the log was read. */
export type Seen = {
  readonly heads: readonly WatchOfNode.SignedHead[]
  readonly unshown: readonly Unshown[]
  readonly next: bigint
}

/** Looks through the log from an index on, as far as one look goes; what the log or the node does not give ends or narrows it. */
export async function look(
  parts: Parts,
  { tiles, head }: Log,
  from: bigint,
  before: readonly Unshown[],
): Promise<Seen> {
  const { crypto, store } = parts
  const signers = await WatchOfNode.signers(store)
  const heads: WatchOfNode.SignedHead[] = []
  const asked = new Set<string>()
  const unshown: Unshown[] = []
  let next = from
  const ask = async (one: Unshown) => {
    if (asked.has(one.hash)) return
    asked.add(one.hash)
    const fetched = await fetchHead(parts, one.hash)
    if (fetched === undefined) unshown.push(one)
    else heads.push(fetched)
  }
  for (const one of before.slice(0, maxFetched / 2)) await ask(one)
  for (let count = 0; next < head.size && count < maxBundles; count++) {
    const entries = await unlessWithheld(tiles.entries(head, next))
    if (entries === undefined) break
    for (const [index, bytes] of entries) {
      if (index < next || index >= head.size) continue
      const entry = read(bytes)
      for (const signer of (entry && signers.get(Bytes.toHex(entry.nodeId))) ?? []) {
        if (entry === undefined || !(await WatchOfNode.isTelling(crypto, store, signer, entry))) continue
        const hash = Bytes.toHex(entry.receiptHash)
        // What does not fit into this look is read again in the next.
        if (asked.size >= maxFetched) return { heads, unshown, next: index }
        await ask({ index, hash })
      }
    }
    const end = ((next >> 8n) + 1n) << 8n
    next = end < head.size ? end : head.size
  }
  return { heads, unshown, next }
}

/** What the node gives for a hash, if it is that. Whoever does not answer shows nothing. */
async function fetchHead({ crypto, fetch, baseUrl }: Parts, hash: string): Promise<WatchOfNode.SignedHead | undefined> {
  try {
    const url = new URL(`/v1/receipts/${hash}`, baseUrl)
    const asked = fetch(url, { redirect: 'error', signal: AbortSignal.timeout(besideTimeoutMs) })
    const response = await HttpBody.reach(asked)
    if (!response.ok) {
      await response.body?.cancel()
      return undefined
    }
    const data = JSON.parse(await HttpBody.readText(response, maxAnswerBytes)) as Readonly<
      Record<string, unknown>
    > | null
    const of = (name: string) => Bytes.fromBase64url(String(data?.[name]))
    const [head, signature, publicKey] = [of('head'), of('signature'), of('publicKey')]
    if (head.length !== Head.byteLength || signature.length !== 64 || publicKey.length !== 64) return undefined
    return Bytes.toHex(Head.hash(crypto, head)) === hash ? { head, signature, publicKey } : undefined
  } catch (error) {
    if (BaseError.isInstance(error) || error instanceof SyntaxError) return undefined
    throw error
  }
}

function read(bytes: Uint8Array): LogEntry.LogEntry | undefined {
  try {
    return LogEntry.parse(bytes)
  } catch (error) {
    if (BaseError.isInstance(error)) return undefined
    throw error
  }
}
