/** Process.ts - a process of an operator, and what fails once it has ended. */
import { errors } from 'assay/protocol'
import type * as Endpoint from './Endpoint.ts'

export type Life = {
  alive: boolean
  /** It has looked at the chain when nothing was wrong with its endpoint. */
  hasSeen: boolean
  endpoint: Endpoint.Endpoint
  /** Of the answering service: with numbers of its own, so that what it asks changes nothing elsewhere. */
  caseEndpoint: Endpoint.Endpoint
  closers: (() => unknown)[]
}

/** The process is gone. */
export class EndedError extends Error {
  override readonly name = 'EndedError'
}

/** A party does not answer. */
class SilentError extends errors.UnavailableError<'silent'> {
  override readonly name = 'SilentError'
  constructor() {
    super('silent', 'Nobody answers.')
  }
}

/** A port that fails once the process is gone, before and after. */
export function guarded<T extends object>(
  of: Life,
  port: T,
  names: readonly (keyof T)[],
  also: () => boolean = () => false,
): T {
  const wrapped = Object.fromEntries(
    names.map((name) => [
      name,
      async (...args: unknown[]) => {
        if (!of.alive) throw new EndedError()
        if (also()) throw new SilentError()
        const result = await (port[name] as (...args: unknown[]) => unknown)(...args)
        if (!of.alive) throw new EndedError()
        return result
      },
    ]),
  )
  return { ...port, ...wrapped }
}
