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
  constants,
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
import * as Fault from '../protocol/Fault.ts'
import * as CourtFiles from './CourtFiles.ts'
import * as PendingCall from './PendingCall.ts'
import {
  type AnchorStore,
  type CallStore,
  type CaseStore,
  type FaultStore,
  maxPending,
  type PendingStore,
} from './Stores.ts'

export { fileWatchStore, WatchFileError } from './WatchFile.ts'

/** Longest wait for another process that changes the anchors: a change takes milliseconds. */
const lockTimeoutMs = 5_000
/** A file beside its place that is older than this was left by a crash. */
const leftOverMs = 60 * 60 * 1000
/** What is kept under a hash: receipts on their way to finality, or calls whose receipt is still to come. */
type Kind = { readonly suffix: string; readonly name: RegExp; readonly maxBytes: number }
const receipts: Kind = { suffix: '.receipt', name: /^([0-9a-f]{64})\.receipt$/, maxBytes: Bundle.maxBytes }
const calls: Kind = { suffix: '.call', name: /^([0-9a-f]{64})\.call$/, maxBytes: PendingCall.maxBytes }

/** Points of a write at which a test may end the process. */
export type Hooks = { readonly reached?: (step: 'written' | 'synced' | 'renamed') => void }

/** Receipts on their way to finality, one file each in `folder` (made with mode 0700; files 0600). */
export function filePendingStore(folder: string, hooks: Hooks = {}): PendingStore {
  return hashStore(folder, receipts, hooks)
}

/** Calls whose receipt is still to come, one file each in `folder`, which may be that of the pending receipts. */
export function fileCallStore(folder: string, hooks: Hooks = {}): CallStore {
  return hashStore(folder, calls, hooks)
}

