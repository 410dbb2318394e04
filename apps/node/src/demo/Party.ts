/**
 * Party.ts - one operator with a node, a log and a witness, made of the parts that the daemon is made of, each in its own folder
 * and with its own account, registered and bonded on the chain of a stage. A `Tampering` replaces single steps; without one
 * the party is honest.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { crypto } from 'assay/crypto/node'
import { Bytes, type Cose } from 'assay/protocol'
import * as Parts from '../daemon/parts.ts'
import type { Engine } from '../engine/Engine.ts'
import * as Gateway from '../gateway/Gateway.ts'
import * as LeafCache from '../gateway/LeafCache.ts'
import { limits } from '../gateway/limits.ts'
import * as NodeConfig from '../gateway/NodeConfig.ts'
import type { Served } from '../gateway/Served.ts'
import * as KeyFile from '../keys/KeyFile.ts'
import * as Log from '../log/Log.ts'
import * as Issuer from '../receipts/Issuer.ts'
import type { ReceiptStore } from '../receipts/ReceiptStore.ts'
import * as SqliteReceiptStore from '../receipts/SqliteReceiptStore.ts'
import { bondAmount, bondAtStart } from '../settle/bond.ts'
import { developmentPledgeBlocks } from '../settle/deploy.ts'
import { registerKey, registerLog, registerNode, roles } from '../settle/register.ts'
import * as Witness from '../witness/Witness.ts'
import type { Stage } from './Stage.ts'

/** Many parties share one machine here: a pledge that takes long is no reason for a receipt that follows later. */
export const pledgeTimeoutMs = 10_000

/** The parts that a tampering may look at. */
export type Inside = {
  readonly stage: Stage
  readonly nodeId: Uint8Array
  readonly logId: Uint8Array
  readonly nodeSigner: Cose.Signer
  readonly logSigner: Cose.Signer
  readonly witnessSigner: Cose.Signer
  readonly log: Log.Log
  readonly store: ReceiptStore
}

/** Steps that a party may take in another way than the daemon does. */
export type Tampering = {
  /** What the log is opened with instead: storage, mirror, hash function. */
  readonly log?: () => Pick<Partial<Parameters<typeof Log.createLog>[0]>, 'store' | 'mirror' | 'crypto'>
  /** What the node's issuer takes for the log. */
  readonly logPort?: (inside: Inside) => Issuer.LogPort
  /** Another issuer beside the real one. */
  readonly issuer?: (inside: Inside, real: Issuer.Issuer) => Promise<Issuer.Issuer>
  /** What the gateway serves. */
  readonly served?: (inside: Inside, served: Served) => Served
}

export type Party = {
  readonly name: string
  /** Of the gateway. */
  readonly url: string
  /** 32 bytes each. */
  readonly nodeId: Uint8Array
  readonly logId: Uint8Array
  /** 32 bytes: keyId of the witness. */
  readonly witness: Uint8Array
  /** 20 bytes. */
  readonly operator: Uint8Array
  /** Entries of the log. */
  readonly size: () => bigint
  /** Begins to anchor the log; a log that is late on purpose begins later. */
  readonly startAnchoring: () => void
  readonly close: () => Promise<void>
}

/** Opens a party: account, keys, registrations, bonds, witness, log, issuer, gateway. */
export async function openParty(options: {
  readonly stage: Stage
  readonly name: string
  readonly engines: ReadonlyMap<string, Engine>
  readonly tampering?: Tampering
}): Promise<Party> {
  const closers = Parts.createClosers()
  try {
    return await open(options, closers)
  } catch (error) {
    await closers.run()
    throw error
  }
}

