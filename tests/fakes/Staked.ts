/** Staked.ts - bundles with proofs of stake: what each shows under which policy, for tests and for vectors/verdict.json. */
import type * as Policy from '../../src/verify/Policy.ts'
import { bonded, recorded } from '../../src/verify/policies.ts'
import type * as Reader from '../../src/verify/Reader.ts'
import { contracts, token } from './Stake.ts'
import * as World from './World.ts'

/** A true bundle; `because` is what the verdict says of its stake. */
export type Case = {
  readonly what: string
  readonly changes: World.Changes
  readonly reader?: (reader: Reader.Reader) => Reader.Reader
  readonly policy?: Policy.Policy
  readonly outcome: 'MEETS' | 'INSUFFICIENT'
  readonly because: RegExp
}

/** `recorded`, and a stake of at least this, token units. */
const atLeast = (minStake: bigint, forbid: readonly string[] = []): Policy.Policy => ({
  ...recorded,
  name: 'at-least',
  requirements: { allOf: [{ anchoring: 'anchored' }, { consequence: 'bonded', minStake: String(minStake) }] },
  forbid,
})

const withAnchors =
  (change: (anchors: Reader.Reader['anchors'][number]) => Reader.Reader['anchors'][number]) =>
  (reader: Reader.Reader): Reader.Reader => ({ ...reader, anchors: reader.anchors.map(change) })
const seeing =
  (newest: bigint) =>
  (reader: Reader.Reader): Reader.Reader => ({ ...reader, view: { chainId: World.chainId, newest, blocks: [] } })

const otherContract = (name: keyof typeof contracts) =>
  withAnchors((one) => ({ ...one, stake: { ...contracts, [name]: { ...contracts[name], address: World.registry } } }))

/** The log has less of it, in shares that a slash made smaller, with others leaving: every figure has its own size. */
const uneven: World.Changes = {
  stake: {
    node: { delegated: 50_000n * token, openCases: 1 },
    log: {
      ...{ self: 1_000n * token, delegated: 3_000n * token, selfUnbonding: 200n * token },
      ...{ delegatedUnbonding: 500n * token, index: (9n * token) / 10n, extraPledgeBlocks: 40n, openCases: 3 },
    },
    percents: [100, 90, 100, 0, 0, 50, 75, 100, 0, 0, 0, 1],
  },
}
/** (800 + 2,500) tokens at an index of 0.9, of which a contradiction takes half. */
const unevenAmount = 1_485n * token

