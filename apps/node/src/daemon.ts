/**
 * daemon.ts - one process with a gateway, engines, two logs, a witness and (embedded) a chain, each with its own folder and key.
 *
 * Order of start: folder lock, chain, contracts, keys, registrations, view of the chain, receipts, witness and logs, issuer, gateway.
 * Models load meanwhile. Nothing is signed before its key's registration is in a block.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import type { TrustAnchors } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Cose } from 'assay/protocol'
import { answerCases } from './daemon/answers.ts'
import { openChain } from './daemon/chain.ts'
import { replaceEnded } from './daemon/endedLogs.ts'
import * as Logs from './daemon/logs.ts'
import * as Parts from './daemon/parts.ts'
import * as Gateway from './gateway/Gateway.ts'
import * as LeafCache from './gateway/LeafCache.ts'
import { limits } from './gateway/limits.ts'
import * as NodeConfig from './gateway/NodeConfig.ts'
import type { LogRecord, Served } from './gateway/Served.ts'
import * as KeyFile from './keys/KeyFile.ts'
import * as Rotation from './keys/Rotation.ts'
import { maxBlockAgeMs } from './log/ChainView.ts'
import * as SqliteReceiptStore from './receipts/SqliteReceiptStore.ts'
import { bondInBackground } from './settle/bond.ts'
import { createChainView } from './settle/chain-view.ts'
import { deploy, developmentPledgeBlocks, trustAnchorsOf } from './settle/deploy.ts'
import { lockFolder } from './settle/folder-lock.ts'
import { readPledgeBlocks, registerKey, registerNode, roles } from './settle/register.ts'
import { createSender } from './settle/sender.ts'
import { fundOnDevelopmentChain, openWallet } from './settle/wallet.ts'

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
  /** A chain to use instead of the embedded one: one endpoint, or several with commas, believed together. */
  readonly chainRpcUrl?: string
  /** Address book of another operator on that chain; without it the daemon creates contracts of its own. */
  readonly contractsFile?: string | undefined
  /** Time from block to block on that chain, for the windows of contracts that are created; measured if not given. */
  readonly blockTimeMs?: number | undefined
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
    /** Endpoints of the chain, as many as the rule of `anchors` counts; transactions go to the first. */
    readonly chainRpcUrls: readonly string[]
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
  const chain = await openChain({
    ...{ home, chainRpcUrl: options.chainRpcUrl, closers },
    onEvent: () => record({ event: 'chain-restarting' }),
    say: (line) => progress('chain', line),
  })
  const { rpc } = chain
  const wallet = openWallet(home)
  if (chain.isEmbedded) await fundOnDevelopmentChain(rpc, wallet)
  const sender = createSender({ rpc: chain.sending, wallet })
  closers.add('sender', sender.close)
  progress('contracts', `chain ${rpc.chainId}`)
  const { contractsFile, blockTimeMs } = options
  const book = await deploy({
    ...{ home, crypto, rpc, sender, development: chain.isDevelopment, contractsFile, blockTimeMs },
  })
  const { chainId } = book
  const registry = book.nodeRegistry.address
  const anchorLog = book.anchorLog.address

  progress('keys', 'node, logs and witness')
  const nodeKey = KeyFile.openKey(folders.node, 'node')
  const witnessKey = KeyFile.openKey(folders.witness, 'witness')
  const pledgeBlocks = chain.isDevelopment ? developmentPledgeBlocks : await readPledgeBlocks(rpc, book)
  const registrar = { crypto, rpc, sender, book, pledgeBlocks }
  const ended = await replaceEnded({ home, registrar, keys: Logs.openKeys(home) })
  for (const log of [...ended.replaced, ...ended.closing]) record({ event: 'log-ended', log })
  const [firstKey, ...otherKeys] = Logs.openKeys(home)
  const port = options.port ?? defaultPort
  const host = options.host ?? '127.0.0.1'
  progress('register', 'node, logs and witness')
  // Side by side, because each waits for a block. A log's number is the count of the operator's logs, so there is one at a time.
  const [nodeId, firstId] = await Promise.all([
    // With a free port the address is another at every start, so none is published.
    registerNode(registrar, { endpoint: port === 0 ? '' : `http://${host}:${port}` }),
    Logs.register(registrar, firstKey),
  ])
  const [others] = await Promise.all([
    Logs.registerAll(registrar, otherKeys),
    registerKey(registrar, { nodeId, role: roles.node, signer: nodeKey.signer }),
    registerKey(registrar, { nodeId, role: roles.witness, signer: witnessKey.signer }),
  ])
  const registered = [{ key: firstKey, logId: firstId }, ...others] as const
  const bonding = bondInBackground(registrar, [nodeId, ...registered.map(({ logId }) => logId)], {
    development: chain.isDevelopment,
    say: (line) => progress('bond', line),
    record,
  })

  const view = createChainView({ crypto, rpc, book })
  closers.add('view', view.stop)
  await view.refresh()
  progress('view', `block ${view.newest()?.number ?? 'unknown'}`)

  const store = SqliteReceiptStore.open({ folder: folders.node })
  closers.add('store', store.close)
  const opening = { home, registered, registrar, view, witness: witnessKey, receipts: store, closers, progress }
  const logs = await Logs.open(opening)

  const interrupted = await store.interruptRunning()
  if (interrupted > 0) record({ event: 'interrupted-calls', count: interrupted })
  const issuer = await Parts.openIssuer({
    folder: folders.node,
    registrar,
    nodeId,
    view,
    store,
    logs: logs.map((one) => ({ ...one, isEnded: ended.closing.has(one.name) })),
    progress,
    record,
  })
  closers.add('issuer', issuer.close)
  progress('issuer', `key epoch ${issuer.identity.keyEpoch}`)
  await Rotation.finishWitness({ folder: folders.witness, registrar, nodeId })
  const rotation = Rotation.finishNode({
    ...{ folder: folders.node, registrar, nodeId, store },
    logs: logs.map(({ name, log }) => ({ name, port: log })),
    onStep: (step) => record({ event: `old-key-${step.kind}` }),
  })
  closers.add('rotation', rotation.stop)

  const anchorings = logs.map(({ name, log, witness }, i) => {
    const { key } = registered[i] as Logs.Registered
    const register = () => Logs.register(registrar, key)
    return Parts.anchor({ ...{ book, view, sender, log, witness, register }, onEvent: Parts.toRecords(name, record) })
  })
  closers.add('anchoring', async () => {
    // A round may be waiting for a block of a chain that makes none any more.
    const cut = setTimeout(sender.close, anchoringGraceMs)
    await Promise.all(anchorings.map((anchoring) => anchoring.stop()))
    clearTimeout(cut)
  })
  const answering = answerCases({
    ...{ home, folder: folders.node, registrar, nodeId, store, record },
    logs: logs.map(({ log }) => log),
  })
  closers.add('answering', answering.stop)

  const engines = await loading
  const leaves = LeafCache.create({
    ...{ maxBytes: limits.leavesBytes, maxAgeMs: limits.leavesSeconds * 1000, now: Date.now },
  })
  closers.add('leaves', leaves.clear)
  const served: Served = {
    ...{ crypto, engines, issuer, store, leaves, record, now: Date.now },
    heart: Parts.openHeart(folders.node, issuer, view),
    logs: logs.map(({ log, ed25519 }) => ({
      ...{ logId: log.identity.logId, publicKey: log.publicKey, ed25519, files: log.files, proof: log.proof },
      unanchored: log.unanchored,
    })),
    config: NodeConfig.create(crypto, engines.values(), limits.leavesSeconds),
    newestBlock: () => Parts.blockForOrders(view.newest(), performance.now()),
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
  await bonding
  const gateway = Gateway.create(served)
  closers.add('gateway', gateway.close)
  const url = await gateway.listen({ host, port })
  progress('gateway', url)
  record({ event: 'started', models: [...engines.keys()].join(' '), keyEpoch: issuer.identity.keyEpoch })
  return {
    endpoints: { gateway: url, log: `${url}${logPath(firstId)}`, chain: chain.urls[0] },
    reader: {
      anchors: trustAnchorsOf(book, chain.finality),
      chainRpcUrls: chain.urls,
      operator: wallet.address,
      witness: Cose.keyId(crypto, witnessKey.signer.publicKey),
    },
    models: [...engines.keys()],
  }
}

function logPath(logId: Uint8Array): string {
  return `/log/${Buffer.from(logId).toString('hex')}`
}
