/** parts.ts - the pieces of a daemon put together one by one: each opens something and says how to close it. */
import { join } from 'node:path'
import { NodeRegistryContract } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes, Cose, errors } from 'assay/protocol'
import type { Engine } from '../engine/Engine.ts'
import { loadModel } from '../engine/loadModel.ts'
import * as ModelFolder from '../engine/ModelFolder.ts'
import type { LogRecord } from '../gateway/Served.ts'
import * as Heart from '../heartbeat/Heart.ts'
import * as KeyBinding from '../keys/KeyBinding.ts'
import * as KeyFile from '../keys/KeyFile.ts'
import { maxBlockAgeMs } from '../log/ChainView.ts'
import type { Log } from '../log/Log.ts'
import * as Issuer from '../receipts/Issuer.ts'
import type { ReceiptStore } from '../receipts/ReceiptStore.ts'
import { type AnchoredLog, type AnchoringEvent, type Cosigner, startAnchoring } from '../settle/anchoring.ts'
import type { ChainView, SeenBlock } from '../settle/chain-view.ts'
import { encode } from '../settle/contract-call.ts'
import { type Registrar, registerKey, roles } from '../settle/register.ts'
import type { Witness } from '../witness/Witness.ts'
import { slots } from './logs.ts'

/** Tells what a start is doing; `detail` is for people. */
export type Progress = (step: Step, detail: string) => void
export type Step =
  | 'folder'
  | 'chain'
  | 'contracts'
  | 'keys'
  | 'register'
  | 'bond'
  | 'view'
  | 'witness'
  | 'log'
  | 'issuer'
  | 'engines'
  | 'gateway'

/** What has to be closed again, last opened first. */
export type Closers = {
  readonly add: (what: string, close: () => unknown) => void
  /** Closes everything, whatever fails; gives the names of what failed. */
  readonly run: () => Promise<readonly string[]>
}

export function createClosers(): Closers {
  const list: { what: string; close: () => unknown }[] = []
  return {
    add: (what, close) => void list.push({ what, close }),
    async run() {
      const failed: string[] = []
      for (let next = list.pop(); next !== undefined; next = list.pop()) {
        try {
          await next.close()
        } catch {
          failed.push(next.what)
        }
      }
      return failed
    },
  }
}

/** Loads every model of a folder: exact under its own name, native as `<name>-native`. */
export async function loadEngines(options: {
  readonly models: string
  readonly progress: Progress
  readonly onEvent: (event: string, code: string) => void
}): Promise<ReadonlyMap<string, Engine>> {
  const engines = new Map<string, Engine>()
  try {
    for (const folder of await ModelFolder.listModels(options.models)) {
      const exact = await loadModel(folder, { runtime: 'onnx-wasm' })
      engines.set(exact.id, exact)
      options.progress('engines', `${exact.id} (${exact.profile})`)
      const id = `${exact.id}-native`
      try {
        engines.set(id, await loadModel(folder, { runtime: 'onnx', id }))
        options.progress('engines', `${id} (native)`)
      } catch (error) {
        // The native runtime does not exist for every system; the exact one does.
        const { code } = error as { code?: unknown }
        options.onEvent('native-runtime-missing', typeof code === 'string' ? code : 'failed')
      }
    }
  } catch (error) {
    for (const engine of engines.values()) await engine.close()
    throw error
  }
  return engines
}

/** Most keys that one start replaces: each was found ended or behind, and a second one in a row is no accident. */
const maxReplacements = 2

/**
 * Registers the node's key and opens the issuer with it. A key that has ended, or that the log knows better than the node's
 * own folder does, is replaced: its epoch is ended on chain, and a new key takes the next one.
 */
export async function openIssuer(options: {
  readonly folder: string
  readonly registrar: Registrar
  readonly nodeId: Uint8Array
  readonly view: Pick<ChainView, 'refresh'>
  readonly store: ReceiptStore
  readonly logs: readonly {
    readonly name: string
    readonly log: Pick<Log, 'append' | 'highest' | 'identity' | 'publicKey'>
    readonly isEnded?: boolean
  }[]
  readonly progress: Progress
  readonly record: (record: LogRecord) => void
  readonly hooks?: Issuer.Hooks | undefined
}): Promise<Issuer.Issuer> {
  const { folder, registrar, nodeId, view, store, progress, record, hooks } = options
  let key = KeyFile.openKey(folder, 'node')
  for (let replaced = 0; ; replaced++) {
    const { signer } = key
    const { keyEpoch, record: entered } = await registerKey(registrar, { nodeId, role: roles.node, signer })
    await view.refresh()
    if (entered.validUntilBlock === 0n) {
      try {
        KeyBinding.bind(
          folder,
          key.keyId,
          options.logs.map(({ log }) => ({ logId: log.identity.logId, publicKey: log.publicKey })),
        )
        return await Issuer.create({
          crypto,
          identity: {
            chainId: registrar.book.chainId,
            registry: registrar.book.nodeRegistry.address,
            nodeId,
            keyEpoch,
          },
          signer,
          store,
          logs: options.logs.map(({ name, log, isEnded = false }) => ({ name, port: log, isEnded })),
          onLog: ({ kind, log }) => record({ event: `log-${kind}`, log }),
          ...(hooks === undefined ? {} : { hooks }),
        })
      } catch (error) {
        const isInDoubt = error instanceof Issuer.KeyBehindError || error instanceof KeyBinding.OtherLogsError
        if (!isInDoubt || replaced >= maxReplacements) throw error
        progress('issuer', `key of epoch ${keyEpoch}: ${error.shortMessage} A new one takes its place`)
        await endKey(registrar, nodeId, keyEpoch)
      }
    } else {
      if (replaced >= maxReplacements) throw new KeyEndedError(keyEpoch)
      progress('issuer', `key of epoch ${keyEpoch} has ended; a new one takes its place`)
    }
    key = KeyFile.replaceKey(folder, key)
  }
}

