/** HttpBody.ts - what comes over HTTP: bodies whose length nobody trusts, and connections that end. */
import * as Bytes from '../protocol/Bytes.ts'
import { BaseError, UnavailableError, VerificationError } from '../protocol/errors.ts'

/** Waits for a response; throws `HttpBody.UnreachableError` when none comes. A caller who aborts gets the signal's reason. */
export async function reach(work: Promise<Response>): Promise<Response> {
  try {
    return await work
  } catch (error) {
    throw asUnreachable(error)
  }
}

/** A timeout and a broken connection are the other side's; an abort is the caller's own. */
function asUnreachable(error: unknown): unknown {
  if (BaseError.isInstance(error) || (error as { name?: unknown } | null)?.name === 'AbortError') return error
  return new UnreachableError(error)
}

/** Hands out the parts of a body as they come; throws `HttpBody.TooLargeError` and stops reading past the limit. */
export async function eachPart(response: Response, maxBytes: number, take: (part: Uint8Array) => void): Promise<void> {
  if (response.body === null) return
  const reader = response.body.getReader()
  let total = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      total += value.length
      if (total > maxBytes) throw new TooLargeError(maxBytes)
      take(value)
    }
  } catch (error) {
    await reader.cancel().catch(() => {})
    throw asUnreachable(error)
  }
}

/** The whole body; throws `HttpBody.TooLargeError`. */
export async function readAll(response: Response, maxBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  await eachPart(response, maxBytes, (part) => parts.push(part))
  return Bytes.concat(...parts)
}

/** Gives an answer up that is not wanted: also one that breaks off at that moment. */
export async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => {})
}

/** The whole body as text; throws `HttpBody.TooLargeError`, `Bytes.EncodingError`. */
export async function readText(response: Response, maxBytes: number): Promise<string> {
  return Bytes.toUtf8(await readAll(response, maxBytes))
}

/** An answer is longer than anything that it could honestly be. */
export class TooLargeError extends VerificationError<'answer-too-large'> {
  override readonly name = 'HttpBody.TooLargeError'
  constructor(maxBytes: number) {
    super('answer-too-large', `An answer is larger than ${maxBytes} bytes.`)
  }
}

/** No answer came, or it broke off. */
export class UnreachableError extends UnavailableError<'gateway-unreachable'> {
  override readonly name = 'HttpBody.UnreachableError'
  constructor(cause: unknown) {
    super('gateway-unreachable', 'The gateway did not answer, or broke off.', { retryAfterSeconds: 1, cause })
  }
}
