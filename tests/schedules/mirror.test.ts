/**
 * mirror.test.ts - the same from the other side: who is dishonest is caught by a default client, or what it gave is shown to be
 * worth nothing. Asked under `recorded`, which `bonded` only adds a stake to: what does not meet the one meets the other less.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { Client, Stores, WatchStore } from 'assay/client'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, errors } from 'assay/protocol'
import { policies } from 'assay/verify'
import * as FakeGateway from '../fakes/FakeGateway.ts'
import * as Random from './Random.ts'

const only = process.env.ASSAY_SEED
const count = only === undefined ? Math.ceil(Number(process.env.ASSAY_SCHEDULES ?? 80) / 6) : 1
const first = only !== undefined ? Number(only) : count <= 20 ? 1 : 1 + Math.floor(Math.random() * 2 ** 30)
const body = Bytes.fromUtf8('{"model":"tiny","messages":[{"role":"user","content":"hello"}]}')

/** Signed and false: a contract decides it, so it must be caught. */
const signed = ['two-heads', 'wrong-link', 'wrong-leaf', 'false-entry', 'pledged-false-entry'] as const
/** False and not signed by anybody who stakes: what came with it must be worth nothing. */
const unsigned = [
  ...(['no-receipt', 'no-secret', 'no-pledge', 'replayed-receipt', 'other-node-key', 'swapped-response'] as const),
  ...(['claim-changed', 'claim-left-out', 'other-request', 'other-node-id', 'stranger-pledge'] as const),
  ...(['malformed-receipt', 'other-pledge'] as const),
]

type Told = { readonly lie: FakeGateway.Lie; readonly bundle: () => Uint8Array; readonly settle: () => Promise<void> }

/** One client in front of one gateway, which cheats when the seed says so. */
async function run(seed: number, isHonest: boolean) {
  const random = Random.create(seed)
  const gateway = await FakeGateway.start()
  const faults = Stores.memoryFaultStore()
  const client = Client.create({
    ...{ baseUrl: gateway.url, crypto, chain: gateway.chain, faults, sleep: async () => {} },
    ...{ watch: WatchStore.memoryWatchStore(), pending: Stores.memoryPendingStore() },
    signer: createP256Signer(crypto.sha256(Bytes.fromUtf8('client'))),
    random: (length) => new Uint8Array(randomBytes(length)),
    anchors: Stores.memoryAnchorStore([gateway.anchors]),
    names: { operators: gateway.operators, witnesses: gateway.witnesses, rewrites: [] },
  })
  const answers: Told[] = []
  const committed = new Set<FakeGateway.Lie>()
  const call = async (lie: FakeGateway.Lie): Promise<void> => {
    gateway.lie = lie
    try {
      const graded = await client.call('/v1/chat/completions', body)
      answers.push({ lie, bundle: graded.bundle, settle: async () => {} })
    } catch (error) {
      assert.ok(errors.BaseError.isInstance(error), String((error as Error)?.stack))
    }
    gateway.lie = 'none'
    if (lie !== 'none') committed.add(lie)
  }
  try {
    await call('none')
    for (let i = 0; i < 4 + random.below(8); i++) {
      const kind = random.below(10)
      if (kind < 4 || isHonest) await call('none')
      else if (kind < 6) await call(random.pick(signed))
      else await call(random.pick(unsigned))
      if (random.chance(0.3)) await client.raisePending().catch(() => {})
      if (random.chance(0.3)) gateway.height += BigInt(1 + random.below(10))
    }
    // Two signatures contradict each other only when both are there.
    await call('none')
    gateway.height += 5n
    for (let i = 0; i < 3; i++) await client.raisePending().catch(() => {})
    const held = (await faults.list()).length
    const outcomes: { lie: FakeGateway.Lie; outcome: string }[] = []
    for (const { lie, bundle } of answers) {
      const raised = await client.raise(bundle()).catch(() => undefined)
      const { outcome } = await client.verdict(raised?.bundle ?? bundle(), policies.recorded)
      outcomes.push({ lie, outcome })
    }
    return { held, committed, outcomes }
  } finally {
    await gateway.close()
  }
}

test('an honest party meets the policy, so the rest of this file says something', async () => {
  const { held, outcomes } = await run(1, true)
  assert.equal(held, 0)
  assert.ok(outcomes.some(({ outcome }) => outcome === 'MEETS'))
})

test(`who is dishonest is caught or worth nothing (${count} schedules from seed ${first})`, async (t) => {
  let caught = 0
  let worthless = 0
  for (let seed = first; seed < first + count; seed++) {
    const { held, committed, outcomes } = await run(seed, false)
    const isSigned = signed.some((lie) => committed.has(lie))
    if (held > 0) caught++
    const told = `seed ${seed}: ${[...committed].join(', ')}; ${JSON.stringify(outcomes)}`
    if (isSigned) assert.ok(held > 0 || outcomes.every(({ outcome }) => outcome !== 'MEETS'), told)
    for (const { lie, outcome } of outcomes) {
      if (!(unsigned as readonly FakeGateway.Lie[]).includes(lie)) continue
      worthless++
      assert.ok(outcome !== 'MEETS' || held > 0, told)
    }
  }
  t.diagnostic(
    `seeds ${first} to ${first + count - 1}: faults on file in ${caught}, ${worthless} answers worth nothing`,
  )
  if (only === undefined) assert.ok(caught > 0)
})
