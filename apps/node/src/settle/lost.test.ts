/** An endpoint that once shows an old head must not cost old entries their anchors for good. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AnchoredLog, startAnchoring } from './anchoring.ts'

const root = (size: bigint) => new Uint8Array(32).fill(Number(size))

test('steps that one answer took back are taken up again when the chain shows them', async () => {
  let head = 5n
  const marked: [bigint, bigint][] = []
  let counted = [1n, 2n, 3n, 4n, 5n]
  const log: AnchoredLog = {
    logId: new Uint8Array(32),
    size: () => 5n,
    unanchored: () => [],
    signCheckpoint: async (size) => ({ size, root: root(size), signature: new Uint8Array(64) }),
    consistency: async () => [],
    markAnchored: (size, block) => {
      marked.push([size, block])
      counted = [...new Set([...counted, size])].sort()
    },
    markLost: (above) => {
      const lost = counted.filter((size) => size > above)
      counted = counted.filter((size) => size <= above)
      return lost.map((size) => ({ size, root: root(size) }))
    },
  }
  const view = {
    refresh: async () => undefined,
    logHead: async () => ({ size: head, root: root(head) }),
    // Size 4 was never anchored: it stays passed.
    step: async (_: Uint8Array, size: bigint) =>
      size <= head && size !== 4n ? { root: root(size), blockNumber: 100n + size } : undefined,
  }
  const sender = { send: async () => undefined }
  const anchoring = startAnchoring({
    book: { anchorLog: { address: new Uint8Array(20), codeHash: new Uint8Array(32), instance: new Uint8Array(32) } },
    view: view as never,
    sender: sender as never,
    log,
    intervalMs: 60_000,
  })
  try {
    await anchoring.round()
    head = 2n
    await anchoring.round()
    assert.deepEqual(counted, [1n, 2n])
    head = 5n
    marked.length = 0
    await anchoring.round()
    assert.deepEqual(
      marked.filter(([size]) => size === 3n),
      [[3n, 103n]],
    )
    assert.ok(counted.includes(3n) && counted.includes(5n) && !counted.includes(4n))
  } finally {
    await anchoring.stop()
  }
})
