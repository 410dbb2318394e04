import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { insufficient } from '../../tests/fakes/Insufficient.ts'
import { remembering } from '../../tests/fakes/Remembering.ts'
import * as World from '../../tests/fakes/World.ts'
import * as Bundle from '../protocol/Bundle.ts'
import * as BundleCut from '../protocol/BundleCut.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Head from '../protocol/Head.ts'
import * as Merkle from '../protocol/Merkle.ts'
import * as Pledge from '../protocol/Pledge.ts'
import * as Slot from '../protocol/Slot.ts'
import * as Policy from './Policy.ts'
import { bonded, builtIn, embedded, recorded } from './policies.ts'
import * as Reader from './Reader.ts'
import * as Verdict from './Verdict.ts'

// The word is put together here because our own code never uses it as a status.
const statusWord = ['veri', 'fied'].join('')
const { crypto } = World
const policyFile: { cases: { name: string; hash?: string; policy: unknown; mustFail?: string }[] } = JSON.parse(
  readFileSync(new URL('../../vectors/policies.json', import.meta.url), 'utf8'),
)
const verify = (world: World.World, options: Partial<Verdict.Options> = {}) =>
  Verdict.verify(crypto, { bundle: world.bytes, reader: world.reader, ...options })
const reasonOf = (verdict: Verdict.Verdict, requirement: string) =>
  verdict.requirements.find((result) => result.requirement === requirement)?.because

describe('outcomes under the four policies', () => {
  test('a whole bundle meets recorded and embedded, and strict says what is missing', async () => {
    const world = await World.create()
    assert.equal((await verify(world, { policy: recorded })).outcome, 'MEETS')
    assert.equal((await verify(world, { policy: embedded })).outcome, 'MEETS')
    assert.equal((await verify(world, { policy: bonded })).outcome, 'INSUFFICIENT')
    const verdict = await verify(world)
    assert.equal(verdict.policy.name, 'strict')
    assert.equal(verdict.outcome, 'INSUFFICIENT')
    const open = verdict.requirements.filter((result) => result.status !== 'MET').map((result) => result.requirement)
    assert.ok(open.includes('anchoring: final') && open.includes('consequence: bonded'))
  })

  test('the hashes of the policies are what vectors/policies.json says, and what is no policy is refused', () => {
    for (const { name, hash, policy, mustFail } of policyFile.cases) {
      if (mustFail !== undefined) assert.throws(() => Policy.parse(policy), { code: mustFail }, name)
      else {
        assert.equal(Bytes.toHex(Policy.hash(crypto, Policy.parse(policy))), hash)
        assert.deepEqual(policy, JSON.parse(JSON.stringify(builtIn[name])))
      }
    }
    assert.deepEqual(
      Object.keys(builtIn),
      policyFile.cases.filter((item) => item.hash !== undefined).map((item) => item.name),
    )
  })

  test('a reader who trusts nothing learns what was asserted and no more', async () => {
    const world = await World.create()
    const verdict = await verify(world, { reader: Reader.nobody, policy: recorded })
    assert.equal(verdict.outcome, 'INSUFFICIENT')
    assert.equal(verdict.at, null)
    assert.equal(reasonOf(verdict, 'anchoring: anchored'), 'no trusted header')
    for (const row of verdict.rows)
      assert.ok(['asserted', 'recomputed'].includes(row.backing[0] ?? 'asserted'), row.proposition)
  })
})

