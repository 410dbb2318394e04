/** Writes vectors/policies.json: the built-in policies as data with their hashes. */
import { writeFileSync } from 'node:fs'
import { crypto } from 'assay/crypto/noble'
import { Bytes } from 'assay/protocol'
import { Policy, policies } from 'assay/verify'

const cases = Object.values(policies.builtIn).map((policy) => ({
  name: policy.name,
  hash: Bytes.toHex(Policy.hash(crypto, policy)),
  policy,
}))
const file = {
  description: 'Built-in policies and their hashes: SHA-256 of the dCBOR with text keys.',
  spec: 'spec/verdict.md section 4',
  cases,
}
writeFileSync(new URL('../vectors/policies.json', import.meta.url), `${JSON.stringify(file, null, 2)}\n`)
