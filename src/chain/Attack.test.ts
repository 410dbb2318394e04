/** What an attacker wanted from a chain piece or a file of trust anchors, and does not get. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as World from '../../tests/fakes/World.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as ChainPiece from './ChainPiece.ts'
import * as Finality from './Finality.ts'
import * as Rlp from './Rlp.ts'
import * as TrustAnchors from './TrustAnchors.ts'

const { crypto } = World
const world = await World.create()
const piece = world.bundle.chain as ChainPiece.ChainPiece
const { checkpoint, keys } = world.bundle
assert.ok(checkpoint && keys.log)
const subject: ChainPiece.Subject = {
  registry: { address: World.registry, nodeId: World.nodeId, keyEpoch: 0 },
  log: { address: World.anchorLog, logId: World.logId, size: checkpoint.size },
}
const expected = {
  nodeKeyId: World.keyIdOf(World.signers.node),
  logKeyId: World.keyIdOf(World.signers.log),
  root: checkpoint.root,
}

test('to crash a reader with a piece of any bytes', () => {
  const bent = (bytes: Uint8Array, at: number, by: Uint8Array) => {
    const copy = bytes.slice()
    copy.set(by.subarray(0, Math.max(0, copy.length - (at % copy.length))), at % copy.length)
    return copy
  }
  const check = (which: number, node: number, at: number, by: Uint8Array) => {
    const { registry, anchorLog } = piece
    assert.ok(anchorLog?.step0)
    const header = which === 0 ? bent(piece.header, at, by) : piece.header
    // With its own hash a changed header is read to the end.
    const changed: ChainPiece.ChainPiece = {
      ...{ header, blockHash: crypto.keccak256(header) },
      registry: { ...registry, ...(which === 1 ? { word1: nodes(registry.word1) } : {}) },
      anchorLog: { ...anchorLog, ...(which === 2 ? { step0: nodes(anchorLog.step0) } : {}) },
    }
    function nodes(proof: readonly Uint8Array[]): Uint8Array[] {
      return proof.map((bytes, i) => (i === node % proof.length ? bent(bytes, at, by) : bytes))
    }
    try {
      ChainPiece.verify(crypto, changed, subject, expected)
    } catch (error) {
      assert.ok(error instanceof ChainPiece.ContradictionError, String(error))
    }
  }
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 6 })
  fc.assert(fc.property(fc.nat(2), fc.nat(8), fc.nat(2000), bytes, check), { numRuns: 300 })
})

test('to crash it with nested lists, long lengths, or a proof that leads to itself', () => {
  const deep = (depth: number): Uint8Array => {
    let item: Rlp.Item = []
    for (let i = 0; i < depth; i++) item = [item]
    return Rlp.encode(item)
  }
  for (const bytes of [
    deep(15),
    deep(40),
    Bytes.fromHex(`ff${'ff'.repeat(8)}`),
    Bytes.fromHex('bfffffffffffffffff'),
    Bytes.fromHex('fbffffffff'),
    new Uint8Array(0),
  ]) {
    const registry = { ...piece.registry, account: Array.from({ length: 65 }, () => bytes) }
    assert.throws(() => ChainPiece.read(crypto, { ...piece, registry }, subject), ChainPiece.ContradictionError)
    assert.throws(
      () => ChainPiece.read(crypto, { ...piece, header: bytes, blockHash: crypto.keccak256(bytes) }, subject),
      ChainPiece.ContradictionError,
    )
  }
})

test('to pass a proof of one word, account or contract for another', () => {
  const { registry, anchorLog } = piece
  assert.ok(anchorLog?.step0 && anchorLog.step1)
  for (const changed of [
    { ...piece, registry: { ...registry, word0: registry.word1, word1: registry.word0 } },
    { ...piece, registry: { ...registry, account: anchorLog.account } },
    { ...piece, anchorLog: { ...anchorLog, record0: anchorLog.step0, record1: anchorLog.step1 } },
    { ...piece, anchorLog: { ...anchorLog, step0: anchorLog.record0 } },
    { ...piece, registry: { ...registry, word0: [...registry.word0, registry.word0[0] as Uint8Array] } },
  ])
    assert.throws(() => ChainPiece.verify(crypto, changed, subject, expected), ChainPiece.ContradictionError)
  for (const other of [
    { registry: { ...subject.registry, keyEpoch: 1 }, log: subject.log },
    { registry: { ...subject.registry, nodeId: World.digestOf('another') }, log: subject.log },
    { registry: subject.registry, log: { address: World.anchorLog, logId: World.digestOf('another'), size: 7n } },
    { registry: subject.registry, log: { address: World.anchorLog, logId: World.logId, size: 6n } },
  ])
    assert.throws(() => ChainPiece.verify(crypto, piece, other, expected), ChainPiece.ContradictionError)
})

test('to be trusted by code, contract or chain that nobody named, or at the number of a trusted block', () => {
  const [anchors] = world.reader.anchors
  assert.ok(anchors)
  const facts = ChainPiece.verify(crypto, piece, subject, expected)
  const asked = {
    ...{ chainId: World.chainId, header: facts.header, nodeRegistry: facts.registry, anchorLog: facts.anchorLog },
  }
  assert.ok(Finality.judge([anchors], asked).trusted)
  const zero = new Uint8Array(32)
  for (const other of [
    { ...asked, chainId: 1n },
    { ...asked, header: { ...facts.header, hash: zero } },
    { ...asked, header: { ...facts.header, number: facts.header.number + 1n } },
    { ...asked, nodeRegistry: { ...facts.registry, codeHash: zero } },
    { ...asked, anchorLog: { address: World.anchorLog, codeHash: zero } },
    { ...asked, anchorLog: { address: World.registry, codeHash: World.registryCode } },
  ])
    assert.equal(Finality.judge([anchors], other).trusted, undefined)
  assert.equal(Finality.judge([], asked).trusted, undefined)
})

test('to crash a reader with a file of trust anchors, or to slip a name in twice', () => {
  const good = TrustAnchors.serialize(world.reader.anchors)
  for (const text of [
    '['.repeat(200_000) + ']'.repeat(200_000),
    `${'[{"a":'.repeat(50_000)}0${'}]'.repeat(50_000)}`,
    good.replace('"finality"', '"chainId": "1", "finality"'),
    good.replace('"finality"', '"\\u0063hainId": "1", "finality"'),
    good.replace('"finality"', '"__proto__": {}, "finality"'),
    good.replace('"31337"', '31337'),
    good.replace('"31337"', '"031337"'),
    good.replace('"31337"', '"18446744073709551616"'),
    good.replace('development', 'final'),
    `\ufeff${good}`,
  ])
    assert.throws(() => TrustAnchors.parse(text), TrustAnchors.AnchorsFileError, text.slice(0, 40))
  assert.equal(TrustAnchors.parse(good).length, 1)
})
