/** Awaiting.ts - calls whose receipt is still to come: kept across restarts, asked after less and less often, and for a bounded time. */
import * as Bytes from '../protocol/Bytes.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError, UnavailableError, VerificationError } from '../protocol/errors.ts'
import type { Policy } from '../verify/Policy.ts'
import type { Answer } from './Exchange.ts'
import * as Graded from './Graded.ts'
import * as PendingCall from './PendingCall.ts'
import type { CallStore } from './Stores.ts'

/** What one round came to: hashes of orders, in hex. */
export type Report = {
  readonly awaited: readonly string[]
  readonly failed: readonly { readonly receiptHash: string; readonly code: string }[]
}

/** The calls of a client whose receipt is still to come. */
export type Awaiting = {
  /** Keeps a call and gives what stands for its answer until the receipt is there. */
  readonly keep: (call: PendingCall.PendingCall) => Promise<Graded.Graded<Answer>>
  /** Asks once for each receipt that is due; what came is graded, kept, and no longer listed here. */
  readonly round: () => Promise<Report>
  readonly count: () => Promise<number>
}

/** Pause between two questions for the same receipt in the background, at first and at most. */
const firstAskMs = 1_000
const maxAskMs = 60_000

/**
 * Makes it.
 *
 * - `follow`: asks once for an answer with its receipt; undefined while no log has pledged it
 * - `grade`: keeps a receipt that came
 */
export function create(parts: {
  readonly crypto: Crypto
  readonly calls: CallStore
  readonly follow: (call: PendingCall.PendingCall) => Promise<Answer | undefined>
  readonly grade: (answer: Answer) => Promise<Graded.Graded<Answer>>
  readonly policy: Policy
  readonly sleep: (ms: number) => Promise<void>
  readonly now: () => number
}): Awaiting {
  const { crypto, calls, policy, sleep, now } = parts
  const asks = new Map<string, { readonly atMs: number; readonly pauseMs: number }>()

  async function follow(name: string, call: PendingCall.PendingCall): Promise<Graded.Graded<Answer> | undefined> {
    const answer = await parts.follow(call)
    if (answer === undefined) return undefined
    const graded = await parts.grade(answer)
    // After the receipt is kept: a crash between the two asks once more and keeps the same again.
    await calls.remove(name)
    asks.delete(name)
    return graded
  }

  async function ask(name: string): Promise<'awaited' | 'settled'> {
    const { atMs, pauseMs } = asks.get(name) ?? { atMs: 0, pauseMs: firstAskMs }
    if (now() < atMs) return 'awaited'
    asks.set(name, { atMs: now() + pauseMs, pauseMs: Math.min(maxAskMs, 2 * pauseMs) })
    const bytes = await calls.load(name)
    if (bytes === undefined) return 'settled'
    const call = PendingCall.parse(bytes)
    const isTimeOver = now() / 1000 > Number(call.askedSeconds + PendingCall.followSeconds)
    try {
      if ((await follow(name, call)) !== undefined) return 'settled'
    } catch (error) {
      // Whatever keeps the receipt away: its call must not take up room for ever.
      if (isTimeOver && !(error instanceof UnavailableError)) await calls.remove(name)
      throw error
    }
    if (!isTimeOver) return 'awaited'
    await calls.remove(name)
    throw new NeverPledgedError()
  }

  return {
    async keep(call) {
      const name = Bytes.toHex(call.orderHash)
      await calls.save(name, PendingCall.serialize(call))
      return Graded.createPending<Answer>({
        ...{ name, policy, sleep, now },
        verdict: (asked) => PendingCall.verdict(crypto, asked),
        follow: async () => {
          try {
            return await follow(name, call)
          } catch (error) {
            // Nobody answers at the moment: as if there were no receipt yet.
            if (error instanceof UnavailableError) return undefined
            throw error
          }
        },
      })
    },
    async round() {
      const awaited: string[] = []
      const failed: { receiptHash: string; code: string }[] = []
      for (const name of await calls.list()) {
        try {
          if ((await ask(name)) === 'awaited') awaited.push(name)
        } catch (error) {
          // One call that cannot be settled must not hold back the others; it stays for its holder to look at.
          if (!BaseError.isInstance(error)) throw error
          if (error instanceof UnavailableError) awaited.push(name)
          else failed.push({ receiptHash: name, code: error.code })
        }
      }
      return { awaited, failed }
    },
    count: async () => (await calls.list()).length,
  }
}

/** A node answered, and no log pledged the receipt in all the time: the answer stands on nothing and is asked after no more. */
export class NeverPledgedError extends VerificationError<'receipt-never-pledged'> {
  override readonly name = 'Awaiting.NeverPledgedError'
  constructor() {
    super('receipt-never-pledged', `No log pledged the receipt within ${PendingCall.followSeconds} seconds.`)
  }
}
