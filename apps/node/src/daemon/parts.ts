/** parts.ts - the pieces of a daemon put together one by one: each opens something and says how to close it. */
import { join } from 'node:path'
import { NodeRegistryContract, Rpc } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes, Cose, errors } from 'assay/protocol'
import type { Engine } from '../engine/Engine.ts'
import { loadModel } from '../engine/loadModel.ts'
import * as ModelFolder from '../engine/ModelFolder.ts'
import * as KeyFile from '../keys/KeyFile.ts'
import type { Log } from '../log/Log.ts'
import * as Issuer from '../receipts/Issuer.ts'
import type { ReceiptStore } from '../receipts/ReceiptStore.ts'
import { type AnchoredLog, type Cosigner, startAnchoring } from '../settle/anchoring.ts'
import { startAnvil } from '../settle/anvil.ts'
import type { ChainView } from '../settle/chain-view.ts'
import { encode } from '../settle/contract-call.ts'
import { type Registrar, registerKey, roles } from '../settle/register.ts'
import type { Witness } from '../witness/Witness.ts'

/** Tells what a start is doing; `detail` is for people. */
export type Progress = (step: Step, detail: string) => void
export type Step =
  | 'folder'
  | 'chain'
  | 'contracts'
  | 'keys'
  | 'register'
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

/** The chain: a given endpoint, or the embedded development chain. */
export async function openChain(options: {
  readonly home: string
  readonly chainRpcUrl: string | undefined
  readonly closers: Closers
  readonly onEvent: (line: string) => void
}): Promise<{ readonly rpc: Rpc.Rpc; readonly url: string; readonly isEmbedded: boolean }> {
  const { home, chainRpcUrl, closers, onEvent } = options
  if (chainRpcUrl !== undefined) {
    const answer = await Rpc.create({ url: chainRpcUrl, chainId: 0n }).request('eth_chainId')
    if (typeof answer !== 'string' || !/^0x[0-9a-f]{1,16}$/.test(answer)) throw new ChainEndpointError()
    return { rpc: Rpc.create({ url: chainRpcUrl, chainId: BigInt(answer) }), url: chainRpcUrl, isEmbedded: false }
  }
  const chain = await startAnvil({ home, onEvent })
  closers.add('chain', chain.stop)
  return { rpc: Rpc.create({ url: chain.url, chainId: chain.chainId }), url: chain.url, isEmbedded: true }
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
  readonly log: Pick<Log, 'append' | 'highest'>
  readonly progress: Progress
  readonly hooks?: Issuer.Hooks | undefined
}): Promise<Issuer.Issuer> {
  const { folder, registrar, nodeId, view, store, log, progress, hooks } = options
  let key = KeyFile.openKey(folder, 'node')
  for (let replaced = 0; ; replaced++) {
    const { signer } = key
    const { keyEpoch, record } = await registerKey(registrar, { nodeId, role: roles.node, signer })
    await view.refresh()
    if (record.validUntilBlock === 0n) {
      try {
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
          log,
          ...(hooks === undefined ? {} : { hooks }),
        })
      } catch (error) {
        if (!(error instanceof Issuer.KeyBehindError) || replaced >= maxReplacements) throw error
        progress('issuer', `key of epoch ${keyEpoch} is behind the log and signs no more; a new one takes its place`)
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

/** Anchors the log, with the witness's cosignature asked for before each submission. */
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

/** Where the folders of the roles are. */
export function foldersOf(home: string) {
  return { node: join(home, 'node'), log: join(home, 'log'), witness: join(home, 'witness') } as const
}

/** The endpoint does not answer as a chain. */
export class ChainEndpointError extends errors.UsageError<'chain-endpoint'> {
  override readonly name = 'ChainEndpointError'
  constructor() {
    super('chain-endpoint', 'The chain endpoint does not answer with a chain id.')
  }
}

/** Keys end faster than new ones enter. */
export class KeyEndedError extends errors.VerificationError<'key-ended'> {
  override readonly name = 'KeyEndedError'
  constructor(keyEpoch: number) {
    super('key-ended', 'The new key of the node has ended as well.', { facts: [`Epoch: ${keyEpoch}`] })
  }
}
