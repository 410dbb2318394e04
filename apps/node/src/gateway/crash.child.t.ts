/**
 * crash.child.t.ts - gateway, issuer, log and witness in a process made to be killed. Argument: the folder. It tells its port,
 * and for `heads` all that the log holds; nothing else.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import * as LogScene from '../log/scene.ts'
import * as Issuer from '../receipts/Issuer.ts'
import * as SqliteReceiptStore from '../receipts/SqliteReceiptStore.ts'
import * as Gateway from './Gateway.ts'
import * as LeafCache from './LeafCache.ts'
import * as NodeConfig from './NodeConfig.ts'
import * as Scene from './scene.t.ts'

const folder = process.argv[2] as string
const chain = LogScene.createChain()
const { log } = await LogScene.openBoth(folder, chain)
const store = SqliteReceiptStore.open({ folder: join(folder, 'node') })
const interrupted = await store.interruptRunning()
const { chainId, registry, anchorLog, logId } = LogScene.identity
const signer = LogScene.signers.node
const issuer = await Issuer.create({
  ...{ crypto, signer, store, logs: [{ name: 'log', port: log }] },
  ...{ identity: { chainId, registry, nodeId: LogScene.nodeId, keyEpoch: 0 } },
})
const engines = Scene.toyEngines()
const gateway = Gateway.create({
  ...{ crypto, engines, issuer, store, exposure: Scene.exposure, now: Date.now },
  leaves: LeafCache.create({ maxBytes: 1024 * 1024, maxAgeMs: 60_000, now: Date.now }),
  logs: [{ logId, publicKey: log.publicKey, ed25519: new Uint8Array(32), files: log.files, proof: log.proof }],
  config: NodeConfig.create(crypto, engines.values(), 600),
  newestBlock: () => ({ number: 100n, timestampSeconds: 0n }),
  identity: { chainId, nodeRegistry: registry, anchorLog, operator: new Uint8Array(20), witnesses: [] },
  publicKeyOf: () => signer.publicKey,
  random: (length) => new Uint8Array(randomBytes(length)),
  record: () => {},
  notReady: () => undefined,
})
const url = await gateway.listen({ host: '127.0.0.1', port: 0 })
process.on('message', () => {
  const heads = Array.from({ length: Number(log.size()) }, (_, i) =>
    Bytes.toHex(log.entry(BigInt(i))?.head as Uint8Array),
  )
  process.send?.({ heads })
})
process.send?.({ url, interrupted })
