/** Between.ts - what stands between a client and everybody else: a process that can end at any step, and a network that changes, loses, repeats and mixes answers. */
import { setTimeout as sleep } from 'node:timers/promises'
import type * as Random from './Random.ts'

/** The client's process is gone. */
export class EndedError extends Error {
  override readonly name = 'EndedError'
}

/** One process of the client; what it does through its ports counts as steps. */
export type Life = {
  readonly isOver: () => boolean
  /** The process ends within the step that many from now; before or after the step itself. */
  readonly endAt: (steps: number, isAfter: boolean) => void
  /** The port with every function a step; once it is over nothing gets through. */
  readonly port: <T extends object>(port: T) => T
}

/** Starts a process. */
export function live(): Life {
  let left = Number.POSITIVE_INFINITY
  let endsAfter = false
  let isOver = false
  function step<R>(work: () => R): R {
    if (isOver) throw new EndedError()
    left--
    if (left > 0) return work()
    isOver = true
    if (!endsAfter) throw new EndedError()
    const result = work()
    if (result instanceof Promise) {
      const gone = result.then(() => Promise.reject(new EndedError()))
      return gone as R
    }
    throw new EndedError()
  }
  return {
    isOver: () => isOver,
    endAt: (steps, isAfter) => {
      left = steps
      endsAfter = isAfter
    },
    port: (port) =>
      new Proxy(port, {
        get(of, name) {
          const value = Reflect.get(of, name) as unknown
          if (typeof value !== 'function') return value
          return async (...args: unknown[]) => step(() => (value as (...all: unknown[]) => unknown).apply(of, args))
        },
      }),
  }
}

/** A network; each probability is of one answer. */
export type Network = {
  changes: number
  loses: number
  repeats: number
  /** The answers to the next two calls are exchanged. */
  mixes: boolean
  readonly fetch: typeof globalThis.fetch
}

type Answer = { readonly status: number; readonly headers: Headers; readonly body: Uint8Array }

/** A network that does nothing of this yet. */
export function network(random: Random.Random): Network {
  const seen = new Map<string, Answer[]>()
  let first: { readonly answer: Answer; readonly give: (other: Answer) => void } | undefined

  async function ask(input: Parameters<typeof fetch>[0], init?: Parameters<typeof fetch>[1]): Promise<Answer> {
    const response = await globalThis.fetch(input, init)
    return { status: response.status, headers: response.headers, body: new Uint8Array(await response.arrayBuffer()) }
  }

  /** One bit of the body, or of a header that matters. */
  function changed({ status, headers, body }: Answer): Answer {
    const names = [...headers.keys()].filter((name) => name.startsWith('assay-'))
    if (names.length > 0 && random.chance(0.6)) {
      const name = random.pick(names)
      const value = [...(headers.get(name) as string)]
      const at = random.below(value.length)
      value[at] = value[at] === 'A' ? 'B' : 'A'
      const others = new Headers(headers)
      others.set(name, value.join(''))
      return { status, headers: others, body }
    }
    const bent = body.slice()
    const at = random.below(Math.max(1, bent.length))
    if (bent.length > 0) bent[at] = (bent[at] as number) ^ (1 << random.below(8))
    return { status, headers, body: bent }
  }

  /** Waits a moment for another call's answer. */
  async function mixed(answer: Answer): Promise<Answer> {
    if (first !== undefined) {
      const { answer: other, give } = first
      first = undefined
      give(answer)
      return other
    }
    const other = new Promise<Answer>((resolve) => {
      first = { answer, give: resolve }
    })
    const alone = sleep(200, answer).then((own) => {
      if (first?.answer === own) first = undefined
      return own
    })
    return Promise.race([other, alone])
  }

  const net: Network = {
    ...{ changes: 0, loses: 0, repeats: 0, mixes: false },
    fetch: async (input, init) => {
      if (random.chance(net.loses)) throw new TypeError('fetch failed')
      const isCall = init?.method === 'POST'
      let answer = await ask(input, init)
      const before = seen.get(String(input)) ?? []
      seen.set(String(input), [...before.slice(-3), answer])
      if (before.length > 0 && random.chance(net.repeats)) answer = random.pick(before)
      if (isCall && net.mixes) answer = await mixed(answer)
      if (random.chance(net.changes)) answer = changed(answer)
      const { status, headers, body } = answer
      const shown = new Headers(headers)
      for (const name of ['content-length', 'transfer-encoding']) shown.delete(name)
      return new Response(body as Uint8Array<ArrayBuffer>, { status, headers: shown })
    },
  }
  return net
}
