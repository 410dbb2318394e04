/**
 * anchoring.ts - brings a log's states to AnchorLog. Source: spec/log.md section 4, spec/contracts.md section 4.
 *
 * Each round begins with what the contract says, never with what was done before. So a lost transaction, a restart, a
 * reorganisation and a stranger who anchored first all look the same: the head is where it is, and what lies above it
 * is sent.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { AnchorLogContract } from 'assay/chain'
import { Bytes, errors } from 'assay/protocol'
import type { ChainView, LogHead } from './chain-view.ts'
import { encode } from './contract-call.ts'
import type { AddressBook } from './deploy.ts'
import type { Sender } from './sender.ts'

/** A state that the log has signed for AnchorLog. */
export type SignedCheckpoint = {
  readonly size: bigint
  /** 32 bytes. */
  readonly root: Uint8Array
  /** r || s over the checkpoint statement, 64 bytes. */
  readonly signature: Uint8Array
}

/** What anchoring needs of a log. */
export type AnchoredLog = {
  /** 32 bytes. */
  readonly logId: Uint8Array
  /** Entries that are durable. */
  readonly size: () => bigint
  /** Signed states not settled yet, by size. */
  readonly unanchored: () => readonly SignedCheckpoint[]
  /** Persists, then signs the state of a size; the same size again gives the same root. */
  readonly signCheckpoint: (size: bigint) => Promise<SignedCheckpoint>
  /** RFC 9162 proof between two sizes, 1 <= from < to. */
  readonly consistency: (from: bigint, to: bigint) => Promise<readonly Uint8Array[]>
  /** This size is anchored in this block; it and everything signed below it is settled. May be told again, with another block. */
  readonly markAnchored: (size: bigint, block: bigint) => void | Promise<void>
  /**
   * The contract's head is at this size: what counted as anchored above it is anchored no more, and is returned. An endpoint that
   * lags or lies looks the same, so what was taken back is asked for again once the head has passed it.
   */
  readonly markLost?: (head: bigint) => readonly { readonly size: bigint; readonly root: Uint8Array }[]
}

/** A witness that is asked to cosign; its refusal is reported and keeps nothing from being anchored. */
export type Cosigner = { readonly cosign: (checkpoint: SignedCheckpoint) => Promise<void> }

/** The last thing that a round did. */
export type AnchoringStatus = {
  readonly state: 'idle' | 'waiting' | 'trouble' | 'conflict' | 'stopped'
  /** Largest size seen anchored. */
  readonly anchoredSize: bigint
  readonly unanchored: number
  readonly trouble: unknown
}

export type Anchoring = {
  readonly status: () => AnchoringStatus
  /** Runs one round now, after the one in progress; for tests and for a daemon that is about to stop. */
  readonly round: () => Promise<void>
  readonly stop: () => Promise<void>
}

/** Most states signed and not anchored at one time. Source: spec/log.md section 4. */
export const maxUnanchored = 8
// AnchorLog's limit on one call.
const maxSteps = 16
// Steps asked for again per round: each is one storage proof of a few milliseconds.
const maxRestored = 64
// A witness in the same process answers in milliseconds; a slow one must not hold up the anchor.
const cosignMs = 2_000

/**
 * Starts anchoring a log.
 *
 * - `intervalMs`: shortest time between two signed states, default 1,000
 */
