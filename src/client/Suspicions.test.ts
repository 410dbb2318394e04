/** Suspicions.test.ts - many files must not hide one, nor grow without bound. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as World from '../../tests/fakes/World.ts'
import { createP256Signer, crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Checkpoint from '../protocol/Checkpoint.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Head from '../protocol/Head.ts'
import * as Merkle from '../protocol/Merkle.ts'
import * as Pledge from '../protocol/Pledge.ts'
import { embedded } from '../verify/policies.ts'
import { type FilingState, memoryFaultStore } from './Stores.ts'
import * as Suspicions from './Suspicions.ts'
import { memoryWatchStore } from './WatchStore.ts'
import { call, digest, filesOf, gateway, start } from './watching.t.ts'

const { chainId, anchorLog, logId, nodeId, registry, signers } = World
const keys = { node: signers.node.publicKey, log: signers.log.publicKey, logId }

async function twoHeads(sequence: bigint, signer = signers.node, keyEpoch = 0): Promise<Fault.Fault> {
  const signed = async (root: string) => {
    const head = Head.serialize({
      ...{ chainId, registry, nodeId, keyEpoch, modeBits: 4, flags: 0, sequence, previous: digest('before') },
      claimsRoot: digest(root),
    })
    return { head, signature: await Cose.sign(crypto, signer, 'receipt', Head.payload(crypto, head)) }
  }
  const [a, b] = [await signed('a'), await signed('b')]
  const heads = { headA: a.head, signatureA: a.signature, headB: b.head, signatureB: b.signature }
  return { class: 1, evidence: { ...heads, publicKey: signer.publicKey } }
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

/** Pledges by the block that they name: many tests need many. */
const pledges = new Map<bigint, Promise<Uint8Array>>()

