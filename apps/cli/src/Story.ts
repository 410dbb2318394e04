/** Story.ts - what a receipt says, in sentences. Every sentence is what somebody claims; none of it is judged here. */
import { crypto } from 'assay/crypto/node'
import { type Bundle, Bytes, Claims, errors, Head, Order, Pledge, Slot } from 'assay/protocol'

/** The sentences; they hold no prompt and no answer. */
export function tell(bundle: Bundle.Bundle): string[] {
  const lines: string[] = []
  const head = attempt(() => Head.parse(bundle.receipt.head))
  lines.push(`Receipt ${Bytes.toHex(Head.hash(crypto, bundle.receipt.head))}.`)
  if (head === undefined) return [...lines, 'Its head cannot be read.']
  lines.push(
    `Node ${short(head.nodeId)} signed it as number ${head.sequence} of key ${head.keyEpoch}, for chain ${head.chainId}; modes: ${modesOf(head.modeBits)}.`,
  )
  const claims = claimsOf(bundle)
  const { request, effectiveRequest, response, output, model, engine, exposure, outcome } = claims
  if (request !== undefined)
    lines.push(
      `It was asked by ${request.method} ${request.target} with ${request.bytes} bytes of ${request.mediaType}.`,
    )
  if (effectiveRequest !== undefined)
    lines.push(
      `The engine was given ${effectiveRequest.count} leaves, with ${effectiveRequest.rewrites.length} rewrites${effectiveRequest.rewrites.length === 0 ? '' : `: ${effectiveRequest.rewrites.map(({ code, path, detail }) => `${code} ${path} ${detail}`).join('; ')}`}.`,
    )
  if (model !== undefined)
    lines.push(
      `The model's manifest has hash ${short(model)}${bundle.manifest === undefined ? '' : ' and is in the file'}.`,
    )
  if (engine !== undefined)
    lines.push(
      `It ran on ${engine.name} ${engine.version} with profile ${engine.profile}${engine.sampling === undefined ? '' : `, seed ${engine.sampling.seed}, temperature ${engine.sampling.temperature}, top_p ${engine.sampling.topP}`}.`,
    )
  if (output !== undefined) lines.push(`It drew ${output.count} ${output.kind === 1 ? 'tokens' : 'tensor leaves'}.`)
  if (response !== undefined)
    lines.push(
      `It answered with status ${response.status}: ${response.bytes} bytes in ${response.chunks} chunks of ${response.mediaType}.`,
    )
  if (exposure !== undefined)
    lines.push(
      exposure.saw
        .map(
          ({ party, what, why, retentionSeconds }) =>
            `${party} saw ${what.join(', ')} (${why}), kept for ${retentionSeconds} s.`,
        )
        .join(' '),
    )
  if (outcome !== undefined)
    lines.push(
      `It ended with "${outcome.finish}" after ${outcome.completedMs - outcome.receivedMs} ms by the node's clock (${outcome.clock}).`,
    )
  lines.push(...beside(bundle))
  const hidden = [...bundle.hidden.keys()].map(Slot.nameOf)
  if (hidden.length > 0) lines.push(`Hidden by whoever handed it over: ${hidden.join(', ')}.`)
  return lines
}

function beside(bundle: Bundle.Bundle): string[] {
  const lines: string[] = []
  const { order, pledge, checkpoint, chain, bodies } = bundle
  if (order !== undefined) {
    const parsed = attempt(() => Order.parse(order.words))
    lines.push(`A client with key ${parsed === undefined ? '?' : short(parsed.client)} ordered it.`)
  }
  if (pledge !== undefined) {
    const parsed = attempt(() => Pledge.parse(pledge.words))
    if (parsed !== undefined)
      lines.push(
        `Log ${short(parsed.logId)} pledged place ${parsed.leafIndex} for it at block ${parsed.issuedAtBlock}.`,
      )
  }
  if (checkpoint !== undefined)
    lines.push(
      `It is shown in the log at size ${checkpoint.size}, with ${checkpoint.cosignatures.length} cosignatures.`,
    )
  if (chain !== undefined)
    lines.push(
      `A block header with proofs of the key's record${chain.anchorLog?.step0 === undefined ? '' : ' and of the anchored root'} is in the file.`,
    )
  if (chain?.stake !== undefined)
    lines.push('Beside it are proofs of what was staked on the node and on the log, and of open cases against them.')
  const names = Object.entries(bodies ?? {}).flatMap(([name, body]) => (body === undefined ? [] : [name]))
  lines.push(names.length === 0 ? 'No body is in the file.' : `Bodies in the file: ${names.join(', ')}.`)
  return lines
}

/** The claims that can be read. */
export function claimsOf(bundle: Bundle.Bundle): Partial<Claims.ClaimValues> {
  const claims: Record<string, unknown> = {}
  for (const [slot, { value }] of bundle.disclosed) {
    const name = Slot.nameOf(slot)
    const claim = attempt(() => Claims.decode(name, value))
    if (claim !== undefined) claims[name] = claim
  }
  return claims as Partial<Claims.ClaimValues>
}

/** Mode bits in words. */
function modesOf(modeBits: number): string {
  const names = Object.entries(Head.modes).flatMap(([name, bit]) => ((modeBits & bit) === 0 ? [] : [name]))
  return names.length === 0 ? 'none' : names.join(', ')
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (errors.BaseError.isInstance(error)) return undefined
    throw error
  }
}

function short(bytes: Uint8Array): string {
  return `${Bytes.toHex(bytes).slice(0, 16)}..`
}
