/** ReceiptStore.behavior.ts - what every store of receipts must do; each driver's test runs it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pledge } from 'assay/protocol'
import type { ReceiptStore, StoredReceipt } from './ReceiptStore.ts'

const bytes = (length: number, value: number) => new Uint8Array(length).fill(value)

export function receipt(sequence: bigint, change: Partial<StoredReceipt> = {}): StoredReceipt {
  return {
    ...{ keyId: bytes(32, 1), sequence, receiptHash: bytes(32, 100 + Number(sequence)), head: bytes(139, 2) },
    ...{ claims: bytes(300, 3), secret: bytes(32, 4), nonce: bytes(16, 8), orderHash: undefined },
    ...{ intent: 0, released: undefined },
    ...change,
  }
}

export const released = {
  signature: bytes(64, 5),
  pledgeWords: bytes(224, 6),
  pledgeSignature: bytes(64, 7),
  leafIndex: 2n ** 53n - 1n,
}

/** Runs the suite; `reopen` closes a store and opens the same content again. */
export function behavesAsReceiptStore(driver: {
  readonly open: () => ReceiptStore
  readonly reopen: (store: ReceiptStore) => Promise<ReceiptStore>
}): void {
  test('a receipt is found by hash and by order, before and after its release', async () => {
    let store = driver.open()
    const intent = await store.openIntent('/v1/chat/completions', 5, bytes(32, 9))
    const one = receipt(0n, { intent, orderHash: bytes(32, 9) })
    await store.addHeads([one])
    assert.deepEqual(store.byHash(one.receiptHash), one)
    assert.deepEqual(store.byOrder(bytes(32, 9)), one)
    assert.deepEqual(store.unreleased(one.keyId), [one])
    await store.release(one.receiptHash, released)
    store = await driver.reopen(store)
    assert.deepEqual(store.byHash(one.receiptHash), { ...one, released })
    assert.deepEqual(store.unreleased(one.keyId), [])
    assert.equal(store.byHash(bytes(32, 0)), undefined)
    assert.equal(store.byOrder(bytes(32, 0)), undefined)
    await store.close()
  })

  test('the highest pledge of each log is remembered, whichever came first and whether or not the receipt carries it', async () => {
    let store = driver.open()
    const [logA, logB] = [bytes(32, 21), bytes(32, 22)]
    const words = (log: Uint8Array, leaf: number, index: number) => {
      const pledge = Pledge.words({
        ...{ chainId: 7n, anchorLog: bytes(20, 9), logId: log, leafHash: bytes(32, leaf), leafIndex: BigInt(index) },
        // Larger than any index here, so that it cannot stand for one.
        ...{ issuedAtBlock: 70_000n, issuedAtBlockHash: bytes(32, 8) },
      })
      return { ...released, pledgeWords: pledge, leafIndex: BigInt(index) }
    }
    const held = (log: Uint8Array, leaf: number, index: number) => {
      const { pledgeWords, pledgeSignature } = words(log, leaf, index)
      return { words: pledgeWords, signature: pledgeSignature }
    }
    for (let i = 0n; i < 3n; i++) await store.addHeads([receipt(i)])
    const at = (i: bigint) => receipt(i).receiptHash
    assert.equal(store.highestPledge(logA), undefined)
    await store.release(at(0n), words(logA, 1, 300))
    await store.release(at(1n), words(logA, 2, 9))
    await store.release(at(2n), words(logB, 3, 4))
    assert.deepEqual(store.highestPledge(logA), held(logA, 1, 300))
    assert.deepEqual(store.highestPledge(logB), held(logB, 3, 4))
    // The receipt goes on carrying what the first log gave.
    await store.release(at(0n), words(logB, 1, 256))
    await store.release(at(0n), words(logA, 5, 300))
    store = await driver.reopen(store)
    assert.deepEqual(store.highestPledge(logA), held(logA, 1, 300))
    assert.deepEqual(store.highestPledge(logB), held(logB, 1, 256))
    await store.close()
  })

  test('the first pledge stands for ever, and one of another log is kept beside it', async () => {
    let store = driver.open()
    const one = receipt(0n)
    await store.addHeads([one])
    const other = { ...released, pledgeWords: bytes(224, 16), pledgeSignature: bytes(64, 17), leafIndex: 3n }
    assert.deepEqual(await store.release(one.receiptHash, released), released)
    assert.deepEqual(await store.release(one.receiptHash, other), released)
    assert.deepEqual(await store.release(one.receiptHash, released), released)
    store = await driver.reopen(store)
    assert.deepEqual(store.byHash(one.receiptHash), { ...one, released })
    const { pledgeWords, pledgeSignature } = other
    assert.deepEqual(store.otherPledges(one.receiptHash), [{ pledgeWords, pledgeSignature }])
    await store.close()
  })

  test('an opening is forgotten for good, and the place stays', async () => {
    let store = driver.open()
    const all = [receipt(0n), receipt(1n), receipt(2n)]
    await store.addHeads(all)
    await store.release(receipt(1n).receiptHash, released)
    const [first, second] = store.opened(0, 2)
    assert.deepEqual(
      store.opened(first?.row ?? 0, 9).map((one) => one.receipt),
      [{ ...receipt(1n), released }, receipt(2n)],
    )
    await store.forgetOpenings([second?.row ?? 0])
    store = await driver.reopen(store)
    const gone = { claims: bytes(0, 0), secret: bytes(0, 0), nonce: undefined }
    assert.deepEqual(store.byHash(receipt(1n).receiptHash), { ...receipt(1n), ...gone, released })
    assert.deepEqual(
      store.opened(0, 9).map((one) => one.receipt.sequence),
      [0n, 2n],
    )
    assert.deepEqual(store.tip(bytes(32, 1))?.sequence, 2n)
    await store.close()
  })

  test('the tip is the highest place of a key, and keys do not mix', async () => {
    const store = driver.open()
    assert.equal(store.tip(bytes(32, 1)), undefined)
    await store.addHeads([receipt(0n), receipt(1n), receipt(2n)])
    const other = { keyId: bytes(32, 2) }
    await store.addHeads([receipt(0n, { ...other, receiptHash: bytes(32, 50) })])
    assert.deepEqual(store.tip(bytes(32, 1)), { sequence: 2n, receiptHash: bytes(32, 102) })
    assert.deepEqual(store.tip(bytes(32, 2)), { sequence: 0n, receiptHash: bytes(32, 50) })
    assert.equal(store.tip(bytes(32, 3)), undefined)
    assert.equal(store.unreleased(bytes(32, 1)).length, 3)
    await store.close()
  })

  test('a place is given once, and a group is written whole or not at all', async () => {
    const store = driver.open()
    await store.addHeads([receipt(0n)])
    const again = receipt(0n, { receiptHash: bytes(32, 77) })
    await assert.rejects(store.addHeads([receipt(1n), again]))
    assert.deepEqual(store.tip(bytes(32, 1))?.sequence, 0n)
    assert.equal(store.byHash(receipt(1n).receiptHash), undefined)
    await store.addHeads([receipt(1n)])
    assert.equal(store.tip(bytes(32, 1))?.sequence, 1n)
    await store.close()
  })

  test('an order is good for one call, also at the same time and after a restart; a refused call does not use it', async () => {
    let store = driver.open()
    const order = bytes(32, 8)
    const attempts = await Promise.allSettled([1, 2, 3].map((ms) => store.openIntent('/t', ms, order)))
    assert.deepEqual(
      attempts.map((attempt) => attempt.status),
      ['fulfilled', 'rejected', 'rejected'],
    )
    assert.equal((attempts[1] as PromiseRejectedResult).reason.code, 'order-used')
    assert.equal(store.hasOrder(order), true)
    store = await driver.reopen(store)
    await assert.rejects(store.openIntent('/t', 4, order), { code: 'order-used' })
    const refused = await store.openIntent('/t', 5, bytes(32, 10))
    await store.refuseIntent(refused)
    assert.equal(store.hasOrder(bytes(32, 10)), false)
    await store.openIntent('/t', 6, bytes(32, 10))
    // Any number of calls have no order.
    await store.openIntent('/t', 7, undefined)
    await store.openIntent('/t', 8, undefined)
    await store.close()
  })

  test('calls that were refused do not grow for ever', async () => {
    const store = driver.open()
    const kept = await store.openIntent('/v1/chat/completions', 1, bytes(32, 9))
    for (let round = 0; round < 14; round++) {
      const ids = await Promise.all(Array.from({ length: 100 }, () => store.openIntent('/x', 1, undefined)))
      await Promise.all(ids.map(store.refuseIntent))
    }
    assert.ok(store.refusedCount() <= 1_256, `${store.refusedCount()} of 1400`)
    assert.ok(store.refusedCount() >= 1_000)
    // What still runs is not touched, and no number is given twice.
    assert.ok(store.hasOrder(bytes(32, 9)))
    await store.addHeads([receipt(0n, { intent: kept, orderHash: bytes(32, 9) })])
    await store.close()
  })

  test('calls that a process left running are listed as interrupted, those that ended are not', async () => {
    let store = driver.open()
    const ended = await store.openIntent('/a', 1, undefined)
    await store.addHeads([receipt(0n, { intent: ended })])
    await store.refuseIntent(await store.openIntent('/b', 2, undefined))
    const left = await store.openIntent('/c', 3, bytes(32, 11))
    store = await driver.reopen(store)
    assert.deepEqual(store.interrupted(10), [])
    assert.equal(await store.interruptRunning(), 1)
    assert.deepEqual(store.interrupted(10), [{ id: left, target: '/c', receivedMs: 3, state: 'interrupted' }])
    // The order of a call that may have run stays taken.
    assert.equal(store.hasOrder(bytes(32, 11)), true)
    assert.equal(await store.interruptRunning(), 0)
    await store.close()
  })

  test('after closing nothing is taken any more', async () => {
    const store = driver.open()
    await store.close()
    await assert.rejects(store.openIntent('/t', 1, undefined), { code: 'closed' })
  })
}
