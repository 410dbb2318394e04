/** Rounds.test.ts - a round that others hold up ends, and comes to what it found. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import * as HttpBody from './HttpBody.ts'
import * as Patience from './Patience.ts'
import { call, classesOf, gateway, start } from './watching.t.ts'

test('a gateway that lets every question wait holds up no round, and what comes later is asked first in the next', async () => {
  let nowMs = 0
  let isSlow = false
  const asked: string[] = []
  const slow = (async (input, init) => {
    const { pathname } = new URL(String(input))
    if (!isSlow) return fetch(input, init)
    if (pathname.endsWith('/proof')) asked.push(String(input))
    nowMs += 10_000
    throw new TypeError('timeout')
  }) as typeof globalThis.fetch
  const { client, faults, pending } = start({ fetch: slow, now: () => nowMs })
  gateway.isFinal = false
  for (let i = 0; i < 80; i++) await call(client)
  await call(client, 'two-heads')
  isSlow = true
  const before = nowMs
  const report = await client.raisePending()
  assert.ok(nowMs - before <= Patience.roundMs + 20_000, `${nowMs - before} ms`)
  assert.equal(report.pending.length, (await pending.list()).length)
  assert.deepEqual(report.faults.length, 1)
  assert.deepEqual(await classesOf(faults), [1])
  const first = asked.splice(0)
  await client.raisePending()
  assert.ok(first.length < 40 && !first.includes(asked[0] as string))
})

test('an answer that breaks off while it is given up is no error of this process', async () => {
  const server = createServer((_, response) => {
    response.writeHead(404, { 'content-length': '100000' })
    response.write('x'.repeat(1000))
    setTimeout(() => response.destroy(), 5)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    await HttpBody.discard(response)
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('one missing pledge closes no other receipt of the same outage that is there', async () => {
  const { client, faults, pending } = start()
  gateway.isFinal = false
  await call(client)
  await call(client)
  const [mine, missing] = [...(await pending.list())]
  assert.ok(mine !== undefined && missing !== undefined)
  gateway.anchored = () => gateway.leaves.slice(0, 2)
  gateway.hidden.add('tiles').add('proof')
  gateway.height = 800n
  await client.raisePending()
  const filed = { salt: new Uint8Array(32), callData: new Uint8Array(1), reporter: new Uint8Array(20) }
  for (const id of await faults.list())
    await faults.saveFiling(id, { ...filed, faultId: new Uint8Array(32), stage: 'recorded' })
  await client.raisePending()
  assert.equal((await pending.list()).length, 2, 'a reorganisation can still take the record back')
  for (const id of await faults.list())
    await faults.saveFiling(id, { ...filed, faultId: new Uint8Array(32), stage: 'recorded', isFinal: true })
  await client.raisePending()
  const left = await pending.list()
  assert.equal(left.length, 1)
  gateway.hidden.clear()
  gateway.isFinal = true
  await client.raisePending()
  assert.deepEqual(await pending.list(), [])
})
