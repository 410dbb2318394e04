import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { createEd25519Signer, createP256Signer, crypto } from '../crypto/node.ts'
import * as Bytes from './Bytes.ts'
import * as Cose from './Cose.ts'
import { LimitError } from './errors.ts'
import * as Note from './Note.ts'

const utf8 = Bytes.fromUtf8
const logSigner = createEd25519Signer(new Uint8Array(32).fill(1))
const witnessSigner = createEd25519Signer(new Uint8Array(32).fill(2))
const statementSigner = createP256Signer(new Uint8Array(32).fill(3))
const name = Note.origin(new Uint8Array(32).fill(0xab))
const logKey = { type: 'ed25519', name, publicKey: logSigner.publicKey } as const
const witnessKey = { type: 'cosignature', name: 'witness.example/w1', publicKey: witnessSigner.publicKey } as const
const statementKey = { type: 'es256', tag: 'checkpoint', name, publicKey: statementSigner.publicKey } as const
const checkpoint = { origin: name, size: 20_852_163n, root: new Uint8Array(32).fill(7), extensions: [] }
const text = Note.serializeCheckpoint(checkpoint)
const payload = crypto.sha256(utf8('tuple'))

async function signed(): Promise<Note.Note> {
  return {
    text,
    signatures: [
      await Note.signEd25519(crypto, logSigner, name, text),
      await Note.signEs256(crypto, statementSigner, name, 'checkpoint', payload),
      await Note.signCosignature(crypto, witnessSigner, witnessKey.name, text, 1_679_315_147n),
    ],
  }
}

const refuses = (code: Note.FormatErrorCode, call: () => unknown): void =>
  assert.throws(call, (error) => error instanceof Note.FormatError && error.code === code)

