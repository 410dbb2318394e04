/**
 * Challenger.ts - a stranger who opens cases against an operator: about an entry of a log (F17) and about slots of a receipt, one used and
 * one not (F18). What nobody answers in time it expires, and who had answered in time has nothing to fear from that.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ContractCall, CourtCalls, FaultCasesContract } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes, Head, Slot } from 'assay/protocol'
import * as CasesView from '../../apps/node/src/answers/CasesView.ts'
import { CallRevertedError, createSender, type Sender } from '../../apps/node/src/settle/sender.ts'
import { fundOnDevelopmentChain, openWallet } from '../../apps/node/src/settle/wallet.ts'
import type { AnvilChain } from './AnvilChain.ts'
import { type AnvilOperator, usedSlots } from './AnvilOperator.ts'
import type * as Random from './Random.ts'

export type Challenger = {
  /** On a new chain: it has money there, and the cases of an older one are gone. */
  readonly begin: () => Promise<void>
  /** Opens a case of each kind, where the contract takes it; what fails is counted. */
  readonly challenge: () => Promise<void>
  /** Whether no case is open any more, before a moment has passed. */
  readonly areSettled: (limitMs: number) => Promise<boolean>
  /** Tries to expire every case; tells all with which that has ever gone. */
  readonly expire: () => Promise<readonly string[]>
  readonly report: () => Readonly<Record<string, number>>
}

type Case = Parameters<typeof CasesView.caseId>[1]

const { abi } = FaultCasesContract
const hex = Bytes.to0x
/** Enough for the eighth case against a subject, whose bond is 128 times the first one's. */
const bond = 10n ** 18n
/** A transaction that was taken back may lack what it rests on for good; whoever sent it does not wait for that. */
const waitMs = 5_000
const unusedSlots = [Slot.indexOf('engine'), Slot.indexOf('proof')]

