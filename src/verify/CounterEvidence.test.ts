/** CounterEvidence.test.ts - whom a fault file accuses in a receipt: the node by its key, the log by its key, a witness that counts. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as World from '../../tests/fakes/World.ts'
import { crypto } from '../crypto/node.ts'
import * as Bundle from '../protocol/Bundle.ts'
import * as BundleCut from '../protocol/BundleCut.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Checkpoint from '../protocol/Checkpoint.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Head from '../protocol/Head.ts'
import * as Merkle from '../protocol/Merkle.ts'
import * as Pledge from '../protocol/Pledge.ts'
import type * as CounterEvidence from './CounterEvidence.ts'
import type * as Policy from './Policy.ts'
import { builtIn } from './policies.ts'
import * as Reader from './Reader.ts'
import * as Verdict from './Verdict.ts'

const recorded = builtIn.recorded as Policy.Policy
const { chainId, anchorLog, logId, signers } = World
const names = { chainId, anchorLog, logId }

type Options = {
  readonly reader?: Reader.Reader
  readonly bundle?: Uint8Array
  readonly policy?: Policy.Policy
  readonly known?: CounterEvidence.Known
}

/** Identifiers of the faults that a verdict names. */
async function faultsOf(world: World.World, file: Fault.Fault, options: Options = {}): Promise<string[]> {
  const { bundle = world.bytes, reader = world.reader, policy = recorded, known } = options
  const faults = [Fault.serialize(file)]
  const verdict = await Verdict.verify(crypto, {
    bundle,
    reader,
    policy,
    faults,
    ...(known === undefined ? {} : { known }),
  })
  assert.equal(verdict.outcome === 'FAULT', verdict.faults.length > 0)
  return verdict.faults.map(({ id }) => id)
}

type Named = { readonly chainId: bigint; readonly anchorLog: Uint8Array; readonly logId: Uint8Array }

async function state(signer: Cose.Signer, tag: 'checkpoint' | 'cosign', root: Uint8Array, named: Named = names) {
  const payload = Checkpoint.payload(crypto, Checkpoint.words({ ...named, size: 7n, root }))
  return { size: 7n, root, signature: await Cose.sign(crypto, signer, tag, payload) }
}

const rootOf = (world: World.World) => Merkle.root(crypto, world.leaves)
const other = World.digestOf('other root')

describe('F2', () => {
  const equal = async (world: World.World, signer: Cose.Signer, named: Named = names): Promise<Fault.Fault> => {
    const stateA = await state(signer, 'checkpoint', rootOf(world), named)
    const stateB = await state(signer, 'checkpoint', other, named)
    return { class: 2, evidence: { ...named, publicKey: signer.publicKey, stateA, stateB } }
  }

  test("two signed states accuse the key: the log's here, in whichever name", async () => {
    const world = await World.create()
    assert.deepEqual(await faultsOf(world, await equal(world, signers.log)), ['F2'])
    const elsewhere = { ...names, logId: World.digestOf('other log') }
    assert.deepEqual(await faultsOf(world, await equal(world, signers.log, elsewhere)), ['F2'])
  })

  test('signed by somebody else in the name of the log', async () => {
    const world = await World.create()
    assert.deepEqual(await faultsOf(world, await equal(world, signers.stranger)), [])
    assert.deepEqual(await faultsOf(world, await equal(world, signers.node)), [])
  })

  test('a signed state against the anchored one needs the anchored root that this bundle proves', async () => {
    const world = await World.create()
    const against = async (named: Named, signer: Cose.Signer): Promise<Fault.Fault> => {
      const stateB = await state(signer, 'checkpoint', other, named)
      const evidence = { ...named, publicKey: signer.publicKey, stateA: { size: 7n, root: rootOf(world) }, stateB }
      return { class: 2, evidence }
    }
    const file = await against(names, signers.log)
    assert.deepEqual(await faultsOf(world, file), ['F2'])
    assert.deepEqual(await faultsOf(world, file, { reader: Reader.nobody }), [])
    // Another chain or contract has anchored nothing here.
    assert.deepEqual(await faultsOf(world, await against({ ...names, chainId: 1n }, signers.log)), [])
    assert.deepEqual(await faultsOf(world, await against({ ...names, anchorLog: World.registry }, signers.log)), [])
    assert.deepEqual(await faultsOf(world, await against(names, signers.stranger)), [])
  })

  test('two states without a signature, with any key', async () => {
    const world = await World.create()
    const [stateA, stateB] = [rootOf(world), other].map((root) => ({ size: 7n, root })) as [Fault.State, Fault.State]
    const evidence = { ...names, publicKey: signers.log.publicKey, stateA, stateB }
    assert.deepEqual(await faultsOf(world, { class: 2, evidence }), [])
  })
})

