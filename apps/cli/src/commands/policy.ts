/** policy.ts - `assay policy`: the policies that come with Assay, and policy files. */
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import { Policy, policies } from 'assay/verify'
import type { Context, GlobalOptions } from '../Context.ts'
import * as Policies from '../Policies.ts'
import { table } from '../Terminal.ts'

const hashOf = (policy: Policy.Policy) => Bytes.toHex(Policy.hash(crypto, policy))

/** `assay policy list`. */
export function list({ terminal }: Context, options: GlobalOptions): number {
  const all = Object.values(policies.builtIn).map((policy) => ({ name: policy.name, hash: hashOf(policy) }))
  if (options.json === true) terminal.print(JSON.stringify(all))
  else terminal.rows(table(all.map(({ name, hash }) => [name, hash])))
  return 0
}

/** `assay policy show NAME|FILE`: as JSON, ready to be changed and saved. */
export function show({ terminal, cwd }: Context, name: string, options: GlobalOptions): number {
  const policy = Policies.find(name, cwd)
  terminal.print(options.json === true ? JSON.stringify(policy) : JSON.stringify(policy, null, 2), 0)
  return 0
}

/** `assay policy hash NAME|FILE`. */
export function hash({ terminal, cwd }: Context, name: string, options: GlobalOptions): number {
  const policy = Policies.find(name, cwd)
  terminal.print(
    options.json === true
      ? JSON.stringify({ name: policy.name, hash: hashOf(policy) })
      : `${hashOf(policy)}  ${policy.name}`,
  )
  return 0
}

/** `assay policy check FILE`: a usage error names the first mistake. */
export function check({ terminal, cwd }: Context, file: string, options: GlobalOptions): number {
  const policy = Policies.readFile(file, cwd)
  terminal.print(
    options.json === true
      ? JSON.stringify({ name: policy.name, hash: hashOf(policy) })
      : `policy ${policy.name} is well-formed, hash ${hashOf(policy)}`,
  )
  return 0
}
