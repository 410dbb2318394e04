import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { crypto } from 'assay/crypto/node'
import { Bytes, Checkpoint, Cose, Fault, Head, Merkle, P256, Pledge } from 'assay/protocol'
import * as Database from '../store/Database.ts'
import { PlaceTakenError } from './Appending.ts'
import { TooManyUnanchoredError } from './Checkpoints.ts'
import type { Step } from './Hooks.ts'
import * as Intake from './Intake.ts'
import type { Mirror } from './Mirror.ts'
import * as SqliteLogStore from './SqliteLogStore.ts'
import * as scene from './scene.ts'

const codeOf = (code: string) => ({ code })

async function begin(t: TestContext, options: Parameters<typeof scene.openBoth>[2] = {}) {
  const folder = scene.temporaryFolder(t)
  const chain = scene.createChain()
  const both = await scene.openBoth(folder, chain, options)
  return { folder, chain, ...both }
}

const appendMany = async (log: { append: (request: Intake.Request) => Promise<unknown> }, from: number, to: number) =>
  Promise.all(Array.from({ length: to - from }, async (_, i) => log.append(await scene.request(BigInt(from + i)))))

describe('append', () => {
  test('gives the next index and a pledge over it', async (t) => {
    const { log, witness, chain, close } = await begin(t)
    const request = await scene.request(0n)
    const { index, leafHash, pledge } = await log.append(request)
    assert.equal(index, 0n)
    assert.deepEqual(leafHash, Intake.leafHash(crypto, request.head))
    const { chainId, anchorLog, logId } = scene.identity
    assert.deepEqual(Pledge.parse(pledge.words), {
      ...{ chainId, anchorLog, logId, leafHash, leafIndex: 0n },
      ...{ issuedAtBlock: chain.block, issuedAtBlockHash: scene.blockHash(chain.block) },
    })
    const payload = Pledge.payload(crypto, pledge.words)
    await Cose.verify(crypto, { tag: 'pledge', payload, signature: pledge.signature, publicKey: log.publicKey })
    assert.equal((await log.append(await scene.request(1n))).index, 1n)
    assert.deepEqual(await witness.mirror.read(0n, 9n), [log.entry(0n), log.entry(1n)])
    const keyId = Cose.keyId(crypto, scene.signers.node.publicKey)
    const second = await scene.request(1n)
    assert.deepEqual(log.highest(keyId), { sequence: 1n, index: 1n, receiptHash: Head.hash(crypto, second.head) })
    await close()
  })

  test('the same head again gets the same answer: at once, later, re-signed, after a restart, after the key ended', async (t) => {
    const { folder, log, chain, close } = await begin(t)
    const [first, twin] = await Promise.all([scene.request(0n), scene.request(0n)])
    assert.notDeepEqual(first.signature, twin.signature)
    const [answer, atOnce] = await Promise.all([log.append(first), log.append(twin)])
    assert.deepEqual(atOnce, answer)
    chain.block += 10n
    assert.deepEqual(await log.append(first), answer)
    assert.deepEqual(log.find(first), answer)
    assert.equal(log.size(), 1n)
    await close()
    const again = await scene.openBoth(folder, chain)
    chain.record = undefined
    assert.deepEqual(await again.log.append(twin), answer)
    await again.close()
  })

  test('each step comes after the one before: own disk, mirror, signature, own disk', async (t) => {
    const steps: string[] = []
    const folder = scene.temporaryFolder(t)
    const chain = scene.createChain()
    const witness = await scene.openWitness(folder, chain)
    const mirror: Mirror = {
      ...witness.mirror,
      append: async (entries) => {
        steps.push('mirror asked')
        await witness.mirror.append(entries)
      },
    }
    const signer: Cose.Signer = {
      publicKey: scene.signers.log.publicKey,
      sign: (message) => {
        steps.push('signer asked')
        return scene.signers.log.sign(message)
      },
    }
    const hooks = { reached: (step: Step) => steps.push(step) }
    const log = await scene.openLog(folder, chain, { mirror, signer, hooks })
    await log.append(await scene.request(0n))
    steps.push('answered')
    assert.deepEqual(steps, [
      'entries-written',
      'mirror asked',
      'entries-mirrored',
      'signer asked',
      'pledges-signed',
      'pledges-written',
      'answered',
    ])
    await log.close()
    await witness.close()
  })

  test('without the mirror nobody gets a pledge; the index stays', async (t) => {
    const folder = scene.temporaryFolder(t)
    const chain = scene.createChain()
    const witness = await scene.openWitness(folder, chain)
    let isDown = false
    const guard = <T>(work: () => Promise<T>) => (isDown ? Promise.reject(new Error('ECONNRESET')) : work())
    const mirror: Mirror = {
      ...witness.mirror,
      size: () => guard(witness.mirror.size),
      append: (entries) => guard(() => witness.mirror.append(entries)),
    }
    const log = await scene.openLog(folder, chain, { mirror })
    await log.append(await scene.request(0n))
    isDown = true
    const request = await scene.request(1n)
    await assert.rejects(log.append(request), codeOf('unreachable'))
    await assert.rejects(log.append(request), codeOf('unreachable'))
    assert.equal(log.find(request), undefined)
    assert.equal(log.size(), 2n)
    // What the mirror held before can be anchored while it is away.
    assert.equal(log.mirroredSize(), 1n)
    assert.equal((await log.signCheckpoint(1n)).size, 1n)
    isDown = false
    chain.block += 17n
    const { index, pledge } = await log.append(request)
    assert.equal(index, 1n)
    assert.equal(Pledge.parse(pledge.words).issuedAtBlock, chain.block, 'a plan of 17 blocks ago is too old to count')
    assert.deepEqual(await log.append(request), { index, leafHash: Intake.leafHash(crypto, request.head), pledge })
    assert.equal(await witness.mirror.size(), 2n)
    await log.close()
    await witness.close()
  })

  test('a chain without news for a minute, or a clock that jumped, stops pledges', async (t) => {
    let nowMs = 1_000_000_000
    const { log, chain, close } = await begin(t, { now: () => nowMs })
    const request = await scene.request(0n)
    for (const seenAtMs of [nowMs - 60_001, nowMs + 60_001]) {
      chain.seenAtMs = seenAtMs
      await assert.rejects(log.append(request), codeOf('chain-stale'))
    }
    assert.equal(log.size(), 0n)
    chain.seenAtMs = nowMs - 60_000
    await log.append(request)
    nowMs += 1
    assert.equal((await log.append(request)).index, 0n, 'a pledge that was signed is still told')
    await assert.rejects(log.append(await scene.request(1n)), codeOf('chain-stale'))
    await close()
  })

  test('a full disk refuses with a typed error, keeps nothing, and passes', async (t) => {
    const folder = scene.temporaryFolder(t)
    const { logId } = scene.identity
    const store = SqliteLogStore.open({ folder: join(folder, 'log'), kind: 'log', logId, crypto })
    const chain = scene.createChain()
    const { log, witness, close } = await scene.openBoth(folder, chain, { store })
    await appendMany(log, 0, 10)
    store.database.handle.exec('PRAGMA max_page_count = 1')
    const pages = store.database.handle.prepare('PRAGMA page_count').get()?.page_count
    store.database.handle.exec(`PRAGMA max_page_count = ${pages}`)
    const results = await Promise.allSettled(
      Array.from({ length: 300 }, async (_, i) => log.append(await scene.request(BigInt(10 + i)))),
    )
    const refused = results.filter((result) => result.status === 'rejected')
    assert.ok(refused.length > 0)
    for (const { reason } of refused) assert.ok(reason instanceof Database.DiskFullError)
    const before = log.size()
    assert.equal(await witness.mirror.size(), before)
    store.database.handle.exec('PRAGMA max_page_count = 1000000')
    await appendMany(log, 10, 310)
    assert.equal(log.size(), 310n)
    const leafHashes = Array.from({ length: 310 }, (_, i) => Intake.leafHash(crypto, log.entry(BigInt(i))!.head))
    assert.deepEqual(await log.root(310n), Merkle.root(crypto, leafHashes))
    await close()
  })

  test('a second log on the folder is refused', async (t) => {
    const { folder, chain, witness, log, close } = await begin(t)
    await assert.rejects(scene.openLog(folder, chain, { mirror: witness.mirror }), Database.FolderInUseError)
    await assert.rejects(scene.openWitness(folder, chain), Database.FolderInUseError)
    await log.append(await scene.request(0n))
    await close()
    await assert.rejects(log.append(await scene.request(1n)), codeOf('closed'))
  })
})

