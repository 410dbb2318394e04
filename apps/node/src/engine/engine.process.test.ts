/** engine.process.test.ts - the exact engine gives the same bits again, in a second session and in a new process. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { crypto } from 'assay/crypto/node'
import { Chat, Generate } from 'assay/execution'
import { Bytes } from 'assay/protocol'
import { logitsHash } from '../../../../tests/execution/logits-hash.ts'
import type { Engine } from './Engine.ts'
import { loadModel } from './loadModel.ts'

const root = join(import.meta.dirname, '../../../..')
const closing: (() => Promise<void>)[] = []
after(async () => {
  for (const close of closing) await close()
})

async function load(): Promise<Engine> {
  const engine = await loadModel(join(root, 'models/tiny'), { runtime: 'onnx-wasm' })
  closing.push(engine.close)
  return engine
}

async function complete({ manifest, tokenizer, lm }: Engine) {
  const messages = [{ role: 'user', content: 'What is a receipt?' }]
  const request = { model: 'tiny', messages, max_tokens: 24, temperature: 1, top_p: 0.9, seed: 42 }
  const body = Bytes.fromUtf8(JSON.stringify(request))
  const prepared = Chat.prepare(crypto, { body, manifest, tokenizer: tokenizer!, drawnSeed: 11n })
  const pieces: string[] = []
  const result = await Generate.generate(crypto, {
    ...{ lm: lm!, prepared, manifest, tokenizer: tokenizer!, signal: new AbortController().signal },
    ...{ onToken: () => {}, onPiece: (piece: string) => void pieces.push(piece) },
  })
  return { ...result, text: pieces.join('') }
}

test('gives the same tokens twice, and the same bits in a second session and in a new process', async () => {
  const first = await load()
  const second = await load()
  assert.deepEqual(await complete(second), await complete(first))
  const hash = await logitsHash(first)
  assert.equal(await logitsHash(second), hash)
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'tests/execution/logits-hash.ts')])
  assert.equal(stdout.trim(), hash)
})
