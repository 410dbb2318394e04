/** watching.t.ts - a default client in front of the fake gateway, for tests of what it watches. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach } from 'node:test'
import * as FakeGateway from '../../tests/fakes/FakeGateway.ts'
import { createP256Signer, crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Fault from '../protocol/Fault.ts'
import { embedded } from '../verify/policies.ts'
import * as Client from './Client.ts'
import * as Evidence from './Evidence.ts'
import * as Graded from './Graded.ts'
import { memoryAnchorStore, memoryFaultStore, memoryPendingStore } from './Stores.ts'
import { memoryWatchStore } from './WatchStore.ts'

export const target = '/v1/chat/completions'
export const body = Bytes.fromUtf8('{"model":"tiny","messages":[{"role":"user","content":"a secret prompt"}]}')
export const digest = (text: string) => crypto.sha256(Bytes.fromUtf8(text))

export let gateway: FakeGateway.FakeGateway
beforeEach(async () => {
  gateway = await FakeGateway.start()
})
afterEach(() => gateway.close())

export function start(options: Partial<Client.Options> = {}) {
  const faults = options.faults ?? memoryFaultStore()
  const watch = options.watch ?? memoryWatchStore()
  const pending = options.pending ?? memoryPendingStore()
  const client = Client.create({
    ...{ baseUrl: gateway.url, crypto, signer: createP256Signer(digest('client')), chain: gateway.chain },
    random: (length) => new Uint8Array(randomBytes(length)),
    anchors: memoryAnchorStore([gateway.anchors]),
    names: { operators: gateway.operators, witnesses: gateway.witnesses, rewrites: [] },
    sleep: async () => {},
    ...options,
    ...{ faults, watch, pending },
  })
  return { client, faults, watch, pending }
}

/** The files, each judged again by the true chain; a file that shows nothing fails the test that made it. */
export async function filesOf(faults: {
  list(): Promise<readonly string[]>
  load(id: string): Promise<{ file: Uint8Array } | undefined>
}) {
  const found: Fault.Fault[] = []
  for (const id of await faults.list()) {
    const { file } = (await faults.load(id)) as { file: Uint8Array }
    assert.equal(id, Bytes.toHex(crypto.sha256(file)))
    const fault = Fault.parse(file)
    assert.ok((await Evidence.judge(crypto, gateway.chain, fault)) !== undefined, `class ${fault.class}`)
    assert.ok(!Buffer.from(file).includes('secret prompt'))
    found.push(fault)
  }
  return found
}
export const classesOf = async (faults: Parameters<typeof filesOf>[0]) =>
  (await filesOf(faults)).map((one) => one.class).sort((a, b) => a - b)

export async function call(client: Client.Client, lie: FakeGateway.Lie = 'none') {
  gateway.lie = lie
  const graded = await client.call(target, body)
  gateway.lie = 'none'
  return graded
}

export async function assertFault(graded: Graded.Graded<unknown>, id: string) {
  const isFault = (error: unknown) => {
    assert.ok(error instanceof Graded.NotMetError, String(error))
    assert.equal(error.verdict.outcome, 'FAULT')
    assert.ok(error.verdict.faults.some((fault) => fault.id === id))
    return true
  }
  await assert.rejects(graded.meets(embedded, { waitSeconds: 5 }), isFault)
}
