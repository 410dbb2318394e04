/**
 * CaseOpener.ts - a stranger on the model chain who opens cases against an operator: about entries of its logs (F17) and slots of its
 * receipts (F18), used and unused. It keeps whatever a log has shown under an anchored size, so it does not need the operator for
 * that; what nobody answers in time it expires. Old receipts it puts into a log of its own, which is young.
 */
import { AnchorLogContract, FaultCasesContract } from 'assay/chain'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, Checkpoint, Cose, Head, Identity, LogEntry, Merkle, Slot } from 'assay/protocol'
import { encodeFunctionData, type Hex } from 'viem'
import type { Entry } from '../../apps/node/src/log/LogStore.ts'
import * as Rules from './ContractRules.ts'
import type { ModelChain } from './ModelChain.ts'
import type { RunningLog } from './Parts.ts'
import type * as Random from './Random.ts'

/** What a case is about; `full`: as many as the contract takes; `old`: a receipt that is young only in another log. */
export const kinds = ['entry', 'used', 'unused', 'full', 'old'] as const
export type Kind = (typeof kinds)[number]

export type CaseOpener = {
  /** Copies what a log shows. */
  readonly look: (running: RunningLog) => void
  readonly open: (kind: Kind, random: Random.Random) => Promise<void>
  /** Every block: expires what is due, and goes on with an old receipt. */
  readonly go: () => Promise<void>
  /** The log of a receipt that was demanded as an old one. */
  readonly homeOf: (receiptHash: Uint8Array) => Uint8Array | undefined
  readonly counts: () => Readonly<Record<string, number>>
}

const address = Bytes.fromHex('88'.repeat(20))
const { abi } = FaultCasesContract
const hex = Bytes.to0x
const usedSlots = [Slot.indexOf('order')]
const unusedSlots = [Slot.indexOf('model'), Slot.indexOf('engine'), Slot.indexOf('proof')]

