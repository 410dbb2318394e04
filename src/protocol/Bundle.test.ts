/** Bundle.test.ts - reading and cutting bundles, and the fault and manifest files beside them. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as World from '../../scripts/vector-files/world.ts'
import { crypto } from '../crypto/noble.ts'
import * as Body from './Body.ts'
import * as Bundle from './Bundle.ts'
import * as Bytes from './Bytes.ts'
import * as ClaimsTree from './ClaimsTree.ts'
import * as Cose from './Cose.ts'
import * as Dcbor from './Dcbor.ts'
import * as Fault from './Fault.ts'
import * as Head from './Head.ts'
import * as Manifest from './Manifest.ts'
import * as Slot from './Slot.ts'

const code = (wanted: string) => (error: unknown) => (error as { code?: string }).code === wanted

const trie = [Uint8Array.of(0xc0)]
/** A chain piece of the right shape; what it proves is no question here. */
const chain: Bundle.ChainPiece = {
  header: Uint8Array.of(0xc0),
  blockHash: World.digest('block'),
  registry: { account: trie, word0: trie, word1: trie },
  anchorLog: { account: trie, record0: trie, record1: trie, step0: trie, step1: trie },
}
const whole = World.complete(chain)

/** The root that a bundle's leaves give. */
function rootOf(bundle: Bundle.Bundle): Uint8Array {
  const leaves = Array.from({ length: 16 }, (_, slot) => {
    const opening = bundle.disclosed.get(slot)
    if (opening !== undefined) return ClaimsTree.leaf(crypto, slot, opening.salt, opening.value)
    return bundle.hidden.get(slot) ?? ClaimsTree.unusedLeaf(crypto, slot)
  })
  return ClaimsTree.root(crypto, leaves)
}

describe('Bundle', () => {
  test('parse and serialize are inverses', () => {
    for (const bundle of [World.minimal, World.ordered, World.withBodies, World.logged, whole]) {
      assert.deepEqual(Bundle.parse(Bundle.serialize(bundle)), bundle)
    }
  })
  test('without chain proof, bodies and manifest it has at most 6 kB', () => {
    assert.ok(Bundle.serialize(World.logged).length <= 6000, `${Bundle.serialize(World.logged).length}`)
  })
  test('absent, hidden and disclosed differ for every slot', () => {
    for (const slot of Slot.usable) {
      const value = { salt: World.nonce, value: Uint8Array.of(0xf6) }
      const absent: Bundle.Bundle = {
        receipt: whole.receipt,
        keys: World.minimal.keys,
        disclosed: new Map(),
        hidden: new Map(),
      }
      const hidden = { ...absent, hidden: new Map([[slot, ClaimsTree.leaf(crypto, slot, value.salt, value.value)]]) }
      const disclosed = { ...absent, disclosed: new Map([[slot, value]]) }
      const bundles = [absent, hidden, disclosed].map((bundle) => Bundle.parse(Bundle.serialize(bundle)))
      assert.deepEqual(
        bundles.map((bundle) => Bundle.visibilityOf(bundle, slot)),
        ['absent', 'hidden', 'disclosed'],
      )
      assert.equal(new Set(bundles.map((bundle) => Bytes.toHex(Bundle.serialize(bundle)))).size, 3)
      assert.deepEqual(rootOf(bundles[1] as Bundle.Bundle), rootOf(bundles[2] as Bundle.Bundle))
      assert.notDeepEqual(rootOf(bundles[0] as Bundle.Bundle), rootOf(bundles[1] as Bundle.Bundle))
      assert.throws(
        () => Bundle.serialize({ ...absent, hidden: new Map([[slot, ClaimsTree.unusedLeaf(crypto, slot)]]) }),
        code('bundle-presence'),
      )
    }
    assert.throws(() => Bundle.visibilityOf(whole, 16), code('unknown-slot'))
  })
  test('does not write what it would not read', () => {
    const { pledge, ...unpledged } = whole
    assert.throws(() => Bundle.serialize(unpledged), code('bundle-presence'))
    assert.throws(() => Bundle.serialize({ ...whole, grade: 'proven' } as never), code('bundle-shape'))
    assert.throws(
      () => Bundle.serialize({ ...whole, keys: { ...whole.keys, witness: World.witness.publicKey } } as never),
      code('bundle-shape'),
    )
    assert.throws(() => Bundle.serialize({ ...whole, hidden: new Map([[16, World.root]]) }), code('bundle-shape'))
    assert.throws(() => Bundle.serialize({ ...whole, manifest: new Uint8Array(Bundle.maxBytes) }), code('bundle-shape'))
    const value = new Uint8Array(65_537)
    assert.throws(
      () => Bundle.serialize({ ...whole, disclosed: new Map([[0, { salt: World.nonce, value }]]) }),
      code('bundle-shape'),
    )
  })
  test('is refused above 4 MiB before it is read', () => {
    assert.throws(() => Bundle.parse(new Uint8Array(Bundle.maxBytes + 1)), code('bundle-shape'))
  })
  test('many small leaves end in the one error', () => {
    // 300,000 leaves of one byte: more items than a document may have.
    const head = Bytes.fromHex('9a000493e0')
    const leaves = new Uint8Array(300_000).fill(0x40)
    const document = Dcbor.encode(
      new Map<Dcbor.Key, Dcbor.Value>([
        [0, 1],
        [9, new Map([[3, [World.nonce, []]]])],
      ]),
    )
    const bytes = Bytes.concat(document.slice(0, -1), head, leaves)
    assert.throws(() => Bundle.parse(bytes), code('bundle-shape'))
  })
})

