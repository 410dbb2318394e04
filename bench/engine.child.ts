/** engine.child.ts - loads one engine in a fresh process and says what that took; argument: the runtime's name. */
import { join } from 'node:path'
import type { RuntimeName } from '@assay/node/engine/Engine'
import * as Measure from './Measure.ts'

/** In microseconds and MiB. */
export type Loaded = { readonly cpu: number; readonly wall: number; readonly rssMiB: number }

const folder = join(import.meta.dirname, '..', 'models', 'tiny')
const { value, cpu, wall } = await Measure.once(async () => {
  const { loadModel } = await import('@assay/node/engine/loadModel')
  return loadModel(folder, { runtime: process.argv[2] as RuntimeName })
})
const loaded: Loaded = { cpu, wall, rssMiB: process.memoryUsage.rss() / 2 ** 20 }
await value.close()
process.send?.(loaded, () => process.exit())
