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

const facts = (changes: { operator?: number; witness?: number; code?: number; port?: number } = {}): Adopt.Facts => ({
  // Nobody listens on ports below 10: the history of the chain stays unknown.
  endpoints: { gateway: `http://127.0.0.1:${changes.port ?? 1}`, chain: 'http://127.0.0.1:2' },
  reader: {
    anchors: {
      ...{ chainId: 7n, finality: 'development', headers: [] },
      nodeRegistry: { address: new Uint8Array(20).fill(1), codeHash: new Uint8Array(32).fill(changes.code ?? 2) },
      anchorLog: { address: new Uint8Array(20).fill(3), codeHash: new Uint8Array(32).fill(4) },
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
    for (const change of [{ operator: 9 }, { witness: 9 }, { code: 9 }]) {
      const { notes, differences } = await Adopt.adopt(home, facts(change))
      assert.deepEqual([notes.length, differences.length], [0, 1], JSON.stringify(change))
      assert.deepEqual(files(), before)
    }
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
