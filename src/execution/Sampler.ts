/**
 * Sampler.ts - from logits to a token, the same for everybody. Source: spec/execution.md section 4.
 *
 * Only IEEE 754 double +, -, *, / and comparison, in a written order; no `Math.exp`, whose last bits engines choose.
 */
import * as Bytes from '../protocol/Bytes.ts'
import type * as Claims from '../protocol/Claims.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { UsageError } from '../protocol/errors.ts'

const drawPrefix = Uint8Array.of(0x06)

// 2^0 down to 2^-1022 by exact halving: ECMAScript lets Math.pow approximate.
const powersOfHalf = new Float64Array(1023)
for (let i = 0, power = 1; i < powersOfHalf.length; i++, power /= 2) powersOfHalf[i] = power

/** Chooses a token id from the logits (float32, one per token id) of a position (tokens generated before). */
export type Pick = (logits: Float32Array, position: number) => number

/**
 * Makes the sampler of one call.
 *
 * - `temperature`: decimal text 0..2; `topP`: decimal text, 0 < p <= 1
 *
 * The sampler throws `Sampler.LogitsError` for NaN, +Infinity, or when no logit is finite.
 */
export function create(crypto: Crypto, sampling: Claims.Sampling): Pick {
  const temperature = Number(sampling.temperature)
  const topP = Number(sampling.topP)
  return (logits, position) => {
    const best = argmax(logits)
    if (temperature === 0) return best
    const maximum = logits[best] as number
    const weights = new Float64Array(logits.length)
    for (let id = 0; id < logits.length; id++) {
      weights[id] = exp(((logits[id] as number) - maximum) / temperature)
    }
    const kept = topP < 1 ? nucleus(weights, topP) : undefined
    const count = kept === undefined ? weights.length : kept.length
    const idAt = (index: number) => (kept === undefined ? index : (kept[index] as number))
    let sum = 0
    for (let i = 0; i < count; i++) sum += weights[idAt(i)] as number
    const bar = draw(crypto, sampling.seed, position) * sum
    let running = 0
    for (let i = 0; i < count; i++) {
      running += weights[idAt(i)] as number
      if (running > bar) return idAt(i)
    }
    return idAt(count - 1)
  }
}

/** The number u in [0, 1) of a position: the first 53 bits of SHA-256(0x06 || seed u64 || position u32), over 2^53. */
export function draw(crypto: Crypto, seed: bigint, position: number): number {
  const hash = crypto.sha256(Bytes.concat(drawPrefix, Bytes.u64(seed), Bytes.u32(position)))
  const view = new DataView(hash.buffer, hash.byteOffset, 8)
  return (view.getUint32(0) * 2097152 + (view.getUint32(4) >>> 11)) / 9007199254740992
}

/** E(x), the specification's exponential for x <= 0. */
export function exp(x: number): number {
  if (x < -708) return 0
  // biome-ignore lint/suspicious/noApproximativeNumericConstant: the literal is the specification's, and engines choose the bits of Math.LOG2E.
  const k = Math.floor(x * 1.4426950408889634 + 0.5)
  const r = x - k * 0.6931471803691238 - k * 1.9082149292705877e-10
  let p = 1
  for (let i = 13; i >= 1; i--) p = 1 + (p * r) / i
  return p * (powersOfHalf[-k] as number)
}

/** Highest logit, lowest id on ties. */
function argmax(logits: Float32Array): number {
  let best = 0
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] as number
    if (Number.isNaN(logit) || logit === Number.POSITIVE_INFINITY) throw new LogitsError()
    if (logit > (logits[best] as number)) best = id
  }
  if (logits.length === 0 || logits[best] === Number.NEGATIVE_INFINITY) throw new LogitsError()
  return best
}

/** The shortest prefix, by weight descending and id ascending, that reaches topP of the total. */
function nucleus(weights: Float64Array, topP: number): Uint32Array {
  let total = 0
  for (const weight of weights) total += weight
  const order = Uint32Array.from(weights.keys())
  order.sort((left, right) => (weights[right] as number) - (weights[left] as number) || left - right)
  const bar = topP * total
  let running = 0
  for (let i = 0; i < order.length; i++) {
    running += weights[order[i] as number] as number
    if (running >= bar) return order.subarray(0, i + 1)
  }
  return order
}

/** The model's output is not usable: NaN, +Infinity, or no finite logit at all. */
export class LogitsError extends UsageError<'logits-not-finite'> {
  override readonly name = 'Sampler.LogitsError'
  constructor() {
    super('logits-not-finite', 'The model gave logits from which no token can be chosen.')
  }
}
