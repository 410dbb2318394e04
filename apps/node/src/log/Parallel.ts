/**
 * Parallel.ts - ES256 on worker threads, so that a log checks and signs on all cores while its own thread keeps the books.
 *
 * Same answers as `assay/crypto/node`, whose code the workers run. Jobs travel in packets: one message for all that
 * gathered in a turn of the event loop costs a fraction of node:crypto's own thread pool, one hand-over per call.
 */
import { createECDH } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { Bytes, type Cose, type Crypto, errors } from 'assay/protocol'
import * as Packet from './ParallelPacket.ts'

/** Workers; more than this gains nothing before the log's own thread is full. */
const maxWorkers = 4
/** Most jobs of one packet, so that all workers get some. */
const maxJobs = 64

/** A pool. */
export type Parallel = {
  /** The base port with `p256Verify` on the workers. */
  readonly crypto: Crypto
  /** A signer with a P-256 private key of 32 bytes that signs on the workers. */
  readonly createSigner: (privateKey: Uint8Array) => Cose.Signer
  /** Ends the workers; what is waiting fails. */
  readonly close: () => Promise<void>
}

type Waiting = {
  readonly job: Packet.Job
  readonly resolve: (answer: Uint8Array) => void
  readonly reject: (error: unknown) => void
}

/** Starts a pool; idle workers do not keep the process alive. */
export function create(options: { readonly base: Crypto; readonly workers?: number }): Parallel {
  const count = options.workers ?? Math.min(maxWorkers, availableParallelism())
  const members = Array.from({ length: count }, () => startWorker())
  let gathered: Waiting[] = []
  let isClosed = false

  function run(job: Packet.Job): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (isClosed) throw new PoolClosedError()
      if (gathered.push({ job, resolve, reject }) === 1) setImmediate(send)
    })
  }

  function send(): void {
    const jobs = gathered
    gathered = []
    const share = Math.min(maxJobs, Math.ceil(jobs.length / members.length))
    for (let start = 0; start < jobs.length; start += share) {
      const least = members.reduce((best, member) => (member.load() < best.load() ? member : best))
      least.post(jobs.slice(start, start + share))
    }
  }

  return {
    crypto: {
      ...options.base,
      p256Verify: async (publicKey, message, signature) => {
        if (publicKey.length !== 64 || signature.length !== 64) return false
        const answer = await run({ kind: 'verify', key: publicKey, message, signature })
        return answer[0] === 1
      },
    },
    createSigner: (privateKey) => {
      Bytes.assertLength(privateKey, 32, 'Private key')
      const exchange = createECDH('prime256v1')
      exchange.setPrivateKey(privateKey)
      const publicKey = Uint8Array.from(exchange.getPublicKey().subarray(1))
      const key = Uint8Array.from(privateKey)
      return { publicKey, sign: (message) => run({ kind: 'sign', key, message }) }
    },
    close: async () => {
      isClosed = true
      await Promise.all(members.map((member) => member.close()))
    },
  }
}

function startWorker() {
  const worker = new Worker(new URL('./Parallel.worker.ts', import.meta.url))
  worker.unref()
  // Packets come back in the order in which they went.
  const sent: (readonly Waiting[])[] = []
  let load = 0

  function fail(error: unknown): void {
    for (const waiting of sent.splice(0).flat()) waiting.reject(error)
    load = 0
  }

  worker.on('message', (answers: Uint8Array) => {
    const packet = sent.shift() as readonly Waiting[]
    load -= packet.length
    if (sent.length === 0) worker.unref()
    packet.forEach((waiting, i) => {
      waiting.resolve(Packet.answerAt(answers, i))
    })
  })
  worker.on('error', fail)
  worker.on('exit', () => fail(new PoolClosedError()))
  return {
    load: () => load,
    post: (packet: readonly Waiting[]) => {
      sent.push(packet)
      load += packet.length
      worker.ref()
      const bytes = Packet.serialize(packet.map((waiting) => waiting.job))
      worker.postMessage(bytes, [bytes.buffer])
    },
    close: () => worker.terminate(),
  }
}

/** The pool was closed, or a worker died. */
export class PoolClosedError extends errors.UnavailableError<'closed'> {
  override readonly name = 'Parallel.PoolClosedError'
  constructor() {
    super('closed', 'The workers that check signatures have ended.')
  }
}