describe('what is not in the table gives nothing', () => {
  for (const { what, changes, reader, requirement, because, policy } of insufficient)
    test(what, async () => {
      const world = await World.create(changes)
      const verdict = await verify(world, {
        reader: (reader ?? ((same) => same))(world.reader),
        policy: policy ?? recorded,
      })
      assert.equal(verdict.outcome, 'INSUFFICIENT')
      const result = verdict.requirements.find((entry) => entry.requirement === requirement)
      assert.notEqual(result?.status, 'MET')
      assert.match(result?.because ?? '', because)
    })

  test('a pledge counts for a reader without anchor only within 32 blocks below and 2 above', async () => {
    const world = await World.create()
    const brief = await World.create({ logRecord: { pledgeBlocks: 5n } })
    // The log's record stays: without it nobody knows whose key signed the pledge.
    const pledgedAt = async (newest: bigint, hash = World.digestOf('block 100'), of = world) => {
      const bare = BundleCut.cut(crypto, of.bundle, { checkpoint: true })
      const view = { chainId: World.chainId, newest, blocks: [{ number: 100n, hash }] }
      const verdict = await Verdict.verify(crypto, {
        bundle: Bundle.serialize(bare),
        reader: { ...of.reader, view },
        policy: recorded,
      })
      return verdict.anchoring.some((entry) => entry.fact === 'pledged')
    }
    assert.deepEqual(await Promise.all([97n, 98n, 132n, 133n].map((newest) => pledgedAt(newest))), [
      false,
      true,
      true,
      false,
    ])
    assert.equal(await pledgedAt(100n, World.digestOf('a fork')), false)
    const atDeadline = [105n, 106n].map((newest) => pledgedAt(newest, World.digestOf('block 100'), brief))
    assert.deepEqual(await Promise.all(atDeadline), [true, false], 'no longer than until its own deadline')
  })

  test('a header that is canonical but not final anchors and does not finalise', async () => {
    const world = await World.create()
    const anchors = world.reader.anchors.map((entry) => ({ ...entry, headers: [] }))
    const blocks = world.reader.anchors.flatMap((entry) => entry.headers)
    const reader = { ...world.reader, anchors, view: { chainId: World.chainId, newest: 111n, blocks } }
    const facts = (await verify(world, { reader, policy: recorded })).anchoring.map((entry) => entry.fact)
    assert.ok(facts.includes('anchored') && !facts.includes('final'))
  })

  test('fields: rewrites must be listed by the reader, a cancelled call is no completed one', async () => {
    const asking = (subsetOf: 'reader' | string[]): Policy.Policy => ({
      ...recorded,
      requirements: { proposition: 'effectiveRequest', field: 'rewrites', value: { subsetOf } },
    })
    const rewritten = await World.create({ rewrites: [{ code: 'default', path: '/seed', detail: '0' }] })
    assert.equal((await verify(rewritten, { policy: asking('reader') })).outcome, 'INSUFFICIENT')
    assert.equal(
      (
        await verify(rewritten, {
          policy: asking('reader'),
          reader: { ...rewritten.reader, rewrites: ['default /seed 0'] },
        })
      ).outcome,
      'MEETS',
    )
    assert.equal((await verify(rewritten, { policy: asking(['default /seed 0']) })).outcome, 'MEETS')
    assert.equal((await verify(await World.create(), { policy: asking('reader') })).outcome, 'MEETS')
    const cancelled = await World.create({
      head: { flags: 1 },
      claims: {
        outcome: {
          finish: 'cancelled',
          error: null,
          usage: { prompt: 1n, completion: 0n },
          receivedMs: 1n,
          completedMs: 2n,
          clock: 'system',
        },
      },
    })
    const verdict = await verify(cancelled, { policy: embedded })
    assert.equal(verdict.outcome, 'INSUFFICIENT')
    assert.equal(verdict.rows.find((row) => row.proposition === 'outcome')?.status, 'REFUTED')
  })

  test("nobody else's word changes a verdict: there is no place for it", async () => {
    const world = await World.create()
    const before = await verify(world)
    const claimed = await Verdict.verify(crypto, {
      bundle: world.bytes,
      reader: { ...world.reader, ...({ [statusWord]: true, outcome: 'MEETS', grade: 'proven' } as object) },
    })
    assert.deepEqual(claimed, before)
  })
})