/** A stranger with an account in `home/challenger`. */
export function create(options: {
  readonly home: string
  readonly chain: AnvilChain
  readonly operator: AnvilOperator
  readonly random: Random.Random
}): Challenger {
  const { home, chain, operator, random } = options
  const wallet = openWallet(join(home, 'challenger'))
  // Remembered before they are sent: a transaction whose end nobody saw may be in a block all the same.
  const cases = new Map<string, Case>()
  // Kept although the chain may take that back, or somebody answer late.
  const expired = new Map<string, string>()
  const counts: Record<string, number> = {}
  const count = (what: string) => {
    counts[what] = (counts[what] ?? 0) + 1
  }

  const contracts = () => {
    const { anchorLog, stake } = chain.book()
    return {
      ...{ anchorLog: anchorLog.address, faultCourt: stake.faultCourt.address, faultCases: stake.faultCases.address },
    }
  }

  const view = () => CasesView.create({ crypto, rpc: chain.rpc(), contracts: contracts(), subjects: [] })

  async function withSender<T>(work: (sender: Sender) => Promise<T>): Promise<T> {
    // A reorganisation takes money back too.
    await fundOnDevelopmentChain(chain.rpc(), wallet)
    const sender = createSender({ rpc: chain.rpc(), wallet, pollMs: 40, waitMs })
    try {
      return await work(sender)
    } finally {
      sender.close()
    }
  }

  async function open(sender: Sender, one: Case, data: Uint8Array): Promise<void> {
    cases.set(Bytes.toHex(CasesView.caseId(crypto, one)), one)
    await sender.send({ to: contracts().faultCases, data, value: bond })
    count(`F${one.class} opened`)
  }

  /** Some entry that the chain covers, with the size of its log there. */
  async function anchoredEntry(
    logIds: readonly Uint8Array[],
    isNewest = false,
  ): Promise<{ logId: Uint8Array; size: bigint; index: bigint }> {
    const sizes = logIds.map(async (logId) => {
      const record = await CourtCalls.logRecord(chain.rpc(), contracts().anchorLog, logId)
      return { logId, size: record?.headSize ?? 0n }
    })
    // Heads go to the first log as long as it is well, so the other one is often empty.
    const found = (await Promise.all(sizes)).filter(({ size }) => size > 0n)
    if (found.length === 0) throw new NothingThereError('no anchored entry')
    const { logId, size } = random.pick(found)
    return { logId, size, index: isNewest ? size - 1n : BigInt(random.below(Number(size))) }
  }

  async function challengeEntry(sender: Sender): Promise<void> {
    const { logId, index } = await anchoredEntry(operator.logIds())
    const incident = Bytes.u256(index)
    const args = [hex(logId), index] as const
    const data = ContractCall.encode({ abi, functionName: 'challengeEntry', args })
    await open(sender, { class: 17, subject: logId, keyEpoch: 0, incident }, data)
  }

  /** The largest size without the index that is anchored: what shows that the receipt is young. */
  async function sizeBefore(logId: Uint8Array, index: bigint): Promise<bigint> {
    const sizes = chain.ledger.anchored().filter((step) => Bytes.equal(step.logId, logId) && step.size <= index)
    for (const { size } of sizes.sort((a, b) => (a.size > b.size ? -1 : 1))) {
      if ((await view().anchoredIn(logId, size)) !== undefined) return size
    }
    // The registration.
    return 0n
  }

  async function demandOpening(sender: Sender, slot: number, isNewest: boolean): Promise<void> {
    const logs = operator.logs().map(({ log }) => log)
    const logIds = logs.map(({ identity }) => identity.logId)
    const { logId, size, index } = await anchoredEntry(logIds, isNewest)
    const log = logs.find(({ identity }) => identity.logId === logId)
    const entry = log?.entry(index)
    if (log === undefined || entry === undefined) throw new NothingThereError('no receipt at hand')
    const { head, signature, publicKey } = entry
    const proof = await log.inclusion(index, size)
    const seenAt = await sizeBefore(logId, index)
    const args = [
      {
        ...{ head: hex(head), signature: hex(signature) },
        ...{ x: hex(publicKey.subarray(0, 32)), y: hex(publicKey.subarray(32)) },
      },
      { logId: hex(logId), index, size, proof: proof.map(hex) },
      ...([1, seenAt, slot] as const),
    ] as const
    const { nodeId, keyEpoch } = Head.parse(head)
    const incident = CasesView.demandIncident(crypto, Head.hash(crypto, head), slot)
    const data = ContractCall.encode({ abi, functionName: 'demandOpening', args })
    await open(sender, { class: 18, subject: nodeId, keyEpoch, incident }, data)
  }

  /** The chain may be away, the operator's log closed, the case open already: only what has no code is an error of this file. */
  async function attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      const code = (error as { code?: unknown }).code
      if (code === undefined) throw error
      const { errorName } = error as { errorName?: string }
      count(`no case: ${errorName ?? code}`)
    }
  }

  return {
    async begin() {
      cases.clear()
      expired.clear()
      await fundOnDevelopmentChain(chain.rpc(), wallet)
    },
    challenge: () =>
      attempt(() =>
        withSender(async (sender) => {
          const slots = [random.pick(usedSlots), random.pick(unusedSlots)]
          // The key of an older receipt may have another number since a reorganisation; then nobody can demand anything of it.
          const newest = random.pick(slots)
          const demands = slots.map((slot) => attempt(() => demandOpening(sender, slot, slot === newest)))
          await Promise.all([attempt(() => challengeEntry(sender)), ...demands])
        }),
      ),
    async areSettled(limitMs) {
      const untilMs = performance.now() + limitMs
      for (;;) {
        const subjects = new Map([...cases.values()].map(({ subject }) => [Bytes.toHex(subject), subject]))
        const open = await Promise.all([...subjects.values()].map(view().count))
        if (open.every((number) => number === 0)) return true
        if (performance.now() > untilMs) return false
        await sleep(100)
      }
    },
    expire: () =>
      withSender(async (sender) => {
        for (const [caseId, one] of cases) {
          const args = [one.class, hex(one.subject), one.keyEpoch, hex(one.incident)] as const
          const data = ContractCall.encode({ abi, functionName: 'expireCase', args })
          try {
            const { blockNumber } = await sender.send({ to: contracts().faultCases, data })
            expired.set(caseId, `F${one.class} in block ${blockNumber}: ${caseId}`)
          } catch (error) {
            if (!(error instanceof CallRevertedError)) throw error
          }
        }
        return [...expired.values()]
      }),
    report: () => counts,
  }
}

class NothingThereError extends Error {
  readonly code: string
  constructor(code: string) {
    super(code)
    this.code = code
  }
}
