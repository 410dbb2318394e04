/** RevertError.ts - how the model's contracts refuse. */
import { errors } from 'assay/protocol'

/** A call that the contract refuses, by the name of its error. */
export class RevertError extends Error {
  override readonly name = 'RevertError'
}

/** Runs a check of the library, whose errors mean that the contract refuses with the one named. */
export async function refusing(name: string, check: () => unknown): Promise<void> {
  try {
    await check()
  } catch (error) {
    if (errors.BaseError.isInstance(error)) throw new RevertError(name)
    throw error
  }
}
