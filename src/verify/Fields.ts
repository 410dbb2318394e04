/**
 * Fields.ts - the named parts of claims that a policy can test. Source: spec/assay.cddl (comments), spec/verdict.md section 4.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type * as Claims from '../protocol/Claims.ts'
import type { Proposition } from './Proposition.ts'

/** What a field holds once rendered: bytes as hex, lists as text. */
export type FieldValue = string | number | bigint | null | readonly string[]

type Readers = {
  readonly [name in keyof Claims.ClaimValues]?: {
    readonly [field: string]: (value: Claims.ClaimValues[name]) => FieldValue
  }
}

const hash = { hash: (value: Uint8Array) => Bytes.toHex(value) }

const readers: Readers = {
  node: { version: (v) => v.version, config: (v) => Bytes.toHex(v.config) },
  order: hash,
  request: {
    method: (v) => v.method,
    target: (v) => v.target,
    mediaType: (v) => v.mediaType,
    hash: (v) => Bytes.toHex(v.hash),
    bytes: (v) => v.bytes,
  },
  effectiveRequest: {
    kind: (v) => v.kind,
    root: (v) => Bytes.toHex(v.root),
    count: (v) => v.count,
    rewrites: (v) => v.rewrites.map((rewrite) => rewriteText(rewrite)),
  },
  response: {
    status: (v) => v.status,
    mediaType: (v) => v.mediaType,
    root: (v) => Bytes.toHex(v.root),
    chunks: (v) => v.chunks,
    bytes: (v) => v.bytes,
  },
  output: { kind: (v) => v.kind, root: (v) => Bytes.toHex(v.root), count: (v) => v.count },
  model: hash,
  weights: hash,
  engine: {
    name: (v) => v.name,
    version: (v) => v.version,
    build: (v) => Bytes.toHex(v.build),
    profile: (v) => v.profile,
    seed: (v) => (v.sampling === undefined ? null : v.sampling.seed),
    temperature: (v) => v.sampling?.temperature ?? null,
    topP: (v) => v.sampling?.topP ?? null,
  },
  route: {
    origin: (v) => v.origin,
    tlsSpki: (v) => (v.tlsSpki === null ? null : Bytes.toHex(v.tlsSpki)),
    upstreamId: (v) => v.upstreamId,
    region: (v) => v.region,
  },
  exposure: { parties: (v) => v.saw.map((entry) => entry.party), retentionSeconds: (v) => v.retentionSeconds },
  attestation: hash,
  proof: hash,
  price: hash,
  outcome: {
    finish: (v) => v.finish,
    error: (v) => v.error,
    promptTokens: (v) => v.usage.prompt,
    completionTokens: (v) => v.usage.completion,
    receivedMs: (v) => v.receivedMs,
    completedMs: (v) => v.completedMs,
    clock: (v) => v.clock,
  },
}

/**
 * A rewrite as one line of text, `code path detail`, as policies and readers list it. A space in the path is written `%20` and a
 * percent sign `%25`, so that no two rewrites have one text.
 */
function rewriteText(rewrite: Claims.Rewrite): string {
  return `${rewrite.code} ${rewrite.path.replaceAll('%', '%25').replaceAll(' ', '%20')} ${rewrite.detail}`
}

/** Names of the fields that a policy can test for a proposition; relations have none. */
export function namesOf(proposition: Proposition): string[] {
  const table = (readers as Record<string, object | undefined>)[proposition]
  return table === undefined ? [] : Object.keys(table)
}

/** The field's value, or undefined where the slot has no such field. */
export function read<Name extends keyof Claims.ClaimValues>(
  name: Name,
  value: Claims.ClaimValues[Name],
  field: string,
): FieldValue | undefined {
  const table = readers[name]
  if (table === undefined || !Object.hasOwn(table, field)) return undefined
  return table[field]?.(value)
}
