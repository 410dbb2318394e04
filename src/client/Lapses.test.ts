/**
 * Lapses.test.ts - one wrong answer, one restart, one reorganisation undo nothing for good: observations, promises, witnesses, published
 * states, evidence and memories of earlier releases.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { privateKeyToAccount } from 'viem/accounts'
import { ChainSilence } from '../../tests/fakes/FakeChain.ts'
import * as World from '../../tests/fakes/World.ts'
import * as Rpc from '../chain/Rpc.ts'
import * as Sender from '../chain/Sender.ts'
import { createP256Signer, crypto } from '../crypto/node.ts'
import * as Checkpoint from '../protocol/Checkpoint.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Head from '../protocol/Head.ts'
import * as Order from '../protocol/Order.ts'
import * as Pledge from '../protocol/Pledge.ts'
import * as Shape from '../protocol/Shape.ts'
import * as Promises from './Promises.ts'
import * as Registered from './Registered.ts'
import { memoryFaultStore } from './Stores.ts'
import * as Suspicions from './Suspicions.ts'
import * as Watching from './Watching.ts'
import { memoryWatchStore } from './WatchStore.ts'
import { call, classesOf, digest, filesOf, gateway, start } from './watching.t.ts'

const { chainId, anchorLog, logId, signers } = World

async function signedState(signer: Cose.Signer, id: Uint8Array, size: bigint, root: Uint8Array) {
  const words = Checkpoint.words({ chainId, anchorLog, logId: id, size, root })
  const signature = await Cose.sign(crypto, signer, 'checkpoint', Checkpoint.payload(crypto, words))
  return { size, root, signature }
}

describe('what the court writes down about a late log', () => {
  /** A watching whose payments are counted; `pays` says whether one comes through. */
  function late(parts: { readonly chain?: typeof gateway.chain; readonly pays?: (attempt: number) => boolean } = {}) {
    const store = memoryWatchStore()
    const faults = memoryFaultStore()
    const { chain = gateway.chain, pays = () => true } = parts
    gateway.anchored = () => gateway.leaves.slice(0, 1)
    const { client } = start({ watch: store, faults, chain })
    const asked: bigint[] = []
    const watching = Watching.create({
      ...{ crypto, fetch, baseUrl: gateway.url, chain, store, faults, demands: undefined },
      observe: async () => {
        asked.push(gateway.height)
        if (!pays(asked.length)) throw new ChainSilence()
        gateway.observed.set(gateway.height, 1n)
        return gateway.height
      },
    })
    return { client, store, faults, watching, asked }
  }

  test('is asked for again in the next round if the first time it failed', async () => {
    const { client, faults, watching, asked } = late({ pays: (attempt) => attempt > 1 })
    await call(client)
    gateway.stepBlock = () => 105n
    for (gateway.height = 701n; gateway.height < 751n; gateway.height += 5n) await watching.round()
    assert.equal(asked.length, 2)
    // It catches up: what was written down shows all the same that it was late.
    gateway.anchored = undefined
    await watching.round()
    assert.ok(await hasLasting(faults, false))
  })

  test('is asked for again after one absurd number of a block', async () => {
    let isLying = false
    const chain: typeof gateway.chain = {
      ...gateway.chain,
      logHead: async (id) => {
        const head = await gateway.chain.logHead(id)
        return head && isLying ? { ...head, block: 2n ** 60n } : head
      },
    }
    const { client, watching, asked } = late({ chain })
    await call(client)
    isLying = true
    await watching.round()
    isLying = false
    const before = asked.length
    gateway.observed.clear()
    gateway.height = 701n
    await watching.round()
    assert.equal(asked.length, before + 1)
  })

  test('shows a pledge as missing, whatever else was late shortly before', async () => {
    const chain = { ...gateway.chain, courtTerms: async () => ({ graceBlocks: 600n, incidentBlocks: 100n }) }
    const { client, faults, watching } = late({ chain })
    await call(client)
    // Its deadline is 1,299; the grace of the first ends with 1,300.
    gateway.issuedAt = { number: 699n, hash: digest('block 699') }
    await call(client)
    gateway.height = 701n
    await watching.round()
    for (gateway.height = 1_300n; gateway.height < 1_320n; gateway.height++) await watching.round()
    gateway.anchored = undefined
    await watching.round()
    assert.ok(await hasLasting(faults, true))
  })

  /** Whether a file shows it by what the court wrote down, which stays. */
  async function hasLasting(faults: ReturnType<typeof memoryFaultStore>, missing: boolean): Promise<boolean> {
    for (const id of await faults.list()) {
      const fault = Fault.parse(((await faults.load(id)) as { file: Uint8Array }).file)
      if (fault.class === 4 && fault.evidence.missing === missing && fault.evidence.how === 2) return true
    }
    return false
  }
})

