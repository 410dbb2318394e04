/** texts.ts - the encodings under the formats: dCBOR, signed notes, the file of trust anchors. */
import * as TrustAnchors from '../../src/chain/TrustAnchors.ts'
import * as Bytes from '../../src/protocol/Bytes.ts'
import * as Dcbor from '../../src/protocol/Dcbor.ts'
import * as Note from '../../src/protocol/Note.ts'
import { type Case, failures, hex, plain, type VectorFile } from './cases.ts'
import { codeHashes } from './chain.ts'
import * as World from './world.ts'

const bytesOf = (digits: string) => Bytes.fromHex(digits.replaceAll(' ', ''))

export function dcborFile(): VectorFile {
  const good: readonly (readonly [name: string, digits: string])[] = [
    ['zero, and the largest number in one byte', '82 00 17'],
    ['each longer head at its smallest', '84 1818 190100 1a00010000 1b0000000100000000'],
    ['2^64-1 and -2^64', '82 1bffffffffffffffff 3bffffffffffffffff'],
    ['an empty byte string, text, array and map', '84 40 60 80 a0'],
    ['true, false, null', '83 f5 f4 f6'],
    ['text beyond ASCII, composed', '65 c3a9e282ac'],
    ['keys in the order of their bytes: 10, -1, a byte string, text', 'a4 0a01 2002 410003 616104'],
    ['sixteen levels', `${'81'.repeat(15)}80`],
  ]
  return {
    description:
      'Deterministic CBOR: input is the one encoding of expected (integers above 2^53 decimal strings, byte strings hex, maps lists of pairs).',
    spec: 'spec/encodings.md section 2',
    cases: [
      ...good.map(([name, digits]): Case => {
        const input = bytesOf(digits)
        return { name, input: hex(input), expected: plain(Dcbor.decode(input)) }
      }),
      ...failures([
        ['no byte', bytesOf(''), 'input-too-short'],
        ['a byte string that ends early', bytesOf('42 00'), 'input-too-short'],
        ['a byte after the value', bytesOf('00 00'), 'trailing-bytes'],
        ['23 in two bytes', bytesOf('1817'), 'head-not-shortest'],
        ['a length in more bytes than needed', bytesOf('5801 00'), 'head-not-shortest'],
        ['a head that has no meaning', bytesOf('1c'), 'reserved-head'],
        ['an array of indefinite length', bytesOf('9f ff'), 'indefinite-length'],
        ['a tag', bytesOf('c0 60'), 'tag'],
        ['a half float', bytesOf('f93c00'), 'float'],
        ['undefined', bytesOf('f7'), 'simple-value'],
        ['text that is no UTF-8', bytesOf('61 ff'), 'text-not-utf8'],
        ['text that is not composed', bytesOf('63 65cc81'), 'text-not-nfc'],
        ['a key that is an array', bytesOf('a1 80 00'), 'unsupported-key'],
        ['a key twice', bytesOf('a2 0000 0001'), 'duplicate-key'],
        ['keys in another order', bytesOf('a2 0100 0000'), 'keys-not-sorted'],
        ['seventeen levels', bytesOf(`${'81'.repeat(16)}80`), 'limit-exceeded'],
      ]),
    ],
  }
}

/** Cases whose input is text. */
const refused = (list: readonly (readonly [name: string, input: string, code: string])[]): Case[] =>
  list.map(([name, input, mustFail]) => ({ name, input, mustFail }))

