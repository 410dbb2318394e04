import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crypto } from '../crypto/noble.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Layout from './Layout.ts'
import * as Records from './Records.ts'

// The worked example of spec/contracts.md section 5.3, which was computed by the contracts' own tests.
const id = new Uint8Array(32).fill(0x11)
const keyId = new Uint8Array(32).fill(0x22)
const hex = (slots: readonly Uint8Array[]) => slots.map(Bytes.toHex)

test('Layout gives the slots of the worked example', () => {
  assert.deepEqual(hex(Layout.nodeSlots(crypto, id)), [
    'cf3a25d1b2fbf5769a2f8891c95bc5b38555577eaa0f9a33d29f9759392fff3b',
  ])
  assert.deepEqual(hex(Layout.keyRecordSlots(crypto, id, 2)), [
    '8ebc71243b9f685fc8fef96894ace800c4e3fb9f789ed2f243ce2d5ff032d209',
    '8ebc71243b9f685fc8fef96894ace800c4e3fb9f789ed2f243ce2d5ff032d20a',
  ])
  assert.equal(
    hex(Layout.logRecordSlots(crypto, id))[0],
    '3b31255a9f930bb80359c3ba2fef22133cd773f2653bd87c6035861658aa0882',
  )
  assert.equal(
    hex(Layout.logHeadSlots(crypto, id))[0],
    '3b31255a9f930bb80359c3ba2fef22133cd773f2653bd87c6035861658aa0887',
  )
  assert.equal(
    hex(Layout.stepSlots(crypto, id, 100_000n))[0],
    '86b4b896d61893a749d9acd4323c1a59a5701437aed1426f18b8e14c75088ba1',
  )
  assert.deepEqual(hex([Layout.logOfKeySlot(crypto, keyId), Layout.conflictSlot(crypto, id, 100_000n)]), [
    '59e58ae9bc4be1d3e8832a400b5d61e4720d50b6b3e3a935c912827ffe36f96a',
    '3e7726929f2d437d659eae7e4f4ccfd2f7b96709b2f938ba32682746fd1ebc3d',
  ])
})

test('Records reads the packed word of the worked example, and its bounds', () => {
  const word = Bytes.fromHex(`00000000006f000000006401${'aa'.repeat(20)}`)
  const record = Records.keyRecord(keyId, word)
  const operator = new Uint8Array(20).fill(0xaa)
  assert.deepEqual(record, { keyId, operator, role: 1, validFromBlock: 100n, validUntilBlock: 111n })
  assert.throws(() => Records.keyRecord(new Uint8Array(32), word), { code: 'zero-word' })
  assert.throws(() => Records.keyRecord(keyId, Bytes.fromHex(`01${'00'.repeat(31)}`)), { code: 'unused-bits' })
})

test("Layout gives the slots of stake, which the contracts' own tests read where it says", () => {
  // contracts/test/CourtStorage.t.sol: K(id, 5) and the words behind it, K(id, 4) in FaultCases.
  const [word0, word1, word2, word5] = Layout.stakeSlots(crypto, id)
  const first = crypto.keccak256(Bytes.concat(id, Bytes.u256(5n)))
  const plus = (count: bigint) => Bytes.u256(Bytes.toBigInt(first) + count)
  assert.deepEqual([word0, word1, word2, word5], [first, plus(1n), plus(2n), plus(5n)])
  assert.deepEqual(Layout.openCasesSlot(crypto, id), crypto.keccak256(Bytes.concat(id, Bytes.u256(4n))))
  assert.deepEqual([Layout.stakeTermsSlot(), ...Layout.courtSlots()], [2n, 1n, 4n].map(Bytes.u256))
  assert.throws(() => Layout.stakeSlots(crypto, id.slice(1)))
})

