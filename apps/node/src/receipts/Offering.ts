/**
 * Offering.ts - gives a signed head to the node's logs until one of them has pledged it. Source: spec/log.md section 7.
 *
 * The first log that is well gets it. Another one gets it as well when that log fails, or has not pledged after a short
 * time: then the head may stand in both, and both pledges bind. A log that fails or stands still is left aside for a
 * while, longer each time, and one head at a time finds out whether it is back.
 */

/** A signed head on its way into a log. */
export type Request = {
  /** 139 bytes. */
  readonly head: Uint8Array
  /** 64 bytes. */
  readonly signature: Uint8Array
  /** 64 bytes, x || y. */
  readonly publicKey: Uint8Array
}

/** What a log answers: the entry's index and the signed promise to anchor it. */
export type Held = {
  readonly index: bigint
  /** 224 bytes and 64 bytes. */
  readonly pledge: { readonly words: Uint8Array; readonly signature: Uint8Array }
}

/** What an offering needs of a log; `log/Log.ts` has it. */
export type Port = { readonly append: (request: Request) => Promise<Held> }

/** Every number with its reason; tests give smaller ones. */
export type Timings = {
  readonly hedgeMs: number
  readonly retryMs: number
  readonly asideMs: number
  readonly maxAsideMs: number
}

/**
 * - `hedgeMs`: a log pledges within 10 to 40 ms on an idle disk; four times that says that something is in its way, and
 *   leaves the other log two thirds of what a call waits
 * - `retryMs`: heads that no log took are offered again this often
 * - `asideMs`, `maxAsideMs`: doubled from one failure to the next, so that a log that is down costs a head a minute
 */
export const timings: Timings = Object.freeze({ hedgeMs: 150, retryMs: 1_000, asideMs: 1_000, maxAsideMs: 60_000 })

/**
 * Most heads given to a second log at one time because the first is slow and yet pledges others: a machine that is
 * short of time shall not do all its work twice.
 */
export const maxHedged = 32

/** Time, as the issuer sees it; tests move one by hand. */
export type Clock = {
  /** Milliseconds that only grow. */
  readonly now: () => number
  /** Runs the work once, after so many milliseconds; what it returns takes that back. `isHolding`: the process waits for it. */
  readonly later: (ms: number, work: () => void, isHolding?: boolean) => () => void
}

/** The machine's. */
export const clock: Clock = Object.freeze({
  now: () => performance.now(),
  later(ms: number, work: () => void, isHolding = false) {
    const timer = setTimeout(work, ms)
    if (!isHolding) timer.unref()
    return () => clearTimeout(timer)
  },
})

/** The logs of a node, as one place to give heads to. */
export type Offering = {
  /**
   * Offers a head until a log has pledged it, however long that takes.
   *
   * - `sign`: asked once it succeeds; its failures are tried again
   * - `keep`: stores a pledge and gives what stands; the first call decides, later pledges of other logs come through it too
   * - resolves with what the first `keep` gave; rejects when the first round ended without a pledge, and goes on all the same
   */
  readonly offer: <T>(sign: () => Promise<Request>, keep: (held: Held) => Promise<T>) => Promise<T>
  /** Starts no more rounds. */
  readonly close: () => void
  /** Settles when no log has a head in its hands. */
  readonly idle: () => Promise<void>
}

type Standing = {
  readonly port: Port
  readonly name: string
  failures: number
  asideUntilMs: number
  isProbed: boolean
  lastPledgeMs: number
}

/**
 * Makes the offering over logs in order of preference.
 *
 * - `onEvent`: a log was left aside, or is back
 */
