/**
 * Operator.ts - an honest operator with real parts over real folders: node, one or two logs, their mirrors and witness. Its
 * process can end at any step, and it continues with what was on the disk at that moment; its folders can be replaced by
 * older copies; its links can fail. What it does about all that is what the daemon does, and what its messages ask for.
 */
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { NodeRegistryContract } from 'assay/chain'
import { Bytes, Claims, Slot } from 'assay/protocol'
import * as Daemon from '../../apps/node/src/daemon/parts.ts'
import * as KeyFile from '../../apps/node/src/keys/KeyFile.ts'
import * as Rotation from '../../apps/node/src/keys/Rotation.ts'
import * as Intake from '../../apps/node/src/log/Intake.ts'
import * as Log from '../../apps/node/src/log/Log.ts'
import type { Mirror } from '../../apps/node/src/log/Mirror.ts'
import * as SqliteLogStore from '../../apps/node/src/log/SqliteLogStore.ts'
import type { ReceiptStore } from '../../apps/node/src/receipts/ReceiptStore.ts'
import * as SqliteReceiptStore from '../../apps/node/src/receipts/SqliteReceiptStore.ts'
import { encode } from '../../apps/node/src/settle/contract-call.ts'
import { type Registrar, registerKey, registerLog, registerNode, roles } from '../../apps/node/src/settle/register.ts'
import * as Witness from '../../apps/node/src/witness/Witness.ts'
import * as CaseAnswers from './CaseAnswers.ts'
import * as Rules from './ContractRules.ts'
import * as Endpoint from './Endpoint.ts'
import type { ModelChain } from './ModelChain.ts'
import * as NodeFolder from './NodeFolder.ts'
import type { Mutation, Operator, Role, Running, RunningLog } from './Parts.ts'
import { EndedError, guarded, type Life } from './Process.ts'
import type { Prosecutor } from './Prosecutor.ts'
import * as Random from './Random.ts'

/** Whose calls are the operator's. */
export const address = Bytes.fromHex('33'.repeat(20))
const endedForGood = new Set(['log-behind', 'log-forked', 'wrong-log'])
const folders = [
  { log: 'log', witness: 'witness' },
  { log: 'log2', witness: 'witness2' },
] as const

/**
 * An operator that is not running yet.
 *
 * - `folder`: an empty one, for all its disks; `logs`: 1 or 2
 */
