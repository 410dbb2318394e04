/** Fixed.test.ts - the formats of fixed length: what their writers refuse, and an outside oracle for typed data. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encodeAbiParameters, hashTypedData } from 'viem'
import * as World from '../../scripts/vector-files/world.ts'
import { crypto } from '../crypto/noble.ts'
import * as Abi from './Abi.ts'
import * as Bytes from './Bytes.ts'
import * as Checkpoint from './Checkpoint.ts'
import * as Head from './Head.ts'
import * as Identity from './Identity.ts'
import * as LogEntry from './LogEntry.ts'
import * as Note from './Note.ts'
import * as Order from './Order.ts'
import * as Pledge from './Pledge.ts'

const hex = Bytes.to0x
const code = (wanted: string) => (error: unknown) => (error as { code?: string }).code === wanted

/** viem's view of an order. */
function typedData(order: Order.Order, domain: Order.Domain) {
  const [, list = ''] = /^Order\((.*)\)$/.exec(Order.typeString) ?? []
  const fields = list.split(',').map((part) => {
    const [type = '', name = ''] = part.split(' ')
    return { type, name }
  })
  const message = Object.fromEntries(
    Object.entries(order).map(([name, value]) => [name, value instanceof Uint8Array ? hex(value) : value]),
  )
  const { chainId, registry } = domain
  return {
    fields,
    message,
    hash: hashTypedData({
      domain: { name: 'Assay', version: '1', chainId, verifyingContract: hex(registry) },
      types: { Order: fields },
      primaryType: 'Order',
      message,
    } as never),
  }
}

describe('Order', () => {
  const { order, chainId, registry } = World
  const variants: Order.Order[] = [
    order,
    { ...order, modes: 0, asset: World.digest('a').slice(12), maxPrice: 2n ** 256n - 1n, notAfter: 2n ** 64n - 1n },
    { ...order, model: new Uint8Array(32), nonce: new Uint8Array(16).fill(255), exposureTermsHash: new Uint8Array(32) },
  ]
  test('hashes and encodes as viem does', () => {
    for (const variant of variants) {
      for (const domain of [
        { chainId, registry },
        { chainId: 2n ** 64n - 1n, registry: new Uint8Array(20) },
      ]) {
        const { fields, message, hash } = typedData(variant, domain)
        assert.equal(hex(Order.hash(crypto, variant, domain)), hash)
        const values = fields.map(({ name }) => message[name])
        assert.equal(hex(Order.words(variant)), encodeAbiParameters(fields, values as never))
        assert.deepEqual(Order.parse(Order.words(variant)), variant)
      }
    }
  })
  test('every field changes the hash', () => {
    const hashes = new Set([hex(Order.hash(crypto, order, { chainId, registry }))])
    for (const [name, value] of Object.entries(order)) {
      if (name === 'parentsHash' || name === 'replyKeyHash') continue
      const other =
        value instanceof Uint8Array
          ? World.digest('other').slice(0, value.length)
          : typeof value === 'bigint'
            ? value + 1n
            : 5
      hashes.add(hex(Order.hash(crypto, { ...order, [name]: other }, { chainId, registry })))
    }
    hashes.add(hex(Order.hash(crypto, order, { chainId: chainId + 1n, registry })))
    hashes.add(hex(Order.hash(crypto, order, { chainId, registry: World.anchorLog })))
    assert.equal(hashes.size, 1 + 11 + 2)
  })
  test('does not write what it would not read', () => {
    assert.throws(() => Order.words({ ...order, modes: 8 }), code('order-modes'))
    assert.throws(() => Order.words({ ...order, modes: 1.5 }), code('order-modes'))
    assert.throws(() => Order.words({ ...order, parentsHash: World.digest('x') }), code('order-reserved'))
    assert.throws(() => Order.words({ ...order, nonce: new Uint8Array(15) }), code('wrong-length'))
    assert.throws(() => Order.words({ ...order, maxPrice: 2n ** 256n }), code('integer-out-of-range'))
    assert.throws(() => Order.words({ ...order, notAfter: -1n }), code('integer-out-of-range'))
    assert.throws(() => Order.words({ ...order, parentsHash: new Uint8Array(31) }), code('wrong-length'))
  })
  test('policy commitments hide who checks less', () => {
    const blind = World.nonce
    const commitment = Order.policyCommitment(crypto, World.digest('p'), blind)
    assert.deepEqual(commitment, crypto.sha256(Bytes.concat(World.digest('p'), blind)))
    assert.throws(() => Order.policyCommitment(crypto, World.digest('p'), new Uint8Array(32)), code('wrong-length'))
  })
  test('terms hold when every party is listed and nothing is kept longer', () => {
    const { exposure } = World.claims
    const terms: Order.Terms = { parties: ['node'], maxRetentionSeconds: 600 }
    assert.equal(Order.withinTerms(exposure, terms), true)
    assert.equal(Order.withinTerms(exposure, { ...terms, parties: [] }), false)
    assert.equal(Order.withinTerms(exposure, { ...terms, maxRetentionSeconds: 599 }), false)
    const [saw] = exposure.saw
    assert.ok(saw)
    assert.equal(Order.withinTerms({ saw: [{ ...saw, retentionSeconds: 601 }], retentionSeconds: 600 }, terms), false)
    assert.equal(Order.withinTerms({ saw: [], retentionSeconds: 601 }, terms), false)
    assert.equal(Order.withinTerms({ saw: [], retentionSeconds: 0 }, { parties: [], maxRetentionSeconds: 0 }), true)
  })
  test('terms have one form and a limit', () => {
    assert.deepEqual(Order.decodeTerms(World.termsBytes), World.terms)
    assert.throws(
      () => Order.encodeTerms({ parties: ['x'.repeat(1025)], maxRetentionSeconds: 0 }),
      code('terms-malformed'),
    )
    assert.throws(() => Order.encodeTerms({ parties: [], maxRetentionSeconds: 2 ** 32 }), code('terms-malformed'))
    assert.throws(() => Order.decodeTerms(Uint8Array.of(0xa0)), code('terms-malformed'))
  })
})

