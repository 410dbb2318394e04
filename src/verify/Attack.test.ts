/**
 * What an attacker wanted and does not get. Worlds are bent before anything in them is signed, so that only the rule under
 * attack stands in the way.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { cosign, policyOf, withBundle } from '../../tests/fakes/Bent.ts'
import * as World from '../../tests/fakes/World.ts'
import * as Body from '../protocol/Body.ts'
import * as Bundle from '../protocol/Bundle.ts'
import * as BundleCut from '../protocol/BundleCut.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Manifest from '../protocol/Manifest.ts'
import * as Merkle from '../protocol/Merkle.ts'
import * as Order from '../protocol/Order.ts'
import * as Pledge from '../protocol/Pledge.ts'
import * as Policy from './Policy.ts'
import { recorded, strict } from './policies.ts'
import * as Reader from './Reader.ts'
import { recomputeWith } from './recompute.ts'
import type * as Verdict from './Verdict.ts'
import { verify } from './Verdict.ts'

const { crypto } = World
const outcomeOf = async (world: World.World, policy: Policy.Policy, options: Partial<Verdict.Options> = {}) =>
  (await verify(crypto, { bundle: world.bytes, reader: world.reader, policy, ...options })).outcome
describe('a log that is not shown', () => {
  /** Pledge and checkpoint in the name of an honest log, by a key that anybody has. */
  async function forged(): Promise<World.World> {
    const world = await World.create({ pledgeSigner: World.signers.stranger, checkpointSigner: World.signers.stranger })
    const bundle = BundleCut.cut(crypto, world.bundle, { chain: true, keepCosigners: [] })
    return withBundle(world, { ...bundle, keys: { ...bundle.keys, log: World.signers.stranger.publicKey } })
  }
  const view = {
    chainId: World.chainId,
    newest: 101n,
    blocks: [{ number: 100n, hash: World.digestOf('block 100') }],
  }

  for (const anchoring of ['pledged', 'included'] as const)
    test(`to have "${anchoring}" in the name of an honest log`, async () => {
      const world = await forged()
      const reader = { ...world.reader, view }
      assert.equal(await outcomeOf(world, policyOf({ anchoring }), { reader }), 'INSUFFICIENT')
    })

  test('to be pledged by a contract outside the trust anchors', async () => {
    const anchorLog = World.digestOf('my own contract').slice(0, 20)
    const world = await World.create({ pledge: { anchorLog } })
    const bundle = BundleCut.cut(crypto, world.bundle, { checkpoint: true })
    const { anchorLog: _, ...chain } = bundle.chain as Bundle.ChainPiece
    const reader = { ...world.reader, view }
    const bare = withBundle(world, { ...bundle, chain })
    assert.equal(await outcomeOf(bare, policyOf({ anchoring: 'pledged' }), { reader }), 'INSUFFICIENT')
  })
})

describe('a fault against somebody honest', () => {
  test('F3 with a pledge that the accuser signed in the name of the log', async () => {
    const world = await World.create()
    const { checkpoint } = world.bundle
    assert.ok(checkpoint)
    const words = Pledge.words({
      ...{ chainId: World.chainId, anchorLog: World.anchorLog, logId: World.logId, issuedAtBlock: 100n },
      ...{ leafHash: World.digestOf('never logged'), leafIndex: 2n, issuedAtBlockHash: World.digestOf('block 100') },
    })
    const mine = World.signers.stranger
    const file = Fault.serialize({
      class: 3,
      evidence: {
        pledge: words,
        signature: await Cose.sign(crypto, mine, 'pledge', Pledge.payload(crypto, words)),
        publicKey: mine.publicKey,
        otherLeafHash: world.leaves[2] as Uint8Array,
        ...{ size: checkpoint.size, root: checkpoint.root },
        proof: Merkle.inclusionProof(crypto, world.leaves, 2n),
      },
    })
    const verdict = await verify(crypto, {
      ...{ bundle: world.bytes, reader: world.reader, policy: recorded, faults: [file] },
    })
    assert.deepEqual([verdict.outcome, verdict.faults], ['MEETS', []])
  })

  test('fault files of every hostile form change nothing and stop nothing', async () => {
    const world = await World.create()
    const nested = new Uint8Array(200).fill(0x81)
    const files = [new Uint8Array(0), nested, new Uint8Array(17_000), Bytes.fromHex('a3000101010280')]
    assert.equal(await outcomeOf(world, recorded, { faults: files }), 'MEETS')
  })
})

