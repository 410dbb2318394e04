/** composed.ts - vectors of the formats in dCBOR: manifest, bundle, and what travels over HTTP. */
import * as Body from '../../src/protocol/Body.ts'
import * as Bundle from '../../src/protocol/Bundle.ts'
import * as Bytes from '../../src/protocol/Bytes.ts'
import * as ClaimsTree from '../../src/protocol/ClaimsTree.ts'
import * as Dcbor from '../../src/protocol/Dcbor.ts'
import * as Head from '../../src/protocol/Head.ts'
import * as Manifest from '../../src/protocol/Manifest.ts'
import * as Sse from '../../src/protocol/Sse.ts'
import * as Wire from '../../src/protocol/Wire.ts'
import { type Case, failures, hex, patched, plain, type VectorFile } from './cases.ts'
import * as World from './world.ts'

const { crypto } = World

type Path = readonly (number | string)[]

/** The dCBOR document with the value at a path replaced, or taken out when it is undefined. */
export function edited(document: Uint8Array, path: Path, value: Dcbor.Value | undefined): Uint8Array {
  const edit = (node: Dcbor.Value, [key, ...rest]: Path): Dcbor.Value => {
    if (key === undefined) return value as Dcbor.Value
    if (Array.isArray(node)) return node.map((item: Dcbor.Value, i) => (i === key ? edit(item, rest) : item))
    const map = new Map(node as Dcbor.ValueMap)
    if (rest.length === 0 && value === undefined) map.delete(key)
    else map.set(key, edit(map.get(key) ?? new Map(), rest))
    return map
  }
  return Dcbor.encode(edit(Dcbor.decode(document), path))
}

const zero = (length: number) => new Uint8Array(length)

export function manifestFile(): VectorFile {
  const good = World.manifestBytes
  const tensor: Manifest.Manifest = {
    version: 1,
    name: 'adder',
    kind: 'tensor',
    weightsRoot: World.weightsRoot,
    files: World.manifest.files,
    licence: 'CC0-1.0',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }],
    outputs: [{ name: 'y', datatype: 'INT64', shape: [] }],
    graph: 'model.onnx',
  }
  const tensorBytes = Manifest.serialize(tensor)
  const file = (path: string): Dcbor.Value => [path, 1, zero(32)]
  const shape = 'manifest-shape'
  return {
    description: 'Model manifests: input is dCBOR; hash = SHA-256(input). Weights: files give the weights root.',
    spec: 'spec/execution.md section 1; spec/assay.cddl',
    cases: [
      {
        name: 'manifest of the worked example',
        input: hex(good),
        expected: plain(World.manifest),
        hash: hex(World.manifestHash),
      },
      {
        name: 'tensor model',
        input: hex(tensorBytes),
        expected: plain(tensor),
        hash: hex(Manifest.hash(crypto, tensorBytes)),
      },
      ...weightsCases(),
      ...failures([
        ['version 2', edited(good, [1], 2), shape],
        ['unknown key', edited(good, [14], 1), shape],
        ['unknown kind', edited(good, [3], 'image'), shape],
        ['no files', edited(good, [5], []), shape],
        ['weights root of 31 bytes', edited(good, [4], zero(31)), shape],
        ['not deterministic: trailing byte', Bytes.concat(good, Uint8Array.of(0)), shape],
        ['causal-lm without template', edited(good, [8], undefined), 'manifest-kind'],
        ['causal-lm with inputs', edited(good, [10], [['x', 'FP32', []]]), 'manifest-kind'],
        ['tensor with tokenizer', edited(tensorBytes, [13], 'tokenizer.bin'), 'manifest-kind'],
        ['files in another order', edited(good, [5], [file('tokenizer.bin'), file('model.onnx')]), 'manifest-order'],
        ['a file twice', edited(good, [5], [file('model.onnx'), file('model.onnx')]), 'manifest-order'],
        ['path that leaves the folder', edited(good, [5], [file('../model.onnx')]), 'manifest-path'],
        ['absolute path', edited(good, [5], [file('/model.onnx')]), 'manifest-path'],
        ['graph that is no file', edited(good, [12], 'other.onnx'), 'manifest-path'],
        ['template token outside the vocabulary', edited(good, [8, 2], 512), 'manifest-architecture'],
        ['default temperature 2.5', edited(good, [9, 1], '2.5'), 'manifest-defaults'],
        ['default topP 0', edited(good, [9, 2], '0'), 'manifest-defaults'],
        [
          'two inputs of one name',
          edited(
            tensorBytes,
            [10],
            [
              ['x', 'FP32', []],
              ['x', 'FP32', []],
            ],
          ),
          'manifest-ports',
        ],
        ['dimension -2', edited(tensorBytes, [10], [['x', 'FP32', [-2]]]), shape],
        ['datatype FP64', edited(tensorBytes, [10], [['x', 'FP64', []]]), shape],
      ]),
    ],
  }
}