describe('intake: each check alone can refuse', () => {
  const flips: Record<string, [string, (chain: scene.Chain) => Promise<Intake.Request>]> = {
    'head length': ['head-length', async () => ({ ...(await scene.request(0n)), head: new Uint8Array(138) })],
    'head version': ['head-version', () => flipped(0, 2)],
    'mode bits': ['head-mode-bits', () => flipped(105, 8)],
    flags: ['head-flags', () => flipped(106, 2)],
    'previous without sequence': ['head-previous', () => flipped(73, 1)],
    chainId: ['wrong-chain', () => scene.request(0n, { change: { chainId: 1n } })],
    registry: ['wrong-chain', () => scene.request(0n, { change: { registry: new Uint8Array(20).fill(9) } })],
    'unknown epoch': [
      'key-not-registered',
      (chain) => {
        chain.record = undefined
        return scene.request(0n)
      },
    ],
    role: ['key-not-registered', (chain) => changed(chain, { role: 3 })],
    'another key': ['key-not-registered', () => scene.request(0n, { signer: scene.signers.otherNode })],
    'not yet valid': ['key-not-registered', (chain) => changed(chain, { validFromBlock: 101n })],
    ended: ['key-not-registered', (chain) => changed(chain, { validUntilBlock: 100n })],
    signature: [
      'signature-mismatch',
      async () => ({ ...(await scene.request(0n)), signature: (await scene.request(1n)).signature }),
    ],
    'high S': [
      'signature-high-s',
      async () => {
        const request = await scene.request(0n)
        const s = P256.order - Bytes.toBigInt(request.signature.subarray(32))
        return { ...request, signature: Bytes.concat(request.signature.subarray(0, 32), Bytes.u256(s)) }
      },
    ],
    'signature length': ['wrong-length', async () => ({ ...(await scene.request(0n)), signature: new Uint8Array(63) })],
  }
  async function flipped(offset: number, value: number): Promise<Intake.Request> {
    const request = await scene.request(0n)
    const head = Uint8Array.from(request.head)
    head[offset] = value
    return { ...request, head }
  }
  function changed(chain: scene.Chain, change: object): Promise<Intake.Request> {
    chain.record = { ...chain.record!, ...change }
    return scene.request(0n)
  }
  for (const [name, [code, request]] of Object.entries(flips)) {
    test(name, async (t) => {
      const { log, chain, close } = await begin(t)
      await assert.rejects(log.append(await request(chain)), codeOf(code))
      assert.equal(log.size(), 0n)
      assert.deepEqual(log.conflicts(), [])
      await close()
    })
  }

  test('a key is valid from its first block up to but without its last', async (t) => {
    const { log, chain, close } = await begin(t)
    chain.record = { ...chain.record!, validFromBlock: 100n, validUntilBlock: 101n }
    await log.append(await scene.request(0n))
    await close()
  })

  test('an unreachable chain refuses, and is asked again', async (t) => {
    const { log, chain, close } = await begin(t)
    chain.isReachable = false
    await assert.rejects(log.append(await scene.request(0n)), codeOf('unreachable'))
    chain.isReachable = true
    await log.append(await scene.request(0n))
    await close()
  })
})

