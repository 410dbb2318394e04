/**
 * generate-vectors.ts - writes vectors/*.json and spec/example.md. Without clock and chance: the same bytes everywhere.
 *
 *     node scripts/generate-vectors.ts
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { VectorFile } from './vector-files/cases.ts'
import * as chain from './vector-files/chain.ts'
import * as composed from './vector-files/composed.ts'
import { example } from './vector-files/example.ts'
import * as faults from './vector-files/faults.ts'
import * as fixed from './vector-files/fixed.ts'
import * as heartbeat from './vector-files/heartbeat.ts'
import * as texts from './vector-files/texts.ts'

/** What each file holds now, by its path from the root. */
export async function outputs(): Promise<Record<string, string>> {
  const files: Record<string, VectorFile> = {
    anchors: texts.anchorsFile(),
    bundle: composed.bundleFile(chain.piece, chain.stakedPiece),
    chain: chain.chainFile(),
    checkpoint: await fixed.checkpointFile(),
    claims: fixed.claimsFile(),
    cose: fixed.coseFile(),
    dcbor: texts.dcborFile(),
    entry: fixed.entryFile(),
    fault: await faults.faultFile(),
    head: fixed.headFile(),
    heartbeat: await heartbeat.heartbeatFile(),
    identity: fixed.identityFile(),
    manifest: composed.manifestFile(),
    merkle: fixed.merkleFile(),
    note: texts.noteFile(),
    order: fixed.orderFile(),
    pledge: fixed.pledgeFile(),
    wire: composed.wireFile(),
  }
  const json = Object.entries(files).map(([name, file]) => [`vectors/${name}.json`, render(file)] as const)
  return { ...Object.fromEntries(json), 'spec/example.md': example() }
}

/** One line for each case, so that differences are easy to read. */
function render({ description, spec, cases }: VectorFile): string {
  const lines = cases.map((item) => `    ${JSON.stringify(item)}`)
  return `{\n  "description": ${JSON.stringify(description)},\n  "spec": ${JSON.stringify(spec)},\n  "cases": [\n${lines.join(',\n')}\n  ]\n}\n`
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..')
  for (const [path, text] of Object.entries(await outputs())) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
    console.log(`${path}  ${text.length} bytes`)
  }
}