describe('monotone', () => {
  const order = { FAULT: 0, INVALID: 0, INSUFFICIENT: 1, MEETS: 2 }
  const pieces: [string, BundleCut.Cut][] = [
    ['order', { order: true }],
    ['manifest', { manifest: true }],
    ['chain', { chain: true }],
    ['checkpoint', { checkpoint: true }],
    ['pledge', { pledge: true }],
    ['cosignatures', { keepCosigners: [] }],
    ...(['request', 'effective', 'response', 'output'] as const).map((name): [string, BundleCut.Cut] => [
      `body ${name}`,
      { bodies: [name] },
    ]),
    ...Slot.names.map((name): [string, BundleCut.Cut] => [`slot ${name}`, { slots: [name] }]),
  ]
  // Compared one by one, so that none hides the rise of another.
  const each: Policy.Policy = {
    ...recorded,
    name: 'each',
    requirements: {
      allOf: [
        { disclosed: { backing: ['signed'] } },
        ...Policy.anchoringFacts.map((anchoring) => ({ anchoring })),
        { proposition: 'ordered', backing: ['recomputed'] },
        { proposition: 'model', backing: ['signed'] },
        { operator: 'reader' },
        { distinctOperators: ['node', 'log'] },
        { witnessedBy: 'reader', k: 1 },
      ],
    },
  }
  const policies = [...Object.values(builtIn), each]

  function assertNoRise(what: string, before: Verdict.Verdict, after: Verdict.Verdict): void {
    assert.ok(
      order[after.outcome] <= order[before.outcome],
      `${what}, ${before.policy.name}: ${before.outcome} -> ${after.outcome}`,
    )
    if (after.outcome === 'INVALID') return
    assert.equal(after.requirements.length, before.requirements.length)
    for (const [i, { requirement, status }] of after.requirements.entries()) {
      assert.equal(requirement, before.requirements[i]?.requirement)
      assert.ok(status !== 'MET' || before.requirements[i]?.status === 'MET', `${what}, ${requirement}: met`)
    }
  }

  const worlds: World.Changes[] = [
    {},
    { pledge: { issuedAtBlock: 106n } },
    { logRecord: { pledgeBlocks: 4n } },
    { keyRecord: { role: 3 } },
    { keyRecord: { validFrom: 106n } },
    { keyRecord: { validUntil: 105n } },
  ]
  for (const changes of worlds)
    test(`taking out any piece never raises: ${JSON.stringify(changes, (_, value) => (typeof value === 'bigint' ? String(value) : value))}`, async () => {
      const world = await World.create(changes)
      const pledged = (await World.create(changes)).bundle.pledge
      const issued = pledged === undefined ? undefined : Pledge.parse(pledged.words)
      const view = {
        chainId: World.chainId,
        newest: 112n,
        blocks: issued === undefined ? [] : [{ number: issued.issuedAtBlock, hash: issued.issuedAtBlockHash }],
      }
      const cuts = pieces.map(
        ([what, cut]) => [what, Bundle.serialize(BundleCut.cut(crypto, world.bundle, cut))] as const,
      )
      const patient = remembering(crypto)
      for (const reader of [world.reader, { ...world.reader, view }])
        for (const policy of policies) {
          const before = await Verdict.verify(patient, { bundle: world.bytes, policy, reader })
          assert.ok(policy !== each || before.requirements.length > Policy.anchoringFacts.length)
          for (const [what, small] of cuts)
            assertNoRise(what, before, await Verdict.verify(patient, { bundle: small, reader, policy }))
        }
    })

  test('taking out only the step never raises either', async () => {
    for (const changes of worlds) {
      const world = await World.create(changes)
      const { anchorLog, ...chain } = world.bundle.chain as Bundle.ChainPiece
      const { step0, step1, ...record } = anchorLog as NonNullable<Bundle.ChainPiece['anchorLog']>
      const small = Bundle.serialize({ ...world.bundle, chain: { ...chain, anchorLog: record } })
      const smaller = Bundle.serialize({ ...world.bundle, chain })
      for (const policy of policies) {
        const before = await verify(world, { policy })
        for (const bundle of [small, smaller])
          assertNoRise('step', before, await Verdict.verify(crypto, { bundle, reader: world.reader, policy }))
      }
    }
  })
})

