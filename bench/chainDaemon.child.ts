/** chainDaemon.child.ts - the whole daemon with its embedded chain, in a process of its own so that its memory is its own. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startDaemon } from '@assay/node/daemon'
import { TrustAnchors } from 'assay/chain'
import { Bytes } from 'assay/protocol'

/** What the parent gets to know; `anchors` is the file form. */
export type Started = {
  readonly gateway: string
  readonly chain: string
  readonly anchors: string
  readonly operator: string
  readonly witness: string
  /** Process of the chain. */
  readonly chainPid: number
}

const [home = ''] = process.argv.slice(2)
const daemon = await startDaemon({
  ...{ home, port: 0, models: join(import.meta.dirname, '..', 'models'), log: () => {} },
})
const { pid } = JSON.parse(readFileSync(join(home, 'chain', 'process.json'), 'utf8')) as { readonly pid: number }
const { endpoints, reader } = daemon
const started: Started = {
  ...{ gateway: endpoints.gateway, chain: endpoints.chain, anchors: TrustAnchors.serialize([reader.anchors]) },
  ...{ operator: Bytes.toHex(reader.operator), witness: Bytes.toHex(reader.witness), chainPid: pid },
}
process.send?.(started)
process.once('message', () => void daemon.stop().then(() => process.exit(0)))
