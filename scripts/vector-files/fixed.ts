/** fixed.ts - vectors of the formats with fixed lengths: head, entry, order, pledge, checkpoint, signatures, trees. */
import * as Body from '../../src/protocol/Body.ts'
import * as Bytes from '../../src/protocol/Bytes.ts'
import * as Checkpoint from '../../src/protocol/Checkpoint.ts'
import * as Claims from '../../src/protocol/Claims.ts'
import * as ClaimsTree from '../../src/protocol/ClaimsTree.ts'
import * as Cose from '../../src/protocol/Cose.ts'
import * as Dcbor from '../../src/protocol/Dcbor.ts'
import * as Head from '../../src/protocol/Head.ts'
import * as Identity from '../../src/protocol/Identity.ts'
import * as LogEntry from '../../src/protocol/LogEntry.ts'
import * as Merkle from '../../src/protocol/Merkle.ts'
import * as Note from '../../src/protocol/Note.ts'
import * as Order from '../../src/protocol/Order.ts'
import * as P256 from '../../src/protocol/P256.ts'
import * as Pledge from '../../src/protocol/Pledge.ts'
import { changed, failures, hex, patched, plain, type VectorFile } from './cases.ts'
import * as World from './world.ts'

const { crypto } = World
const ones = (length: number) => new Uint8Array(length).fill(0xff)

export function headFile(): VectorFile {
  const first = Head.serialize({ ...World.head, sequence: 0n, previous: new Uint8Array(32) })
  const largest = Head.serialize({
    ...World.head,
    chainId: 2n ** 64n - 1n,
    keyEpoch: 2 ** 32 - 1,
    sequence: 2n ** 64n - 1n,
    modeBits: 7,
    flags: 1,
  })
  const good = [
    ['the head of the worked example', World.headBytes],
    ['first head of a key: sequence 0, previous zero', first],
    ['largest numbers, all bits', largest],
  ] as const
  return {
    description: 'Heads: input is 139 bytes; receiptHash = SHA-256(0x03 || head), payload = SHA-256(head).',
    spec: 'spec/receipt.md section 1',
    cases: [
      ...good.map(([name, bytes]) => ({
        name,
        input: hex(bytes),
        expected: plain(Head.parse(bytes)),
        receiptHash: hex(Head.hash(crypto, bytes)),
        payload: hex(Head.payload(crypto, bytes)),
      })),
      ...failures([
        ['empty', new Uint8Array(0), 'head-length'],
        ['one byte short', World.headBytes.slice(0, -1), 'head-length'],
        ['one byte long', Bytes.concat(World.headBytes, Uint8Array.of(0)), 'head-length'],
        ['version 0', changed(World.headBytes, 0, 0), 'head-version'],
        ['version 2', changed(World.headBytes, 0, 2), 'head-version'],
        ['unknown mode bit 8', changed(World.headBytes, 105, 8), 'head-mode-bits'],
        ['unknown mode bit 128', changed(World.headBytes, 105, 128), 'head-mode-bits'],
        ['unknown flag 2', changed(World.headBytes, 106, 2), 'head-flags'],
        ['sequence 0 with a previous', patched(World.headBytes, 65, new Uint8Array(8)), 'head-previous'],
        ['sequence 7 without a previous', patched(World.headBytes, 73, new Uint8Array(32)), 'head-previous'],
      ]),
    ],
  }
}

export function entryFile(): VectorFile {
  return {
    description:
      'Log entries: input is 75 bytes; leafHash = SHA-256(0x00 || entry). Cases with a head derive the entry.',
    spec: 'spec/log.md section 2',
    cases: [
      {
        name: 'entry of the worked example',
        head: hex(World.headBytes),
        input: hex(World.entryBytes),
        expected: plain(LogEntry.parse(World.entryBytes)),
        leafHash: hex(LogEntry.leafHash(crypto, World.entryBytes)),
      },
      ...failures([
        ['one byte short', World.entryBytes.slice(1), 'entry-length'],
        ['one byte long', Bytes.concat(World.entryBytes, Uint8Array.of(0)), 'entry-length'],
        ['version 2', changed(World.entryBytes, 0, 2), 'entry-version'],
        ['unknown mode bit', changed(World.entryBytes, 73, 8), 'entry-mode-bits'],
        ['unknown flag', changed(World.entryBytes, 74, 4), 'entry-flags'],
      ]),
    ],
  }
}

