/**
 * TrustAnchors.ts - which chain, contracts and headers a reader trusts: an argument of the reader, never part of a
 * bundle. Source: spec/bundle.md section 4.
 *
 * The file form is a JSON array, one object per chain and pair of contracts. 64-bit numbers are decimal strings, addresses and
 * hashes are lower-case hex with 0x. Reading is strict: unknown, missing or repeated names, and any other form of a
 * value, are refused with the place where they stand.
 */
import * as Bytes from '../protocol/Bytes.ts'
import { UsageError } from '../protocol/errors.ts'

/** A contract by its address and code. */
export type Contract = {
  /** 20 bytes. */
  readonly address: Uint8Array
  /** Keccak-256 of its runtime code, 32 bytes. */
  readonly codeHash: Uint8Array
}

/** A block that the reader itself saw as final under the rule. */
export type TrustedHeader = {
  readonly number: bigint
  /** 32 bytes. */
  readonly hash: Uint8Array
}

/** The contracts that hold stake and take it away. */
export type StakeContracts = {
  readonly stakeManager: Contract
  readonly faultCourt: Contract
  readonly faultCases: Contract
}

/**
 * How headers became trusted. `development`: this reader saw them at or below its RPC's finalized tag; `quorum:k/n`: k of the
 * reader's n endpoints did, and no one of them named another hash at that number.
 */
export type FinalityRule = 'development' | `quorum:${number}/${number}`

/** What a reader trusts about one chain. */
export type TrustAnchors = {
  readonly chainId: bigint
  readonly nodeRegistry: Contract
  readonly anchorLog: Contract
  /** Without it no stake counts for this reader. */
  readonly stake?: StakeContracts
  readonly finality: FinalityRule
  /** By number, ascending, one per number. */
  readonly headers: readonly TrustedHeader[]
}

/** Most headers kept per chain; `add` drops the oldest. A file of that size is about 6 MB. */
export const maxHeaders = 65_536
// One file holds a reader's chains; a person has a handful.
const maxAnchors = 64
// A reader's own list of endpoints, written by hand.
const maxEndpoints = 16
const maxTextLength = 16 * 1024 * 1024
const maxLevels = 8

/** Reads the file form; throws `TrustAnchors.AnchorsFileError`, which names the place. */
export function parse(text: string): readonly TrustAnchors[] {
  if (text.length > maxTextLength) throw new AnchorsFileError('$', `at most ${maxTextLength} characters`)
  // No value of this format holds a backslash, so a name is what stands in quotes before a colon, and can be counted.
  if (text.includes('\\')) throw new AnchorsFileError('$', 'no backslash anywhere')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new AnchorsFileError('$', 'JSON', cause)
  }
  const namesWritten = text.match(/"[^"]*"\s*:/g)?.length ?? 0
  if (namesWritten !== countNames(value)) throw new AnchorsFileError('$', 'no name twice in one object')
  const anchors = array(value, '$', maxAnchors).map((item, i) => readAnchors(item, `$[${i}]`))
  for (const [i, one] of anchors.entries()) {
    if (anchors.slice(0, i).some((other) => isSameDomain(one, other))) {
      throw new AnchorsFileError(`$[${i}]`, 'each chain and pair of contracts once')
    }
  }
  return anchors
}

/** Writes the file form, one header a line; `parse` reads it back to equal values. */
export function serialize(anchors: readonly TrustAnchors[]): string {
  const blocks = anchors.map((one) => {
    const headers = one.headers.map((header) => `      ["${header.number}", "${Bytes.to0x(header.hash)}"]`)
    return [
      '  {',
      `    "chainId": "${one.chainId}",`,
      `    "nodeRegistry": ${writeContract(one.nodeRegistry)},`,
      `    "anchorLog": ${writeContract(one.anchorLog)},`,
      ...(one.stake === undefined ? [] : [`    "stake": ${writeStake(one.stake)},`]),
      `    "finality": "${one.finality}",`,
      headers.length === 0 ? '    "headers": []' : `    "headers": [\n${headers.join(',\n')}\n    ]`,
      '  }',
    ].join('\n')
  })
  return blocks.length === 0 ? '[]\n' : `[\n${blocks.join(',\n')}\n]\n`
}

/**
 * Adds a header that the reader saw as final. A different hash at the same number replaces the old one, and all
 * headers above it are dropped with it: they belonged to a history that the chain has given up.
 */
export function add(anchors: TrustAnchors, header: TrustedHeader): TrustAnchors {
  Bytes.assertLength(header.hash, 32, 'Block hash')
  const known = anchors.headers.find((one) => one.number === header.number)
  if (known !== undefined && Bytes.equal(known.hash, header.hash)) return anchors
  const kept = anchors.headers.filter((one) =>
    known === undefined ? one.number !== header.number : one.number < header.number,
  )
  const headers = [...kept, header].sort((a, b) => (a.number < b.number ? -1 : 1))
  return { ...anchors, headers: headers.slice(-maxHeaders) }
}

/** Says whether two values speak of the same chain and the same contracts, whatever their headers. */
function isSameDomain(left: TrustAnchors, right: TrustAnchors): boolean {
  return (
    left.chainId === right.chainId &&
    Bytes.equal(left.nodeRegistry.address, right.nodeRegistry.address) &&
    Bytes.equal(left.anchorLog.address, right.anchorLog.address)
  )
}

