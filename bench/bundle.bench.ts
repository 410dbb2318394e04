/**
 * bundle.bench.ts - what a reader pays for a verdict on a whole bundle, with OpenSSL and with JavaScript alone, beside
 * the least that anybody must pay: the bare signature checks, and other people's CBOR and state proofs.
 */
import { createPublicKey, verify as verifyWith } from 'node:crypto'
import { verifyMerkleProof } from '@ethereumjs/mpt'
import { Header, Layout, StateProof } from 'assay/chain'
import { crypto as noble } from 'assay/crypto/noble'
import { crypto as openssl } from 'assay/crypto/node'
import { Bundle, Bytes, type Crypto, Dcbor } from 'assay/protocol'
import { policies, Verdict } from 'assay/verify'
import * as cborg from 'cborg'
import * as World from '../tests/fakes/World.ts'
import * as Measure from './Measure.ts'
import * as Result from './Result.ts'

const nowSeconds = 1_900_000_100n
const spkiPrefix = '3059301306072a8648ce3d020106082a8648ce3d03010703420004'

type Checked = { readonly publicKey: Uint8Array; readonly message: Uint8Array; readonly signature: Uint8Array }

export const run: Result.Suite = async ({ isQuick }) => {
  const world = await World.create()
  const check = (crypto: Crypto) =>
    Verdict.verify(crypto, { bundle: world.bytes, reader: world.reader, policy: policies.recorded, nowSeconds })
  const signatures = await record(check)
  const samples = isQuick ? 7 : 21
  const whole = await Measure.interleave(
    [
      { name: 'node', iterations: 40, run: () => outcomeOf(check(openssl)) },
      { name: 'noble', iterations: 4, run: () => outcomeOf(check(noble)) },
      { name: 'node floor', iterations: 40, run: bare(signatures) },
      { name: 'node keys', iterations: 40, run: parseKeys(signatures) },
      { name: 'noble floor', iterations: 4, run: () => bareNoble(signatures) },
    ],
    { samples, warmUp: 8 },
  )
  const parts = await Measure.interleave([...cborSubjects(world.bytes), ...proofSubjects(world.bundle)], {
    samples,
    warmUp: 6,
  })
  const at = (timings: Map<string, Measure.Timing>, name: string) => ({ timing: timings.get(name) as Measure.Timing })
  const input = `${world.bytes.length} bytes: every piece, 8 trie proofs, ${signatures.length} signatures`
  const ms = ({ timing }: { timing: Measure.Timing }) => ({ timing, value: timing.cpu.median / 1000, unit: 'ms CPU' })
  const us = { unit: 'us CPU' }
  return [
    Result.of({
      ...{ name: 'bundle check, node:crypto', input, goal: { atMost: 1.5 }, ...ms(at(whole, 'node')) },
      note: 'policy recorded, outcome MEETS; parsed keys are cached, as for a node seen before',
    }),
    Result.of({
      ...{ name: 'bundle check, noble only', input, goal: { atMost: 30 }, ...ms(at(whole, 'noble')) },
      note: 'the same verdict in JavaScript alone',
    }),
    Result.of({
      ...{ name: 'floor: node:crypto', input: `${signatures.length} x ES256`, ...ms(at(whole, 'node floor')) },
      note: 'the signatures of that bundle and nothing else',
    }),
    Result.of({
      ...{ name: 'floor: parsing the keys', input: `${signatures.length} keys`, ...ms(at(whole, 'node keys')) },
      note: 'added by node:crypto at the first check of a node',
    }),
    Result.of({
      ...{ name: 'floor: noble', input: `${signatures.length} x ES256`, ...ms(at(whole, 'noble floor')) },
      note: 'the same signatures with @noble/curves',
    }),
    Result.of({ name: 'cbor: Dcbor.decode', input: 'the bundle', ...us, ...at(parts, 'dcbor'), note: 'strict' }),
    Result.of({
      ...{ name: 'cbor: cborg decode', input: 'the bundle', ...us, ...at(parts, 'cborg') },
      note: 'a peer, with its options strict, useMaps and rejectDuplicateMapKeys',
    }),
    Result.of({ name: 'cbor: Bundle.parse', input: 'the bundle', ...us, ...at(parts, 'parse'), note: 'and its shape' }),
    Result.of({
      ...{ name: 'state proofs: StateProof', input: '8 proofs', ...us, ...at(parts, 'ours') },
      note: "noble's Keccak in both",
    }),
    Result.of({
      ...{ name: 'state proofs: @ethereumjs/mpt', input: '8 proofs', ...us, ...at(parts, 'mpt') },
      note: 'a peer; the two accounts are decoded by us in both',
    }),
  ]
}

