/** Claims.test.ts - claim values, the tree that they stand in, and the bodies that they commit to. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import * as World from '../../scripts/vector-files/world.ts'
import { crypto } from '../crypto/noble.ts'
import * as Body from './Body.ts'
import * as Bytes from './Bytes.ts'
import * as Claims from './Claims.ts'
import * as ClaimsTree from './ClaimsTree.ts'
import * as Dcbor from './Dcbor.ts'
import * as Merkle from './Merkle.ts'
import * as Slot from './Slot.ts'

const code = (wanted: string) => (error: unknown) => (error as { code?: string }).code === wanted
const names = Object.keys(World.claims) as Claims.Name[]

describe('Claims', () => {
  test('there is a value for every slot but step', () => {
    assert.deepEqual(
      [...names].map(Slot.indexOf).sort((a, b) => a - b),
      [...Slot.usable],
    )
    assert.throws(() => Claims.decode('step', Uint8Array.of(0xa0)), code('claim-reserved'))
    assert.throws(() => Claims.decode(14, Uint8Array.of(0xa0)), code('claim-reserved'))
    assert.throws(() => Claims.decode(16, Uint8Array.of(0xa0)), code('unknown-slot'))
  })
  for (const name of names) {
    test(`${name}: reads what it writes, by name and by number`, () => {
      const bytes = Claims.encode(name, World.claims[name] as never)
      assert.deepEqual(Claims.decode(name, bytes), World.claims[name])
      assert.deepEqual(Claims.decode(Slot.indexOf(name), bytes), World.claims[name])
    })
    test(`${name}: refuses every other top-level shape`, () => {
      const value = Dcbor.decode(Claims.encode(name, World.claims[name] as never))
      const others: Dcbor.Value[] = [null, 1, 'text', [], true, new Uint8Array(31), new Uint8Array(33)]
      if (Dcbor.isMap(value)) {
        for (const key of value.keys()) {
          const less = new Map(value)
          less.delete(key)
          if (!(name === 'engine' && key === 5)) others.push(less)
          for (const item of [
            null,
            false,
            -1,
            2n ** 64n - 1n,
            'x'.repeat(1025),
            new Uint8Array(31),
            [1],
            new Map([[9, 9]]),
          ]) {
            const isAllowed =
              (item === null && nullable.has(`${name}.${key}`)) ||
              (item === 2n ** 64n - 1n && wide.has(`${name}.${key}`))
            if (!isAllowed) others.push(new Map(value).set(key, item))
          }
        }
        others.push(new Map(value).set(9, 1), new Map(value).set('grade', 'proven'), new Map(value).set(-1, 0))
      }
      for (const other of others) {
        assert.throws(
          () => Claims.decode(name, Dcbor.encode(other)),
          (error) =>
            error instanceof Claims.InvalidClaimError && error.slot === name && error.code === 'claim-malformed',
          `${name}: ${JSON.stringify(other, (_, item) => (typeof item === 'bigint' ? `${item}` : item))}`,
        )
      }
    })
  }
  test('does not write unknown or missing properties', () => {
    const { node } = World.claims
    assert.throws(() => Claims.encode('node', { ...node, grade: 'proven' } as never), code('claim-malformed'))
    assert.throws(() => Claims.encode('node', { version: '1' } as never), code('claim-malformed'))
    assert.throws(() => Claims.encode('node', { ...node, version: '\ud800' }), code('claim-malformed'))
    assert.throws(() => Claims.encode('node', { ...node, version: 'e\u0301' }), code('claim-malformed'))
    assert.throws(
      () => Claims.encode('request', { ...World.claims.request, bytes: 5 } as never),
      code('claim-malformed'),
    )
  })
  test('texts count bytes, not characters', () => {
    const { node } = World.claims
    assert.doesNotThrow(() => Claims.encode('node', { ...node, version: 'ä'.repeat(512) }))
    assert.throws(() => Claims.encode('node', { ...node, version: 'ä'.repeat(513) }), code('claim-malformed'))
  })
  test('a body has at most 2^20 leaves, a value at most 65,536 bytes', () => {
    const { effectiveRequest } = World.claims
    assert.doesNotThrow(() => Claims.encode('effectiveRequest', { ...effectiveRequest, count: 2 ** 20 }))
    assert.throws(
      () => Claims.encode('effectiveRequest', { ...effectiveRequest, count: 2 ** 20 + 1 }),
      code('claim-malformed'),
    )
    const rewrites = Array.from(
      { length: 70 },
      () => ({ code: 'drop', path: `/${'x'.repeat(1000)}`, detail: '' }) as const,
    )
    assert.throws(() => Claims.encode('effectiveRequest', { ...effectiveRequest, rewrites }), code('claim-malformed'))
  })
  test('fields are named as the values name them', () => {
    for (const name of names) {
      const value = World.claims[name]
      const wanted = value instanceof Uint8Array ? [] : Object.keys(value)
      if (name === 'output') wanted.push('fingerprint')
      assert.deepEqual(Claims.fieldsOf(name), wanted, name)
    }
    assert.deepEqual(Claims.fieldsOf('step'), [])
  })
  test('64-bit numbers are bigints also when they are small', () => {
    assert.equal(typeof Claims.decode('outcome', Claims.encode('outcome', World.claims.outcome)).receivedMs, 'bigint')
  })
})

describe('no receipt contains a grade', () => {
  const words =
    /grade|score|verdict|trusted|rating|level|confiden|attested|reexecuted|recomputed|proven|asserted|bonded/i
  test('no text constant and no named field of the definitions is one', () => {
    const cddl = readFileSync(join(import.meta.dirname, '../../spec/assay.cddl'), 'utf8')
    const code = cddl.replaceAll(/;.*$/gm, '')
    for (const [, constant = ''] of code.matchAll(/"([^"]*)"/g)) assert.doesNotMatch(constant, words)
    for (const [name = ''] of code.matchAll(/[a-zA-Z][\w-]*/g)) assert.doesNotMatch(name, words)
    // All keys are integers: there is nowhere to put a word.
    assert.doesNotMatch(code, /(^|[{,?*])\s*("[^"]*"|tstr|text)\s*(=>|:)/m)
  })
  test('no field of a claim is one', () => {
    const seen: string[] = []
    const walk = (value: unknown): void => {
      if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return
      for (const [name, item] of Object.entries(value)) {
        seen.push(name)
        walk(item)
      }
    }
    walk(World.claims)
    assert.ok(seen.length > 50)
    for (const name of seen) assert.doesNotMatch(name, words)
  })
})

