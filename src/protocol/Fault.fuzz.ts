/**
 * Fault.fuzz.ts - fault files with bytes changed: refused with a listed error, or a finding that differs from the true one; and
 * what a file leaves out, its judge does not make up.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { crypto } from '../crypto/node.ts'
import * as Bytes from './Bytes.ts'
import * as Dcbor from './Dcbor.ts'
import * as Fault from './Fault.ts'

const numRuns = Number(process.env.ASSAY_FUZZ_RUNS ?? 90)

type Terms = Readonly<Record<'pledgeBlocks' | 'graceBlocks' | 'block' | 'size', string>> & {
  readonly lastBlock?: string
}
type Vector = {
  readonly name: string
  readonly input: string
  readonly class?: number
  readonly anchored?: { readonly logId: string; readonly size: string; readonly root: string } | null
  readonly terms?: Terms | null
  readonly mustFail?: string
}

const { cases } = JSON.parse(readFileSync(join(import.meta.dirname, '../../vectors/fault.json'), 'utf8')) as {
  readonly cases: readonly Vector[]
}
const good = cases.filter(({ mustFail }) => mustFail === undefined)

/** The finding, or the code of the listed error; anything else escapes. */
async function judge(bytes: Uint8Array, vector: Vector): Promise<Fault.Finding | string> {
  const { anchored, terms } = vector
  const own = Fault.parse(Bytes.fromHex(vector.input))
  try {
    const fault = Fault.parse(bytes)
    assert.deepEqual(Fault.serialize(fault), bytes, 'one form')
    return await Fault.judge(
      crypto,
      fault,
      (logId, size) =>
        anchored && Bytes.toHex(logId) === anchored.logId && String(size) === anchored.size
          ? Bytes.fromHex(anchored.root)
          : undefined,
      {
        pledgeBlocks: () => (terms ? BigInt(terms.pledgeBlocks) : undefined),
        graceBlocks: terms ? BigInt(terms.graceBlocks) : undefined,
        // Known is what the true file names, as a contract knows one answer for each question.
        seen: (_logId, how, at) =>
          terms && own.class === 4 && how === own.evidence.how && at === own.evidence.at
            ? { block: BigInt(terms.block), size: BigInt(terms.size) }
            : undefined,
        withheld: () =>
          terms?.lastBlock === undefined
            ? undefined
            : { block: BigInt(terms.block), lastBlock: BigInt(terms.lastBlock) },
      },
    )
  } catch (error) {
    const isListed = error instanceof Fault.MalformedFaultError || error instanceof Fault.FaultRefusedError
    assert.ok(isListed, `${vector.name}: ${String((error as Error)?.stack)}`)
    return error.code
  }
}

test('every class has a good vector', () => {
  const classes = new Set(good.map((vector) => vector.class))
  assert.deepEqual([...classes].sort(), [1, 13, 2, 3, 4, 5, 6])
})

for (const vector of good) {
  const whole = Bytes.fromHex(vector.input)
  test(`${vector.name}: one flipped bit is refused or shows something else`, async () => {
    const finding = await judge(whole, vector)
    assert.equal(typeof finding, 'object')
    const step = numRuns > 1000 ? 1 : 23
    for (let bit = 0; bit < 8 * whole.length; bit += step) {
      const flipped = Uint8Array.from(whole)
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
      assert.notDeepEqual(await judge(flipped, vector), finding, `bit ${bit}`)
    }
  })
  test(`${vector.name}: mutated bytes give listed errors only`, async () => {
    const mutation = fc.record({
      at: fc.nat(whole.length - 1),
      remove: fc.nat(3),
      insert: fc.uint8Array({ maxLength: 3 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), async (mutations) => {
        let bytes = whole
        for (const { at, remove, insert } of mutations)
          bytes = Bytes.concat(bytes.slice(0, at), Uint8Array.from(insert), bytes.slice(at + remove))
        await judge(bytes, vector)
      }),
      { numRuns: Math.ceil(numRuns / 3) },
    )
  })
  test(`${vector.name}: any part replaced by a part of another good file gives listed errors only`, async () => {
    const evidenceOf = ({ input }: Vector) =>
      (Dcbor.decode(Bytes.fromHex(input)) as Dcbor.ValueMap).get(2) as Dcbor.ValueMap
    const own = evidenceOf(vector)
    const parts = good.flatMap((other) => [...evidenceOf(other).values()])
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...own.keys()), fc.constantFrom(...parts), async (key, part) => {
        const evidence = new Map(own).set(key, part)
        const file = new Map<Dcbor.Key, Dcbor.Value>([
          ...[[0, 1] as const, [1, vector.class as number] as const],
          [2, evidence],
        ])
        await judge(Dcbor.encode(file), vector)
      }),
      { numRuns },
    )
  })
}

test('evidence against nobody: no reader state, no fault that needs it', async () => {
  for (const vector of good) {
    const result = await judge(Bytes.fromHex(vector.input), { ...vector, anchored: null, terms: null })
    const needs = vector.anchored ? 'not-anchored' : vector.terms ? 'not-seen' : undefined
    if (needs !== undefined) assert.equal(result, needs, vector.name)
    else assert.equal(typeof result, 'object', vector.name)
  }
})
