/** Suspicions.test.ts - many files must not hide one, nor grow without bound. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as World from '../../tests/fakes/World.ts'
import { createP256Signer, crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Checkpoint from '../protocol/Checkpoint.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Head from '../protocol/Head.ts'
import * as Merkle from '../protocol/Merkle.ts'
import * as Pledge from '../protocol/Pledge.ts'
import { type FilingState, memoryFaultStore } from './Stores.ts'
import * as Suspicions from './Suspicions.ts'
import { memoryWatchStore } from './WatchStore.ts'
import { digest, filesOf, gateway } from './watching.t.ts'

const { chainId, anchorLog, logId, nodeId, registry, signers } = World
const keys = { node: signers.node.publicKey, log: signers.log.publicKey, logId }

async function twoHeads(sequence: bigint): Promise<Fault.Fault> {
  const signed = async (root: string) => {
    const head = Head.serialize({
      ...{ chainId, registry, nodeId, keyEpoch: 0, modeBits: 4, flags: 0, sequence, previous: digest('before') },
      claimsRoot: digest(root),
    })
    return { head, signature: await Cose.sign(crypto, signers.node, 'receipt', Head.payload(crypto, head)) }
  }
  const [a, b] = [await signed('a'), await signed('b')]
  const heads = { headA: a.head, signatureA: a.signature, headB: b.head, signatureB: b.signature }
  return { class: 1, evidence: { ...heads, publicKey: signers.node.publicKey } }
}

async function twoCosignatures(number: number): Promise<Fault.Fault> {
  const witness = createP256Signer(digest(`witness ${number}`))
  const state = async (root: string) => {
    const words = Checkpoint.words({ chainId, anchorLog, logId, size: 5n, root: digest(root) })
    const signature = await Cose.sign(crypto, witness, 'cosign', Checkpoint.payload(crypto, words))
    return { size: 5n, root: digest(root), signature }
  }
  const of = { chainId, anchorLog, logId, publicKey: witness.publicKey, nodeId: digest('a node'), keyEpoch: number }
  return { class: 6, evidence: { ...of, stateA: await state('a'), stateB: await state('b') } }
}

/** Late by the court's own word of now: shows nothing once the log has caught up. */
async function lateNow(issuedAtBlock: bigint): Promise<Fault.Fault> {
  const leaf = { leafHash: digest('leaf'), leafIndex: 0n, issuedAtBlock, issuedAtBlockHash: digest('block') }
  const pledge = Pledge.words({ chainId, anchorLog, logId, ...leaf })
  const signature = await Cose.sign(crypto, signers.log, 'pledge', Pledge.payload(crypto, pledge))
  const publicKey = signers.log.publicKey
  return { class: 4, evidence: { pledge, signature, publicKey, missing: false, how: 0, at: 0n } }
}

async function saved(faults: readonly Fault.Fault[]) {
  const store = memoryFaultStore()
  for (const fault of faults) {
    const file = Fault.serialize(fault)
    await store.save(Bytes.toHex(crypto.sha256(file)), file)
  }
  return store
}

function open(faults: Awaited<ReturnType<typeof saved>>) {
  return Suspicions.create({ crypto, chain: gateway.chain, store: memoryWatchStore(), faults })
}

test('files about witnesses that no receipt of mine has, and about lateness made up for, do not hide a contradiction', async () => {
  const many = await Promise.all([
    ...Array.from({ length: 70 }, (_, i) => twoCosignatures(i)),
    ...Array.from({ length: 70 }, (_, i) => lateNow(BigInt(100 * i))),
  ])
  const suspicions = open(await saved([...many, await twoHeads(7n)]))
  const { files } = await suspicions.about(keys, 64)
  assert.equal(files.length, 64)
  assert.ok(files.some((file) => Fault.parse(file).class === 1))
  assert.ok(files.every((file) => Fault.parse(file).class !== 6))
})

test('a witness whose line a receipt has is heard of', async () => {
  const fault = await twoCosignatures(1)
  const suspicions = open(await saved([fault]))
  const cosigners = [(fault.evidence as Fault.F6).publicKey]
  assert.equal((await suspicions.about({ ...keys, cosigners }, 64)).files.length, 1)
  assert.equal((await suspicions.about(keys, 64)).files.length, 0)
})