describe('ClaimsTree', () => {
  test('the constants of unused slots are hashes', () => {
    assert.deepEqual(
      ClaimsTree.unusedLeaves,
      Array.from({ length: 16 }, (_, slot) => ClaimsTree.unusedLeaf(crypto, slot)),
    )
  })
  test('is the balanced tree that the specification draws', () => {
    let level: Uint8Array[] = [...World.tree.leaves]
    while (level.length > 1) {
      level = Array.from({ length: level.length / 2 }, (_, i) =>
        Merkle.nodeHash(crypto, level[2 * i] as Uint8Array, level[2 * i + 1] as Uint8Array),
      )
    }
    assert.deepEqual(World.tree.root, level[0])
  })
  test('absent, hidden and disclosed differ for every slot', () => {
    const value = Uint8Array.of(0xf6)
    for (let slot = 0; slot < 16; slot++) {
      const build = (values: Map<number, Uint8Array>) =>
        ClaimsTree.build(crypto, { secret: World.secret, nonce: World.nonce, modeBits: 0, values })
      const absent = build(new Map())
      const used = build(new Map([[slot, value]]))
      assert.deepEqual(absent.leaves[slot], ClaimsTree.unusedLeaves[slot])
      assert.notDeepEqual(used.leaves[slot], ClaimsTree.unusedLeaves[slot])
      assert.notDeepEqual(used.root, absent.root)
      // The same value hides under another leaf in another slot, call or nonce.
      const opened = ClaimsTree.leaf(crypto, slot, used.salts[slot] as Uint8Array, value)
      assert.deepEqual(opened, used.leaves[slot])
      for (let other = 0; other < 16; other++) {
        if (other !== slot)
          assert.notDeepEqual(ClaimsTree.leaf(crypto, other, used.salts[slot] as Uint8Array, value), opened)
      }
    }
  })
  test('only tee and zk receipts have public slots', () => {
    for (const modeBits of [0, 4])
      assert.equal(
        Slot.usable.some((slot) => ClaimsTree.isPublic(slot, modeBits)),
        false,
      )
    for (const modeBits of [1, 2, 3, 5, 6, 7]) {
      assert.deepEqual(
        Slot.usable.filter((slot) => ClaimsTree.isPublic(slot, modeBits)),
        [0, 11, 12],
      )
      assert.equal(ClaimsTree.isZeroSalt(ClaimsTree.slotSalt(World.salts, 11, modeBits)), true)
      assert.deepEqual(ClaimsTree.slotSalt(World.salts, 1, modeBits), World.salts[1])
    }
  })
  test('takes nothing but 16 leaves and slots 0 to 15', () => {
    assert.throws(() => ClaimsTree.root(crypto, World.tree.leaves.slice(1)), code('tree-shape'))
    assert.throws(() => ClaimsTree.leaf(crypto, 16, World.nonce, World.nonce), code('tree-shape'))
    assert.throws(() => ClaimsTree.leaf(crypto, 0, World.secret, World.nonce), code('wrong-length'))
    assert.throws(() => ClaimsTree.salts(crypto, World.nonce, World.nonce), code('wrong-length'))
    const values = new Map([[16, World.nonce]])
    assert.throws(
      () => ClaimsTree.build(crypto, { secret: World.secret, nonce: World.nonce, modeBits: 0, values }),
      code('tree-shape'),
    )
  })
})

