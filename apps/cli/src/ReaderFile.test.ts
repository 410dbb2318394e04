import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Quorum, type TrustAnchors } from 'assay/chain'
import * as Network from './Network.ts'
import * as ReaderFile from './ReaderFile.ts'

const old = {
  ...{ chainRpcUrl: 'http://127.0.0.1:1', gatewayUrl: null },
  ...{ operators: [`0x${'ab'.repeat(20)}`], witnesses: ['cd'.repeat(32)], rewrites: [] },
}
const endpoints = ['http://127.0.0.1:1', 'http://127.0.0.1:2', 'http://127.0.0.1:3']
const several = { ...old, chainQuorum: { endpoints, k: 2 } }
const parse = (value: unknown) => ReaderFile.parse(JSON.stringify(value))

describe('reader.json', () => {
  test('reads back what it writes, with one endpoint as before and with several', () => {
    for (const file of [old, several]) assert.deepEqual(ReaderFile.parse(ReaderFile.serialize(file)), file)
    assert.ok(!ReaderFile.serialize(old).includes('chainQuorum'))
    assert.equal(ReaderFile.finalityOf({}), 'quorum:1/1')
    assert.equal(ReaderFile.finalityOf(several), 'quorum:2/3')
  })

  test('names the place of every endpoint or count that cannot be used', () => {
    const many = Array.from({ length: Quorum.maxEndpoints + 1 }, (_, i) => `http://127.0.0.1:${i + 1}`)
    for (const [place, chainQuorum] of [
      ['$.chainQuorum', []],
      ['$.chainQuorum', null],
      ['$.chainQuorum.more', { endpoints, k: 2, more: 1 }],
      ['$.chainQuorum.endpoints', { k: 2 }],
      ['$.chainQuorum.endpoints', { endpoints: [], k: 1 }],
      ['$.chainQuorum.endpoints', { endpoints: many, k: 17 }],
      ['$.chainQuorum.endpoints', { endpoints: [...endpoints, endpoints[1]], k: 3 }],
      ['$.chainQuorum.endpoints[1]', { endpoints: [endpoints[0], 'nonsense'], k: 2 }],
      ['$.chainQuorum.endpoints[1]', { endpoints: [endpoints[0], null], k: 2 }],
      ['$.chainQuorum.endpoints[0]', { endpoints: endpoints.slice(1), k: 2 }],
      ['$.chainQuorum.k', { endpoints }],
      ['$.chainQuorum.k', { endpoints, k: 1 }],
      ['$.chainQuorum.k', { endpoints, k: 4 }],
      ['$.chainQuorum.k', { endpoints, k: 2.5 }],
      ['$.chainQuorum.k', { endpoints, k: '2' }],
    ] as const)
      assert.throws(
        () => parse({ ...old, chainQuorum }),
        (error: Error) => {
          assert.ok(error instanceof ReaderFile.ReaderFileError)
          assert.ok(error.facts.includes(`Place: ${place}`), `${place}: ${error.facts.join()}`)
          return true
        },
      )
    assert.throws(() => parse({ ...several, chainRpcUrl: null }), { code: 'reader-file-invalid' })
  })

  test('takes one endpoint for one, however its URL is written', () => {
    const first = 'http://node.example:8545/rpc'
    for (const second of [
      'HTTP://NODE.example:8545/rpc',
      'http://node.example:8545/./rpc',
      'http://node.example:8545/rpc#second',
      'http://node.example:8545/rpc?',
      'http://node.example.:8545/rpc',
      'http://me@node.example:8545/rpc',
    ])
      assert.throws(
        () => parse({ ...old, chainRpcUrl: first, chainQuorum: { endpoints: [first, second], k: 2 } }),
        (error: Error) =>
          error instanceof ReaderFile.ReaderFileError && error.facts.includes('Place: $.chainQuorum.endpoints'),
        second,
      )
    const plain = ['http://a.example', 'http://a.example:80/', 'http://b.example']
    assert.throws(() => parse({ ...old, chainRpcUrl: plain[0], chainQuorum: { endpoints: plain, k: 2 } }))
    // Other paths, ports and keys are other endpoints; that they may be one party's nobody sees here.
    const others = [first, 'http://node.example:8546/rpc', 'http://node.example:8545/rpc?key=2']
    assert.equal(parse({ ...old, chainRpcUrl: first, chainQuorum: { endpoints: others, k: 2 } }).chainQuorum?.k, 2)
  })
})

describe('the rule of the anchors and the endpoints of the reader', () => {
  /** One chain that an endpoint in memory serves. */
  async function serving<T>(work: (url: string) => Promise<T>): Promise<T> {
    const { createServer } = await import('node:http')
    const server = createServer((request, response) => {
      request.resume()
      response.setHeader('content-type', 'application/json').end('{"jsonrpc":"2.0","id":0,"result":"0x7"}')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      return await work(`http://127.0.0.1:${(server.address() as { port: number }).port}`)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  }
  const contract = { address: new Uint8Array(20), codeHash: new Uint8Array(32) }
  const anchors = (finality: TrustAnchors.FinalityRule): TrustAnchors.TrustAnchors[] => [
    { chainId: 7n, nodeRegistry: contract, anchorLog: contract, finality, headers: [] },
  ]

  test('must go together: headers of one rule are not learnt by another', () =>
    serving(async (url) => {
      const one = { chainRpcUrl: url }
      const two = { chainRpcUrl: url, chainQuorum: { endpoints: [url, url.replace('127.0.0.1', 'localhost')], k: 2 } }
      for (const [named, rule] of [
        [one, 'development'],
        [one, 'quorum:1/1'],
        [two, 'quorum:2/2'],
      ] as const)
        assert.equal((await Network.openChain(named, anchors(rule)))?.rpc.chainId, 7n, rule)
      for (const [named, rule] of [
        [one, 'quorum:2/3'],
        [two, 'development'],
        [two, 'quorum:2/3'],
      ] as const)
        await assert.rejects(Network.openChain(named, anchors(rule)), { code: 'other-rule' }, rule)
    }))

  test('must go together for every entry of the chain: a header that is learnt is kept for all of them', () =>
    serving(async (url) => {
      const [byOne] = anchors('development')
      const other = { address: new Uint8Array(20).fill(1), codeHash: new Uint8Array(32) }
      const byTwo = anchors('quorum:2/3').map((entry) => ({ ...entry, anchorLog: other }))
      assert.ok(byOne)
      const named = { chainRpcUrl: url }
      await assert.rejects(Network.openChain(named, [byOne, ...byTwo]), { code: 'other-rule' })
      const elsewhere = byTwo.map((entry) => ({ ...entry, chainId: 8n }))
      assert.equal((await Network.openChain(named, [byOne, ...elsewhere]))?.rpc.chainId, 7n)
    }))

  test('nothing is opened without a name, an answer, or a chain that is trusted', async () => {
    const dead = { chainRpcUrl: endpoints[0] as string, chainQuorum: { endpoints, k: 2 } }
    assert.equal(await Network.openChain(undefined, anchors('development')), undefined)
    assert.equal(await Network.openChain({ chainRpcUrl: null }, anchors('development')), undefined)
    assert.equal(await Network.openChain({ chainRpcUrl: dead.chainRpcUrl }, anchors('development')), undefined)
    assert.equal(await Network.openChain(dead, anchors('quorum:2/3')), undefined)
    await serving(async (url) => {
      const other = anchors('quorum:1/1').map((entry) => ({ ...entry, chainId: 8n }))
      assert.equal(await Network.openChain({ chainRpcUrl: url }, other), undefined)
    })
  })
})