export function startAnchoring(options: {
  readonly book: Pick<AddressBook, 'anchorLog'>
  readonly view: ChainView
  readonly sender: Sender
  readonly log: AnchoredLog
  readonly cosigners?: readonly Cosigner[]
  readonly intervalMs?: number
  /** Enters the log in AnchorLog if it is not there; asked when the contract does not know it. */
  readonly register?: () => Promise<unknown>
  /** Told about anchored states and troubles, for logs and metrics. */
  readonly onEvent?: (event: AnchoringEvent) => void
}): Anchoring {
  const { book, log, sender, view } = options
  const intervalMs = options.intervalMs ?? 1_000
  const onEvent = options.onEvent ?? (() => {})
  const stopping = new AbortController()
  // States of this run that a reorganisation could still take back: sent again without another signature.
  const kept = new Map<bigint, SignedCheckpoint>()
  const cosigned = new Set<bigint>()
  // Sizes that an answer took back, with their roots; bounded by what one answer can take back.
  const doubted = new Map<bigint, Uint8Array>()
  let anchoredSize = 0n
  let state: AnchoringStatus['state'] = 'idle'
  let trouble: unknown
  let turn: Promise<void> = Promise.resolve()

  async function round(): Promise<void> {
    // A conflict is asked about again: if it is the chain's it stays, and one false answer must not end anchoring for good.
    if (stopping.signal.aborted) return
    try {
      await view.refresh()
      const head = await settle()
      const steps = await collect(head)
      state = steps.length === 0 ? 'idle' : 'waiting'
      if (steps.length > 0) {
        await askCosigners(steps)
        await submit(head, steps)
        await view.refresh()
        await settle()
        state = 'idle'
      }
      trouble = undefined
    } catch (error) {
      trouble = error
      state = error instanceof AnchorConflictError ? 'conflict' : 'trouble'
      onEvent({ kind: 'trouble', error })
      // Gone with a block that the chain took back: pledges bind as soon as it is there again, so it is entered at once.
      if (error instanceof UnknownLogError)
        await options.register?.().catch((cause) => onEvent({ kind: 'trouble', error: cause }))
    }
  }

  /** Learns from the contract what is anchored, tells the log, and returns the head. */
  async function settle(): Promise<LogHead> {
    const head = await view.logHead(log.logId)
    if (head === undefined) throw new UnknownLogError()
    if (head.size > log.size()) throw new LogBehindError(head.size, log.size())
    for (const { size, root } of log.markLost?.(head.size) ?? []) doubted.set(size, root)
    await restore(head)
    await learn(head)
    for (const checkpoint of log.unanchored()) kept.set(checkpoint.size, checkpoint)
    for (const checkpoint of [...kept.values()].sort((a, b) => (a.size < b.size ? -1 : 1))) {
      if (checkpoint.size > head.size) continue
      const step = await view.step(log.logId, checkpoint.size)
      // Below the head and not anchored: a submission without it came first, and the head covers its entries.
      if (step === undefined) continue
      if (!Bytes.equal(step.root, checkpoint.root)) throw new AnchorConflictError(checkpoint.size)
      await log.markAnchored(checkpoint.size, step.blockNumber)
      if (checkpoint.size > anchoredSize) onEvent({ kind: 'anchored', size: checkpoint.size, block: step.blockNumber })
    }
    anchoredSize = head.size
    forget(head)
    return head
  }

  /** Takes up again what was taken back, where the contract shows the same root after all. */
  async function restore(head: LogHead): Promise<void> {
    for (const [size, root] of [...doubted].slice(0, maxRestored)) {
      if (size > head.size) continue
      const step = await view.step(log.logId, size)
      if (step !== undefined && Bytes.equal(step.root, root)) await log.markAnchored(size, step.blockNumber)
      doubted.delete(size)
    }
  }

  /** A log that took entries from its mirror lacks the checkpoints over them: it signs the anchored one again, to serve its proofs. */
  async function learn(head: LogHead): Promise<void> {
    if (head.size <= anchoredSize || kept.has(head.size)) return
    try {
      const checkpoint = await log.signCheckpoint(head.size)
      kept.set(checkpoint.size, checkpoint)
    } catch (error) {
      // The next one that is signed and anchored serves as well.
      onEvent({ kind: 'trouble', error })
    }
  }

  /** Keeps the newest few: deeper than that no reorganisation of a development chain goes, and another signature is cheap. */
  function forget(head: LogHead): void {
    const settled = [...kept.keys()].filter((size) => size <= head.size).sort((a, b) => (a < b ? -1 : 1))
    for (const size of settled.slice(0, -maxUnanchored)) {
      kept.delete(size)
      cosigned.delete(size)
    }
  }

  /** What has to be sent: everything signed above the head, and a state of the present size if there is none. */
  async function collect(head: LogHead): Promise<readonly SignedCheckpoint[]> {
    const above = () =>
      [...kept.values()].filter((one) => one.size > head.size).sort((a, b) => (a.size < b.size ? -1 : 1))
    const size = log.size()
    if (size > head.size && !kept.has(size) && log.unanchored().length < maxUnanchored) {
      const checkpoint = await log.signCheckpoint(size)
      kept.set(checkpoint.size, checkpoint)
    }
    return above().slice(-maxSteps)
  }

  async function askCosigners(steps: readonly SignedCheckpoint[]): Promise<void> {
    for (const checkpoint of steps) {
      if (cosigned.has(checkpoint.size)) continue
      for (const cosigner of options.cosigners ?? []) {
        const late = sleep(cosignMs, undefined, { signal: stopping.signal, ref: false }).then(() => {
          throw new CosignerLateError()
        })
        try {
          await Promise.race([cosigner.cosign(checkpoint), late])
          cosigned.add(checkpoint.size)
        } catch (error) {
          onEvent({ kind: 'not-cosigned', size: checkpoint.size, error })
        }
        late.catch(() => undefined)
      }
    }
  }

  async function submit(head: LogHead, steps: readonly SignedCheckpoint[]): Promise<void> {
    let from = head.size
    const signedSteps = []
    for (const { size, root, signature } of steps) {
      const proof = from === 0n ? [] : await log.consistency(from, size)
      signedSteps.push({
        size,
        root: Bytes.to0x(root),
        signature: Bytes.to0x(signature),
        consistencyProof: proof.map(Bytes.to0x),
      })
      from = size
    }
    const args = [Bytes.to0x(log.logId), signedSteps] as const
    const data = encode({ abi: AnchorLogContract.abi, functionName: 'anchor', args })
    await sender.send({ to: book.anchorLog.address, data })
  }

  function inTurn(): Promise<void> {
    turn = turn.then(round)
    return turn
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      await inTurn()
      await sleep(intervalMs, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  })()

  return {
    status: () => ({
      state: stopping.signal.aborted ? 'stopped' : state,
      anchoredSize,
      unanchored: log.unanchored().length,
      trouble,
    }),
    round: inTurn,
    stop: async () => {
      stopping.abort()
      await running
      await turn
    },
  }
}