/** Late by the court's own word of now: shows nothing once the log has caught up. */
async function lateNow(issuedAtBlock: bigint, shown: Partial<Fault.F4> = {}): Promise<Fault.Fault> {
  const leaf = { leafHash: digest('leaf'), leafIndex: 0n, issuedAtBlock, issuedAtBlockHash: digest('block') }
  const pledge = Pledge.words({ chainId, anchorLog, logId, ...leaf })
  const payload = Pledge.payload(crypto, pledge)
  const signing = pledges.get(issuedAtBlock) ?? Cose.sign(crypto, signers.log, 'pledge', payload)
  pledges.set(issuedAtBlock, signing)
  const signed = { pledge, signature: await signing, publicKey: signers.log.publicKey }
  return { class: 4, evidence: { ...signed, missing: false, how: 0, at: 0n, ...shown } }
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
async function againstAnchored(anchored: readonly Uint8Array[], signed = 'signed'): Promise<Fault.F2> {
  const { publicKey } = signers.log
  const root = digest(signed)
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

test('what is void takes no place among the files against one log, up to twice as many; what shows nothing takes none', async () => {
  const { faults, find, filingOf, old, next } = await reorganised()
  await find(next)
  const mark = (await filingOf(old)) as FilingState
  // Each in a window of its own, by a size that was written down.
  const at = 1_000_000n
  gateway.observed.set(at, 0n)
  const late = (window: number) => lateNow(BigInt(100 * window), { how: 2, at })
  const fill = async (from: number, to: number, filing?: FilingState) => {
    for (let i = from; i < to; i++) {
      const fault = await late(i)
      await faults.save(idOf(fault), Fault.serialize(fault))
      if (filing !== undefined) await faults.saveFiling(idOf(fault), filing)
    }
  }
  const isWritten = async (window: number) => (await find(await late(window))).length === 1
  await fill(0, 999)
  assert.ok(await isWritten(3_000))
  // A thousand that hold are enough, and two thousand that do not.
  assert.ok(!(await isWritten(3_001)))
  await faults.saveFiling(idOf(await late(3_000)), mark)
  assert.ok(await isWritten(3_001))
  await faults.saveFiling(idOf(await late(3_001)), mark)
  await fill(1_001, 1_999, mark)
  const { evidence } = await late(0)
  for (let i = 0; i < 10; i++) {
    const forged = {
      class: 4,
      evidence: { ...(evidence as Fault.F4), signature: new Uint8Array(64).fill(i + 1) },
    } as const
    await faults.save(idOf(forged), Fault.serialize(forged))
  }
  assert.equal((await faults.list()).length, 2 + 1_999 + 10)
  assert.ok(await isWritten(3_002))
  await faults.saveFiling(idOf(await late(3_002)), mark)
  assert.ok(!(await isWritten(3_003)))
})

test('lateness of a log, in however many windows, does not hide what ends it', async () => {
  gateway.height = 1_000_000n
  gateway.anchored = () => []
  gateway.stepBlock = () => 999_999n
  const late = await Promise.all(Array.from({ length: 1_001 }, (_, i) => lateNow(BigInt(100 * i))))
  const faults = await saved(late)
  const suspicions = open(faults)
  const judged = async (fault: Fault.Fault) => {
    await suspicions.add([fault])
    return suspicions.judge()
  }
  assert.deepEqual(await judged(await lateNow(500_000n)), [], 'of lateness there is enough')
  const missing = await lateNow(500_000n, { missing: true })
  assert.deepEqual(await judged(missing), [idOf(missing)])
  gateway.anchored = () => before
  const two = { class: 2, evidence: await againstAnchored(before) } as const
  assert.deepEqual(await judged(two), [idOf(two)])
})

describe('a true pair of heads makes the verdict FAULT', () => {
  const verdictOf = async ({ client }: ReturnType<typeof start>) => {
    const graded = await call(client, 'two-heads')
    await graded.meets(embedded, { waitSeconds: 5 }).catch(() => {})
    for (let i = 0; i < 3; i++) await client.raisePending()
    return (await graded.verdict(embedded)).outcome
  }

  test('whatever another key of the node did, and how often', async () => {
    const next = World.signerOf('second node key')
    const faults = await saved(
      await Promise.all(Array.from({ length: 17 }, (_, i) => twoHeads(BigInt(i + 1), next, 1))),
    )
    const parts = start({ faults })
    await call(parts.client)
    assert.equal(await verdictOf(parts), 'FAULT')
    assert.equal((await faults.list()).length, 18)
  })

  /** Two heads in the place (key epoch 0, sequence 0) under signatures that nobody made. */
  function forged(sequence: bigint): Uint8Array {
    const domain = { chainId, registry, nodeId, keyEpoch: 0, modeBits: 0, flags: 0 }
    const head = { ...domain, sequence, previous: new Uint8Array(32).fill(Number(sequence)), claimsRoot: digest('a') }
    const [headA, headB] = [Head.serialize(head), Head.serialize({ ...head, claimsRoot: digest('b') })]
    const nobody = new Uint8Array(64).fill(1)
    const signatures = { signatureA: nobody, signatureB: nobody, publicKey: signers.node.publicKey }
    return Fault.serialize({ class: 1, evidence: { headA, headB, ...signatures } })
  }

  for (const [name, count, filing] of [
    ['no file is there', 0, undefined],
    ['a file that nobody signed names the place', 1, undefined],
    ['such a file counts as done', 1, { stage: 'recorded', isFinal: true } as const],
    ['a hundred files that nobody signed name the key', 100, undefined],
  ] as const)
    test(`when ${name}`, async () => {
      const faults = memoryFaultStore()
      const empty = new Uint8Array(0)
      for (let i = 0; i < count; i++) {
        const file = forged(BigInt(i))
        const id = Bytes.toHex(crypto.sha256(file))
        await faults.save(id, file)
        const rest = { faultId: digest('id'), salt: empty, callData: empty, reporter: empty }
        if (filing !== undefined) await faults.saveFiling(id, { ...filing, ...rest })
      }
      const parts = start({ faults })
      await call(parts.client)
      assert.equal(await verdictOf(parts), 'FAULT')
      assert.equal((await faults.list()).length, count + 1)
    })

  test('when files with words that are no pledge lie there', async () => {
    const faults = memoryFaultStore()
    const evidence = {
      pledge: new Uint8Array(224).fill(255),
      signature: new Uint8Array(64),
      publicKey: new Uint8Array(64),
    }
    const file = Fault.serialize({ class: 4, evidence: { ...evidence, missing: true, how: 0, at: 0n } })
    await faults.save(Bytes.toHex(crypto.sha256(file)), file)
    const parts = start({ faults })
    await call(parts.client)
    assert.equal(await verdictOf(parts), 'FAULT')
  })
})

describe('evidence that the chain does not show now', () => {
  /** Two heads in one place by a key that is not registered. */
  const byNobody = (number: number) => twoHeads(1n, World.signerOf(`nobody ${number}`))

  test('waits apart if the key was never registered, however many there are, and is judged once it is', async () => {
    const [store, faults] = [memoryWatchStore(), memoryFaultStore()]
    const suspicions = Suspicions.create({ crypto, chain: gateway.chain, store, faults })
    const own = await twoHeads(7n)
    // The chain knows the node's key, and then shows old blocks.
    await suspicions.add([await twoHeads(6n)])
    assert.equal((await suspicions.judge()).length, 1)
    const { keyRecord } = gateway
    gateway.keyRecord = undefined
    await suspicions.add([own])
    for (let i = 0; i < 520; i++) await suspicions.add([await byNobody(i)])
    assert.deepEqual(await suspicions.judge(), [])
    assert.deepEqual(await suspicions.judgeUnplaced(), [])
    assert.equal((await store.list('suspicions')).length, 1)
    assert.equal((await store.list('unplaced')).length, 520)
    gateway.keyRecord = keyRecord
    assert.deepEqual(await suspicions.judge(), [idOf(own)])
    // One of the others is registered after all.
    const late = World.signerOf('nobody 519')
    gateway.keyRecord = { keyId: World.keyIdOf(late), role: 1, validUntilBlock: 0n }
    const made: string[] = []
    for (let i = 0; i < 33; i++) made.push(...(await suspicions.judgeUnplaced()))
    assert.equal(made.length, 1)
    const file = (await faults.load(made[0] as string))?.file ?? new Uint8Array(0)
    assert.ok(Buffer.from(file).includes(Buffer.from(late.publicKey)))
  })

  test('goes at once if it is for other contracts, or its bytes show nothing', async () => {
    const store = memoryWatchStore()
    const suspicions = Suspicions.create({ crypto, chain: gateway.chain, store, faults: memoryFaultStore() })
    const own = await twoHeads(7n)
    assert.ok(own.class === 1)
    const { signatureA } = own.evidence
    gateway.keyRecord = undefined
    const elsewhere = { ...gateway.chain, chainId: chainId + 1n }
    await suspicions.add([{ class: 1, evidence: { ...own.evidence, signatureB: signatureA } }])
    await suspicions.judge()
    assert.deepEqual([await store.list('suspicions'), await store.list('unplaced')], [[], []])
    const other = Suspicions.create({ crypto, chain: elsewhere, store, faults: memoryFaultStore() })
    await other.add([own])
    await other.judge()
    assert.deepEqual([await store.list('suspicions'), await store.list('unplaced')], [[], []])
  })

  test('waits in bounds against one accused, and until a block so new that no reorganisation brings it back', async () => {
    const store = memoryWatchStore()
    const suspicions = Suspicions.create({ crypto, chain: gateway.chain, store, faults: memoryFaultStore() })
    gateway.anchored = () => after
    gateway.height = 500n
    for (let i = 0; i < 70; i++) {
      await suspicions.add([{ class: 2, evidence: await againstAnchored(before, `signed ${i}`) }])
      await suspicions.judge()
    }
    assert.equal((await store.list('suspicions')).length, 64)
    // Old blocks, however many, end nothing.
    for (gateway.height = 100n; gateway.height < 400n; gateway.height += 100n) await suspicions.judge()
    assert.equal((await store.list('suspicions')).length, 64)
    gateway.height = 563n
    await suspicions.judge()
    assert.equal((await store.list('suspicions')).length, 64)
    gateway.anchored = () => before
    assert.equal((await suspicions.judge()).length, 1, 'shown after all')
    gateway.anchored = () => after
    const last = { class: 2, evidence: await againstAnchored(before, 'signed at last') } as const
    await suspicions.add([last])
    await suspicions.judge()
    gateway.height = 563n + 64n
    await suspicions.judge()
    assert.deepEqual(await store.list('suspicions'), [])
  })
})