async function outcomeOf(verdict: Promise<Verdict.Verdict>): Promise<number> {
  const { outcome, rows } = await verdict
  if (outcome !== 'MEETS') throw new Error(`The bundle of the benchmark is ${outcome}.`)
  return rows.length
}

/** Which signatures a check looks at. */
async function record(check: (crypto: Crypto) => Promise<unknown>): Promise<readonly Checked[]> {
  const seen: Checked[] = []
  await check({
    ...openssl,
    p256Verify: (publicKey, message, signature) => {
      seen.push({ publicKey, message, signature })
      return openssl.p256Verify(publicKey, message, signature)
    },
  })
  return seen
}

const keyOf = (publicKey: Uint8Array) =>
  createPublicKey({
    ...{ format: 'der', type: 'spki' },
    key: Buffer.from(Bytes.concat(Bytes.fromHex(spkiPrefix), publicKey)),
  })

const parseKeys = (signatures: readonly Checked[]) => () => signatures.map(({ publicKey }) => keyOf(publicKey)).length

function bare(signatures: readonly Checked[]): () => number {
  const parsed = signatures.map((one) => ({ ...one, key: keyOf(one.publicKey) }))
  return () =>
    parsed.filter(({ key, message, signature }) =>
      verifyWith('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature),
    ).length
}

function bareNoble(signatures: readonly Checked[]): number {
  return signatures.filter((one) => noble.p256Verify(one.publicKey, one.message, one.signature) === true).length
}

function cborSubjects(bytes: Uint8Array): readonly Measure.Subject[] {
  const options = { strict: true, useMaps: true, rejectDuplicateMapKeys: true }
  return [
    { name: 'dcbor', iterations: 40, run: () => Dcbor.decode(bytes) },
    { name: 'cborg', iterations: 40, run: () => cborg.decode(bytes, options) },
    { name: 'parse', iterations: 40, run: () => Bundle.parse(bytes) },
  ]
}

/** All proofs of the bundle's chain piece, ours and theirs. */
function proofSubjects(bundle: Bundle.Bundle): readonly Measure.Subject[] {
  const { chain, checkpoint } = bundle
  if (chain?.anchorLog === undefined || checkpoint === undefined) throw new Error('The bundle has no chain piece.')
  const { anchorLog } = chain
  const { stateRoot } = Header.parse(chain.header)
  const keySlots = Layout.keyRecordSlots(noble, World.nodeId, 0)
  const logSlots = Layout.logRecordSlots(noble, World.logId)
  const stepSlots = Layout.stepSlots(noble, World.logId, checkpoint.size)
  const accounts = [
    {
      ...{ address: World.registry, proof: chain.registry.account },
      words: [
        { slot: keySlots[0], proof: chain.registry.word0 },
        { slot: keySlots[1], proof: chain.registry.word1 },
      ],
    },
    {
      ...{ address: World.anchorLog, proof: anchorLog.account },
      words: [
        { slot: logSlots[0], proof: anchorLog.record0 },
        { slot: logSlots[1], proof: anchorLog.record1 },
        { slot: stepSlots[0], proof: anchorLog.step0 ?? [] },
        { slot: stepSlots[1], proof: anchorLog.step1 ?? [] },
      ],
    },
  ]

  function ours(): number {
    let read = 0
    for (const { address, proof, words } of accounts) {
      const { storageRoot } = StateProof.verifyAccount(noble, { stateRoot, address, proof })
      for (const word of words) read += StateProof.verifyStorage(noble, { storageRoot, ...word }).length
    }
    return read
  }
  async function theirs(): Promise<number> {
    let read = 0
    for (const { address, proof, words } of accounts) {
      const { storageRoot } = StateProof.verifyAccount(noble, { stateRoot, address, proof })
      read += await theirPath(stateRoot, noble.keccak256(address), proof)
      for (const word of words) read += await theirPath(storageRoot, noble.keccak256(word.slot), word.proof)
    }
    return read
  }
  return [
    { name: 'ours', iterations: 20, run: ours },
    { name: 'mpt', iterations: 20, run: theirs },
  ]
}

async function theirPath(root: Uint8Array, key: Uint8Array, proof: readonly Uint8Array[]): Promise<number> {
  const value = await verifyMerkleProof(key, [...proof], { root })
  if (value === null) throw new Error('The peer found no value.')
  return value.length
}
