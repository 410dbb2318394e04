/**
 * ReaderFile.ts - `reader.json`: where this person's gateway and chain are, and whom the person names. Strict, because a
 * name that is read wrongly is trust given wrongly.
 */
import { Quorum, type TrustAnchors } from 'assay/chain'
import { Bytes, errors } from 'assay/protocol'
import type { Reader } from 'assay/verify'

export type ReaderFile = {
  /** JSON-RPC endpoint of a chain node that is the reader's own; null = none. */
  readonly chainRpcUrl: string | null
  /** Several endpoints that are believed together, more than half of them: the first is `chainRpcUrl`. */
  readonly chainQuorum?: { readonly endpoints: readonly string[]; readonly k: number }
  readonly gatewayUrl: string | null
  /** Operators named by the reader, 0x and 40 hex digits. */
  readonly operators: readonly string[]
  /** keyIds of witnesses named by the reader, 64 hex digits. */
  readonly witnesses: readonly string[]
  /** Rewrites (`code path detail`) that the reader allows. */
  readonly rewrites: readonly string[]
}

export const maxBytes = 256 * 1024
const maxNames = 256
const names = ['chainRpcUrl', 'chainQuorum', 'gatewayUrl', 'operators', 'witnesses', 'rewrites'] as const

/** Reads the file; throws `ReaderFile.ReaderFileError`, which names the place. */
export function parse(text: string): ReaderFile {
  let data: unknown
  try {
    data = JSON.parse(text)
  } catch (cause) {
    throw new ReaderFileError('$', 'JSON', cause)
  }
  if (typeof data !== 'object' || data === null || Array.isArray(data)) throw new ReaderFileError('$', 'an object')
  const fields = data as Record<string, unknown>
  for (const name of Object.keys(fields))
    if (!(names as readonly string[]).includes(name)) throw new ReaderFileError(`$.${name}`, 'no such name')
  const chainRpcUrl = url(fields.chainRpcUrl, '$.chainRpcUrl')
  return {
    chainRpcUrl,
    ...(fields.chainQuorum === undefined ? {} : { chainQuorum: quorum(fields.chainQuorum, chainRpcUrl) }),
    gatewayUrl: url(fields.gatewayUrl, '$.gatewayUrl'),
    operators: list(fields.operators, '$.operators', /^0x[0-9a-f]{40}$/, '0x and 40 lower-case hex digits'),
    witnesses: list(fields.witnesses, '$.witnesses', /^[0-9a-f]{64}$/, '64 lower-case hex digits'),
    rewrites: list(fields.rewrites, '$.rewrites', /^[^\u0000-\u001f]{1,512}$/, 'text of at most 512 characters'),
  }
}

export function serialize(file: ReaderFile): string {
  const { chainRpcUrl, chainQuorum, gatewayUrl, operators, witnesses, rewrites } = file
  return `${JSON.stringify({ chainRpcUrl, chainQuorum, gatewayUrl, operators, witnesses, rewrites }, null, 2)}\n`
}

/** The names as the library takes them; without a file nobody is named. */
export function toNames(file: ReaderFile | undefined): Pick<Reader.Reader, 'witnesses' | 'operators' | 'rewrites'> {
  return {
    operators: (file?.operators ?? []).map(Bytes.from0x),
    witnesses: (file?.witnesses ?? []).map(Bytes.fromHex),
    rewrites: file?.rewrites ?? [],
  }
}

/** True for an endpoint on this machine. */
export function isLoopback(address: string): boolean {
  const { hostname } = new URL(address)
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}

/** The rule under which these endpoints show which headers are final; one endpoint alone may also be a development chain's. */
export function finalityOf(file: Pick<ReaderFile, 'chainQuorum'>): TrustAnchors.FinalityRule {
  const { endpoints, k } = file.chainQuorum ?? { endpoints: [''], k: 1 }
  return Quorum.rule(k, endpoints.length)
}

function quorum(value: unknown, first: string | null): NonNullable<ReaderFile['chainQuorum']> {
  const place = '$.chainQuorum'
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new ReaderFileError(place, 'an object')
  const fields = value as Record<string, unknown>
  for (const name of Object.keys(fields))
    if (name !== 'endpoints' && name !== 'k') throw new ReaderFileError(`${place}.${name}`, 'no such name')
  const { endpoints, k } = fields
  if (!Array.isArray(endpoints) || endpoints.length === 0 || endpoints.length > Quorum.maxEndpoints)
    throw new ReaderFileError(`${place}.endpoints`, `an array of 1 to ${Quorum.maxEndpoints} URLs`)
  const urls = endpoints.map((one: unknown, i) => {
    const at = `${place}.endpoints[${i}]`
    const endpoint = url(one, at)
    if (endpoint === null) throw new ReaderFileError(at, 'a URL')
    return endpoint
  })
  // The same endpoint twice would have two votes.
  if (new Set(urls.map(Quorum.endpointOf)).size !== urls.length)
    throw new ReaderFileError(`${place}.endpoints`, 'each URL once')
  if (urls[0] !== first) throw new ReaderFileError(`${place}.endpoints[0]`, 'the same URL as chainRpcUrl')
  if (typeof k !== 'number' || !Number.isInteger(k) || k > urls.length || 2 * k <= urls.length)
    throw new ReaderFileError(`${place}.k`, 'more than half of the endpoints, at most all')
  return { endpoints: urls, k }
}

function url(value: unknown, place: string): string | null {
  if (value === null || value === undefined) return null
  if (typeof value !== 'string' || value.length > 2048 || !URL.canParse(value))
    throw new ReaderFileError(place, 'a URL')
  const { protocol } = new URL(value)
  if (protocol !== 'http:' && protocol !== 'https:') throw new ReaderFileError(place, 'an http or https URL')
  return value
}

function list(value: unknown, place: string, pattern: RegExp, expected: string): readonly string[] {
  if (!Array.isArray(value) || value.length > maxNames)
    throw new ReaderFileError(place, `an array of at most ${maxNames}`)
  return value.map((item: unknown, i) => {
    if (typeof item !== 'string' || !pattern.test(item)) throw new ReaderFileError(`${place}[${i}]`, expected)
    return item
  })
}

/** `reader.json` cannot be read. */
export class ReaderFileError extends errors.UsageError<'reader-file-invalid'> {
  override readonly name = 'ReaderFile.ReaderFileError'
  constructor(place: string, expected: string, cause?: unknown) {
    super('reader-file-invalid', 'reader.json cannot be read.', {
      facts: [`Place: ${place}`, `Expected: ${expected}`],
      cause,
    })
  }
}