export function orderFile(): VectorFile {
  const { order, orderWords, chainId, registry } = World
  const open: Order.Order = { ...order, model: new Uint8Array(32), modes: 0, exposureTermsHash: new Uint8Array(32) }
  const paid: Order.Order = { ...order, asset: World.digest('asset').slice(0, 20), maxPrice: 2n ** 256n - 1n, modes: 7 }
  const good = [
    ['order of the worked example', order],
    ['any model, no modes, no terms', open],
    ['priced, all modes', paid],
  ] as const
  const word = (index: number) => 32 * index
  return {
    description: 'Orders: input is 13 words; orderHash is the EIP-712 digest under (chainId, registry).',
    spec: 'spec/order.md',
    cases: [
      ...good.map(([name, value]) => ({
        name,
        input: hex(Order.words(value)),
        expected: plain(value),
        chainId: plain(chainId),
        registry: hex(registry),
        orderHash: hex(Order.hash(crypto, value, { chainId, registry })),
      })),
      {
        name: 'signature of the worked example under tag order',
        input: hex(orderWords),
        publicKey: hex(World.client.publicKey),
        signature: hex(World.signatures.order),
        payload: hex(World.orderHash),
      },
      {
        name: 'exposure terms',
        terms: plain(World.terms),
        encoded: hex(World.termsBytes),
        hash: hex(order.exposureTermsHash),
      },
      ...failures([
        ['one word short', orderWords.slice(0, -32), 'order-length'],
        ['one word long', Bytes.concat(orderWords, new Uint8Array(32)), 'order-length'],
        ['modes above 8 bits', changed(orderWords, word(5) + 30, 1), 'order-word'],
        ['unknown mode bit', changed(orderWords, word(5) + 31, 12), 'order-modes'],
        ['asset with a dirty first byte', changed(orderWords, word(6), 1), 'order-word'],
        ['asset with a dirty twelfth byte', changed(orderWords, word(6) + 11, 1), 'order-word'],
        ['nonce with a dirty last byte', changed(orderWords, word(8) + 31, 1), 'order-word'],
        ['nonce with a dirty seventeenth byte', changed(orderWords, word(8) + 16, 1), 'order-word'],
        ['notAfter above 64 bits', changed(orderWords, word(9) + 23, 1), 'order-word'],
        ['parentsHash not zero', changed(orderWords, word(11) + 31, 1), 'order-reserved'],
        ['replyKeyHash not zero', changed(orderWords, word(12), 1), 'order-reserved'],
      ]),
    ],
  }
}

export function pledgeFile(): VectorFile {
  const { pledgeWords } = World
  return {
    description: 'Pledges: input is 7 words; payload = SHA-256(words), signed under tag pledge.',
    spec: 'spec/log.md section 3',
    cases: [
      {
        name: 'pledge of the worked example',
        input: hex(pledgeWords),
        expected: plain(World.pledge),
        payload: hex(Pledge.payload(crypto, pledgeWords)),
        publicKey: hex(World.log.publicKey),
        signature: hex(World.signatures.pledge),
      },
      ...failures([
        ['one byte short', pledgeWords.slice(0, -1), 'pledge-length'],
        ['one byte long', Bytes.concat(pledgeWords, Uint8Array.of(0)), 'pledge-length'],
        ['chainId above 64 bits', changed(pledgeWords, 23, 1), 'pledge-word'],
        ['dirty address padding', changed(pledgeWords, 32 + 11, 1), 'pledge-word'],
        ['leafIndex above 64 bits', changed(pledgeWords, 128, 1), 'pledge-word'],
        ['issuedAtBlock above 64 bits', changed(pledgeWords, 160 + 23, 255), 'pledge-word'],
      ]),
    ],
  }
}