describe('Bundle.cut', () => {
  const cuts: readonly Bundle.Cut[] = [
    {},
    ...Slot.names.map((name) => ({ slots: [name] })),
    ...Body.names.map((name) => ({ bodies: [name] })),
    { order: true },
    { manifest: true },
    { chain: true },
    { checkpoint: true },
    { pledge: true },
    { keepCosigners: [] },
    { keepCosigners: [World.witness.publicKey] },
    { slots: Slot.names, bodies: Body.names, order: true, manifest: true, chain: true, checkpoint: true, pledge: true },
  ]
  test('any two cuts in a row give a bundle of the same receipt that parses', () => {
    for (const first of cuts) {
      for (const second of cuts) {
        const small = Bundle.cut(crypto, Bundle.cut(crypto, whole, first), second)
        assert.deepEqual(Bundle.parse(Bundle.serialize(small)), small)
        assert.deepEqual(small.receipt, whole.receipt)
        assert.deepEqual(rootOf(small), World.tree.root)
        assert.ok(Bundle.serialize(small).length <= Bundle.serialize(whole).length)
      }
    }
  })
  test('takes along what needs the piece', () => {
    const keys = (what: Bundle.Cut) => Object.keys(Bundle.cut(crypto, whole, what)).sort()
    const all = [
      'bodies',
      'chain',
      'checkpoint',
      'disclosed',
      'hidden',
      'keys',
      'manifest',
      'order',
      'pledge',
      'receipt',
    ]
    const less = (...names: string[]) => all.filter((name) => !names.includes(name))
    assert.deepEqual(keys({}), all)
    assert.deepEqual(keys({ slots: ['order'] }), less('order'))
    assert.deepEqual(keys({ slots: ['model'] }), less('manifest'))
    assert.deepEqual(keys({ slots: ['request', 'effectiveRequest', 'response', 'output'] }), less('bodies'))
    assert.deepEqual(keys({ pledge: true }), less('pledge', 'checkpoint'))
    assert.deepEqual(Bundle.cut(crypto, whole, { pledge: true }).keys, { node: World.node.publicKey })
    assert.deepEqual(Object.keys(Bundle.cut(crypto, whole, { pledge: true }).chain ?? {}), [
      'header',
      'blockHash',
      'registry',
    ])
    assert.deepEqual(Object.keys(Bundle.cut(crypto, whole, { checkpoint: true }).chain?.anchorLog ?? {}), [
      'account',
      'record0',
      'record1',
    ])
    assert.deepEqual(Object.keys(Bundle.cut(crypto, whole, { slots: ['request'] }).bodies ?? {}), [
      'effective',
      'response',
      'output',
    ])
    assert.equal(Bundle.cut(crypto, whole, { bodies: ['request'] }).order?.requestSalt, undefined)
    assert.equal(
      Bundle.cut(crypto, whole, { keepCosigners: [World.witness.publicKey] }).checkpoint?.cosignatures.length,
      1,
    )
  })
  test('leaves the bundle that it was given alone', () => {
    const before = Bytes.toHex(Bundle.serialize(whole))
    Bundle.cut(crypto, whole, cuts.at(-1) as Bundle.Cut)
    assert.equal(Bytes.toHex(Bundle.serialize(whole)), before)
  })
})

