import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { Bytes } from 'assay/protocol'
import * as Adopt from './Adopt.ts'
import * as Home from './Home.ts'

let home: Home.Home
beforeEach(() => {
  home = Home.find({ env: { ASSAY_HOME: mkdtempSync(join(tmpdir(), 'assay-adopt-')) }, cwd: '/' })
})
afterEach(() => rmSync(home.folder, { recursive: true }))

const contract = (first: number) => ({
  address: new Uint8Array(20).fill(first),
  codeHash: new Uint8Array(32).fill(first + 1),
})
const stake = { stakeManager: contract(11), faultCourt: contract(13), faultCases: contract(15) }

const facts = (
  changes: { operator?: number; witness?: number; code?: number; port?: number; older?: true; cases?: number } = {},
): Adopt.Facts => ({
  // Nobody listens on ports below 10: the history of the chain stays unknown.
  endpoints: { gateway: `http://127.0.0.1:${changes.port ?? 1}`, chain: 'http://127.0.0.1:2' },
  reader: {
    anchors: {
      ...{ chainId: 7n, finality: 'development', headers: [] },
      nodeRegistry: { address: new Uint8Array(20).fill(1), codeHash: new Uint8Array(32).fill(changes.code ?? 2) },
      anchorLog: { address: new Uint8Array(20).fill(3), codeHash: new Uint8Array(32).fill(4) },
      ...(changes.older ? {} : { stake: { ...stake, faultCases: contract(changes.cases ?? 15) } }),
    },
    operator: new Uint8Array(20).fill(changes.operator ?? 5),
    witness: new Uint8Array(32).fill(changes.witness ?? 6),
  },
})
const files = () => [readFileSync(home.readerFile, 'utf8'), readFileSync(home.anchorsFile, 'utf8')]

describe("the names of this machine's own daemon", () => {
  test('are written on the first start, and that is said', async () => {
    const { notes, differences } = await Adopt.adopt(home, facts())
    assert.equal(notes.length, 2)
    assert.ok(notes.every((note) => note.includes("this machine's own")))
    assert.deepEqual(differences, [])
    assert.deepEqual(Home.readReader(home), {
      ...{ chainRpcUrl: 'http://127.0.0.1:2', gatewayUrl: 'http://127.0.0.1:1', rewrites: [] },
      operators: [Bytes.to0x(new Uint8Array(20).fill(5))],
      witnesses: [Bytes.toHex(new Uint8Array(32).fill(6))],
    })
  })

  test('are left as they are on the next start', async () => {
    await Adopt.adopt(home, facts())
    const before = files()
    assert.deepEqual(await Adopt.adopt(home, facts()), { notes: [], differences: [] })
    assert.deepEqual(files(), before)
  })

  test('are never changed: what differs is said and left to the person', async () => {
    await Adopt.adopt(home, facts())
    const before = files()
    for (const change of [{ operator: 9 }, { witness: 9 }, { code: 9 }, { cases: 9 }]) {
      const { notes, differences } = await Adopt.adopt(home, facts(change))
      assert.deepEqual([notes.length, differences.length], [0, 1], JSON.stringify(change))
      assert.deepEqual(files(), before)
    }
  })

  test('names from before the stake are completed by it, and that is said', async () => {
    await Adopt.adopt(home, facts({ older: true }))
    await Home.anchorStore(home).addHeader(7n, { number: 1n, hash: new Uint8Array(32) })
    const { notes, differences } = await Adopt.adopt(home, facts())
    assert.deepEqual([notes.length, differences], [1, []])
    assert.match(notes.join(), /hold stake on chain 7 added/)
    const [entry] = await Home.anchorStore(home).read()
    assert.deepEqual(entry?.stake, stake)
    assert.equal(entry?.headers.length, 1)
    assert.deepEqual(await Adopt.adopt(home, facts()), { notes: [], differences: [] })
    // An older daemon names nothing of it; what is there stays.
    assert.equal((await Adopt.adopt(home, facts({ older: true }))).differences.length, 1)
    assert.deepEqual((await Home.anchorStore(home).read())[0], entry)
  })

  test('several endpoints of the chain are named with their majority, and the first follows the daemon', async () => {
    const rule = (endpoints: readonly string[]): Adopt.Facts => {
      const { endpoints: urls, reader } = facts()
      const anchors = { ...reader.anchors, finality: 'quorum:2/3' as const }
      return {
        endpoints: { ...urls, chain: endpoints[0] as string },
        reader: { ...reader, anchors, chainRpcUrls: endpoints },
      }
    }
    const others = ['http://127.0.0.1:3', 'https://chain.example/']
    await Adopt.adopt(home, rule(['http://127.0.0.1:2', ...others]))
    assert.deepEqual(Home.readReader(home)?.chainQuorum, { endpoints: ['http://127.0.0.1:2', ...others], k: 2 })
    await Adopt.adopt(home, rule(['http://127.0.0.1:4', ...others]))
    assert.deepEqual(Home.readReader(home)?.chainQuorum, { endpoints: ['http://127.0.0.1:4', ...others], k: 2 })
    assert.equal(Home.readReader(home)?.chainRpcUrl, 'http://127.0.0.1:4')
  })

  test('only addresses on this machine follow the daemon, and that is said', async () => {
    await Adopt.adopt(home, facts())
    const { notes } = await Adopt.adopt(home, facts({ port: 8 }))
    assert.match(notes.join(), /gatewayUrl is now http:\/\/127\.0\.0\.1:8/)
    const reader = Home.readReader(home) as NonNullable<ReturnType<typeof Home.readReader>>
    Home.writeReader(home, { ...reader, gatewayUrl: 'https://gateway.example/', chainRpcUrl: null })
    assert.deepEqual(await Adopt.adopt(home, facts()), { notes: [], differences: [] })
    assert.equal(Home.readReader(home)?.gatewayUrl, 'https://gateway.example/')
  })
})