describe('faults', () => {
  test('F1 by the same key is FAULT; by another key it says nothing', async () => {
    const world = await World.create()
    const twin = Head.serialize({
      ...Head.parse(world.bundle.receipt.head),
      claimsRoot: World.digestOf('other claims'),
    })
    const file = async (signer: Cose.Signer) => {
      const sign = (head: Uint8Array) => Cose.sign(crypto, signer, 'receipt', Head.payload(crypto, head))
      return Fault.serialize({
        class: 1,
        evidence: {
          headA: world.bundle.receipt.head,
          signatureA: await sign(world.bundle.receipt.head),
          headB: twin,
          signatureB: await sign(twin),
          publicKey: signer.publicKey,
        },
      })
    }
    const verdict = await verify(world, { policy: recorded, faults: [await file(World.signers.node)] })
    assert.equal(verdict.outcome, 'FAULT')
    assert.equal(verdict.faults[0]?.id, 'F1')
    assert.equal(
      (await verify(world, { policy: recorded, faults: [await file(World.signers.stranger)] })).outcome,
      'MEETS',
    )
  })

  test('F3 needs the root that this bundle proves anchored', async () => {
    const world = await World.create()
    const { pledge, checkpoint } = world.bundle
    assert.ok(pledge !== undefined && checkpoint !== undefined)
    const index = 2n
    const words = (await World.create({ pledge: { leafIndex: index, leafHash: world.leafHash } })).bundle.pledge
    assert.ok(words !== undefined)
    const f3 = Fault.serialize({
      class: 3,
      evidence: {
        pledge: words.words,
        signature: words.signature,
        publicKey: World.signers.log.publicKey,
        otherLeafHash: world.leaves[2] as Uint8Array,
        size: checkpoint.size,
        root: checkpoint.root,
        proof: Merkle.inclusionProof(crypto, world.leaves, index),
      },
    })
    assert.equal((await verify(world, { policy: recorded, faults: [f3] })).faults[0]?.id, 'F3')
    assert.equal(
      (await verify(world, { policy: recorded, faults: [f3], reader: Reader.nobody })).outcome,
      'INSUFFICIENT',
    )
  })

  test('more files than the limit are refused, not skipped', async () => {
    const world = await World.create()
    await assert.rejects(verify(world, { faults: Array.from({ length: 65 }, () => new Uint8Array([1])) }), {
      code: 'limit-exceeded',
    })
  })
})

describe('recomputation', () => {
  test('the same gives recomputed, another result is a local mismatch and no accusation', async () => {
    const world = await World.create()
    const same = { kind: 'same', backing: 'recomputed', because: 'again' } as const
    const verdict = await verify(world, {
      policy: recorded,
      recompute: async () => ({ prepared: same, executed: same, rendered: same }),
    })
    for (const name of ['prepared', 'executed', 'rendered'])
      assert.deepEqual(verdict.rows.find((row) => row.proposition === name)?.backing, ['recomputed'])
    const wanting: Policy.Policy = {
      ...recorded,
      name: 'wanting',
      requirements: { allOf: [recorded.requirements, { proposition: 'executed', backing: ['recomputed'] }] },
    }
    const other = await verify(world, {
      policy: wanting,
      recompute: async () => ({ executed: { kind: 'mismatch', because: 'other tokens' } }),
    })
    assert.equal(other.outcome, 'INSUFFICIENT')
    assert.match(
      other.rows.find((row) => row.proposition === 'executed')?.because ?? '',
      /Mismatch\(local\): other tokens/,
    )
    assert.deepEqual(other.faults, [])
  })
})