describe('Head', () => {
  test('does not write what it would not read', () => {
    const { head } = World
    for (const [change, wanted] of [
      [{ modeBits: 8 }, 'head-mode-bits'],
      [{ flags: 2 }, 'head-flags'],
      [{ sequence: 0n }, 'head-previous'],
      [{ previous: new Uint8Array(32) }, 'head-previous'],
      [{ registry: new Uint8Array(19) }, 'wrong-length'],
      [{ claimsRoot: new Uint8Array(33) }, 'wrong-length'],
      [{ keyEpoch: 2 ** 32 }, 'integer-out-of-range'],
      [{ chainId: 2n ** 64n }, 'integer-out-of-range'],
      [{ sequence: -1n }, 'integer-out-of-range'],
      [{ modeBits: 1.5 }, 'integer-out-of-range'],
      [{ flags: -0 }, 'integer-out-of-range'],
    ] as const) {
      assert.throws(() => Head.serialize({ ...head, ...change }), code(wanted), JSON.stringify(Object.keys(change)))
    }
  })
  test('the hash and the payload of a head differ', () => {
    assert.notDeepEqual(Head.hash(crypto, World.headBytes), Head.payload(crypto, World.headBytes))
    assert.throws(() => Head.hash(crypto, new Uint8Array(138)), code('wrong-length'))
  })
  test('every bit of a head changes its hash or makes it none', () => {
    const seen = new Set<string>()
    for (let i = 0; i < 8 * 139; i++) {
      const other = Uint8Array.from(World.headBytes)
      other[i >> 3] = (other[i >> 3] as number) ^ (1 << (i & 7))
      seen.add(hex(Head.hash(crypto, other)))
    }
    assert.equal(seen.size, 8 * 139)
    assert.equal(seen.has(hex(Head.hash(crypto, World.headBytes))), false)
  })
})

describe('LogEntry', () => {
  test('does not write what it would not read', () => {
    const entry = LogEntry.parse(World.entryBytes)
    assert.throws(() => LogEntry.serialize({ ...entry, modeBits: 16 }), code('entry-mode-bits'))
    assert.throws(() => LogEntry.serialize({ ...entry, flags: 2 }), code('entry-flags'))
    assert.throws(() => LogEntry.serialize({ ...entry, receiptHash: new Uint8Array(31) }), code('wrong-length'))
    assert.throws(() => LogEntry.leafHash(crypto, World.headBytes), code('wrong-length'))
    assert.throws(() => LogEntry.fromHead(crypto, World.headBytes.slice(1)), code('head-length'))
  })
})

