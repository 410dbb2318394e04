/**
 * Cheats.ts - parties that CHEAT ON PURPOSE, for the demonstration of faults (`assay demo fraud`) and its test. Each takes the
 * daemon's real parts and replaces the one step that cheats; everything else, keys and chain included, is real.
 *
 * Nothing here can be configured into a daemon: `daemon.ts` and what it imports know nothing of this folder, which a test
 * asserts, and there is no option, file or variable that names a cheat outside of the demonstration.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { crypto } from 'assay/crypto/node'
import { Bytes, Cose, Head, LogEntry, Pledge, Wire } from 'assay/protocol'
import { NotAnchoredError } from '../log/Log.ts'
import type { LogStore } from '../log/LogStore.ts'
import * as MemoryLogStore from '../log/MemoryLogStore.ts'
import * as Issuer from '../receipts/Issuer.ts'
import type { ReceiptStore, StoredReceipt } from '../receipts/ReceiptStore.ts'
import { createMirror } from '../witness/StoredMirror.ts'
import { forkedProof } from './ForkedLog.ts'
import { type Inside, pledgeTimeoutMs, type Tampering } from './Party.ts'

/** F1: the second call gets the place of the first, from a copy of the node that knows of no earlier receipt; the log looks away. */
export function twoHeads(): Tampering {
  const second = new Map<string, StoredReceipt>()
  return {
    log: () => ({
      store: lookingAway(MemoryLogStore.create(crypto)),
      mirror: createMirror({ crypto, store: lookingAway(MemoryLogStore.create(crypto)) }),
    }),
    issuer: (inside, real) =>
      alternating(real, () =>
        Issuer.create({
          ...{ crypto, identity: real.identity, signer: inside.nodeSigner, store: forgetful(inside.store, second) },
          logs: [{ name: 'log', port: { append: inside.log.append, highest: () => undefined } }],
          pledgeTimeoutMs,
        }),
      ),
    served: (inside, served) => ({ ...served, store: forgetful(inside.store, second) }),
  }
}

/** F13: the second receipt follows the first in number, and names another receipt as the one before it. */
export function wrongLink(): Tampering {
  return {
    issuer: (inside, real) =>
      alternating(real, () =>
        Issuer.create({
          ...{ crypto, identity: real.identity, signer: inside.nodeSigner },
          store: {
            ...inside.store,
            tip: (keyId) => {
              const tip = inside.store.tip(keyId)
              return tip === undefined ? undefined : { ...tip, receiptHash: crypto.sha256(tip.receiptHash) }
            },
          },
          logs: [{ name: 'log', port: inside.log }],
          pledgeTimeoutMs,
        }),
      ),
  }
}

/** F3: the log pledges an index to the call's leaf and puts another leaf there. */
export function wrongLeaf(): Tampering {
  return {
    logPort: (inside) => ({
      highest: inside.log.highest,
      append: async (request) => {
        const { index, pledge } = await inside.log.append(await decoy(inside, request.head))
        const leafHash = LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, request.head))
        const words = Pledge.words({ ...Pledge.parse(pledge.words), leafHash })
        const signature = await Cose.sign(crypto, inside.logSigner, 'pledge', Pledge.payload(crypto, words))
        return { index, pledge: { words, signature } }
      },
    }),
  }
}

/** F5: the log makes an entry that names the call's head and says something else of it, pledges and anchors that. */
export function falseEntry(): Tampering {
  const lies: Lie[] = []
  const lying = hashingAs(lies)
  return {
    log: () => ({
      crypto: lying,
      mirror: createMirror({ crypto: lying, store: MemoryLogStore.create(lying) }),
    }),
    logPort: ({ log }) => ({
      highest: log.highest,
      append: (request) => {
        const { sequence, ...rest } = Head.parse(request.head)
        const previous = crypto.sha256(request.head)
        const told = Head.serialize({ ...rest, sequence: sequence + 1_000_000n, previous })
        lies.push({ told, head: request.head })
        return log.append({ ...request, head: told })
      },
    }),
  }
}

/** F17: the log anchors the call's entry and shows it to nobody. */
export function withheldEntry(): Tampering {
  return {
    served: (inside, served) => ({
      ...served,
      logs: served.logs.map((log) => ({
        ...log,
        // No file is published there.
        files: join(inside.stage.home, 'nothing'),
        proof: async ({ index, size }) => {
          throw new NotAnchoredError(index, size)
        },
      })),
    }),
  }
}

/** F18: the node keeps what its receipt commits to, and opens it for nobody. */
export function withheldOpening(): Tampering {
  return {
    issuer: async (_, real) => ({
      ...real,
      // Longer than the header may be, so that claims do not come along with the answer.
      issue: async (call) => ({ ...(await real.issue(call)), claims: new Uint8Array(2 * Wire.maxInlineClaims) }),
    }),
    served: (_, served) => ({ ...served, store: { ...served.store, byHash: () => undefined } }),
  }
}

