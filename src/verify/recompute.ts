/**
 * recompute.ts - runs the call of a bundle again on the reader's own engine. Source: spec/execution.md section 6.
 *
 * The engine is an argument; this file does no I/O. A difference accuses nobody: it is `Mismatch(local)`.
 */
import * as Profiles from '../execution/Profiles.ts'
import * as Recompute from '../execution/Recompute.ts'
import type * as Bundle from '../protocol/Bundle.ts'
import type { Crypto } from '../protocol/Crypto.ts'
import { BaseError } from '../protocol/errors.ts'
import type { Facts } from './Integrity.ts'
import type { Outcome, Recomputation } from './Recomputation.ts'

const unavailable = (because: string): Outcome => ({ kind: 'unavailable', because })

/**
 * Makes the `recompute` option of a verdict from an executor.
 *
 * @example
 * await Verdict.verify(crypto, { bundle, reader, recompute: recomputeWith(crypto, executor) })
 */
export function recomputeWith(
  crypto: Crypto,
  executor: Recompute.Executor,
): (bundle: Bundle.Bundle, facts: Facts) => Promise<Recomputation> {
  return async (bundle, facts) => {
    const { request, effectiveRequest, model, weights, engine, output, response } = facts.claims
    if (model === undefined || engine === undefined)
      return all('slots model and engine must be disclosed to run the call again')
    let local: Recompute.LocalEngine | undefined
    try {
      local = await executor(model, engine.profile, engine.build)
    } catch (error) {
      if (BaseError.isInstance(error)) return all(error.shortMessage)
      throw error
    }
    if (local === undefined)
      return all(`this reader has no engine for the model with profile ${engine.profile} and the same build`)
    const { bodies } = bundle
    const result: { -readonly [K in keyof Recomputation]: Recomputation[K] } = {}
    const requestBody = bodies?.request?.leaves[0]
    const piece =
      request === undefined || requestBody === undefined
        ? undefined
        : { method: request.method, target: request.target, body: requestBody }

    if (piece === undefined || effectiveRequest === undefined || bodies?.effective === undefined)
      result.prepared = unavailable('request and effective request must be in the file to prepare again')
    else {
      const { salt } = bodies.effective
      result.prepared = await attempt(() => {
        const same = Recompute.recomputePrepared(crypto, {
          request: piece,
          claims: { model, effectiveRequest, engine },
          salt,
          model: local.model,
        })
        return {
          kind: 'same',
          backing: 'recomputed',
          because: `prepared again: ${same.count} leaves, ${same.rewrites} rewrites`,
        }
      })
    }
    if (
      weights === undefined ||
      output === undefined ||
      effectiveRequest === undefined ||
      bodies?.effective === undefined ||
      bodies.output === undefined
    )
      result.executed = unavailable(
        'effective request and output must be in the file, and slot weights disclosed, to execute again',
      )
    else {
      const [effectiveLeaves, { salt, leaves: outputLeaves }] = [bodies.effective.leaves, bodies.output]
      result.executed = await attempt(async () => {
        const same = await Recompute.recomputeExecuted(crypto, {
          effectiveLeaves,
          outputLeaves,
          claims: { model, weights, engine, output },
          salt,
          executor,
        })
        const exact = Profiles.isExact(engine.profile)
        return {
          kind: 'same',
          backing: exact ? 'recomputed' : 'reexecuted',
          because: `executed again by this reader: ${same.count} ${output.kind === 1 ? 'tokens' : 'leaves'}, ${exact ? 'bit for bit' : '1 of 1, tolerance'}`,
        }
      })
    }
    if (piece === undefined || response === undefined || bodies?.output === undefined || bodies.response === undefined)
      result.rendered = unavailable('request, output and response must be in the file to render again')
    else {
      const [outputLeaves, responseChunks] = [bodies.output.leaves, bodies.response.leaves]
      result.rendered = await attempt(() => {
        const same = Recompute.recomputeRendered(crypto, {
          request: piece,
          outputLeaves,
          responseChunks,
          claims: { model, response, engine },
          model: local.model,
        })
        return {
          kind: 'same',
          backing: 'recomputed',
          because: `rendered again: ${same.bytes} bytes in ${same.chunks} chunk(s)`,
        }
      })
    }
    return result
  }
}

function all(because: string): Recomputation {
  return { prepared: unavailable(because), executed: unavailable(because), rendered: unavailable(because) }
}

async function attempt(run: () => Outcome | Promise<Outcome>): Promise<Outcome> {
  try {
    return await run()
  } catch (error) {
    if (error instanceof Recompute.MismatchError)
      return { kind: 'mismatch', because: [error.shortMessage, ...error.facts].join(' ') }
    // What an engine refuses (tensors that it can not take, logits without a number) tells nothing about the receipt, and must not
    // keep the reader from a verdict.
    if (BaseError.isInstance(error)) return unavailable(error.shortMessage)
    throw error
  }
}
