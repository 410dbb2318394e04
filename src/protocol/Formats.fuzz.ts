/**
 * Formats.fuzz.ts - mutated and random bytes of every format: a parser gives a value that serializes to the same bytes, or
 * throws one of its own errors; and one flipped bit never goes unnoticed.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as World from '../../scripts/vector-files/world.ts'
import { crypto } from '../crypto/noble.ts'
import * as Bundle from './Bundle.ts'
import * as Bytes from './Bytes.ts'
import * as Checkpoint from './Checkpoint.ts'
import * as Claims from './Claims.ts'
import * as Cose from './Cose.ts'
import * as Fault from './Fault.ts'
import * as Head from './Head.ts'
import * as LogEntry from './LogEntry.ts'
import * as Manifest from './Manifest.ts'
import * as Order from './Order.ts'
import * as Pledge from './Pledge.ts'
import * as Sse from './Sse.ts'
import * as Wire from './Wire.ts'

const numRuns = Number(process.env.ASSAY_FUZZ_RUNS ?? 300)

const headB = Head.serialize({ ...World.head, flags: 1 })
const f1: Fault.Fault = {
  class: 1,
  evidence: {
    headA: World.headBytes,
    signatureA: World.signatures.receipt,
    headB,
    signatureB: await Cose.sign(crypto, World.node, 'receipt', Head.payload(crypto, headB)),
    publicKey: World.node.publicKey,
  },
}

type Format = {
  readonly name: string
  readonly good: Uint8Array
  /** Reads and writes again. */
  readonly again: (bytes: Uint8Array) => Uint8Array
  readonly errors: readonly (abstract new (...args: never[]) => Error)[]
}

const formats: readonly Format[] = [
  {
    name: 'head',
    good: World.headBytes,
    again: (bytes) => Head.serialize(Head.parse(bytes)),
    errors: [Head.MalformedHeadError],
  },
  {
    name: 'entry',
    good: World.entryBytes,
    again: (bytes) => LogEntry.serialize(LogEntry.parse(bytes)),
    errors: [LogEntry.MalformedEntryError],
  },
  {
    name: 'order',
    good: World.orderWords,
    again: (bytes) => Order.words(Order.parse(bytes)),
    errors: [Order.MalformedOrderError],
  },
  {
    name: 'terms',
    good: World.termsBytes,
    again: (bytes) => Order.encodeTerms(Order.decodeTerms(bytes)),
    errors: [Order.MalformedTermsError],
  },
  {
    name: 'pledge',
    good: World.pledgeWords,
    again: (bytes) => Pledge.words(Pledge.parse(bytes)),
    errors: [Pledge.MalformedPledgeError],
  },
  {
    name: 'checkpoint',
    good: World.statementWords,
    again: (bytes) => Checkpoint.words(Checkpoint.parse(bytes)),
    errors: [Checkpoint.MalformedCheckpointError],
  },
  {
    name: 'manifest',
    good: World.manifestBytes,
    again: (bytes) => Manifest.serialize(Manifest.parse(bytes)),
    errors: [Manifest.MalformedManifestError],
  },
  {
    name: 'bundle',
    good: Bundle.serialize(World.complete()),
    again: (bytes) => Bundle.serialize(Bundle.parse(bytes)),
    errors: [Bundle.MalformedBundleError],
  },
  {
    name: 'fault',
    good: Fault.serialize(f1),
    again: (bytes) => Fault.serialize(Fault.parse(bytes)),
    errors: [Fault.MalformedFaultError],
  },
  {
    name: 'answer of claims',
    good: Wire.encodeReceiptClaims({
      head: World.headBytes,
      signature: World.signatures.receipt,
      claims: World.values,
    }),
    again: (bytes) => Wire.encodeReceiptClaims(Wire.decodeReceiptClaims(bytes)),
    errors: [Wire.MalformedValueError],
  },
  ...(Object.keys(World.claims) as Claims.Name[]).map((name) => ({
    name: `claim ${name}`,
    good: Claims.encode(name, World.claims[name] as never),
    again: (bytes: Uint8Array) => Claims.encode(name, Claims.decode(name, bytes) as never),
    errors: [Claims.InvalidClaimError],
  })),
]

