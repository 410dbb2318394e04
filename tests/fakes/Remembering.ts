/**
 * Remembering.ts - primitives that remember what they answered, for tests that judge the same bytes under many policies and readers.
 * The answers are the driver's own: what it was never asked it is asked.
 */
import type { Crypto } from 'assay/protocol'

/** Signatures and Keccak-256 by `driver`, each asked once. */
export function remembering(driver: Crypto): Crypto {
  const answers = new Map<string, unknown>()
  const once =
    <Args extends readonly Uint8Array[], T>(name: string, ask: (...args: Args) => T) =>
    (...args: Args): T => {
      const key = [name, ...args.map((bytes) => Buffer.from(bytes).toString('latin1'))].join('\0')
      // Lengths keep apart what joins to the same text.
      const place = `${args.map(({ length }) => length).join(',')}/${key}`
      if (!answers.has(place)) answers.set(place, ask(...args))
      return answers.get(place) as T
    }
  const keccak256 = once('keccak256', driver.keccak256)
  return {
    ...driver,
    // Callers may write into what they were given.
    keccak256: (bytes) => Uint8Array.from(keccak256(bytes)),
    p256Verify: once('p256', driver.p256Verify),
    ed25519Verify: once('ed25519', driver.ed25519Verify),
  }
}
