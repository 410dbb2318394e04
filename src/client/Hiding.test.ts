/**
 * Hiding.test.ts - a default client against a node and a log that hide the second of two heads in one place: put into the log before
 * the first was handed out, after the client had read on, under false entries, with a head that nobody signed, or not at all.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import * as FakeGateway from '../../tests/fakes/FakeGateway.ts'
import * as World from '../../tests/fakes/World.ts'
import { crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Head from '../protocol/Head.ts'
import { embedded } from '../verify/policies.ts'
import type * as Demanding from './Demanding.ts'
import { fileWatchStore } from './FileStores.ts'
import { memoryFaultStore } from './Stores.ts'
import * as Watching from './Watching.ts'
import { memoryWatchStore, type WatchStore } from './WatchStore.ts'
import { call, classesOf, digest, gateway, start } from './watching.t.ts'

type Fetch = typeof globalThis.fetch

/** Changes what comes from paths that match, for as long as `isOn`. */
function bending(path: RegExp, bend: (bytes: Uint8Array) => Uint8Array): { fetch: Fetch; isOn: boolean } {
  const bent = {
    isOn: true,
    fetch: (async (input, init) => {
      const response = await fetch(input, init)
      if (!bent.isOn || !response.ok || !path.test(new URL(String(input)).pathname)) return response
      return new Response(bend(new Uint8Array(await response.arrayBuffer())) as Uint8Array<ArrayBuffer>)
    }) as Fetch,
  }
  return bent
}
const entriesFile = /\/tile\/entries\//
const headFile = /^\/v1\/receipts\/[0-9a-f]{64}$/
const twin = () => gateway.issue({ sequence: 0n, previous: new Uint8Array(32) })

function watch(fetch: Fetch, demands?: Demanding.Demands, store: WatchStore = memoryWatchStore()) {
  const faults = memoryFaultStore()
  const watching = Watching.create({
    ...{ crypto, fetch, baseUrl: gateway.url, chain: gateway.chain, store, faults, observe: undefined, demands },
  })
  return { watching, faults, store, client: start({ watch: store, faults }).client }
}

/** Demands that are written down and never answered. */
function asking(asked: string[]): Demanding.Demands {
  return {
    entry: async (_, index) => void asked.push(`entry ${index}`),
    slot: async () => ({ isOver: true }),
    content: async () => ({ isOver: true }),
    follow: async () => [],
  }
}

describe('a second head in the place of mine (F1)', () => {
  test('that was in the log before mine came, and was read then', async () => {
    const { client, faults } = start()
    await call(client)
    await gateway.issue({ sequence: 2n, previous: digest('elsewhere') })
    await client.raisePending()
    assert.deepEqual(await classesOf(faults), [])
    await call(client)
    await call(client)
    await client.raisePending()
    assert.ok((await classesOf(faults)).includes(1))
  })

  test('that came while this client slept, and many after it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'assay-hiding-'))
    const [first, second] = [fileWatchStore(folder), fileWatchStore(folder)]
    try {
      const before = start({ watch: first })
      await call(before.client)
      await before.client.raisePending()
      assert.deepEqual(await before.pending.list(), [])
      await twin()
      for (let i = 0; i < 80; i++) await gateway.issue({})
      const after = start({ watch: second })
      await after.client.raisePending()
      assert.deepEqual(await classesOf(after.faults), [1])
    } finally {
      first.close()
      second.close()
      rmSync(folder, { recursive: true })
    }
  })

  test('that the log hides behind entries which are not the anchored ones: read again until they are', async () => {
    const first = gateway.entries[0] as Uint8Array
    const bent = bending(entriesFile, (bytes) => {
      const copy = bytes.slice()
      copy.set(Bytes.concat(Bytes.u16(first.length), first), bytes.length - first.length - 2)
      return copy
    })
    const { watching, faults, client } = watch(bent.fetch)
    await call(client)
    await twin()
    await watching.round()
    assert.deepEqual(await classesOf(faults), [])
    bent.isOn = false
    await watching.round()
    assert.deepEqual(await classesOf(faults), [1])
  })

  test('that the node gives without a signature that holds: as good as not given, and demanded', async () => {
    const bent = bending(headFile, (bytes) => {
      const data = JSON.parse(Bytes.toUtf8(bytes)) as Record<string, string>
      return Bytes.fromUtf8(JSON.stringify({ ...data, signature: Bytes.toBase64url(new Uint8Array(64).fill(1)) }))
    })
    const asked: string[] = []
    const { watching, faults, client } = watch(bent.fetch, asking(asked))
    await call(client)
    await twin()
    for (let i = 0; i < 6; i++) {
      gateway.height += 10n
      await watching.round()
    }
    assert.deepEqual([...new Set(asked)], ['entry 2'])
    bent.isOn = false
    await watching.round()
    assert.deepEqual(await classesOf(faults), [1])
  })

  test('among entries that the log does not show at all: demanded one by one', async () => {
    const asked: string[] = []
    const { watching, client } = watch(globalThis.fetch, asking(asked))
    await call(client)
    await watching.round()
    await twin()
    gateway.hidden.add('entries')
    for (let i = 0; i < 6; i++) {
      gateway.height += 10n
      await watching.round()
    }
    assert.deepEqual([...new Set(asked)], ['entry 2'])
  })

  test('behind more entries of that place than one round asks for', async () => {
    const { client, faults } = start()
    await call(client)
    const hidden = new Set<string>()
    for (let i = 0; i < 100; i++) {
      const before = new Set(gateway.heads.keys())
      await gateway.issue({ sequence: 0n, previous: new Uint8Array(32), claimsRoot: digest(`one of many ${i}`) })
      for (const name of gateway.heads.keys()) if (!before.has(name)) hidden.add(name)
    }
    for (const name of hidden) gateway.heads.delete(name)
    await twin()
    for (let i = 0; i < 4; i++) await client.raisePending()
    assert.deepEqual(await classesOf(faults), [1])
  })
})

