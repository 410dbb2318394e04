/**
 * daemon.ts - one process with a gateway, engines, a log, a witness and (embedded) a chain, each with its own folder and key.
 *
 * Order of start: folder lock, chain, contracts, keys, registrations, view of the chain, witness, log, issuer, gateway.
 * Models load meanwhile. Nothing is signed before its key's registration is in a block.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import type { TrustAnchors } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Cose } from 'assay/protocol'
import * as Parts from './daemon/parts.ts'
import * as Gateway from './gateway/Gateway.ts'
import * as LeafCache from './gateway/LeafCache.ts'
import { limits } from './gateway/limits.ts'
import * as NodeConfig from './gateway/NodeConfig.ts'
import type { LogRecord, Served } from './gateway/Served.ts'
import * as KeyFile from './keys/KeyFile.ts'
import { maxBlockAgeMs } from './log/ChainView.ts'
import * as Log from './log/Log.ts'
import * as SqliteReceiptStore from './receipts/SqliteReceiptStore.ts'
import { createChainView } from './settle/chain-view.ts'
import { deploy, developmentPledgeBlocks, trustAnchorsOf } from './settle/deploy.ts'
import { lockFolder } from './settle/folder-lock.ts'
import { registerKey, registerLog, registerNode, roles } from './settle/register.ts'
import { createSender } from './settle/sender.ts'
import { fundOnDevelopmentChain, openWallet } from './settle/wallet.ts'
import * as Witness from './witness/Witness.ts'

/** The gateway's port when none is named: "ASSY" has no port number, and this one is free of well-known services. */
const defaultPort = 8547

/** How long a stop waits for a transaction that is under way. */
const anchoringGraceMs = 2_000

export type DaemonOptions = {
  /** Folder of everything this daemon keeps; one daemon at a time. */
  readonly home: string
  /** Default 8547; 0 = a free one. */
  readonly port?: number
  /** A loopback address, default 127.0.0.1. */
  readonly host?: '127.0.0.1' | '::1' | 'localhost'
  /** Folder with one folder per model. */
  readonly models: string
  /** A chain to use instead of the embedded one. */
  readonly chainRpcUrl?: string
  readonly onProgress?: Parts.Progress
  /** Structured lines; by default one JSON object per line on stderr. */
  readonly log?: (record: LogRecord) => void
}

/** A running daemon. */
export type Daemon = {
  readonly endpoints: { readonly gateway: string; readonly log: string; readonly chain: string }
  /** What a reader on this machine may name: its own chain, and who runs what. */
  readonly reader: {
    readonly anchors: TrustAnchors.TrustAnchors
    /** 20 bytes. */
    readonly operator: Uint8Array
    /** 32 bytes: the keyId of the witness. */
    readonly witness: Uint8Array
  }
  /** Ids of the models served. */
  readonly models: readonly string[]
  /** Ends calls, closes folders, ends the chain; safe to call twice. Bounded by a few seconds per part. */
  readonly stop: () => Promise<void>
}

