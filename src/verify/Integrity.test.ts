/**
 * For every step a test in which only that step fails: the world around the broken part is built and signed as if the part were
 * true, so that no other check can be the one that refuses.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { cases, type Mutable } from '../../tests/fakes/Broken.ts'
import * as World from '../../tests/fakes/World.ts'
import * as Body from '../protocol/Body.ts'
import * as Bundle from '../protocol/Bundle.ts'
import * as ClaimsTree from '../protocol/ClaimsTree.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Integrity from './Integrity.ts'
import { recorded } from './policies.ts'
import * as Verdict from './Verdict.ts'

async function verdictOf(changes: World.Changes, change?: (bundle: Mutable) => void): Promise<Verdict.Verdict> {
  const world = await World.create(changes)
  const bundle: Mutable = { ...world.bundle }
  change?.(bundle)
  return Verdict.verify(World.crypto, {
    bundle: Bundle.serialize(bundle as Bundle.Bundle),
    reader: world.reader,
    policy: recorded,
  })
}

describe('Integrity.check', () => {
  test('an untouched bundle contradicts itself nowhere', async () => {
    const verdict = await verdictOf({})
    assert.equal(verdict.outcome, 'MEETS')
    assert.equal(verdict.step, undefined)
  })

  test('every step has a case in which it alone refuses', () => {
    assert.deepEqual([...new Set(cases.map((entry) => entry.step))].sort(), [...Integrity.stepNames].sort())
  })

  for (const { step, what, changes, change } of cases)
    test(`${step}: ${what}`, async () => {
      const verdict = await verdictOf(changes ?? {}, change)
      assert.equal(verdict.outcome, 'INVALID')
      assert.equal(verdict.step, step, verdict.contradiction)
    })

  test('errors that are not ours are not turned into verdicts', async () => {
    const world = await World.create()
    const broken = {
      ...World.crypto,
      sha256: () => {
        throw new RangeError('defect')
      },
    }
    await assert.rejects(Integrity.check({ crypto: broken, bundle: world.bundle, exactProfiles: [] }), RangeError)
  })
})

describe('absent, hidden and disclosed', () => {
  test('differ for every slot and can not be passed off as each other', async () => {
    const world = await World.create()
    for (let slot = 0; slot < 16; slot++) {
      const unused = ClaimsTree.unusedLeaf(World.crypto, slot)
      const opening = world.bundle.disclosed.get(slot)
      const hidden = new Map(world.bundle.hidden)
      const disclosed = new Map(world.bundle.disclosed)
      if (opening === undefined) hidden.set(slot, unused)
      else disclosed.delete(slot)
      const bundle: Mutable = { ...world.bundle, hidden, disclosed }
      for (const name of ['order', 'bodies', 'manifest'] as const) delete bundle[name]
      if (opening === undefined) {
        assert.throws(() => Bundle.serialize(bundle as Bundle.Bundle), Bundle.MalformedBundleError)
        hidden.set(slot, World.digestOf('something'))
        if (slot === 14) continue
      }
      const verdict = await Verdict.verify(World.crypto, {
        bundle: Bundle.serialize(bundle as Bundle.Bundle),
        reader: world.reader,
      })
      assert.equal(verdict.step, 'claims-root', `slot ${slot}`)
    }
  })
})

test('a body leaf can not be read as a claims leaf', () => {
  const salt = World.digestOf('salt').slice(0, 16)
  const value = World.digestOf('value')
  assert.notDeepEqual(Body.leafHash(World.crypto, salt, 0, value), ClaimsTree.leaf(World.crypto, 0, salt, value))
  assert.equal(Cose.keyId(World.crypto, World.signers.node.publicKey).length, 32)
})