/** A few changes at places: replace, insert, remove, or copy a part elsewhere. */
const changes = fc.array(
  fc.record({
    kind: fc.constantFrom('replace', 'insert', 'remove', 'copy'),
    at: fc.nat(),
    from: fc.nat(),
    length: fc.integer({ min: 1, max: 40 }),
    byte: fc.oneof(
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom(0, 1, 0x18, 0x40, 0x58, 0x60, 0x80, 0xa0, 0xf6, 0xff),
    ),
  }),
  { minLength: 1, maxLength: 3 },
)
type Changes = typeof changes extends fc.Arbitrary<infer T> ? T : never

function mutate(good: Uint8Array, list: Changes): Uint8Array {
  let bytes = good
  for (const { kind, at, from, length, byte } of list) {
    const place = bytes.length === 0 ? 0 : at % bytes.length
    const [before, after] = [bytes.slice(0, place), bytes.slice(place)]
    if (kind === 'replace') bytes = Bytes.concat(before, Uint8Array.of(byte), after.slice(1))
    else if (kind === 'insert') bytes = Bytes.concat(before, Uint8Array.of(byte), after)
    else if (kind === 'remove') bytes = Bytes.concat(before, after.slice(length))
    else bytes = Bytes.concat(before, good.slice(from % good.length, (from % good.length) + length), after)
  }
  return bytes
}

function check({ again, errors, name }: Format, bytes: Uint8Array): boolean {
  let written: Uint8Array
  try {
    written = again(bytes)
  } catch (error) {
    assert.ok(
      errors.some((kind) => error instanceof kind),
      `${name}: ${String((error as Error)?.stack)}`,
    )
    return false
  }
  assert.deepEqual(written, bytes, name)
  return true
}

for (const format of formats) {
  test(`${format.name}: mutated bytes give the same bytes again or a listed error`, () => {
    fc.assert(
      fc.property(changes, (list) => void check(format, mutate(format.good, list))),
      { numRuns },
    )
  })
  test(`${format.name}: random bytes too`, () => {
    const random = fc.uint8Array({ maxLength: 500 }).map((bytes) => Uint8Array.from(bytes))
    fc.assert(
      fc.property(random, (bytes) => void check(format, bytes)),
      { numRuns },
    )
  })
  test(`${format.name}: every prefix and every flipped bit is another value or none`, () => {
    assert.equal(check(format, format.good), true)
    for (let length = 0; length < format.good.length; length++)
      assert.equal(check(format, format.good.slice(0, length)), false)
    for (let bit = 0; bit < 8 * format.good.length; bit += format.good.length > 1000 ? 13 : 1) {
      const flipped = Uint8Array.from(format.good)
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
      check(format, flipped)
    }
  })
}

test('event streams: mutated bytes give the same items at all boundaries or a listed error', () => {
  const good = Bytes.fromUtf8(
    ': assay-receipt AAAA\r\n\r\nevent: x\ndata: a\ndata: b\n\n: ka\n\ndata: {"z":1}\n\ndata: [DONE]\n\n',
  )
  const parseIn = (bytes: Uint8Array, step: number): unknown => {
    const parser = Sse.createParser()
    const items: Sse.Item[] = []
    try {
      for (let at = 0; at < bytes.length; at += step) items.push(...parser.push(bytes.subarray(at, at + step)))
      parser.finish()
      return Sse.collect(items)
    } catch (error) {
      if (error instanceof Sse.MalformedStreamError) return 'refused'
      throw error
    }
  }
  fc.assert(
    fc.property(changes, fc.integer({ min: 1, max: 20 }), (list, step) => {
      const bytes = mutate(good, list)
      assert.deepEqual(parseIn(bytes, step), parseIn(bytes, bytes.length + 1))
    }),
    { numRuns },
  )
})

test('header values: any text is read or refused with a listed error', () => {
  const decoders = [
    Wire.decodeReceipt,
    Wire.decodePledge,
    Wire.decodeSecret,
    Wire.decodeClaims,
    Wire.decodeOrder,
    Wire.decodeOrderSalt,
    Wire.decodeOrderTerms,
    Wire.decodeNonce,
  ]
  const base64url = fc.string({ unit: fc.constantFrom(...'ABCDEFGHabcdefgh0123456789-_='), maxLength: 800 })
  fc.assert(
    fc.property(fc.oneof(fc.string(), base64url), (value) => {
      for (const decode of decoders) {
        try {
          decode(value)
        } catch (error) {
          assert.ok(error instanceof Wire.MalformedValueError, String(error))
        }
      }
    }),
    { numRuns },
  )
})
