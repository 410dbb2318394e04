/**
 * CaseOpener.ts - a stranger on the model chain who opens cases against an operator: about entries of its logs (F17) and slots of its
 * receipts (F18), used and unused. It keeps whatever a log has shown under an anchored size, so it does not need the operator for
 * that; what nobody answers in time it expires.
 */
import { FaultCasesContract } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes, LogEntry, Merkle, Slot } from 'assay/protocol'
import { encodeFunctionData, type Hex } from 'viem'
import type { Entry } from '../../apps/node/src/log/LogStore.ts'
import * as Rules from './ContractRules.ts'
import type { ModelChain } from './ModelChain.ts'
import type { RunningLog } from './Parts.ts'
import type * as Random from './Random.ts'

/** What a case is about; `full`: as many as the contract takes. */
export const kinds = ['entry', 'used', 'unused', 'full'] as const
export type Kind = (typeof kinds)[number]

export type CaseOpener = {
  /** Copies what a log shows. */
  readonly look: (running: RunningLog) => void
  readonly open: (kind: Kind, random: Random.Random) => Promise<void>
  /** Expires what is due. */
  readonly expire: () => Promise<void>
  readonly counts: () => Readonly<Record<string, number>>
}

const address = Bytes.fromHex('88'.repeat(20))
const { abi } = FaultCasesContract
const hex = Bytes.to0x
const usedSlots = [Slot.indexOf('order')]
const unusedSlots = [Slot.indexOf('model'), Slot.indexOf('engine'), Slot.indexOf('proof')]

/** A stranger with an account of its own; `isHonest` says whose receipts are worth a demand. */
export function create(chain: ModelChain, isHonest: (subject: Uint8Array) => boolean): CaseOpener {
  const shown = new Map<string, Entry[]>()
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

  async function demand(slot: number, random: Random.Random): Promise<void> {
    const all = logs()
    if (all.length === 0) return
    const { logId, size, steps } = random.pick(all)
    const entries = shown.get(Bytes.toHex(logId)) ?? []
    const own = entries.filter(({ index, head }) => index < size && isHonest(head.slice(29, 61)))
    if (own.length === 0) return
    const { index, head, signature, publicKey } = random.chance(0.5) ? (own.at(-1) as Entry) : random.pick(own)
    const sizes = [...steps.keys()].sort((a, b) => Number(a - b))
    const covering = sizes.filter((one) => one > index && one <= entries.length)
    if (covering.length === 0) return
    const under = random.pick(covering)
    const leaves = entries
      .slice(0, Number(under))
      .map((entry) => LogEntry.leafHash(crypto, LogEntry.fromHead(crypto, entry.head)))
    const proof = Merkle.inclusionProof(crypto, leaves, index, under)
    const seenAt = sizes.filter((one) => one <= index).at(-1) ?? 0n
    const args = [
      {
        ...{ head: hex(head), signature: hex(signature) },
        ...{ x: hex(publicKey.slice(0, 32)), y: hex(publicKey.slice(32)) },
      },
      { logId: hex(logId), index, size: under, proof: proof.map(hex) },
      ...([1, seenAt, slot] as const),
    ] as const
    await send('F18', encodeFunctionData({ abi, functionName: 'demandOpening', args }))
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
        case 'full':
          for (let i = 0; i < 10; i++) await challenge(random)
          for (let i = 0; i < 10; i++) await demandOf([...usedSlots, ...unusedSlots])
      }
    },
    async expire() {
      const { state, number } = chain.newest()
      for (const one of state.cases.values()) {
        if (one.state !== 'open' || number + 1n <= one.openedAtBlock + state.terms.answerBlocks) continue
        const args = [one.class, hex(one.subject), one.keyEpoch, hex(one.incident)] as const
        await send('expired', encodeFunctionData({ abi, functionName: 'expireCase', args }))
      }
    },
    counts: () => counts,
  }
}