export function noteFile(): VectorFile {
  const origin = Note.origin(World.logId)
  const text = Note.serializeCheckpoint({ origin, size: World.size, root: World.root, extensions: [] })
  const line = `\u2014 ${origin} ${Buffer.from(new Uint8Array(68).fill(7)).toString('base64')}\n`
  const [, size, root] = text.split('\n') as [string, string, string]
  const checkpoint = (...lines: string[]) => `${lines.join('\n')}\n\n${line}`
  return {
    description:
      'Signed notes with a checkpoint as their text; input is text, expected is its three lines. No signature is checked here (checkpoint.json has those).',
    spec: 'spec/log.md section 4; C2SP signed-note, tlog-checkpoint',
    cases: [
      { name: 'one line', input: `${text}\n${line}`, expected: { origin, size, root: hex(World.root) } },
      {
        name: 'a line of somebody unknown beside it',
        input: `${text}\n${line}${line.replace(origin, 'other.test')}`,
        expected: { origin, size, root: hex(World.root) },
      },
      ...refused([
        ['no signature', text, 'no-signatures'],
        ['no newline at the end', `${text}\n${line.trimEnd()}`, 'no-final-newline'],
        ['a control character', `${text.replace(size, `${size}\t`)}\n${line}`, 'control-character'],
        ['a hyphen for the dash', `${text}\n${line.replace('\u2014', '-')}`, 'signature-line'],
        ['a signature shorter than its key id', `${text}\n\u2014 ${origin} AAAA\n`, 'signature-line'],
        ['a size with a zero before it', checkpoint(origin, `0${size}`, root), 'checkpoint-size'],
        ['a size below zero', checkpoint(origin, `-${size}`, root), 'checkpoint-size'],
        [
          'a root of 31 bytes',
          checkpoint(origin, size, Buffer.from(World.root.subarray(1)).toString('base64')),
          'checkpoint-root',
        ],
        ['a root without its padding', checkpoint(origin, size, root.replace(/=+$/, '')), 'checkpoint-root'],
        ['two lines only', checkpoint(origin, size), 'checkpoint-line'],
      ]),
    ],
  }
}

export function anchorsFile(): VectorFile {
  const contract = (address: Uint8Array, codeHash: Uint8Array) => ({ address, codeHash })
  const anchors: TrustAnchors.TrustAnchors = {
    chainId: World.chainId,
    nodeRegistry: contract(World.registry, codeHashes.nodeRegistry),
    anchorLog: contract(World.anchorLog, codeHashes.anchorLog),
    finality: 'development',
    headers: [
      { number: 1000n, hash: World.digest('block 1000') },
      { number: 1010n, hash: World.digest('block 1010') },
    ],
  }
  const text = TrustAnchors.serialize([anchors])
  const staked: TrustAnchors.TrustAnchors = {
    ...anchors,
    stake: {
      stakeManager: contract(World.digest('stake manager').slice(0, 20), World.digest('stake manager code')),
      faultCourt: contract(World.digest('fault court').slice(0, 20), World.digest('fault court code')),
      faultCases: contract(World.digest('fault cases').slice(0, 20), World.digest('fault cases code')),
    },
    finality: 'quorum:2/3',
  }
  const withStake = TrustAnchors.serialize([staked])
  const code = 'anchors-file-invalid'
  return {
    description: 'The file of trust anchors; input is text, expected what it says.',
    spec: 'spec/bundle.md section 4',
    cases: [
      { name: 'one chain with two headers', input: text, expected: plain([anchors]) },
      { name: 'no chain', input: '[]', expected: [] },
      { name: 'with contracts of stake, by a quorum', input: withStake, expected: plain([staked]) },
      ...refused([
        ['no JSON', text.slice(1), code],
        ['an unknown name', text.replace('"finality"', '"grade": 1, "finality"'), code],
        ['a name twice', text.replace('"finality"', '"chainId": "1", "finality"'), code],
        ['a name that is missing', text.replace('    "finality": "development",\n', ''), code],
        ['a rule that nobody defined', text.replace('"development"', '"trusted"'), code],
        ['a chainId that is a number', text.replace(`"${World.chainId}"`, `${World.chainId}`), code],
        [
          'an address in capitals',
          text.replace(/0x[0-9a-f]{40}/, (address) => `0x${address.slice(2).toUpperCase()}`),
          code,
        ],
        ['headers in another order', text.replace('"1000"', '"1020"'), code],
        ['a number twice', text.replace('"1000"', '"1010"'), code],
        ['the same contracts twice', `[${text.trim().slice(1, -1)},${text.trim().slice(1, -1)}]`, code],
        ['an escape', text.replace('"development"', '"develop\\u006dent"'), code],
        ['stake that is nothing', text.replace('"finality"', '"stake": null, "finality"'), code],
        ['stake without the cases', withStake.replace(/,\s*"faultCases": \{[^}]*\}/, ''), code],
        ['stake with a token', withStake.replace('"faultCases"', '"token": {}, "faultCases"'), code],
        ['a quorum of half', withStake.replace('quorum:2/3', 'quorum:2/4'), code],
        ['a quorum of more than there are', withStake.replace('quorum:2/3', 'quorum:4/3'), code],
        ['a quorum with a zero before it', withStake.replace('quorum:2/3', 'quorum:02/3'), code],
      ]),
    ],
  }
}