describe('Fault', () => {
  test('is not written for another class than its evidence', () => {
    const evidence = { headA: World.headBytes } as unknown as Fault.F1
    assert.throws(() => Fault.serialize({ class: 1, evidence }), code('fault-shape'))
    assert.throws(() => Fault.serialize({ class: 2, evidence } as never), code('fault-shape'))
  })
  test('heads with unknown bits are no way out of F1', async () => {
    const headB = Uint8Array.from(World.headBytes)
    headB[105] = 0x80
    const signatureB = await Cose.sign(crypto, World.node, 'receipt', Head.payload(crypto, headB))
    const { headBytes: headA, signatures } = World
    const finding = await Fault.judgeF1(crypto, {
      headA,
      signatureA: signatures.receipt,
      headB,
      signatureB,
      publicKey: World.node.publicKey,
    })
    assert.deepEqual(finding.nodeId, World.nodeId)
  })
})

describe('Manifest', () => {
  test('the weights root does not depend on how files arrive', () => {
    const bytes = Uint8Array.from({ length: 2 * Manifest.chunkLength + 77 }, (_, i) => (i * 7) & 255)
    const files = [
      { path: 'b', bytes },
      { path: 'a/b', bytes: bytes.slice(0, Manifest.chunkLength) },
      { path: 'a', bytes: new Uint8Array(0) },
    ]
    const whole = Manifest.weightsRoot(crypto, files)
    for (const step of [65_537, Manifest.chunkLength, Manifest.chunkLength + 1]) {
      const hasher = Manifest.createWeightsHasher(crypto)
      for (const { path, bytes: content } of [...files].reverse()) {
        hasher.startFile(path, BigInt(content.length))
        for (let at = 0; at < content.length; at += step) hasher.push(content.subarray(at, at + step))
      }
      assert.deepEqual(hasher.root(), whole)
    }
    assert.notDeepEqual(Manifest.weightsRoot(crypto, files.slice(1)), whole)
  })
  test('files in disorder, too short, too long or outside are refused', () => {
    const start = (...paths: string[]) => {
      const hasher = Manifest.createWeightsHasher(crypto)
      for (const path of paths) hasher.startFile(path, 0n)
      return hasher
    }
    assert.throws(() => start('b', 'a'), code('weights-order'))
    assert.throws(() => start('a', 'a'), code('weights-order'))
    assert.throws(() => start('../a'), code('weights-path'))
    assert.throws(() => start('a\\b'), code('weights-path'))
    assert.throws(() => start('a').push(Uint8Array.of(1)), code('weights-length'))
    assert.throws(() => start().push(Uint8Array.of(1)), code('weights-length'))
    const short = Manifest.createWeightsHasher(crypto)
    short.startFile('a', 2n)
    short.push(Uint8Array.of(1))
    assert.throws(() => short.root(), code('weights-length'))
  })
})
