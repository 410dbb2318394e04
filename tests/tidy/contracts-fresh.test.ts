/** The committed ABI and bytecode belong to the committed Solidity: compared by digest, without a compiler. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { digest, root, targets } from '../../scripts/ContractSources.ts'

describe('generated contracts are fresh', () => {
  for (const target of targets) {
    test(target.file, () => {
      const [, found] = /sourceDigest = '([0-9a-f]{64})'/.exec(readFileSync(join(root, target.file), 'utf8')) ?? []
      assert.equal(found, digest(target), 'run: node scripts/generate-contracts.ts')
    })
  }
})