describe('parse, serialize', () => {
  test('are inverse', async () => {
    const note = await signed()
    const bytes = Note.serialize(note)
    assert.deepEqual(Note.parse(bytes), note)
    assert.equal(Bytes.toUtf8(bytes).startsWith(`${text}\n\u2014 ${name} `), true)
  })
  test('the text may hold blank lines: the last one ends it', () => {
    const note = Note.parse(utf8('a\n\nb\n\n\u2014 k AAAAAAA=\n'))
    assert.equal(note.text, 'a\n\nb\n')
    assert.deepEqual(note.signatures, [{ name: 'k', keyId: new Uint8Array(4), blob: new Uint8Array(1) }])
  })
  test('refuse every other form', () => {
    const line = '\u2014 k AAAAAAA=\n'
    refuses('no-signatures', () => Note.parse(utf8('')))
    refuses('no-signatures', () => Note.parse(utf8(`a\n${line}`)))
    refuses('no-final-newline', () => Note.parse(utf8(`a\n\n${line.slice(0, -1)}`)))
    refuses('no-final-newline', () => Note.parse(utf8('a\n\n')))
    refuses('control-character', () => Note.parse(utf8(`a\r\n\n${line}`)))
    refuses('control-character', () => Note.parse(utf8(`a\tb\n\n${line}`)))
    refuses('control-character', () => Note.parse(utf8(`\u0000\n\n${line}`)))
    refuses('not-utf8', () => Note.parse(Bytes.concat(Uint8Array.of(0xff), utf8(`\n\n${line}`))))
    for (const bad of [
      '- k AAAAAAA=',
      '\u2014k AAAAAAA=',
      '\u2014  k AAAAAAA=',
      '\u2014 k  AAAAAAA=',
      '\u2014 k AAAAAAA= ',
      '\u2014 k+ AAAAAAA=',
      '\u2014 k\u00a0k AAAAAAA=',
      '\u2014 k\u2028k AAAAAAA=',
      '\u2014 k\u0085k AAAAAAA=',
      '\u2014 k AAAAAA==',
      '\u2014 k AAAAAAB=',
      '\u2014 k AAAAAAA',
      '\u2014 k AAAA_AA=',
      '\u2014 k ',
      '\u2014 AAAAAAA=',
      'text',
    ]) {
      refuses('signature-line', () => Note.parse(utf8(`a\n\n${bad}\n`)))
      refuses('signature-line', () => Note.parse(utf8(`a\n\n${line}${bad}\n`)))
    }
    const signatures = Note.parse(utf8(`a\n\n${line}`)).signatures
    refuses('no-final-newline', () => Note.serialize({ text: 'a', signatures }))
    refuses('no-signatures', () => Note.serialize({ text: 'a\n', signatures: [] }))
    refuses('control-character', () => Note.serialize({ text: 'a\r\n', signatures }))
    refuses('not-utf8', () => Note.serialize({ text: '\ud800\n', signatures }))
    const [signature] = signatures as [Note.Signature]
    for (const wrong of ['', 'a b', 'a+b', 'a\nb', 'a\u0001', '\ud800']) {
      refuses('key-name', () => Note.serializeSignature({ ...signature, name: wrong }))
    }
    refuses('signature-line', () => Note.serializeSignature({ ...signature, blob: new Uint8Array(0) }))
  })
  test('limits', () => {
    const line = '\u2014 k AAAAAAA=\n'
    assert.equal(Note.parse(utf8(`a\n\n${line.repeat(Note.maxSignatures)}`)).signatures.length, Note.maxSignatures)
    assert.throws(() => Note.parse(utf8(`a\n\n${line.repeat(Note.maxSignatures + 1)}`)), LimitError)
    const { signatures } = Note.parse(utf8(`a\n\n${line}`))
    const many = new Array<Note.Signature>(Note.maxSignatures + 1).fill(signatures[0] as Note.Signature)
    assert.throws(() => Note.serialize({ text: 'a\n', signatures: many }), LimitError)
    assert.throws(() => Note.parse(new Uint8Array(Note.maxBytes + 1)), LimitError)
    assert.throws(() => Note.serialize({ text: `${'a'.repeat(Note.maxBytes)}\n`, signatures }), LimitError)
  })
  test('a changed note is another note or one of two errors', async () => {
    const bytes = Note.serialize(await signed())
    const property = (at: number, byte: number): void => {
      const changed = Uint8Array.from(bytes)
      changed[at % bytes.length] = byte
      try {
        assert.deepEqual(Note.serialize(Note.parse(changed)), changed)
      } catch (error) {
        if (!(error instanceof Note.FormatError || error instanceof LimitError)) throw error
      }
    }
    fc.assert(fc.property(fc.nat(), fc.nat(255), property), { numRuns: 2000 })
  })
})

