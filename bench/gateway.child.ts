/** gateway.child.ts - the clients of the gateway's benchmark, in a process of their own so that their CPU is not counted. */
import { Agent, request } from 'undici'

/** What the parent asks for. */
export type Ask = {
  readonly url: string
  readonly count: number
  readonly concurrency: number
  readonly start: number
  readonly stream: boolean
}
/** Milliseconds of each call. */
export type Told = { readonly latenciesMs: readonly number[] } | { readonly error: string }

const agent = new Agent({ connections: 64, pipelining: 1 })

async function call(ask: Ask, i: number): Promise<void> {
  const messages = [{ role: 'user', content: `Hello number ${i}.` }]
  const body = JSON.stringify({ model: 'tiny', messages, max_tokens: 1, temperature: 0, stream: ask.stream })
  const headers = { 'content-type': 'application/json' }
  const response = await request(`${ask.url}/v1/chat/completions`, { method: 'POST', headers, body, dispatcher: agent })
  const text = await response.body.text()
  if (response.statusCode !== 200) throw new Error(`answered ${response.statusCode}`)
  const hasReceipt = ask.stream ? text.includes(': assay-receipt') : response.headers['assay-receipt'] !== undefined
  if (!hasReceipt) throw new Error('the answer has no receipt')
}

async function calls(ask: Ask): Promise<number[]> {
  const latenciesMs: number[] = []
  let next = ask.start
  const client = async () => {
    while (next < ask.start + ask.count) {
      const startedMs = performance.now()
      await call(ask, next++)
      latenciesMs.push(performance.now() - startedMs)
    }
  }
  await Promise.all(Array.from({ length: ask.concurrency }, client))
  return latenciesMs
}

process.on('message', (ask: Ask) => {
  const tell = (told: Told) => process.send?.(told)
  calls(ask).then(
    (latenciesMs) => tell({ latenciesMs }),
    (error: Error) => tell({ error: error.message }),
  )
})
