/** contract-call.ts - typed calls of the two contracts over the checked endpoint. */
import type { Rpc } from 'assay/chain'
import { Bytes } from 'assay/protocol'
import {
  type Abi,
  type ContractFunctionArgs,
  type ContractFunctionName,
  type ContractFunctionReturnType,
  decodeFunctionResult,
  type EncodeFunctionDataParameters,
  encodeFunctionData,
} from 'viem'

/** Asks a view function at the newest block; its answer is the endpoint's word. */
export async function read<
  const TAbi extends Abi,
  Name extends ContractFunctionName<TAbi, 'pure' | 'view'>,
  const Args extends ContractFunctionArgs<TAbi, 'pure' | 'view', Name>,
>(
  rpc: Rpc.Rpc,
  address: Uint8Array,
  call: { readonly abi: TAbi; readonly functionName: Name; readonly args: Args },
): Promise<ContractFunctionReturnType<TAbi, 'pure' | 'view', Name, Args>> {
  await rpc.assertChain()
  const data = encodeFunctionData(call as unknown as EncodeFunctionDataParameters)
  const answer = (await rpc.request('eth_call', [{ to: Bytes.to0x(address), data }, 'latest'])) as `0x${string}`
  return decodeFunctionResult({ ...call, data: answer } as never) as ContractFunctionReturnType<
    TAbi,
    'pure' | 'view',
    Name,
    Args
  >
}

/** The input of a call that changes state. */
export function encode<
  const TAbi extends Abi,
  Name extends ContractFunctionName<TAbi, 'nonpayable' | 'payable'>,
  const Args extends ContractFunctionArgs<TAbi, 'nonpayable' | 'payable', Name>,
>(call: { readonly abi: TAbi; readonly functionName: Name; readonly args: Args }): Uint8Array {
  return Bytes.from0x(encodeFunctionData(call as unknown as EncodeFunctionDataParameters))
}
