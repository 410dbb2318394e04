/**
 * ReaderFile.ts - `reader.json`: where this person's gateway and chain are, and whom the person names. Strict, because a
 * name that is read wrongly is trust given wrongly.
 */
import { Bytes, errors } from 'assay/protocol'
import type { Reader } from 'assay/verify'

export type ReaderFile = {
  /** JSON-RPC endpoint of a chain node that is the reader's own; null = none. */
  readonly chainRpcUrl: string | null
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
const names = ['chainRpcUrl', 'gatewayUrl', 'operators', 'witnesses', 'rewrites'] as const

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
  return {
    chainRpcUrl: url(fields.chainRpcUrl, '$.chainRpcUrl'),
    gatewayUrl: url(fields.gatewayUrl, '$.gatewayUrl'),
    operators: list(fields.operators, '$.operators', /^0x[0-9a-f]{40}$/, '0x and 40 lower-case hex digits'),
    witnesses: list(fields.witnesses, '$.witnesses', /^[0-9a-f]{64}$/, '64 lower-case hex digits'),
    rewrites: list(fields.rewrites, '$.rewrites', /^[^\u0000-\u001f]{1,512}$/, 'text of at most 512 characters'),
  }
}

export function serialize(file: ReaderFile): string {
  const { chainRpcUrl, gatewayUrl, operators, witnesses, rewrites } = file
  return `${JSON.stringify({ chainRpcUrl, gatewayUrl, operators, witnesses, rewrites }, null, 2)}\n`
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