describe('Pledge and Checkpoint', () => {
  test('encode as viem does', () => {
    const { pledge, statement } = World
    const types = (list: string) => list.split(' ').map((type) => ({ type }))
    assert.equal(
      hex(Pledge.words(pledge)),
      encodeAbiParameters(types('uint256 address bytes32 bytes32 uint64 uint64 bytes32'), [
        pledge.chainId,
        hex(pledge.anchorLog),
        hex(pledge.logId),
        hex(pledge.leafHash),
        pledge.leafIndex,
        pledge.issuedAtBlock,
        hex(pledge.issuedAtBlockHash),
      ] as never),
    )
    const { chainId, anchorLog, logId, size, root } = statement
    assert.equal(
      hex(Checkpoint.words(statement)),
      encodeAbiParameters(types('uint256 address bytes32 uint64 bytes32'), [
        chainId,
        hex(anchorLog),
        hex(logId),
        size,
        hex(root),
      ] as never),
    )
  })
  test('do not write what they would not read', () => {
    assert.throws(() => Pledge.words({ ...World.pledge, leafIndex: 2n ** 64n }), code('integer-out-of-range'))
    assert.throws(() => Pledge.words({ ...World.pledge, chainId: 2n ** 64n }), code('integer-out-of-range'))
    assert.throws(() => Pledge.words({ ...World.pledge, anchorLog: new Uint8Array(32) }), code('wrong-length'))
    assert.throws(() => Checkpoint.words({ ...World.statement, size: 2n ** 63n }), code('checkpoint-size'))
    assert.throws(() => Pledge.payload(crypto, new Uint8Array(160)), code('wrong-length'))
  })
  test('a note without the ES256 line of the log, of another log or with more lines is refused', async () => {
    const { statement, log, signatures } = World
    const signed = { publicKey: log.publicKey, signature: signatures.checkpoint }
    const note = Checkpoint.toNote(crypto, statement, { log: signed })
    const known = { ...statement, publicKey: log.publicKey }
    assert.deepEqual((await Checkpoint.fromNote(crypto, note, known)).statement, statement)
    await assert.rejects(
      Checkpoint.fromNote(crypto, note, { ...known, publicKey: World.node.publicKey }),
      code('note-signature-missing'),
    )
    await assert.rejects(
      Checkpoint.fromNote(crypto, note, { ...known, logId: World.nodeId }),
      code('checkpoint-origin'),
    )
    await assert.rejects(Checkpoint.fromNote(crypto, note, { ...known, chainId: 1n }), code('signature-mismatch'))
    await assert.rejects(
      Checkpoint.fromNote(crypto, { ...note, text: `${note.text}more\n` }, known),
      code('checkpoint-extension'),
    )
    const witness = { name: 'w', publicKey: World.witness.publicKey }
    const forged = Checkpoint.toNote(crypto, statement, {
      log: signed,
      cosignatures: [{ ...witness, signature: signatures.checkpoint }],
    })
    await assert.rejects(Checkpoint.fromNote(crypto, forged, known, [witness]), code('signature-mismatch'))
    assert.deepEqual(Note.parse(Note.serialize(note)), note)
  })
})

describe('Abi', () => {
  test('words are padded on their side and read back', () => {
    assert.equal(hex(Abi.uint(1n, 8)), `0x${'00'.repeat(31)}01`)
    assert.equal(hex(Abi.fixedBytes(Uint8Array.of(1, 2), 2)), `0x0102${'00'.repeat(30)}`)
    assert.throws(() => Abi.uint(256n, 8), code('integer-out-of-range'))
    assert.throws(() => Abi.encode(new Uint8Array(31)), code('wrong-length'))
    const reader = new Abi.Reader(Abi.encode(Abi.uint(255n, 8), Abi.address(World.registry)))
    assert.equal(reader.uint(8), 255n)
    assert.deepEqual(reader.address(), World.registry)
    reader.end()
    assert.throws(() => reader.uint(8), code('input-too-short'))
  })
})

describe('Identity', () => {
  test('every part counts', () => {
    const { chainId, registry, anchorLog, instance, nodeOperator: operator } = World
    const node = { chainId, registry, operator, n: 0n }
    const log = { chainId, anchorLog, instance, operator, n: 0n }
    const names = [
      Identity.nodeId(crypto, node),
      Identity.nodeId(crypto, { ...node, n: 1n }),
      Identity.nodeId(crypto, { ...node, chainId: 1n }),
      Identity.nodeId(crypto, { ...node, operator: registry }),
      Identity.logId(crypto, log),
      Identity.logId(crypto, { ...log, instance: World.nodeId }),
    ]
    assert.equal(new Set(names.map(hex)).size, names.length)
    const statement = {
      chainId,
      contract: registry,
      subject: World.nodeId,
      role: 1,
      publicKey: World.node.publicKey,
    } as const
    assert.throws(
      () => Identity.keyStatement(crypto, { ...statement, publicKey: new Uint8Array(65) }),
      code('wrong-length'),
    )
    assert.equal(Identity.isRole(4), true)
    assert.equal(Identity.isRole(5), false)
  })
})
