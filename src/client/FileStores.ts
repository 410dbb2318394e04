/**
 * FileStores.ts - the client's stores as files: `assay/client/node`. Whole or not there after a crash, and safe for several
 * processes at once.
 *
 * A file is written beside its place, synced, renamed, and its folder synced. Trust anchors are read, changed and replaced
 * under a lock that the operating system gives back when its owner dies, however it dies.
 */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  fstatSync,
  fsyncSync,
  futimesSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import * as TrustAnchors from '../chain/TrustAnchors.ts'
import * as Bundle from '../protocol/Bundle.ts'
import { UnavailableError, UsageError } from '../protocol/errors.ts'
import { type AnchorStore, maxPending, type PendingStore } from './Stores.ts'

/** Longest wait for another process that changes the anchors: a change takes milliseconds. */
const lockTimeoutMs = 5_000
/** A file beside its place that is older than this was left by a crash. */
const leftOverMs = 60 * 60 * 1000
const suffix = '.receipt'
const pendingName = /^([0-9a-f]{64})\.receipt$/

/** Points of a write at which a test may end the process. */
export type Hooks = { readonly reached?: (step: 'written' | 'synced' | 'renamed') => void }

/** Receipts on their way to finality, one file each in `folder` (made with mode 0700; files 0600). */
export function filePendingStore(folder: string, hooks: Hooks = {}): PendingStore {
  const pathOf = (receiptHash: string): string => {
    if (!/^[0-9a-f]{64}$/.test(receiptHash)) throw new ReceiptNameError()
    return join(folder, receiptHash + suffix)
  }
  return {
    async save(receiptHash, bundle) {
      const path = pathOf(receiptHash)
      if (bundle.length > Bundle.maxBytes) throw new ReceiptSizeError()
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      const before = timesOf(path)
      if (before === undefined && names(folder).length >= maxPending) throw new PendingFolderFullError()
      // The time of the first save stays, so that the oldest receipt is still known after it rose.
      replace(path, bundle, hooks, before)
    },
    async load(receiptHash) {
      return readLimited(pathOf(receiptHash), Bundle.maxBytes)
    },
    async list() {
      removeLeftOvers(folder)
      const found: { readonly receiptHash: string; readonly ms: number }[] = []
      for (const name of names(folder)) {
        const receiptHash = pendingName.exec(name)?.[1]
        const times = receiptHash === undefined ? undefined : timesOf(join(folder, name))
        if (receiptHash !== undefined && times !== undefined) found.push({ receiptHash, ms: times.mtimeMs })
      }
      found.sort((a, b) => a.ms - b.ms || (a.receiptHash < b.receiptHash ? -1 : 1))
      return found.map((item) => item.receiptHash)
    },
    async remove(receiptHash) {
      rmSync(pathOf(receiptHash), { force: true })
      if (timesOf(folder) !== undefined) syncFolder(folder)
    },
  }
}

/** Trust anchors in a file, with the one way to name new ones. */
export type FileAnchorStore = AnchorStore & {
  /**
   * Names a chain and its contracts; headers that are there stay. `differs`: the file names the same chain with other
   * contracts or code, and nothing was changed - that is for a person to decide.
   */
  trust(anchors: TrustAnchors.TrustAnchors): Promise<'added' | 'same' | 'differs'>
}

/** Trust anchors of this reader in one file (mode 0600); no file means that nothing is trusted. */
export function fileAnchorStore(path: string, hooks: Hooks = {}): FileAnchorStore {
  const read = () => {
    const bytes = readLimited(path, maxAnchorBytes)
    return bytes === undefined ? [] : TrustAnchors.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  }
  const write = (anchors: readonly TrustAnchors.TrustAnchors[]) =>
    replace(path, new TextEncoder().encode(TrustAnchors.serialize(anchors)), hooks)
  return {
    async read() {
      return read()
    },
    async addHeader(chainId, header) {
      locked(path, () => {
        const before = read()
        const after = before.map((entry) => (entry.chainId === chainId ? TrustAnchors.add(entry, header) : entry))
        if (after.some((entry, i) => entry !== before[i])) write(after)
      })
    },
    async trust(anchors) {
      return locked(path, () => {
        const before = read()
        const sameChain = before.filter((entry) => entry.chainId === anchors.chainId)
        if (sameChain.some((entry) => isSameTrust(entry, anchors))) return 'same'
        if (sameChain.length > 0) return 'differs'
        write([...before, anchors])
        return 'added'
      })
    },
  }
}

/** 16 MiB: what `TrustAnchors.parse` takes. */
const maxAnchorBytes = 16 * 1024 * 1024

function isSameTrust(left: TrustAnchors.TrustAnchors, right: TrustAnchors.TrustAnchors): boolean {
  const bare = (one: TrustAnchors.TrustAnchors) => TrustAnchors.serialize([{ ...one, headers: [] }])
  return bare(left) === bare(right)
}

