import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Bytes } from 'assay/protocol'
import type { FastifyReply } from 'fastify'
import * as EventStream from './EventStream.ts'

/** A response whose socket is full. */
function createFull() {
  const written: string[] = []
  const raw = Object.assign(new EventEmitter(), {
    ...{ destroyed: false, writableEnded: false, writableFinished: false },
    writeHead: () => raw,
    write: (bytes: Uint8Array) => {
      written.push(Bytes.toUtf8(bytes))
      return false
    },
    end: () => {},
    destroy: () => {
      raw.destroyed = true
      raw.emit('close')
    },
  })
  const reply = { raw, hijack: () => {}, getHeaders: () => ({}) } as unknown as FastifyReply
  const committed: Uint8Array[] = []
  const stream = EventStream.create(reply, (chunk) => committed.push(chunk))
  stream.begin({})
  return { raw, stream, written, committed }
}

test('a chunk waits until the reader has taken what lies before it, and is committed before it is written', async () => {
  const { raw, stream, written, committed } = createFull()
  let isDone = false
  const chunk = Bytes.fromUtf8('\none')
  const writing = stream.chunk(chunk).then(() => {
    isDone = true
  })
  await turn()
  assert.deepEqual([isDone, written, committed], [false, ['data: one\n\n'], [chunk]])
  raw.emit('drain')
  await writing
  assert.equal(raw.listenerCount('drain') + raw.listenerCount('close'), 0)
})

test('a reader that goes away while a chunk waits ends the call, and nothing more is committed', async () => {
  const { raw, stream, committed } = createFull()
  const writing = stream.chunk(Bytes.fromUtf8('\none'))
  raw.destroy()
  await assert.rejects(writing, { code: 'client-disconnected' })
  await assert.rejects(stream.chunk(Bytes.fromUtf8('\ntwo')), { code: 'client-disconnected' })
  assert.equal(committed.length, 1)
})

test('a reader that takes nothing for too long is cut off', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const { raw, stream } = createFull()
  const writing = stream.chunk(Bytes.fromUtf8('\none'))
  context.mock.timers.tick(30_000)
  await assert.rejects(writing, { code: 'client-stalled' })
  assert.equal(raw.destroyed, true)
})

test('a signal aborts when the client leaves, and not when the answer is complete', () => {
  const { raw } = createFull()
  const left = EventStream.disconnected(raw as unknown as ServerResponse)
  raw.emit('close')
  assert.equal(left.aborted, true)
  const complete = createFull().raw
  const signal = EventStream.disconnected(complete as unknown as ServerResponse)
  complete.writableFinished = true
  complete.emit('close')
  assert.equal(signal.aborted, false)
})