test('a pledge whose log the endpoint shows only in the next block is followed (F3)', async () => {
  let isKnown = false
  const chain = {
    ...gateway.chain,
    logRecord: async (id: Uint8Array) => (isKnown ? gateway.chain.logRecord(id) : undefined),
    newest: async () => (isKnown ? gateway.height : 100n),
  }
  const { client, faults } = start({ chain })
  await call(client, 'wrong-leaf').catch(() => {})
  isKnown = true
  for (let i = 0; i < 3; i++) {
    gateway.height += 10n
    await client.raisePending()
  }
  assert.deepEqual(await classesOf(faults), [3])
})

test('a witness that a reorganisation gave another epoch is accused under that one (F6)', async () => {
  let epoch = 7
  const chain: typeof gateway.chain = {
    ...gateway.chain,
    registrationOf: async (keyId) => {
      const found = await gateway.chain.registrationOf(keyId)
      return found && { ...found, keyEpoch: epoch }
    },
    keyRecord: async (query) => {
      const isWitness = Buffer.from(query.nodeId).equals(digest('witness node'))
      return isWitness && query.keyEpoch !== epoch ? undefined : gateway.chain.keyRecord(query)
    },
  }
  const { client, faults } = start({ chain })
  gateway.isFinal = false
  gateway.stepBlock = () => undefined
  const asIssued = (await call(client)).bundle()
  await client.raise(asIssued)
  epoch = 0
  const leaves = gateway.leaves.slice()
  gateway.told = () => [digest('fork'), ...leaves.slice(1)]
  await assert.rejects(client.raise(asIssued), { step: 'log-proof' })
  await client.raisePending().catch(() => {})
  assert.ok((await classesOf(faults)).includes(6))
})

describe('a log that answers nothing about a receipt', () => {
  /** Its files are those of another history while `isLying`. */
  function forking() {
    const fork = {
      isLying: false,
      fetch: (async (url, init) => {
        if (!fork.isLying || !String(url).includes('/log/')) return fetch(url, init)
        const leaves = gateway.leaves.slice()
        gateway.anchored = () => [digest('another first'), ...leaves.slice(1)]
        try {
          const response = await fetch(url, init)
          return new Response(await response.arrayBuffer(), { status: response.status })
        } finally {
          gateway.anchored = undefined
        }
      }) as typeof globalThis.fetch,
    }
    return fork
  }

  for (const isHidden of [false, true])
    test(`is held to the states that it signed for it, and to true ones later (proofs hidden: ${isHidden}) (F2)`, async () => {
      const fork = forking()
      const { client, faults } = start({ fetch: fork.fetch })
      await call(client)
      gateway.height = 150n
      if (isHidden) gateway.hidden.add('proof')
      fork.isLying = true
      await client.raisePending()
      fork.isLying = false
      let final = 0
      for (let i = 0; i < 8; i++) {
        gateway.height += 70n
        final += (await client.raisePending()).final.length
      }
      assert.equal(final, 1)
      assert.ok((await classesOf(faults)).includes(2))
    })

  test('and publishes a state that is never anchored holds the receipt back no longer than until the next', async () => {
    const passed = new Set<bigint>()
    const chain: typeof gateway.chain = {
      ...gateway.chain,
      piece: async (query) => {
        if (query.log?.size !== undefined && passed.has(query.log.size)) throw new Rpc.NotOnChainError('step')
        return gateway.chain.piece(query)
      },
    }
    const { client } = start({ chain })
    gateway.hidden.add('proof')
    await call(client)
    passed.add(BigInt(gateway.leaves.length))
    gateway.stepBlock = (size) => (passed.has(size) ? undefined : 105n)
    const rounds = async (count: number) => {
      let final = 0
      for (let i = 0; i < count; i++) {
        gateway.height += 10n
        final += (await client.raisePending()).final.length
      }
      return final
    }
    assert.equal(await rounds(4), 0)
    await gateway.issue({})
    assert.equal(await rounds(6), 1)
  })
})