/**
 * Starts a daemon.
 *
 * Throws: `FolderInUseError` before anything else happens, `KeyFile.ExposedKeyError`, and the errors of the parts.
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const record = options.log ?? ((line: LogRecord) => void process.stderr.write(`${JSON.stringify(line)}\n`))
  const closers = Parts.createClosers()
  let stopping: Promise<void> | undefined
  const stop = () => {
    stopping ??= closers.run().then((failed) => {
      for (const part of failed) record({ event: 'close-failed', part })
      record({ event: 'stopped' })
    })
    return stopping
  }
  try {
    return { ...(await start(options, closers, record)), stop }
  } catch (error) {
    await closers.run()
    throw error
  }
}

async function start(
  options: DaemonOptions,
  closers: Parts.Closers,
  record: (record: LogRecord) => void,
): Promise<Omit<Daemon, 'stop'>> {
  const { home } = options
  const progress = options.onProgress ?? (() => {})
  mkdirSync(home, { recursive: true, mode: 0o700 })
  closers.add('folder', lockFolder(home))
  progress('folder', home)
  const folders = Parts.foldersOf(home)

  const onEvent = (event: string, code: string) => record({ event, code })
  const loading = Parts.loadEngines({ models: options.models, progress, onEvent })
  // Awaited far below; until then a failure must not count as unhandled.
  loading.catch(() => {})
  closers.add('engines', async () => {
    for (const engine of (await loading.catch(() => new Map())).values()) await engine.close()
  })

  progress('chain', options.chainRpcUrl === undefined ? 'starting the development chain' : 'asking the chain')
  const chain = await Parts.openChain({
    ...{ home, chainRpcUrl: options.chainRpcUrl, closers },
    onEvent: () => record({ event: 'chain-restarting' }),
  })
  const { rpc } = chain
  const wallet = openWallet(home)
  if (chain.isEmbedded) await fundOnDevelopmentChain(rpc, wallet)
  const sender = createSender({ rpc, wallet })
  closers.add('sender', sender.close)
  progress('contracts', `chain ${rpc.chainId}`)
  const book = await deploy({ ...{ home, crypto, rpc, sender }, development: chain.isEmbedded })
  const { chainId } = book
  const registry = book.nodeRegistry.address
  const anchorLog = book.anchorLog.address

  progress('keys', 'node, log and witness')
  const nodeKey = KeyFile.openKey(folders.node, 'node')
  const logKey = KeyFile.openKey(folders.log, 'log')
  const witnessKey = KeyFile.openKey(folders.witness, 'witness')
  const registrar = { crypto, rpc, sender, book }
  const port = options.port ?? defaultPort
  const host = options.host ?? '127.0.0.1'
  progress('register', 'node, log and witness')
  const ed25519 = logKey.ed25519 as NonNullable<typeof logKey.ed25519>
  // Side by side, because each waits for a block.
  const [nodeId, logId] = await Promise.all([
    // With a free port the address is another at every start, so none is published.
    registerNode(registrar, { endpoint: port === 0 ? '' : `http://${host}:${port}` }),
    registerLog(registrar, {
      ...{ signer: logKey.signer, ed25519Key: ed25519.publicKey, pledgeBlocks: developmentPledgeBlocks },
    }),
  ])
  await Promise.all([
    registerKey(registrar, { nodeId, role: roles.node, signer: nodeKey.signer }),
    registerKey(registrar, { nodeId, role: roles.witness, signer: witnessKey.signer }),
  ])

  const view = createChainView({ crypto, rpc, book })
  closers.add('view', view.stop)
  await view.refresh()
  progress('view', `block ${view.newest()?.number ?? 'unknown'}`)

  const witness = await Witness.createWitness({
    folder: folders.witness,
    log: { chainId, anchorLog, logId, publicKey: logKey.signer.publicKey },
    ...{ signer: witnessKey.signer, chain: view, crypto },
    ...(witnessKey.ed25519 === undefined ? {} : { ed25519: witnessKey.ed25519 }),
  })
  closers.add('witness', witness.close)
  progress('witness', witness.stopped() ?? 'open')
  const log = await Log.createLog({
    folder: folders.log,
    identity: { chainId, registry, anchorLog, logId, pledgeBlocks: developmentPledgeBlocks },
    ...{ signer: logKey.signer, ed25519, mirror: witness.mirror, chain: view, crypto },
  })
  closers.add('log', log.close)
  progress('log', `${log.size()} entries`)

  const store = SqliteReceiptStore.open({ folder: folders.node })
  closers.add('store', store.close)
  const interrupted = await store.interruptRunning()
  if (interrupted > 0) record({ event: 'interrupted-calls', count: interrupted })
  const issuer = await Parts.openIssuer({ folder: folders.node, registrar, nodeId, view, store, log, progress })
  closers.add('issuer', issuer.close)
  progress('issuer', `key epoch ${issuer.identity.keyEpoch}`)

  const anchoring = Parts.anchor({
    ...{ book, view, sender, log, witness },
    onEvent: (event) => {
      if (event.kind === 'anchored') {
        return record({ event: 'anchored', size: String(event.size), block: String(event.block) })
      }
      const { code } = event.error as { code?: unknown }
      record({
        event: event.kind === 'trouble' ? 'anchoring-trouble' : 'not-cosigned',
        code: typeof code === 'string' ? code : 'failed',
      })
    },
  })
  closers.add('anchoring', async () => {
    // A round may be waiting for a block of a chain that makes none any more.
    const cut = setTimeout(sender.close, anchoringGraceMs)
    await anchoring.stop()
    clearTimeout(cut)
  })

  const engines = await loading
  const leaves = LeafCache.create({
    ...{ maxBytes: limits.leavesBytes, maxAgeMs: limits.leavesSeconds * 1000, now: Date.now },
  })
  closers.add('leaves', leaves.clear)
  const served: Served = {
    ...{ crypto, engines, issuer, store, leaves, record, now: Date.now },
    log: { logId, publicKey: log.publicKey, ed25519: ed25519.publicKey, files: log.files, proof: log.proof },
    config: NodeConfig.create(crypto, engines.values(), limits.leavesSeconds),
    newestBlock: () => {
      const newest = view.newest()
      if (newest === undefined) return undefined
      // The block's own time, as readers will judge the order's deadline: this machine's clock may have jumped.
      return { number: newest.number, timestampSeconds: newest.timestampSeconds }
    },
    identity: {
      ...{ chainId, nodeRegistry: registry, anchorLog, operator: wallet.address },
      witnesses: [witnessKey.signer.publicKey],
    },
    publicKeyOf: Parts.nodeKeys(folders.node, issuer.publicKey),
    exposure: {
      saw: [{ party: 'node', what: ['request', 'response'], why: 'inference', retentionSeconds: limits.leavesSeconds }],
      retentionSeconds: limits.leavesSeconds,
    },
    random: (length) => new Uint8Array(randomBytes(length)),
    notReady: () => {
      const newest = view.newest()
      if (newest === undefined || Date.now() - newest.seenAtMs > maxBlockAgeMs) return 'chain'
      return engines.size === 0 ? 'engines' : undefined
    },
  }
  const gateway = Gateway.create(served)
  closers.add('gateway', gateway.close)
  const url = await gateway.listen({ host, port })
  progress('gateway', url)
  record({ event: 'started', models: [...engines.keys()].join(' '), keyEpoch: issuer.identity.keyEpoch })
  return {
    endpoints: { gateway: url, log: `${url}${logPath(logId)}`, chain: chain.url },
    reader: {
      anchors: trustAnchorsOf(book),
      operator: wallet.address,
      witness: Cose.keyId(crypto, witnessKey.signer.publicKey),
    },
    models: [...engines.keys()],
  }
}

function logPath(logId: Uint8Array): string {
  return `/log/${Buffer.from(logId).toString('hex')}`
}
