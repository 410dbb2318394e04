import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as Merkle from '../protocol/Merkle.ts'
import * as Tiles from './Tiles.ts'

const logId = new Uint8Array(32).fill(7)
const all = Array.from({ length: 70_000 }, (_, i) => crypto.sha256(Bytes.u32(i)))

/** Files as C2SP tlog-tiles has them, of a log with `size` leaves; `change` may bend or drop a file. */
function filesOf(
  size: number,
  change: (path: string, bytes: Uint8Array) => Uint8Array | undefined = (_, bytes) => bytes,
) {
  const levels = [all.slice(0, size)]
  while ((levels.at(-1) as Uint8Array[]).length >= 256) {
    const below = levels.at(-1) as Uint8Array[]
    levels.push(
      Array.from({ length: below.length >> 8 }, (_, i) => Merkle.root(crypto, below.slice(i * 256, i * 256 + 256))),
    )
  }
  const asked: string[] = []
  const fetch = (async (input: URL) => {
    const path = input.pathname.slice(`/log/${Bytes.toHex(logId)}/`.length)
    asked.push(path)
    const found = /^tile\/(entries|\d+)\/((?:x\d{3}\/)*\d{3})(?:\.p\/(\d+))?$/.exec(path)
    if (found === null) return new Response(null, { status: 404 })
    const [, kind, digits, partial] = found as unknown as [string, string, string, string | undefined]
    const number = Number(digits.replace(/[x/]/g, ''))
    const width = Number(partial ?? 256)
    const level = kind === 'entries' ? levels[0] : levels[Number(kind)]
    const hashes = (level ?? []).slice(number * 256, number * 256 + width)
    if (hashes.length < width) return new Response(null, { status: 404 })
    const bytes = change(
      path,
      kind === 'entries' ? Bytes.concat(...hashes.flatMap((hash) => [Bytes.u16(32), hash])) : Bytes.concat(...hashes),
    )
    return bytes === undefined ? new Response(null, { status: 404 }) : new Response(bytes as Uint8Array<ArrayBuffer>)
  }) as typeof globalThis.fetch
  const tiles = Tiles.create({ crypto, fetch, baseUrl: 'http://127.0.0.1:1', logId })
  return { tiles, asked, state: { size: BigInt(size), root: Merkle.root(crypto, all.slice(0, size)) } }
}

describe('Tiles', () => {
  test('leaves and their proofs at sizes around the borders of tiles', async () => {
    for (const size of [1, 2, 255, 256, 257, 511, 513, 65_536, 65_537, 70_000]) {
      const { tiles, state } = filesOf(size)
      for (const index of new Set([0, size >> 1, size - 1])) {
        const { leafHash } = await tiles.leaf(state, BigInt(index))
        assert.deepEqual(leafHash, all[index])
      }
    }
  })

  test('earlier roots, shown to be a part of the state', async () => {
    const { tiles, state } = filesOf(600)
    for (const size of [1, 256, 300, 599, 600])
      assert.deepEqual(await tiles.rootAt(state, BigInt(size)), Merkle.root(crypto, all.slice(0, size)))
  })

  test('entries by their index, and a complete tile where the partial one is gone', async () => {
    const { tiles, state, asked } = filesOf(300, (path, bytes) => (path.includes('.p/') ? undefined : bytes))
    const small = { size: 10n, root: Merkle.root(crypto, all.slice(0, 10)) }
    assert.deepEqual((await tiles.leaf(small, 3n)).leafHash, all[3])
    assert.ok(asked.includes('tile/0/000.p/10') && asked.includes('tile/0/000'))
    assert.deepEqual((await tiles.entries(state, 7n)).get(255n), all[255])
    await assert.rejects(tiles.entries(state, 299n), Tiles.WithheldError)
  })

  test('a file is asked for once', async () => {
    const { tiles, state, asked } = filesOf(257)
    await tiles.leaf(state, 0n)
    await tiles.leaf(state, 200n)
    assert.equal(new Set(asked).size, asked.length)
  })

  test('bytes that lead elsewhere, too few, too many, or none are no leaf', async () => {
    const bent: ((path: string, bytes: Uint8Array) => Uint8Array | undefined)[] = [
      (_, bytes) => bytes.map((byte, i) => (i === 40 ? byte ^ 1 : byte)),
      (_, bytes) => bytes.slice(0, 31),
      () => new Uint8Array(70_000),
      () => undefined,
    ]
    for (const change of bent) {
      const { tiles, state } = filesOf(9, change)
      await assert.rejects(tiles.leaf(state, 0n), Tiles.WithheldError)
      await assert.rejects(tiles.rootAt(state, 4n), Tiles.WithheldError)
    }
    const { tiles, state } = filesOf(9)
    await assert.rejects(tiles.leaf({ ...state, root: all[0] as Uint8Array }, 0n), Tiles.WithheldError)
    await assert.rejects(tiles.checkpoint(), Tiles.WithheldError)
  })
})