test('a chain that does not answer is asked once for all files', async () => {
  const store = await saved(await Promise.all(Array.from({ length: 20 }, (_, i) => lateNow(BigInt(100 * i)))))
  let asked = 0
  const logRecord = async () => {
    asked++
    throw new TypeError('unreachable')
  }
  const silence = { ...gateway.chain, logRecord }
  const suspicions = Suspicions.create({ crypto, chain: silence, store: memoryWatchStore(), faults: store })
  await assert.rejects(suspicions.about(keys, 64), TypeError, 'defects escape')
  asked = 0
  const { ChainSilence } = await import('../../tests/fakes/FakeChain.ts')
  const away = {
    ...silence,
    logRecord: async () => {
      asked++
      throw new ChainSilence()
    },
  }
  const other = Suspicions.create({ crypto, chain: away, store: memoryWatchStore(), faults: store })
  assert.equal((await other.about(keys, 64)).files.length, 20)
  assert.equal(asked, 1)
})

test('a node that signs two heads everywhere fills no disk', async () => {
  const faults = memoryFaultStore()
  const suspicions = open(faults)
  for (let i = 1n; i <= 20n; i++) await suspicions.add([await twoHeads(i)])
  await suspicions.judge()
  assert.equal((await filesOf(faults)).length, 16)
})

/** The state that the log signed for two leaves, against the one that the chain has for them. */
async function againstAnchored(anchored: readonly Uint8Array[], publicKey = signers.log.publicKey): Promise<Fault.F2> {
  const root = digest('signed')
  const words = Checkpoint.words({ chainId, anchorLog, logId, size: 2n, root })
  const signature = await Cose.sign(crypto, signers.log, 'checkpoint', Checkpoint.payload(crypto, words))
  const states = { stateA: { size: 2n, root, signature }, stateB: { size: 2n, root: Merkle.root(crypto, anchored) } }
  return { chainId, anchorLog, logId, publicKey, ...states }
}
const [before, after] = [
  [digest('a'), digest('b')],
  [digest('c'), digest('d')],
]
const idOf = (fault: Fault.Fault) => Bytes.toHex(crypto.sha256(Fault.serialize(fault)))

/** A file that rests on `before`, and a chain that has `after` in its place. */
async function reorganised(faults = memoryFaultStore()) {
  const [old, next] = [
    { class: 2, evidence: await againstAnchored(before) },
    { class: 2, evidence: await againstAnchored(after) },
  ] as const
  const store = memoryWatchStore()
  const suspicions = Suspicions.create({ crypto, chain: gateway.chain, store, faults })
  const find = async (fault: Fault.Fault) => {
    await suspicions.add([fault])
    return suspicions.judge()
  }
  gateway.anchored = () => before
  assert.deepEqual(await find(old), [idOf(old)])
  gateway.anchored = () => after
  const filingOf = async (fault: Fault.Fault) => (await faults.load(idOf(fault)))?.filing
  return { faults, store, suspicions, find, old, next, filingOf }
}

test('a file of which a reorganisation took the anchored state away keeps no other from being written', async () => {
  const { suspicions, find, old, next, filingOf } = await reorganised()
  assert.deepEqual(await find(next), [idOf(next)])
  const { stage, reason, isFinal } = (await filingOf(old)) as FilingState
  assert.deepEqual([stage, reason, isFinal], ['refused', 'void', false])
  // One is enough while it holds.
  const { evidence } = next
  const twice = { ...evidence, stateA: evidence.stateB, stateB: evidence.stateA }
  assert.deepEqual(await find({ class: 2, evidence: twice }), [])
  assert.equal(await filingOf(next), undefined)
  // Nor is it told that a fault is known which nothing shows any more.
  const { files, known } = await suspicions.about(keys, 1)
  assert.deepEqual(files, [Fault.serialize(next)])
  assert.deepEqual(known.anchored(logId, 2n), Merkle.root(crypto, after))
})

