/** log.ts - `assay log`: the transparency log as its readers see it, and this client's receipts on their way up. */
import { resolve } from 'node:path'
import type { NodeInfo } from 'assay/client'
import { writeWholeFile } from 'assay/client/node'
import { crypto } from 'assay/crypto/node'
import { Bundle, Bytes, Checkpoint, errors, LogEntry, Merkle, Note, Pledge } from 'assay/protocol'
import { type Context, type GlobalOptions, homeOf } from '../Context.ts'
import * as Files from '../Files.ts'
import * as Home from '../Home.ts'
import * as Network from '../Network.ts'
import { table } from '../Terminal.ts'

const timeoutMs = 10_000
const maxFileBytes = 1024 * 1024
/** Entries in one bundle of the log's static files. Source: C2SP tlog-tiles. */
const bundleSize = 256n

type Opened = { readonly info: NodeInfo.NodeInfo; readonly log: NodeInfo.LogInfo; readonly gatewayUrl: string }

/** `assay log status`. */
export async function status(context: Context, options: GlobalOptions): Promise<number> {
  const { terminal } = context
  const opened = await open(context, options)
  const { size, root } = await checkpoint(opened)
  const home = homeOf(context, options)
  const pending = (await Home.pendingStore(home).list()).length
  const facts = {
    logId: Bytes.toHex(opened.log.logId),
    size: String(size),
    root: Bytes.toHex(root),
    chainId: String(opened.info.chainId),
    pendingHere: pending,
  }
  if (options.json === true) terminal.print(JSON.stringify(facts))
  else terminal.rows(table(Object.entries(facts).map(([name, value]) => [name, String(value)])))
  return 0
}

/** `assay log tail`: the newest entries of the published tree. */
export async function tail(context: Context, options: GlobalOptions & { readonly lines: number }): Promise<number> {
  const { terminal } = context
  const opened = await open(context, options)
  const { size } = await checkpoint(opened)
  const from = size > BigInt(options.lines) ? size - BigInt(options.lines) : 0n
  const rows: { index: string; receipt: string; node: string; sequence: string; modes: number; flags: number }[] = []
  for (let number = from / bundleSize; number * bundleSize < size; number++) {
    const width = size - number * bundleSize < bundleSize ? size - number * bundleSize : bundleSize
    const entries = unbundle(await file(opened, tilePath(number, width)))
    entries.forEach((bytes, i) => {
      const index = number * bundleSize + BigInt(i)
      if (index < from || index >= size) return
      const entry = LogEntry.parse(bytes)
      rows.push({
        ...{ index: String(index), receipt: Bytes.toHex(entry.receiptHash), node: Bytes.toHex(entry.nodeId) },
        ...{ sequence: String(entry.sequence), modes: entry.modeBits, flags: entry.flags },
      })
    })
  }
  if (options.json === true) terminal.print(JSON.stringify(rows))
  else {
    const head = ['index', 'receipt', 'node', 'sequence', 'modes', 'flags'].map((cell) => terminal.style('bold', cell))
    const cells = rows.map((row) => [
      row.index,
      row.receipt,
      `${row.node.slice(0, 16)}..`,
      row.sequence,
      String(row.modes),
      String(row.flags),
    ])
    terminal.rows(table([head, ...cells]))
  }
  return 0
}

/** `assay log proof FILE`: asks the log for the inclusion proof of a receipt and checks it here. */
export async function proof(context: Context, path: string, options: GlobalOptions): Promise<number> {
  const { terminal } = context
  const bundle = Bundle.parse(Files.readReceipt(resolve(context.cwd, path)))
  if (bundle.pledge === undefined) throw new LogAnswerError('the receipt has no pledge, so no place in a log')
  const pledge = Pledge.parse(bundle.pledge.words)
  const { gatewayUrl } = await open(context, options)
  const answer = JSON.parse(
    Bytes.toUtf8(await get(new URL(`/log/${Bytes.toHex(pledge.logId)}/proof?index=${pledge.leafIndex}`, gatewayUrl))),
  ) as { readonly size: string; readonly root: string; readonly proof: readonly string[] }
  const size = BigInt(answer.size)
  const root = Bytes.fromBase64url(answer.root)
  const hashes = answer.proof.map(Bytes.fromBase64url)
  const leafHash = LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, bundle.receipt.head))
  Merkle.verifyInclusion(crypto, { leafHash, index: pledge.leafIndex, size, proof: hashes, root })
  const facts = {
    leaf: Bytes.toHex(leafHash),
    index: String(pledge.leafIndex),
    size: answer.size,
    root: Bytes.toHex(root),
    proof: hashes.map(Bytes.toHex),
  }
  if (options.json === true) terminal.print(JSON.stringify(facts))
  else {
    terminal.print(`leaf ${facts.leaf} is number ${facts.index} of the tree of size ${facts.size}`)
    terminal.print(`root ${facts.root}`)
    for (const hash of facts.proof) terminal.print(`  ${hash}`)
  }
  return 0
}

