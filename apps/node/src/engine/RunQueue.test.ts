import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createRunQueue, OverloadedError } from './RunQueue.ts'

describe('createRunQueue', () => {
  test('lets one in at a time, in order, and refuses beyond its limit', async () => {
    const queue = createRunQueue(2)
    const order: number[] = []
    const first = await queue.acquire()
    const second = queue.acquire().then((release) => {
      order.push(2)
      return release
    })
    const third = queue.acquire().then((release) => {
      order.push(3)
      return release
    })
    await assert.rejects(queue.acquire(), OverloadedError)
    assert.deepEqual([order, queue.waiting()], [[], 2])
    first()
    first()
    ;(await second)()
    assert.deepEqual(order, [2])
    ;(await third)()
    assert.deepEqual(order, [2, 3])
    ;(await queue.acquire())()
  })

  test('a caller that gives up leaves the line', async () => {
    const queue = createRunQueue(1)
    const release = await queue.acquire()
    const controller = new AbortController()
    const waiting = queue.acquire(controller.signal)
    controller.abort(new Error('gone'))
    await assert.rejects(waiting, /gone/)
    assert.equal(queue.waiting(), 0)
    await assert.rejects(queue.acquire(AbortSignal.abort(new Error('early'))), /early/)
    release()
    ;(await queue.acquire())()
  })
})
