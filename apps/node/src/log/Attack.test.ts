/**
 * Attack.test.ts - what others try in order to make an honest log or witness sign something false: blocks that are gone,
 * a mirror that invents blocks, another log's statements, a stranger who asks first.
 */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { crypto } from 'assay/crypto/node'
import { Checkpoint, Cose, Merkle, Pledge } from 'assay/protocol'
import type { Mirror } from './Mirror.ts'
import * as scene from './scene.ts'

for (const later of [0n, 3n]) {
  test(`a pledge that was planned on a block that is gone names a block that is there, ${later} blocks later`, async (t) => {
    const folder = scene.temporaryFolder(t)
    const chain = scene.createChain()
    const crashing = { reached: (step: string) => assert.notEqual(step, 'pledges-signed') }
    const first = await scene.openBoth(folder, chain, { hooks: crashing })
    const request = await scene.request(0n)
    await assert.rejects(first.log.append(request))
    await first.close()

    // The chain goes on from an earlier block, and other blocks have these numbers now.
    const other = (number: bigint) => crypto.sha256(new TextEncoder().encode(`other block ${number}`))
    chain.block += later
    const newest = () => ({ number: chain.block, hash: other(chain.block), seenAtMs: Date.now() })
    Object.assign(chain, { newest })
    const { log, close } = await scene.openBoth(folder, chain)
    const answer = await log.append(request)
    const { issuedAtBlock, issuedAtBlockHash } = Pledge.parse(answer.pledge.words)
    assert.deepEqual(issuedAtBlockHash, other(issuedAtBlock))
    chain.block += 1n
    assert.deepEqual(await log.append(request), answer)
    await close()
  })
}

test('the blocks of entries that came from the mirror are not believed', async (t) => {
  const folder = scene.temporaryFolder(t)
  const chain = scene.createChain()
  const first = await scene.openBoth(folder, chain)
  const requests = [await scene.request(0n), await scene.request(1n)]
  for (const request of requests) await first.log.append(request)
  await first.close()
  rmSync(join(folder, 'log'), { recursive: true })

  const witness = await scene.openWitness(folder, chain)
  const invented = new Uint8Array(32).fill(0xee)
  const mirror: Mirror = {
    ...witness.mirror,
    read: async (from, to) =>
      (await witness.mirror.read(from, to)).map((entry, i) => ({
        ...entry,
        ...{ issuedAtBlock: chain.block - BigInt(i), issuedAtBlockHash: invented },
      })),
  }
  const log = await scene.openLog(folder, chain, { mirror })
  for (const request of requests) {
    const words = Pledge.parse((await log.append(request)).pledge.words)
    assert.notDeepEqual(words.issuedAtBlockHash, invented)
    assert.deepEqual(words.issuedAtBlockHash, scene.blockHash(words.issuedAtBlock))
  }
  await log.close()
  await witness.close()
})

test('a mirror that invents entries, reorders them or repeats a place is not followed', async (t) => {
  const folder = scene.temporaryFolder(t)
  const chain = scene.createChain()
  const first = await scene.openBoth(folder, chain)
  for (let i = 0n; i < 3n; i++) await first.log.append(await scene.request(i))
  await first.close()
  rmSync(join(folder, 'log'), { recursive: true })
  const witness = await scene.openWitness(folder, chain)
  const stranger = await scene.request(7n, { signer: scene.signers.otherNode })
  const otherHead = await scene.request(1n, { salt: 9 })
  for (const change of [
    (entries: readonly object[]) => [...entries].reverse(),
    (entries: readonly object[]) => entries.map(() => entries[0]),
    (entries: readonly object[]) => entries.map((entry, i) => (i === 1 ? { ...entry, ...stranger } : entry)),
    (entries: readonly object[]) => entries.map((entry, i) => (i === 1 ? { ...entry, ...otherHead } : entry)),
    (entries: readonly object[]) =>
      entries.map((entry, i) => (i === 1 ? { ...entry, signature: new Uint8Array(64) } : entry)),
    (entries: readonly object[]) => entries.slice(1),
    (entries: readonly object[]) => [...entries, ...entries],
  ]) {
    const read = async (from: bigint, to: bigint) => change(await witness.mirror.read(from, to)) as never
    await assert.rejects(scene.openLog(folder, chain, { mirror: { ...witness.mirror, read } }))
  }
  // The honest one is, and nothing of the above stayed.
  const log = await scene.openLog(folder, chain, { mirror: witness.mirror })
  assert.equal(log.size(), 3n)
  await log.close()
  await witness.close()
})

test('a witness that hears of two histories at once cosigns one of them', async (t) => {
  const folder = scene.temporaryFolder(t)
  const chain = scene.createChain()
  const witness = await scene.openWitness(folder, chain)
  const { chainId, anchorLog, logId } = scene.identity
  const leaf = (text: string) => crypto.sha256(new TextEncoder().encode(text))
  const asked = async (leaves: readonly Uint8Array[], signer = scene.signers.log, id = logId) => {
    const statement = {
      ...{ chainId, anchorLog, logId: id },
      size: BigInt(leaves.length),
      root: Merkle.root(crypto, leaves),
    }
    const payload = Checkpoint.payload(crypto, Checkpoint.words(statement))
    return { statement, logSignature: await Cose.sign(crypto, signer, 'checkpoint', payload), proof: [] }
  }
  const [a, b] = [
    [leaf('a'), leaf('b')],
    [leaf('a'), leaf('c')],
  ]
  const both = [await asked(a), await asked(b), await asked(a), await asked(b)]
  const settled = await Promise.allSettled(both.map(witness.cosign))
  assert.deepEqual(
    settled.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'rejected'],
  )
  assert.equal(witness.evidence().length, 1)
  // Another log, another key, a tree that is smaller, one that is larger and no append.
  await assert.rejects(witness.cosign(await asked(a, scene.signers.log, new Uint8Array(32).fill(1))))
  await assert.rejects(witness.cosign(await asked([...a, leaf('d')], scene.signers.otherNode)))
  await assert.rejects(witness.cosign(await asked([leaf('a')])))
  const longer = [leaf('x'), leaf('b'), leaf('d')]
  await assert.rejects(
    witness.cosign({ ...(await asked(longer)), oldSize: 2n, proof: Merkle.consistencyProof(crypto, longer, 2n, 3n) }),
  )
  assert.equal(witness.last()?.size, 2n)
  await witness.close()
})
