/**
 * create2.ts - creates a contract through the CREATE2 deployer, at an address that depends on its code and parameters alone:
 * a creation that was cut off is found again instead of repeated, and who asks for the same gets the same.
 */
import type { Rpc, TrustAnchors } from 'assay/chain'
import { Bytes, type Crypto, errors } from 'assay/protocol'
import { encodeDeployData } from 'viem'
import { readCodeHash } from './address-book.ts'
import type { Sender } from './sender.ts'

// The keyless deployer that stands at the same address on most chains and on the development chain from its first block.
const deployer = Bytes.fromHex('4e59b44847b379578588920ca78fbf26c0b4956c')
const salt = new Uint8Array(32)

/**
 * Returns the contract, created if it is not there.
 *
 * - `expected`: its code hash, 0x and hex; undefined for code that holds its own address
 *
 * Throws: `DeployerMissingError`, `DeploymentError`, and what the sender throws.
 */
export async function ensure(
  options: { readonly crypto: Crypto; readonly rpc: Rpc.Rpc; readonly sender: Sender },
  name: string,
  expected: string | undefined,
  creation: Parameters<typeof encodeDeployData>[0],
): Promise<TrustAnchors.Contract> {
  const { crypto, rpc, sender } = options
  const initCode = Bytes.from0x(encodeDeployData(creation))
  const input = Bytes.concat(Uint8Array.of(0xff), deployer, salt, crypto.keccak256(initCode))
  const address = crypto.keccak256(input).slice(12)
  let codeHash = await readCodeHash(crypto, rpc, address)
  if (codeHash === undefined) {
    if ((await readCodeHash(crypto, rpc, deployer)) === undefined) throw new DeployerMissingError()
    const failure = await sender.send({ to: deployer, data: Bytes.concat(salt, initCode) }).then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    codeHash = await readCodeHash(crypto, rpc, address)
    // Somebody else may have created the same in between: then the deployer refuses, and nothing is missing.
    if (codeHash === undefined && failure !== undefined) throw failure.error
  }
  if (codeHash === undefined || (expected !== undefined && Bytes.to0x(codeHash) !== expected))
    throw new DeploymentError(name)
  return { address, codeHash }
}

/** Waits for all, and only then throws what the first of them threw: nothing is under way behind a failed start. */
export async function settled<const All extends readonly unknown[]>(
  all: All,
): Promise<{ -readonly [I in keyof All]: Awaited<All[I]> }> {
  const results = await Promise.allSettled(all)
  for (const result of results) if (result.status === 'rejected') throw result.reason
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as {
    -readonly [I in keyof All]: Awaited<All[I]>
  }
}

/** The chain lacks the CREATE2 deployer. */
export class DeployerMissingError extends errors.UsageError<'deployer-missing'> {
  override readonly name = 'DeployerMissingError'
  constructor() {
    super('deployer-missing', 'The chain has no CREATE2 deployer at the usual address.', {
      facts: [`Address: ${Bytes.to0x(deployer)}`],
    })
  }
}

/** A contract was created with other code than this release's. */
export class DeploymentError extends errors.VerificationError<'deployment-mismatch'> {
  override readonly name = 'DeploymentError'
  constructor(name: string) {
    super('deployment-mismatch', `${name} has other code after its deployment than it should.`)
  }
}