/** A stranger with an account of its own; `isHonest` says whose receipts are worth a demand, `exempt` is told of its own logs' keys. */
export function create(
  chain: ModelChain,
  isHonest: (subject: Uint8Array) => boolean,
  exempt: (publicKey: Uint8Array) => void,
): CaseOpener {
  const shown = new Map<string, Entry[]>()
  const homes = new Map<string, Uint8Array>()
  let old: { readonly entry: Entry; readonly slot: number; readonly signer: Cose.Signer } | undefined
  let keys = 0
  const counts: Record<string, number> = {}
  const count = (what: string) => {
    counts[what] = (counts[what] ?? 0) + 1
  }

  async function send(what: string, data: Hex): Promise<void> {
    try {
      await chain.submit({ from: address, to: Rules.faultCases, data: Bytes.from0x(data) })
      count(what)
    } catch (error) {
      if (!(error instanceof Rules.RevertError)) throw error
      count(`${what}: ${error.message}`)
    }
  }

  const logs = () => [...chain.newest().state.logs.values()].filter(({ logId, size }) => size > 0n && isHonest(logId))

  async function challenge(random: Random.Random): Promise<void> {
    const all = logs()
    if (all.length === 0) return
    const { logId, size } = random.pick(all)
    const index = random.chance(0.4) ? size - 1n : BigInt(random.below(Number(size)))
    await send('F17', encodeFunctionData({ abi, functionName: 'challengeEntry', args: [hex(logId), index] }))
  }

  /** Receipts of the operator under an anchored size of one of its logs. */
  function receipts(random: Random.Random) {
    const all = logs()
    if (all.length === 0) return undefined
    const log = random.pick(all)
    const entries = shown.get(Bytes.toHex(log.logId)) ?? []
    const own = entries.filter(({ index, head }) => index < log.size && isHonest(head.slice(29, 61)))
    return own.length === 0 ? undefined : { log, entries, own }
  }

  function sendDemand({ head, signature, publicKey }: Entry, place: Place, seenAt: bigint, slot: number) {
    const [x, y] = [hex(publicKey.slice(0, 32)), hex(publicKey.slice(32))]
    const args = [
      { head: hex(head), signature: hex(signature), x, y },
      { ...place, logId: hex(place.logId), proof: place.proof.map(hex) },
      ...([1, seenAt, slot] as const),
    ] as const
    return send('F18', encodeFunctionData({ abi, functionName: 'demandOpening', args }))
  }

  async function demand(slot: number, random: Random.Random): Promise<void> {
    const found = receipts(random)
    if (found === undefined) return
    const { log, entries, own } = found
    const entry = random.chance(0.5) ? (own.at(-1) as Entry) : random.pick(own)
    const { index } = entry
    const sizes = [...log.steps.keys()].sort((a, b) => Number(a - b))
    const covering = sizes.filter((one) => one > index && one <= entries.length)
    if (covering.length === 0) return
    const size = random.pick(covering)
    const proof = Merkle.inclusionProof(crypto, entries.slice(0, Number(size)).map(leafOf), index, size)
    const seenAt = sizes.filter((one) => one <= index).at(-1) ?? 0n
    await sendDemand(entry, { logId: log.logId, index, size, proof }, seenAt, slot)
  }

  /** The oldest receipts are demanded through a log of ours, which is registered, anchored and used block by block. */
  function beginOld(random: Random.Random): void {
    const found = receipts(random)
    if (found === undefined || old !== undefined) return
    const entry = found.own[random.below(Math.min(4, found.own.length))] as Entry
    homes.set(Bytes.toHex(Head.hash(crypto, entry.head)), found.log.logId)
    const signer = createP256Signer(Bytes.concat(Uint8Array.of(1), Bytes.u256(BigInt(++keys)).slice(1)))
    exempt(signer.publicKey)
    old = { entry, slot: random.pick([...usedSlots, ...unusedSlots]), signer }
  }

  async function goOn(): Promise<void> {
    if (old === undefined) return
    const { entry, slot, signer } = old
    const { state } = chain.newest()
    const ours = [...state.logs.values()].find((log) => Bytes.equal(log.publicKey, signer.publicKey))
    if (ours === undefined) {
      const n = state.logCounts.get(Bytes.toHex(address)) ?? 0n
      const subject = Identity.logId(crypto, { ...Rules, instance: state.instance, operator: address, n })
      const { chainId, anchorLog: contract } = Rules
      const { publicKey } = signer
      const of = { chainId, contract, subject, role: Identity.roles.log, publicKey }
      const proof = hex(await Cose.sign(crypto, signer, 'key', Identity.keyStatement(crypto, of)))
      const [x, y] = [hex(publicKey.slice(0, 32)), hex(publicKey.slice(32))]
      const args = [x, y, hex(new Uint8Array(32)), state.minPledgeBlocks, proof] as const
      return sendToLog(encodeFunctionData({ abi: AnchorLogContract.abi, functionName: 'register', args }))
    }
    const { logId, size } = ours
    if (size === 0n) {
      const root = leafOf(entry)
      const words = Checkpoint.words({ ...Rules, logId, size: 1n, root })
      const signature = hex(await Cose.sign(crypto, signer, 'checkpoint', Checkpoint.payload(crypto, words)))
      const step = { size: 1n, root: hex(root), signature, consistencyProof: [] }
      const args = [hex(logId), [step]] as const
      return sendToLog(encodeFunctionData({ abi: AnchorLogContract.abi, functionName: 'anchor', args }))
    }
    old = undefined
    await sendDemand(entry, { logId, index: 0n, size: 1n, proof: [] }, 0n, slot)
  }

  async function sendToLog(data: Hex): Promise<void> {
    const call = { from: address, to: Rules.anchorLog, data: Bytes.from0x(data) }
    await chain.submit(call).catch(() => {})
  }

  return {
    look({ log }) {
      const name = Bytes.toHex(log.identity.logId)
      const size = chain.newest().state.logs.get(name)?.size ?? 0n
      const kept = shown.get(name) ?? []
      shown.set(name, kept)
      for (let index = BigInt(kept.length); index < size; index++) {
        const entry = log.entry(index)
        if (entry === undefined) return
        kept.push(entry)
      }
    },
    async open(kind, random) {
      const demandOf = (slots: readonly number[]) => demand(random.pick(slots), random)
      switch (kind) {
        case 'entry':
          return challenge(random)
        case 'used':
          return demandOf(usedSlots)
        case 'unused':
          return demandOf(unusedSlots)
        case 'old':
          return beginOld(random)
        case 'full':
          for (let i = 0; i < 10; i++) await challenge(random)
          for (let i = 0; i < 10; i++) await demandOf([...usedSlots, ...unusedSlots])
      }
    },
    async go() {
      await goOn()
      const { state, number } = chain.newest()
      for (const one of state.cases.values()) {
        if (one.state !== 'open' || number + 1n <= one.openedAtBlock + state.terms.answerBlocks) continue
        const args = [one.class, hex(one.subject), one.keyEpoch, hex(one.incident)] as const
        await send('expired', encodeFunctionData({ abi, functionName: 'expireCase', args }))
      }
    },
    homeOf: (receiptHash) => homes.get(Bytes.toHex(receiptHash)),
    counts: () => counts,
  }
}

type Place = {
  readonly logId: Uint8Array
  readonly index: bigint
  readonly size: bigint
  readonly proof: readonly Uint8Array[]
}

function leafOf({ head }: Entry): Uint8Array {
  return LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, head))
}
