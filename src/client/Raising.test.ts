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
async function raised(world: World.World) {
  const { chain: piece, ...bundle } = world.bundle
  assert.ok(piece)
  const header = world.reader.anchors[0]?.headers[0] ?? assert.fail()
  const chain = { chainId: World.chainId, piece: async () => ({ piece, header, isFinal: true }) }
  const parts: Raising.Parts = {
    ...{ crypto, baseUrl: 'http://127.0.0.1:1', anchors: Stores.memoryAnchorStore(world.reader.anchors) },
    fetch: async () => {
      throw new TypeError('no network')
    },
    chain: chain as unknown as ChainAccess,
    witnesses: world.reader.witnesses,
  }
  return Raising.raise(parts, bundle)
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
})
