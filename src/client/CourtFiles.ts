/**
 * CourtFiles.ts - the states of filings and cases as bytes: one JSON object, bytes as hex, 64-bit and larger numbers as
 * decimal strings. They are read back by the client that wrote them and by nobody else.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type { CaseState, FilingState } from './Stores.ts'

const kinds = {
  filing: {
    texts: ['stage', 'reason', 'coveredBy'],
    bytes: ['faultId', 'salt', 'callData', 'reporter'],
    numbers: ['committedFromBlock', 'reward'],
    plain: ['tries', 'isFinal'],
    needed: ['stage', 'faultId', 'salt', 'callData', 'reporter'],
    stages: ['committed', 'filed', 'recorded', 'rewarded', 'covered', 'refused'],
  },
  case: {
    texts: ['stage'],
    bytes: ['subject', 'incident', 'challenger', 'head'],
    numbers: ['bond', 'index', 'nonce', 'askedAtBlock', 'openedAtBlock', 'lastBlock', 'reward'],
    plain: ['class', 'keyEpoch', 'slot', 'isPaid', 'isFinal'],
    needed: ['stage', 'class', 'subject', 'keyEpoch', 'incident', 'challenger', 'bond'],
    stages: ['opening', 'open', 'answered', 'expired', 'failed'],
  },
} as const

/** Writes the state of a filing. */
export function serializeFiling(state: FilingState): Uint8Array {
  return serialize(state)
}

/** Reads the state of a filing; throws for anything that was not written here. */
export function parseFiling(bytes: Uint8Array): FilingState {
  return parse('filing', bytes) as FilingState
}

/** Writes the state of a case. */
export function serializeCase(state: CaseState): Uint8Array {
  return serialize(state)
}

/** Reads the state of a case; throws for anything that was not written here. */
export function parseCase(bytes: Uint8Array): CaseState {
  return parse('case', bytes) as CaseState
}

function serialize(state: object): Uint8Array {
  const asText = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)
  const fields = Object.entries(state).map(([name, value]) => [
    name,
    value instanceof Uint8Array ? Bytes.toHex(value) : value,
  ])
  return Bytes.fromUtf8(`${JSON.stringify(Object.fromEntries(fields), asText, 1)}\n`)
}

function parse(kind: keyof typeof kinds, bytes: Uint8Array): unknown {
  const { texts, bytes: hexes, numbers, plain, needed, stages } = kinds[kind]
  const has = (names: readonly string[], name: string) => names.includes(name)
  const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Record<string, unknown>
  const fields = Object.entries(value).map(([name, written]) => {
    if (has(hexes, name)) return [name, Bytes.fromHex(written as string)]
    if (has(numbers, name)) return [name, BigInt(written as string)]
    if (has(texts, name) || has(plain, name)) return [name, written]
    throw new TypeError(name)
  })
  const state = Object.fromEntries(fields) as Record<string, unknown>
  if (needed.some((name) => !Object.hasOwn(state, name)) || !has(stages, state.stage as string))
    throw new TypeError(kind)
  return state
}
