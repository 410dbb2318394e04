/**
 * StaticFiles.ts - the log as files that any web server can hand out: tiles, entry bundles and the checkpoint.
 * Source: C2SP tlog-tiles; spec/log.md section 5.
 *
 * Everything here can be made again from the store, so a missing file is written anew. A file appears complete or not
 * at all, and the checkpoint appears after every tile that it needs.
 */
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Bytes } from 'assay/protocol'
import * as Database from '../store/Database.ts'
import { publishedBytes } from './Tree.ts'

/** Where the bytes come from. */
export type Source = {
  /** The first `width` hashes of a tile, 32 bytes each. */
  readonly hashes: (level: number, number: bigint, width: number) => Uint8Array
  /** Entries `from` up to but without `to`, 75 bytes each. */
  readonly entries: (from: bigint, to: bigint) => readonly Uint8Array[]
}

/** The published files of one log. */
export type StaticFiles = {
  /** Writes what a reader of a tree of `size` needs and is not there yet, then the checkpoint. */
  readonly publish: (source: Source, size: bigint, checkpoint: Uint8Array) => Promise<void>
}

type Kind = number | 'entries'

/** Files written at once. */
const atOnce = 16n

/** Opens the folder and notes which files are there. */
export async function create(folder: string): Promise<StaticFiles> {
  await mkdir(folder, { recursive: true })
  const present = new Set<string>()
  // Folders of partial tiles, `tile/<L>/<N>.p`.
  const partial = new Set<string>()
  for (const found of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!found.isFile()) continue
    const path = join(found.parentPath, found.name)
    // What a crash left half-written.
    if (found.name.endsWith('.tmp')) await rm(path, { force: true })
    else note(path.slice(folder.length + 1))
  }
  // Complete tiles below this number are there; per level, so that publishing does not look at each again.
  const complete = new Map<Kind, bigint>()

  async function put(name: string, bytes: () => Uint8Array): Promise<void> {
    if (present.has(name)) return
    await writeWhole(join(folder, name), bytes())
    note(name)
  }

  function note(name: string): void {
    present.add(name)
    const folderName = dirname(name)
    if (folderName.endsWith('.p')) partial.add(folderName)
  }

  async function putLevel(kind: Kind, count: bigint, bytesOf: (number: bigint, width: number) => Uint8Array) {
    const whole = count >> 8n
    for (let start = complete.get(kind) ?? 0n; start < whole; start += atOnce) {
      const end = start + atOnce < whole ? start + atOnce : whole
      const numbers = Array.from({ length: Number(end - start) }, (_, i) => start + BigInt(i))
      // Several at once, because one sync of the file system serves all files that wait for it.
      await Promise.all(
        numbers.map(async (number) => {
          await put(tilePath(kind, number), () => bytesOf(number, 256))
          await dropPartial(kind, number)
        }),
      )
      complete.set(kind, end)
    }
    const width = Number(count & 255n)
    if (width > 0) await put(tilePath(kind, whole, width), () => bytesOf(whole, width))
  }

  /** Readers of older checkpoints take the complete tile when a partial one is gone. */
  async function dropPartial(kind: Kind, number: bigint): Promise<void> {
    const prefix = `${tilePath(kind, number)}.p`
    if (!partial.delete(prefix)) return
    for (let width = 1; width < 256; width++) present.delete(`${prefix}/${width}`)
    await rm(join(folder, prefix), { recursive: true, force: true })
  }

  return {
    publish: async (source, size, checkpoint) => {
      try {
        await publish(source, size, checkpoint)
      } catch (error) {
        throw Database.toTyped('log', error)
      }
    },
  }

  async function publish(source: Source, size: bigint, checkpoint: Uint8Array): Promise<void> {
    for (let level = 0; size >> BigInt(8 * level) > 0n; level++) {
      await putLevel(level, size >> BigInt(8 * level), (number, width) => source.hashes(level, number, width))
    }
    await putLevel('entries', size, (number, width) =>
      bundle(source.entries(number * 256n, number * 256n + BigInt(width))),
    )
    await writeWhole(join(folder, 'checkpoint'), checkpoint)
  }
}

/** The path of a tile: `tile/<L>/<N>` or `tile/<L>/<N>.p/<W>`, N in groups of three digits, all but the last with an x. */
export function tilePath(kind: Kind, number: bigint, width = 256): string {
  const digits = number.toString().padStart(Math.ceil(number.toString().length / 3) * 3, '0')
  const groups = digits.match(/\d{3}/g) as string[]
  const path = groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/')
  return `tile/${kind}/${path}${width === 256 ? '' : `.p/${width}`}`
}

/** Entries of up to 65,535 bytes, each behind its length in two bytes. */
export function bundle(entries: readonly Uint8Array[]): Uint8Array {
  return Bytes.concat(...entries.flatMap((entry) => [Bytes.u16(entry.length), entry]))
}

/** The published part of a tile's bytes. */
export function published(hashes: Uint8Array, width: number): Uint8Array {
  return hashes.slice(0, Math.min(width * 32, publishedBytes))
}

/** Writes beside the place, syncs, renames, syncs the folder: after a power cut the file is old or new, never half. */
async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const folder = dirname(path)
  await mkdir(folder, { recursive: true })
  const temporary = `${path}.tmp`
  const file = await open(temporary, 'w', 0o644)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  const directory = await open(folder, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
