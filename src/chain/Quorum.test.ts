/** Several endpoints in memory: what k of them say counts, one that contradicts stops everything, one that is silent does not. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { crypto } from '../crypto/noble.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Header from './Header.ts'
import * as Quorum from './Quorum.ts'
import * as Rlp from './Rlp.ts'
import * as Rpc from './Rpc.ts'
import * as TrustAnchors from './TrustAnchors.ts'

const runs = Number(process.env.ASSAY_FUZZ_RUNS ?? 100)
const zeros = (length: number) => Bytes.to0x(new Uint8Array(length))
const hex = (number: bigint | number) => `0x${number.toString(16)}`

/** A block of a history, with its own hash; histories differ in the first byte of their roots. */
function block(history: number, number: bigint) {
  const root = Bytes.to0x(new Uint8Array(32).fill(history))
  const fields = {
    ...{ parentHash: zeros(32), sha3Uncles: zeros(32), miner: zeros(20), stateRoot: root, transactionsRoot: zeros(32) },
    ...{ receiptsRoot: zeros(32), logsBloom: zeros(256), difficulty: '0x0', number: hex(number), gasLimit: '0x1' },
    ...{ gasUsed: '0x0', timestamp: hex(number), extraData: '0x', mixHash: zeros(32), nonce: zeros(8) },
  }
  const integers = ['difficulty', 'number', 'gasLimit', 'gasUsed', 'timestamp']
  const items = Object.entries(fields).map(([name, value]) =>
    integers.includes(name) ? Rlp.fromInteger(BigInt(value)) : Bytes.from0x(value),
  )
  const hash = Header.hash(crypto, Rlp.encode(items))
  return { raw: { ...fields, hash: Bytes.to0x(hash) }, hash }
}

type Endpoint = {
  readonly history?: number
  /** From here on it tells `history`, below it the common one. */
  readonly forkAt?: bigint
  readonly latest?: bigint
  readonly finalized?: bigint
  readonly fault?: undefined | 'down' | 'other chain' | 'nonsense' | 'no proofs'
}

function endpoint({ history = 1, forkAt = 0n, latest = 20n, finalized = 10n, fault }: Endpoint): Rpc.Rpc {
  return {
    chainId: 1n,
    assertChain: async () => {
      if (fault === 'down') throw Rpc.RequestError.from('eth_chainId', new Error('down'))
      if (fault === 'other chain') throw new Rpc.LieError('rpc-chain-id', [])
    },
    request: async (method, params = []) => {
      if (fault === 'down') throw Rpc.RequestError.from(method, new Error('down'))
      if (method === 'eth_getProof') {
        if (fault === 'no proofs') throw Rpc.RequestError.from(method, new Error('pruned'))
        return { of: history }
      }
      if (method !== 'eth_getBlockByNumber') return { method, of: history }
      const [tag] = params as [string]
      const number = tag === 'latest' ? latest : tag === 'finalized' ? finalized : BigInt(tag)
      if (number > latest) return null
      const { raw } = block(number >= forkAt ? history : 1, number)
      return fault === 'nonsense' ? { ...raw, stateRoot: zeros(32) } : raw
    },
  }
}

const of = (k: number, ...given: readonly Endpoint[]) => Quorum.create(crypto, given.map(endpoint), k)
const tip = async (rpc: Rpc.Rpc) => {
  const { number, hash } = await Rpc.finalized(crypto, rpc)
  return { number, hash }
}
const honest = (number: bigint) => ({ number, hash: block(1, number).hash })

