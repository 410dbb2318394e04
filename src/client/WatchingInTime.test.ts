/**
 * WatchingInTime.test.ts - a default client against logs that are late, and against parties that give nothing: found by blocks that
 * pass, demanded after tries that cost nothing.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import * as World from '../../tests/fakes/World.ts'
import { crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Merkle from '../protocol/Merkle.ts'
import * as Order from '../protocol/Order.ts'
import * as Wire from '../protocol/Wire.ts'
import type * as Demanding from './Demanding.ts'
import { fileWatchStore } from './FileStores.ts'
import { memoryFaultStore } from './Stores.ts'
import * as Watching from './Watching.ts'
import { memoryWatchStore } from './WatchStore.ts'

import { call, filesOf, gateway, start } from './watching.t.ts'

/** issuedAtBlock 100 and 600 blocks of the fake. */
const deadline = 700n
const graceBlocks = 50n
const domain = { chainId: World.chainId, registry: World.registry }

const lateness = async (faults: Parameters<typeof filesOf>[0]) =>
  (await filesOf(faults)).map((one) =>
    one.class === 4 ? `${one.evidence.missing ? 'missing' : 'late'} ${one.evidence.how}` : one.class,
  )

describe('a log that does not keep its pledge in time (F4)', () => {
  /** A client's watching whose observations are counted; the fake court writes down what it covers. */
  function counting(store = memoryWatchStore(), faults = memoryFaultStore()) {
    const { client } = start({ watch: store, faults })
    const paid: bigint[] = []
    const watching = Watching.create({
      ...{ crypto, fetch: globalThis.fetch, baseUrl: gateway.url, chain: gateway.chain, store, faults },
      demands: undefined,
      observe: async () => {
        paid.push(gateway.height)
        gateway.observed.set(gateway.height, BigInt(gateway.anchored?.().length ?? 0))
        return gateway.height
      },
    })
    return { client, faults, store, paid, watching }
  }

  test('is not paid for again in each round, nor by the next process', async () => {
    gateway.anchored = () => gateway.leaves.slice(0, 1)
    const { client, faults, store, paid, watching } = counting()
    await call(client)
    gateway.height = deadline + 1n
    for (let i = 0; i < 20; i++, gateway.height++) await watching.round()
    assert.deepEqual([await lateness(faults), paid.length], [['late 2'], 1])
    gateway.hints.observed.push(...paid)
    const again = counting(store, faults)
    for (let i = 0; i < 20; i++, gateway.height++) await again.watching.round()
    assert.deepEqual(again.paid, [])
    gateway.height = deadline + graceBlocks + 1n
    for (let i = 0; i < 20; i++, gateway.height++) await again.watching.round()
    assert.deepEqual([await lateness(faults), again.paid.length], [['late 2', 'missing 2'], 1])
  })

  test('is paid for at most once in 60 blocks, whatever it pledged, and again when a reorganisation takes it back', async () => {
    gateway.anchored = () => gateway.leaves.slice(0, 1)
    const { client, faults, paid, watching } = counting()
    await call(client)
    gateway.issuedAt = { ...gateway.issuedAt, number: gateway.issuedAt.number + 10n }
    await call(client)
    gateway.height = deadline + 1n
    await watching.round()
    gateway.height = deadline + 11n
    for (let i = 0; i < 20; i++, gateway.height++) await watching.round()
    assert.equal(paid.length, 1)
    assert.deepEqual((await lateness(faults)).toSorted(), ['late 0', 'late 2'])
    gateway.observed.clear()
    for (let i = 0; i < 61; i++, gateway.height++) await watching.round()
    assert.equal(paid.length, 2)
  })

  test('is late after the deadline and missing after the grace, also when nobody answers any more and after a restart', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'assay-watch-'))
    const watch = fileWatchStore(folder)
    try {
      const first = start({ watch })
      gateway.anchored = () => gateway.leaves.slice(0, 1)
      await call(first.client)
      gateway.hidden.add('everything')
      const { client, faults } = start({ watch, pending: first.pending })
      gateway.height = deadline - 1n
      for (let i = 0; i < 1; i++) await client.raisePending()
      assert.deepEqual(await lateness(faults), [])
      gateway.height = deadline + 1n
      await client.raisePending()
      assert.deepEqual(await lateness(faults), ['late 0'])
      gateway.height = deadline + graceBlocks + 1n
      await client.raisePending()
      await client.raisePending()
      assert.deepEqual(await lateness(faults), ['late 0', 'missing 0'])
      assert.equal((await watch.list('promises')).length, 1)
    } finally {
      watch.close()
      rmSync(folder, { recursive: true })
    }
  })

  test('exactly in the block of the deadline it is not late', async () => {
    const { watching, faults } = await followed()
    gateway.height = deadline
    await watching.round()
    assert.deepEqual(await lateness(faults), [])
    gateway.height = deadline + 1n
    await watching.round()
    assert.deepEqual(await lateness(faults), ['late 0'])
  })

  test('by a step that came after the deadline without the leaf, with nothing written down', async () => {
    const { watching, faults } = await followed()
    gateway.stepBlock = () => deadline + 1n
    gateway.height = deadline + 2n
    await watching.round()
    assert.deepEqual(await lateness(faults), ['late 1'])
  })

  test('with a court its size is written down at once, once for all promises, and stays proof after it caught up', async () => {
    let calls = 0
    const observe = async () => {
      calls++
      gateway.observed.set(gateway.height, BigInt(gateway.anchored?.().length ?? 0))
      return gateway.height
    }
    const { watching, faults } = await followed({ observe }, 3)
    gateway.height = deadline + 1n
    await watching.round()
    assert.equal(calls, 1)
    assert.deepEqual(await lateness(faults), ['late 2'])
    gateway.anchored = undefined
    gateway.height += 5n
    await watching.round()
    assert.deepEqual(await lateness(faults), ['late 2'], 'judged again by the chain that caught up')
  })

  test('found after it caught up, by a step or an observation of others; without either it stays unseen', async () => {
    for (const [hint, expected] of [
      ['none', []],
      ['step', ['late 1']],
      ['observation', ['late 2']],
      ['false', []],
    ] as const) {
      const { watching, faults } = await followed()
      gateway.anchored = undefined
      gateway.height = deadline + 20n
      gateway.hints.anchored.splice(0)
      gateway.hints.observed.splice(0)
      gateway.observed.clear()
      gateway.stepBlock = (size) => (size === 1n && hint === 'step' ? deadline + 3n : 105n)
      if (hint === 'step' || hint === 'false') gateway.hints.anchored.push(1n)
      if (hint === 'observation') gateway.observed.set(deadline + 4n, 1n)
      if (hint !== 'none') gateway.hints.observed.push(deadline + 4n)
      await watching.round()
      assert.deepEqual(await lateness(faults), expected, hint)
    }
  })
})