export async function checkpointFile(): Promise<VectorFile> {
  const { statement, statementWords, logId } = World
  const name = Checkpoint.origin(logId)
  const text = Checkpoint.text(statement)
  const ed25519 = World.ed25519Signer('log')
  const line = await Note.signEd25519(crypto, ed25519, name, text)
  const cosignature = { name: 'witness.test', publicKey: World.witness.publicKey, signature: World.signatures.cosign }
  const log = { publicKey: World.log.publicKey, signature: World.signatures.checkpoint }
  const note = Checkpoint.toNote(crypto, statement, { log, lines: [line], cosignatures: [cosignature] })
  return {
    description: 'Checkpoint statements: input is 5 words; payload = SHA-256(words). The note is the published form.',
    spec: 'spec/log.md section 4',
    cases: [
      {
        name: 'checkpoint of the worked example',
        input: hex(statementWords),
        expected: plain(statement),
        payload: hex(Checkpoint.payload(crypto, statementWords)),
        publicKey: hex(World.log.publicKey),
        signature: hex(World.signatures.checkpoint),
        witnessKey: hex(World.witness.publicKey),
        cosignature: hex(World.signatures.cosign),
        witnessName: cosignature.name,
        ed25519Key: hex(ed25519.publicKey),
        note: Bytes.toUtf8(Note.serialize(note)),
      },
      ...failures([
        ['one byte short', statementWords.slice(1), 'checkpoint-length'],
        ['size above 64 bits', changed(statementWords, 96 + 23, 1), 'checkpoint-word'],
        ['size 2^63', changed(statementWords, 96 + 24, 0x80), 'checkpoint-size'],
        ['dirty address padding', changed(statementWords, 32, 1), 'checkpoint-word'],
      ]),
    ],
  }
}

export function coseFile(): VectorFile {
  const payload = Head.payload(crypto, World.headBytes)
  const signature = World.signatures.receipt
  const publicKey = World.node.publicKey
  const s = Bytes.toBigInt(signature.subarray(32))
  const highS = Bytes.concat(signature.subarray(0, 32), Bytes.u256(P256.order - s))
  const keyId = Cose.keyId(crypto, publicKey)
  const envelope = Cose.encode({ keyId, payload, signature })
  const good = { tag: 'receipt', payload: hex(payload), publicKey: hex(publicKey), signature: hex(signature) }
  return {
    description: 'Signatures: sigStructure is what is hashed and signed. Envelopes: input is the untagged COSE_Sign1.',
    spec: 'spec/encodings.md section 4',
    cases: [
      {
        name: 'receipt signature',
        ...good,
        sigStructure: hex(Cose.sigStructure('receipt', payload)),
        keyId: hex(keyId),
      },
      ...Cose.tags.map((tag) => ({
        name: `bytes signed under tag ${tag}`,
        tag,
        payload: hex(payload),
        sigStructure: hex(Cose.sigStructure(tag, payload)),
      })),
      { name: 'another tag', ...good, tag: 'order', mustFail: 'signature-mismatch' },
      { name: 'another payload', ...good, payload: hex(changed(payload, 31)), mustFail: 'signature-mismatch' },
      { name: 'another key', ...good, publicKey: hex(World.log.publicKey), mustFail: 'signature-mismatch' },
      { name: 'r flipped', ...good, signature: hex(changed(signature, 31)), mustFail: 'signature-mismatch' },
      { name: 's flipped', ...good, signature: hex(changed(signature, 63)), mustFail: 'signature-mismatch' },
      { name: 'high s', ...good, signature: hex(highS), mustFail: 'signature-high-s' },
      {
        name: 'r zero',
        ...good,
        signature: hex(patched(signature, 0, new Uint8Array(32))),
        mustFail: 'signature-out-of-range',
      },
      {
        name: 's zero',
        ...good,
        signature: hex(patched(signature, 32, new Uint8Array(32))),
        mustFail: 'signature-out-of-range',
      },
      {
        name: 'r = n',
        ...good,
        signature: hex(patched(signature, 0, Bytes.u256(P256.order))),
        mustFail: 'signature-out-of-range',
      },
      { name: 'key not on the curve', ...good, publicKey: hex(changed(publicKey, 63)), mustFail: 'invalid-key' },
      { name: 'key all zero', ...good, publicKey: hex(new Uint8Array(64)), mustFail: 'invalid-key' },
      { name: 'coordinates above p', ...good, publicKey: hex(ones(64)), mustFail: 'invalid-key' },
      { name: 'key one byte short', ...good, publicKey: hex(publicKey.slice(1)), mustFail: 'invalid-key' },
      {
        name: 'signature one byte short',
        ...good,
        signature: hex(signature.slice(1)),
        mustFail: 'signature-wrong-length',
      },
      { name: 'envelope', input: hex(envelope), keyId: hex(keyId), payload: hex(payload), signature: hex(signature) },
      ...failures([
        ['envelope with a tag', Bytes.concat(Uint8Array.of(0xd2), envelope), 'envelope-malformed'],
        ['envelope cut short', envelope.slice(0, -1), 'envelope-malformed'],
        ['envelope with another algorithm', changed(envelope, 4, 0x27), 'envelope-malformed'],
        ['envelope without a key identifier', changed(envelope, 5, 0xa0), 'envelope-malformed'],
      ]),
    ],
  }
}