describe('quorum', () => {
  test('the newest final block is the highest that k endpoints have reached', async () => {
    assert.deepEqual(await tip(of(1, {})), honest(10n))
    assert.deepEqual(await tip(of(2, {}, {}, {})), honest(10n))
    const behind = [{ finalized: 12n }, { finalized: 11n }, { finalized: 3n }]
    assert.deepEqual(await tip(of(2, ...behind)), honest(11n))
    assert.deepEqual(await tip(of(3, ...behind)), honest(3n))
  })

  test('silent ones do not count, and too many of them are named by their place', async () => {
    for (const fault of ['down', 'other chain', 'nonsense'] as const) {
      assert.deepEqual(await tip(of(2, { fault }, {}, {})), honest(10n), fault)
      const left = of(2, { fault }, {}, { fault })
      await assert.rejects(tip(left), (error: Quorum.SilenceError) => {
        assert.equal(error.code, 'quorum-silence')
        assert.deepEqual(
          error.facts.map((fact) => fact.slice(0, 11)),
          ['Endpoint 1:', 'Endpoint 3:'],
        )
        return true
      })
    }
    await assert.rejects(of(2, { fault: 'down' }, {}, { fault: 'down' }).assertChain(), { code: 'quorum-silence' })
    await of(2, { fault: 'down' }, {}, {}).assertChain()
    for (const block of ['latest', 'finalized', 4n] as const)
      await assert.rejects(Rpc.fetchHeader(crypto, of(1, { fault: 'down' }), block), { code: 'quorum-silence' })
  })

  test('one that contradicts stops everything, be it one of few or of many', async () => {
    const liar = { history: 2 }
    for (const rpc of [of(2, {}, {}, liar), of(2, liar, {}), of(3, {}, {}, {}, liar)]) {
      const contradicted = { code: 'quorum-disagreement' }
      await assert.rejects(tip(rpc), contradicted)
      await assert.rejects(Rpc.fetchTrustedHeader(crypto, rpc, 5n), contradicted)
      await assert.rejects(Rpc.fetchHeader(crypto, rpc, 5n), contradicted)
      await assert.rejects(Rpc.newest(crypto, rpc), contradicted)
    }
  })

  test('k that lie alike are believed: that cannot be seen from here', async () => {
    const liar = { history: 2 }
    assert.deepEqual((await tip(of(2, liar, liar, { fault: 'down' }))).hash, block(2, 10n).hash)
    // One honest endpoint that answers is enough to stop them.
    await assert.rejects(tip(of(2, liar, liar, {})), { code: 'quorum-disagreement' })
  })

  test('a header is trusted only at or below the tags of k endpoints', async () => {
    const rpc = of(2, { finalized: 12n }, { finalized: 11n }, { finalized: 3n })
    assert.deepEqual(await Rpc.fetchTrustedHeader(crypto, rpc, 11n), honest(11n))
    assert.deepEqual(await Rpc.fetchTrustedHeader(crypto, rpc, 2n), honest(2n))
    await assert.rejects(Rpc.fetchTrustedHeader(crypto, rpc, 12n), { what: 'finality' })
    // The third is on another history above its own tag: that is not a statement about what is final.
    const above = of(2, { finalized: 12n }, { finalized: 11n }, { history: 2, forkAt: 4n, finalized: 3n })
    assert.deepEqual(await Rpc.fetchTrustedHeader(crypto, above, 11n), honest(11n))
    const below = of(2, { finalized: 12n }, { finalized: 12n }, { history: 2, forkAt: 4n, finalized: 11n })
    await assert.rejects(Rpc.fetchTrustedHeader(crypto, below, 11n), { code: 'quorum-disagreement' })
    assert.deepEqual(await Rpc.fetchTrustedHeader(crypto, below, 12n), honest(12n))
  })

  test('the head is the newest block that nobody contradicts, a few below the newest at most', async () => {
    const newest = async (...given: readonly Endpoint[]) => (await Rpc.newest(crypto, of(2, ...given))).number
    assert.equal(await newest({ latest: 22n }, { latest: 21n }, { latest: 9n }), 21n)
    assert.equal(await newest({}, {}, { history: 2, forkAt: 19n }), 18n)
    await assert.rejects(newest({}, {}, { history: 2, forkAt: 12n }), { code: 'quorum-disagreement' })
    assert.equal(await newest({ latest: 0n, finalized: 0n }, { latest: 0n, finalized: 0n }), 0n)
    await assert.rejects(Rpc.fetchHeader(crypto, of(2, { latest: 22n }, {}), 22n), { what: 'block' })
  })

  test('proofs come from the first that has them, the rest from the first alone', async () => {
    const first = of(2, {}, { history: 2 })
    assert.deepEqual(await first.request('eth_getProof', []), { of: 1 })
    assert.deepEqual(await first.request('eth_call', []), { method: 'eth_call', of: 1 })
    for (const fault of ['down', 'no proofs', 'other chain'] as const)
      assert.deepEqual(await of(2, { fault }, { history: 2 }).request('eth_getProof', []), { of: 2 })
    const down = of(2, { fault: 'down' }, {})
    await assert.rejects(down.request('eth_call', []), { code: 'rpc-unreachable' })
    await assert.rejects(of(1, { fault: 'down' }).request('eth_getProof', []), { code: 'rpc-unreachable' })
  })

  test('the counts: more than half, at most 16, one chain', () => {
    for (const [k, n] of [
      [0, 1],
      [1, 2],
      [2, 4],
      [3, 2],
      [9, 17],
      [0, 0],
    ] as const) {
      assert.throws(() => of(k, ...Array.from({ length: n }, () => ({}))), { code: 'quorum-size' }, `${k}/${n}`)
      assert.equal(TrustAnchors.isFinalityRule(`quorum:${k}/${n}`), false)
    }
    for (let n = 1; n <= Quorum.maxEndpoints; n++) {
      assert.equal(Quorum.rule(Quorum.majority(n), n), `quorum:${Quorum.majority(n)}/${n}`)
      assert.throws(() => Quorum.rule(Quorum.majority(n) - 1, n), { code: 'quorum-size' })
    }
    assert.throws(() => Quorum.create(crypto, [endpoint({}), { ...endpoint({}), chainId: 2n }], 2), {
      code: 'quorum-size',
    })
  })

  test('one endpoint has one name, however its URL is written', () => {
    const one = 'http://node.example/rpc?key=1'
    for (const other of ['HTTP://Node.Example:80/rpc?key=1', 'http://a:b@node.example./rpc?key=1#c'])
      assert.equal(Quorum.endpointOf(other), Quorum.endpointOf(one))
    assert.equal(Quorum.endpointOf('https://node.example?'), Quorum.endpointOf('https://node.example:443/'))
    for (const other of ['https://node.example/rpc?key=1', 'http://node.example/rpc?key=2', 'http://node.example/rpc'])
      assert.notEqual(Quorum.endpointOf(other), Quorum.endpointOf(one))
  })

  test('never final: a hash that fewer than k name, whatever endpoints do; silence only ever lowers', async () => {
    const one = fc.record({
      history: fc.integer({ min: 1, max: 2 }),
      finalized: fc.bigInt({ min: 0n, max: 6n }),
      fault: fc.constantFrom<Endpoint['fault'][]>(undefined, undefined, 'down', 'other chain', 'nonsense'),
    })
    const all = fc.array(one, { minLength: 1, maxLength: 5 })
    const final = (rpc: Rpc.Rpc, number: bigint) => Rpc.fetchTrustedHeader(crypto, rpc, number).catch(() => undefined)
    await fc.assert(
      fc.asyncProperty(all, fc.nat(4), fc.bigInt({ min: 0n, max: 6n }), async (given, which, number) => {
        const n = given.length
        for (let k = Quorum.majority(n); k <= n; k++) {
          const found = await final(of(k, ...given), number)
          if (found !== undefined) {
            const votes = given.filter(
              ({ history, finalized, fault }) =>
                fault === undefined && finalized >= number && Bytes.equal(block(history, number).hash, found.hash),
            )
            assert.ok(votes.length >= k)
          }
          const silenced = given.map((item, i) => (i === which % n ? { ...item, fault: 'down' as const } : item))
          const after = await final(of(k, ...silenced), number)
          // With somebody silenced a contradiction can vanish, yet what is final then has k votes of its own.
          if (found !== undefined && after !== undefined) assert.deepEqual(after, found)
        }
      }),
      { numRuns: runs },
    )
  })
})