describe('bytes that nothing covers', () => {
  test('the salt of a body without leaves', async () => {
    const output = { kind: 1 as const, root: Merkle.emptyRoot(crypto), count: 0 }
    const world = await World.create({ claims: { output } })
    for (const fill of [1, 2]) {
      const bodies = { ...world.bundle.bodies, output: { salt: new Uint8Array(16).fill(fill), leaves: [] } }
      const outcome = async () => outcomeOf(withBundle(world, { ...world.bundle, bodies }), recorded)
      // Refused while reading or as a contradiction: either way it never meets.
      const result = await outcome().catch((error: unknown) => {
        assert.ok(error instanceof Bundle.MalformedBundleError)
        return 'INVALID'
      })
      assert.equal(result, 'INVALID')
    }
  })

  test('a body under a zero salt, whose bytes a dictionary finds', async () => {
    const salt = new Uint8Array(16)
    const leaves = Body.tokenLeaves([9, 8, 4])
    const output = { kind: 1 as const, root: Body.root(crypto, salt, leaves), count: 3 }
    const world = await World.create({ claims: { output } })
    const bodies = { ...world.bundle.bodies, output: { salt, leaves } }
    const verdict = await verify(crypto, {
      ...{ bundle: Bundle.serialize({ ...world.bundle, bodies }), reader: world.reader, policy: recorded },
    })
    assert.equal(verdict.step, 'salts')
  })

  test('the other public key under which a signature verifies, once the registry proof is there', async () => {
    const world = await World.create()
    for (const keys of [
      { ...world.bundle.keys, node: World.signers.stranger.publicKey },
      { ...world.bundle.keys, log: World.signers.stranger.publicKey },
    ])
      assert.equal(await outcomeOf(withBundle(world, { ...world.bundle, keys }), recorded), 'INVALID')
  })

  test('a cosignature that does not hold, of somebody whom the reader does not know', async () => {
    const world = await cosign(await World.create(), World.signers.stranger)
    const { checkpoint } = world.bundle
    assert.ok(checkpoint)
    const cosignatures = checkpoint.cosignatures.map((line) => {
      const signature = line.signature.slice()
      const isStranger = Bytes.equal(line.publicKey, World.signers.stranger.publicKey)
      if (isStranger) signature[40] = (signature[40] as number) ^ 1
      return { ...line, signature }
    })
    const bent = withBundle(world, { ...world.bundle, checkpoint: { ...checkpoint, cosignatures } })
    assert.equal(await outcomeOf(world, recorded), 'MEETS')
    assert.equal(await outcomeOf(bent, recorded), 'INVALID')
  })
})

describe('one key in several roles', () => {
  const witnessed = policyOf({ witnessedBy: 'reader', k: 1 })
  for (const role of ['log', 'node'] as const)
    test(`the ${role}'s own key as the witness`, async () => {
      const world = await cosign(await World.create({ cosignSigner: World.signers.stranger }), World.signers[role])
      const reader = { ...world.reader, witnesses: [World.keyIdOf(World.signers[role])] }
      assert.equal(await outcomeOf(world, witnessed, { reader }), 'INSUFFICIENT')
      assert.equal(await outcomeOf(world, policyOf({ anchoring: 'witnessed' }), { reader }), 'INSUFFICIENT')
    })

  test('one key under two operators is no pair of different operators', async () => {
    const world = await World.create({
      ...{ pledgeSigner: World.signers.node, checkpointSigner: World.signers.node },
      logRecord: { keyId: World.keyIdOf(World.signers.node) },
    })
    const keys = { ...world.bundle.keys, log: World.signers.node.publicKey }
    const same = withBundle(world, { ...world.bundle, keys })
    assert.equal(await outcomeOf(same, recorded), 'MEETS')
    assert.equal(await outcomeOf(same, policyOf({ distinctOperators: ['node', 'log'] })), 'INSUFFICIENT')
  })

  test("the node's own key as the client", async () => {
    const world = await World.create({ orderSigner: World.signers.node })
    assert.equal(await outcomeOf(world, recorded), 'MEETS')
    assert.equal(await outcomeOf(world, policyOf({ proposition: 'ordered', backing: ['recomputed'] })), 'INSUFFICIENT')
  })

  test('one cosignature as two witnesses, because the reader named it twice', async () => {
    const world = await World.create()
    const [keyId] = world.reader.witnesses
    const reader = { ...world.reader, witnesses: [keyId, keyId] as Uint8Array[] }
    assert.equal(await outcomeOf(world, policyOf({ witnessedBy: 'reader', k: 2 }), { reader }), 'INSUFFICIENT')
  })
})