test('evidence against a log that was registered outlives a restart with an endpoint that is behind', async () => {
  const store = memoryWatchStore()
  const faults = memoryFaultStore()
  const seen = { block: 1000n, isSilent: true }
  const step = { root: digest('anchored'), blockNumber: 900n }
  const chain = {
    ...gateway.chain,
    newest: async () => seen.block,
    step: async () => {
      if (seen.isSilent) throw new ChainSilence()
      return seen.block < 900n ? undefined : step
    },
  }
  const evidence: Fault.F2 = {
    ...{ chainId, anchorLog, logId, publicKey: signers.log.publicKey },
    stateA: await signedState(signers.log, logId, 5n, digest('signed')),
    stateB: { size: 5n, root: digest('anchored') },
  }
  const first = Suspicions.create({ crypto, chain, store, faults })
  await Registered.create(crypto, store).mark(Registered.log(evidence))
  first.sawBlock(1000n)
  await first.add([{ class: 2, evidence }])
  await first.judge()
  assert.equal((await store.list('suspicions')).length, 1)
  // The next process is shown blocks that are 500 behind, and more as they come.
  seen.isSilent = false
  const second = Suspicions.create({ crypto, chain, store, faults })
  for (seen.block = 500n; seen.block <= 1100n; seen.block += 50n) await second.judge()
  assert.equal((await faults.list()).length, 1)
})

test('a receipt in the memory of an earlier release whose pledge is none holds back no demand for others', async () => {
  const store = memoryWatchStore()
  const faults = memoryFaultStore()
  const shape = Shape.record({
    promised: Shape.field(1, Shape.bytesWithin(1, 1024)),
    order: Shape.field(2, Shape.bytes(Order.byteLength)),
  })
  const promised = Promises.write({
    ...{ head: new Uint8Array(Head.byteLength), signature: new Uint8Array(64), publicKey: new Uint8Array(64) },
    ...{ pledge: new Uint8Array(Pledge.byteLength).fill(255), pledgeSignature: new Uint8Array(64) },
    logKey: new Uint8Array(64),
  })
  const item = Shape.encode(shape, { promised, order: new Uint8Array(Order.byteLength) }, 2048)
  await store.put('unopened', '0'.repeat(64), item)
  const { client } = start({ watch: store, faults })
  await assert.rejects(call(client, 'claims-withheld'))
  const asked: number[] = []
  const watching = Watching.create({
    ...{ crypto, fetch, baseUrl: gateway.url, chain: gateway.chain, store, faults, observe: undefined },
    demands: {
      entry: async () => {},
      slot: async (_, slot) => {
        asked.push(slot)
        return { isOver: false }
      },
      content: async () => ({ isOver: false }),
      follow: async () => [],
    },
  })
  for (let i = 0; i < 10; i++) {
    gateway.height += 10n
    await watching.round()
  }
  assert.ok(asked.length > 0)
  assert.equal((await store.list('unopened')).length, 1)
})