function readAnchors(value: unknown, place: string): TrustAnchors {
  const fields = object(value, place, ['chainId', 'nodeRegistry', 'anchorLog', 'finality', 'headers'], ['stake'])
  const { finality, stake } = fields
  if (!isFinalityRule(finality))
    throw new AnchorsFileError(`${place}.finality`, `"development" or "quorum:k/n", n/2 < k <= n <= ${maxEndpoints}`)
  const headers = array(fields.headers, `${place}.headers`, maxHeaders).map((item, i) => {
    const at = `${place}.headers[${i}]`
    const pair = array(item, at, 2)
    if (pair.length !== 2) throw new AnchorsFileError(at, '[number, hash]')
    return { number: uint64(pair[0], `${at}[0]`), hash: hex(pair[1], `${at}[1]`, 32) }
  })
  for (const [i, header] of headers.entries()) {
    const before = headers[i - 1]
    if (before !== undefined && before.number >= header.number) {
      throw new AnchorsFileError(`${place}.headers[${i}]`, 'numbers in ascending order, each once')
    }
  }
  return {
    chainId: uint64(fields.chainId, `${place}.chainId`),
    nodeRegistry: readContract(fields.nodeRegistry, `${place}.nodeRegistry`),
    anchorLog: readContract(fields.anchorLog, `${place}.anchorLog`),
    ...(stake === undefined ? {} : { stake: readStake(stake, `${place}.stake`) }),
    finality,
    headers,
  }
}

/** Says whether a text is a rule: `development`, or `quorum:k/n` with n/2 < k <= n <= 16, without leading zeros. */
export function isFinalityRule(value: unknown): value is FinalityRule {
  if (value === 'development') return true
  const counts = typeof value === 'string' ? /^quorum:([1-9][0-9]?)\/([1-9][0-9]?)$/.exec(value) : null
  if (counts === null) return false
  const [k, n] = [Number(counts[1]), Number(counts[2])]
  return 2 * k > n && k <= n && n <= maxEndpoints
}

function readStake(value: unknown, place: string): StakeContracts {
  const fields = object(value, place, ['stakeManager', 'faultCourt', 'faultCases'])
  return {
    stakeManager: readContract(fields.stakeManager, `${place}.stakeManager`),
    faultCourt: readContract(fields.faultCourt, `${place}.faultCourt`),
    faultCases: readContract(fields.faultCases, `${place}.faultCases`),
  }
}

function writeStake(stake: StakeContracts): string {
  const names = ['stakeManager', 'faultCourt', 'faultCases'] as const
  return `{\n${names.map((name) => `      "${name}": ${writeContract(stake[name])}`).join(',\n')}\n    }`
}

function readContract(value: unknown, place: string): Contract {
  const fields = object(value, place, ['address', 'codeHash'])
  return {
    address: hex(fields.address, `${place}.address`, 20),
    codeHash: hex(fields.codeHash, `${place}.codeHash`, 32),
  }
}

function writeContract(contract: Contract): string {
  return `{ "address": "${Bytes.to0x(contract.address)}", "codeHash": "${Bytes.to0x(contract.codeHash)}" }`
}

function object<Name extends string, Other extends string = never>(
  value: unknown,
  place: string,
  names: readonly Name[],
  others: readonly Other[] = [],
): Record<Name | Other, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new AnchorsFileError(place, 'an object')
  for (const name of Object.keys(value)) {
    if (![...names, ...others].includes(name as Name)) throw new AnchorsFileError(`${place}.${name}`, 'no such name')
  }
  for (const name of names)
    if (!Object.hasOwn(value, name)) throw new AnchorsFileError(`${place}.${name}`, 'to be there')
  return value as Record<Name | Other, unknown>
}

function array(value: unknown, place: string, limit: number): readonly unknown[] {
  if (!Array.isArray(value)) throw new AnchorsFileError(place, 'an array')
  if (value.length > limit) throw new AnchorsFileError(place, `at most ${limit} items`)
  return value
}

function uint64(value: unknown, place: string): bigint {
  if (typeof value !== 'string' || !/^(0|[1-9][0-9]{0,19})$/.test(value) || BigInt(value) >> 64n !== 0n) {
    throw new AnchorsFileError(place, 'a string of decimal digits below 2^64')
  }
  return BigInt(value)
}

function hex(value: unknown, place: string, length: number): Uint8Array {
  if (typeof value !== 'string' || !/^0x[0-9a-f]*$/.test(value) || value.length !== 2 + 2 * length) {
    throw new AnchorsFileError(place, `0x and ${2 * length} lower-case hex digits`)
  }
  return Bytes.from0x(value)
}

function countNames(value: unknown, depth = 0): number {
  if (typeof value !== 'object' || value === null) return 0
  // The format has four levels; without a limit a file of brackets ends in a stack overflow.
  if (depth > maxLevels) throw new AnchorsFileError('$', `at most ${maxLevels} levels`)
  const own = Array.isArray(value) ? 0 : Object.keys(value).length
  return Object.values(value).reduce<number>((sum, item) => sum + countNames(item, depth + 1), own)
}

/** A trust anchors file cannot be read; `place` is a path such as `$[0].headers[3][1]`. */
export class AnchorsFileError extends UsageError<'anchors-file-invalid'> {
  override readonly name = 'TrustAnchors.AnchorsFileError'
  readonly place: string
  constructor(place: string, expected: string, cause?: unknown) {
    super('anchors-file-invalid', 'The trust anchors cannot be read.', {
      facts: [`Place: ${place}`, `Expected: ${expected}`],
      cause,
    })
    this.place = place
  }
}