describe('F4', () => {
  /** A pledge of the log for a leaf that the anchored step of size 7 in block 105 does not cover. */
  const late = async (changes: Partial<Pledge.Pledge>, evidence: Partial<Fault.F4> = {}): Promise<Fault.Fault> => {
    const words = Pledge.words({
      ...{ ...names, leafHash: World.digestOf('late leaf'), leafIndex: 7n, issuedAtBlock: 94n },
      ...{ issuedAtBlockHash: World.digestOf('block 94'), ...changes },
    })
    const signature = await Cose.sign(crypto, signers.log, 'pledge', Pledge.payload(crypto, words))
    const how = { missing: false, how: 1, at: 7n } as const
    return { class: 4, evidence: { pledge: words, signature, publicKey: signers.log.publicKey, ...how, ...evidence } }
  }
  const create = () => World.create({ logRecord: { pledgeBlocks: 10n } })

  test('a pledge that the proven step shows late', async () => {
    const world = await create()
    assert.deepEqual(await faultsOf(world, await late({})), ['F4'])
    assert.deepEqual(await faultsOf(world, await late({ issuedAtBlock: 95n })), [])
    assert.deepEqual(await faultsOf(world, await late({ leafIndex: 6n })), [])
    assert.deepEqual(await faultsOf(world, await late({}), { reader: Reader.nobody }), [])
  })

  test('what the reader cannot prove gives nothing: grace, heads written down, the present', async () => {
    const world = await create()
    assert.deepEqual(await faultsOf(world, await late({ issuedAtBlock: 0n }, { missing: true })), [])
    assert.deepEqual(await faultsOf(world, await late({}, { how: 2, at: 105n })), [])
    assert.deepEqual(await faultsOf(world, await late({}, { how: 0, at: 0n })), [])
    assert.deepEqual(await faultsOf(world, await late({}, { missing: true, how: 3, at: 0n })), [])
    assert.deepEqual(await faultsOf(world, await late({}, { at: 6n })), [])
  })

  test('what the reader had proven to itself counts beside what the bundle proves, and one wrong answer of it gives nothing', async () => {
    const world = await create()
    const cut = Bundle.serialize(BundleCut.cut(crypto, world.bundle, { chain: true }))
    const missing = await late({ issuedAtBlock: 0n }, { missing: true, how: 2, at: 105n })
    const terms: Fault.PledgeTerms = {
      pledgeBlocks: (id) => (Bytes.equal(id, logId) ? 10n : undefined),
      graceBlocks: 50n,
      seen: (_, how, at) => (how === 2 && at === 105n ? { block: 105n, size: 7n } : undefined),
      withheld: () => undefined,
    }
    const anchored = () => undefined
    for (const bundle of [world.bytes, cut]) {
      assert.deepEqual(await faultsOf(world, missing, { bundle, known: { anchored, terms } }), ['F4'])
      for (const wrong of [
        { ...terms, graceBlocks: undefined },
        { ...terms, graceBlocks: 95n },
        { ...terms, seen: () => ({ block: 105n, size: 8n }) },
        { ...terms, seen: () => undefined },
      ])
        assert.deepEqual(await faultsOf(world, missing, { bundle, known: { anchored, terms: wrong } }), [])
    }
    const never = await late({ issuedAtBlock: 0n }, { missing: true, how: 3, at: 0n })
    const shown = { ...terms, withheld: () => ({ block: 105n, lastBlock: 54n }) }
    assert.deepEqual(await faultsOf(world, never, { known: { anchored, terms: shown } }), ['F4'])
    assert.deepEqual(await faultsOf(world, never, { known: { anchored, terms } }), [])
    const without = { ...terms, pledgeBlocks: () => undefined }
    assert.deepEqual(await faultsOf(world, missing, { bundle: cut, known: { anchored, terms: without } }), [])
  })

  test('pledged elsewhere, or by somebody else', async () => {
    const world = await create()
    assert.deepEqual(await faultsOf(world, await late({ logId: World.digestOf('other log') })), [])
    assert.deepEqual(await faultsOf(world, await late({ chainId: 1n })), [])
    const file = (await late({})) as Fault.Fault & { class: 4 }
    const signature = await Cose.sign(crypto, signers.stranger, 'pledge', Pledge.payload(crypto, file.evidence.pledge))
    const evidence = { ...file.evidence, signature, publicKey: signers.stranger.publicKey }
    assert.deepEqual(await faultsOf(world, { class: 4, evidence }), [])
  })
})

