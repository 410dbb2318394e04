import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { plain } from '../../scripts/vector-files/cases.ts'
import * as Finality from './Finality.ts'
import * as TrustAnchors from './TrustAnchors.ts'

const contract = (byte: number) => ({
  address: new Uint8Array(20).fill(byte),
  codeHash: new Uint8Array(32).fill(byte + 1),
})
const hash = (byte: number) => new Uint8Array(32).fill(byte)
const anchors: TrustAnchors.TrustAnchors = {
  chainId: 2n ** 64n - 1n,
  nodeRegistry: contract(1),
  anchorLog: contract(3),
  finality: 'development',
  headers: [
    { number: 0n, hash: hash(9) },
    { number: 7n, hash: hash(10) },
  ],
}

const staked: TrustAnchors.TrustAnchors = {
  ...anchors,
  stake: { stakeManager: contract(20), faultCourt: contract(22), faultCases: contract(24) },
}

describe('TrustAnchors.parse', () => {
  test('reads what serialize writes', () => {
    const others = [
      { ...anchors, chainId: 1n, headers: [] },
      { ...staked, chainId: 2n },
    ]
    for (const value of [
      [],
      [anchors],
      [anchors, ...others],
      [staked],
      [{ ...anchors, finality: 'quorum:3/5' as const }],
    ]) {
      assert.deepEqual(TrustAnchors.parse(TrustAnchors.serialize(value)), value)
    }
  })

  test('takes a quorum of more than half of at most 16 endpoints, written in one way', () => {
    for (const rule of ['development', 'quorum:1/1', 'quorum:2/3', 'quorum:16/16'])
      assert.ok(TrustAnchors.isFinalityRule(rule), rule)
    for (const rule of [
      'quorum',
      'quorum:0/3',
      'quorum:4/3',
      'quorum:2/4',
      'quorum:9/17',
      'quorum:02/3',
      'quorum:2/3 ',
      'quorum:2/3/4',
      '',
      1,
    ])
      assert.ok(!TrustAnchors.isFinalityRule(rule), String(rule))
  })

  test('`add` keeps the contracts of stake and the rule', () => {
    const more = TrustAnchors.add({ ...staked, finality: 'quorum:2/3' }, { number: 9n, hash: hash(11) })
    assert.deepEqual([more.stake, more.finality], [staked.stake, 'quorum:2/3'])
  })

  const text = TrustAnchors.serialize([anchors])
  const withStake = TrustAnchors.serialize([staked])
  for (const [what, broken, place] of [
    ['an unknown name', text.replace('"finality"', '"final"'), '$[0].final'],
    ['a missing name', text.replace('"finality": "development",', ''), '$[0].finality'],
    ['a repeated name', text.replace('"finality"', '"chainId": "1", "finality"'), '$'],
    ['another rule', text.replace('"development"', '"quorum"'), '$[0].finality'],
    ['a quorum of none', text.replace('"development"', '"quorum:0/1"'), '$[0].finality'],
    ['stake without its cases', withStake.replace('faultCases', 'faultCase'), '$[0].stake.faultCase'],
    ['stake of two contracts', withStake.replace(/,\s*"faultCases": \{[^}]*\}/, ''), '$[0].stake.faultCases'],
    ['stake that is nothing', text.replace('"finality"', '"stake": null, "finality"'), '$[0].stake'],
    ['a number instead of text', text.replace('"7"', '7'), '$[0].headers[1][0]'],
    ['a leading zero', text.replace('"7"', '"07"'), '$[0].headers[1][0]'],
    ['a number of 65 bits', text.replace('"7"', '"18446744073709551616"'), '$[0].headers[1][0]'],
    ['a number twice', text.replace('"7"', '"0"'), '$[0].headers[1]'],
    ['upper case', text.replace('0x0a0a', '0x0A0A'), '$[0].headers[1][1]'],
    ['a short hash', text.replace('0x0a0a', '0x0a'), '$[0].headers[1][1]'],
    ['a triple', text.replace('["7",', '["7", "8",'), '$[0].headers[1]'],
    ['an escape', text.replace('"7"', '"\\u0037"'), '$'],
    ['the same chain twice', TrustAnchors.serialize([anchors, anchors]), '$[1]'],
    ['an object at the top', TrustAnchors.serialize([anchors]).slice(2, -2), '$'],
    ['no JSON', '[', '$'],
  ] as const) {
    test(`refuses ${what} and names the place`, () => {
      assert.throws(() => TrustAnchors.parse(broken), { code: 'anchors-file-invalid', place })
    })
  }
})

describe('TrustAnchors.add', () => {
  test('keeps order, ignores what is known, and gives up a replaced history', () => {
    const more = TrustAnchors.add(anchors, { number: 3n, hash: hash(4) })
    assert.deepEqual(
      more.headers.map((one) => one.number),
      [0n, 3n, 7n],
    )
    assert.equal(TrustAnchors.add(more, { number: 3n, hash: hash(4) }), more)
    const reorganised = TrustAnchors.add(more, { number: 3n, hash: hash(5) })
    assert.deepEqual(reorganised.headers, [anchors.headers[0], { number: 3n, hash: hash(5) }])
  })
})

describe('Finality.judge', () => {
  const subject: Finality.Subject = {
    chainId: anchors.chainId,
    header: { number: 7n, hash: hash(10) },
    nodeRegistry: contract(1),
    anchorLog: contract(3),
  }

  test('trusts exactly the pairs, contracts and code that the reader named', () => {
    assert.deepEqual(Finality.judge([anchors], subject), {
      trusted: anchors,
      assumptions: [`chain:development:${anchors.chainId}`, `sequencer:${anchors.chainId}`],
    })
    assert.equal(Finality.judge([anchors], { ...subject, anchorLog: undefined }).trusted, anchors)
  })

  for (const [reason, change] of [
    ['no trust anchors for this chain', { chainId: 1n }],
    ['no trust anchors for these contracts', { nodeRegistry: contract(2) }],
    ['no trust anchors for these contracts', { anchorLog: contract(2) }],
    ['other contract code than trusted', { nodeRegistry: { ...contract(1), codeHash: hash(0) } }],
    ['other contract code than trusted', { anchorLog: { ...contract(3), codeHash: hash(0) } }],
    ['no trusted header', { header: { number: 7n, hash: hash(11) } }],
    ['no trusted header', { header: { number: 8n, hash: hash(10) } }],
    ['no trusted header', { header: { number: 6n, hash: hash(10) } }],
  ] as const) {
    test(`${reason}: ${Object.keys(change)[0]}`, () => {
      assert.deepEqual(Finality.judge([anchors], { ...subject, ...change }), { trusted: undefined, reason })
    })
  }
})

describe('vectors/anchors.json', () => {
  const path = join(import.meta.dirname, '..', '..', 'vectors', 'anchors.json')
  const { cases } = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly cases: readonly { name: string; input: string; expected?: unknown; mustFail?: string }[]
  }
  for (const { name, input, expected, mustFail } of cases)
    test(name, () => {
      if (mustFail !== undefined) assert.throws(() => TrustAnchors.parse(input), { code: mustFail })
      else assert.deepEqual(plain(TrustAnchors.parse(input)), expected)
    })
})
