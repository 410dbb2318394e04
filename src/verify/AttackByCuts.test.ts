/** An attacker who holds a true file leaves pieces out of it, to get a better verdict than with all of them. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { cosign, policyOf } from '../../tests/fakes/Bent.ts'
import * as World from '../../tests/fakes/World.ts'
import type * as Bundle from '../protocol/Bundle.ts'
import * as BundleCut from '../protocol/BundleCut.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Integrity from './Integrity.ts'
import * as Judgement from './Judgement.ts'
import type * as Policy from './Policy.ts'
import type * as Reader from './Reader.ts'
import * as Requirements from './Requirements.ts'

const { crypto } = World

describe('to rise by leaving out', () => {
  const hex = (bytes: Uint8Array) => Bytes.toHex(bytes)
  const leaves: Policy.Requirement[] = [
    ...(['local', 'pledged', 'included', 'witnessed', 'anchored', 'final'] as const).map((anchoring) => ({
      anchoring,
    })),
    ...(['asserted', 'signed', 'recomputed'] as const).flatMap((kind) => [
      { proposition: 'ordered' as const, backing: [kind] },
      { proposition: 'executed' as const, backing: [kind] },
    ]),
    ...(['asserted', 'signed'] as const).flatMap((kind) => [
      { proposition: 'model' as const, backing: [kind] },
      { proposition: 'route' as const, backing: [kind] },
      { disclosed: { backing: [kind] } },
    ]),
    { proposition: 'exposure', visibility: 'disclosed' },
    { proposition: 'route', visibility: 'absent' },
    { proposition: 'outcome', field: 'finish', value: { equals: 'stop' } },
    { distinctOperators: ['node', 'log'] },
    { operator: 'reader' },
    { witnessedBy: 'reader', k: 1 },
    { maxAgeSeconds: 1_000_000 },
    { consequence: 'bonded' },
    { consequence: 'bonded', minStake: '1' },
  ]
  const forbids = [
    [],
    [`operator:0x${hex(World.logOperator)}`],
    [`operator:0x${hex(World.nodeOperator)}`],
    [`witness:${hex(World.keyIdOf(World.signers.stranger))}`],
    [`log:${hex(World.logId)}`],
    ['chain:development:*'],
  ]
  const cuts: BundleCut.Cut[] = [
    { order: true },
    { manifest: true },
    { chain: true },
    { stake: true },
    { checkpoint: true },
    { pledge: true },
    { keepCosigners: [] },
    { keepCosigners: [World.signers.witness.publicKey] },
    { keepCosigners: [World.signers.stranger.publicKey] },
    { bodies: ['request'] },
    { bodies: ['output'] },
    ...(['node', 'order', 'request', 'model', 'exposure', 'outcome', 'engine'] as const).map((slot) => ({
      slots: [slot],
    })),
  ]
  const all = leaves.flatMap((leaf) => forbids.map((forbid) => policyOf(leaf, forbid)))
  const worlds: World.Changes[] = [
    {},
    { keyRecord: { validFrom: 107n } },
    { pledge: { issuedAtBlock: 106n, issuedAtBlockHash: World.digestOf('block 100') } },
    { header: { number: 105n } },
    { logRecord: { pledgeBlocks: 1n } },
    { stake: {} },
    { stake: { log: { retiredAtBlock: 1n } } },
    { orderSigner: World.signers.log },
  ]
  const together = (first: BundleCut.Cut, second: BundleCut.Cut) => (bundle: Bundle.Bundle) =>
    BundleCut.cut(crypto, BundleCut.cut(crypto, bundle, first), second)
  const same = { kind: 'same', backing: 'recomputed', because: '' } as const

  for (const changes of worlds)
    test(`every requirement, every forbidden party, pairs of cuts: ${Object.keys(changes).join() || 'all true'}`, async () => {
      const whole = await cosign(await World.create(changes), World.signers.stranger)
      const blocks = [100n, 106n].map((number) => ({ number, hash: World.digestOf('block 100') }))
      const reader: Reader.Reader = {
        ...whole.reader,
        witnesses: [World.signers.witness, World.signers.stranger].map(World.keyIdOf),
        view: { chainId: World.chainId, newest: 112n, blocks },
      }
      // One check of the file serves all policies: what is shown does not depend on who asks.
      const metBy = async (bundle: Bundle.Bundle) => {
        const facts = await Integrity.check({ crypto: fast, bundle, exactProfiles: ['onnx-wasm/1'] })
        const judgement = Judgement.judge(crypto, bundle, facts, reader, { executed: same })
        const context = { bundle, claims: facts.claims, judgement, reader, nowSeconds: 1_900_000_100n }
        return new Set(all.filter((policy) => Requirements.evaluate({ ...context, policy }).isMet))
      }
      const before = await metBy(whole.bundle)
      assert.ok(before.size > 20)
      for (const [i, first] of cuts.entries())
        for (const second of cuts.slice(i)) {
          const after = await metBy(together(first, second)(whole.bundle))
          for (const policy of after)
            assert.ok(
              before.has(policy),
              `${JSON.stringify(policy)} raised by ${Object.keys(first)} and ${Object.keys(second)}`,
            )
        }
    })
  /** Signatures are true here by construction, and most of the time would go into them. */
  const fast = { ...crypto, p256Verify: () => true }
})