async function open(options: Parameters<typeof openParty>[0], closers: Parts.Closers): Promise<Party> {
  const { stage, name, engines } = options
  const tampering = options.tampering ?? {}
  const { rpc, book, view } = stage
  const { chainId } = book
  const registry = book.nodeRegistry.address
  const anchorLog = book.anchorLog.address
  const home = join(stage.home, 'parties', name)
  const folders = { node: join(home, 'node'), log: join(home, 'log'), witness: join(home, 'witness') }
  const account = await stage.account(home, 2n * bondAmount)
  const nodeKey = KeyFile.openKey(folders.node, 'node')
  const logKey = KeyFile.openKey(folders.log, 'log')
  const witnessKey = KeyFile.openKey(folders.witness, 'witness')
  const registrar = { crypto, rpc, sender: account.sender, book }
  const ed25519 = logKey.ed25519 as NonNullable<typeof logKey.ed25519>
  const [nodeId, logId] = await Promise.all([
    registerNode(registrar, { endpoint: '' }),
    registerLog(registrar, {
      ...{ signer: logKey.signer, ed25519Key: ed25519.publicKey, pledgeBlocks: developmentPledgeBlocks },
    }),
  ])
  const [{ keyEpoch }] = await Promise.all([
    // One after the other, so that the node's key has the first epoch.
    registerKey(registrar, { nodeId, role: roles.node, signer: nodeKey.signer }).then(async (entered) => {
      await registerKey(registrar, { nodeId, role: roles.witness, signer: witnessKey.signer })
      return entered
    }),
    bondAtStart(
      registrar,
      [nodeId, logId].map((subject) => ({ subject, amount: bondAmount })),
      { development: true },
    ),
  ])
  await view.refresh()

  const witness = await Witness.createWitness({
    folder: folders.witness,
    log: { chainId, anchorLog, logId, publicKey: logKey.signer.publicKey },
    ...{ signer: witnessKey.signer, chain: view, crypto },
    ...(witnessKey.ed25519 === undefined ? {} : { ed25519: witnessKey.ed25519 }),
  })
  closers.add('witness', witness.close)
  const log = await Log.createLog({
    ...{ folder: folders.log, signer: logKey.signer, ed25519, chain: view, crypto },
    identity: { chainId, registry, anchorLog, logId, pledgeBlocks: developmentPledgeBlocks },
    mirror: witness.mirror,
    ...tampering.log?.(),
  })
  closers.add('log', log.close)
  const store = SqliteReceiptStore.open({ folder: folders.node })
  closers.add('store', store.close)
  const signers = { nodeSigner: nodeKey.signer, logSigner: logKey.signer, witnessSigner: witnessKey.signer }
  const inside: Inside = { stage, nodeId, logId, ...signers, log, store }
  const real = await Issuer.create({
    ...{ crypto, store, signer: nodeKey.signer, identity: { chainId, registry, nodeId, keyEpoch } },
    logs: [{ name: 'log', port: tampering.logPort?.(inside) ?? log }],
    pledgeTimeoutMs,
  })
  closers.add('issuer', real.close)
  const issuer = (await tampering.issuer?.(inside, real)) ?? real

  const leaves = LeafCache.create({
    ...{ maxBytes: limits.leavesBytes, maxAgeMs: limits.leavesSeconds * 1000, now: Date.now },
  })
  closers.add('leaves', leaves.clear)
  const served: Served = {
    ...{ crypto, engines, issuer, store, leaves, record: () => {}, now: Date.now },
    logs: [{ logId, publicKey: log.publicKey, ed25519: ed25519.publicKey, files: log.files, proof: log.proof }],
    config: NodeConfig.create(crypto, engines.values(), limits.leavesSeconds),
    newestBlock: view.newest,
    identity: {
      ...{ chainId, nodeRegistry: registry, anchorLog, operator: account.address },
      witnesses: [witnessKey.signer.publicKey],
    },
    publicKeyOf: (keyId) => (Bytes.equal(keyId, nodeKey.keyId) ? nodeKey.signer.publicKey : undefined),
    exposure: {
      saw: [{ party: 'node', what: ['request', 'response'], why: 'inference', retentionSeconds: limits.leavesSeconds }],
      retentionSeconds: limits.leavesSeconds,
    },
    random: (length) => new Uint8Array(randomBytes(length)),
    notReady: () => undefined,
  }
  const gateway = Gateway.create(tampering.served?.(inside, served) ?? served)
  closers.add('gateway', gateway.close)
  const url = await gateway.listen({ host: '127.0.0.1', port: 0 })
  let isAnchoring = false
  return {
    ...{ name, url, nodeId, logId, operator: account.address, size: log.size },
    witness: witnessKey.keyId,
    startAnchoring() {
      if (isAnchoring) return
      isAnchoring = true
      const anchoring = Parts.anchor({ book, view, sender: account.sender, log, witness, intervalMs: 500 })
      closers.add('anchoring', anchoring.stop)
    },
    close: async () => void (await closers.run()),
  }
}
