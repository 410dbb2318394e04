/** Answering.chain.test.ts - cases opened on a real chain and what the service does about them. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ContractCall, FaultCasesContract, Rpc } from 'assay/chain'
import { Bytes, Slot } from 'assay/protocol'
import type { StoredReceipt } from '../receipts/ReceiptStore.ts'
import { until } from '../settle/scene.ts'
import * as Forgetting from './Forgetting.ts'
import { marker, openScene } from './scene.t.ts'

const slots = { order: Slot.indexOf('order'), model: Slot.indexOf('model'), proof: Slot.indexOf('proof') }
let scene: Awaited<ReturnType<typeof openScene>>
const receipts: StoredReceipt[] = []

before(async () => {
  scene = await openScene()
  receipts.push(await scene.addReceipt())
  await scene.anchor()
  receipts.push(await scene.addReceipt(), await scene.addReceipt())
  await scene.anchor()
})
after(() => scene.close())

type Of = Parameters<typeof scene.stateOf>[0]
const answered = (one: Of) =>
  until('answer', async () => ((await scene.stateOf(one)) === 'answered' ? true : undefined), 20_000)
const at = (index: number) => receipts[index] as StoredReceipt
const ledgerPath = () => join(scene.home, 'node', 'answers.json')
const kinds = () => scene.events.map((event) => (event.kind === 'answered' ? `answered ${event.answer}` : event.kind))

test('a withheld entry is answered, the answer is paid for and the credit taken out', async () => {
  const service = scene.start()
  assert.ok(await scene.challengeEntry(1n))
  await answered(scene.entryCase(1n))
  await until('credit', () => scene.events.find((event) => event.kind === 'withdrawn'))
  assert.equal(await scene.view.credit(scene.sender.address), 0n)
  await until('settled', () => (service.open().length === 0 ? true : undefined))
  await service.stop()
  assert.ok(kinds().includes('answered entry'))
})

test('an answer that a reorganisation takes back with its block is given again', async () => {
  assert.ok(await scene.challengeEntry(2n))
  const opened = await scene.view.newest()
  const service = scene.start()
  await answered(scene.entryCase(2n))
  await service.stop()
  await scene.rpc.request('anvil_reorg', [Number((await scene.view.newest()) - opened), []])
  assert.equal(await scene.stateOf(scene.entryCase(2n)), 'open')
  const again = scene.start()
  await answered(scene.entryCase(2n))
  await again.stop()
})

test('a demanded slot is opened, and one that is not used is shown unused', async () => {
  const service = scene.start()
  assert.ok(await scene.demandOpening(1n, slots.model, 1n))
  assert.ok(await scene.demandOpening(2n, slots.proof, 1n))
  await answered(scene.slotCase(at(1), slots.model))
  await answered(scene.slotCase(at(2), slots.proof))
  await service.stop()
  assert.ok(kinds().includes('answered opening') && kinds().includes('answered absent'))
})

test('a case opened while the daemon was away is answered at its next start, whatever became of its ledger', async () => {
  assert.ok(await scene.challengeEntry(0n))
  let service = scene.start()
  await answered(scene.entryCase(0n))
  await service.stop()
  assert.ok(await scene.demandOpening(2n, slots.order, 1n))
  rmSync(ledgerPath())
  service = scene.start()
  await answered(scene.slotCase(at(2), slots.order))
  await service.stop()
  assert.ok(await scene.demandOpening(1n, slots.order, 1n))
  writeFileSync(ledgerPath(), '{"version":1,"cases":')
  service = scene.start()
  await answered(scene.slotCase(at(1), slots.order))
  await service.stop()
})

test('a case is found without its event in the new blocks: the count of the contract says that there is one', async () => {
  // As after a reorganisation: the ledger has read past the block of the event.
  const service = scene.start()
  await until('a ledger', () => (service.open().length === 0 ? true : undefined))
  await service.stop()
  assert.ok(await scene.demandOpening(2n, slots.model, 1n))
  await scene.mine(100n)
  const ledger = JSON.parse(readFileSync(ledgerPath(), 'utf8')) as object
  writeFileSync(ledgerPath(), JSON.stringify({ ...ledger, scannedTo: String(await scene.view.newest()) }))
  const again = scene.start()
  await answered(scene.slotCase(at(2), slots.model))
  await again.stop()
})

test('an endpoint that fails, a store that lacks the receipt and a contract that refuses never end the service', async () => {
  const receipt = await scene.addReceipt()
  await scene.anchor()
  let failing = true
  const rpc: Rpc.Rpc = {
    ...scene.rpc,
    request: async (method, params) => {
      if (failing) throw new Rpc.RequestError('rpc-unreachable', method, '')
      return scene.rpc.request(method, params)
    },
  }
  let isHidden = true
  const store = {
    ...scene.store,
    byHash: (hash: Uint8Array) => (isHidden ? undefined : scene.store.byHash(hash)),
  }
  let refuse = true
  const sender = {
    ...scene.sender,
    send: (call: Parameters<typeof scene.sender.send>[0]) => {
      if (refuse) return Promise.reject(new TypeError(`refused ${marker}`))
      return scene.sender.send(call)
    },
  }
  const index = BigInt(scene.entries.length - 1)
  assert.ok(await scene.demandOpening(index, slots.order, scene.steps.at(-2) as bigint))
  const from = scene.events.length
  const service = scene.start({ rpc, store, sender })
  const happened = (kind: string, code: string) =>
    until(code, () =>
      scene.events.slice(from).find((event) => event.kind === kind && 'code' in event && event.code === code),
    )
  await happened('trouble', 'rpc-unreachable')
  failing = false
  await happened('unanswered', 'case-unknown')
  isHidden = false
  await happened('unanswered', 'failed')
  refuse = false
  await answered(scene.slotCase(receipt, slots.order))
  await service.stop()
})

test('at the end of the window: the last block in which a case can be opened is answered with the opening, one later none can be', async () => {
  const receipt = await scene.addReceipt()
  const index = BigInt(scene.entries.length - 1)
  const before = scene.steps.at(-1) as bigint
  // Both sizes in consecutive blocks: the one that does not cover the entry is seen in the block before.
  await scene.anchor().catch(() => {})
  const { openWindowBlocks } = await scene.view.terms()
  const seen = (await scene.view.anchoredIn(scene.logId, before)) as bigint
  const until_ = seen + openWindowBlocks
  const newest = await scene.view.newest()
  await scene.mine(until_ - newest - 1n)
  assert.ok(await scene.demandOpening(index, slots.model, before), 'the last block of the window')
  assert.equal((await scene.view.newest()) - seen, openWindowBlocks)
  assert.equal(await scene.demandOpening(index, slots.order, before), false, 'one block later')
  const service = scene.start()
  await answered(scene.slotCase(receipt, slots.model))
  await service.stop()
})

test('openings are thrown away behind the window and not before; then the place is the answer, and publishes nothing', async () => {
  const { openWindowBlocks, answerBlocks } = await scene.view.terms()
  const index = BigInt(scene.entries.length - 1)
  const last = scene.store.opened(0, 99).at(-1)?.receipt as StoredReceipt
  const isKept = (receipt: StoredReceipt) => scene.store.byHash(receipt.receiptHash)?.nonce !== undefined
  const { size } = await scene.log.proof({ index })
  const keptTo = ((await scene.view.anchoredIn(scene.logId, size)) as bigint) + openWindowBlocks + answerBlocks
  const behind = (await scene.view.newest()) - (await scene.view.finalized())
  await scene.mine(keptTo + behind - (await scene.view.newest()))
  assert.equal(await scene.view.finalized(), keptTo)
  const service = scene.start()
  await until('the others', () => (isKept(at(2)) ? undefined : true), 20_000)
  await sleep(150)
  assert.ok(isKept(last), 'in the last block')
  await scene.mine(1n)
  await until('the last one', () => (isKept(last) ? undefined : true), 20_000)
  const stored = scene.store.byHash(last.receiptHash)
  assert.deepEqual([stored?.claims.length, stored?.secret.length], [0, 0])
  assert.ok(stored?.released !== undefined, 'the place stays')

  assert.equal(await scene.demandOpening(index, slots.proof, scene.steps.at(-2) as bigint), false, 'too old')
  assert.ok(await scene.demandOpening(index, slots.proof, 0n, await scene.anchorElsewhere(index)), 'young elsewhere')
  await answered(scene.slotCase(last, slots.proof))
  await service.stop()
  assert.equal(
    kinds()
      .filter((kind) => kind.startsWith('answered'))
      .at(-1),
    'answered place',
  )
})

test('the place is found by the events of the contract when the log knows no anchored size any more', async () => {
  const lost = { ...scene.log, proof: () => Promise.reject(new Rpc.NotOnChainError('step')) }
  const service = scene.start({ logs: [lost] })
  assert.ok(await scene.demandOpening(0n, slots.proof, 0n, await scene.anchorElsewhere(0n, 24)))
  assert.ok(await scene.challengeEntry(3n))
  await answered(scene.entryCase(3n))
  await answered(scene.slotCase(at(0), slots.proof))
  await service.stop()
})

test('an entry whose case was opened and expired while the daemon was away is shown all the same', async () => {
  await scene.addReceipt()
  await scene.anchor()
  const one = scene.entryCase(BigInt(scene.entries.length - 1))
  const before = scene.start()
  await until('a ledger', () => (before.open().length === 0 ? true : undefined))
  await before.stop()
  assert.ok(await scene.challengeEntry(BigInt(scene.entries.length - 1)))
  await scene.mine(301n)
  const args = [17, Bytes.to0x(one.subject), 0, Bytes.to0x(one.incident)] as const
  const data = ContractCall.encode({ abi: FaultCasesContract.abi, functionName: 'expireCase', args })
  await scene.sender.send({ to: scene.contracts.faultCases, data })
  assert.equal(await scene.stateOf(one), 'expired')
  const again = scene.start()
  await answered(one)
  await again.stop()
})

for (const [what, before] of [
  ['while the chain was out of reach', undefined],
  ['and the ledger was lost while the daemon was away', () => rmSync(ledgerPath())],
] as const)
  test(`an entry whose case was opened and expired ${what} is shown all the same`, async () => {
    await scene.addReceipt()
    await scene.anchor()
    const index = BigInt(scene.entries.length - 1)
    const one = scene.entryCase(index)
    let isAway = false
    const rpc: Rpc.Rpc = {
      ...scene.rpc,
      request: async (method, params) => {
        if (isAway) throw new Rpc.RequestError('rpc-unreachable', method, '')
        return scene.rpc.request(method, params)
      },
    }
    let service = scene.start({ rpc })
    await until('a ledger', () => (service.open().length === 0 ? true : undefined))
    await sleep(200)
    isAway = true
    if (before !== undefined) await service.stop()
    assert.ok(await scene.challengeEntry(index))
    await scene.mine(301n)
    const args = [17, Bytes.to0x(one.subject), 0, Bytes.to0x(one.incident)] as const
    const data = ContractCall.encode({ abi: FaultCasesContract.abi, functionName: 'expireCase', args })
    await scene.sender.send({ to: scene.contracts.faultCases, data })
    assert.equal(await scene.stateOf(one), 'expired')
    before?.()
    isAway = false
    if (before !== undefined) service = scene.start()
    await answered(one)
    await service.stop()
  })

test('where the windows are short, openings are kept for a day of blocks', () => {
  const windows = { openWindowBlocks: 600n, answerBlocks: 300n }
  assert.equal(Forgetting.keptBlocks(windows), 86_400n)
  assert.equal(Forgetting.keptBlocks({ openWindowBlocks: 100_800n, answerBlocks: 7_200n }), 108_000n)
})

test('nothing that was opened stands in an event or in the ledger', () => {
  const said = JSON.stringify(scene.events, (_, value) => (typeof value === 'bigint' ? String(value) : value))
  const ledger = readFileSync(ledgerPath(), 'utf8')
  for (const text of [said, ledger]) {
    assert.ok(!text.includes(marker))
    for (const { secret, nonce } of receipts) {
      assert.ok(!text.includes(Bytes.toHex(secret)))
      assert.ok(nonce === undefined || !text.includes(Bytes.toHex(nonce)))
    }
  }
})