async function endKey({ book, sender }: Registrar, nodeId: Uint8Array, keyEpoch: number): Promise<void> {
  const call = { abi: NodeRegistryContract.abi, functionName: 'endKey', args: [Bytes.to0x(nodeId), keyEpoch] } as const
  await sender.send({ to: book.nodeRegistry.address, data: encode(call) })
}

/** The heart of a node, with the key that its issuer signs with. */
export function openHeart(folder: string, issuer: Issuer.Issuer, chain: Pick<ChainView, 'newest'>): Heart.Heart {
  const { signer } = KeyFile.openKey(folder, 'node')
  if (!Bytes.equal(signer.publicKey, issuer.publicKey)) throw new KeyEndedError(issuer.identity.keyEpoch)
  return Heart.createHeart({ folder, crypto, identity: issuer.identity, signer, chain })
}

/** Keys of the node by keyId in hex, retired ones included. */
export function nodeKeys(folder: string, current: Uint8Array): (keyId: Uint8Array) => Uint8Array | undefined {
  const keys = new Map(
    [...KeyFile.retiredKeys(folder), current].map((publicKey) => [
      Bytes.toHex(Cose.keyId(crypto, publicKey)),
      publicKey,
    ]),
  )
  return (keyId) => keys.get(Bytes.toHex(keyId))
}

/** What anchoring tells about one log, as lines. */
export function toRecords(log: string, record: (record: LogRecord) => void): (event: AnchoringEvent) => void {
  return (event) => {
    if (event.kind === 'anchored') {
      return record({ event: 'anchored', log, size: String(event.size), block: String(event.block) })
    }
    const { code } = event.error as { code?: unknown }
    record({
      event: event.kind === 'trouble' ? 'anchoring-trouble' : 'not-cosigned',
      code: typeof code === 'string' ? code : 'failed',
      log,
    })
  }
}

/** Anchors a log, with the witness's cosignature asked for before each submission. */
export function anchor(
  options: Omit<Parameters<typeof startAnchoring>[0], 'log' | 'cosigners'> & {
    readonly log: Log
    readonly witness: Witness
  },
): ReturnType<typeof startAnchoring> {
  const { log, witness } = options
  let known = 0n
  const anchored: AnchoredLog = {
    logId: log.identity.logId,
    size: () => {
      // After a failure the mirror's size is unknown for a moment and reads 0.
      const size = log.mirroredSize()
      if (size > known) known = size
      return known
    },
    unanchored: log.unanchored,
    signCheckpoint: log.signCheckpoint,
    consistency: log.consistency,
    markAnchored: async (size, block) => log.markAnchored(size, block),
    markLost: log.markLost,
  }
  const cosigner: Cosigner = {
    async cosign({ size, root, signature }) {
      const oldSize = witness.last()?.size ?? 0n
      if (size < oldSize) return
      const { chainId, anchorLog, logId } = log.identity
      const cosignature = await witness.cosign({
        statement: { chainId, anchorLog, logId, size, root },
        logSignature: signature,
        oldSize,
        proof: oldSize === size ? [] : await log.consistency(oldSize, size),
      })
      await log.addCosignature(size, cosignature)
    },
  }
  return startAnchoring({ ...options, log: anchored, cosigners: [cosigner] })
}

/**
 * What orders are judged by: the newest block by its own time, whatever this machine's clock says; undefined when the chain
 * has stood still for longer than a log's pledge allows, because an order's deadline cannot be judged then.
 */
export function blockForOrders(
  newest: Pick<SeenBlock, 'number' | 'timestampSeconds' | 'sinceMs'> | undefined,
  monotonicMs: number,
): { readonly number: bigint; readonly timestampSeconds: bigint } | undefined {
  if (newest === undefined || monotonicMs - newest.sinceMs > maxBlockAgeMs) return undefined
  return { number: newest.number, timestampSeconds: newest.timestampSeconds }
}

/** Where the folders of the roles are; those of the logs stand in `logs.ts`. */
export function foldersOf(home: string) {
  return { node: join(home, 'node'), witness: join(home, slots[0].witness) } as const
}

/** Keys end faster than new ones enter. */
export class KeyEndedError extends errors.VerificationError<'key-ended'> {
  override readonly name = 'KeyEndedError'
  constructor(keyEpoch: number) {
    super('key-ended', 'The new key of the node has ended as well.', { facts: [`Epoch: ${keyEpoch}`] })
  }
}