export function create(options: {
  readonly folder: string
  readonly chain: ModelChain
  readonly prosecutor: Prosecutor
  readonly random: Random.Random
  /** Of the schedule, for what must not change `random`. */
  readonly seed: number
  readonly pledgeBlocks: bigint
  readonly logs: number
  readonly mutation?: Mutation | undefined
}): Operator {
  const { chain, prosecutor, random, pledgeBlocks } = options
  const mutation = options.mutation ?? {}
  const { crypto } = prosecutor
  let disks = 0
  let home = join(options.folder, '0')
  mkdirSync(home, { recursive: true })
  let life: Life | undefined
  let running: Running | undefined
  const backups = new Map<Role, string>()
  const lost = folders.map(() => new Set<'disk' | 'mirror'>())
  const logIds = new Map<number, Uint8Array>()
  const own = new Set<string>()
  const openings = NodeFolder.create()
  let isKeyLost = false
  const givenUp: string[] = []
  const counts: Record<string, number> = {}
  let isBeyond = false
  let refusal = false
  let isWiped = false

  function count(what: string): void {
    counts[what] = (counts[what] ?? 0) + 1
  }

  function end(): void {
    if (life === undefined || !life.alive) return
    // What the process wrote up to here is what the next one finds; what its remains write on goes to the old place.
    const next = join(options.folder, String(++disks))
    cpSync(home, next, { recursive: true })
    home = next
    life.alive = false
    life.endpoint.alive = false
    life.caseEndpoint.alive = false
  }

  async function clear(): Promise<void> {
    const old = life
    life = undefined
    running = undefined
    if (old === undefined) return
    for (const close of old.closers.reverse()) await Promise.resolve(close()).catch(() => {})
  }

  function reached(of: Life): (step: string) => void {
    return (step) => {
      if (!of.alive) throw new EndedError()
      const { crashAt } = operator
      if (crashAt === undefined || crashAt.step !== step || crashAt.after-- > 0) return
      operator.crashAt = undefined
      count(`crash ${step}`)
      end()
      throw new EndedError()
    }
  }

  function signing<T extends { publicKey: Uint8Array; sign: (message: Uint8Array) => unknown }>(
    of: Life,
    signer: T,
  ): T {
    const overheard = prosecutor.overhear(signer as never, () => !of.hasSeen)
    return {
      ...signer,
      sign: async (message: Uint8Array) => {
        if (!of.alive) throw new EndedError()
        return overheard.sign(message)
      },
    }
  }

  async function openLog(
    of: Life,
    registrar: Registrar,
    slot: number,
    witnessKey: KeyFile.RoleKey,
    receipts: Pick<ReceiptStore, 'highestPledge'>,
  ): Promise<RunningLog> {
    const { endpoint } = of
    const names = folders[slot] as (typeof folders)[number]
    const folder = join(home, names.log)
    const key = KeyFile.openKey(folder, 'log')
    const ed25519 = key.ed25519 as NonNullable<typeof key.ed25519>
    const enter = () => registerLog(registrar, { signer: key.signer, ed25519Key: ed25519.publicKey, pledgeBlocks })
    const logId = await enter()
    await endpoint.view.refresh()
    of.hasSeen ||= endpoint.isGood()
    if (!endpoint.isGood()) count('registered through a bad endpoint')
    const witness = await Witness.createWitness({
      folder: join(home, names.witness),
      log: { chainId: Rules.chainId, anchorLog: Rules.anchorLog, logId, publicKey: key.signer.publicKey },
      ...{ signer: signing(of, witnessKey.signer), chain: endpoint.view, crypto, now: endpoint.nowMs },
      ...(witnessKey.ed25519 === undefined ? {} : { ed25519: witnessKey.ed25519 }),
      ...{ hooks: { reached: reached(of) }, recheckMs: 1, keyFolder: join(home, folders[0].witness) },
    })
    of.closers.push(witness.close)
    if (witness.stopped() !== undefined) count(`witness ${witness.stopped()}`)
    const isSilent = () => operator.silent.has(slot)
    const kept = guarded(of, witness.mirror, ['announce', 'size', 'root', 'read', 'append'], isSilent)
    const heard: Mirror = {
      ...kept,
      append: async (entries) => {
        await kept.append(entries)
        for (const { head } of entries) prosecutor.left(head)
      },
    }
    const sqlite = SqliteLogStore.open({ folder, kind: 'log', logId, crypto })
    const store = mutation.logStore?.(sqlite) ?? sqlite
    const leaves = (size: bigint) =>
      store.size() < size ? undefined : store.entries(0n, size).map(({ head }) => Intake.leafHash(crypto, head))
    prosecutor.addSource(logId, (size) => {
      try {
        return leaves(size)
      } catch {
        return undefined
      }
    })
    const log = await Log.createLog({
      ...{ folder, store, crypto, ed25519, now: endpoint.nowMs, hooks: { reached: reached(of) } },
      identity: { chainId: Rules.chainId, registry: Rules.registry, anchorLog: Rules.anchorLog, logId, pledgeBlocks },
      ...{ signer: signing(of, key.signer), mirror: mutation.mirror?.(heard) ?? heard },
      chain: mutation.startView?.(endpoint.view) ?? endpoint.view,
      promised: (mutation.isPledgeForgotten === true ? undefined : receipts)?.highestPledge(logId),
    })
    of.closers.push(log.close)
    lost[slot]?.clear()
    const before = logIds.get(slot)
    if (before !== undefined && !Bytes.equal(before, logId)) prosecutor.abandon(before)
    logIds.set(slot, logId)
    own.add(Bytes.toHex(logId))
    const anchoring = Daemon.anchor({
      ...{ book: registrar.book, view: endpoint.view, sender: endpoint.sender, log, intervalMs: 2_000_000_000 },
      witness: guarded(of, witness, ['cosign'], isSilent),
      register: enter,
      onEvent: (event) => {
        if (event.kind !== 'trouble') return
        const { code } = event.error as { code?: string }
        count(`trouble ${code ?? 'unknown'}`)
      },
    })
    of.closers.push(anchoring.stop)
    await anchoring.round()
    return { slot, log, store, witness, anchoring }
  }

  async function open(of: Life): Promise<Running> {
    const { endpoint } = of
    const book = {
      chainId: Rules.chainId,
      nodeRegistry: { address: Rules.registry, codeHash: new Uint8Array(32) },
      anchorLog: { address: Rules.anchorLog, codeHash: new Uint8Array(32), instance: chain.newest().state.instance },
    } as Registrar['book']
    const registrar: Registrar = { crypto, rpc: endpoint.rpc, sender: endpoint.sender, book }
    mutation.beforeStart?.(home)
    KeyFile.openKey(join(home, 'node'), 'node')
    const nodeId = await registerNode(registrar, { endpoint: '' })
    const witnessKey = KeyFile.openKey(join(home, 'witness'), 'witness')
    await registerKey(registrar, { nodeId, role: roles.witness, signer: witnessKey.signer })
    await endpoint.view.refresh()
    const sqlite = SqliteReceiptStore.open({ folder: join(home, 'node') })
    of.closers.push(sqlite.close)
    const logs: RunningLog[] = []
    for (let slot = 0; slot < options.logs; slot++) logs.push(await openSlot(of, registrar, slot, witnessKey, sqlite))
    const real = guarded(of, sqlite, ['addHeads', 'release'])
    const store = mutation.receiptStore?.(real) ?? real
    await store.interruptRunning()
    const issuer = await Daemon.openIssuer({
      ...{
        folder: join(home, 'node'),
        registrar,
        nodeId,
        view: endpoint.view,
        store,
        progress: () => {},
        record: () => {},
      },
      logs: logs.map(({ log, slot }) => ({ name: `${slot}`, log: portOf(of, log) })),
      hooks: { reached: reached(of) },
    })
    of.closers.push(issuer.close)
    await Rotation.finishWitness({ folder: join(home, 'witness'), registrar, nodeId })
    const rotation = Rotation.finishNode({
      ...{ folder: join(home, 'node'), registrar, nodeId, store, lookMs: 1 },
      logs: logs.map(({ log, slot }) => ({ name: `${slot}`, port: portOf(of, log) })),
      onStep: ({ kind }) => count(`old key ${kind}`),
    })
    of.closers.push(rotation.stop)
    own.add(Bytes.toHex(nodeId))
    const answers = CaseAnswers.create({
      ...{ home, crypto, endpoint: of.caseEndpoint, nodeId, logs, store, reached: reached(of), count },
      ...{ secondsNow: chain.seconds, change: mutation.answers, meanwhile: () => anchorAll(logs) },
    })
    return { nodeId, issuer, store, logs, answers }
  }

  async function anchorAll(logs: readonly RunningLog[]): Promise<void> {
    for (const { anchoring } of logs) await anchoring.round()
  }

  /** A log that says that it has ended makes room for a new one. */
  async function openSlot(
    of: Life,
    registrar: Registrar,
    slot: number,
    witnessKey: KeyFile.RoleKey,
    receipts: Pick<ReceiptStore, 'highestPledge'>,
  ): Promise<RunningLog> {
    const opened = of.closers.length
    try {
      return await openLog(of, registrar, slot, witnessKey, receipts)
    } catch (error) {
      const { code } = error as { code?: string }
      if (code === undefined || !endedForGood.has(code) || !of.endpoint.isGood() || !of.alive) throw error
      for (const close of of.closers.splice(opened).reverse()) await Promise.resolve(close()).catch(() => {})
      giveUp(slot, code)
      return openLog(of, registrar, slot, KeyFile.openKey(join(home, 'witness'), 'witness'), receipts)
    }
  }

  function giveUp(slot: number, code: string): void {
    const logId = logIds.get(slot)
    if (logId !== undefined) prosecutor.abandon(logId)
    count(`given up ${code}`)
    // A log whose folder is gone has lost its key with it, and its mirror is of no use to the next one.
    const isUnregistered = logId !== undefined && !chain.newest().state.logs.has(Bytes.toHex(logId))
    const isExpected = isBeyond || isWiped || (code === 'wrong-log' && (isKeyLost || isUnregistered))
    // Copies of the folders of a log that has ended are of no use.
    for (const role of slot === 0 ? (['log', 'witness'] as const) : (['log2', 'witness2'] as const))
      backups.delete(role)
    if (!isExpected) givenUp.push(code)
    const names = folders[slot] as (typeof folders)[number]
    const aside = join(options.folder, `aside-${++disks}`)
    mkdirSync(aside)
    for (const name of [names.log, names.witness]) {
      if (existsSync(join(home, name))) renameSync(join(home, name), join(aside, name))
    }
  }

  function portOf(of: Life, log: Log.Log): Pick<Log.Log, 'append' | 'highest' | 'identity' | 'publicKey'> {
    const port = guarded(of, log, ['append'])
    const heard: Pick<Log.Log, 'append' | 'highest' | 'identity' | 'publicKey'> = {
      ...{ highest: log.highest, identity: log.identity, publicKey: log.publicKey },
      append: (request) => {
        prosecutor.offered(request)
        openings.written(request.head)
        if (!operator.isAltering) return port.append(request)
        const part = random.pick(['head', 'signature', 'publicKey'] as const)
        const bytes = Uint8Array.from(request[part])
        const at = random.below(bytes.length)
        bytes[at] = (bytes[at] as number) ^ (1 << random.below(8))
        return port.append({ ...request, [part]: bytes })
      },
    }
    return mutation.logPort?.(heard) ?? heard
  }

  async function replaceFolder(role: Role, source: string | undefined): Promise<void> {
    await operator.crash()
    rmSync(join(home, role), { recursive: true, force: true })
    if (source !== undefined) cpSync(source, join(home, role), { recursive: true })
    if (role === 'node') return openings.replaced(source !== undefined)
    const slot = role.endsWith('2') ? 1 : 0
    const of = lost[slot] as Set<'disk' | 'mirror'>
    of.add(role.startsWith('log') ? 'disk' : 'mirror')
    const logId = logIds.get(slot)
    if (source === undefined && role.startsWith('log')) isKeyLost = true
    const isEnded = of.size === 2 || (source === undefined && role.startsWith('log'))
    if (isEnded && logId !== undefined) prosecutor.abandon(logId)
    if (of.size === 2) isBeyond = true
  }

  const operator: Operator = {
    faults: { lost: false, lie: undefined, fate: 'mined', clockMs: 0 },
    silent: new Set(),
    isAltering: false,
    crashAt: undefined,
    running: () => running,
    isRefusing: () => refusal && running === undefined && !chain.isHalted(),
    isGood: () => running !== undefined && life?.endpoint.isGood() === true,
    start: async () => {
      if (running !== undefined) return
      const endpoint = Endpoint.create(chain, address, random)
      const caseEndpoint = Endpoint.create(chain, address, Random.create(options.seed * 1_000 + (counts.starts ?? 0)))
      const of: Life = { alive: true, hasSeen: false, endpoint, caseEndpoint, closers: [] }
      // One set of faults for all processes of this operator.
      for (const name of ['lost', 'lie', 'fate', 'clockMs'] as const) {
        for (const one of [endpoint, caseEndpoint]) {
          Object.defineProperty(one, name, { get: () => operator.faults[name] })
        }
      }
      life = of
      refusal = false
      count('starts')
      try {
        running = await open(of)
        count('started')
      } catch (error) {
        const { code, name } = error as { code?: string; name: string }
        count(`not started: ${code ?? name}`)
        if (code === undefined && !(error instanceof EndedError)) throw error
        // A transaction that a reorganisation took is nobody's refusal.
        refusal = of.alive && endpoint.isGood() && operator.silent.size === 0 && code !== 'transaction-lost'
        if (of.alive) end()
        await clear()
      }
      await operator.settle()
    },
    stop: async () => {
      refusal = false
      if (life === undefined) return
      await clear()
      count('stops')
    },
    crash: async () => {
      refusal = false
      if (life === undefined) return
      end()
      await clear()
      count('crashes')
    },
    settle: async () => {
      if (life !== undefined && !life.alive) await clear()
    },
    call: async (number, isBad) => {
      const now = running
      if (now === undefined) return
      const calls = Array.from({ length: number }, async (_, i) => {
        const intent = await now.store.openIntent('/v1/chat/completions', 0, undefined)
        const number = random.below(200) + 24
        const values = new Map([
          [Slot.indexOf('order'), Claims.encode('order', new Uint8Array(32).fill(number))],
          [isBad && i === 0 ? 77 : 15, Uint8Array.of(0x18, number)],
        ])
        const issued = await now.issuer.issue({
          ...{ intent, values, modeBits: isBad && i === 1 ? 255 : 4, flags: 0, orderHash: undefined },
          ...{ secret: random.bytes(32), nonce: random.bytes(16) },
        })
        prosecutor.left(issued.head)
      })
      for (const result of await Promise.allSettled(calls)) {
        count(result.status === 'fulfilled' ? 'calls answered' : 'calls not answered')
      }
      await operator.settle()
    },
    round: async () => {
      await anchorAll(running?.logs ?? [])
      if (life !== undefined) life.hasSeen ||= life.endpoint.isGood()
      await running?.answers.round()
      await operator.settle()
    },
    backUp: (role) => {
      // A folder from before its first start holds nothing that matters.
      const isStarted = role !== 'node' || existsSync(join(home, role, 'logs.json'))
      if (!existsSync(join(home, role)) || !isStarted) return
      const to = join(options.folder, `backup-${++disks}`)
      cpSync(join(home, role), to, { recursive: true })
      backups.set(role, to)
      if (role === 'node') openings.backedUp()
    },
    loseLedger: async (fate) => {
      await operator.crash()
      if (NodeFolder.loseLedger(join(home, 'node'), backups.get('node'), fate)) count(`ledger ${fate}`)
    },
    isOwn: (subject) => own.has(Bytes.toHex(subject)),
    isLost: (what) => ('logId' in what ? prosecutor.isAbandoned(what.logId) : openings.areLost(what.receiptHash)),
    restore: async (role) => {
      const source = backups.get(role)
      if (source === undefined) return
      count(`restored ${role}`)
      await replaceFolder(role, source)
    },
    lose: async (role) => {
      count(`lost ${role}`)
      await replaceFolder(role, undefined)
    },
    wouldBeBeyond: (role) => {
      if (role === 'node') return false
      const other = role.startsWith('log') ? 'mirror' : 'disk'
      return (lost[role.endsWith('2') ? 1 : 0] as Set<string>).has(other)
    },
    views: () => (life === undefined ? [] : [{ view: life.endpoint.view }]),
    endKey: async () => {
      const now = running
      if (now === undefined) return
      const args = [Bytes.to0x(now.nodeId), now.issuer.identity.keyEpoch] as const
      const data = encode({ abi: NodeRegistryContract.abi, functionName: 'endKey', args })
      await chain.submit({ from: address, to: Rules.registry, data }).catch(() => {})
    },
    replaceKey: async (role, isKilled) => {
      await (isKilled ? operator.crash() : operator.stop())
      if (!existsSync(join(home, role, 'key.json'))) return
      try {
        KeyFile.rotateKey(join(home, role), role)
        count(`new key ${role}`)
      } catch (error) {
        if (!(error instanceof KeyFile.RotationError)) throw error
        count('replaced already')
      }
    },
    isBeyond: () => isBeyond,
    givenUp: () => givenUp,
    report: () => counts,
    close: async () => {
      await operator.stop()
      rmSync(options.folder, { recursive: true, force: true })
    },
  }
  chain.onBlock((block) => {
    const known = logIds.get(0)
    if (known !== undefined && block.state.logs.size === 0 && block.number < 8n) isWiped = true
  })
  return operator
}
