/**
 * vectors.ts - reads test vectors written by others. They stay outside this repository, in `../shared/vectors` and
 * `../shared/fixtures/tee` (or under the folder that ASSAY_VECTORS names, which then holds `vectors` and `fixtures`).
 *
 * Every file is checked against the SHA-256 in its MANIFEST.tsv when it is read. Where the folder is absent a test says
 * so and counts as not run; with ASSAY_VECTORS_REQUIRED=1 it fails.
 *
 * @example
 * test('accepts and refuses as the suite says', (t) => {
 *   const suite = openVectors('wycheproof', t)
 *   if (suite === undefined) return
 *   const cases = suite.json('wycheproof/ed25519_test.json')   // a path, relative to the suite's folder
 * })
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** One line of a MANIFEST.tsv, by the names of its first line. */
export type Row = Readonly<Record<string, string>>

/** The files of one suite; paths are relative to the suite's folder and use `/`. */
export type Suite = {
  /** The bytes of a listed file; throws when it is not listed, is missing, or has another SHA-256. */
  readonly read: (path: string) => Uint8Array<ArrayBuffer>
  /** The listed paths that start with `prefix` (all without one), sorted. */
  readonly list: (prefix?: string) => readonly string[]
  /** A listed file as text. */
  readonly text: (path: string) => string
  /** A listed file parsed as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: vectors have as many shapes as authors; each test names its own
  readonly json: (path: string) => any
  /** What the manifest says about a file: its source, licence and expected result. */
  readonly row: (path: string) => Row
}

/** The part of a test's context that is used: `t` of node:test. */
export type TestContext = { readonly skip: (message?: string) => void }

const repository = join(import.meta.dirname, '..')

/** The folder that holds `vectors` and `fixtures`. */
export const vectorsHome: string = resolve(process.env.ASSAY_VECTORS ?? join(repository, '..', 'shared'))

const told = new Set<string>()

/** The rows of a manifest by file path, or undefined when there is no such manifest. */
export function readManifest(folder: string): Map<string, Row> | undefined {
  const path = join(folder, 'MANIFEST.tsv')
  if (!existsSync(path)) return undefined
  const [head = '', ...lines] = readFileSync(path, 'utf8').split('\n')
  const names = head.split('\t')
  const rows = new Map<string, Row>()
  for (const line of lines) {
    if (line === '') continue
    const cells = line.split('\t')
    const row = Object.fromEntries(names.map((name, index) => [name, cells[index] ?? '']))
    rows.set(row.file ?? '', row)
  }
  return rows
}

/**
 * Opens a suite: a folder of `vectors` such as `rfc6962-merkle`, or `tee` for the hardware evidence.
 * Returns undefined, with the test marked as not run, where the vectors are absent; throws when they are required.
 */
export function openVectors(name: string, t: TestContext, home: string = vectorsHome): Suite | undefined {
  const folder = name === 'tee' ? join(home, 'fixtures', 'tee') : join(home, 'vectors')
  const prefix = name === 'tee' ? '' : `${name}/`
  const manifest = readManifest(folder)
  if (manifest === undefined) {
    const line = `vectors '${name}' are not at hand`
    if (process.env.ASSAY_VECTORS_REQUIRED === '1') throw new Error(`${line}, and ASSAY_VECTORS_REQUIRED=1`)
    if (!told.has(name)) console.log(`!! ${line}: these tests do not run`)
    told.add(name)
    t.skip(line)
    return undefined
  }
  const paths = [...manifest.keys()]
    .filter((file) => file.startsWith(prefix))
    .map((file) => file.slice(prefix.length))
    .sort()
  if (paths.length === 0) throw new Error(`no suite '${name}' in the manifest`)

  const row = (path: string): Row => {
    const found = manifest.get(prefix + path)
    if (found === undefined) throw new Error(`${path} is not listed in the manifest of '${name}'`)
    return found
  }
  const read = (path: string) => {
    const { sha256 } = row(path)
    const bytes = readFileSync(join(folder, prefix, path))
    const got = createHash('sha256').update(bytes).digest('hex')
    if (got !== sha256) throw new Error(`${name}/${path} is not the listed file: SHA-256 ${got}, listed ${sha256}`)
    return new Uint8Array(bytes)
  }
  const text = (path: string) => new TextDecoder('utf-8', { fatal: true }).decode(read(path))
  return {
    read,
    row,
    text,
    json: (path) => JSON.parse(text(path)),
    list: (start = '') => paths.filter((path) => path.startsWith(start)),
  }
}