export const cases: readonly Case[] = [
  {
    what: 'stake',
    changes: { stake: {} },
    outcome: 'MEETS',
    because: /^bonded 100,000 ASY \(self 100,000\) until block 2910, 0 open cases$/,
  },
  {
    what: 'uneven stake',
    changes: uneven,
    outcome: 'MEETS',
    because: /^bonded 1,485 ASY \(self 360\) until block 2910, 3 open cases$/,
  },
  {
    what: 'uneven stake of just what is asked',
    ...{ changes: uneven, policy: atLeast(unevenAmount), outcome: 'MEETS' },
    because: /^bonded 1,485/,
  },
  {
    what: 'uneven stake of one unit less than asked',
    ...{ changes: uneven, policy: atLeast(unevenAmount + 1n), outcome: 'INSUFFICIENT' },
    because: /^bonded 1,485/,
  },
  {
    what: 'stake under a rule that the policy forbids',
    changes: { stake: {} },
    policy: { ...bonded, name: 'no-development', forbid: ['chain:development:*'] },
    ...{ outcome: 'INSUFFICIENT', because: /forbids/ },
  },
  {
    what: 'stake under a quorum where the policy forbids development',
    changes: { stake: {} },
    reader: withAnchors((one) => ({ ...one, finality: 'quorum:2/3' })),
    policy: { ...bonded, name: 'no-development', forbid: ['chain:development:*'] },
    ...{ outcome: 'MEETS', because: /^bonded/ },
  },
  {
    what: 'a chain proof without stake',
    changes: {},
    ...{ outcome: 'INSUFFICIENT', because: /no proof of stake/ },
  },
  ...(['node', 'log'] as const).flatMap((who): Case[] => [
    {
      what: `a retired ${who}`,
      changes: { stake: { [who]: { retiredAtBlock: 109n } } },
      ...{ outcome: 'INSUFFICIENT', because: /retired since block 109/ },
    },
    {
      what: `an ended ${who}`,
      changes: { stake: { [who]: { endedAtBlock: 109n } } },
      ...{ outcome: 'INSUFFICIENT', because: /ended at block 109/ },
    },
    {
      what: `a wiped out ${who}`,
      changes: { stake: { [who]: { index: 0n, endedAtBlock: 108n } } },
      ...{ outcome: 'INSUFFICIENT', because: /ended at block 108/ },
    },
    {
      what: `a ${who} with an index of nothing that is not on record as ended`,
      changes: { stake: { words: { [`${who}1`]: 1n << 64n } } },
      ...{ outcome: 'INSUFFICIENT', because: new RegExp(`nothing is left of the stake of the ${who}`) },
    },
    {
      what: `a ${who} without a self-bond`,
      changes: { stake: { [who]: { delegated: token, selfUnbonding: 100_000n * token } } },
      ...{ outcome: 'INSUFFICIENT', because: new RegExp(`no self-bond behind the ${who}`) },
    },
    {
      what: `a self-bond of the ${who} that comes to nothing`,
      changes: { stake: { [who]: { self: 1n, index: token / 2n } } },
      ...{ outcome: 'INSUFFICIENT', because: new RegExp(`no self-bond behind the ${who}`) },
    },
  ]),
  {
    what: 'a court that takes nothing for one of the contradictions',
    changes: { stake: { percents: [100, 100, 100, 1, 100, 100, 0, 100, 20, 5, 25, 20] } },
    ...{ outcome: 'INSUFFICIENT', because: /takes nothing/ },
  },
  {
    what: 'stake behind a key of another role',
    changes: { stake: {}, keyRecord: { role: 3 } },
    ...{ outcome: 'INSUFFICIENT', because: /another role/ },
  },
  {
    what: 'a reader who names no contracts of stake',
    changes: { stake: {} },
    reader: withAnchors(({ stake, ...one }) => one),
    ...{ outcome: 'INSUFFICIENT', because: /name no stake contracts/ },
  },
  ...(['stakeManager', 'faultCourt', 'faultCases'] as const).flatMap((name): Case[] => [
    {
      what: `a reader who names another ${name}`,
      ...{ changes: { stake: {} }, reader: otherContract(name) },
      ...{ outcome: 'INSUFFICIENT', because: /other stake contracts/ },
    },
    {
      what: `other code under ${name}`,
      changes: { stake: { codeHashes: { [name]: World.digestOf('other code') } } },
      ...{ outcome: 'INSUFFICIENT', because: /other stake contract code/ },
    },
  ]),
  {
    what: 'a reader in the last block of the stake',
    ...{ changes: { stake: {} }, reader: seeing(2_910n), outcome: 'MEETS', because: /until block 2910/ },
  },
  {
    what: 'a reader who sees a block after the stake',
    ...{ changes: { stake: {} }, reader: seeing(2_911n), outcome: 'INSUFFICIENT', because: /knows block 2911/ },
  },
  {
    what: 'a reader who trusts a header after the stake',
    changes: { stake: {} },
    reader: withAnchors((one) => ({
      ...one,
      headers: [...one.headers, { number: 2_911n, hash: World.digestOf('block 2911') }],
    })),
    ...{ outcome: 'INSUFFICIENT', because: /knows block 2911/ },
  },
  {
    what: 'stake under a header that nobody trusts',
    changes: { stake: {} },
    reader: withAnchors((one) => ({ ...one, headers: [] })),
    ...{ outcome: 'INSUFFICIENT', because: /no trusted header/ },
  },
]