function hashStore(folder: string, kind: Kind, hooks: Hooks): PendingStore {
  const pathOf = (receiptHash: string): string => {
    if (!/^[0-9a-f]{64}$/.test(receiptHash)) throw new ReceiptNameError()
    return join(folder, receiptHash + kind.suffix)
  }
  return {
    async save(receiptHash, bundle) {
      const path = pathOf(receiptHash)
      if (bundle.length > kind.maxBytes) throw new ReceiptSizeError()
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      const before = timesOf(path)
      if (before === undefined && names(folder, kind).length >= maxPending) throw new PendingFolderFullError()
      // The time of the first save stays, so that the oldest receipt is still known after it rose.
      replace(path, bundle, hooks, before)
    },
    async load(receiptHash) {
      return readLimited(pathOf(receiptHash), kind.maxBytes)
    },
    async list() {
      removeLeftOvers(folder)
      const found: { readonly receiptHash: string; readonly ms: number }[] = []
      for (const name of names(folder, kind)) {
        const receiptHash = kind.name.exec(name)?.[1]
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

/** What a fault file's filing state and a case's state may have: a call of 16 KiB as hex, and more. */
const maxStateBytes = 256 * 1024

/**
 * Fault files, one `<id>.fault` each in `folder`, beside it how far its filing has come: `<id>.filing`, and `<id>.filed`
 * when that is final, so that a folder tells what is left to do by its names.
 */
export function fileFaultStore(folder: string, hooks: Hooks = {}): FaultStore {
  const pathOf = (id: string, end: 'fault' | 'filing' | 'filed'): string => {
    if (!/^[0-9a-f]{64}$/.test(id)) throw new ReceiptNameError()
    return join(folder, `${id}.${end}`)
  }
  const readState = (id: string, end: 'filing' | 'filed') => {
    const bytes = readLimited(pathOf(id, end), maxStateBytes)
    return bytes === undefined ? undefined : asStored(`${id}.${end}`, () => CourtFiles.parseFiling(bytes))
  }
  return {
    async save(id, file) {
      const path = pathOf(id, 'fault')
      if (file.length > Fault.maxBytes) throw new FaultSizeError()
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      if (timesOf(path) === undefined) replace(path, file, hooks)
    },
    async list(which = 'all') {
      removeLeftOvers(folder)
      const names = namesIn(folder)
      const filed = new Set(which === 'all' ? [] : names.filter((name) => name.endsWith('.filed')))
      const found: { readonly id: string; readonly ms: number }[] = []
      for (const name of names) {
        const id = /^([0-9a-f]{64})\.fault$/.exec(name)?.[1]
        if (id === undefined || filed.has(`${id}.filed`)) continue
        const times = timesOf(join(folder, name))
        if (times !== undefined) found.push({ id, ms: times.mtimeMs })
      }
      return found.sort((a, b) => a.ms - b.ms || (a.id < b.id ? -1 : 1)).map(({ id }) => id)
    },
    async load(id) {
      const file = readLimited(pathOf(id, 'fault'), Fault.maxBytes)
      if (file === undefined) return undefined
      const filing = readState(id, 'filed') ?? readState(id, 'filing')
      return filing === undefined ? { file } : { file, filing }
    },
    async saveFiling(id, state) {
      const to = state?.isFinal === true ? 'filed' : 'filing'
      if (state !== undefined) replace(pathOf(id, to), CourtFiles.serializeFiling(state), hooks)
      const from = (['filed', 'filing'] as const).filter((end) => state === undefined || end !== to)
      const left = from.map((end) => pathOf(id, end)).filter((path) => timesOf(path) !== undefined)
      for (const path of left) rmSync(path, { force: true })
      if (left.length > 0) syncFolder(folder)
    },
  }
}

/** Cases that this client opened, one `<caseId>.case` each in `folder`. */
export function fileCaseStore(folder: string, hooks: Hooks = {}): CaseStore {
  const pathOf = (caseId: string): string => {
    if (!/^[0-9a-f]{64}$/.test(caseId)) throw new ReceiptNameError()
    return join(folder, `${caseId}.case`)
  }
  return {
    async save(caseId, state) {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      const path = pathOf(caseId)
      replace(path, CourtFiles.serializeCase(state), hooks, timesOf(path))
    },
    async load(caseId) {
      const bytes = readLimited(pathOf(caseId), maxStateBytes)
      return bytes === undefined ? undefined : asStored(`${caseId}.case`, () => CourtFiles.parseCase(bytes))
    },
    async list() {
      const found: { readonly id: string; readonly ms: number }[] = []
      for (const name of namesIn(folder)) {
        const id = /^([0-9a-f]{64})\.case$/.exec(name)?.[1]
        const times = id === undefined ? undefined : timesOf(join(folder, name))
        if (id !== undefined && times !== undefined) found.push({ id, ms: times.mtimeMs })
      }
      return found.sort((a, b) => a.ms - b.ms || (a.id < b.id ? -1 : 1)).map(({ id }) => id)
    },
  }
}

function asStored<T>(name: string, read: () => T): T {
  try {
    return read()
  } catch {
    throw new StoredFileError(name)
  }
}

/** Trust anchors in a file, with the one way to name new ones. */
export type FileAnchorStore = AnchorStore & {
  /**
   * Names a chain and its contracts; headers that are there stay. `completed`: the file named the same chain and contracts
   * without those of the stake, which were added. `differs`: it names the same chain with other contracts, code or rule, and
   * nothing was changed - that is for a person to decide.
   */
  trust(anchors: TrustAnchors.TrustAnchors): Promise<'added' | 'completed' | 'same' | 'differs'>
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
        const { stake } = anchors
        const older = sameChain.find((entry) => entry.stake === undefined)
        if (older !== undefined && stake !== undefined && isSameTrust({ ...older, stake }, anchors)) {
          write(before.map((entry) => (entry === older ? { ...entry, stake } : entry)))
          return 'completed'
        }
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

/** Does not wait for whoever writes to a pipe; Windows has no such flag. */
const readAtOnce = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

/** The content of a regular file, undefined if there is none; a file that is too large is not read at all. */
function readLimited(path: string, maxBytes: number): Uint8Array | undefined {
  let file: number
  try {
    file = openSync(path, readAtOnce)
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

function names(folder: string, kind: Kind): string[] {
  return namesIn(folder).filter((name) => kind.name.test(name))
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
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

/** Receipts, faults and cases are named by 64 lower-case hex digits. */
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

/** What is to be kept is larger than a fault file may be. */
export class FaultSizeError extends UsageError<'fault-size'> {
  override readonly name = 'FileStores.FaultSizeError'
  constructor() {
    super('fault-size', `A fault file has at most ${Fault.maxBytes} bytes.`)
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
