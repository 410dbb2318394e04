/** RunQueue.ts - one run at a time per engine, a bounded line behind it, and a refusal beyond that. */
import { errors } from 'assay/protocol'

/** Callers that may wait: at a few seconds per run more would only time out. */
const defaultMaxWaiting = 16

/** A line for one resource. */
export type RunQueue = {
  /** Waits for the turn; gives the function that ends it (idempotent). Throws `OverloadedError`, or the signal's reason. */
  readonly acquire: (signal?: AbortSignal) => Promise<() => void>
  /** Callers that wait now. */
  readonly waiting: () => number
}

/** Makes a queue. */
export function createRunQueue(maxWaiting: number = defaultMaxWaiting): RunQueue {
  const line: (() => void)[] = []
  let isBusy = false

  function release(): () => void {
    let isReleased = false
    return () => {
      if (isReleased) return
      isReleased = true
      const next = line.shift()
      if (next === undefined) isBusy = false
      else next()
    }
  }

  async function acquire(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted()
    if (!isBusy) {
      isBusy = true
      return release()
    }
    if (line.length >= maxWaiting) throw new OverloadedError(maxWaiting)
    return await new Promise((resolve, reject) => {
      const enter = () => {
        signal?.removeEventListener('abort', leave)
        resolve(release())
      }
      const leave = () => {
        line.splice(line.indexOf(enter), 1)
        reject(signal?.reason)
      }
      line.push(enter)
      signal?.addEventListener('abort', leave, { once: true })
    })
  }

  return { acquire, waiting: () => line.length }
}

/** Too many callers wait for this engine already. */
export class OverloadedError extends errors.UnavailableError<'engine-overloaded'> {
  override readonly name = 'RunQueue.OverloadedError'
  constructor(maxWaiting: number) {
    super('engine-overloaded', 'Too many calls wait for this model.', {
      facts: [`Limit: ${maxWaiting} waiting`],
      retryAfterSeconds: 2,
    })
  }
}
