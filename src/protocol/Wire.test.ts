/** Wire.test.ts - header values and event streams. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as World from '../../scripts/vector-files/world.ts'
import * as Bytes from './Bytes.ts'
import * as Sse from './Sse.ts'
import * as Wire from './Wire.ts'

const code = (wanted: string) => (error: unknown) => (error as { code?: string }).code === wanted
const utf8 = Bytes.fromUtf8
const { signatures } = World
const values = {
  receipt: Wire.encodeReceipt({ head: World.headBytes, signature: signatures.receipt }),
  pledge: Wire.encodePledge({ words: World.pledgeWords, signature: signatures.pledge }),
  secret: Wire.encodeSecret(World.secret),
  claims: Wire.encodeClaims(World.values),
}

describe('Wire', () => {
  test('all headers of a response together stay below 3 kB', () => {
    const lines = Object.entries(Wire.responseHeaders).map(
      ([name, header]) => `${header}: ${values[name as keyof typeof values]}`,
    )
    const link = `Link: </v1/receipts/${'0'.repeat(64)}>; rel="receipt"`
    const claims = values.claims.length <= Wire.maxInlineClaims
    assert.ok([...lines, link].join('\r\n').length <= 3000 || !claims)
  })
  test('short values read back', () => {
    assert.deepEqual(Wire.decodeNonce(Wire.encodeNonce(World.nonce)), World.nonce)
    assert.deepEqual(Wire.decodeOrderSalt(Wire.encodeOrderSalt(World.requestSalt)), World.requestSalt)
    assert.deepEqual(Wire.decodeOrderTerms(Wire.encodeOrderTerms(World.termsBytes)), World.termsBytes)
    assert.throws(() => Wire.encodeNonce(World.secret), code('wrong-length'))
    assert.throws(() => Wire.encodeOrderTerms(new Uint8Array(1025)), code('wire-order-terms'))
    assert.throws(() => Wire.decodeOrderTerms('A'.repeat(1368)), code('wire-order-terms'))
    assert.throws(() => Wire.decodeReceipt(Wire.pending), code('wire-receipt'))
    assert.throws(() => Wire.decodeNonce(''), code('wire-nonce'))
  })
  test('an order takes 544 bytes', () => {
    const order = { words: World.orderWords, signature: signatures.order, publicKey: World.client.publicKey }
    assert.equal(Bytes.fromBase64url(Wire.encodeOrder(order)).length, 544)
  })
  test('the answers of claims and leaves read back', () => {
    const claims = { head: World.headBytes, signature: signatures.receipt, claims: World.values }
    const pledge = { words: World.pledgeWords, signature: signatures.pledge }
    for (const answer of [claims, { ...claims, pledge }]) {
      assert.deepEqual(Wire.decodeReceiptClaims(Wire.encodeReceiptClaims(answer)), answer)
    }
    const leaves = { effective: World.leaves.effective, output: World.leaves.output }
    assert.deepEqual(Wire.decodeReceiptLeaves(Wire.encodeReceiptLeaves(leaves)), leaves)
    assert.throws(() => Wire.decodeReceiptLeaves(Uint8Array.of(0xa0)), code('wire-leaves'))
    assert.throws(() => Wire.decodeReceiptClaims(Uint8Array.of(0xa0)), code('wire-claims'))
  })
  test('claims of 16 full slots are more than a stream line takes, and are refused', () => {
    const large = new Map([0, 1, 2, 3, 4, 5, 6, 7, 8].map((slot) => [slot, new Uint8Array(65_536)]))
    assert.throws(() => Wire.encodeClaims(large), code('wire-claims'))
  })
})

describe('Sse', () => {
  const chunks = [utf8('\n{"a":1}'), utf8('delta\ntwo\nlines'), utf8('\n'), utf8('name\n'), utf8('\n leading space')]
  const stream = Bytes.concat(
    utf8(': keep-alive\n\n'),
    ...chunks.map(Sse.writeChunk),
    Wire.writeComments(values),
    Sse.writeDone(),
  )
  test('reads what it writes', () => {
    const read = Sse.splitStream(stream)
    assert.deepEqual(read.chunks, chunks)
    assert.equal(read.done, true)
    assert.deepEqual(Object.fromEntries(read.comments), {
      'assay-receipt': values.receipt,
      'assay-pledge': values.pledge,
      'assay-secret': values.secret,
      'assay-claims': values.claims,
    })
    assert.deepEqual(Wire.splitStream(Bytes.concat(Sse.writeReceiptEvent(values))).comments, read.comments)
    assert.deepEqual(Object.fromEntries(Sse.splitStream(Wire.writePending(values.secret)).comments), {
      'assay-receipt': 'pending',
      'assay-secret': values.secret,
    })
  })
  test('gives the same for LF and CRLF and for any boundaries', () => {
    const crlf = utf8(Bytes.toUtf8(stream).replaceAll('\n', '\r\n'))
    const wanted = Sse.splitStream(stream)
    for (const bytes of [stream, crlf]) {
      for (const step of [1, 2, 3, 7, 64, 1000]) {
        const parser = Sse.createParser()
        const items: Sse.Item[] = []
        for (let at = 0; at < bytes.length; at += step) items.push(...parser.push(bytes.subarray(at, at + step)))
        parser.finish()
        assert.deepEqual(Sse.collect(items), wanted)
      }
    }
  })
  test('an event that ended is given at once', () => {
    const parser = Sse.createParser()
    assert.deepEqual(parser.push(utf8('data: a\n')), [])
    assert.equal(parser.push(utf8('\n')).length, 1)
    assert.throws(() => {
      parser.push(utf8('data: b'))
      parser.finish()
    }, code('stream-unfinished'))
  })
  test('lines and events have limits', () => {
    const line = new Uint8Array(Sse.maxLineBytes + 1).fill(0x61)
    assert.throws(() => Sse.createParser().push(line), code('stream-too-long'))
    const half = Bytes.concat(utf8('data:'), line.subarray(1, Sse.maxLineBytes / 2), utf8('\n'))
    const parser = Sse.createParser()
    parser.push(half)
    parser.push(half)
    assert.throws(() => parser.push(half), code('stream-too-long'))
  })
  test('the longest claims fit one line', () => {
    const longest = 'A'.repeat(Math.ceil((Wire.maxClaimsBytes * 4) / 3))
    assert.equal(Sse.splitStream(Sse.writeComment('assay-claims', longest)).comments.get('assay-claims'), longest)
  })
  test('does not write what it would not read', () => {
    assert.throws(() => Sse.writeEvent('a\nb', utf8('x')), code('stream-event-name'))
    assert.throws(() => Sse.writeEvent(' a', utf8('x')), code('stream-event-name'))
    assert.throws(() => Sse.writeEvent('', utf8('a\rb')), code('stream-lone-cr'))
    assert.throws(() => Sse.writeComment('assay-x', 'a b'), code('stream-comment'))
    assert.throws(() => Sse.writeChunk(utf8('no line feed')), code('stream-event-without-data'))
  })
})
