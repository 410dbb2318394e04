/** Ledger.ts - what the chain says about subjects and reporters: recorded faults, slashes, values, balances. Nothing is remembered here. */
import { AssayTokenContract, ContractCall, FaultCourtContract, StakeManagerContract } from 'assay/chain'
import { Bytes } from 'assay/protocol'
import { decodeEventLog, type Hex } from 'viem'
import type { Stage } from './Stage.ts'

/** A fault on record with the penalty of the same transaction; amounts in token units. */
export type Recorded = {
  /** 32 bytes, hex with 0x. */
  readonly faultId: string
  readonly class: number
  readonly subject: string
  /** 0x and 40 hex digits, lower case. */
  readonly reporter: string
  readonly blockNumber: bigint
  readonly slashed: bigint
  /** The part that the reporter may fetch. */
  readonly reward: bigint
}

type LogLine = {
  readonly address: Hex
  readonly topics: readonly [Hex, ...Hex[]]
  readonly data: Hex
  readonly blockNumber: Hex
  readonly transactionHash: Hex
}

/** Faults recorded in a range of blocks, in order. */
export async function recorded(stage: Stage, fromBlock: bigint, toBlock: bigint): Promise<readonly Recorded[]> {
  const { faultCourt, stakeManager } = stage.book.stake
  const [faults, stakes] = await Promise.all(
    [faultCourt, stakeManager].map(async ({ address }) => {
      const range = { fromBlock: `0x${fromBlock.toString(16)}`, toBlock: `0x${toBlock.toString(16)}` }
      return (await stage.rpc.request('eth_getLogs', [{ address: Bytes.to0x(address), ...range }])) as LogLine[]
    }),
  )
  const slashes = (stakes ?? []).flatMap((line) => {
    const event = decodeEventLog({ abi: StakeManagerContract.abi, topics: [...line.topics], data: line.data })
    return event.eventName === 'Slashed' ? [{ ...event.args, transactionHash: line.transactionHash }] : []
  })
  return (faults ?? []).flatMap((line): Recorded[] => {
    const event = decodeEventLog({ abi: FaultCourtContract.abi, topics: [...line.topics], data: line.data })
    if (event.eventName !== 'FaultRecorded') return []
    const { faultId, subject, reporter } = event.args
    const own = slashes.filter((one) => one.transactionHash === line.transactionHash && one.subject === subject)
    return [
      {
        ...{ faultId, subject, reporter: reporter.toLowerCase(), class: event.args.class },
        blockNumber: BigInt(line.blockNumber),
        slashed: own.reduce((sum, { fromSelf, fromDelegated }) => sum + fromSelf + fromDelegated, 0n),
        reward: own.reduce((sum, { reward }) => sum + reward, 0n),
      },
    ]
  })
}

/** What an operator has at stake on a subject, token units, at the newest block or at a recent one. */
export async function valueAt(
  stage: Stage,
  subject: Uint8Array,
  operator: Uint8Array,
  block?: bigint,
): Promise<bigint> {
  const args = [Bytes.to0x(subject), Bytes.to0x(operator)] as const
  const call = { abi: StakeManagerContract.abi, functionName: 'valueOf', args } as const
  const tag = block === undefined ? 'latest' : `0x${block.toString(16)}`
  const [active, unbonding] = await ContractCall.read(stage.rpc, stage.book.stake.stakeManager.address, call, tag)
  return active + unbonding
}

/** ASY of an account, token units. */
export function tokensOf(stage: Stage, account: Uint8Array): Promise<bigint> {
  const call = { abi: AssayTokenContract.abi, functionName: 'balanceOf', args: [Bytes.to0x(account)] } as const
  return ContractCall.read(stage.rpc, stage.book.stake.token.address, call)
}
