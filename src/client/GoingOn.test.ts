/**
 * GoingOn.test.ts - no answer of one party ends the watching of the others: entries of another length, heads that nobody signed, demands
 * that the contract or the account refuses, endpoints that answer in another form.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Abi, decodeFunctionData } from 'viem'
import { worldOf } from '../../tests/fakes/Court.ts'
import { abi as casesAbi } from '../chain/generated/FaultCases.ts'
import { abi as courtAbi } from '../chain/generated/FaultCourt.ts'
import type * as Rpc from '../chain/Rpc.ts'
import * as Sender from '../chain/Sender.ts'
import { crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Cose from '../protocol/Cose.ts'
import * as Head from '../protocol/Head.ts'
import * as Wire from '../protocol/Wire.ts'
import { embedded } from '../verify/policies.ts'
import { memoryFaultStore } from './Stores.ts'
import * as Watching from './Watching.ts'
import { memoryWatchStore } from './WatchStore.ts'
import { body, call, classesOf, gateway, start, target } from './watching.t.ts'

type Fetch = typeof globalThis.fetch
const abi = [...casesAbi, ...courtAbi] as Abi

/** Rounds as `keepRaising` makes them, some blocks apart; what ended one. */
async function rounds(client: ReturnType<typeof start>['client'], count: number): Promise<string[]> {
  const ended: string[] = []
  for (let i = 0; i < count; i++) {
    gateway.height += 10n
    await client.raisePending().catch((error) => ended.push(String(error)))
  }
  return ended
}

describe('a log that gives an entry of 74 bytes, or somebody in between', () => {
  const bent = {
    isOn: false,
    fetch: (async (input, init) => {
      const response = await fetch(input, init)
      if (!bent.isOn || !response.ok || !new URL(String(input)).pathname.includes('/tile/entries/')) return response
      const bytes = new Uint8Array(await response.arrayBuffer())
      return new Response(Bytes.concat(bytes.subarray(0, bytes.length - 77), Bytes.u16(74), new Uint8Array(74)))
    }) as Fetch,
  }

  test('is found out by the same head with true entries', async () => {
    bent.isOn = false
    const { client, faults } = start({ fetch: bent.fetch })
    const graded = await call(client)
    await gateway.issue({ sequence: 0n, previous: new Uint8Array(32) })
    await client.raisePending()
    assert.deepEqual(await classesOf(faults), [1])
    assert.equal((await graded.verdict(embedded)).outcome, 'FAULT')
  })

  test('holds back nothing else that there is to find (F3)', async () => {
    bent.isOn = true
    const { client, faults } = start({ fetch: bent.fetch })
    gateway.isFinal = false
    await call(client)
    await call(client, 'wrong-leaf')
    assert.deepEqual(await rounds(client, 3), [])
    assert.deepEqual(await classesOf(faults), [3])
  })

  test('holds back no receipt from being final', async () => {
    bent.isOn = true
    const { client, pending } = start({ fetch: bent.fetch })
    await call(client)
    assert.deepEqual(await rounds(client, 1), [])
    assert.deepEqual(await pending.list(), [])
  })

  test('is asked for it on chain', async () => {
    bent.isOn = false
    const store = memoryWatchStore()
    const faults = memoryFaultStore()
    const { client } = start({ watch: store, faults })
    await (await call(client)).meets(embedded, { waitSeconds: 5 })
    bent.isOn = true
    const asked: bigint[] = []
    const watching = Watching.create({
      ...{ crypto, fetch: bent.fetch, baseUrl: gateway.url, chain: gateway.chain, store, faults, observe: undefined },
      demands: {
        entry: async (_, index) => void asked.push(index),
        slot: async () => ({ isOver: true }),
        content: async () => ({ isOver: true }),
        follow: async () => [],
      },
    })
    await gateway.issue({ sequence: 0n, previous: new Uint8Array(32) })
    for (let i = 0; i < 8; i++) {
      gateway.height += 10n
      await watching.round()
    }
    assert.ok(asked.length > 0)
  })
})