describe('a log that uses a reorganisation to anchor something else', () => {
  test('another leaf in the place of mine (F3), after mine was seen there', async () => {
    const { watching, faults } = await followed()
    gateway.anchored = undefined
    await watching.round()
    assert.deepEqual(await filesOf(faults), [])
    gateway.anchored = () => [gateway.leaves[0] as Uint8Array, crypto.sha256(new Uint8Array(1))]
    gateway.height = deadline + 1n
    await watching.round()
    assert.ok((await filesOf(faults)).some((one) => one.class === 3))
  })

  test('another state of a size that it had signed and anchored (F2)', async () => {
    const { watching, faults, store } = await followed()
    gateway.anchored = undefined
    gateway.isFinal = false
    const { client } = start({ watch: store })
    await client.raise((await call(client)).bundle())
    await watching.round()
    assert.deepEqual(await filesOf(faults), [])
    const [first, ...rest] = gateway.leaves
    gateway.anchored = () => [crypto.sha256(first as Uint8Array), ...rest]
    // Only what it signed before is there to compare.
    gateway.hidden.add('tiles')
    gateway.height += 64n
    await watching.round()
    assert.ok((await filesOf(faults)).some((one) => one.class === 2))
  })
})

/** Watching alone, with promises that the log does not keep. */
async function followed(parts: Partial<Watching.Parts> = {}, calls = 1) {
  const faults = memoryFaultStore()
  const store = memoryWatchStore()
  gateway.anchored = () => gateway.leaves.slice(0, 1)
  const { client } = start({ watch: store, faults })
  for (let i = 0; i < calls; i++) await call(client)
  const watching = Watching.create({
    ...{ crypto, fetch: globalThis.fetch, baseUrl: gateway.url, chain: gateway.chain, store, faults },
    ...{ observe: undefined, demands: undefined },
    ...parts,
  })
  return { watching, faults, store }
}

describe('a log that covers the place of my entry and shows nobody what stands there (F4)', () => {
  /** What is found at heights, of an entry that is not shown; `lastBlock` of the case about it, undefined: none has expired. */
  async function found(lastBlock: bigint | undefined, heights: readonly bigint[]) {
    const { watching, faults, store } = await followed()
    gateway.anchored = undefined
    gateway.hidden.add('tiles')
    if (lastBlock !== undefined) gateway.withheld.set(1n, lastBlock)
    const all: unknown[] = []
    for (const height of heights) {
      gateway.height = height
      await watching.round()
      all.push(await lateness(faults))
    }
    return { all, watching, faults, store }
  }

  test('is taken for missing when deadline and grace are over and the demand has expired', async () => {
    const { all, watching, faults, store } = await found(400n, [deadline + graceBlocks, deadline + graceBlocks + 1n])
    assert.deepEqual(all, [[], ['missing 3']])
    const [id = ''] = await faults.list()
    // Followed until that is on record.
    assert.deepEqual((await watching.round()).closed, [])
    const nothing = { salt: new Uint8Array(0), callData: new Uint8Array(0), reporter: new Uint8Array(20) }
    const filing = { stage: 'recorded', faultId: new Uint8Array(32), ...nothing } as const
    await faults.saveFiling(id, filing)
    assert.deepEqual((await watching.round()).closed, [])
    await faults.saveFiling(id, { ...filing, isFinal: true })
    assert.equal((await watching.round()).closed.length, 1)
    assert.deepEqual(await store.list('promises'), [])
  })

  test('has the grace once more after the demand', async () => {
    const over = deadline + 300n + graceBlocks
    const { all } = await found(deadline + 300n, [over, over + 1n])
    assert.deepEqual(all, [[], ['missing 3']])
  })

  test('is not accused without a demand that expired, nor once it has shown the entry', async () => {
    const { all, watching, faults } = await found(undefined, [deadline + 1_000n])
    assert.deepEqual(all, [[]])
    gateway.hidden.clear()
    gateway.withheld.set(1n, 400n)
    await watching.round()
    assert.deepEqual(await lateness(faults), [])
  })
})