describe("an order that is somebody else's", () => {
  const ordered = policyOf({ proposition: 'ordered', backing: ['recomputed'] })
  test('for another chain, registry or node, or replayed beside another request', async () => {
    for (const changes of [
      { order: { nodeId: World.digestOf('another node') } },
      { requestBytes: Bytes.fromUtf8('{"model":"tiny","messages":[]}') },
      { orderTag: 'receipt' as const },
      { order: { modes: 2 } },
      { order: { model: World.digestOf('another model') } },
    ])
      assert.equal(await outcomeOf(await World.create(changes), ordered), 'INVALID', JSON.stringify(changes))
  })

  test('of another receipt, put into this file', async () => {
    const other = await World.create({ order: { nonce: World.digestOf('other nonce').slice(0, 16) } })
    const world = await World.create()
    const { order } = other.bundle
    assert.ok(order)
    assert.equal(await outcomeOf(withBundle(world, { ...world.bundle, order }), ordered), 'INVALID')
  })

  test('terms that the client did not sign, and retention that only the total hides', async () => {
    const world = await World.create()
    const terms = Order.encodeTerms({ parties: ['node', 'everybody'], maxRetentionSeconds: 4_294_967_295 })
    const order = { ...(world.bundle.order as Bundle.OrderPiece), terms }
    assert.equal(await outcomeOf(withBundle(world, { ...world.bundle, order }), ordered), 'INVALID')
    for (const exposure of [
      { saw: [{ party: 'node', what: [], why: '', retentionSeconds: 601 }], retentionSeconds: 600 },
      { saw: [], retentionSeconds: 601 },
      { saw: [{ party: 'Node', what: [], why: '', retentionSeconds: 0 }], retentionSeconds: 0 },
    ])
      assert.equal(await outcomeOf(await World.create({ claims: { exposure } }), ordered), 'INSUFFICIENT')
  })

  test('a hidden price, exposure or model does not count as none', async () => {
    const priced = await World.create({ claims: { price: World.digestOf('price') } })
    for (const [world, slot] of [
      [priced, 'price'],
      [await World.create(), 'exposure'],
      [await World.create(), 'model'],
    ] as const)
      assert.equal(
        await outcomeOf(withBundle(world, BundleCut.cut(crypto, world.bundle, { slots: [slot] })), ordered),
        'INSUFFICIENT',
        slot,
      )
  })
})