/** Runs one short synchronous change while no other process runs one on the same file. */
function locked<T>(path: string, change: () => T): T {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const database = new DatabaseSync(`${path}.lock`)
  try {
    database.exec(`PRAGMA busy_timeout = ${lockTimeoutMs}`)
    try {
      database.exec('BEGIN EXCLUSIVE')
    } catch (cause) {
      throw new AnchorsBusyError(cause)
    }
    removeLeftOvers(dirname(path), `${basename(path)}.`)
    return change()
  } finally {
    database.close()
  }
}

/** Puts whole content in the place of a file. */
function replace(path: string, bytes: Uint8Array, hooks: Hooks, times?: { readonly mtimeMs: number }): void {
  const beside = `${path}.${process.pid}.${randomBytes(6).toString('hex')}.new`
  const file = openSync(beside, 'wx', 0o600)
  try {
    let written = 0
    while (written < bytes.length) written += writeSync(file, bytes, written)
    hooks.reached?.('written')
    if (times !== undefined) futimesSync(file, times.mtimeMs / 1000, times.mtimeMs / 1000)
    fsyncSync(file)
    hooks.reached?.('synced')
  } catch (error) {
    closeSync(file)
    rmSync(beside, { force: true })
    throw asUnavailable(error)
  }
  closeSync(file)
  renameSync(beside, path)
  hooks.reached?.('renamed')
  syncFolder(dirname(path))
}

/** The content of a regular file, undefined if there is none; a file that is too large is not read at all. */
function readLimited(path: string, maxBytes: number): Uint8Array | undefined {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const stats = fstatSync(file)
    if (!stats.isFile() || stats.size > maxBytes) throw new StoredFileError(basename(path))
    const bytes = new Uint8Array(stats.size)
    let filled = 0
    while (filled < bytes.length) {
      const count = readSync(file, bytes, filled, bytes.length - filled, null)
      if (count === 0) break
      filled += count
    }
    return bytes.subarray(0, filled)
  } finally {
    closeSync(file)
  }
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => pendingName.test(name))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function timesOf(path: string): { readonly mtimeMs: number } | undefined {
  return statSync(path, { throwIfNoEntry: false })
}

function removeLeftOvers(folder: string, prefix = ''): void {
  let all: string[]
  try {
    all = readdirSync(folder)
  } catch {
    return
  }
  for (const name of all) {
    if (!name.startsWith(prefix) || !name.endsWith('.new')) continue
    const path = join(folder, name)
    const stats = lstatSync(path, { throwIfNoEntry: false })
    if (stats !== undefined && Date.now() - stats.mtimeMs > leftOverMs) rmSync(path, { force: true })
  }
}

function syncFolder(folder: string): void {
  // Windows has no way to sync a folder, and renames there are durable with the file.
  if (process.platform === 'win32') return
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}

function asUnavailable(error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ENOSPC' || code === 'EDQUOT' ? new NoSpaceError(error) : error
}

/** The text of a small file, undefined if there is none; throws `FileStores.StoredFileError` above `maxBytes`. */
export function readSmallFile(path: string, maxBytes: number): string | undefined {
  const bytes = readLimited(path, maxBytes)
  return bytes === undefined ? undefined : new TextDecoder('utf-8', { fatal: true }).decode(bytes)
}

/** Puts a file in place, whole or not at all, durable before it returns; mode 0600. */
export function writeWholeFile(path: string, bytes: Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  replace(path, bytes, {})
}

/** A receipt is named by 64 lower-case hex digits. */
export class ReceiptNameError extends UsageError<'receipt-name'> {
  override readonly name = 'FileStores.ReceiptNameError'
  constructor() {
    super('receipt-name', 'A receipt is named by 64 lower-case hex digits.')
  }
}

/** What is to be kept is larger than a bundle may be. */
export class ReceiptSizeError extends UsageError<'receipt-size'> {
  override readonly name = 'FileStores.ReceiptSizeError'
  constructor() {
    super('receipt-size', `A bundle has at most ${Bundle.maxBytes} bytes.`)
  }
}

/** The folder holds as many pending receipts as it may; let them rise first. */
export class PendingFolderFullError extends UnavailableError<'pending-folder-full'> {
  override readonly name = 'FileStores.PendingFolderFullError'
  constructor() {
    super('pending-folder-full', `More than ${maxPending} receipts wait for their anchor.`, { retryAfterSeconds: 60 })
  }
}

/** A stored file is no plain file, or larger than anything written here. */
export class StoredFileError extends UsageError<'stored-file'> {
  override readonly name = 'FileStores.StoredFileError'
  constructor(name: string) {
    super('stored-file', 'A stored file cannot be one that was written here.', { facts: [`File: ${name}`] })
  }
}

/** Another process holds the anchors for longer than any change takes. */
export class AnchorsBusyError extends UnavailableError<'anchors-busy'> {
  override readonly name = 'FileStores.AnchorsBusyError'
  constructor(cause: unknown) {
    super('anchors-busy', 'Another process is changing the trust anchors.', { retryAfterSeconds: 1, cause })
  }
}

/** The disk is full; nothing was changed. */
export class NoSpaceError extends UnavailableError<'disk-full'> {
  override readonly name = 'FileStores.NoSpaceError'
  constructor(cause: unknown) {
    super('disk-full', 'The disk is full; nothing was changed.', { cause })
  }
}
