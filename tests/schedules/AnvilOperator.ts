/**
 * AnvilOperator.ts - an honest operator on a real chain: node, two logs, mirrors and witness with the daemon's own parts for the chain
 * (view, sender, registrations, anchoring, answers to cases), overheard by the prosecutor.
 */
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { Rpc } from 'assay/chain'
import type { Cose } from 'assay/protocol'
import { Bytes, Claims, Slot } from 'assay/protocol'
import { startAnswering } from '../../apps/node/src/answers/Answering.ts'
import * as Archive from '../../apps/node/src/answers/Archive.ts'
import { putAside } from '../../apps/node/src/daemon/endedLogs.ts'
import { slots } from '../../apps/node/src/daemon/logs.ts'
import * as Daemon from '../../apps/node/src/daemon/parts.ts'
import * as KeyFile from '../../apps/node/src/keys/KeyFile.ts'
import * as Intake from '../../apps/node/src/log/Intake.ts'
import * as Log from '../../apps/node/src/log/Log.ts'
import * as SqliteLogStore from '../../apps/node/src/log/SqliteLogStore.ts'
import type * as Issuer from '../../apps/node/src/receipts/Issuer.ts'
import type { ReceiptStore } from '../../apps/node/src/receipts/ReceiptStore.ts'
import * as SqliteReceiptStore from '../../apps/node/src/receipts/SqliteReceiptStore.ts'
import { createChainView } from '../../apps/node/src/settle/chain-view.ts'
import {
  findLog,
  type Registrar,
  registerKey,
  registerLog,
  registerNode,
  roles,
} from '../../apps/node/src/settle/register.ts'
import { createSender } from '../../apps/node/src/settle/sender.ts'
import { fundOnDevelopmentChain, openWallet } from '../../apps/node/src/settle/wallet.ts'
import * as Witness from '../../apps/node/src/witness/Witness.ts'
import { type AnvilChain, pledgeBlocks } from './AnvilChain.ts'
import type { Prosecutor } from './Prosecutor.ts'
import type * as Random from './Random.ts'

/** A log as it runs. */
export type RunningLog = { readonly log: Log.Log; readonly store: SqliteLogStore.SqliteLogStore }

export type AnvilOperator = {
  readonly logs: () => readonly RunningLog[]
  /** Every log that there was. */
  readonly logIds: () => readonly Uint8Array[]
  readonly isRunning: () => boolean
  readonly start: () => Promise<void>
  readonly stop: () => Promise<void>
  readonly call: (count: number) => Promise<void>
  readonly report: () => Readonly<Record<string, number>>
}

/** Slots that every receipt uses and that anybody may demand. */
export const usedSlots = [Slot.indexOf('order'), Slot.indexOf('model')]

/** How long a stop waits for an answer that is under way, as the daemon's does. */
const graceMs = 2_000
const endedForGood = new Set(['log-behind', 'log-forked', 'wrong-log'])

