/** What raising keeps of the chain's piece. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as World from '../../tests/fakes/World.ts'
import * as Bundle from '../protocol/Bundle.ts'
import { bonded } from '../verify/policies.ts'
import * as Verdict from '../verify/Verdict.ts'
import type { ChainAccess } from './ChainAccess.ts'
import * as Raising from './Raising.ts'
import * as Stores from './Stores.ts'

const { crypto } = World

/** Raises a bundle without a chain proof by the piece of its world. */
const raised = async (world: World.World) => (await raising(world))()

/** One client's raising of that bundle; under the headers given, the last of them again and again. */
async function raising(world: World.World, isStakeOpen?: boolean, numbers: readonly bigint[] = []) {
  const { chain: piece, ...bundle } = world.bundle
  assert.ok(piece)
  const header = world.reader.anchors[0]?.headers[0] ?? assert.fail()
  let rounds = 0
  const chain = {
    chainId: World.chainId,
    piece: async () => {
      const number = numbers[Math.min(rounds++, numbers.length - 1)] ?? header.number
      return { piece, header: { ...header, number }, isFinal: true, isStakeOpen }
    },
  }
  const parts: Raising.Parts = {
    ...{ crypto, baseUrl: 'http://127.0.0.1:1', anchors: Stores.memoryAnchorStore(world.reader.anchors) },
    fetch: async () => {
      throw new TypeError('no network')
    },
    chain: chain as unknown as ChainAccess,
    witnesses: world.reader.witnesses,
  }
  return () => Raising.raise(parts, bundle)
}

describe('raise', () => {
  test('keeps the proof of stake', async () => {
    const world = await World.create({ stake: {} })
    const { bundle, isFinal } = await raised(world)
    assert.ok(isFinal)
    assert.deepEqual(bundle.chain, world.bundle.chain)
    const file = Bundle.serialize(Raising.withoutStrangers(crypto, bundle, world.reader.witnesses))
    const verdict = await Verdict.verify(crypto, { bundle: file, reader: world.reader, policy: bonded })
    assert.equal(verdict.outcome, 'MEETS')
  })

  test('is final without any stake', async () => {
    const world = await World.create()
    const { bundle, isFinal } = await raised(world)
    assert.ok(isFinal && bundle.chain?.anchorLog?.step0 !== undefined && bundle.chain.stake === undefined)
  })

  test('is not final while nobody has shown whether there is stake, and keeps what it has', async () => {
    const world = await World.create()
    const again = await raising(world, true)
    // The same header again shows nothing new, so it does not count.
    for (let round = 0; round < 100; round++) {
      const { bundle, changed, isFinal } = await again()
      assert.ok(changed && !isFinal && bundle.chain?.anchorLog?.step0 !== undefined)
    }
    assert.ok((await (await raising(world, false))()).isFinal)
  })

  test('is final without stake after 32 final headers that showed nothing, for each receipt alone', async () => {
    const world = await World.create()
    const numbers = Array.from({ length: 40 }, (_, i) => BigInt(200 + i))
    const again = await raising(world, true, numbers)
    const finals: boolean[] = []
    for (let round = 0; round < 33; round++) finals.push((await again()).isFinal)
    assert.equal(finals.indexOf(true), 32)
    assert.ok(!(await (await raising(world, true, numbers))()).isFinal)
  })
})
