/** Policies.ts - finds the policy that a person names: one of the four, or a JSON file. */
import { resolve } from 'node:path'
import { readSmallFile } from 'assay/client/node'
import { errors } from 'assay/protocol'
import { Policy, policies } from 'assay/verify'

export const waits = ['pledged', 'included', 'anchored', 'final'] as const
/** How far anchoring must have risen before an answer is given. */
export type Wait = (typeof waits)[number]

const maxPolicyBytes = 256 * 1024

/** A built-in policy by name, else a policy file by path. */
export function find(nameOrFile: string, cwd: string): Policy.Policy {
  const known = Object.hasOwn(policies.builtIn, nameOrFile) ? policies.builtIn[nameOrFile] : undefined
  if (known !== undefined) return known
  return readFile(nameOrFile, cwd)
}

/** A policy file; throws `Policies.PolicyFileError`, `Policy.InvalidPolicyError`. */
export function readFile(file: string, cwd: string): Policy.Policy {
  const text = readSmallFile(resolve(cwd, file), maxPolicyBytes)
  if (text === undefined) throw new PolicyFileError(`no built-in policy and no file: ${file}`)
  let data: unknown
  try {
    data = JSON.parse(text)
  } catch {
    throw new PolicyFileError(`no JSON: ${file}`)
  }
  return Policy.parse(data)
}

/**
 * `embedded` for somebody who waits less long: without the anchoring facts above `wait`. It has another name and another hash,
 * and the order commits to it.
 */
export function embeddedUpTo(wait: Wait): Policy.Policy {
  const { embedded } = policies
  if (wait === 'final') return embedded
  const above = waits.slice(waits.indexOf(wait) + 1) as readonly string[]
  if (!('allOf' in embedded.requirements)) return embedded
  return {
    ...embedded,
    name: `embedded-${wait}`,
    requirements: {
      allOf: embedded.requirements.allOf.filter((item) => !('anchoring' in item && above.includes(item.anchoring))),
    },
  }
}

/** What was named is neither a built-in policy nor a policy file. */
export class PolicyFileError extends errors.UsageError<'policy-file'> {
  override readonly name = 'Policies.PolicyFileError'
  constructor(problem: string) {
    super('policy-file', 'There is no such policy.', {
      facts: [`Problem: ${problem}`, `Built-in: ${Object.keys(policies.builtIn).join(' ')}`],
    })
  }
}
