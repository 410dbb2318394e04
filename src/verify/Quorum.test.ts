/** A header that several endpoints called final: the same facts as on a development chain, resting on other parties. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as World from '../../tests/fakes/World.ts'
import * as Finality from '../chain/Finality.ts'
import type { FinalityRule } from '../chain/TrustAnchors.ts'
import { embedded, recorded, strict } from './policies.ts'
import * as Verdict from './Verdict.ts'

const { crypto, chainId } = World

/** The same reader, who learnt its headers by another rule. */
async function verdictUnder(finality: FinalityRule, policy = embedded) {
  const world = await World.create()
  const anchors = world.reader.anchors.map((entry) => ({ ...entry, finality }))
  return Verdict.verify(crypto, { bundle: world.bytes, reader: { ...world.reader, anchors }, policy })
}

test('a quorum is a chain of its own name and has no sequencer', () => {
  assert.deepEqual(Finality.assumptions({ chainId, finality: 'quorum:2/3' }), [`chain:quorum:2/3:${chainId}`])
  assert.deepEqual(Finality.assumptions({ chainId, finality: 'development' }), [
    `chain:development:${chainId}`,
    `sequencer:${chainId}`,
  ])
})

test('`final` under a quorum rests on it by name, and a policy can forbid it', async () => {
  const verdict = await verdictUnder('quorum:2/3')
  assert.equal(verdict.outcome, 'MEETS')
  const final = verdict.anchoring.find(({ fact }) => fact === 'final')
  assert.match(final?.because ?? '', /^quorum:2\/3\(block \d+\)$/)
  assert.deepEqual(final?.assumptions, [`chain:quorum:2/3:${chainId}`])
  for (const [pattern, outcome] of [
    ['chain:development:*', 'MEETS'],
    ['sequencer:*', 'MEETS'],
    ['chain:quorum:1/1:*', 'MEETS'],
    ['chain:quorum:*', 'INSUFFICIENT'],
    [`chain:quorum:2/3:${chainId}`, 'INSUFFICIENT'],
  ] as const)
    assert.equal((await verdictUnder('quorum:2/3', { ...recorded, forbid: [pattern] })).outcome, outcome, pattern)
})

test('`strict` takes no single endpoint for final, and several', async () => {
  const asked = { ...recorded, name: 'final', requirements: { anchoring: 'final' }, forbid: strict.forbid } as const
  for (const [finality, outcome] of [
    ['development', 'INSUFFICIENT'],
    ['quorum:1/1', 'INSUFFICIENT'],
    ['quorum:2/2', 'MEETS'],
    ['quorum:2/3', 'MEETS'],
    ['quorum:10/16', 'MEETS'],
  ] as const)
    assert.equal((await verdictUnder(finality, asked)).outcome, outcome, finality)
})