function weightsCases(): Case[] {
  const large = Uint8Array.from({ length: Manifest.chunkLength + 5 }, (_, i) => i % 251)
  const of = (name: string, files: readonly { path: string; bytes: Uint8Array }[], how: Case[string]): Case => ({
    name,
    files: how ?? plain(files),
    weightsRoot: hex(Manifest.weightsRoot(crypto, files)),
  })
  return [
    of('weights of no files', [], undefined),
    of('weights of one empty file', [{ path: 'a', bytes: zero(0) }], undefined),
    of(
      'paths are sorted by byte',
      ['b', 'a/z', 'a', 'B'].map((path) => ({ path, bytes: Bytes.fromUtf8(path) })),
      undefined,
    ),
    of(
      'two chunks: byte i of 1 MiB + 5 is i mod 251',
      [{ path: 'large', bytes: large }],
      [{ path: 'large', length: plain(BigInt(large.length)), bytesModulo: 251 }],
    ),
  ]
}

export function bundleFile(chain?: Bundle.ChainPiece, staked?: Bundle.ChainPiece): VectorFile {
  const complete = World.complete(chain)
  const bonded = World.complete(staked)
  const good: readonly (readonly [string, Bundle.Bundle])[] = [
    ['minimal: everything hidden', World.minimal],
    ['everything disclosed, with the order', World.ordered],
    ['with order, four bodies and the manifest', World.withBodies],
    ['with pledge, checkpoint and two cosignatures', World.logged],
    ['complete', complete],
    ['complete, cut: slot request hidden', Bundle.cut(crypto, complete, { slots: ['request'] })],
    ['complete, cut: no pledge', Bundle.cut(crypto, complete, { pledge: true })],
    ['complete, cut: no order, no bodies', Bundle.cut(crypto, complete, { order: true, bodies: Body.names })],
    ['complete, with stake', bonded],
    ['complete, with stake, cut: no checkpoint', Bundle.cut(crypto, bonded, { checkpoint: true })],
    ['complete, with stake, cut: no stake', Bundle.cut(crypto, bonded, { stake: true })],
  ]
  return {
    description:
      'Bundles: input is a .receipt file. Cases that must fail are no bundles at all; what contradicts itself inside a bundle is not here.',
    spec: 'spec/bundle.md section 1',
    cases: [
      ...good.map(([name, bundle]) => ({
        name,
        input: hex(Bundle.serialize(bundle)),
        receiptHash: hex(Head.hash(crypto, bundle.receipt.head)),
        visibility: plain(
          Array.from({ length: 16 }, (_, slot) => Bundle.visibilityOf(Bundle.parse(Bundle.serialize(bundle)), slot)),
        ),
      })),
      ...bundleFailures(Bundle.serialize(World.complete())),
    ],
  }
}