describe('two heads in one place', () => {
  test('the second is refused and both are kept as evidence that convicts', async (t) => {
    const { folder, log, chain, close } = await begin(t)
    const first = await scene.request(3n)
    const second = await scene.request(3n, { salt: 1 })
    await log.append(first)
    await assert.rejects(log.append(second), PlaceTakenError)
    await assert.rejects(log.append(await scene.request(3n, { salt: 2 })), PlaceTakenError)
    await close()
    const again = await scene.openBoth(folder, chain)
    const [evidence, ...more] = again.log.conflicts()
    assert.equal(more.length, 0, 'one conflict of a place is enough')
    assert.deepEqual(evidence?.second, { head: second.head, signature: second.signature })
    await Fault.judgeF1(crypto, {
      headA: evidence!.first.head,
      signatureA: evidence!.first.signature,
      headB: evidence!.second.head,
      signatureB: evidence!.second.signature,
      publicKey: evidence!.publicKey,
    })
    await again.close()
  })

  test('also when both arrive in one group; one of them gets the place', async (t) => {
    const { log, close } = await begin(t)
    const requests = [await scene.request(0n), await scene.request(0n, { salt: 1 })]
    const results = await Promise.allSettled(requests.map(log.append))
    assert.deepEqual(results.map((result) => result.status).sort(), ['fulfilled', 'rejected'])
    assert.equal(log.size(), 1n)
    assert.equal(log.conflicts().length, 1)
    await close()
  })

  test('a second head that the key did not sign is no evidence', async (t) => {
    const { log, close } = await begin(t)
    const first = await scene.request(0n)
    await log.append(first)
    const forged = { ...(await scene.request(0n, { salt: 1 })), signature: first.signature }
    await assert.rejects(log.append(forged), codeOf('signature-mismatch'))
    assert.deepEqual(log.conflicts(), [])
    await close()
  })
})

