/**
 * Witness.ts - keeps a second copy of a log's entries and cosigns checkpoints that extend what it cosigned before.
 * Source: spec/log.md sections 4 and 6.
 *
 * It persists a checkpoint before it cosigns it, and never cosigns a smaller or contradicting one. When its folder is
 * older than what the log or the contract know, it stops until somebody resets it: it cannot know what it signed.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Bytes, Checkpoint, Cose, type Crypto, errors, Merkle, Note } from 'assay/protocol'
import type { ChainView } from '../log/ChainView.ts'
import type { Cosignature } from '../log/LogStore.ts'
import type { Announcement, Mirror } from '../log/Mirror.ts'
import * as SqliteLogStore from '../log/SqliteLogStore.ts'
import { createMirror } from './StoredMirror.ts'
import * as WitnessBinding from './WitnessBinding.ts'
import * as WitnessStore from './WitnessStore.ts'

/** The log that is witnessed. */
export type WitnessedLog = {
  readonly chainId: bigint
  /** 20 bytes. */
  readonly anchorLog: Uint8Array
  /** 32 bytes. */
  readonly logId: Uint8Array
  /** 64 bytes, x || y: the only key whose checkpoints count. */
  readonly publicKey: Uint8Array
}

/** A checkpoint on its way to a cosignature. */
export type CosignRequest = {
  readonly statement: Checkpoint.Statement
  /** 64 bytes under tag `checkpoint`. */
  readonly logSignature: Uint8Array
  /** Size that the proof starts from; by default the one that was cosigned last. */
  readonly oldSize?: bigint
  /** RFC 9162 consistency proof; empty from size 0. */
  readonly proof: readonly Uint8Array[]
}

/** Steps between which a crash matters. */
export type Hooks = { readonly reached?: (step: 'cosign-persisted' | 'cosign-signed') => void }

/** Further answers of the contract before a conflict with it counts. */
const rechecks = 3
/** More than a block of the development chain. */
const recheckMs = 1_500

/** A running witness of one log. */
export type Witness = {
  /** 64 bytes, x || y. */
  readonly publicKey: Uint8Array
  /** The name of its lines in notes. */
  readonly name: string
  readonly log: WitnessedLog
  readonly mirror: Mirror
  /**
   * Persists a checkpoint and cosigns it.
   *
   * Throws: `StoppedError`, `WrongLogStatementError`, what `Cose.verify` throws, `StaleSizeError`, `ContradictionError`,
   * `Merkle.ConsistencyError`.
   */
  readonly cosign: (request: CosignRequest) => Promise<Cosignature>
  /** The checkpoint that was cosigned last. */
  readonly last: () => { readonly size: bigint; readonly root: Uint8Array } | undefined
  /** Why it does not cosign, if it does not. */
  readonly stopped: () => string | undefined
  /** Pairs of checkpoints, each with the log's signature, of which the second was refused. */
  readonly evidence: () => WitnessStore.Evidence[]
  readonly close: () => Promise<void>
}

/**
 * Opens a witness and compares it with the contract.
 *
 * - `folder`: of this witness alone; `now`: milliseconds since 1970; a conflict with the contract takes a few seconds to be sure of
 *
 * Throws: `FolderInUseError`, and what `chain` throws while it is unreachable.
 */
export async function createWitness(options: {
  readonly folder: string
  readonly log: WitnessedLog
  readonly signer: Cose.Signer
  readonly ed25519?: Note.Ed25519Signer
  readonly chain: Pick<ChainView, 'logHead'>
  readonly crypto: Crypto
  readonly now?: () => number
  /** Pause before the contract is asked again about a conflict, default 1,500. */
  readonly recheckMs?: number
  readonly hooks?: Hooks
  /** Folder of the key, where it is remembered for which log keys it cosigned; a key that keeps several mirrors needs one. */
  readonly keyFolder?: string
}): Promise<Witness> {
  const { folder, crypto, log, chain, keyFolder } = options
  const state = WitnessStore.open(folder)
  try {
    const keyId = Cose.keyId(crypto, options.signer.publicKey)
    const isBound = keyFolder === undefined || WitnessBinding.bind(keyFolder, keyId, log)
    if (!isBound) state.stop('other-log-key')
    const entries = SqliteLogStore.open({ folder: join(folder, 'mirror'), kind: 'witness', logId: log.logId, crypto })
    try {
      const store = { ...createMirror({ crypto, store: entries }), witnessKey: options.signer.publicKey }
      await compareWithContract(state, store, () => chain.logHead(log.logId), options.recheckMs ?? recheckMs)
      return run(options, state, store, entries.close)
    } catch (error) {
      entries.close()
      throw error
    }
  } catch (error) {
    state.close()
    throw error
  }
}