export function create(options: {
  readonly logs: readonly { readonly name: string; readonly port: Port }[]
  readonly timings?: Partial<Timings> | undefined
  readonly onEvent?: ((event: { readonly kind: 'aside' | 'back'; readonly log: string }) => void) | undefined
  /** True for an answer after which the head may go to no log: another one stands in its place. */
  readonly isFinal?: ((error: unknown) => boolean) | undefined
  readonly clock?: Clock | undefined
}): Offering {
  const { hedgeMs, retryMs, asideMs, maxAsideMs } = { ...timings, ...options.timings }
  const { now, later: runLater } = options.clock ?? clock
  const onEvent = options.onEvent ?? (() => {})
  const standings = options.logs.map(({ name, port }): Standing => {
    return { name, port, failures: 0, asideUntilMs: 0, isProbed: false, lastPledgeMs: Number.NEGATIVE_INFINITY }
  })
  const waiting = new Set<() => void>()
  const busy = new Set<Promise<unknown>>()
  let hedged = 0
  let isClosed = false

  /** Those that are well in order of preference, one that may be back before them, the others last. */
  function order(without: ReadonlySet<Standing>): Standing[] {
    const free = standings.filter((one) => !without.has(one))
    const well = free.filter((one) => one.failures === 0)
    const away = free.filter((one) => one.failures > 0).sort((left, right) => left.asideUntilMs - right.asideUntilMs)
    const probe = well.length === 0 ? undefined : away.find((one) => !one.isProbed && one.asideUntilMs <= now())
    if (probe === undefined) return [...well, ...away]
    probe.isProbed = true
    return [probe, ...well, ...away.filter((one) => one !== probe)]
  }

  function setAside(one: Standing): void {
    const isNews = one.failures === 0
    // Heads that were given to it together fail together: they count once.
    if (!isNews && !one.isProbed && now() < one.asideUntilMs) return
    one.isProbed = false
    one.asideUntilMs = now() + Math.min(maxAsideMs, asideMs * 2 ** Math.min(one.failures, 16))
    one.failures++
    if (isNews) onEvent({ kind: 'aside', log: one.name })
  }

  function pledged(one: Standing, startedMs: number): void {
    one.lastPledgeMs = now()
    if (one.failures === 0) return
    // A log that came back slow is not back.
    if (now() - startedMs > hedgeMs) {
      if (one.isProbed) setAside(one)
      return
    }
    one.failures = 0
    one.asideUntilMs = 0
    one.isProbed = false
    onEvent({ kind: 'back', log: one.name })
  }

  function later(ms: number, work: () => void): () => void {
    const takeBack = runLater(ms, () => {
      waiting.delete(cancel)
      work()
    })
    const cancel = () => {
      takeBack()
      waiting.delete(cancel)
    }
    waiting.add(cancel)
    return cancel
  }

  function offer<T>(sign: () => Promise<Request>, keep: (held: Held) => Promise<T>): Promise<T> {
    const atWork = new Set<Standing>()
    let request: Request | undefined
    let isKept = false
    let isRefused = false
    let stopHedge = () => {}
    let stopAgain = () => {}

    return new Promise<T>((resolve, reject) => {
      /** Gives the head to one log; `next` is told when that came to nothing. */
      async function give(one: Standing, given: Request, next: (cause: unknown) => void): Promise<void> {
        const startedMs = now()
        atWork.add(one)
        let held: Held
        try {
          held = await one.port.append(given)
        } catch (cause) {
          atWork.delete(one)
          if (options.isFinal?.(cause) === true) {
            isRefused = true
            return reject(cause)
          }
          setAside(one)
          return next(cause)
        }
        atWork.delete(one)
        pledged(one, startedMs)
        try {
          const value = await keep(held)
          isKept = true
          stopHedge()
          stopAgain()
          resolve(value)
        } catch (cause) {
          // Not the log's fault; the next round gets the same answer of it.
          stopHedge()
          reject(cause)
        }
      }

      async function round(): Promise<void> {
        if (isKept || isRefused || isClosed) return
        stopAgain = later(retryMs, () => void track(round()))
        try {
          request ??= await sign()
        } catch (cause) {
          return reject(cause)
        }
        const given = request
        const queue = order(atWork)
        const giving: Promise<void>[] = []
        let isHedged = false
        const next = (cause: unknown): void => {
          stopHedge()
          if (isKept || isRefused || isClosed) return
          const one = queue.shift()
          if (one === undefined) {
            if (atWork.size === 0) reject(cause)
            return
          }
          const startedMs = now()
          giving.push(track(give(one, given, next)))
          if (queue.length === 0) return
          stopHedge = later(hedgeMs, () => {
            const isStill = one.lastPledgeMs < startedMs
            if (isStill) setAside(one)
            else if (hedged >= maxHedged) return
            if (!isStill && !isHedged) {
              isHedged = true
              hedged++
            }
            next(undefined)
          })
        }
        next(undefined)
        // The list grows while it is worked on.
        for (const one of giving) await one
        if (isHedged) hedged--
      }
      void track(round())
    })
  }

  function track<T>(work: Promise<T>): Promise<T> {
    busy.add(work)
    work.then(
      () => busy.delete(work),
      () => busy.delete(work),
    )
    return work
  }

  return {
    offer,
    close() {
      isClosed = true
      for (const cancel of waiting) cancel()
    },
    async idle() {
      while (busy.size > 0) await Promise.allSettled(busy)
    },
  }
}