function claimsTreeCases(): VectorFile['cases'] {
  const { secret, nonce, tree } = World
  const tee = ClaimsTree.build(crypto, { secret, nonce, modeBits: 1, values: World.values })
  return [
    {
      name: 'claims tree of the worked example',
      secret: hex(secret),
      nonce: hex(nonce),
      modeBits: 4,
      values: plain(World.values),
      salts: plain(tree.salts),
      leaves: plain(tree.leaves),
      root: hex(tree.root),
    },
    {
      name: 'claims tree with mode bit tee: slots 0, 11, 12 have zero salts',
      secret: hex(secret),
      nonce: hex(nonce),
      modeBits: 1,
      values: plain(World.values),
      salts: plain(tee.salts),
      leaves: plain(tee.leaves),
      root: hex(tee.root),
    },
    ...Body.names.map((name) => ({
      name: `${name} body of the worked example`,
      salt: hex(World.salts[Body.saltIndexOf(name)] as Uint8Array),
      bodyLeaves: plain(World.leaves[name]),
      root: hex(Body.root(crypto, World.salts[Body.saltIndexOf(name)] as Uint8Array, World.leaves[name])),
    })),
  ]
}

export function merkleFile(): VectorFile {
  const leaves = World.logLeaves
  const sizes = [1n, 2n, 3n, 4n, 7n, 8n, 11n]
  const inclusion = sizes.flatMap((size) =>
    [0n, size / 2n, size - 1n].filter((index, i, all) => all.indexOf(index) === i).map((index) => ({ index, size })),
  )
  const at = (size: bigint) => Merkle.root(crypto, leaves.slice(0, Number(size)))
  const { leafIndex, size, root } = World
  const proof = Merkle.inclusionProof(crypto, leaves, leafIndex)
  const good = {
    leafHash: hex(leaves[Number(leafIndex)] as Uint8Array),
    index: plain(leafIndex),
    size: plain(size),
    root: hex(root),
    inclusion: plain(proof),
  }
  return {
    description: 'RFC 9162 trees: roots, inclusion and consistency proofs over the leaf hashes of the worked example.',
    spec: 'spec/log.md section 4',
    cases: [
      { name: 'leaf hash', entry: '01', leafHash: hex(Merkle.leafHash(crypto, Uint8Array.of(1))) },
      { name: 'empty tree', leafHashes: [], root: hex(Merkle.emptyRoot(crypto)) },
      ...sizes.map((count) => ({
        name: `root of ${count}`,
        leafHashes: plain(leaves.slice(0, Number(count))),
        root: hex(at(count)),
      })),
      ...inclusion.map(({ index, size: count }) => ({
        name: `leaf ${index} in ${count}`,
        leafHash: hex(leaves[Number(index)] as Uint8Array),
        index: plain(index),
        size: plain(count),
        root: hex(at(count)),
        inclusion: plain(Merkle.inclusionProof(crypto, leaves, index, count)),
      })),
      ...[
        [1n, 1n],
        [1n, 11n],
        [3n, 7n],
        [4n, 8n],
        [6n, 11n],
        [8n, 11n],
      ].map(([size1 = 0n, size2 = 0n]) => ({
        name: `${size1} is the beginning of ${size2}`,
        size1: plain(size1),
        root1: hex(at(size1)),
        size2: plain(size2),
        root2: hex(at(size2)),
        consistency: plain(Merkle.consistencyProof(crypto, leaves, size1, size2)),
      })),
      { name: 'wrong index', ...good, index: '4', mustFail: 'root-mismatch' },
      { name: 'index = size', ...good, index: '11', mustFail: 'index-out-of-range' },
      { name: 'wrong leaf', ...good, leafHash: hex(leaves[4] as Uint8Array), mustFail: 'root-mismatch' },
      { name: 'proof too short', ...good, inclusion: plain(proof.slice(1)), mustFail: 'proof-length' },
      { name: 'proof too long', ...good, inclusion: plain([...proof, root]), mustFail: 'proof-length' },
      { name: 'proof in another order', ...good, inclusion: plain([...proof].reverse()), mustFail: 'root-mismatch' },
    ],
  }
}