/** F2: the log shows the first call a history that it never anchored. */
export function twoHistories(): Tampering {
  return forking((inside) => ({ log: inside.logSigner }))
}

/** F6: the log forks, and its witness cosigns both histories. */
export function twoCosignatures(): Tampering {
  return forking((inside) => ({ log: inside.logSigner, witness: inside.witnessSigner }))
}

function forking(signersOf: (inside: Inside) => Parameters<typeof forkedProof>[2]): Tampering {
  return {
    served: (inside, served) => ({
      ...served,
      logs: served.logs.map((log) => ({
        ...log,
        proof: (request) =>
          request.index === 0n ? forkedProof(inside.log, request.index, signersOf(inside)) : log.proof(request),
      })),
    }),
  }
}

/** The real issuer for the first call, another one from then on. */
async function alternating(real: Issuer.Issuer, open: () => Promise<Issuer.Issuer>): Promise<Issuer.Issuer> {
  let other: Promise<Issuer.Issuer> | undefined
  let calls = 0
  return {
    ...real,
    async issue(call) {
      if (calls++ === 0) return real.issue(call)
      other ??= open()
      return (await other).issue(call)
    },
  }
}

/** The node's store in a copy that remembers nothing of the receipts before; what it writes stays in memory. */
function forgetful(store: ReceiptStore, second: Map<string, StoredReceipt>): ReceiptStore {
  const name = Bytes.toHex
  return {
    ...store,
    tip: () => undefined,
    unreleased: () => [],
    addHeads: async (receipts) => {
      for (const receipt of receipts) second.set(name(receipt.receiptHash), receipt)
    },
    release: async (receiptHash, released) => {
      const receipt = second.get(name(receiptHash))
      if (receipt !== undefined) second.set(name(receiptHash), { ...receipt, released })
      return released
    },
    byHash: (receiptHash) => second.get(name(receiptHash)) ?? store.byHash(receiptHash),
  }
}

/** A log's storage that does not see when a place is taken: a second head for it is kept as if another key had signed it. */
function lookingAway(store: LogStore): LogStore {
  const publicKeys = new Map<bigint, Uint8Array>()
  const taken = new Set<string>()
  const restore = <T extends { readonly index: bigint; readonly publicKey: Uint8Array }>(entry: T): T => {
    const publicKey = publicKeys.get(entry.index)
    return publicKey === undefined ? entry : { ...entry, publicKey }
  }
  return {
    ...store,
    placeOf: () => undefined,
    entry: (index) => {
      const entry = store.entry(index)
      return entry === undefined ? undefined : restore(entry)
    },
    entries: (from, to) => store.entries(from, to).map(restore),
    write: (changes) => {
      const entries = changes.entries?.map((entry) => {
        const place = `${Bytes.toHex(entry.publicKey)}/${Head.parse(entry.head).sequence}`
        if (!taken.has(place)) {
          taken.add(place)
          return entry
        }
        publicKeys.set(entry.index, entry.publicKey)
        return { ...entry, publicKey: new Uint8Array(randomBytes(64)) }
      })
      store.write({ ...changes, ...(entries === undefined ? {} : { entries }) })
    },
  }
}

/** Bytes that are hashed as if they were those of a head. */
type Lie = { readonly told: Uint8Array; readonly head: Uint8Array }

/** Hashes what a log is told as the head that it should be, so that its entry names that head. */
function hashingAs(lies: readonly Lie[]): typeof crypto {
  return {
    ...crypto,
    sha256(bytes) {
      const prefix = bytes.length - Head.byteLength
      const lie =
        prefix === 0 || prefix === 1 ? lies.find(({ told }) => Bytes.equal(told, bytes.subarray(prefix))) : undefined
      return crypto.sha256(lie === undefined ? bytes : Bytes.concat(bytes.subarray(0, prefix), lie.head))
    },
  }
}

/** A head that the node never gave to anybody, far above its sequence, to stand where the call's own leaf should. */
async function decoy({ nodeSigner }: Inside, head: Uint8Array) {
  const parsed = Head.parse(head)
  const other = Head.serialize({
    ...parsed,
    sequence: parsed.sequence + 1_000_000n,
    previous: crypto.sha256(head),
    claimsRoot: crypto.sha256(parsed.claimsRoot),
  })
  const signature = await Cose.sign(crypto, nodeSigner, 'receipt', Head.payload(crypto, other))
  return { head: other, signature, publicKey: nodeSigner.publicKey }
}
