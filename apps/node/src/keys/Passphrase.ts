/** Passphrase.ts - where the passphrase of key files comes from: the environment. It is never an argument of a command. */
import { errors } from 'assay/protocol'

/** Name of the variable. */
export const variable = 'ASSAY_PASSPHRASE'
/** Fewest characters of a new one: scrypt slows a guess down, and cannot make a short word long. */
export const minLength = 8

/** The passphrase of this process's environment, undefined without one. */
export function ofEnvironment(env: Readonly<Record<string, string | undefined>> = process.env): string | undefined {
  const text = env[variable]
  return text === undefined || text === '' ? undefined : text
}

/** Asserts that a new passphrase is long enough; throws `WeakPassphraseError`. */
export function assertStrong(passphrase: string): void {
  if ([...passphrase].length < minLength) throw new WeakPassphraseError()
}

/** A new passphrase is too short. */
export class WeakPassphraseError extends errors.UsageError<'passphrase-too-short'> {
  override readonly name = 'Passphrase.WeakPassphraseError'
  constructor() {
    super('passphrase-too-short', `A passphrase has at least ${minLength} characters; several words are better.`)
  }
}