test('Records reads the packed words of stake', () => {
  const word = (...parts: readonly (readonly [value: bigint, shift: bigint])[]) =>
    Bytes.u256(parts.reduce((sum, [value, shift]) => sum | (value << shift), 0n))
  const operator = 0xaan
  const words = [
    word([1_000n, 0n], [3_000n, 96n], [7n, 192n]),
    word([9n, 0n], [25n, 64n], [3n, 160n], [10n, 192n], [100n, 216n]),
    word([1n, 0n], [2n, 96n]),
    word([operator, 0n], [40n, 160n]),
  ] as const
  assert.deepEqual(Records.stakeRecord(words), {
    operator: Bytes.u256(operator).slice(12),
    ...{ extraPledgeBlocks: 40n, index: 9n, selfShares: 999n, delegatedShares: 2_998n },
    ...{ retiredAtBlock: 7n, endedAtBlock: 100n },
  })
  const zero = new Uint8Array(32)
  assert.equal(Records.stakeRecord([words[0], words[1], zero, words[3]]).selfShares, 1_000n)
  const bits: readonly (readonly [number, bigint])[] = [
    [0, 232n],
    [2, 192n],
    [3, 224n],
  ]
  for (const [position, bit] of bits) {
    const bad = words.with(position, Bytes.u256(Bytes.toBigInt(words[position] as Uint8Array) | (1n << bit)))
    assert.throws(() => Records.stakeRecord(bad as never), { code: 'unused-bits' })
  }
  const tooMany = [word([1_001n, 0n]), word([3_001n, 96n])]
  for (const leaving of tooMany)
    assert.throws(() => Records.stakeRecord([words[0], words[1], leaving, words[3]]), { code: 'more-leaving' })
  assert.throws(() => Records.stakeRecord([words[0], words[1], words[2], zero]), { code: 'zero-word' })
})

test('Records reads the words of the stake manager, the court and the cases', () => {
  const address = new Uint8Array(20).fill(0xbb)
  const low = Bytes.toBigInt(address)
  const terms = Bytes.u256(low | (2_800n << 160n) | (20n << 224n))
  assert.deepEqual(Records.stakeTerms(terms), { court: address, unbondBlocks: 2_800n, minSelfPercent: 20 })
  const percents = [100, 99, 98, 1, 2, 97, 96, 95, 3, 4, 5, 6]
  const penalties = (list: readonly number[]) =>
    Bytes.u256(list.reduce((sum, value, i) => sum | (BigInt(value) << BigInt(160 + 8 * i)), low))
  assert.deepEqual(Records.penalties(penalties(percents)), { stakeManager: address, contradictionPercent: 95 })
  // Classes 1, 2, 3, 5, 6, 13 stand at these places; any of them can be the lowest, no other is looked at.
  for (let place = 0; place < 12; place++) {
    const { contradictionPercent } = Records.penalties(penalties(new Array(12).fill(50).with(place, 7)))
    assert.equal(contradictionPercent, [0, 1, 2, 5, 6, 7].includes(place) ? 7 : 50, `place ${place}`)
  }
  const cases = Bytes.u256(low | (600n << 160n) | ((10n ** 6n) << 192n))
  assert.deepEqual(Records.casesOfCourt(cases), address)
  const windows = Bytes.u256(low | (1_300n << 160n) | (300n << 192n) | (2n << 224n))
  assert.deepEqual(Records.courtWindows(windows), { openWindowBlocks: 1_300n, answerBlocks: 300n })
  const record = (state: bigint) => Bytes.u256(low | (7n << 160n) | (state << 200n) | (5n << 208n))
  for (const [i, state] of (['open', 'answered', 'expired'] as const).entries())
    assert.deepEqual(Records.caseRecord(record(BigInt(i + 1))), {
      ...{ challenger: address, openedAtBlock: 7n, state, bond: 5n * 10n ** 9n },
    })
  for (const state of [0n, 4n]) assert.throws(() => Records.caseRecord(record(state)), { code: 'unused-bits' })
  assert.equal(Records.openCases(Bytes.u256(8n)), 8)
  assert.equal(Records.openCases(new Uint8Array(32)), 0)
  assert.throws(() => Records.openCases(Bytes.u256(256n)), { code: 'unused-bits' })
  for (const read of [Records.stakeTerms, Records.penalties, Records.casesOfCourt, Records.courtWindows])
    assert.throws(() => read(new Uint8Array(32)), { code: 'zero-word' })
  assert.throws(() => Records.stakeTerms(Bytes.u256(low | (1n << 232n))), { code: 'unused-bits' })
})
