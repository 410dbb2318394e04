/** settle.ts - `assay settle`: anybody anchors what a log has signed and not brought to the chain, or asks for an entry in public. */
import { resolve } from 'node:path'
import { CourtCalls } from 'assay/chain'
import { Settling } from 'assay/client'
import { crypto } from 'assay/crypto/node'
import { Bundle, Bytes, errors, LogEntry, Note } from 'assay/protocol'
import * as Account from '../Account.ts'
import { type Context, type GlobalOptions, homeOf } from '../Context.ts'
import * as Courtroom from '../Courtroom.ts'
import * as Files from '../Files.ts'
import type * as Home from '../Home.ts'
import * as Network from '../Network.ts'

export type SettleOptions = GlobalOptions & {
  readonly log?: string
  readonly request?: string
  readonly dryRun?: boolean
}

type Log = { readonly logId: Uint8Array; readonly folderUrl: string }

/** `assay settle`. */
export async function settle(context: Context, options: SettleOptions): Promise<number> {
  if (options.request !== undefined) return request(context, options.request, options)
  const { terminal } = context
  const home = homeOf(context, options)
  const { rpc, anchors } = await Courtroom.openChain(home)
  const anchorLog = anchors.anchorLog.address
  const results: object[] = []
  for (const log of await logsOf(home, options.log)) {
    const { head, steps } = await Settling.find({ crypto, rpc, anchorLog, ...log })
    const states = steps.map(({ size, root }) => ({ size: String(size), root: Bytes.toHex(root) }))
    const result = { logId: Bytes.toHex(log.logId), anchoredSize: String(head.size), states }
    if (options.json !== true) {
      terminal.print(`log ${result.logId}: anchored to size ${head.size}`)
      for (const { size, root } of states) terminal.print(`  signed, not anchored: size ${size} root ${root}`, 4)
    }
    if (steps.length === 0 || options.dryRun === true) {
      results.push(result)
      if (options.json !== true && steps.length === 0) terminal.print('  nothing to do', 4)
      continue
    }
    const sender = await Account.open(home, rpc, terminal)
    try {
      terminal.progress('anchoring')
      const mined = await Settling.anchor(sender, { anchorLog, logId: log.logId }, steps)
      terminal.endProgress()
      const sent = {
        transaction: mined.transactionHash,
        block: String(mined.blockNumber),
        gasUsed: String(mined.gasUsed),
      }
      results.push({ ...result, ...sent, account: Bytes.to0x(sender.address) })
      if (options.json !== true) terminal.print(`  anchored in block ${sent.block}, ${sent.gasUsed} gas`, 4)
    } finally {
      sender.close()
    }
  }
  if (options.json === true) terminal.print(JSON.stringify({ logs: results }))
  return 0
}

/** Writes down on chain that an entry is wanted: a log that leaves it out cannot say that nobody asked. */
async function request(context: Context, path: string, options: SettleOptions): Promise<number> {
  const { terminal } = context
  const home = homeOf(context, options)
  const bundle = Bundle.parse(Files.readReceipt(resolve(context.cwd, path)))
  const leafHash = LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, bundle.receipt.head))
  const { rpc, anchors } = await Courtroom.openChain(home)
  const anchorLog = anchors.anchorLog.address
  let block = await CourtCalls.requestedAt(rpc, anchorLog, leafHash)
  const wasThere = block !== 0n
  if (!wasThere) {
    const sender = await Account.open(home, rpc, terminal)
    try {
      block = (await sender.send({ to: anchorLog, data: CourtCalls.request(leafHash) })).blockNumber
    } finally {
      sender.close()
    }
  }
  const facts = { leafHash: Bytes.toHex(leafHash), requestedAtBlock: String(block), new: !wasThere }
  if (options.json === true) terminal.print(JSON.stringify(facts))
  else terminal.print(`requested ${wasThere ? 'before, ' : ''}in block ${block}: leaf ${facts.leafHash}`)
  return 0
}

/** The logs of the reader's gateway, one of them by its id, or one whose files lie at a URL. */
async function logsOf(home: Home.Home, named: string | undefined): Promise<readonly Log[]> {
  if (named !== undefined && !/^[0-9a-f]{64}$/.test(named)) return [await logAt(named)]
  const { client, gatewayUrl } = await Network.openClient(home)
  const { logs } = await client.info()
  const all = logs.map(({ logId, url }) => ({ logId, folderUrl: new URL(url, gatewayUrl).href }))
  if (named === undefined) return all
  const found = all.filter(({ logId }) => Bytes.toHex(logId) === named)
  if (found.length === 0) throw new LogNameError('your gateway has no such log: give the URL of its files')
  return found
}

async function logAt(folderUrl: string): Promise<Log> {
  if (!URL.canParse(folderUrl)) throw new LogNameError('a URL, or 64 lower-case hex digits')
  const url = new URL('checkpoint', folderUrl.endsWith('/') ? folderUrl : `${folderUrl}/`)
  const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(10_000) }).catch(() => undefined)
  const bytes = response?.ok === true ? new Uint8Array(await response.arrayBuffer()) : undefined
  if (bytes === undefined || bytes.length > 64 * 1024) throw new LogNameError('no checkpoint lies there')
  const logId = Note.logIdOf(Note.parseCheckpoint(Note.parse(bytes).text).origin)
  if (logId === undefined) throw new LogNameError('the checkpoint there is not of such a log')
  return { logId, folderUrl }
}

/** The log that was named cannot be found. */
export class LogNameError extends errors.UsageError<'log-name'> {
  override readonly name = 'settle.LogNameError'
  constructor(problem: string) {
    super('log-name', 'The log cannot be found.', { facts: [`Problem: ${problem}`] })
  }
}