export type AnchoringEvent =
  | { readonly kind: 'anchored'; readonly size: bigint; readonly block: bigint }
  | { readonly kind: 'not-cosigned'; readonly size: bigint; readonly error: unknown }
  | { readonly kind: 'trouble'; readonly error: unknown }

/** AnchorLog holds another root for a size that this log signed: two histories exist under one key. */
export class AnchorConflictError extends errors.VerificationError<'anchor-conflict'> {
  override readonly name = 'AnchorConflictError'
  constructor(size: bigint) {
    super('anchor-conflict', 'The chain holds another root for a size that this log signed.', {
      facts: [`Size: ${size}`, 'Stop the log: its key has signed two histories.'],
    })
  }
}

/** AnchorLog does not know the log (yet, or no longer after a reorganisation). */
export class UnknownLogError extends errors.UnavailableError<'log-unknown'> {
  override readonly name = 'UnknownLogError'
  constructor() {
    super('log-unknown', 'AnchorLog does not know this log.', { retryAfterSeconds: 1 })
  }
}

/** AnchorLog is ahead of this log: its folder was restored from an old copy. */
export class LogBehindError extends errors.VerificationError<'log-behind'> {
  override readonly name = 'LogBehindError'
  constructor(anchored: bigint, size: bigint) {
    super('log-behind', 'The chain has a later state of this log than this folder.', {
      facts: [`Anchored: ${anchored}`, `Here: ${size}`, 'Fetch the missing entries from the mirror before signing.'],
    })
  }
}

/** A witness did not answer in time. */
export class CosignerLateError extends errors.UnavailableError<'cosigner-late'> {
  override readonly name = 'CosignerLateError'
  constructor() {
    super('cosigner-late', 'A witness did not cosign in time.', { facts: [`Limit: ${cosignMs} ms`] })
  }
}