/** An operator with its folders in `home`, on the account in `home/operator`. */
export function create(options: {
  readonly home: string
  readonly chain: AnvilChain
  readonly prosecutor: Prosecutor
  readonly random: Random.Random
  /** Answers no case: what an honest operator never does. */
  readonly isSilentOnCases?: boolean
}): AnvilOperator {
  const { home, chain, prosecutor, random } = options
  const { crypto } = prosecutor
  const logIds = new Map<string, Uint8Array>()
  const answered = new Set<string>()
  const counts: Record<string, number> = {}
  let aside = 0
  let closers: (() => unknown)[] = []
  let running: { issuer: Issuer.Issuer; store: ReceiptStore; logs: RunningLog[] } | undefined
  const count = (what: string) => {
    counts[what] = (counts[what] ?? 0) + 1
  }
  const codeOf = (error: unknown) => String((error as { code?: unknown }).code ?? (error as Error).name)

  function overheard<T extends Cose.Signer>(signer: T): T {
    return { ...signer, ...prosecutor.overhear(signer) }
  }

  async function openLog(registrar: Registrar, slot: (typeof slots)[number], parts: Shared): Promise<RunningLog> {
    const { view, receipts } = parts
    const folder = join(home, slot.log)
    const key = KeyFile.openKey(folder, 'log')
    const ed25519 = key.ed25519 as NonNullable<typeof key.ed25519>
    const enter = () => registerLog(registrar, { signer: key.signer, ed25519Key: ed25519.publicKey, pledgeBlocks })
    const logId = await enter()
    await view.refresh()
    const { chainId, book } = { chainId: chain.chainId, book: registrar.book }
    const anchorLog = book.anchorLog.address
    const witnessKey = KeyFile.openKey(join(home, slots[0].witness), 'witness')
    const witness = await Witness.createWitness({
      folder: join(home, slot.witness),
      log: { chainId, anchorLog, logId, publicKey: key.signer.publicKey },
      ...{ signer: overheard(witnessKey.signer), chain: view, crypto, recheckMs: 200 },
      keyFolder: join(home, slots[0].witness),
    })
    closers.push(witness.close)
    const store = SqliteLogStore.open({ folder, kind: 'log', logId, crypto })
    prosecutor.addSource(logId, (size) => {
      try {
        const entries = store.size() < size ? undefined : store.entries(0n, size)
        return entries?.map(({ head }) => Intake.leafHash(crypto, head))
      } catch {
        return undefined
      }
    })
    const log = await Log.createLog({
      ...{ folder, store, crypto, ed25519, signer: overheard(key.signer), mirror: witness.mirror, chain: view },
      identity: { chainId, registry: book.nodeRegistry.address, anchorLog, logId, pledgeBlocks },
      promised: receipts.highestPledge(logId),
    })
    closers.push(log.close)
    logIds.set(Bytes.toHex(logId), logId)
    const { sender } = registrar
    const anchoring = Daemon.anchor({
      ...{ book, view, sender, log, witness, intervalMs: 150, register: enter },
      onEvent: (event) => count(event.kind === 'trouble' ? `trouble ${codeOf(event.error)}` : event.kind),
    })
    closers.push(anchoring.stop)
    return { log, store }
  }

  /** A log that says that it has ended makes room for a new one, as its message asks for. */
  async function openSlot(registrar: Registrar, slot: (typeof slots)[number], parts: Shared): Promise<RunningLog> {
    const opened = closers.length
    try {
      return await openLog(registrar, slot, parts)
    } catch (error) {
      if (!endedForGood.has(codeOf(error))) throw error
      count(`given up ${codeOf(error)}`)
      for (const close of closers.splice(opened).reverse()) await close()
      // What was anchored of it can be demanded for as long as the chain knows it; a log of another chain is nobody's any more.
      const { signer } = KeyFile.openKey(join(home, slot.log), 'log')
      const logId = codeOf(error) === 'wrong-log' ? undefined : await findLog(registrar, signer)
      if (logId !== undefined) putAside(home, slot, logId)
      for (const name of [slot.log, ...['mirror', 'witness.db'].map((file) => join(slot.witness, file))]) {
        if (existsSync(join(home, name))) {
          mkdirSync(join(home, 'aside'), { recursive: true })
          renameSync(join(home, name), join(home, 'aside', String(++aside)))
        }
      }
      return openLog(registrar, slot, parts)
    }
  }

  async function open(): Promise<void> {
    const book = chain.book()
    const wallet = openWallet(join(home, 'operator'))
    await fundOnDevelopmentChain(chain.rpc(), wallet)
    const rpc = Rpc.create({ url: chain.proxy.url, chainId: chain.chainId, timeoutMs: 1_000, retries: 1 })
    const sender = createSender({ rpc, wallet, pollMs: 40 })
    closers.push(sender.close)
    const registrar: Registrar = { crypto, rpc, sender, book }
    const view = createChainView({ crypto, rpc, book, pollMs: 100 })
    closers.push(view.stop)
    const nodeId = await registerNode(registrar, { endpoint: '' })
    const witnessKey = KeyFile.openKey(join(home, slots[0].witness), 'witness')
    await registerKey(registrar, { nodeId, role: roles.witness, signer: witnessKey.signer })
    const store = SqliteReceiptStore.open({ folder: join(home, 'node') })
    closers.push(store.close)
    const logs: RunningLog[] = []
    for (const slot of slots) logs.push(await openSlot(registrar, slot, { view, receipts: store }))
    const issuer = await Daemon.openIssuer({
      ...{ folder: join(home, 'node'), registrar, nodeId, view, store, progress: () => {}, record: () => {} },
      logs: logs.map(({ log }, i) => ({
        name: `${i}`,
        log: {
          ...{ highest: log.highest, identity: log.identity, publicKey: log.publicKey },
          append: (request) => {
            prosecutor.offered(request)
            return log.append(request)
          },
        },
      })),
    })
    closers.push(issuer.close)
    if (options.isSilentOnCases !== true) answerCases(registrar, nodeId, logs, store)
    running = { issuer, store, logs }
  }

  function answerCases(
    { book, rpc, sender }: Registrar,
    nodeId: Uint8Array,
    logs: readonly RunningLog[],
    store: ReceiptStore,
  ): void {
    const archived = Archive.openAll(crypto, home)
    for (const log of archived) closers.push(log.close)
    const { faultCourt, faultCases } = book.stake
    const answering = startAnswering({
      ...{ folder: join(home, 'node'), crypto, rpc, sender, nodeId, store, pollMs: 50 },
      contracts: {
        ...{ anchorLog: book.anchorLog.address, faultCourt: faultCourt.address, faultCases: faultCases.address },
      },
      logs: [...logs.map(({ log }) => ({ ...log, logId: log.identity.logId })), ...archived],
      onEvent: (event) => {
        const what = event.kind === 'answered' ? ` ${event.answer}` : 'code' in event ? ` ${event.code}` : ''
        count(`case ${event.kind}${what}`)
        if (event.kind !== 'answered') return
        const caseId = Bytes.toHex(event.case.caseId)
        // The chain took the first answer back.
        if (answered.has(caseId)) count('case answered again')
        answered.add(caseId)
      },
    })
    closers.push(async () => {
      // It may wait for a block of a chain that makes none.
      const cut = setTimeout(sender.close, graceMs)
      await answering.stop()
      clearTimeout(cut)
    })
  }

  const operator: AnvilOperator = {
    logs: () => running?.logs ?? [],
    logIds: () => [...logIds.values()],
    isRunning: () => running !== undefined,
    async start() {
      if (running !== undefined) return
      try {
        await open()
        count('started')
      } catch (error) {
        count(`not started: ${codeOf(error)}`)
        if ((error as { code?: unknown }).code === undefined) throw error
        await operator.stop()
      }
    },
    async stop() {
      running = undefined
      const all = closers
      closers = []
      for (const close of all.reverse()) await close()
    },
    async call(number) {
      const now = running
      if (now === undefined) return
      const calls = Array.from({ length: number }, async () => {
        const intent = await now.store.openIntent('/v1/chat/completions', 0, undefined)
        const values = new Map([
          [Slot.indexOf('order'), Claims.encode('order', random.bytes(32))],
          [Slot.indexOf('model'), Claims.encode('model', random.bytes(32))],
        ])
        const issued = await now.issuer.issue({
          ...{ intent, values, modeBits: 4, flags: 0, orderHash: undefined },
          ...{ secret: random.bytes(32), nonce: random.bytes(16) },
        })
        prosecutor.left(issued.head)
      })
      for (const { status } of await Promise.allSettled(calls))
        count(status === 'fulfilled' ? 'calls answered' : 'calls not answered')
    },
    report: () => counts,
  }
  return operator
}

type Shared = {
  readonly view: ReturnType<typeof createChainView>
  readonly receipts: Pick<ReceiptStore, 'highestPledge'>
}
