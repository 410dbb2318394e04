/**
 * Watching.fuzz.ts - honest parties, and everything between them and the client that is not: answers changed, replayed, mixed and lost,
 * a second node's heads, old proofs, restarts of the client, a chain that does not answer. No fault file is ever written, because
 * nobody signed anything false; and what a cheat adds to the same noise is found.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { ChainSilence } from '../../tests/fakes/FakeChain.ts'
import * as FakeGateway from '../../tests/fakes/FakeGateway.ts'
import { createP256Signer, crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import { BaseError } from '../protocol/errors.ts'
import * as Fault from '../protocol/Fault.ts'
import * as Client from './Client.ts'
import * as Evidence from './Evidence.ts'
import { memoryAnchorStore, memoryFaultStore, memoryPendingStore } from './Stores.ts'
import { memoryWatchStore } from './WatchStore.ts'

const numRuns = Math.ceil(Number(process.env.ASSAY_FUZZ_RUNS ?? 90) / 9)
const body = Bytes.fromUtf8('{"model":"tiny","messages":[{"role":"user","content":"hello"}]}')

/** Lies of whoever stands between an honest node and the client. */
const noise: readonly FakeGateway.Lie[] = [
  ...(['none', 'none', 'no-receipt', 'no-secret', 'no-pledge', 'replayed-receipt', 'swapped-response'] as const),
  ...(['claim-changed', 'claim-left-out', 'malformed-receipt', 'other-pledge', 'claims-withheld'] as const),
  ...(['other-node-key', 'stranger-pledge', 'gateway-error'] as const),
]
const step = fc.oneof(
  fc.record({ do: fc.constant('call' as const), lie: fc.constantFrom(...noise) }),
  fc.record({ do: fc.constant('round' as const) }),
  fc.record({ do: fc.constant('restart' as const) }),
  fc.record({ do: fc.constant('blocks' as const), count: fc.constantFrom(1n, 5n, 20n) }),
  fc.record({
    do: fc.constant('silence' as const),
    of: fc.constantFrom('chain' as const, 'tiles' as const, 'proof' as const, 'receipts' as const, 'entries' as const),
  }),
  fc.record({ do: fc.constant('bend' as const), at: fc.nat(4000), bit: fc.nat(7) }),
  fc.record({ do: fc.constant('old' as const), back: fc.integer({ min: 1, max: 3 }) }),
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

async function run(steps: readonly Step[], cheat: FakeGateway.Lie | undefined): Promise<Fault.Fault[]> {
  const gateway = await FakeGateway.start()
  try {
    const [faults, watch, pending] = [memoryFaultStore(), memoryWatchStore(), memoryPendingStore()]
    let isSilent = false
    let bend: { at: number; bit: number } | undefined
    const chain = new Proxy(gateway.chain, {
      get(of, name) {
        const value = Reflect.get(of, name) as unknown
        if (typeof value !== 'function') return value
        return (...args: unknown[]) =>
          isSilent ? Promise.reject(new ChainSilence()) : (value as (...of: unknown[]) => unknown)(...args)
      },
    })
    const bent: typeof globalThis.fetch = async (input, init) => {
      const response = await globalThis.fetch(input, init)
      const { pathname } = new URL(String(input))
      if (bend === undefined || !/^\/(log|v1\/receipts)\//.test(pathname)) return response
      const bytes = new Uint8Array(await response.arrayBuffer())
      const at = bend.at % Math.max(1, bytes.length)
      if (bytes.length > 0) bytes[at] = (bytes[at] as number) ^ (1 << bend.bit)
      return new Response(bytes, { status: response.status, headers: response.headers })
    }
    const open = () =>
      Client.create({
        ...{ baseUrl: gateway.url, crypto, chain, faults, watch, pending, fetch: bent, sleep: async () => {} },
        signer: createP256Signer(crypto.sha256(Bytes.fromUtf8('client'))),
        random: (length) => new Uint8Array(randomBytes(length)),
        anchors: memoryAnchorStore([gateway.anchors]),
        names: { operators: gateway.operators, witnesses: gateway.witnesses, rewrites: [] },
      })
    let client = open()
    const call = async (lie: FakeGateway.Lie) => {
      gateway.lie = lie
      await unlessListed(client.call('/v1/chat/completions', body))
      gateway.lie = 'none'
    }
    await call('none')
    for (const one of steps) {
      if (one.do === 'call') await call(one.lie)
      if (one.do === 'round') await unlessListed(client.raisePending())
      if (one.do === 'restart') client = open()
      if (one.do === 'blocks') gateway.height += one.count
      if (one.do === 'silence') {
        if (one.of === 'chain') isSilent = !isSilent
        else if (!gateway.hidden.delete(one.of)) gateway.hidden.add(one.of)
      }
      if (one.do === 'bend') bend = bend === undefined ? one : undefined
      if (one.do === 'old') {
        const size = Math.max(1, gateway.leaves.length - one.back)
        gateway.told = gateway.told === undefined ? () => gateway.leaves.slice(0, size) : undefined
      }
    }
    bend = undefined
    isSilent = false
    gateway.hidden.clear()
    gateway.told = undefined
    if (cheat !== undefined) {
      // Two signatures contradict each other; one alone is no evidence.
      await call('none')
      await call(cheat)
    }
    await client.raisePending()
    const found: Fault.Fault[] = []
    for (const id of await faults.list()) {
      const fault = Fault.parse(((await faults.load(id)) as { file: Uint8Array }).file)
      assert.ok((await Evidence.judge(crypto, gateway.chain, fault)) !== undefined)
      found.push(fault)
    }
    return found
  } finally {
    await gateway.close()
  }
}

/** Whatever the noise does is told as an error of ours. */
async function unlessListed(work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => assert.ok(BaseError.isInstance(error), String((error as Error)?.stack)))
}

const steps = fc.array(step, { minLength: 3, maxLength: 14 })

test('nobody who is honest is accused, whatever happens in between', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => assert.deepEqual(await run(all, undefined), [])),
    { numRuns },
  )
})

test('a cheat is found in the same noise', async () => {
  const cheats = {
    'two-heads': 1,
    'wrong-link': 13,
    'wrong-leaf': 3,
    'false-entry': 5,
    'pledged-false-entry': 5,
  } as const
  await fc.assert(
    fc.asyncProperty(
      steps,
      fc.constantFrom(...(Object.keys(cheats) as (keyof typeof cheats)[])),
      async (all, cheat) => {
        const classes = (await run(all, cheat)).map((fault) => fault.class)
        assert.ok(classes.includes(cheats[cheat]), `${cheat}: ${classes}`)
        assert.ok(
          classes.every((one) => one === cheats[cheat] || one === 3),
          `${cheat}: ${classes}`,
        )
      },
    ),
    { numRuns },
  )
})
