/**
 * A log that pledged one leaf, put another in its place, hides its files and shows that leaf on chain alone, when it is demanded and
 * paid for: its answer is evidence like its files would be (F3).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as World from '../../tests/fakes/World.ts'
import { crypto } from '../crypto/node.ts'
import * as Merkle from '../protocol/Merkle.ts'
import { memoryFaultStore } from './Stores.ts'
import * as Watching from './Watching.ts'
import { memoryWatchStore } from './WatchStore.ts'
import { call, classesOf, gateway, start } from './watching.t.ts'

type Answer = Awaited<ReturnType<NonNullable<Watching.Parts['demands']>['follow']>>[number]

/** Faults found when the log answers on chain about the last receipt, which was given with a lie or without. */
async function found(lie: 'wrong-leaf' | 'none', change: Partial<Answer> = {}, isMissed = false) {
  const [store, faults] = [memoryWatchStore(), memoryFaultStore()]
  const { client } = start({ watch: store, faults })
  gateway.hidden.add('tiles').add('proof')
  await call(client)
  await call(client, lie)
  const index = BigInt(gateway.leaves.length - 1)
  const size = index + 1n
  const [signed] = [...gateway.heads.values()]
  const answer = {
    ...(signed as NonNullable<typeof signed>),
    ...{ logId: World.logId, index, entry: gateway.entries[Number(index)] as Uint8Array },
    place: { size, proof: Merkle.inclusionProof(crypto, gateway.leaves, index, size) },
    ...change,
  }
  const watching = Watching.create({
    ...{ crypto, fetch: globalThis.fetch, baseUrl: gateway.url, chain: gateway.chain, store, faults },
    observe: undefined,
    demands: {
      entry: async () => (isMissed ? answer : undefined),
      slot: async () => ({ isOver: true }),
      content: async () => ({ isOver: true }),
      follow: async () => (isMissed ? [] : [answer]),
    },
  })
  for (let rounds = isMissed ? 6 : 2; rounds > 0; rounds--) {
    if (isMissed) gateway.height += 10n
    await watching.round()
  }
  return classesOf(faults)
}

test('another leaf than the pledged one', async () => {
  assert.deepEqual(await found('wrong-leaf'), [3])
})

test('another leaf in an answer that came while nothing could be made of it: it is asked for again', async () => {
  assert.deepEqual(await found('wrong-leaf', {}, true), [3])
})

test('the pledged leaf accuses nobody', async () => {
  assert.deepEqual(await found('none'), [])
})

test('nor does an answer without its place, of another log, or under a size that was never anchored', async () => {
  assert.deepEqual(await found('wrong-leaf', { place: undefined }), [])
  assert.deepEqual(await found('wrong-leaf', { logId: new Uint8Array(32) }), [])
  assert.deepEqual(await found('wrong-leaf', { place: { size: 99n, proof: [] } }), [])
})