describe('a demand that cannot be made', () => {
  const says = {
    getCase: { challenger: `0x${'00'.repeat(20)}`, openedAtBlock: 0, state: 0, bondGwei: 0 },
    openCases: 0n,
    caseTerms: [600n, 300n, 10n ** 15n],
    getWindows: {
      ...{ graceBlocks: 600, openWindowBlocks: 600, answerBlocks: 300, evidenceBlocks: 600, revealBlocks: 1 },
      bondFloorGwei: 10n ** 6n,
    },
  }
  const reverted = (errorName: string) => new Sender.CallRevertedError('execution reverted', { errorName, args: [] })

  /** FaultCases as far as the head's signature goes. */
  function courtOf() {
    const { court } = worldOf({
      says,
      answer: (method, params) => {
        if (method !== 'eth_getLogs') return undefined
        // One step before the receipt: size 1.
        const [kind, logId] = (params[0] as { topics: string[] }).topics
        const topics = [kind, logId, Bytes.to0x(Bytes.u256(1n))]
        const place = { blockNumber: '0x5f', transactionHash: Bytes.to0x(new Uint8Array(32)) }
        return [{ address: Bytes.to0x(court.anchorLog), topics, data: Bytes.to0x(new Uint8Array(32)), ...place }]
      },
    })
    const asked: string[] = []
    const judged: Sender.Sender['call'] = async ({ data }) => {
      const { functionName, args } = decodeFunctionData({ abi, data: Bytes.to0x(data) as `0x${string}` })
      asked.push(functionName)
      if (functionName !== 'demandOpening') return new Uint8Array(0)
      const [{ head, signature, x, y }] = args as unknown as [{ head: string; signature: string; x: string; y: string }]
      const payload = Head.payload(crypto, Bytes.from0x(head))
      const publicKey = Bytes.concat(Bytes.from0x(x), Bytes.from0x(y))
      await Cose.verify(crypto, { tag: 'receipt', payload, signature: Bytes.from0x(signature), publicKey }).catch(
        () => {
          throw reverted('BadSignature')
        },
      )
      return new Uint8Array(0)
    }
    return { asked, court: { ...court, sender: { ...court.sender, call: judged } } }
  }

  /** Who stands between answers a call with a head that nobody signed, a true pledge of another receipt, and no claims. */
  function forging() {
    let pledge: string | undefined
    const bent = {
      isOn: false,
      fetch: (async (input, init) => {
        const { pathname } = new URL(String(input))
        if (bent.isOn && pathname.endsWith('/claims')) return new Response('{}', { status: 404 })
        const response = await fetch(input, init)
        if (pathname !== target) return response
        pledge ??= response.headers.get('assay-pledge') as string
        if (!bent.isOn) return response
        const headers = new Headers(response.headers)
        const { head } = Wire.decodeReceipt(headers.get('assay-receipt') as string)
        headers.set('assay-receipt', Wire.encodeReceipt({ head, signature: new Uint8Array(64).fill(1) }))
        headers.set('assay-pledge', pledge)
        headers.delete('assay-claims')
        return new Response(await response.arrayBuffer(), { headers })
      }) as Fetch,
    }
    return bent
  }

  test('for a head that nobody signed is not even thought of', async () => {
    const { court } = courtOf()
    const bent = forging()
    const watch = memoryWatchStore()
    const { client, faults } = start({ fetch: bent.fetch, court, watch })
    gateway.isFinal = false
    await call(client)
    bent.isOn = true
    await assert.rejects(client.call(target, body), { code: 'claims-missing' })
    bent.isOn = false
    assert.deepEqual(await watch.list('unopened'), [])
    assert.deepEqual(await rounds(client, 6), [])
    await call(client, 'wrong-leaf')
    assert.deepEqual(await rounds(client, 4), [])
    assert.deepEqual(await classesOf(faults), [3])
  })

  for (const [what, failure] of [
    ['for want of coin', new Sender.NoCoinError('0x00')],
    ['for want of a place: the accused filled its eight itself', reverted('TooManyCases')],
  ] as const)
    test(`${what} holds back nothing else (F3)`, async () => {
      const { court } = courtOf()
      const refused: Sender.Sender['call'] = async ({ value = 0n }) => {
        if (value > 0n) throw failure
        return new Uint8Array(0)
      }
      const { client, faults } = start({ court: { ...court, sender: { ...court.sender, call: refused } } })
      gateway.isFinal = false
      await call(client)
      // A second head of mine stands in the log, and its node does not give it.
      await gateway.issue({ sequence: 0n, previous: new Uint8Array(32) })
      gateway.hidden.add('receipts')
      assert.deepEqual(await rounds(client, 6), [])
      const graded = await call(client, 'wrong-leaf')
      assert.deepEqual(await rounds(client, 4), [])
      assert.deepEqual(await classesOf(faults), [3])
      assert.equal((await graded.verdict()).outcome, 'FAULT')
    })
})

describe('an endpoint that answers in another form', () => {
  for (const [method, answer] of [
    ['eth_blockNumber', null],
    ['eth_blockNumber', '10'],
    ['eth_call', '0x0102'],
    ['eth_call', null],
    ['eth_getLogs', {}],
  ] as const)
    test(`${method} with ${JSON.stringify(answer)} ends no background`, async () => {
      const { court } = worldOf({ says: { committedFrom: 1n } })
      let asked = 0
      const rpc: Rpc.Rpc = {
        ...court.rpc,
        request: async (name, params) => {
          if (name !== method) return court.rpc.request(name, params)
          asked++
          return answer
        },
      }
      const { client, faults } = start({ court: { ...court, rpc } })
      gateway.isFinal = false
      await call(client)
      await call(client, 'two-heads')
      const stop = new AbortController()
      let count = 0
      await client.keepRaising({
        signal: stop.signal,
        everyMs: 0,
        onRound: () => {
          if (++count === 3) stop.abort()
        },
      })
      assert.deepEqual(await classesOf(faults), [1])
      assert.ok(method === 'eth_getLogs' || asked > 0)
    })
})
