/** ContractErrors.ts - names what a contract of this release answered when it refused a call. Source: contracts/src. */
import { type AbiParameterToPrimitiveType, decodeErrorResult, type Hex } from 'viem'
import * as Bytes from '../protocol/Bytes.ts'
import { abi as anchorLog } from './generated/AnchorLog.ts'
import { abi as assayToken } from './generated/AssayToken.ts'
import { abi as faultCases } from './generated/FaultCases.ts'
import { abi as faultCourt } from './generated/FaultCourt.ts'
import { abi as modelRegistry } from './generated/ModelRegistry.ts'
import { abi as nodeRegistry } from './generated/NodeRegistry.ts'
import { abi as stakeManager } from './generated/StakeManager.ts'

/** A value of an error: numbers below 2^53 are numbers, others bigint; bytes are hex with 0x. */
export type Argument = AbiParameterToPrimitiveType<{ type: 'uint256' }> | number | string | boolean | readonly unknown[]

/** What a contract said. */
export type ContractError = { readonly errorName: string; readonly args: readonly Argument[] }

const all = [
  ...[...anchorLog, ...nodeRegistry, ...modelRegistry, ...assayToken],
  ...[...stakeManager, ...faultCourt, ...faultCases],
].filter((item) => item.type === 'error')
// One error stands in several interfaces.
const abi = [...new Map(all.map((item) => [JSON.stringify([item.name, item.inputs]), item])).values()]

/** Reads the data of a revert; undefined when no contract of this release has such an error. */
export function parse(data: Uint8Array): ContractError | undefined {
  if (data.length < 4) return undefined
  try {
    const { errorName, args } = decodeErrorResult({ abi, data: Bytes.to0x(data) as Hex })
    return { errorName, args: (args ?? []) as readonly Argument[] }
  } catch {
    return undefined
  }
}
