/** logs.test.ts - one log cannot write, or both: calls go on through the other, or their receipts follow. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { readAddressBook, trustAnchorsOf } from '@assay/node/settle/deploy'
import { createSender } from '@assay/node/settle/sender'
import { openWallet } from '@assay/node/settle/wallet'
import { ContractCall, Rpc, StakeManagerContract } from 'assay/chain'
import { ChainAccess, Client, Graded, type NodeInfo, Stores } from 'assay/client'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, Cose, Pledge } from 'assay/protocol'
import { policies } from 'assay/verify'
import * as Calls from './Calls.ts'
import * as Daemon from './Daemon.ts'
import * as Folders from './Folders.ts'
import * as Ledger from './Ledger.ts'
import * as Silence from './Silence.ts'

const place = Daemon.createPlace(['digits'])
after(place.close)
const timeout = 120_000

test('the first log cannot write: calls go on through the second, and come back to the first', {
  timeout,
}, async () => {
  const home = place.newHome()
  const ledger = Ledger.create()
  let daemon = await place.start({ home })
  const { gateway } = daemon.endpoints
  const info = await Calls.nodeInfo(gateway)
  assert.equal(info.logs.length, 2)
  assert.notDeepEqual(info.logs[0]?.logId, info.logs[1]?.logId)
  const ask = async () => {
    const answer = await Calls.call(gateway, info, 'infer', { withOrder: true })
    ledger.addAnswers([answer])
    assert.equal(answer.status, 200)
    return typeof answer.receipt === 'object' ? answer.receipt.slot : answer.receipt
  }
  const untilSlot = (slot: number) =>
    Daemon.until(`a pledge of log ${slot + 1}`, async () => ((await ask()) === slot ? true : undefined))
  await untilSlot(0)
  await daemon.tell({ kind: 'disk', isFull: true, of: ['log'] })
  await untilSlot(1)
  // From then on no call waits for the first one.
  const slots = []
  for (let i = 0; i < 5; i++) slots.push(await ask())
  assert.ok(
    slots.every((slot) => slot === 1),
    `${slots}`,
  )
  assert.match(daemon.output(), /"event":"log-aside","log":"log"/)
  await ledger.checkAnchored(daemon.endpoints, info)
  await daemon.tell({ kind: 'disk', isFull: false })
  await untilSlot(0)
  assert.match(daemon.output(), /"event":"log-back","log":"log"/)

  // Killed with heads in both: nothing is forgotten, no place is given twice.
  const load = Calls.load(gateway, info, { workers: 3 })
  await new Promise((resolve) => setTimeout(resolve, 400))
  await daemon.kill('daemon')
  ledger.addAnswers(await load.stop())
  ledger.checkFolders(Folders.read(home))
  daemon = await place.start({ home })
  await ledger.checkAnchored(daemon.endpoints, await Calls.nodeInfo(daemon.endpoints.gateway))
  await daemon.stop()
  ledger.checkFolders(Folders.read(home))

  // A home from before the second log gets one.
  for (const folder of ['log2', 'witness2']) rmSync(join(home, folder), { recursive: true })
  daemon = await place.start({ home })
  const now = await Calls.nodeInfo(daemon.endpoints.gateway)
  assert.deepEqual(now.logs[0], info.logs[0])
  assert.equal(now.logs.length, 2)
  assert.notDeepEqual(now.logs[1]?.logId, info.logs[1]?.logId)
  assert.ok(existsSync(join(home, 'log2', 'key.json')))
  await daemon.stop()
  Silence.check(place, home, { receipts: [...ledger.receipts.values()] })
})

test('no log can write: the client keeps the call, follows it, and gets its text once the receipt is there', {
  timeout,
}, async () => {
  const home = place.newHome()
  const daemon = await place.start({ home })
  const book = readAddressBook(home)
  assert.ok(book?.stake !== undefined)
  const trust = trustAnchorsOf({ ...book, stake: book.stake })
  const info = await Calls.nodeInfo(daemon.endpoints.gateway)
  const rpc = Rpc.create({ url: daemon.endpoints.chain, chainId: trust.chainId })
  const described = (await (await fetch(`${daemon.endpoints.gateway}/.well-known/assay.json`)).json()) as {
    node: { operator: string }
    witnesses: { publicKey: string }[]
  }
  const [pending, calls] = [Stores.memoryPendingStore(), Stores.memoryPendingStore()]
  const open = () =>
    Client.create({
      ...{ baseUrl: daemon.endpoints.gateway, crypto, pending, calls, anchors: Stores.memoryAnchorStore([trust]) },
      signer: createP256Signer(new Uint8Array(32).fill(5)),
      random: (length) => new Uint8Array(randomBytes(length)),
      names: {
        witnesses: described.witnesses.map((one) => Cose.keyId(crypto, Bytes.fromBase64url(one.publicKey))),
        operators: [Bytes.from0x(described.node.operator)],
        rewrites: [],
      },
      chain: ChainAccess.overRpc(crypto, rpc, trust),
    })
  const ask = (client: Client.Client) => {
    const { path, body } = Calls.request('infer')
    return client.call(path, Bytes.fromUtf8(body), { modes: 4 })
  }
  const client = open()
  await daemon.tell({ kind: 'disk', isFull: true, of: ['log', 'log2'] })
  const waiting = await Daemon.until('an answer without a pledge', async () => {
    const graded = await ask(client)
    return graded.receiptHash.startsWith('pending-') ? graded : undefined
  })
  const second = await ask(client)
  assert.throws(() => waiting.unchecked(), Graded.PendingReceiptError)
  await assert.rejects(waiting.meets(policies.recorded), (error: unknown) => {
    assert.ok(error instanceof Graded.NotMetError)
    assert.match(error.verdict.requirements[0]?.because ?? '', /^pending/)
    return true
  })
  assert.equal((await calls.list()).length, 2)

  await daemon.tell({ kind: 'disk', isFull: false })
  const answer = await waiting.meets(policies.embedded, { waitSeconds: 40 })
  assert.equal(answer.status, 200)
  const { logId } = Pledge.parse((answer.bundle.pledge as { words: Uint8Array }).words)
  assert.ok(info.logs.some((log) => Bytes.equal(log.logId, logId)))
  assert.equal((await waiting.verdict(policies.embedded)).outcome, 'MEETS')

  // The other one through a client that was started anew.
  const again = open()
  await Daemon.until('nothing awaited', async () => {
    const { awaited, failed } = await again.raisePending()
    assert.deepEqual(failed, [])
    return awaited.length === 0 ? true : undefined
  })
  assert.deepEqual(await calls.list(), [])
  assert.ok(second.receiptHash.startsWith('pending-'), 'the first client has not looked since')
  assert.equal((await second.meets(policies.recorded, { waitSeconds: 20 })).status, 200)
  await daemon.stop()
})

test('a log that was retired on chain keeps its word, then a new one takes its place', { timeout }, async () => {
  const home = place.newHome()
  const ledger = Ledger.create()
  let daemon = await place.start({ home })
  const info = await Calls.nodeInfo(daemon.endpoints.gateway)
  const [first, second] = info.logs as [NodeInfo.LogInfo, NodeInfo.LogInfo]
  await retire(home, daemon.endpoints.chain, first.logId)
  // Killed with entries that are not anchored yet.
  const load = Calls.load(daemon.endpoints.gateway, info, { workers: 3 })
  await Daemon.until('entries', () => (Folders.read(home).log.length > 5 ? true : undefined))
  await daemon.kill('daemon')
  const answers = await load.stop()
  ledger.addAnswers(answers)
  const held = Folders.read(home)

  daemon = await place.start({ home })
  assert.match(daemon.output(), /"event":"log-ended","log":"log"/)
  const closing = await Calls.nodeInfo(daemon.endpoints.gateway)
  assert.deepEqual(closing.logs, info.logs, 'it is still there to keep its word')
  for (let i = 0; i < 3; i++) {
    const answer = await Calls.call(daemon.endpoints.gateway, closing, 'infer')
    ledger.addAnswers([answer])
    assert.equal(typeof answer.receipt === 'object' && answer.receipt.slot, 1, 'no new head for a log that ended')
  }
  await ledger.checkAnchored(daemon.endpoints, closing)
  await daemon.stop()
  const after = Folders.read(home)
  ledger.checkFolders(after)
  assert.deepEqual(after.log, held.log)

  daemon = await place.start({ home })
  const now = await Calls.nodeInfo(daemon.endpoints.gateway)
  assert.notDeepEqual(now.logs[0]?.logId, first.logId)
  assert.deepEqual(now.logs[1], second)
  const answer = await Calls.call(daemon.endpoints.gateway, now, 'infer')
  assert.equal(typeof answer.receipt === 'object' && answer.receipt.slot, 0)
  assert.deepEqual(readdirSync(join(home, `log.ended-${Bytes.toHex(first.logId)}`)).includes('key.json'), false)
  await daemon.stop()
})

async function retire(home: string, chainUrl: string, logId: Uint8Array): Promise<void> {
  const book = readAddressBook(home)
  assert.ok(book?.stake !== undefined)
  const rpc = Rpc.create({ url: chainUrl, chainId: book.chainId })
  const sender = createSender({ rpc, wallet: openWallet(home) })
  const { abi } = StakeManagerContract
  const data = ContractCall.encode({ abi, functionName: 'retire', args: [Bytes.to0x(logId)] })
  await Daemon.until('retired', () =>
    sender.send({ to: book.stake?.stakeManager.address as Uint8Array, data }).catch(() => undefined),
  )
  sender.close()
}