test('a thousand logs that nobody registered do not push out the one that is', async () => {
  const store = memoryWatchStore()
  const faults = memoryFaultStore()
  const watching = Watching.create({
    ...{ crypto, fetch, baseUrl: gateway.url, chain: gateway.chain, store, faults },
    ...{ demands: undefined, observe: undefined },
  })
  const saw = async (signer: Cose.Signer, id: Uint8Array, root: Uint8Array, size = 5n) => {
    const pledge: Pledge.Pledge = {
      ...{ chainId, anchorLog, logId: id, leafIndex: 0n, leafHash: digest('leaf'), issuedAtBlock: 100n },
      issuedAtBlockHash: digest('b'),
    }
    const checkpoint = { ...(await signedState(signer, id, size, root)), proof: [], cosignatures: [] }
    await watching.sawState({ pledge, logKey: signer.publicKey, leafHash: digest('leaf'), checkpoint })
  }
  await saw(signers.log, logId, digest('fork'), 2n)
  for (let i = 0; i < 1_000; i++) await saw(createP256Signer(digest(`log ${i}`)), digest(`id ${i}`), digest('x'))
  await gateway.issue({})
  gateway.height = 200n
  await watching.round()
  assert.deepEqual(await classesOf(faults), [2])
})

test('sixteen logs that contradict themselves again and again push out no evidence against a node', async () => {
  const store = memoryWatchStore()
  const faults = memoryFaultStore()
  const silent = async () => {
    throw new ChainSilence()
  }
  const chain = { ...gateway.chain, newest: silent, logRecord: silent, keyRecord: silent, step: silent }
  const suspicions = Suspicions.create({ crypto, chain, store, faults })
  const registered = Registered.create(crypto, store)
  const { client, faults: found } = start()
  gateway.isFinal = false
  await call(client)
  await call(client, 'two-heads')
  await client.raisePending()
  const own = (await filesOf(found)).filter((one) => one.class === 1)
  assert.equal(own.length, 1)
  const [{ evidence }] = own as [Fault.Fault & { class: 1 }]
  await registered.mark(Registered.nodeKey(evidence.headB.subarray(1, 65), evidence.publicKey))
  await suspicions.add(own)
  for (let i = 0; i < 16; i++) {
    const signer = createP256Signer(digest(`log ${i}`))
    const log = { chainId, anchorLog, logId: digest(`id ${i}`), publicKey: signer.publicKey }
    await registered.mark(Registered.log(log))
    const stateA = await signedState(signer, log.logId, 5n, digest('a'))
    for (let j = 0; j < 64; j++)
      await suspicions.add([
        {
          class: 2,
          evidence: {
            ...log,
            stateA,
            stateB: { ...stateA, root: digest(`b ${j}`), signature: new Uint8Array(64).fill(j + 1) },
          },
        },
      ])
  }
  assert.ok((await store.list('suspicions')).length <= 17)
})

for (const [what, answers] of [
  ['base fee', { eth_getBlockByNumber: { number: '0x1', baseFeePerGas: `0x${'f'.repeat(64)}` } }],
  ['nonce', { eth_getTransactionCount: `0x${'f'.repeat(64)}` }],
  ['gas', { eth_estimateGas: `0x${'f'.repeat(64)}` }],
] as const)
  test(`a ${what} that fits into no transaction is the endpoint's lie`, async () => {
    const said: Readonly<Record<string, unknown>> = {
      eth_getBlockByNumber: { number: '0x1', baseFeePerGas: '0x1' },
      ...{ eth_getTransactionCount: '0x1', eth_estimateGas: '0x5208', ...answers },
    }
    const rpc: Rpc.Rpc = { chainId: 31_337n, assertChain: async () => {}, request: async (method) => said[method] }
    const sender = Sender.create({ rpc, account: privateKeyToAccount(`0x${'01'.repeat(32)}`) })
    await assert.rejects(sender.send({ to: new Uint8Array(20), data: new Uint8Array(4) }), { code: 'rpc-malformed' })
    sender.close()
  })