test('so it is with every class that rests on what a block put there', async () => {
  const publicKey = signers.log.publicKey
  const leaf = { leafHash: digest('mine'), leafIndex: 0n, issuedAtBlock: 100n, issuedAtBlockHash: digest('block') }
  const pledge = Pledge.words({ chainId, anchorLog, logId, ...leaf })
  const signature = await Cose.sign(crypto, signers.log, 'pledge', Pledge.payload(crypto, pledge))
  const promise = { pledge, signature, publicKey }
  const wrongLeaf = ([first, second]: readonly Uint8Array[]): Fault.Fault => {
    const [otherLeafHash, sibling] = [first as Uint8Array, second as Uint8Array]
    const root = Merkle.root(crypto, [otherLeafHash, sibling])
    return { class: 3, evidence: { ...promise, otherLeafHash, size: 2n, root, proof: [sibling] } }
  }
  const late = (at: bigint): Fault.Fault => ({ class: 4, evidence: { ...promise, missing: false, how: 2, at } })
  gateway.height = 1_000n
  gateway.observed.set(800n, 0n)
  for (const [old, next] of [
    [wrongLeaf(before), wrongLeaf(after)],
    [late(800n), late(900n)],
  ] as const) {
    const suspicions = open(memoryFaultStore())
    const find = async (fault: Fault.Fault) => {
      await suspicions.add([fault])
      return suspicions.judge()
    }
    gateway.anchored = () => before
    assert.deepEqual(await find(old), [idOf(old)])
    gateway.anchored = () => after
    gateway.observed.clear()
    gateway.observed.set(900n, 0n)
    assert.deepEqual(await find(next), [idOf(next)])
    gateway.observed.set(800n, 0n)
  }
})

test('one whose state comes back counts again, without a mark', async () => {
  const { find, old, next, filingOf, faults } = await reorganised()
  await find(next)
  gateway.anchored = () => before
  assert.deepEqual(await find(old), [])
  assert.equal(await filingOf(old), undefined)
  assert.equal((await faults.list()).length, 2)
})

test('one that is on record for good counts whatever the chain shows', async () => {
  const { find, old, next, faults, filingOf } = await reorganised()
  const nothing = new Uint8Array(0)
  const recorded = { stage: 'recorded', faultId: digest('fault'), salt: nothing, callData: nothing } as const
  const state = { ...recorded, reporter: new Uint8Array(20), isFinal: true }
  await faults.saveFiling(idOf(old), state)
  assert.deepEqual(await find(next), [])
  // What is not final yet is no reason to wait, and what filing wrote down stays.
  await faults.saveFiling(idOf(old), { ...state, isFinal: false })
  assert.deepEqual(await find(next), [idOf(next)])
  assert.equal((await filingOf(old))?.stage, 'recorded')
})

test('while the chain cannot be asked, the evidence waits', async () => {
  const { faults, store, old, next, filingOf } = await reorganised()
  const { ChainSilence } = await import('../../tests/fakes/FakeChain.ts')
  const silent = async () => {
    throw new ChainSilence()
  }
  const away = { ...gateway.chain, step: silent }
  const suspicions = Suspicions.create({ crypto, chain: away, store, faults })
  await suspicions.add([next])
  assert.deepEqual(await suspicions.judge(), [])
  assert.equal(await filingOf(old), undefined)
  assert.deepEqual(await Suspicions.create({ crypto, chain: gateway.chain, store, faults }).judge(), [idOf(next)])
})

test('what is void takes no place among the files against one log, up to twice as many', async () => {
  const { faults, find, next, filingOf, old } = await reorganised()
  const fill = async (from: number, to: number, filing?: FilingState) => {
    for (let i = from; i < to; i++) {
      const publicKey = Bytes.concat(digest(`${i}`), digest('y'))
      const fault = { class: 2, evidence: { ...next.evidence, publicKey } } as const
      await faults.save(idOf(fault), Fault.serialize(fault))
      if (filing !== undefined) await faults.saveFiling(idOf(fault), filing)
    }
  }
  await fill(0, 999)
  assert.deepEqual(await find(next), [idOf(next)])
  // A thousand that hold are enough, and two thousand that do not.
  const mark = (await filingOf(old)) as FilingState
  const third = [digest('e'), digest('f')]
  const last = { class: 2, evidence: await againstAnchored(third) } as const
  gateway.anchored = () => third
  await fill(999, 1998, mark)
  assert.equal((await faults.list()).length, 2000)
  assert.deepEqual(await find(last), [])
})
