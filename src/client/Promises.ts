/**
 * Promises.ts - the pledges that this client was given, each with the head that it was given for: what a log owes until it has kept it.
 * Source: spec/client.md. A promise is followed from its own bytes, whether or not the call that brought it came to an answer.
 */
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import * as Head from '../protocol/Head.ts'
import * as LogEntry from '../protocol/LogEntry.ts'
import * as Pledge from '../protocol/Pledge.ts'
import * as Shape from '../protocol/Shape.ts'
import * as WatchOfNode from './WatchOfNode.ts'
import type { WatchStore } from './WatchStore.ts'

const { field, bytes } = Shape
const shape = Shape.record({
  head: field(1, bytes(Head.byteLength)),
  signature: field(2, bytes(64)),
  publicKey: field(3, bytes(64)),
  pledge: field(4, bytes(Pledge.byteLength)),
  pledgeSignature: field(5, bytes(64)),
  logKey: field(6, bytes(64)),
})
const maxBytes = 1024

/** A signed head and the pledge that came with it; keys 64 bytes. */
export type Promised = Shape.TypeOf<typeof shape>

/** Remembers a promise, if head and pledge are signed by the keys that are named; throws `WatchStore.FullError`. */
export async function keep(crypto: Crypto, store: WatchStore, promised: Promised): Promise<void> {
  if (await isWhole(crypto, promised))
    await store.put('promises', nameOf(crypto, promised), Shape.encode(shape, promised, maxBytes))
}

/** Promises for one receipt (hash in hex), or all; oldest first. */
export async function all(
  store: WatchStore,
  receiptHash = '',
): Promise<readonly { readonly name: string; readonly promised: Promised }[]> {
  const found: { name: string; promised: Promised }[] = []
  for (const name of await store.list('promises', receiptHash)) {
    const item = await store.get('promises', name)
    if (item !== undefined) found.push({ name, promised: read(item) })
  }
  return found
}

/** The receipt that a promise is for, from its name. */
export function receiptHashOf(name: string): string {
  return name.slice(0, 64)
}

/** Reads what `write` wrote. */
export function read(item: Uint8Array): Promised {
  return Shape.decode(shape, item, maxBytes)
}

/** The bytes of a promise. */
export function write(promised: Promised): Uint8Array {
  return Shape.encode(shape, promised, maxBytes)
}

function nameOf(crypto: Crypto, { head, pledge }: Promised): string {
  return `${Bytes.toHex(Head.hash(crypto, head))}-${Bytes.toHex(crypto.sha256(pledge))}`
}

/** Whether head and pledge are signed by the keys that are named. */
export async function isWhole(crypto: Crypto, promised: Promised): Promise<boolean> {
  return (await WatchOfNode.isSigned(crypto, promised)) && (await isPledged(crypto, promised))
}

/** The leaf of the entry that a head has, by offsets: a head with unknown bits has one too. */
export function leafOf(crypto: Crypto, { head }: Pick<Promised, 'head'>): Uint8Array {
  const place = Bytes.concat(head.subarray(29, 61), head.subarray(65, 73), head.subarray(105, 107))
  return LogEntry.leafHash(crypto, Bytes.concat(Uint8Array.of(1), Head.hash(crypto, head), place))
}

async function isPledged(crypto: Crypto, { pledge, pledgeSignature, logKey }: Promised): Promise<boolean> {
  try {
    Pledge.parse(pledge)
    const payload = Pledge.payload(crypto, pledge)
    await Cose.verify(crypto, { tag: 'pledge', payload, signature: pledgeSignature, publicKey: logKey })
    return true
  } catch (error) {
    if (BaseError.isInstance(error)) return false
    throw error
  }
}
