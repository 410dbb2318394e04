/** contract-call.ts - typed calls of contracts over the checked endpoint, as the library has them. */
import { ContractCall } from 'assay/chain'

export const read = ContractCall.read
export const encode = ContractCall.encode
