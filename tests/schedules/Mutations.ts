/** Mutations.ts - signers from which one discipline is taken away each: what the prosecutor has to find. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { crypto } from 'assay/crypto/node'
import { Merkle } from 'assay/protocol'
import * as Intake from '../../apps/node/src/log/Intake.ts'
import type { Changes, LogStore } from '../../apps/node/src/log/LogStore.ts'
import * as MemoryLogStore from '../../apps/node/src/log/MemoryLogStore.ts'
import type { Mutation } from './Parts.ts'
import * as Schedule from './Schedule.ts'

/** Longer than any call of a schedule takes, shorter than a start after it. */
const laterMs = 20

/** Nobody asks the node what its logs have pledged: it would notice what other disciplines are there for, too. */
const forgottenPledges = (): Mutation => ({ isPledgeForgotten: true })

/** A head is signed and handed to a log before it is on the node's disk. */
const headsLater = (): Mutation => ({
  receiptStore: (store) => {
    const onTheWay = new Map<string, Promise<unknown>>()
    const name = (hash: Uint8Array) => Buffer.from(hash).toString('hex')
    return {
      ...store,
      addHeads: async (receipts) => {
        const written = sleep(laterMs, undefined, { ref: false }).then(() => store.addHeads(receipts))
        written.catch(() => {})
        for (const { receiptHash } of receipts) onTheWay.set(name(receiptHash), written)
      },
      release: async (receiptHash, released) => {
        await onTheWay.get(name(receiptHash))
        return store.release(receiptHash, released)
      },
    }
  },
})

/** A pledge leaves before the mirror holds its entry. */
const mirrorLater = (): Mutation => ({
  ...forgottenPledges(),
  mirror: (mirror) => {
    let last: Promise<unknown> = Promise.resolve()
    return {
      ...mirror,
      append: async (entries) => {
        last = last.then(() => sleep(laterMs, undefined, { ref: false })).then(() => mirror.append(entries))
        last.catch(() => {})
      },
    }
  },
})

/** What the log remembers of the key is not asked. */
const deafNode = (): Mutation => ({ logPort: (port) => ({ ...port, highest: () => undefined }) })

/** Pledges and checkpoints are signed over entries that the log's disk does not hold. */
const logInMemory = (): Mutation => ({
  ...forgottenPledges(),
  logStore: (store) => {
    const memory = MemoryLogStore.create(crypto)
    const changes: Changes = { entries: store.entries(0n, store.size()) }
    memory.write(changes)
    return { ...memory, close: store.close }
  },
})

/** A start compares nothing with the mirror and the contract. */
const noComparison = (): Mutation => {
  let store: LogStore | undefined
  const root = (size: bigint) =>
    Merkle.root(
      crypto,
      (store as LogStore).entries(0n, size).map(({ head }) => Intake.leafHash(crypto, head)),
    )
  return {
    ...forgottenPledges(),
    logStore: (real) => {
      store = real
      return real
    },
    mirror: (mirror) => ({
      ...mirror,
      announce: async () => {},
      size: async () => (store as LogStore).size(),
      root: async (size) => root(size),
      append: (entries) => mirror.append(entries).catch(() => {}),
    }),
    startView: (view) => {
      let isFirst = true
      return {
        ...view,
        logHead: async (logId) => {
          const head = await view.logHead(logId)
          if (!isFirst || head === undefined) return head
          isFirst = false
          return { size: 0n, root: Merkle.emptyRoot(crypto) }
        },
      }
    },
  }
}

/** A node's key goes on under a new log although the one that remembers its places is gone. */
const unboundKey = (): Mutation => ({ beforeStart: (home) => rmSync(join(home, 'node', 'logs.json'), { force: true }) })

/** Each with the classes of which one has to be found. */
export const all: readonly {
  readonly name: string
  readonly make: () => Mutation
  readonly classes: readonly number[]
  /** Another kind of schedule than the usual one. */
  readonly change?: typeof Schedule.withRestoreOfBoth
  /** Where the search begins; by default at 1. */
  readonly seed?: number
}[] = [
  { name: 'a head is signed before it is written', make: headsLater, classes: [1, 13] },
  { name: 'a pledge leaves before the mirror holds its entry', make: mirrorLater, classes: [2, 3] },
  { name: "the log's highest head is not asked for", make: deafNode, classes: [1, 13] },
  { name: 'pledges and checkpoints over entries that no disk holds', make: logInMemory, classes: [2, 3] },
  { name: 'a start compares nothing', make: noComparison, classes: [2, 3] },
  {
    // A key that is replaced seldom lives long enough to meet another log.
    ...{ name: 'a key goes on under another log', make: unboundKey, classes: [1, 13], seed: 240 },
    change: (_, seed) => Schedule.withoutNewKeys(seed),
  },
  {
    ...{ name: 'log and mirror are put back, and the node is not asked', make: forgottenPledges, classes: [2, 3] },
    change: Schedule.withRestoreOfBoth,
  },
]