describe('a node with more than one log', () => {
  /** A second log of the same node, as another gateway keeps it, under another name. */
  async function withSecondLog(
    work: (
      second: FakeGateway.FakeGateway,
      client: ReturnType<typeof start>,
      info: { isBoth: boolean },
    ) => Promise<void>,
  ) {
    const second = await FakeGateway.start()
    const otherId = digest('the second log')
    const info = { isBoth: true }
    try {
      const isOther = (logId: Uint8Array) => Bytes.equal(logId, otherId)
      const chain = new Proxy(gateway.chain, {
        get(of, name) {
          const value = Reflect.get(of, name) as unknown
          if (!['logRecord', 'logHead', 'step', 'hints', 'observed'].includes(String(name))) return value
          return (logId: Uint8Array, ...rest: unknown[]) => {
            const at = isOther(logId) ? second.chain : gateway.chain
            return (Reflect.get(at, name) as (...all: unknown[]) => unknown)(World.logId, ...rest)
          }
        },
      })
      const both = (async (input, init) => {
        const url = new URL(String(input))
        if (url.pathname.startsWith(`/log/${Bytes.toHex(otherId)}`)) {
          return fetch(
            new URL(url.pathname.replace(Bytes.toHex(otherId), Bytes.toHex(World.logId)) + url.search, second.url),
            init,
          )
        }
        const response = await fetch(input, init)
        if (headFile.test(url.pathname) && response.status === 404)
          return fetch(new URL(url.pathname, second.url), init)
        if (url.pathname !== '/.well-known/assay.json' || !info.isBoth) return response
        const data = (await response.json()) as { logs: { logId: string; url: string }[] }
        const [log] = data.logs
        return Response.json({
          ...data,
          logs: [log, { ...log, logId: Bytes.toHex(otherId), url: `/log/${Bytes.toHex(otherId)}` }],
        })
      }) as Fetch
      await work(second, start({ fetch: both, chain }), info)
    } finally {
      await second.close()
    }
  }

  test('is followed in all of them: the second head is in the other one (F1)', () =>
    withSecondLog(async (second, { client, faults }) => {
      await call(client)
      await second.issue({ sequence: 0n, previous: new Uint8Array(32) })
      await client.raisePending()
      assert.deepEqual(await classesOf(faults), [1])
    }))

  test('also in one that it takes up after the first call', () =>
    withSecondLog(async (second, { client, faults }, info) => {
      info.isBoth = false
      await call(client)
      await client.raisePending()
      info.isBoth = true
      await second.issue({ sequence: 0n, previous: new Uint8Array(32) })
      await client.raisePending()
      assert.deepEqual(await classesOf(faults), [1])
    }))
})

describe('what is signed is remembered, whatever comes with it', () => {
  test('a second head in an answer without its secret (F1)', async () => {
    const [watch, faults] = [memoryWatchStore(), memoryFaultStore()]
    const withoutSecret: Fetch = async (input, init) => {
      const response = await fetch(input, init)
      const headers = new Headers(response.headers)
      headers.delete('assay-secret')
      return new Response(response.body, { status: response.status, headers })
    }
    const first = start({ watch, faults })
    await call(first.client)
    const second = start({ watch, faults, fetch: withoutSecret })
    await assert.rejects(call(second.client, 'two-heads'), { code: 'receipt-incomplete' })
    gateway.lie = 'none'
    assert.deepEqual(await classesOf(faults), [1])
  })

  test('a second head that is given for a pending answer, and then no claims (F1)', async () => {
    const { client, faults, watch } = start()
    await call(client)
    const first = Head.parse([...gateway.heads.values()][0]?.head as Uint8Array)
    const head = Head.serialize({ ...first, claimsRoot: digest('another call') })
    const signature = await Cose.sign(crypto, World.signers.node, 'receipt', Head.payload(crypto, head))
    const told = (async (input, init) => {
      const response = await fetch(input, init)
      if (!/by-order/.test(String(input))) return response
      const data = (await response.json()) as Record<string, string>
      return Response.json({ ...data, head: Bytes.toBase64url(head), signature: Bytes.toBase64url(signature) })
    }) as Fetch
    gateway.lateReceipts = 'there'
    const asked = start({ faults, watch, fetch: told })
    await call(asked.client, 'late')
    assert.equal((await asked.client.raisePending()).failed[0]?.code, 'claims-missing')
    assert.deepEqual(await classesOf(faults), [1])
  })
})

describe('a node that replaces its key or its log', () => {
  test('is called on, and what it signs is followed', async () => {
    const { keyRecord } = gateway
    const bent = bending(/assay\.json$/, (bytes) => {
      const data = JSON.parse(Bytes.toUtf8(bytes)) as { node: object; logs: object[] }
      const publicKey = Bytes.toBase64url(World.signers.stranger.publicKey)
      const logs = [{ ...data.logs[0], logId: Bytes.toHex(digest('an old log')) }]
      return Bytes.fromUtf8(JSON.stringify({ ...data, node: { ...data.node, keyEpoch: 1, publicKey }, logs }))
    })
    const { client, watch, faults } = start({ fetch: bent.fetch })
    gateway.keyRecord = { keyId: World.keyIdOf(World.signers.stranger), role: 1, validUntilBlock: 0n }
    await client.info()
    gateway.keyRecord = keyRecord
    bent.isOn = false
    await (await call(client)).meets(embedded, { waitSeconds: 5 })
    assert.equal((await watch.list('heads')).length, 1)
    assert.deepEqual(await faults.list(), [])
  })
})