function bundleFailures(whole: Uint8Array): Case[] {
  const unused = ClaimsTree.unusedLeaves[9] as Uint8Array
  const document = Dcbor.decode(whole) as Dcbor.ValueMap
  const cosignatures = (document.get(6) as Dcbor.ValueMap).get(5) as readonly Dcbor.Value[]
  const without = (...keys: number[]) =>
    Dcbor.encode(new Map([...document].filter(([key]) => !keys.includes(key as number))))
  const opening = [zero(16), zero(1)] as const
  const trie: Dcbor.Value = [Uint8Array.of(0xc0)]
  const registry = new Map([1, 2, 3].map((key) => [key, trie] as const))
  const logProof = (keys: readonly number[]) => new Map(keys.map((key) => [key, trie] as const))
  const chain = (log?: ReadonlyMap<number, Dcbor.Value>): Dcbor.Value =>
    new Map<number, Dcbor.Value>([
      [1, Uint8Array.of(0xc0)],
      [2, zero(32)],
      [3, registry],
      ...(log === undefined ? [] : [[4, log] as const]),
    ])
  const staked = new Map([1, 2, 3, 4, 5].map((key) => [key, trie] as const))
  const contract = (last: number) =>
    new Map<number, Dcbor.Value>([1, 2, 3, 4].slice(0, last).map((key) => [key, key === 1 ? zero(20) : trie] as const))
  const stake = new Map<number, Dcbor.Value>([
    [1, contract(3)],
    [2, contract(4)],
    [3, contract(2)],
    [4, staked],
    [5, staked],
  ])
  const withStake = (bytes: Uint8Array, log?: ReadonlyMap<number, Dcbor.Value>) =>
    edited(edited(bytes, [8], chain(log)), [8, 5], stake)
  const bonded = withStake(whole, logProof([1, 2, 3]))
  const shape = 'bundle-shape'
  const presence = 'bundle-presence'
  return failures([
    ['no bytes', zero(0), shape],
    ['not dCBOR: trailing byte', Bytes.concat(whole, zero(1)), shape],
    ['not dCBOR: indefinite length', Bytes.concat(Uint8Array.of(0xbf), whole.slice(1), Uint8Array.of(0xff)), shape],
    ['a list', Dcbor.encode([]), shape],
    ['version 2', edited(whole, [0], 2), shape],
    ['no version', without(0), shape],
    ['no receipt', without(1), shape],
    ['no disclosed map', without(2), shape],
    ['no hidden map', without(3), shape],
    ['no keys', without(7), shape],
    ['unknown key 11', edited(whole, [11], new Map()), shape],
    ['unknown key 12', edited(whole, [12], 1), shape],
    ['text key', edited(whole, ['grade'], 'proven'), shape],
    ['unknown key in the receipt', edited(whole, [1, 3], zero(32)), shape],
    ['head of 138 bytes', edited(whole, [1, 1], zero(138)), shape],
    ['signature of 63 bytes', edited(whole, [1, 2], zero(63)), shape],
    ['slot 16 disclosed', edited(whole, [2, 16], opening), shape],
    ['slot 14 disclosed', edited(whole, [2, 14], opening), shape],
    ['slot 14 hidden', edited(whole, [3, 14], zero(32)), shape],
    ['salt of 15 bytes', edited(whole, [2, 0, 0], zero(15)), shape],
    ['opening of three', edited(whole, [2, 0], [zero(16), zero(1), zero(1)]), shape],
    ['hidden leaf of 31 bytes', edited(whole, [3, 9], zero(31)), shape],
    ['hidden leaf that is the unused constant', edited(whole, [3, 9], unused), presence],
    ['slot both disclosed and hidden', edited(whole, [3, 0], zero(32)), presence],
    ['order words of 415 bytes', edited(whole, [4, 1], zero(415)), shape],
    ['order without slot 1', edited(without(9, 10), [2, 1], undefined), presence],
    [
      'order with terms that it does not name',
      edited(whole, [4, 1], patched(World.orderWords, 320, zero(32))),
      presence,
    ],
    ['order without the terms that it names', edited(whole, [4, 4], undefined), presence],
    ['order without the salt of the request body', edited(whole, [4, 5], undefined), presence],
    ['order with a salt and no request body', edited(whole, [9, 1], undefined), presence],
    ['terms of 1,025 bytes', edited(whole, [4, 4], zero(1025)), shape],
    ['pledge without the key of the log', edited(whole, [7, 2], undefined), presence],
    ['key of a log without a pledge', without(5, 6), presence],
    ['checkpoint without a pledge', edited(without(5), [7, 2], undefined), presence],
    [
      'proof of 64 hashes',
      edited(
        whole,
        [6, 4],
        Array.from({ length: 64 }, () => zero(32)),
      ),
      shape,
    ],
    ['cosignatures in another order', edited(whole, [6, 5], [...cosignatures].reverse()), presence],
    [
      'a cosignature twice',
      edited(whole, [6, 5], [cosignatures[0] as Dcbor.Value, cosignatures[0] as Dcbor.Value]),
      presence,
    ],
    [
      'seventeen cosignatures',
      edited(
        whole,
        [6, 5],
        Array.from({ length: 17 }, () => [zero(64), zero(64)]),
      ),
      shape,
    ],
    ['size as a byte string', edited(whole, [6, 1], zero(8)), shape],
    ['negative size', edited(whole, [6, 1], -1), shape],
    [
      'chain without the registry',
      edited(
        whole,
        [8],
        new Map<number, Dcbor.Value>([
          [1, zero(1)],
          [2, zero(32)],
        ]),
      ),
      shape,
    ],
    ['chain with an empty proof', edited(edited(whole, [8], chain()), [8, 3, 1], []), shape],
    ['one word of a step', edited(whole, [8], chain(logProof([1, 2, 3, 4]))), presence],
    ['step without a checkpoint', edited(without(6), [8], chain(logProof([1, 2, 3, 4, 5]))), presence],
    [
      'log record without a pledge',
      edited(edited(without(5, 6), [7, 2], undefined), [8], chain(logProof([1, 2, 3]))),
      presence,
    ],
    ['stake without the record of the log', withStake(whole), presence],
    ['stake without a pledge', withStake(edited(without(5, 6), [7, 2], undefined)), presence],
    ['stake without the cases', edited(bonded, [8, 5, 3], undefined), shape],
    ['stake of the node alone', edited(bonded, [8, 5, 5], undefined), shape],
    ['stake with a contract more', edited(bonded, [8, 5, 6], contract(2)), shape],
    ['a stake manager at 19 bytes', edited(bonded, [8, 5, 1, 1], zero(19)), shape],
    ['a court without its cases', edited(bonded, [8, 5, 2, 4], undefined), shape],
    ['cases with a word', edited(bonded, [8, 5, 3, 3], trie), shape],
    ['stake without word 2', edited(bonded, [8, 5, 4, 3], undefined), shape],
    ['stake without open cases', edited(bonded, [8, 5, 5, 5], undefined), shape],
    ['stake with a word more', edited(bonded, [8, 5, 5, 6], trie), shape],
    ['an absence of no nodes', edited(bonded, [8, 5, 4, 3], []), shape],
    ['no body in bodies', edited(edited(whole, [9], new Map()), [4, 5], undefined), presence],
    ['body of a hidden slot', edited(edited(whole, [2, 4], undefined), [3, 4], zero(32)), presence],
    ['request body of two leaves', edited(whole, [9, 1, 1], [zero(1), zero(1)]), presence],
    ['body salt of 17 bytes', edited(whole, [9, 2, 0], zero(17)), shape],
    ['unknown body', edited(whole, [9, 5], [zero(16), []]), shape],
    ['manifest without slot 6', edited(edited(whole, [2, 6], undefined), [3, 6], zero(32)), presence],
    ['manifest as text', edited(whole, [10], 'manifest'), shape],
  ])
}

