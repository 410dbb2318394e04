/** Vectors.test.ts - every case of vectors/, read from the files alone as a second implementation would. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { plain } from '../../scripts/vector-files/cases.ts'
import { crypto } from '../crypto/noble.ts'
import * as Body from './Body.ts'
import * as Bundle from './Bundle.ts'
import * as Bytes from './Bytes.ts'
import * as Checkpoint from './Checkpoint.ts'
import * as Claims from './Claims.ts'
import * as ClaimsTree from './ClaimsTree.ts'
import * as Cose from './Cose.ts'
import * as Dcbor from './Dcbor.ts'
import { BaseError } from './errors.ts'
import * as Fault from './Fault.ts'
import * as Head from './Head.ts'
import * as Heartbeat from './Heartbeat.ts'
import * as Identity from './Identity.ts'
import * as LogEntry from './LogEntry.ts'
import * as Manifest from './Manifest.ts'
import * as Merkle from './Merkle.ts'
import * as Note from './Note.ts'
import * as Order from './Order.ts'
import * as Pledge from './Pledge.ts'
import * as Sse from './Sse.ts'
import * as Wire from './Wire.ts'

// biome-ignore lint/suspicious/noExplicitAny: cases have as many shapes as files; each check names its own
type Case = any

const { fromHex, toHex } = Bytes
const list = (items: readonly string[]) => items.map(fromHex)

function each(file: string, check: (item: Case) => unknown): void {
  const path = join(import.meta.dirname, '../../vectors', `${file}.json`)
  const { cases } = JSON.parse(readFileSync(path, 'utf8')) as { cases: Case[] }
  describe(`vectors/${file}.json`, () => {
    for (const item of cases) {
      test(item.name, async () => {
        if (item.mustFail === undefined) await check(item)
        else {
          await assert.rejects(
            async () => await check(item),
            (error) => BaseError.isInstance(error) && error.code === item.mustFail,
          )
        }
      })
    }
  })
}

each('head', (item) => {
  const bytes = fromHex(item.input)
  const head = Head.parse(bytes)
  assert.deepEqual(Head.serialize(head), bytes)
  assert.deepEqual(plain(head), item.expected)
  assert.equal(toHex(Head.hash(crypto, bytes)), item.receiptHash)
  assert.equal(toHex(Head.payload(crypto, bytes)), item.payload)
})

each('entry', (item) => {
  const bytes = fromHex(item.input)
  const entry = LogEntry.parse(bytes)
  assert.deepEqual(LogEntry.serialize(entry), bytes)
  assert.deepEqual(plain(entry), item.expected)
  assert.deepEqual(LogEntry.fromHead(crypto, fromHex(item.head)), bytes)
  assert.equal(toHex(LogEntry.leafHash(crypto, bytes)), item.leafHash)
})

each('order', async (item) => {
  if (item.terms !== undefined) {
    assert.deepEqual(plain(Order.decodeTerms(fromHex(item.encoded))), item.terms)
    assert.equal(toHex(Order.termsHash(crypto, fromHex(item.encoded))), item.hash)
    return
  }
  const bytes = fromHex(item.input)
  const order = Order.parse(bytes)
  assert.deepEqual(Order.words(order), bytes)
  if (item.signature !== undefined) return signed('order', item)
  assert.deepEqual(plain(order), item.expected)
  const domain = { chainId: BigInt(item.chainId), registry: fromHex(item.registry) }
  assert.equal(toHex(Order.hash(crypto, order, domain)), item.orderHash)
})

each('pledge', async (item) => {
  const bytes = fromHex(item.input)
  const pledge = Pledge.parse(bytes)
  assert.deepEqual(Pledge.words(pledge), bytes)
  assert.deepEqual(plain(pledge), item.expected)
  assert.equal(toHex(Pledge.payload(crypto, bytes)), item.payload)
  await signed('pledge', item)
})

each('heartbeat', async (item) => {
  const bytes = fromHex(item.input)
  const heartbeat = Heartbeat.parse(bytes)
  assert.deepEqual(Heartbeat.words(heartbeat), bytes)
  const subject = { words: bytes, signature: fromHex(item.signature), publicKey: fromHex(item.publicKey) }
  const { keyId, ...said } = await Heartbeat.verify(crypto, subject)
  assert.deepEqual(plain(said), item.expected)
  assert.deepEqual(keyId, Cose.keyId(crypto, subject.publicKey))
  assert.equal(toHex(Heartbeat.payload(crypto, bytes)), item.payload)
  await signed('heartbeat', item)
})

each('checkpoint', async (item) => {
  const bytes = fromHex(item.input)
  const statement = Checkpoint.parse(bytes)
  assert.deepEqual(Checkpoint.words(statement), bytes)
  assert.deepEqual(plain(statement), item.expected)
  assert.equal(toHex(Checkpoint.payload(crypto, bytes)), item.payload)
  await signed('checkpoint', item)
  const note = Note.parse(Bytes.fromUtf8(item.note))
  const witness = { name: item.witnessName, publicKey: fromHex(item.witnessKey) }
  const read = await Checkpoint.fromNote(crypto, note, { ...statement, publicKey: fromHex(item.publicKey) }, [witness])
  assert.deepEqual(read.statement, statement)
  assert.equal(toHex(read.signature), item.signature)
  assert.deepEqual(read.cosignatures, [{ ...witness, signature: fromHex(item.cosignature) }])
  const name = Checkpoint.origin(statement.logId)
  await Note.verifyEd25519(crypto, note, { type: 'ed25519', name, publicKey: fromHex(item.ed25519Key) })
})

each('cose', async (item) => {
  if (item.input !== undefined) {
    const envelope = Cose.decode(fromHex(item.input))
    assert.deepEqual(Cose.encode(envelope), fromHex(item.input))
    const { keyId, payload, signature } = item
    assert.deepEqual(plain(envelope), { keyId, payload, signature })
    return
  }
  if (item.signature !== undefined) await signed(item.tag, item)
  assert.equal(toHex(Cose.sigStructure(item.tag, fromHex(item.payload))), item.sigStructure)
})

each('merkle', (item) => {
  if (item.entry !== undefined) return assert.equal(toHex(Merkle.leafHash(crypto, fromHex(item.entry))), item.leafHash)
  if (item.leafHashes !== undefined) return assert.equal(toHex(Merkle.root(crypto, list(item.leafHashes))), item.root)
  if (item.consistency !== undefined) {
    return Merkle.verifyConsistency(crypto, {
      size1: BigInt(item.size1),
      root1: fromHex(item.root1),
      size2: BigInt(item.size2),
      root2: fromHex(item.root2),
      proof: list(item.consistency),
    })
  }
  Merkle.verifyInclusion(crypto, {
    leafHash: fromHex(item.leafHash),
    index: BigInt(item.index),
    size: BigInt(item.size),
    root: fromHex(item.root),
    proof: list(item.inclusion),
  })
})

each('identity', (item) => {
  const bytes = (name: string) => fromHex(item.input[name])
  const chainId = BigInt(item.input.chainId)
  if (item.payload !== undefined) {
    const { role } = item.input
    const statement = {
      chainId,
      contract: bytes('contract'),
      subject: bytes('subject'),
      role,
      publicKey: bytes('publicKey'),
    }
    return assert.equal(toHex(Identity.keyStatement(crypto, statement)), item.payload)
  }
  const shared = { chainId, operator: bytes('operator'), n: BigInt(item.input.n) }
  if (item.nodeId !== undefined) {
    return assert.equal(toHex(Identity.nodeId(crypto, { ...shared, registry: bytes('registry') })), item.nodeId)
  }
  const log = { ...shared, anchorLog: bytes('anchorLog'), instance: bytes('instance') }
  assert.equal(toHex(Identity.logId(crypto, log)), item.logId)
})

each('dcbor', (item) => {
  const value = Dcbor.decode(fromHex(item.input))
  assert.deepEqual(plain(value), item.expected)
  assert.equal(toHex(Dcbor.encode(value)), item.input)
})

each('note', (item) => {
  const note = Note.parse(Bytes.fromUtf8(item.input))
  assert.equal(Bytes.toUtf8(Note.serialize(note)), item.input)
  const { origin, size, root } = Note.parseCheckpoint(note.text)
  assert.deepEqual({ origin, size: String(size), root: toHex(root) }, item.expected)
})

each('claims', (item) => {
  if (item.slot !== undefined) {
    const value = Claims.decode(item.slot as Claims.Name, fromHex(item.input))
    assert.deepEqual(Claims.encode(item.slot as Claims.Name, value as never), fromHex(item.input))
    assert.deepEqual(plain(value), item.expected)
    return
  }
  if (item.bodyLeaves !== undefined) {
    return assert.equal(toHex(Body.root(crypto, fromHex(item.salt), list(item.bodyLeaves))), item.root)
  }
  const values = new Map<number, Uint8Array>(item.values.map(([slot, hex]: [number, string]) => [slot, fromHex(hex)]))
  const { secret, nonce, modeBits } = item
  const tree = ClaimsTree.build(crypto, { secret: fromHex(secret), nonce: fromHex(nonce), modeBits, values })
  assert.deepEqual(plain(tree), { salts: item.salts, leaves: item.leaves, root: item.root })
})

each('manifest', (item) => {
  if (item.weightsRoot !== undefined) {
    const files = item.files.map((file: Case) => ({
      path: file.path,
      bytes:
        file.bytes === undefined
          ? Uint8Array.from({ length: Number(file.length) }, (_, i) => i % file.bytesModulo)
          : fromHex(file.bytes),
    }))
    return assert.equal(toHex(Manifest.weightsRoot(crypto, files)), item.weightsRoot)
  }
  const bytes = fromHex(item.input)
  const manifest = Manifest.parse(bytes)
  assert.deepEqual(Manifest.serialize(manifest), bytes)
  assert.deepEqual(plain(manifest), item.expected)
  assert.equal(toHex(Manifest.hash(crypto, bytes)), item.hash)
})

each('bundle', (item) => {
  const bytes = fromHex(item.input)
  const bundle = Bundle.parse(bytes)
  assert.deepEqual(Bundle.serialize(bundle), bytes)
  assert.equal(toHex(Head.hash(crypto, bundle.receipt.head)), item.receiptHash)
  const slots = Array.from({ length: 16 }, (_, slot) => Bundle.visibilityOf(bundle, slot))
  assert.deepEqual(slots, item.visibility)
})

each('fault', async (item) => {
  const bytes = fromHex(item.input)
  const fault = Fault.parse(bytes)
  assert.deepEqual(Fault.serialize(fault), bytes)
  const anchored: Fault.Anchored = (logId, size) =>
    item.anchored !== null && toHex(logId) === item.anchored.logId && size === BigInt(item.anchored.size)
      ? fromHex(item.anchored.root)
      : undefined
  const { terms } = item
  const known: Fault.PledgeTerms = {
    pledgeBlocks: () => (terms === null ? undefined : BigInt(terms.pledgeBlocks)),
    graceBlocks: terms === null ? undefined : BigInt(terms.graceBlocks),
    seen: () => (terms === null ? undefined : { block: BigInt(terms.block), size: BigInt(terms.size) }),
    withheld: () =>
      terms?.lastBlock === undefined ? undefined : { block: BigInt(terms.block), lastBlock: BigInt(terms.lastBlock) },
  }
  const finding = await Fault.judge(crypto, fault, anchored, known)
  assert.equal(toHex(finding.class === 5 ? finding.logId : finding.keyId), item.accused)
  assert.equal(toHex(Fault.faultId(crypto, Fault.incidentOf(finding, 600n))), item.faultId)
})

each('wire', (item) => {
  if (item.stream !== undefined) {
    const { chunks, comments, done } = Sse.splitStream(fromHex(item.stream))
    assert.deepEqual(plain(chunks), item.chunks)
    assert.deepEqual(
      Object.fromEntries([...comments].map(([name, value]) => [name.replace('assay-', ''), value])),
      item.comments,
    )
    assert.equal(done, item.done)
    return
  }
  const codec: Case = {
    receipt: [Wire.decodeReceipt, Wire.encodeReceipt],
    pledge: [Wire.decodePledge, Wire.encodePledge],
    secret: [Wire.decodeSecret, Wire.encodeSecret],
    claims: [Wire.decodeClaims, Wire.encodeClaims],
    order: [Wire.decodeOrder, Wire.encodeOrder],
  }[item.header as string]
  const decoded = codec[0](item.value)
  assert.deepEqual(plain(decoded), item.decoded)
  assert.equal(codec[1](decoded), item.value)
  if (item.readToken !== undefined) assert.equal(toHex(Wire.readToken(crypto, decoded)), item.readToken)
})

async function signed(tag: Cose.Tag, item: Case): Promise<void> {
  await Cose.verify(crypto, {
    tag,
    payload: fromHex(item.payload),
    signature: fromHex(item.signature),
    publicKey: fromHex(item.publicKey),
  })
}
