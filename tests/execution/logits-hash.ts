/** logits-hash.ts - prints the SHA-256 over the logits of a fixed run of models/tiny; tests run it again in a new process. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Engine } from '../../apps/node/src/engine/Engine.ts'
import { loadModel } from '../../apps/node/src/engine/loadModel.ts'
import * as Tensor from '../../src/execution/Tensor.ts'

/** The prompt (three pieces between role tokens) and eight steps. */
export async function logitsHash(engine: Engine): Promise<string> {
  const hash = createHash('sha256')
  const run = await engine.lm!.start()
  let feed: readonly number[] = [0, 2, ...engine.tokenizer!.encode('What is a receipt?'), 4, 3]
  for (let i = 0; i < 8; i++) {
    const logits = await run.forward(feed)
    hash.update(Tensor.fromFloats(logits))
    feed = [logits.indexOf(Math.max(...logits))]
  }
  run.dispose()
  return hash.digest('hex')
}

if (import.meta.main) {
  const engine = await loadModel(join(import.meta.dirname, '../../models/tiny'), { runtime: 'onnx-wasm' })
  console.log(await logitsHash(engine))
  await engine.close()
}