describe('checkpoints and proofs', () => {
  test('at most eight are signed and not anchored; anchoring one passes the smaller ones', async (t) => {
    const { log, close } = await begin(t)
    await appendMany(log, 0, 12)
    for (let size = 1n; size <= 8n; size++) await log.signCheckpoint(size)
    await assert.rejects(log.signCheckpoint(9n), TooManyUnanchoredError)
    assert.deepEqual(await log.signCheckpoint(8n), log.unanchored().at(-1), 'the same size again is no new one')
    log.markAnchored(3n, 101n)
    assert.deepEqual(
      log.unanchored().map((one) => one.size),
      [4n, 5n, 6n, 7n, 8n],
    )
    await log.signCheckpoint(9n)
    log.markReorganised(101n)
    assert.equal(log.unanchored().length, 9)
    await assert.rejects(log.signCheckpoint(10n), TooManyUnanchoredError)
    await close()
  })

  test('no size is signed above what the mirror holds, nor below the last', async (t) => {
    const { log, close } = await begin(t)
    await appendMany(log, 0, 3)
    await assert.rejects(log.signCheckpoint(4n), codeOf('checkpoint-size'))
    await log.signCheckpoint(3n)
    await assert.rejects(log.signCheckpoint(2n), codeOf('checkpoint-size'))
    await close()
  })

  test('proofs lead from leaves to anchored roots and from roots to roots', async (t) => {
    const { log, witness, close } = await begin(t)
    await appendMany(log, 0, 300)
    await assert.rejects(log.proof({ index: 3n }), codeOf('not-anchored'))
    const { root } = await log.signCheckpoint(260n)
    const { chainId, anchorLog, logId } = scene.identity
    const statement = { chainId, anchorLog, logId, size: 260n, root }
    const signature = log.unanchored()[0]!.signature
    await log.addCosignature(260n, await witness.cosign({ statement, logSignature: signature, proof: [] }))
    await log.signCheckpoint(300n)
    log.markAnchored(260n, 101n)
    log.markAnchored(300n, 101n)
    const leafHash = Intake.leafHash(crypto, log.entry(7n)!.head)
    const first = await log.proof({ index: 7n })
    assert.equal(first.size, 260n)
    assert.deepEqual(first.cosignatures[0]?.publicKey, witness.publicKey)
    for (const proof of [first, await log.proof({ index: 7n, size: 300n })]) {
      Merkle.verifyInclusion(crypto, { leafHash, index: 7n, ...proof })
      const payload = Checkpoint.payload(crypto, Checkpoint.words({ ...statement, size: proof.size, root: proof.root }))
      await Cose.verify(crypto, { tag: 'checkpoint', payload, signature: proof.signature, publicKey: log.publicKey })
    }
    const root2 = await log.root(300n)
    const proof = await log.consistency(260n, 300n)
    Merkle.verifyConsistency(crypto, { size1: 260n, root1: root, size2: 300n, root2, proof })
    await assert.rejects(log.proof({ index: 270n, size: 260n }), codeOf('not-anchored'))
    await close()
  })

  test('what was persisted and not signed is signed at the next start', async (t) => {
    const steps = new Set<Step>()
    const reached = (step: Step) => {
      if (step === 'checkpoint-planned' && !steps.has(step)) {
        steps.add(step)
        throw new Error('power cut')
      }
    }
    const { folder, log, chain, close } = await begin(t, { hooks: { reached } })
    await appendMany(log, 0, 3)
    await assert.rejects(log.signCheckpoint(2n), /power cut/)
    assert.deepEqual(log.unanchored(), [])
    await close()
    const again = await scene.openBoth(folder, chain)
    assert.equal(again.log.unanchored()[0]?.size, 2n)
    await again.close()
  })
})