describe('F6', () => {
  const file = async (world: World.World, signer: Cose.Signer): Promise<Fault.Fault> => {
    const stateA = await state(signer, 'cosign', rootOf(world))
    const stateB = await state(signer, 'cosign', other)
    const witness = { nodeId: World.digestOf('witness'), keyEpoch: 0 }
    return { class: 6, evidence: { ...names, publicKey: signer.publicKey, ...witness, stateA, stateB } }
  }

  test('accuses a witness that the reader named and that cosigned this checkpoint', async () => {
    const world = await World.create()
    assert.deepEqual(await faultsOf(world, await file(world, signers.witness)), ['F6'])
  })

  test('a witness that does not count concerns nobody', async () => {
    const world = await World.create()
    const accusation = await file(world, signers.witness)
    const unnamed = { ...world.reader, witnesses: [] }
    assert.deepEqual(await faultsOf(world, accusation, { reader: unnamed }), [])
    const forbidding = {
      ...recorded,
      forbid: [`witness:${Bytes.toHex(World.keyIdOf(signers.witness))}`],
    }
    assert.deepEqual(await faultsOf(world, accusation, { policy: forbidding }), [])
    const alone = BundleCut.cut(crypto, world.bundle, { checkpoint: true })
    assert.deepEqual(await faultsOf(world, accusation, { bundle: Bundle.serialize(alone) }), [])
    assert.deepEqual(await faultsOf(world, await file(world, signers.stranger)), [])
    // The tag keeps a log's two checkpoints from being a witness's two cosignatures.
    assert.deepEqual(await faultsOf(world, await file(world, signers.log)), [])
  })
})

describe('F13', () => {
  const file = async (world: World.World, signer: Cose.Signer, changes: Partial<Head.Head>): Promise<Fault.Fault> => {
    const headA = world.bundle.receipt.head
    const next = { ...Head.parse(headA), sequence: 1n, previous: World.digestOf('another head'), ...changes }
    const headB = Head.serialize(next)
    const sign = (head: Uint8Array) => Cose.sign(crypto, signer, 'receipt', Head.payload(crypto, head))
    const evidence = { headA, signatureA: await sign(headA), headB, signatureB: await sign(headB) }
    return { class: 13, evidence: { ...evidence, publicKey: signer.publicKey } }
  }

  test('accuses the key of the node, and nobody who linked rightly', async () => {
    const world = await World.create()
    assert.deepEqual(await faultsOf(world, await file(world, signers.node, {})), ['F13'])
    assert.deepEqual(await faultsOf(world, await file(world, signers.stranger, {})), [])
    assert.deepEqual(await faultsOf(world, await file(world, signers.node, { previous: world.receiptHash })), [])
    assert.deepEqual(await faultsOf(world, await file(world, signers.node, { sequence: 2n })), [])
  })
})
