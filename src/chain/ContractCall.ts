/** ContractCall.ts - typed calls of contracts over a checked endpoint. */
import {
  type Abi,
  type ContractFunctionArgs,
  type ContractFunctionName,
  type ContractFunctionReturnType,
  decodeFunctionResult,
  type EncodeFunctionDataParameters,
  encodeFunctionData,
} from 'viem'
import * as Bytes from '../protocol/Bytes.ts'
import { UnavailableError } from '../protocol/errors.ts'
import { asDecoded, asFormed, type Rpc } from './Rpc.ts'

/**
 * Asks a view function; its answer is the endpoint's word.
 *
 * - `block`: a tag or 0x quantity, default the newest block
 *
 * Throws: `Rpc.RequestError`, `Rpc.LieError`, `ContractCall.NoContractError`.
 */
export async function read<
  const TAbi extends Abi,
  Name extends ContractFunctionName<TAbi, 'pure' | 'view'>,
  const Args extends ContractFunctionArgs<TAbi, 'pure' | 'view', Name>,
>(
  rpc: Rpc,
  address: Uint8Array,
  call: { readonly abi: TAbi; readonly functionName: Name; readonly args: Args },
  block = 'latest',
): Promise<ContractFunctionReturnType<TAbi, 'pure' | 'view', Name, Args>> {
  await rpc.assertChain()
  const data = encodeFunctionData(call as unknown as EncodeFunctionDataParameters)
  const said = await rpc.request('eth_call', [{ to: Bytes.to0x(address), data }, block])
  const answer = asFormed('eth_call', said) as `0x${string}`
  if (answer === '0x') throw new NoContractError(address)
  return asDecoded(
    'eth_call',
    () =>
      decodeFunctionResult({ ...call, data: answer } as never) as ContractFunctionReturnType<
        TAbi,
        'pure' | 'view',
        Name,
        Args
      >,
  )
}

/** The input of a call that changes state. */
export function encode<
  const TAbi extends Abi,
  Name extends ContractFunctionName<TAbi, 'nonpayable' | 'payable'>,
  const Args extends ContractFunctionArgs<TAbi, 'nonpayable' | 'payable', Name>,
>(call: { readonly abi: TAbi; readonly functionName: Name; readonly args: Args }): Uint8Array {
  return Bytes.from0x(encodeFunctionData(call as unknown as EncodeFunctionDataParameters))
}

/** Nothing answers at an address in that block. */
export class NoContractError extends UnavailableError<'no-contract'> {
  override readonly name = 'ContractCall.NoContractError'
  constructor(address: Uint8Array) {
    super('no-contract', 'There is no such contract on the chain in that block.', {
      facts: [`Address: ${Bytes.to0x(address)}`],
    })
  }
}
