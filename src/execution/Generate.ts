/** Generate.ts - the loop that draws tokens from a language model. Source: spec/execution.md sections 3 and 4. */
import type { Crypto } from '../protocol/Crypto.ts'
import type { ChatModel, Prepared } from './Chat.ts'
import * as Render from './Render.ts'
import * as Sampler from './Sampler.ts'
import type { Tokenizer } from './Tokenizer.ts'

/** A causal language model; the port is owned here, drivers live outside. */
export type CausalLm = {
  /** Begins a run; may wait for its turn, and rejects when `signal` aborts while waiting. */
  readonly start: (signal?: AbortSignal) => Promise<Run>
}

/** One run with its own key-value cache. */
export type Run = {
  /** Feeds tokens after those fed before; gives the logits (one per token id) after the last of them. */
  readonly forward: (tokens: readonly number[]) => Promise<Float32Array>
  /** Gives back what the run holds; idempotent. */
  readonly dispose: () => void
}

/** What came out; `cancelled` when the signal aborted, with the tokens drawn until then. */
export type Generated = { readonly tokens: readonly number[]; readonly finish: Render.FinishReason | 'cancelled' }

/**
 * Draws tokens until the end token, a stop text or the limit.
 *
 * - `onToken`: called (and awaited) after each token with the text that became certain
 * - `onPiece`: called with each piece of text, the last one included
 *
 * Throws: what the model throws, `Sampler.LogitsError`.
 */
export async function generate(
  crypto: Crypto,
  input: {
    readonly lm: CausalLm
    readonly prepared: Pick<Prepared, 'params' | 'tokens' | 'sampling'>
    readonly manifest: ChatModel
    readonly tokenizer: Tokenizer
    readonly signal?: AbortSignal | undefined
    readonly onPiece?: ((piece: string) => void) | undefined
    readonly onToken?: ((token: number, piece: string | undefined) => void | Promise<void>) | undefined
  },
): Promise<Generated> {
  const { prepared, signal } = input
  const renderer = Render.createRenderer(input)
  const pick = Sampler.create(crypto, prepared.sampling)
  const tokens: number[] = []
  if (signal?.aborted) return { tokens, finish: 'cancelled' }
  let run: Run
  try {
    run = await input.lm.start(signal)
  } catch (error) {
    if (signal?.aborted) return { tokens, finish: 'cancelled' }
    throw error
  }
  try {
    let feed: readonly number[] = prepared.tokens
    while (tokens.length < prepared.params.maxTokens && !renderer.isStopped()) {
      if (signal?.aborted) return { tokens, finish: 'cancelled' }
      const token = pick(await run.forward(feed), tokens.length)
      tokens.push(token)
      feed = [token]
      const piece = renderer.push(token)
      if (piece !== undefined) input.onPiece?.(piece)
      await input.onToken?.(token, piece)
    }
  } finally {
    run.dispose()
  }
  const { piece, reason } = renderer.finish()
  if (piece !== undefined) input.onPiece?.(piece)
  return { tokens, finish: reason }
}
