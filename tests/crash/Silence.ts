/**
 * Silence.ts - looks for what must stand nowhere: prompts in any file or line, and in lines and text files also answers,
 * call secrets, read tokens and private keys.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crypto } from 'assay/crypto/node'
import { Bytes, Wire } from 'assay/protocol'
import * as Calls from './Calls.ts'
import type { Place } from './Daemon.ts'

/** Holds all output of the daemons of a place, and all files of a home, against what was said in calls. */
export function check(
  place: Pick<Place, 'output'>,
  home: string,
  said: { readonly receipts?: readonly Pick<Calls.Receipt, 'secret'>[]; readonly texts?: readonly string[] },
): void {
  const { receipts = [], texts = [] } = said
  const secrets = receipts.flatMap(({ secret }) => {
    const bytes = Bytes.fromHex(secret)
    const token = Bytes.toHex(Wire.readToken(crypto, bytes))
    return [secret, Bytes.toBase64url(bytes), Bytes.toBase64(bytes), token]
  })
  const keys = keysOf(home)
  assert.ok(keys.length >= 4, 'the keys to look for were not found')
  const forms = (text: string) => [text, encodeURIComponent(text), Buffer.from(text).toString('base64').slice(0, -4)]
  const prompts = [Calls.marker, ...texts].filter((text) => text.length >= 8).flatMap(forms)
  const output = place.output()
  for (const text of [...prompts, ...secrets, ...keys])
    assert.ok(!output.includes(text), 'a daemon printed a prompt, an answer, a secret or a key')
  for (const path of filesOf(home)) {
    const bytes = readFileSync(path)
    // Databases hold commitments and, by design, the secrets of calls; never words.
    const isText = /\.(log|json|txt)$/.test(path)
    for (const text of isText ? [...prompts, ...secrets] : prompts)
      assert.ok(!bytes.includes(text), `${path.slice(home.length)} holds a prompt, an answer or a secret`)
  }
}

/** All private keys of a home in hex, and the same in base64. */
function keysOf(home: string): string[] {
  const found: string[] = []
  for (const path of filesOf(home)) {
    if (!/\.key$|key\.json$|\/key$/.test(path)) continue
    for (const [key] of readFileSync(path, 'utf8').matchAll(/\b[0-9a-f]{64}\b/g)) {
      const bytes = Bytes.fromHex(key)
      found.push(key, Bytes.toBase64url(bytes), Bytes.toBase64(bytes))
    }
  }
  return found
}

function filesOf(home: string): string[] {
  if (!existsSync(home)) return []
  return readdirSync(home, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}
