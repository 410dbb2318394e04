/**
 * Neighbours.ts - the heads that a node signed in the places of this client's receipts and beside them, for whomever: found in the log
 * by their public entries, fetched from the node by their hashes. So a client that calls once can still see two receipts in one place
 * (F1) and a wrong link (F13). Source: spec/client.md.
 *
 * Every entry of a known node that was read stays in memory, because the head that it is telling for may come later; so do the
 * place up to which a log was read, and entries whose heads were not given.
 */
import * as Bytes from '../protocol/Bytes.ts'
import { BaseError } from '../protocol/errors.ts'
import * as Head from '../protocol/Head.ts'
import { roles } from '../protocol/Identity.ts'
import * as LogEntry from '../protocol/LogEntry.ts'
import * as Evidence from './Evidence.ts'
import { besideTimeoutMs } from './Exchange.ts'
import * as HttpBody from './HttpBody.ts'
import { type Log, type Parts, unlessWithheld } from './LogRound.ts'
import * as Logs from './Logs.ts'
import * as WatchOfNode from './WatchOfNode.ts'
import type { WatchStore } from './WatchStore.ts'

/** Bundles of 256 entries read in one look at one log: 80 kB, and 1,024 entries in five seconds by default. */
const maxBundles = 4
/** Most heads fetched in one look: two neighbours of each own receipt, and some more. */
const maxFetched = 64
/** `{hash, head, signature, publicKey}` has about 600 bytes. */
const maxAnswerBytes = 4096
/** Entries before the first own one that are read too: its neighbour may have come first. */
const reach = 64n

/** Heads worth comparing; indices of entries whose heads were not given; the index whose entry the log does not show. */
export type Seen = {
  readonly heads: readonly WatchOfNode.SignedHead[]
  readonly unshown: readonly bigint[]
  readonly withheld: bigint | undefined
}

/**
 * Reads the log on, as far as one look goes, and asks for the heads of entries that are telling.
 *
 * - `own`: indices of own receipts in this log; `turn`: a number that grows, so that among very many all are asked for in the end
 */
export async function look(parts: Parts, log: Log, own: readonly bigint[], turn: number): Promise<Seen> {
  const { crypto, store } = parts
  const withheld = await readOn(parts, log, own)
  const name = Logs.nameOf(log.speaker)
  const heads: WatchOfNode.SignedHead[] = []
  const unshown: bigint[] = []
  const waiting = await store.list('unshown', `${name}/`)
  const from = waiting.length === 0 ? 0 : (turn * maxFetched) % waiting.length
  for (const one of [...waiting.slice(from), ...waiting.slice(0, from)].slice(0, maxFetched)) {
    const hash = await store.get('unshown', one)
    const fetched = hash === undefined ? undefined : await fetchHead(parts, Bytes.toHex(hash))
    const index = BigInt(one.slice(name.length + 1))
    if (fetched === undefined || !(await isOf(parts, fetched))) unshown.push(index)
    else {
      heads.push(fetched)
      await store.remove('unshown', one)
    }
  }
  return { heads, unshown, withheld }

  /** A head that nobody signed, or a key that is not the node's, shows nothing: the entry still waits for the true one. */
  async function isOf({ chain }: Parts, seen: WatchOfNode.SignedHead): Promise<boolean> {
    if (!(await WatchOfNode.isSigned(crypto, seen))) return false
    return await Evidence.isRegistered(crypto, chain, WatchOfNode.signerOf(seen.head), seen.publicKey, roles.node)
  }
}

/** Entries beside a head that came now, read before: their heads are asked for in the next look. */
export async function cameBeside({ crypto, store }: Memory, seen: WatchOfNode.SignedHead): Promise<void> {
  const nodeId = Bytes.toHex(seen.head.subarray(29, 61))
  const sequence = WatchOfNode.sequenceOf(seen.head)
  const signer = { domain: seen.head.slice(1, 65), publicKey: seen.publicKey }
  for (const at of [sequence, sequence - 1n, sequence + 1n]) {
    for (const name of (await store.list('entries', `${nodeId}/${at}/`)).slice(0, maxFetched)) {
      const receiptHash = Bytes.fromHex(name.slice(-64))
      if (await WatchOfNode.isRemembered(crypto, store, signer, { sequence: at, receiptHash })) continue
      const place = await store.get('entries', name)
      if (place !== undefined) await store.put('unshown', Bytes.toUtf8(place), receiptHash)
    }
  }
}

type Memory = Pick<Parts, 'crypto' | 'store'>

/** Reads on from where the last look ended; returns the index at which the log gives no entries, or false ones. */
async function readOn(
  parts: Parts,
  { tiles, head, speaker }: Log,
  own: readonly bigint[],
): Promise<bigint | undefined> {
  const { crypto, store } = parts
  const name = Logs.nameOf(speaker)
  const signers = await WatchOfNode.signers(store)
  let next = await cursorOf(store, name, own, head.size)
  for (let count = 0; next < head.size && count < maxBundles; count++) {
    const entries = await unlessWithheld(tiles.provenEntries(head, next))
    if (entries === undefined) return next
    const seen: [string, Uint8Array][] = []
    const telling: [string, Uint8Array][] = []
    for (const [index, bytes] of entries) {
      const entry = index < next ? undefined : read(bytes)
      if (entry === undefined) continue
      const nodeId = Bytes.toHex(entry.nodeId)
      const place = `${name}/${index}`
      for (const signer of signers.get(nodeId) ?? []) {
        if (await WatchOfNode.isTelling(crypto, store, signer, entry)) telling.push([place, entry.receiptHash])
      }
      const entryName = `${nodeId}/${entry.sequence}/${Bytes.toHex(entry.receiptHash)}`
      if (signers.has(nodeId)) seen.push([entryName, Bytes.fromUtf8(place)])
    }
    const end = ((next >> 8n) + 1n) << 8n
    next = end < head.size ? end : head.size
    await store.putAll('entries', seen)
    await store.putAll('unshown', telling)
    await moveCursor(store, name, next)
  }
  return undefined
}

/** Where reading goes on: also after a restart, and when no promise is open any more. */
async function cursorOf(store: WatchStore, name: string, own: readonly bigint[], size: bigint): Promise<bigint> {
  const kept = (await store.list('cursors', `${name}/`)).map((one) => BigInt(one.slice(name.length + 1)))
  const [last] = kept.sort((a, b) => (a < b ? 1 : -1))
  if (last !== undefined) return last
  const [first = size] = [...own].sort((a, b) => (a < b ? -1 : 1))
  return first > reach ? first - reach : 0n
}

/** The new place is there before the old one goes. */
async function moveCursor(store: WatchStore, name: string, next: bigint): Promise<void> {
  const before = await store.list('cursors', `${name}/`)
  await store.put('cursors', `${name}/${next}`, new Uint8Array(1))
  for (const one of before) if (one !== `${name}/${next}`) await store.remove('cursors', one)
}

/** What the node gives for a hash, if it is that. Whoever does not answer shows nothing. */
async function fetchHead({ crypto, fetch, baseUrl }: Parts, hash: string): Promise<WatchOfNode.SignedHead | undefined> {
  try {
    const url = new URL(`/v1/receipts/${hash}`, baseUrl)
    const asked = fetch(url, { redirect: 'error', signal: AbortSignal.timeout(besideTimeoutMs) })
    const response = await HttpBody.reach(asked)
    if (!response.ok) {
      await HttpBody.discard(response)
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