describe('a policy that is laxer than its words', () => {
  test('an unused slot is not backed by a signature', async () => {
    const world = await World.create({ claims: { exposure: null } })
    for (const backing of ['asserted', 'signed'] as const) {
      assert.equal(await outcomeOf(world, policyOf({ proposition: 'route', backing: [backing] })), 'INSUFFICIENT')
      assert.equal(await outcomeOf(world, policyOf({ proposition: 'model', backing: [backing] })), 'MEETS')
    }
    assert.equal(await outcomeOf(world, policyOf({ proposition: 'exposure', visibility: 'absent' })), 'MEETS')
  })

  test('an old receipt under a new header is not young', async () => {
    const world = await World.create({ header: { number: 9_000_000n, timestampSeconds: 1_900_000_000n } })
    const young = policyOf({ maxAgeSeconds: 60 })
    assert.equal(await outcomeOf(world, young, { nowSeconds: 1_900_000_010n }), 'INSUFFICIENT')
    const same = await World.create({ header: { number: 105n, timestampSeconds: 1_900_000_000n } })
    assert.equal(await outcomeOf(same, young, { nowSeconds: 1_900_000_010n }), 'MEETS')
    assert.equal(await outcomeOf(same, young, { nowSeconds: 1_900_000_061n }), 'INSUFFICIENT')
    assert.equal(await outcomeOf(same, young, { nowSeconds: 1_899_999_999n }), 'INSUFFICIENT')
    assert.equal(await outcomeOf(same, young), 'INSUFFICIENT')
    const forbidding = policyOf({ maxAgeSeconds: 60 }, ['chain:development:*'])
    assert.equal(await outcomeOf(same, forbidding, { nowSeconds: 1_900_000_010n }), 'INSUFFICIENT')
  })

  test('who is forbidden stays so when the chain names an operator for the key', async () => {
    const world = await World.create()
    const key = Bytes.toHex(World.keyIdOf(World.signers.node))
    const log = Bytes.toHex(World.logId)
    const witness = Bytes.toHex(World.keyIdOf(World.signers.witness))
    for (const pattern of [`key:${key}`, `log:${log}`, `log:${log.slice(0, 8)}*`, 'operator:0x*'])
      assert.equal(await outcomeOf(world, { ...recorded, forbid: [pattern] }), 'INSUFFICIENT', pattern)
    assert.equal(
      await outcomeOf(world, policyOf({ witnessedBy: 'reader', k: 1 }, [`witness:${witness}`])),
      'INSUFFICIENT',
    )
    assert.equal(await outcomeOf(world, policyOf({ operator: 'reader' }, [`key:${key}`])), 'INSUFFICIENT')
  })

  test('a pattern that no atom can match is refused, not ignored', () => {
    for (const pattern of [
      `operator:0x${'Ab'.repeat(20)}`,
      `operator:${'ab'.repeat(20)}`,
      `key:0x${'ab'.repeat(32)}`,
      `log:${'AB'.repeat(32)}`,
      'key:abcd',
      'operator',
      'chain',
      '*',
      'c*ain',
      '',
    ])
      assert.throws(() => Policy.parse({ ...recorded, forbid: [pattern] }), pattern)
    for (const pattern of ['operator:*', 'operator:0*', 'operator:0xab*', 'key:*', 'chain*', 'simulated', 'log:ab*'])
      Policy.parse({ ...recorded, forbid: [pattern] })
  })

  test("a party is not measured by the reader's list of rewrites", () => {
    const requirements = { proposition: 'exposure', field: 'parties', value: { subsetOf: 'reader' } }
    assert.throws(() => Policy.parse({ ...recorded, requirements }), Policy.InvalidPolicyError)
  })

  test('two rewrites do not read alike', async () => {
    const allowed = 'inject /messages be kind'
    const reader = (world: World.World) => ({ ...world.reader, rewrites: [allowed] })
    const wanted = policyOf({ proposition: 'effectiveRequest', field: 'rewrites', value: { subsetOf: 'reader' } })
    const same = await World.create({ rewrites: [{ code: 'inject', path: '/messages', detail: 'be kind' }] })
    assert.equal(await outcomeOf(same, wanted, { reader: reader(same) }), 'MEETS')
    const other = await World.create({ rewrites: [{ code: 'inject', path: '/messages be', detail: 'kind' }] })
    assert.equal(await outcomeOf(other, wanted, { reader: reader(other) }), 'INSUFFICIENT')
  })

  test('under strict a list of rewrites counts only with the relation that it is whole', () => {
    assert.ok('allOf' in strict.requirements)
    assert.ok(strict.requirements.allOf.some((item) => 'proposition' in item && item.proposition === 'prepared'))
  })

  test('policies that are no data are refused with one error', () => {
    const value = (equals: unknown) => ({ proposition: 'engine', field: 'name', value: { equals } })
    for (const requirements of [
      value('e\u0301'),
      value('\ud800'),
      value(-0),
      value(1.5),
      value(2 ** 53),
      value(null),
      { proposition: 'engine', field: 'name', value: { oneOf: Array(300_000).fill('a') } },
      { proposition: 'engine', field: '__proto__', value: { equals: 'a' } },
      { proposition: 'toString', backing: ['signed'] },
      JSON.parse('{"anchoring":"final","__proto__":{"x":1}}'),
      { allOf: [{ anchoring: 'final' }], anyOf: [{ anchoring: 'local' }] },
      { witnessedBy: 'reader', k: 0 },
    ])
      assert.throws(() => Policy.parse({ ...recorded, requirements }), Policy.InvalidPolicyError)
  })
})

