/** ContractSources.ts - which contracts are generated into TypeScript, and the digest that tells whether that is fresh. */
import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The root of the repository. */
export const root = join(import.meta.dirname, '..')

/** A contract and the TypeScript file that its build goes to; paths from the root. */
export type Target = { readonly contract: string; readonly source: string; readonly file: string }

/** The contracts of the network, and the harness through which tests call the Solidity libraries. */
export const targets: readonly Target[] = [
  { contract: 'NodeRegistry', source: 'contracts/src/NodeRegistry.sol', file: 'src/chain/generated/NodeRegistry.ts' },
  { contract: 'AnchorLog', source: 'contracts/src/AnchorLog.sol', file: 'src/chain/generated/AnchorLog.ts' },
  { contract: 'AssayToken', source: 'contracts/src/AssayToken.sol', file: 'src/chain/generated/AssayToken.ts' },
  { contract: 'StakeManager', source: 'contracts/src/StakeManager.sol', file: 'src/chain/generated/StakeManager.ts' },
  { contract: 'FaultCourt', source: 'contracts/src/FaultCourt.sol', file: 'src/chain/generated/FaultCourt.ts' },
  { contract: 'FaultCases', source: 'contracts/src/FaultCases.sol', file: 'src/chain/generated/FaultCases.ts' },
  {
    contract: 'ModelRegistry',
    source: 'contracts/src/ModelRegistry.sol',
    file: 'src/chain/generated/ModelRegistry.ts',
  },
  {
    contract: 'AssayTimelock',
    source: 'contracts/src/AssayTimelock.sol',
    file: 'src/chain/generated/AssayTimelock.ts',
  },
  {
    contract: 'LibraryHarness',
    source: 'contracts/test/support/LibraryHarness.sol',
    file: 'contracts/driver/LibraryHarness.generated.ts',
  },
]

/**
 * SHA-256, in hex, over everything that decides a contract's bytecode: its file, all of contracts/src, foundry.toml and
 * the exact versions of the compiler and of OpenZeppelin. Reads text only, compiles nothing.
 */
export function digest(target: Target): string {
  const { devDependencies: versions } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const paths = new Set(['contracts/foundry.toml', target.source])
  for (const path of globSync('contracts/src/**/*.sol', { cwd: root })) paths.add(path.replaceAll('\\', '/'))
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  const lines = [...paths].sort().map((path) => `${hash(readFileSync(join(root, path), 'utf8'))} ${path}\n`)
  for (const name of ['solc', '@openzeppelin/contracts']) lines.push(`${versions[name]} ${name}\n`)
  return hash(lines.join(''))
}
