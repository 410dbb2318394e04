/**
 * parameters.ts - what the contracts are created with: on the development chain fixed numbers, elsewhere times turned into
 * blocks of that chain. Source: spec/contracts.md section 1, spec/stake.md section 1, spec/faults.md section 5.
 */
import type { Rpc } from 'assay/chain'
import { errors } from 'assay/protocol'

/** Creation parameters of AnchorLog, StakeManager and FaultCourt; windows in blocks. */
export type ChainParameters = {
  /** What NodeRegistry is told: whether simulated evidence is admitted. */
  readonly development: boolean
  readonly minPledgeBlocks: bigint
  readonly unbondBlocks: bigint
  /** Percent. */
  readonly minSelfPercent: number
  readonly incidentBlocks: number
  readonly capWindowBlocks: number
  readonly windows: {
    readonly graceBlocks: number
    readonly openWindowBlocks: number
    readonly answerBlocks: number
    readonly evidenceBlocks: number
    readonly revealBlocks: number
    /** 10^9 wei. */
    readonly bondFloorGwei: bigint
  }
}

/** Percent of what is staked, by fault; the same on every chain. */
export const penalties = Object.freeze({
  twoHeads: 100,
  twoHistories: 100,
  wrongLeaf: 100,
  latePledge: 1,
  missingPledge: 100,
  falseEntry: 100,
  twoCosignatures: 100,
  wrongLink: 100,
  withheldEntry: 20,
  withheldOpening: 5,
  reward: 25,
  cap: 20,
})

/** Least delay of the timelock that owns the parameters, seconds: the least that the contracts take. */
export const timelockSeconds = 172_800n

/** Fewest blocks from a pledge to its deadline on a development chain. */
export const developmentPledgeBlocks = 600n

export const development: ChainParameters = Object.freeze({
  ...{ development: true, minPledgeBlocks: developmentPledgeBlocks, unbondBlocks: 3_500n, minSelfPercent: 20 },
  ...{ incidentBlocks: 600, capWindowBlocks: 14_400 },
  windows: Object.freeze({
    ...{ graceBlocks: 600, openWindowBlocks: 1_300, answerBlocks: 300, evidenceBlocks: 600 },
    ...{ revealBlocks: 1, bondFloorGwei: 1_000_000n },
  }),
})

const hour = 3_600_000
const day = 24 * hour
// An answer to a case costs up to 500,000 gas without its content; a floor for two of them where gas is nearly free.
const answersGas = 1_000_000n
const leastBondFloorGwei = 1_000_000n
const maxRevealBlocks = 7_200
const blockTimes = { leastMs: 50, mostMs: 600_000 }
/** Blocks over which the time of one is measured. */
const measuredBlocks = 1_000n

/**
 * Parameters for a chain whose blocks come every `blockTimeMs`; the least bond of a case is what two answers cost at
 * `gasPriceWei`.
 *
 * Throws: `BlockTimeError` outside 50 ms to 10 minutes.
 */
export function production(blockTimeMs: number, gasPriceWei: bigint): ChainParameters {
  if (!(blockTimeMs >= blockTimes.leastMs && blockTimeMs <= blockTimes.mostMs)) throw new BlockTimeError(blockTimeMs)
  const blocks = (ms: number) => Math.ceil(ms / blockTimeMs)
  const minPledgeBlocks = blocks(2 * hour)
  const windows = {
    graceBlocks: blocks(day),
    openWindowBlocks: blocks(14 * day),
    answerBlocks: blocks(day),
    evidenceBlocks: blocks(14 * day),
    revealBlocks: Math.min(maxRevealBlocks, blocks(hour / 12)),
  }
  const { graceBlocks, openWindowBlocks, answerBlocks, evidenceBlocks } = windows
  // One day above what FaultCourt demands, so that its timelock has room to move.
  const unbondBlocks = minPledgeBlocks + graceBlocks + openWindowBlocks + answerBlocks + evidenceBlocks + blocks(day)
  const bondFloorGwei = (answersGas * gasPriceWei) / 10n ** 9n
  return {
    ...{ development: false, minPledgeBlocks: BigInt(minPledgeBlocks), unbondBlocks: BigInt(unbondBlocks) },
    ...{ minSelfPercent: 20, incidentBlocks: blocks(2 * hour), capWindowBlocks: blocks(2 * day) },
    windows: {
      ...windows,
      bondFloorGwei: bondFloorGwei > leastBondFloorGwei ? bondFloorGwei : leastBondFloorGwei,
    },
  }
}

/**
 * Time from block to block of a chain, milliseconds, over its newest 1,000 blocks.
 *
 * Throws: `Rpc.RequestError`, `BlockTimeError` when the chain is too young to tell.
 */
export async function measureBlockTime(rpc: Rpc.Rpc): Promise<number> {
  const newest = await timeOf(rpc, 'latest')
  // Block 0 may carry any time.
  const oldest = await timeOf(rpc, newest.number > measuredBlocks + 1n ? newest.number - measuredBlocks : 1n)
  const count = Number(newest.number - oldest.number)
  if (count < 1) throw new BlockTimeError(0)
  return ((newest.seconds - oldest.seconds) * 1_000) / count
}

async function timeOf(rpc: Rpc.Rpc, block: bigint | 'latest'): Promise<{ number: bigint; seconds: number }> {
  const tag = block === 'latest' ? block : `0x${block.toString(16)}`
  const answer = (await rpc.request('eth_getBlockByNumber', [tag, false])) as Record<string, string> | null
  if (answer === null) throw new BlockTimeError(0)
  return { number: BigInt(answer.number ?? '0x0'), seconds: Number(BigInt(answer.timestamp ?? '0x0')) }
}

/** Nobody can say how many blocks a day has. */
export class BlockTimeError extends errors.UsageError<'block-time'> {
  override readonly name = 'BlockTimeError'
  constructor(blockTimeMs: number) {
    super('block-time', 'The time from block to block is not known or not usable.', {
      facts: [`Measured or given: ${blockTimeMs} ms`, 'Give it with --block-time SECONDS, 0.05 to 600.'],
    })
  }
}
