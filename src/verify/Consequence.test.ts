/** Stake in verdicts: what it comes to, when it does not count, and that nothing of its proof can be bent. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import * as Stake from '../../tests/fakes/Stake.ts'
import { cases } from '../../tests/fakes/Staked.ts'
import * as World from '../../tests/fakes/World.ts'
import * as Bundle from '../protocol/Bundle.ts'
import * as BundleCut from '../protocol/BundleCut.ts'
import * as Consequence from './Consequence.ts'
import * as Explain from './Explain.ts'
import { bonded, recorded } from './policies.ts'
import * as Verdict from './Verdict.ts'

const { crypto } = World
const { token } = Stake
const runs = Number(process.env.ASSAY_FUZZ_RUNS ?? 300)
const verify = (bundle: Uint8Array, reader: World.World['reader'], policy = bonded) =>
  Verdict.verify(crypto, { bundle, reader, policy })

describe('consequence', () => {
  for (const { what, changes, reader, policy, outcome, because } of cases)
    test(what, async () => {
      const world = await World.create(changes)
      const verdict = await verify(world.bytes, reader?.(world.reader) ?? world.reader, policy)
      assert.match(verdict.consequenceBecause, because)
      const line = verdict.requirements.find((one) => one.requirement.startsWith('consequence'))
      assert.equal(line?.status, outcome === 'MEETS' ? 'MET' : 'UNCHECKED')
      // A stake that is there and too small is shown all the same.
      const isShown = verdict.consequence !== 'none'
      assert.equal(isShown, verdict.consequenceBecause.startsWith('bonded'))
      if (policy !== undefined || outcome === 'MEETS') assert.equal(verdict.outcome, outcome)
      assert.match(line?.because ?? '', because)
    })

  test('has the figures of both subjects, and on top the worse ones', async () => {
    const uneven = cases.find(({ what }) => what === 'uneven stake')
    assert.ok(uneven)
    const world = await World.create(uneven.changes)
    const { consequence, at } = await verify(world.bytes, world.reader)
    assert.ok(consequence !== 'none')
    const node = { amount: 75_000n * token, selfBond: 50_000n * token, untilBlock: 2_910n, openExposure: 1 }
    const log = { amount: 1_485n * token, selfBond: 360n * token, untilBlock: 2_950n, openExposure: 3 }
    const inText = (bond: typeof node) => ({
      ...{ amount: String(bond.amount), selfBond: String(bond.selfBond), untilBlock: String(bond.untilBlock) },
      openExposure: bond.openExposure,
    })
    assert.deepEqual(consequence.node, inText(node))
    assert.deepEqual(consequence.log, inText(log))
    const { amount, selfBond, untilBlock, openExposure } = consequence
    const worse = { amount: log.amount, selfBond: log.selfBond, untilBlock: node.untilBlock, openExposure: 3 }
    assert.deepEqual({ amount, selfBond, untilBlock, openExposure }, inText(worse))
    assert.deepEqual(consequence.at, at)
    assert.deepEqual(consequence.assumptions, ['chain:development:31337', 'sequencer:31337'])
    assert.deepEqual(JSON.parse(JSON.stringify(consequence)), consequence)
  })

  test('counts under a header that is only canonical, and says so in the same atoms', async () => {
    const world = await World.create({ stake: {} })
    const { number, hash } = world.reader.anchors[0]?.headers[0] ?? assert.fail()
    const anchors = world.reader.anchors.map((one) => ({ ...one, headers: [] }))
    const view = { chainId: World.chainId, newest: 111n, blocks: [{ number, hash }] }
    const { outcome, consequence } = await verify(world.bytes, { ...world.reader, anchors, view })
    assert.equal(outcome, 'MEETS')
    assert.ok(consequence !== 'none')
    // The newest trusted header is looked for in all anchors, not among the blocks of the view.
    const late = anchors.map((one) => ({ ...one, headers: [{ number: 2_911n, hash }] }))
    const { consequence: after } = await verify(world.bytes, { ...world.reader, anchors: late, view })
    assert.equal(after, 'none')
  })

  test('in words', async () => {
    const world = await World.create({ stake: { node: { self: 1_234_567n * token + 1_500_000_000_000n } } })
    const { consequence } = await verify(world.bytes, world.reader)
    assert.ok(consequence !== 'none')
    assert.equal(
      Consequence.describe({ ...consequence, ...consequence.node, openExposure: 1 }),
      'bonded 1,234,567.000001 ASY (self 1,234,567.000001) until block 2910, 1 open case',
    )
    const verdict = await verify(world.bytes, world.reader)
    const lines = Explain.explain(verdict).map((line) => line.text)
    assert.ok(lines.some((line) => line.startsWith('consequence bonded 100,000 ASY')))
    for (const text of Consequence.doesNotTell) assert.ok(lines.includes(text))
    const without = await verify(bundleOf(world, { stake: true }), world.reader)
    assert.ok(
      Explain.explain(without)
        .map((line) => line.text)
        .includes('consequence none: no proof of stake in the file'),
    )
  })
})

function bundleOf(world: World.World, cut: BundleCut.Cut): Uint8Array {
  return Bundle.serialize(BundleCut.cut(crypto, world.bundle, cut))
}

describe('a bundle with stake', () => {
  test('needs the pledge and the record of the log', async () => {
    const { bundle } = await World.create({ stake: {} })
    const { anchorLog, ...chain } = bundle.chain ?? assert.fail()
    assert.throws(() => Bundle.serialize({ ...bundle, chain }), { code: 'bundle-presence' })
    assert.deepEqual(Bundle.parse(Bundle.serialize(bundle)), bundle)
  })

  test('loses it with the pledge, the chain proof, or alone, and never rises by that', async () => {
    const { bundle, reader } = await World.create({ stake: {} })
    const hasStake = (cut: BundleCut.Cut) => BundleCut.cut(crypto, bundle, cut).chain?.stake !== undefined
    assert.ok(hasStake({}) && hasStake({ order: true }) && hasStake({ checkpoint: true }))
    assert.ok(!hasStake({ stake: true }) && !hasStake({ pledge: true }) && !hasStake({ chain: true }))
    const { anchorLog, registry } = BundleCut.cut(crypto, bundle, { stake: true }).chain ?? assert.fail()
    assert.deepEqual({ anchorLog, registry }, { anchorLog: bundle.chain?.anchorLog, registry: bundle.chain?.registry })
    const rank = { MEETS: 3, INSUFFICIENT: 2, INVALID: 1, FAULT: 0 }
    for (const changes of [{}, { node: { retiredAtBlock: 1n } }, { court: World.registry }]) {
      const world = await World.create({ stake: changes })
      for (const policy of [bonded, recorded]) {
        const whole = await verify(world.bytes, reader, policy)
        const cut = await verify(bundleOf(world, { stake: true }), reader, policy)
        // Without the piece that contradicts there is no contradiction; that is a file of other bytes.
        if (whole.outcome !== 'INVALID') assert.ok(rank[cut.outcome] <= rank[whole.outcome])
        assert.equal(cut.consequence, 'none')
      }
    }
  })

  test('a flipped bit of its chain proof never meets', async () => {
    const world = await World.create({ stake: { node: { openCases: 1 }, log: { selfUnbonding: token } } })
    assert.equal((await verify(world.bytes, world.reader)).outcome, 'MEETS')
    const fast = { ...crypto, p256Verify: () => true }
    const outcomeOf = async (bundle: Uint8Array, policy: typeof bonded) => {
      try {
        return (await Verdict.verify(fast, { bundle, reader: world.reader, policy })).outcome
      } catch (error) {
        if (error instanceof Bundle.MalformedBundleError) return 'unreadable'
        throw error
      }
    }
    // Signatures are not what is bent here: only bytes of the chain's piece are.
    const first = indexOf(world.bytes, world.bundle.chain?.blockHash ?? assert.fail())
    const last = indexOf(world.bytes, world.bundle.chain?.stake?.log.openCases.at(-1) ?? assert.fail())
    const check = async (at: number, bit: number) => {
      const bytes = world.bytes.with(at, (world.bytes[at] as number) ^ (1 << bit))
      const outcome = await outcomeOf(bytes, recorded)
      assert.ok(outcome === 'INVALID' || outcome === 'unreadable', `byte ${at} bit ${bit}: ${outcome}`)
    }
    if (process.env.ASSAY_FUZZ_RUNS === 'all') {
      for (let at = first; at < last + 40; at++) for (let bit = 0; bit < 8; bit++) await check(at, bit)
      return
    }
    await fc.assert(fc.asyncProperty(fc.integer({ min: first, max: last }), fc.nat(7), check), { numRuns: runs })
  })
})

function indexOf(bytes: Uint8Array, part: Uint8Array): number {
  return Buffer.from(bytes).lastIndexOf(part)
}