export function wireFile(): VectorFile {
  const { signatures } = World
  const receipt = Wire.encodeReceipt({ head: World.headBytes, signature: signatures.receipt })
  const pledge = Wire.encodePledge({ words: World.pledgeWords, signature: signatures.pledge })
  const secret = Wire.encodeSecret(World.secret)
  const claims = Wire.encodeClaims(World.values)
  const order = Wire.encodeOrder({
    words: World.orderWords,
    signature: signatures.order,
    publicKey: World.client.publicKey,
  })
  const chunks = World.leaves.response
  const values = { receipt, pledge, secret, claims }
  const commented = Bytes.concat(...chunks.map(Sse.writeChunk), Wire.writeComments(values), Sse.writeDone())
  const named = Bytes.concat(...chunks.map(Sse.writeChunk), Sse.writeReceiptEvent(values), Sse.writeDone())
  const stream = (name: string, text: string, mustFail: string): Case => ({
    name,
    stream: hex(Bytes.fromUtf8(text)),
    mustFail,
  })
  return {
    description: 'Values of headers, and event streams (hex) with their committed chunks.',
    spec: 'spec/wire.md; spec/receipt.md section 4',
    cases: [
      {
        name: 'Assay-Receipt',
        header: 'receipt',
        value: receipt,
        decoded: plain({ head: World.headBytes, signature: signatures.receipt }),
      },
      {
        name: 'Assay-Pledge',
        header: 'pledge',
        value: pledge,
        decoded: plain({ words: World.pledgeWords, signature: signatures.pledge }),
      },
      {
        name: 'Assay-Secret',
        header: 'secret',
        value: secret,
        decoded: plain(World.secret),
        readToken: hex(Wire.readToken(crypto, World.secret)),
      },
      { name: 'Assay-Claims', header: 'claims', value: claims, decoded: plain(World.values) },
      {
        name: 'Assay-Order',
        header: 'order',
        value: order,
        decoded: plain({ words: World.orderWords, signature: signatures.order, publicKey: World.client.publicKey }),
      },
      { name: 'Assay-Receipt with padding', header: 'receipt', value: `${receipt}=`, mustFail: 'wire-receipt' },
      { name: 'Assay-Receipt cut short', header: 'receipt', value: receipt.slice(0, -4), mustFail: 'wire-receipt' },
      {
        name: 'Assay-Secret with trailing bits',
        header: 'secret',
        value: `${secret.slice(0, -1)}${lastBit(secret)}`,
        mustFail: 'wire-secret',
      },
      { name: 'Assay-Secret in standard base64', header: 'secret', value: '+'.repeat(43), mustFail: 'wire-secret' },
      {
        name: 'Assay-Claims of slot 14',
        header: 'claims',
        value: Bytes.toBase64url(Dcbor.encode(new Map([[14, zero(1)]]))),
        mustFail: 'wire-claims',
      },
      {
        name: 'stream with comments',
        stream: hex(commented),
        chunks: plain(chunks),
        comments: plain({ ...values }),
        done: true,
      },
      {
        name: 'stream with the named event',
        stream: hex(named),
        chunks: plain(chunks),
        comments: plain({ ...values }),
        done: true,
      },
      {
        name: 'CRLF, keep-alives, an event name, data of two lines',
        stream: hex(Bytes.fromUtf8(': keep-alive\r\n\r\nevent: delta\r\ndata: a\r\ndata:b\r\n\r\n')),
        chunks: plain([Bytes.fromUtf8('delta\na\nb')]),
        comments: {},
        done: false,
      },
      stream('lone CR', 'data: a\rdata: b\n\n', 'stream-lone-cr'),
      stream('unfinished event', 'data: a\n', 'stream-unfinished'),
      stream('unfinished line', 'data: a', 'stream-unfinished'),
      stream('field id', 'id: 1\ndata: a\n\n', 'stream-unknown-field'),
      stream('event without data', 'event: a\n\n', 'stream-event-without-data'),
      stream('two event names', 'event: a\nevent: b\ndata: c\n\n', 'stream-event-twice'),
      stream('chunk after [DONE]', 'data: [DONE]\n\ndata: a\n\n', 'stream-after-done'),
      stream('a receipt twice', ': assay-receipt A\n\n: assay-receipt B\n\n', 'stream-comment-twice'),
      stream('a receipt without a value', ': assay-receipt\n\n', 'stream-comment'),
      stream(
        'a named event with a repeated key',
        'event: assay.receipt\ndata: {"receipt":"A","receipt":"B","pledge":"C","secret":"D","claims":"E"}\n\n',
        'stream-comment',
      ),
      { name: 'byte order mark', stream: 'efbbbf646174613a20610a0a', mustFail: 'stream-bom' },
    ],
  }
}

/** The next character of the alphabet: the same bytes with a trailing bit set. */
function lastBit(text: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return alphabet[alphabet.indexOf(text.slice(-1)) + 1] ?? 'B'
}