/** `assay log pending`: receipts of this client that are not final yet. */
export async function pending(context: Context, options: GlobalOptions): Promise<number> {
  const { terminal } = context
  const store = Home.pendingStore(homeOf(context, options))
  const rows: { receipt: string; bytes: number; has: string }[] = []
  for (const order of await Home.callStore(homeOf(context, options)).list())
    rows.push({ receipt: `pending-${order}`, bytes: 0, has: 'no receipt yet: no log has pledged it' })
  for (const receipt of await store.list()) {
    const bytes = await store.load(receipt)
    if (bytes !== undefined) rows.push({ receipt, bytes: bytes.length, has: piecesOf(bytes) })
  }
  if (options.json === true) terminal.print(JSON.stringify(rows))
  else if (rows.length === 0) terminal.print('nothing is pending')
  else terminal.rows(table(rows.map((row) => [row.receipt, `${row.bytes} B`, row.has])))
  return 0
}

/** `assay log raise [FILE]`: lifts a file, or everything pending, as far as possible now. */
export async function raise(context: Context, path: string | undefined, options: GlobalOptions): Promise<number> {
  const { terminal } = context
  const { client } = await Network.openClient(homeOf(context, options))
  if (path === undefined) {
    const report = await client.raisePending()
    if (options.json === true) terminal.print(JSON.stringify(report))
    else {
      terminal.print(
        `final ${report.final.length}, still pending ${report.pending.length}, without a pledge yet ${report.awaited.length}, failed ${report.failed.length}`,
      )
      for (const { receiptHash, code } of report.failed) terminal.print(`  ${receiptHash} ${code}`)
    }
    return report.failed.length === 0 ? 0 : 2
  }
  const file = resolve(context.cwd, path)
  const raised = await client.raise(Files.readReceipt(file))
  if (raised.changed) writeWholeFile(file, raised.bundle)
  if (options.json === true) terminal.print(JSON.stringify({ changed: raised.changed, final: raised.isFinal }))
  else terminal.print(`${piecesOf(raised.bundle)}${raised.isFinal ? ', final' : ''}`)
  return 0
}

function piecesOf(bytes: Uint8Array): string {
  try {
    const { pledge, checkpoint, chain } = Bundle.parse(bytes)
    const names = [
      ['pledge', pledge],
      ['inclusion proof', checkpoint],
      ['chain proof', chain],
      ['anchor', chain?.anchorLog?.step0],
    ] as const
    return names.flatMap(([name, piece]) => (piece === undefined ? [] : [name])).join(', ')
  } catch (error) {
    if (errors.BaseError.isInstance(error)) return 'unreadable'
    throw error
  }
}

async function open(context: Context, options: GlobalOptions): Promise<Opened> {
  const { client, gatewayUrl } = await Network.openClient(homeOf(context, options))
  const info = await client.info()
  const log = info.logs[0]
  if (log === undefined) throw new LogAnswerError('the node has no log')
  return { info, log, gatewayUrl }
}

/** The published checkpoint, with the log's signature checked. */
async function checkpoint({ info, log, gatewayUrl }: Opened): Promise<{ size: bigint; root: Uint8Array }> {
  const note = Note.parse(await get(new URL(`${log.url}/checkpoint`, gatewayUrl)))
  const { statement } = await Checkpoint.fromNote(crypto, note, {
    ...{ chainId: info.chainId, anchorLog: info.anchorLog, logId: log.logId, publicKey: log.publicKey },
  })
  return statement
}

async function file({ log, gatewayUrl }: Opened, path: string): Promise<Uint8Array> {
  return get(new URL(`${log.url}/${path}`, gatewayUrl))
}

async function get(url: URL): Promise<Uint8Array> {
  let response: Response
  try {
    response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(timeoutMs) })
  } catch (cause) {
    throw new LogUnreachableError(cause)
  }
  if (!response.ok) throw new LogAnswerError(`status ${response.status}`)
  const bytes = new Uint8Array(await response.arrayBuffer())
  if (bytes.length > maxFileBytes) throw new LogAnswerError('it is too long')
  return bytes
}

function tilePath(number: bigint, width: bigint): string {
  const text = String(number)
  const groups = text.padStart(Math.ceil(text.length / 3) * 3, '0').match(/\d{3}/g) as string[]
  const path = groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/')
  return `tile/entries/${path}${width === bundleSize ? '' : `.p/${width}`}`
}

function unbundle(bytes: Uint8Array): Uint8Array[] {
  const entries: Uint8Array[] = []
  const reader = new Bytes.Reader(bytes)
  while (reader.remaining > 0) entries.push(reader.bytes(reader.u16()))
  return entries
}

/** The log's answer is not what a log answers. */
export class LogAnswerError extends errors.VerificationError<'log-answer'> {
  override readonly name = 'log.LogAnswerError'
  constructor(problem: string) {
    super('log-answer', "The log's answer cannot be used.", { facts: [`Problem: ${problem}`] })
  }
}

/** The log did not answer. */
export class LogUnreachableError extends errors.UnavailableError<'log-unreachable'> {
  override readonly name = 'log.LogUnreachableError'
  constructor(cause: unknown) {
    super('log-unreachable', 'The log did not answer. Is the daemon running (`npm start`)?', { cause })
  }
}
