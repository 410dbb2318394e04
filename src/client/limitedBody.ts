/** limitedBody.ts - reads the body of a response without trusting its length. */
import * as Bytes from '../protocol/Bytes.ts'
import { VerificationError } from '../protocol/errors.ts'

/** Hands out the parts of a body as they come; throws `limitedBody.TooLargeError` and stops reading past the limit. */
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
    throw error
  }
}

/** The whole body; throws `limitedBody.TooLargeError`. */
export async function readAll(response: Response, maxBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  await eachPart(response, maxBytes, (part) => parts.push(part))
  return Bytes.concat(...parts)
}

/** The whole body as text; throws `limitedBody.TooLargeError`, `Bytes.EncodingError`. */
export async function readText(response: Response, maxBytes: number): Promise<string> {
  return Bytes.toUtf8(await readAll(response, maxBytes))
}

/** An answer is longer than anything that it could honestly be. */
export class TooLargeError extends VerificationError<'answer-too-large'> {
  override readonly name = 'limitedBody.TooLargeError'
  constructor(maxBytes: number) {
    super('answer-too-large', `An answer is larger than ${maxBytes} bytes.`)
  }
}