describe('checkpoint', () => {
  const root = Bytes.toBase64(checkpoint.root)
  test('round-trips', () => {
    assert.equal(text, `${name}\n20852163\n${root}\n`)
    assert.deepEqual(Note.parseCheckpoint(text), checkpoint)
    const extended = { ...checkpoint, size: 0n, extensions: ['one', 'two'] }
    assert.deepEqual(Note.parseCheckpoint(Note.serializeCheckpoint(extended)), extended)
    const largest = { ...checkpoint, size: 2n ** 63n - 1n }
    assert.deepEqual(Note.parseCheckpoint(Note.serializeCheckpoint(largest)), largest)
  })
  test('refuses every other form', () => {
    for (const size of ['', '00', '01', '-1', '+1', '1 ', '0x1', '1e3', '١', '9223372036854775808', '9'.repeat(40)]) {
      assert.throws(() => Note.parseCheckpoint(`o\n${size}\n${root}\n`), Note.FormatError, size)
    }
    for (const wrong of ['', 'AAAA', root.slice(0, -1), `${root} `, root.replace('=', ''), `${root}AAAA`]) {
      assert.throws(() => Note.parseCheckpoint(`o\n1\n${wrong}\n`), Note.FormatError, wrong)
    }
    refuses('checkpoint-line', () => Note.parseCheckpoint('o\n1\n'))
    refuses('checkpoint-line', () => Note.parseCheckpoint(`\n1\n${root}\n`))
    refuses('checkpoint-line', () => Note.parseCheckpoint(`o\n1\n${root}\n\n`))
    refuses('no-final-newline', () => Note.parseCheckpoint(`o\n1\n${root}`))
    refuses('control-character', () => Note.parseCheckpoint(`o\r\n1\n${root}\n`))
    refuses('checkpoint-line', () => Note.serializeCheckpoint({ ...checkpoint, origin: '' }))
    refuses('checkpoint-line', () => Note.serializeCheckpoint({ ...checkpoint, origin: 'a\nb' }))
    refuses('checkpoint-line', () => Note.serializeCheckpoint({ ...checkpoint, extensions: [''] }))
    refuses('checkpoint-size', () => Note.serializeCheckpoint({ ...checkpoint, size: 2n ** 63n }))
    refuses('checkpoint-size', () => Note.serializeCheckpoint({ ...checkpoint, size: -1n }))
    assert.throws(() => Note.serializeCheckpoint({ ...checkpoint, root: new Uint8Array(31) }), { code: 'wrong-length' })
  })
  test('origin names the log, and only ours', () => {
    assert.equal(name, `assay/${'ab'.repeat(32)}`)
    assert.deepEqual(Note.logIdOf(name), new Uint8Array(32).fill(0xab))
    for (const foreign of ['', 'assay/', `assay/${'AB'.repeat(32)}`, `${name}0`, `x${name}`, 'example.com/log']) {
      assert.equal(Note.logIdOf(foreign), undefined)
    }
  })
})

describe('keys', () => {
  test('identifiers follow their definitions', () => {
    const id = (...parts: Uint8Array[]): Uint8Array => crypto.sha256(Bytes.concat(...parts)).slice(0, 4)
    const newline = utf8('\n')
    assert.deepEqual(Note.keyId(crypto, logKey), id(utf8(name), newline, Uint8Array.of(1), logSigner.publicKey))
    assert.deepEqual(
      Note.keyId(crypto, witnessKey),
      id(utf8(witnessKey.name), newline, Uint8Array.of(4), witnessSigner.publicKey),
    )
    assert.deepEqual(
      Note.keyId(crypto, statementKey),
      id(utf8(name), newline, Uint8Array.of(0xff), utf8('assay/checkpoint/v1'), statementSigner.publicKey),
    )
    assert.deepEqual(
      Note.keyId(crypto, { ...statementKey, tag: 'cosign' }),
      id(utf8(name), newline, Uint8Array.of(0xff), utf8('assay/cosign/v1'), statementSigner.publicKey),
    )
  })
  test('round-trip as text, and a wrong identifier, type or length is refused', () => {
    for (const key of [logKey, witnessKey, statementKey, { ...statementKey, tag: 'cosign' as const }]) {
      const encoded = Note.serializeKey(crypto, key)
      assert.deepEqual(Note.parseKey(crypto, encoded), key)
      const at = encoded.indexOf('+') + 1
      const flipped = encoded[at] === '0' ? '1' : '0'
      refuses('verifier-key', () => Note.parseKey(crypto, encoded.slice(0, at) + flipped + encoded.slice(at + 1)))
      refuses('verifier-key', () => Note.parseKey(crypto, encoded.replace('+', '')))
      refuses('verifier-key', () => Note.parseKey(crypto, encoded.slice(0, -4)))
    }
    for (const bad of [
      '',
      'a+b+c',
      'k+00000000+',
      'k+00000000+AA=',
      `k+00000000+${Bytes.toBase64(Uint8Array.of(9))}`,
    ]) {
      refuses('verifier-key', () => Note.parseKey(crypto, bad))
    }
    assert.throws(() => Note.keyId(crypto, { ...logKey, publicKey: new Uint8Array(31) }), { code: 'wrong-length' })
  })
})

