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
import * as Pledge from '../protocol/Pledge.ts'
import { memoryFaultStore } from './Stores.ts'
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
