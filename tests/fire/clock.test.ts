/** clock.test.ts - the daemon's clock jumps an hour: nothing stale is signed, nothing is lost. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Bytes, Pledge } from 'assay/protocol'
import { createPublicClient, http } from 'viem'
import * as Calls from '../crash/Calls.ts'
import * as Daemon from '../crash/Daemon.ts'
import * as Folders from '../crash/Folders.ts'
import * as Ledger from '../crash/Ledger.ts'
import * as Silence from '../crash/Silence.ts'

const place = Daemon.createPlace(['digits'])
after(place.close)
const hour = 3_600_000

/** Each pledge names a block of the chain that is at most a few blocks old. */
async function assertFresh(chain: string, answers: readonly Calls.Answer[]): Promise<void> {
  const reader = createPublicClient({ transport: http(chain) })
  const newest = await reader.getBlockNumber()
  for (const { receipt } of answers) {
    if (typeof receipt !== 'object') continue
    const { issuedAtBlock, issuedAtBlockHash } = Pledge.parse(receipt.pledge.words)
    assert.ok(newest - issuedAtBlock <= 32n, `a pledge names block ${issuedAtBlock} at ${newest}`)
    const block = await reader.getBlock({ blockNumber: issuedAtBlock })
    assert.equal(block.hash, Bytes.to0x(issuedAtBlockHash))
  }
}

test('an hour forward and back: pledges wait or are fresh, calls keep their receipts', {
  timeout: 120_000,
}, async (t) => {
  const home = place.newHome()
  const ledger = Ledger.create()
  const daemon = await place.start({ home })
  const { gateway, chain } = daemon.endpoints
  const info = await Calls.nodeInfo(gateway)
  const three = async () => {
    const answers = await Promise.all(
      [true, false, true].map((withOrder) => Calls.call(gateway, info, 'infer', { withOrder })),
    )
    ledger.addAnswers(answers)
    return answers
  }
  await assertFresh(chain, await three())

  await daemon.tell({ kind: 'clock', ms: hour })
  await sleep(1_500)
  const ahead = await three()
  // The newest block looks an hour old: no pledge is signed, nothing is given out unsigned, and it says so.
  assert.deepEqual(
    ahead.map(({ status, receipt }) => [status, receipt]),
    Array(3).fill([200, 'pending']),
  )
  const ready = await fetch(`${gateway}/v2/health/ready`)
  assert.deepEqual([ready.status, await ready.json()], [503, { ready: false, reason: 'chain' }])
  const [first] = ahead
  const waiting = await Calls.stored(gateway, `by-order/${first?.orderHash}`)
  assert.deepEqual([waiting.status, (waiting.body.error as { code: string }).code], [404, 'receipt_pending'])

  await daemon.tell({ kind: 'clock', ms: 0 })
  for (const { orderHash } of ahead) {
    if (orderHash === undefined) continue
    const found = await Daemon.until('the receipt that waited', async () => {
      const answer = await Calls.stored(gateway, `by-order/${orderHash}`)
      return answer.status === 200 ? answer : undefined
    })
    assert.equal(typeof found.body.signature, 'string')
  }
  await assertFresh(chain, await three())

  await daemon.tell({ kind: 'clock', ms: -hour })
  await sleep(1_500)
  const behind = await three()
  assert.ok(behind.every(({ status }) => status === 200))
  await assertFresh(chain, behind)

  // Killed while its clock is wrong, started with a right one, and the other way round.
  await daemon.tell({ kind: 'clock', ms: hour })
  ledger.addAnswers(await Promise.all([Calls.call(gateway, info, 'infer', { withOrder: true })]))
  await daemon.kill('daemon')
  ledger.checkFolders(Folders.read(home))
  const again = await place.start({ home })
  const held = await Daemon.until('all heads at the log', () => {
    const now = Folders.read(home)
    return now.receipts.every(({ isReleased }) => isReleased) ? now : undefined
  })
  assert.equal(held.heads.size, held.receipts.length)
  await ledger.checkAnchored(again.endpoints, await Calls.nodeInfo(again.endpoints.gateway))
  await again.stop()
  ledger.checkFolders(Folders.read(home))
  t.diagnostic(JSON.stringify(ledger.counts))
  Silence.check(place, home, { receipts: [...ledger.receipts.values()] })
})

test('an order that is past its deadline is refused, also when the clock was set back', {
  timeout: 60_000,
}, async () => {
  const home = place.newHome()
  const daemon = await place.start({ home })
  const { gateway } = daemon.endpoints
  const info = await Calls.nodeInfo(gateway)
  const refused = async () => {
    const { path, body } = Calls.request('infer')
    const { headers } = await Calls.order(info, body, BigInt(Math.floor(Date.now() / 1000) - 60))
    const answer = await fetch(`${gateway}${path}`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', ...headers },
    })
    return [answer.status, ((await answer.json()) as { error?: { code: string } }).error?.code]
  }
  assert.deepEqual(await refused(), [400, 'order_expired'])
  await daemon.tell({ kind: 'clock', ms: -hour })
  await sleep(1_500)
  assert.deepEqual(await refused(), [400, 'order_expired'])
  await daemon.stop()
})
