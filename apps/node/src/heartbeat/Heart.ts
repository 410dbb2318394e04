/**
 * Heart.ts - signs one heartbeat for each new block that somebody asks in: persist, sync, sign, answer.
 * Source: spec/wire.md section 6.
 *
 * The counter is at least the block's number, so a folder that was restored from an older copy, or lost, does not begin to
 * count again where it was: by then the chain has moved on.
 */
import { join } from 'node:path'
import { Bytes, Cose, type Crypto, errors, Heartbeat } from 'assay/protocol'
import { type ChainView, recentBlock } from '../log/ChainView.ts'
import type { Identity } from '../receipts/Issuer.ts'
import { readFileIfThere, replaceFile } from '../settle/files.ts'

export type Heart = {
  /** 64 bytes. */
  readonly publicKey: Uint8Array
  /** The heartbeat of the newest block; throws `NoBlockError`. */
  readonly beat: () => Promise<Heartbeat.Signed>
}

/** Steps between which a crash matters. */
export type Hooks = { readonly reached?: (step: 'beat-persisted' | 'beat-signed') => void }

/** What was persisted last, of one key. */
type Plan = { readonly counter: bigint; readonly blockNumber: bigint; readonly blockHash: Uint8Array }

/**
 * A heart of a node.
 *
 * - `folder`: of the node; `now`: milliseconds since 1970
 */
export function createHeart(options: {
  readonly folder: string
  readonly crypto: Crypto
  readonly identity: Identity
  readonly signer: Cose.Signer
  readonly chain: Pick<ChainView, 'newest'>
  readonly now?: () => number
  readonly hooks?: Hooks
}): Heart {
  const { folder, crypto, identity, signer, chain, hooks } = options
  const now = options.now ?? Date.now
  const keyId = Bytes.toHex(Cose.keyId(crypto, signer.publicKey))
  let last = read(folder, keyId)
  let signed: { readonly plan: Plan; readonly heartbeat: Heartbeat.Signed } | undefined
  let turn: Promise<unknown> = Promise.resolve()

  async function beat(): Promise<Heartbeat.Signed> {
    const block = recentBlock(chain as ChainView, now())
    if (block === undefined) throw new NoBlockError()
    const plan = planFor(block.number, block.hash)
    if (signed !== undefined && signed.plan === plan) return signed.heartbeat
    const words = Heartbeat.words({ ...identity, ...plan })
    const signature = await Cose.sign(crypto, signer, 'heartbeat', Heartbeat.payload(crypto, words))
    hooks?.reached?.('beat-signed')
    signed = { plan, heartbeat: { words, signature } }
    return signed.heartbeat
  }

  /** The plan of this block: the one that was persisted, or a new one with the next number. */
  function planFor(blockNumber: bigint, blockHash: Uint8Array): Plan {
    if (last !== undefined && last.blockNumber === blockNumber && Bytes.equal(last.blockHash, blockHash)) return last
    const next = last === undefined ? 0n : last.counter + 1n
    const plan = { counter: next > blockNumber ? next : blockNumber, blockNumber, blockHash }
    write(folder, keyId, plan)
    last = plan
    hooks?.reached?.('beat-persisted')
    return plan
  }

  return {
    publicKey: signer.publicKey,
    beat: () => {
      // One after the other: all who ask in one block get one signature.
      const result = turn.then(beat)
      turn = result.catch(() => {})
      return result
    },
  }
}

function read(folder: string, keyId: string): Plan | undefined {
  const text = readFileIfThere(join(folder, 'heartbeat.json'))
  if (text === undefined) return undefined
  try {
    const file = JSON.parse(text) as Record<string, string>
    if (file.keyId !== keyId) return undefined
    const blockHash = Bytes.fromHex(String(file.blockHash))
    Bytes.assertLength(blockHash, 32, 'Block hash')
    return { counter: BigInt(String(file.counter)), blockNumber: BigInt(String(file.blockNumber)), blockHash }
  } catch {
    // The block's number is a counter that cannot be damaged.
    return undefined
  }
}

function write(folder: string, keyId: string, { counter, blockNumber, blockHash }: Plan): void {
  const file = { keyId, counter: String(counter), blockNumber: String(blockNumber), blockHash: Bytes.toHex(blockHash) }
  replaceFile(join(folder, 'heartbeat.json'), `${JSON.stringify(file)}\n`)
}

/** The node's view of the chain is old: it has nothing new to say. */
export class NoBlockError extends errors.UnavailableError<'heartbeat-no-block'> {
  override readonly name = 'Heart.NoBlockError'
  constructor() {
    super('heartbeat-no-block', 'The node sees no new block, so there is no heartbeat.', { retryAfterSeconds: 5 })
  }
}