describe('Body', () => {
  const salt = World.nonce
  test('a hasher gives the root of the whole', () => {
    for (const count of [0, 1, 2, 3, 7, 8, 33]) {
      const leaves = Array.from({ length: count }, (_, i) => Bytes.fromUtf8('x'.repeat(i)))
      const hasher = Body.createHasher(crypto, salt)
      for (const leaf of leaves) hasher.push(leaf)
      assert.deepEqual(hasher.root(), Body.root(crypto, salt, leaves))
      assert.equal(hasher.count(), count)
      assert.equal(hasher.byteLength(), BigInt((count * (count - 1)) / 2))
    }
    assert.deepEqual(Body.root(crypto, salt, []), crypto.sha256(new Uint8Array(0)))
  })
  test('one request leaf is its own root', () => {
    assert.deepEqual(Body.root(crypto, salt, [World.requestBody]), Body.requestHash(crypto, salt, World.requestBody))
  })
  test('tokens are four bytes, big-endian', () => {
    assert.deepEqual(Body.tokenLeaves([1, 2 ** 32 - 1]).map(Bytes.toHex), ['00000001', 'ffffffff'])
    assert.deepEqual(Body.tokensOf(Body.tokenLeaves(Uint32Array.of(7, 258))), [7, 258])
    assert.throws(() => Body.tokenLeaves([-1]), code('integer-out-of-range'))
    assert.throws(() => Body.tokensOf([new Uint8Array(3)]), code('wrong-length'))
  })
  test('slots and salts of the four bodies', () => {
    assert.deepEqual(Body.names.map(Body.slotOf), [2, 3, 4, 5])
    assert.deepEqual(Body.names.map(Body.saltIndexOf), [16, 17, 18, 19])
    assert.deepEqual(
      Body.names.map((name) => Slot.nameOf(Body.slotOf(name))),
      ['request', 'effectiveRequest', 'response', 'output'],
    )
  })
})

// Fields of the definitions that may be null, and those that take any integer of 64 bits.
const nullable = new Set(['route.2', 'route.3', 'route.4', 'outcome.2'])
const wide = new Set(['request.5', 'response.5', 'outcome.4', 'outcome.5'])
