/**
 * prove-stake.ts - lets the model checker of the Solidity compiler prove the assertions of contracts/test/formal for all
 * inputs. Minutes of one core; part of the long tier.
 *
 *     node scripts/prove-stake.ts
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const contracts = join(import.meta.dirname, '../contracts')
const model = 'test/formal/StakeModel.sol'
const sources = Object.fromEntries(
  [model, 'src/libraries/Shares.sol'].map((path) => [path, { content: readFileSync(join(contracts, path), 'utf8') }]),
)
const modelChecker = {
  engine: 'all',
  solvers: ['z3'],
  targets: ['assert'],
  showProvedSafe: true,
  showUnproved: true,
  contracts: { [model]: ['StakeModel', 'DepositModel'] },
}
const input = { language: 'Solidity', sources, settings: { modelChecker, outputSelection: {} } }
const { stdout, status } = spawnSync(process.execPath, [join(contracts, 'solc-shim.mjs'), '--standard-json'], {
  cwd: contracts,
  input: JSON.stringify(input),
  encoding: 'utf8',
  maxBuffer: 1 << 26,
})
if (status !== 0) throw new Error(`the compiler ended with ${status}`)

type Message = { readonly message: string; readonly errorCode?: string; readonly severity: string }
const { errors = [] }: { errors?: readonly Message[] } = JSON.parse(stdout)
const proved = errors.filter(({ message }) => /check is safe!/.test(message))
const open = errors.filter(
  ({ message, severity }) => severity === 'error' || /Assertion violation|might happen/.test(message),
)
for (const { message } of errors) console.log(message.split('\n')[0])
const assertions = readFileSync(join(contracts, model), 'utf8').split('assert(').length - 1
console.log(`prove-stake: ${proved.length} of ${assertions} assertions proved for all inputs`)
process.exitCode = open.length > 0 || proved.length !== assertions ? 1 : 0
