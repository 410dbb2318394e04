/**
 * Graded.ts - an answer that is reachable only against a verdict. Source: design of the client; spec/verdict.md.
 */
import { PolicyError, UnavailableError, UsageError } from '../protocol/errors.ts'
import type { Policy } from '../verify/Policy.ts'
import type { Verdict } from '../verify/Verdict.ts'

/**
 * A value together with the bundle that stands behind it. There is no property that holds the value: ask with a policy
 * (`meets`), or say in the code that no policy is asked (`unchecked`).
 */
export type Graded<T> = {
  /** Hash of the receipt, 64 hex digits; while no log has pledged it, `pending-` and the hash of the order. */
  readonly receiptHash: string
  /** The `.receipt` file as it is now; it grows while anchoring rises. Throws `Graded.PendingReceiptError` while there is none. */
  bundle(): Uint8Array
  /** Computes a verdict on the present bundle, without giving the value. Default: the policy under which the client asks (strict unless it was made with another). */
  verdict(policy?: Policy): Promise<Verdict>
  /** The value, if the bundle meets the policy (default as above). Waits up to `waitSeconds` (default 0) for anchoring to rise. */
  meets(
    policy?: Policy,
    options?: {
      readonly waitSeconds?: number
      /** Told about every verdict on the way. */
      readonly onVerdict?: (verdict: Verdict) => void
      /** Ends the waiting; `meets` then throws the signal's reason. */
      readonly signal?: AbortSignal
    },
  ): Promise<T>
  /** The value with nothing checked. The name is meant to show in review. Throws `Graded.PendingReceiptError` while there is no receipt. */
  unchecked(): T
}

/** Text of a stream before its receipt was checked; only printing it is safe. */
export type Provisional<T> = { readonly provisional: T }

/** Makes a graded value from its parts; the value stays inside the closure. */
export function create<T>(parts: {
  readonly value: T
  readonly receiptHash: string
  readonly bundle: () => Uint8Array
  readonly verdict: (policy: Policy) => Promise<Verdict>
  readonly raise: () => Promise<void>
  readonly policy: Policy
  readonly sleep: (ms: number) => Promise<void>
  readonly now: () => number
}): Graded<T> {
  return {
    receiptHash: parts.receiptHash,
    bundle: parts.bundle,
    verdict: (policy = parts.policy) => parts.verdict(policy),
    unchecked: () => parts.value,
    async meets(policy = parts.policy, options = {}) {
      const waitSeconds = options.waitSeconds ?? 0
      if (!(waitSeconds >= 0 && waitSeconds <= maxWaitSeconds)) throw new WaitError()
      const until = parts.now() + waitSeconds * 1000
      for (;;) {
        const verdict = await parts.verdict(policy)
        options.onVerdict?.(verdict)
        if (verdict.outcome === 'MEETS') return parts.value
        if (verdict.outcome !== 'INSUFFICIENT' || parts.now() >= until) throw new NotMetError(verdict)
        options.signal?.throwIfAborted()
        await parts.raise()
        await parts.sleep(Math.min(pollMs, Math.max(0, until - parts.now())))
      }
    },
  }
}

/**
 * Makes a graded value whose receipt is still to come: until it is there every verdict is INSUFFICIENT and no value leaves.
 *
 * - `follow`: asks once for the receipt; undefined while there is none
 * - `verdict`: the verdict without a receipt
 */
export function createPending<T>(parts: {
  /** Named in `receiptHash` until the receipt is there. */
  readonly name: string
  readonly follow: () => Promise<Graded<T> | undefined>
  readonly verdict: (policy: Policy) => Verdict
  readonly policy: Policy
  readonly sleep: (ms: number) => Promise<void>
  readonly now: () => number
}): Graded<T> {
  let settled: Graded<T> | undefined
  const there = (): Graded<T> => {
    if (settled === undefined) throw new PendingReceiptError()
    return settled
  }
  return {
    get receiptHash() {
      return settled?.receiptHash ?? `pending-${parts.name}`
    },
    bundle: () => there().bundle(),
    unchecked: () => there().unchecked(),
    verdict: async (policy = parts.policy) => settled?.verdict(policy) ?? parts.verdict(policy),
    async meets(policy = parts.policy, options = {}) {
      const waitSeconds = options.waitSeconds ?? 0
      if (!(waitSeconds >= 0 && waitSeconds <= maxWaitSeconds)) throw new WaitError()
      const until = parts.now() + waitSeconds * 1000
      for (let pauseMs = firstFollowMs; ; pauseMs = Math.min(2 * pauseMs, maxFollowMs)) {
        settled ??= await parts.follow()
        if (settled !== undefined) {
          const left = Math.max(0, until - parts.now()) / 1000
          return settled.meets(policy, { ...options, waitSeconds: left })
        }
        const verdict = parts.verdict(policy)
        options.onVerdict?.(verdict)
        if (parts.now() >= until) throw new NotMetError(verdict)
        options.signal?.throwIfAborted()
        await parts.sleep(Math.min(pauseMs, Math.max(0, until - parts.now())))
      }
    },
  }
}

/** A log that was slow has often pledged a moment later; one that is down is asked after at this pace at most. */
const firstFollowMs = 100
const maxFollowMs = 2_000

/** Longest wait for one answer: an hour covers every pledge window of a development chain. */
export const maxWaitSeconds = 3600
/** A development chain makes a block a second; asking more often shows nothing new. */
const pollMs = 250

/** The receipt does not meet the policy; `verdict` has the rows. */
export class NotMetError extends PolicyError<'policy-not-met'> {
  override readonly name = 'Graded.NotMetError'
  readonly verdict: Verdict
  constructor(verdict: Verdict) {
    const open = verdict.requirements.filter((result) => result.status !== 'MET')
    super('policy-not-met', `The receipt is ${verdict.outcome} under policy ${verdict.policy.name}.`, {
      facts: [
        ...(verdict.step === undefined ? [] : [`Step: ${verdict.step}`]),
        ...open.slice(0, 12).map((result) => `${result.status} ${result.requirement}: ${result.because}`),
      ],
      docsPath: 'spec/verdict.md',
    })
    this.verdict = verdict
  }
}

/** The answer's receipt is not there yet: ask for a verdict, or wait with `meets`. */
export class PendingReceiptError extends UnavailableError<'receipt-pending'> {
  override readonly name = 'Graded.PendingReceiptError'
  constructor() {
    super('receipt-pending', 'No log has pledged the receipt of this answer yet; without it nothing is handed out.', {
      retryAfterSeconds: 1,
      docsPath: 'spec/wire.md',
    })
  }
}

/** The wait is not a number of seconds within the limit. */
export class WaitError extends UsageError<'wait-out-of-range'> {
  override readonly name = 'Graded.WaitError'
  constructor() {
    super('wait-out-of-range', `waitSeconds must be from 0 to ${maxWaitSeconds}.`)
  }
}