describe('signatures', () => {
  test('the published example of the format holds for its published key', async () => {
    // Source: C2SP signed-note, the example of section "Verifier keys".
    const key = Note.parseKey(crypto, 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k')
    const blob = 'Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM='
    const bytes = utf8(`This is an example message.\n\n\u2014 example.com/foo ${blob}\n`)
    assert.ok(key.type === 'ed25519')
    await Note.verifyEd25519(crypto, Note.parse(bytes), key)
  })

  test('each kind holds for its key', async () => {
    const note = Note.parse(Note.serialize(await signed()))
    await Note.verifyEd25519(crypto, note, logKey)
    await Note.verifyEs256(crypto, note, statementKey, payload)
    const { timestampSeconds } = await Note.verifyCosignature(crypto, note, witnessKey)
    assert.equal(timestampSeconds, 1_679_315_147n)
    assert.equal(
      Bytes.toUtf8(Note.cosignatureMessage(text, timestampSeconds)),
      `cosignature/v1\ntime 1679315147\n${text}`,
    )
  })

  test('and for nothing else: text, key, name, tag, payload, time, length', async () => {
    const note = await signed()
    const changed = { ...note, text: Note.serializeCheckpoint({ ...checkpoint, size: 1n }) }
    await assert.rejects(Note.verifyEd25519(crypto, changed, logKey), Note.BadSignatureError)
    await assert.rejects(Note.verifyCosignature(crypto, changed, witnessKey), Note.BadSignatureError)
    const others = { ...logKey, publicKey: witnessSigner.publicKey }
    await assert.rejects(Note.verifyEd25519(crypto, note, others), Note.MissingSignatureError)
    await assert.rejects(Note.verifyEd25519(crypto, note, { ...logKey, name: 'x' }), Note.MissingSignatureError)
    const cosign = { ...statementKey, tag: 'cosign' } as const
    await assert.rejects(Note.verifyEs256(crypto, note, cosign, payload), Note.MissingSignatureError)
    const wrong = crypto.sha256(payload)
    await assert.rejects(Note.verifyEs256(crypto, note, statementKey, wrong), Cose.BadSignatureError)
    const [first, , third] = note.signatures as [Note.Signature, Note.Signature, Note.Signature]
    for (const blob of [first.blob.slice(1), new Uint8Array(64), Uint8Array.of(1)]) {
      const broken = { ...note, signatures: [{ ...first, blob }] }
      await assert.rejects(Note.verifyEd25519(crypto, broken, logKey), Note.BadSignatureError)
    }
    const later = Bytes.concat(Bytes.u64(1_679_315_148n), third.blob.slice(8))
    const beyond = Bytes.concat(Bytes.u64(2n ** 63n), third.blob.slice(8))
    for (const blob of [later, beyond, third.blob.slice(0, -1), third.blob.slice(8)]) {
      const broken = { ...note, signatures: [{ ...third, blob }] }
      await assert.rejects(Note.verifyCosignature(crypto, broken, witnessKey), Note.BadSignatureError)
    }
  })

  test('unknown lines are ignored, but one bad line of a known key refuses the note', async () => {
    const note = await signed()
    const [first] = note.signatures as [Note.Signature]
    const unknown = { name: 'x', keyId: first.keyId, blob: Uint8Array.of(1) }
    await Note.verifyEd25519(crypto, { ...note, signatures: [unknown, ...note.signatures] }, logKey)
    const bad = { ...first, blob: new Uint8Array(64) }
    const both = { ...note, signatures: [...note.signatures, bad] }
    await assert.rejects(Note.verifyEd25519(crypto, both, logKey), Note.BadSignatureError)
  })

  test('of several lines of one witness the latest time counts', async () => {
    const note = await signed()
    const older = await Note.signCosignature(crypto, witnessSigner, witnessKey.name, text, 5n)
    const both = { ...note, signatures: [...note.signatures, older] }
    assert.deepEqual(await Note.verifyCosignature(crypto, both, witnessKey), { timestampSeconds: 1_679_315_147n })
  })

  test('times outside the format are not signed', () => {
    for (const time of [-1n, 2n ** 63n]) refuses('timestamp', () => Note.cosignatureMessage(text, time))
  })
})