describe('a state of the chain that is another one', () => {
  test('same number, other block; other epoch; other size; other chain', async () => {
    const world = await World.create()
    const fork = world.reader.anchors.map((entry) => ({
      ...entry,
      headers: [{ number: 110n, hash: World.digestOf('a fork') }],
    }))
    assert.equal(await outcomeOf(world, recorded, { reader: { ...world.reader, anchors: fork } }), 'INSUFFICIENT')
    const later = await World.create({ logSize: 8 })
    const chain = world.bundle.chain as Bundle.ChainPiece
    const steps = later.bundle.chain?.anchorLog
    assert.ok(chain.anchorLog && steps?.step0 && steps.step1)
    const anchorLog = { ...chain.anchorLog, step0: steps.step0, step1: steps.step1 }
    const bent = { ...world.bundle, chain: { ...chain, anchorLog } }
    assert.equal(await outcomeOf(withBundle(world, bent), recorded), 'INVALID')
    const epoch = await World.create({ head: { keyEpoch: 1 } })
    const { registry } = epoch.bundle.chain as Bundle.ChainPiece
    assert.equal(
      await outcomeOf(withBundle(world, { ...world.bundle, chain: { ...chain, registry } }), recorded),
      'INVALID',
    )
    const elsewhere = await World.create({ head: { chainId: 1n }, pledge: { chainId: 1n } })
    const bare = withBundle(elsewhere, BundleCut.cut(crypto, elsewhere.bundle, { order: true, checkpoint: true }))
    assert.equal(await outcomeOf(bare, recorded), 'INSUFFICIENT')
    assert.equal(await outcomeOf(bare, policyOf({ anchoring: 'pledged' })), 'INSUFFICIENT')
  })

  test('a key in the block in which it ends, and one that ends where it begins', async () => {
    const signed = policyOf({ disclosed: { backing: ['signed'] } })
    const cases = [
      [{ validFrom: 105n, validUntil: 106n }, 'MEETS'],
      [{ validFrom: 106n, validUntil: 107n }, 'INSUFFICIENT'],
      [{ validFrom: 90n, validUntil: 105n }, 'INSUFFICIENT'],
      [{ validFrom: 105n, validUntil: 105n }, 'INSUFFICIENT'],
    ] as const
    for (const [keyRecord, expected] of cases)
      assert.equal(await outcomeOf(await World.create({ keyRecord }), signed), expected)
  })

  test('an ended key under an old header, with no anchor to say when it signed', async () => {
    const world = await World.create()
    const cut = withBundle(world, BundleCut.cut(crypto, world.bundle, { pledge: true }))
    assert.equal(await outcomeOf(cut, policyOf({ disclosed: { backing: ['signed'] } })), 'INSUFFICIENT')
  })
})

test('to end a verdict with an error that the engine throws on hostile tensors', async () => {
  const world = await World.create()
  class Refusal extends Fault.FaultRefusedError {}
  const recompute = recomputeWith(crypto, async () => {
    throw new Refusal('malformed')
  })
  const bytes = world.bundle.manifest as Uint8Array
  const lazily = recomputeWith(crypto, async (_model, _profile) => ({
    model: { manifest: Manifest.parse(bytes), manifestBytes: bytes },
    get weightsRoot(): Uint8Array {
      throw new Refusal('malformed')
    },
  }))
  const wanted = policyOf({ proposition: 'executed', backing: ['recomputed'] })
  assert.equal(await outcomeOf(world, wanted, { recompute: lazily }), 'INSUFFICIENT')
  assert.equal(await outcomeOf(world, wanted, { recompute }), 'INSUFFICIENT')
})

test('the reader who trusts nobody gives nothing above asserted or its own recomputation', async () => {
  const world = await World.create()
  const verdict = await verify(crypto, { bundle: world.bytes, reader: Reader.nobody, policy: recorded })
  assert.deepEqual(
    verdict.anchoring.map((entry) => entry.fact),
    ['local'],
  )
})