/**
 * A conflict ends the witness's key, and one answer of an endpoint may be false: it counts when every further answer says
 * the same, each asked long enough after the one before that a chain with blocks has another one.
 */
async function compareWithContract(
  state: WitnessStore.WitnessStore,
  mirror: Mirror,
  askHead: () => Promise<Head | undefined>,
  pauseMs: number,
): Promise<void> {
  if (state.stopped() !== undefined) return
  let conflict = await conflictWith(state, mirror, await askHead())
  for (let i = 0; conflict !== undefined && i < rechecks; i++) {
    await sleep(pauseMs)
    conflict = await conflictWith(state, mirror, await askHead())
  }
  if (conflict !== undefined) state.stop(conflict)
}

type Head = { readonly size: bigint; readonly root: Uint8Array }

async function conflictWith(
  state: WitnessStore.WitnessStore,
  mirror: Mirror,
  head: Head | undefined,
): Promise<string | undefined> {
  if (head === undefined || head.size === 0n || (await isNew(state, mirror))) return undefined
  // Nothing is anchored that was not at the mirror before.
  if ((await mirror.size()) < head.size) return 'behind-contract'
  return Bytes.equal(await mirror.root(head.size), head.root) ? undefined : 'contradicts-contract'
}

/** A new folder may join a log late; whether its key cosigned before, the log knows. */
async function isNew(state: WitnessStore.WitnessStore, mirror: Mirror): Promise<boolean> {
  return state.last() === undefined && (await mirror.size()) === 0n
}

function run(
  options: Parameters<typeof createWitness>[0],
  state: WitnessStore.WitnessStore,
  stored: Mirror,
  closeEntries: () => void,
): Witness {
  const { crypto, log, signer, ed25519, hooks } = options
  const now = options.now ?? Date.now
  const name = `assay-witness/${Bytes.toHex(Cose.keyId(crypto, signer.publicKey)).slice(0, 16)}`
  let turn: Promise<unknown> = Promise.resolve()

  /** What the log knows tells a witness whose folder was restored from an older copy. */
  async function announce(announcement: Announcement): Promise<void> {
    const last = state.last()
    const { cosigned } = announcement
    const isBehind = announcement.pledgedSize > (await stored.size())
    if (isBehind && !(await isNew(state, stored))) state.stop('behind-log')
    if (cosigned === undefined) return
    if (last === undefined || cosigned.size > last.size) state.stop('behind-log')
    else if (cosigned.size === last.size && !Bytes.equal(cosigned.root, last.root)) state.stop('contradicts-log')
  }

  async function cosign(request: CosignRequest): Promise<Cosignature> {
    const { statement } = request
    const reason = state.stopped()
    if (reason !== undefined) throw new StoppedError(reason)
    const payload = await checkLogSignature(crypto, log, request)
    const signed = { statement: Checkpoint.words(statement), signature: request.logSignature }
    const last = state.last()
    if (last !== undefined && statement.size === last.size && Bytes.equal(statement.root, last.root)) {
      // The same again: persisted before, so signing it again says nothing new.
      return sign(statement, payload)
    }
    if (last !== undefined && statement.size <= last.size) {
      // An honest log may ask twice about an older tree; a tree that these entries never had is another matter.
      if (!(await isHeld(statement))) state.keep({ first: last, second: signed })
      if (statement.size === last.size) throw new ContradictionError(statement.size)
      throw new StaleSizeError(statement.size, last.size)
    }
    const oldSize = request.oldSize ?? last?.size ?? 0n
    if (oldSize !== (last?.size ?? 0n)) throw new StaleSizeError(oldSize, last?.size ?? 0n)
    try {
      await checkExtension(statement, last, request.proof)
    } catch (error) {
      if (last !== undefined && error instanceof Merkle.ConsistencyError) state.keep({ first: last, second: signed })
      throw error
    }
    state.advance({ size: statement.size, root: statement.root, ...signed })
    hooks?.reached?.('cosign-persisted')
    const cosignature = await sign(statement, payload)
    hooks?.reached?.('cosign-signed')
    return cosignature
  }

  async function checkExtension(
    statement: Checkpoint.Statement,
    last: WitnessStore.Cosigned | undefined,
    proof: readonly Uint8Array[],
  ): Promise<void> {
    const { size, root } = statement
    if (last === undefined || last.size === 0n) {
      if (proof.length > 0) {
        throw new Merkle.ConsistencyError('proof-length', { size1: 0n, size2: size, proof })
      }
    } else {
      Merkle.verifyConsistency(crypto, { size1: last.size, root1: last.root, size2: size, root2: root, proof })
    }
    // As far as it holds the entries itself it believes them and no proof.
    if ((await stored.size()) >= size && !Bytes.equal(await stored.root(size), root)) {
      throw new Merkle.ConsistencyError('root-mismatch', { size1: last?.size ?? 0n, size2: size, proof })
    }
  }

  async function isHeld({ size, root }: Checkpoint.Statement): Promise<boolean> {
    return (await stored.size()) >= size && Bytes.equal(await stored.root(size), root)
  }

  async function sign(statement: Checkpoint.Statement, payload: Uint8Array): Promise<Cosignature> {
    const es256 = await Note.signEs256(crypto, signer, name, 'cosign', payload)
    const lines = [es256]
    if (ed25519 !== undefined) {
      const seconds = BigInt(Math.floor(now() / 1000))
      lines.unshift(await Note.signCosignature(crypto, ed25519, name, Checkpoint.text(statement), seconds))
    }
    return { publicKey: signer.publicKey, signature: es256.blob, lines }
  }

  return {
    publicKey: signer.publicKey,
    name,
    log,
    mirror: { ...stored, announce },
    cosign: (request) => {
      // One after the other: two at once could both extend the same last checkpoint.
      const result = turn.then(() => cosign(request))
      turn = result.catch(() => {})
      return result
    },
    last: () => {
      const last = state.last()
      return last === undefined ? undefined : { size: last.size, root: last.root }
    },
    stopped: state.stopped,
    evidence: state.evidence,
    close: async () => {
      await turn
      closeEntries()
      state.close()
    },
  }
}

