/**
 * Flip any byte of a bundle: never MEETS, and nothing but the listed errors escapes. Source: spec/bundle.md section 1.
 * A few hundred positions by default; ASSAY_FUZZ_RUNS=all tries every byte with every bit.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as World from '../../tests/fakes/World.ts'
import * as Bundle from '../protocol/Bundle.ts'
import { recorded } from './policies.ts'
import * as Verdict from './Verdict.ts'

const runs = Number(process.env.ASSAY_FUZZ_RUNS ?? 400)

async function outcomeOf(bytes: Uint8Array, reader: World.World['reader']): Promise<string> {
  try {
    return (await Verdict.verify(World.crypto, { bundle: bytes, reader, policy: recorded })).outcome
  } catch (error) {
    if (error instanceof Bundle.MalformedBundleError) return 'unreadable'
    throw error
  }
}

test('a flipped bit anywhere never meets, whether its piece is needed or not', async () => {
  const world = await World.create()
  assert.equal(await outcomeOf(world.bytes, world.reader), 'MEETS')
  const check = async (at: number, bit: number) => {
    const bytes = world.bytes.slice()
    bytes[at] = (bytes[at] as number) ^ (1 << bit)
    const outcome = await outcomeOf(bytes, world.reader)
    assert.ok(outcome === 'INVALID' || outcome === 'unreadable', `byte ${at} bit ${bit}: ${outcome}`)
  }
  if (process.env.ASSAY_FUZZ_RUNS === 'all') {
    for (let at = 0; at < world.bytes.length; at++) for (let bit = 0; bit < 8; bit++) await check(at, bit)
    return
  }
  await fc.assert(fc.asyncProperty(fc.nat(world.bytes.length - 1), fc.nat(7), check), { numRuns: runs })
})

test('cutting, repeating and joining bytes is unreadable', async () => {
  const world = await World.create()
  await fc.assert(
    fc.asyncProperty(
      fc.nat(world.bytes.length - 1),
      fc.uint8Array({ minLength: 1, maxLength: 8 }),
      async (at, extra) => {
        assert.equal(await outcomeOf(world.bytes.slice(0, at), world.reader), 'unreadable')
        assert.equal(await outcomeOf(Uint8Array.of(...world.bytes, ...extra), world.reader), 'unreadable')
      },
    ),
    { numRuns: Math.min(runs || 50, 50) },
  )
})