describe('what is not given is demanded', () => {
  function demandsOf(asked: string[]): Demanding.Demands {
    const opening = { salt: new Uint8Array(16), value: new Uint8Array(34), path: [] }
    return {
      entry: async (_, index) => void asked.push(`entry ${index}`),
      async slot(receipt, slot) {
        Merkle.verifyInclusion(crypto, {
          ...receipt.place,
          leafHash: gateway.leaves[Number(receipt.place.index)] as Uint8Array,
          root: Merkle.root(crypto, gateway.leaves.slice(0, Number(receipt.place.size))),
        })
        asked.push(`slot ${slot}`)
        return { isOver: true, opening }
      },
      async content(_, slot) {
        asked.push(`content ${slot}`)
        return { isOver: true }
      },
      follow: async () => [],
    }
  }

  test('an entry that the log covers and does not show (F17): after tries over some blocks, not before', async () => {
    const asked: string[] = []
    const { watching } = await followed({ demands: demandsOf(asked) })
    gateway.anchored = undefined
    gateway.hidden.add('tiles')
    for (let i = 0; i < 8; i++) await watching.round()
    assert.deepEqual(asked, [], 'often, but in one block')
    gateway.height += 10n
    await watching.round()
    assert.deepEqual(asked, ['entry 1'])
    gateway.hidden.clear()
    asked.splice(0)
    for (let i = 0; i < 8; i++) {
      gateway.height += 10n
      await watching.round()
    }
    assert.deepEqual(asked, [])
  })

  test('the answer itself, slot 4, once slot 1 is opened and is my order (F18)', async () => {
    const asked: string[] = []
    let hash: Uint8Array | undefined
    let answers = 0
    const demands: Demanding.Demands = {
      entry: async () => {},
      async slot(_, slot) {
        asked.push(`slot ${slot}`)
        if (++answers === 1) return { isOver: false }
        const value = Bytes.concat(Uint8Array.of(0x58, 0x20), hash as Uint8Array)
        return { isOver: true, opening: { salt: new Uint8Array(16), value, path: [] } }
      },
      async content(receipt, slot, { words, opening }) {
        assert.deepEqual(Order.hash(crypto, Order.parse(words), domain), opening.value.subarray(2))
        assert.equal(receipt.place.index, 2n)
        asked.push(`content ${slot}`)
        return { isOver: asked.length > 3 }
      },
      follow: async () => [],
    }
    const { watching, store } = await followed({ demands })
    gateway.anchored = undefined
    const seen = (async (input, init) => {
      const order = new Headers(init?.headers).get('assay-order')
      if (order !== null) hash = Order.hash(crypto, Order.parse(Wire.decodeOrder(order).words), domain)
      return fetch(input, init)
    }) as typeof globalThis.fetch
    const { client } = start({ watch: store, fetch: seen })
    await assert.rejects(call(client, 'claims-withheld'), { code: 'claims-missing' })
    gateway.lie = 'none'
    for (let i = 0; i < 9; i++) {
      gateway.height += 10n
      await watching.round()
    }
    assert.deepEqual(asked, ['slot 1', 'slot 1', 'content 4', 'slot 1', 'content 4'])
    assert.deepEqual(await store.list('unopened'), [])
  })

  test('the claims of a receipt (F18)', async () => {
    const asked: string[] = []
    const { watching, store } = await followed({ demands: demandsOf(asked) })
    gateway.anchored = undefined
    const { client } = start({ watch: store })
    await assert.rejects(call(client, 'claims-withheld'), { code: 'claims-missing' })
    gateway.lie = 'none'
    for (let i = 0; i < 6; i++) {
      gateway.height += 10n
      await watching.round()
    }
    assert.deepEqual(asked, ['slot 1'], 'the opened slot is no order of mine, so nothing more can be asked')
    assert.deepEqual(await store.list('unopened'), [])
  })
})