async function checkLogSignature(crypto: Crypto, log: WitnessedLog, request: CosignRequest): Promise<Uint8Array> {
  const { statement, logSignature } = request
  const isOurs =
    statement.chainId === log.chainId &&
    Bytes.equal(statement.anchorLog, log.anchorLog) &&
    Bytes.equal(statement.logId, log.logId)
  if (!isOurs) throw new WrongLogStatementError()
  const payload = Checkpoint.payload(crypto, Checkpoint.words(statement))
  const { publicKey } = log
  await Cose.verify(crypto, { tag: 'checkpoint', payload, signature: logSignature, publicKey })
  return payload
}

/** The witness's folder is older than what others know of it; it cosigns nothing until it is reset with new keys. */
export class StoppedError extends errors.VerificationError<'witness-stopped'> {
  override readonly name = 'Witness.StoppedError'
  constructor(reason: string) {
    super('witness-stopped', 'The witness has stopped, because it may have cosigned more than it remembers.', {
      facts: [`Reason: ${reason}`, 'Reset the witness: a new folder and new keys.'],
    })
  }
}

/** The statement is about another log than the witnessed one. */
export class WrongLogStatementError extends errors.UsageError<'witness-other-log'> {
  override readonly name = 'Witness.WrongLogStatementError'
  constructor() {
    super('witness-other-log', 'The checkpoint is of a log that is not witnessed here.')
  }
}

/** The checkpoint is smaller than the one cosigned last, or the proof starts elsewhere. */
export class StaleSizeError extends errors.UsageError<'witness-stale-size'> {
  override readonly name = 'Witness.StaleSizeError'
  /** The size that was cosigned last. */
  readonly size: bigint
  constructor(got: bigint, last: bigint) {
    super('witness-stale-size', 'The witness has cosigned another size last.', {
      facts: [`Got: ${got}`, `Last cosigned: ${last}`],
    })
    this.size = last
  }
}

/** The log signed two roots for one size; both statements are kept. */
export class ContradictionError extends errors.VerificationError<'witness-contradiction'> {
  override readonly name = 'Witness.ContradictionError'
  constructor(size: bigint) {
    super('witness-contradiction', 'The log has signed two different trees of one size.', { facts: [`Size: ${size}`] })
  }
}
