/** MemoryLogStore.ts - a log's storage in memory, for tests: nothing survives, everything else is as with SQLite. */
import { Bytes, type Crypto } from 'assay/protocol'
import type { Changes, Conflict, Cosignature, Entry, LogStore, Place, StoredCheckpoint } from './LogStore.ts'

/** Makes an empty store. */
export function create(crypto: Crypto): LogStore {
  const entries: Entry[] = []
  const places = new Map<string, Map<bigint, bigint>>()
  const tiles = new Map<string, Uint8Array>()
  const pledges = new Map<bigint, Uint8Array>()
  const conflicts = new Map<bigint, Conflict>()
  const checkpoints = new Map<bigint, StoredCheckpoint>()

  const ascending = (): StoredCheckpoint[] => [...checkpoints.values()].sort((a, b) => (a.size < b.size ? -1 : 1))

  function placesOf(keyId: Uint8Array): Map<bigint, bigint> {
    const name = Bytes.toHex(keyId)
    const found = places.get(name) ?? new Map<bigint, bigint>()
    places.set(name, found)
    return found
  }

  /** All that can fail comes before the first change, so that a write is atomic. */
  function check(changes: Changes): void {
    const taken = new Set<string>()
    changes.entries?.forEach((entry, i) => {
      if (entry.index !== BigInt(entries.length + i))
        throw new Error('UNIQUE constraint: the index is taken or skipped.')
      const name = `${Bytes.toHex(entry.publicKey)}/${sequenceOf(entry)}`
      const isTaken = placesOf(crypto.sha256(entry.publicKey)).has(sequenceOf(entry))
      if (isTaken || taken.has(name)) throw new Error('UNIQUE constraint: the place is taken.')
      taken.add(name)
    })
    for (const { index } of changes.pledges ?? []) {
      if (pledges.has(index)) throw new Error('UNIQUE constraint: the entry has a pledge.')
    }
  }

  function write(changes: Changes): void {
    check(changes)
    for (const entry of changes.entries ?? []) {
      entries.push(entry)
      placesOf(crypto.sha256(entry.publicKey)).set(sequenceOf(entry), entry.index)
    }
    for (const { level, number, hashes } of changes.tiles ?? []) tiles.set(`${level}/${number}`, hashes.slice())
    for (const { index, ...pair } of changes.replans ?? []) {
      entries[Number(index)] = { ...(entries[Number(index)] as Entry), ...pair }
    }
    for (const { index, signature } of changes.pledges ?? []) pledges.set(index, signature)
    for (const conflict of changes.conflicts ?? []) {
      if (!conflicts.has(conflict.index)) conflicts.set(conflict.index, conflict)
    }
    for (const checkpoint of changes.checkpoints ?? []) {
      const before = checkpoints.get(checkpoint.size)?.cosignatures ?? []
      checkpoints.set(checkpoint.size, { ...checkpoint, cosignatures: merge(before, checkpoint.cosignatures) })
    }
  }

  return {
    size: () => BigInt(entries.length),
    entry: (index) => entries[Number(index)],
    entries: (from, to) => entries.slice(Number(from), Number(to)),
    placeOf: (keyId, sequence) => {
      const index = placesOf(keyId).get(sequence)
      return index === undefined ? undefined : { sequence, index }
    },
    highest: (keyId) => {
      let best: Place | undefined
      for (const [sequence, index] of placesOf(keyId)) {
        if (best === undefined || sequence > best.sequence) best = { sequence, index }
      }
      return best
    },
    pledge: (index) => pledges.get(index),
    pledgedSize: () => [...pledges.keys()].reduce((last, index) => (index >= last ? index + 1n : last), 0n),
    tile: (level, number) => tiles.get(`${level}/${number}`),
    conflicts: () => [...conflicts.values()].sort((a, b) => (a.index < b.index ? -1 : 1)),
    checkpoint: (size) => checkpoints.get(size),
    latestCheckpoint: () => ascending().at(-1),
    unanchored: () => ascending().filter(({ anchored }) => anchored === undefined),
    anchoredSince: (block) => ascending().filter(({ anchored }) => anchored !== undefined && anchored.block >= block),
    firstAnchored: (size) => ascending().find((one) => one.size >= size && one.anchored?.passed === false),
    latestCosigned: (publicKey) =>
      ascending().findLast(({ cosignatures }) => cosignatures.some((one) => Bytes.equal(one.publicKey, publicKey))),
    write,
    close: () => {},
  }
}

function sequenceOf(entry: Entry): bigint {
  return Bytes.toBigInt(entry.head.subarray(65, 73))
}

function merge(before: readonly Cosignature[], after: readonly Cosignature[]): Cosignature[] {
  const all = new Map([...before, ...after].map((one) => [Bytes.toHex(one.publicKey), one]))
  return [...all.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one)
}