export function identityFile(): VectorFile {
  const { chainId, registry, anchorLog, instance, nodeOperator, logOperator, nodeId, logId } = World
  const key = {
    chainId,
    contract: registry,
    subject: nodeId,
    role: Identity.roles.node,
    publicKey: World.node.publicKey,
  }
  return {
    description: 'Identifiers of nodes and logs, and the payload with which a key enters a contract.',
    spec: 'spec/log.md section 1; spec/encodings.md section 5',
    cases: [
      { name: 'node', input: plain({ chainId, registry, operator: nodeOperator, n: 0n }), nodeId: hex(nodeId) },
      { name: 'log', input: plain({ chainId, anchorLog, instance, operator: logOperator, n: 0n }), logId: hex(logId) },
      { name: 'possession of the node key', input: plain(key), payload: hex(Identity.keyStatement(crypto, key)) },
    ],
  }
}

export function claimsFile(): VectorFile {
  const names = Object.keys(World.claims) as Claims.Name[]
  return {
    description: 'Claim values by slot: input is dCBOR; and the claims tree and bodies of the worked example.',
    spec: 'spec/receipt.md sections 2 to 5; spec/assay.cddl',
    cases: [
      ...names.map((slot) => ({
        name: `value of ${slot}`,
        slot,
        input: hex(Claims.encode(slot, World.claims[slot] as never)),
        expected: plain(World.claims[slot]),
      })),
      ...claimFailures(),
      ...claimsTreeCases(),
    ],
  }
}

/** What a claim may not be; each names the slot that it is read for. */
function claimFailures(): VectorFile['cases'] {
  const zero = new Uint8Array(32)
  const map = (...entries: readonly (readonly [number | string, Dcbor.Value])[]) => Dcbor.encode(new Map(entries))
  const version = [1, '0.1.0'] as const
  const response = [
    [1, 200],
    [2, ''],
    [3, zero],
    [4, 1],
    [5, 1],
  ] as const
  const outcome = [
    [1, 'stop'],
    [2, null],
    [
      3,
      new Map([
        [1, 0],
        [2, 0],
      ]),
    ],
    [4, 0],
    [5, 0],
    [6, ''],
  ] as const
  const of = (slot: string, name: string, input: Uint8Array) => ({ name: `${slot}: ${name}`, slot, input: hex(input) })
  return [
    of('node', 'missing config', map(version)),
    of('node', 'unknown key', map(version, [2, zero], [3, 1])),
    of('node', 'a grade', map(version, [2, zero], ['grade', 'proven'])),
    of('node', 'keys out of order', Bytes.concat(Bytes.fromHex('a2025820'), zero, Bytes.fromHex('016131'))),
    of('node', 'trailing byte', Bytes.concat(map(version, [2, zero]), Uint8Array.of(0))),
    of('node', 'text of 1,025 bytes', map([1, 'x'.repeat(1025)], [2, zero])),
    of('node', 'config of 31 bytes', map(version, [2, zero.slice(1)])),
    of('order', '31 bytes', Dcbor.encode(zero.slice(1))),
    of('model', 'text', Dcbor.encode('model')),
    of('response', 'status 99', map([1, 99], ...response.slice(1))),
    of('response', 'status 600', map([1, 600], ...response.slice(1))),
    of('response', '2^20 + 1 chunks', map(...response.slice(0, 3), [4, 2 ** 20 + 1], [5, 1])),
    of('response', 'status as text', map([1, '200'], ...response.slice(1))),
    of('response', 'bytes below zero', map(...response.slice(0, 4), [5, -1])),
    of('effectiveRequest', 'kind 3', map([1, 3], [2, zero], [3, 0], [4, []])),
    of('effectiveRequest', 'unknown rewrite', map([1, 1], [2, zero], [3, 0], [4, [['rename', '', '']]])),
    of('effectiveRequest', 'rewrite of two parts', map([1, 1], [2, zero], [3, 0], [4, [['drop', '']]])),
    of('route', 'null origin', map([1, null], [2, null], [3, null], [4, null])),
    of('exposure', 'retention above 32 bits', map([1, []], [2, 2 ** 32])),
    of('outcome', 'unknown finish', map([1, 'ok'], ...outcome.slice(1))),
    of('outcome', 'no usage', map(...outcome.slice(0, 2), ...outcome.slice(3))),
  ].map((item) => ({ ...item, mustFail: 'claim-malformed' }))
}
