/** Parallel.worker.ts - one worker of `Parallel.ts`: does the jobs of a packet with `assay/crypto/node` and answers. */
import { parentPort } from 'node:worker_threads'
import { createP256Signer, crypto } from 'assay/crypto/node'
import { Bytes, type Cose } from 'assay/protocol'
import * as Packet from './ParallelPacket.ts'

const signers = new Map<string, Cose.Signer>()

parentPort?.on('message', async (bytes: Uint8Array) => {
  const jobs = Packet.parse(bytes)
  const answers = new Uint8Array(jobs.length * Packet.answerBytes)
  for (const [i, job] of jobs.entries()) {
    const offset = i * Packet.answerBytes
    if (job.kind === 'sign') answers.set(await signerOf(job.key).sign(job.message), offset)
    else answers[offset] = (await crypto.p256Verify(job.key, job.message, job.signature)) ? 1 : 0
  }
  parentPort?.postMessage(answers, [answers.buffer])
})

function signerOf(privateKey: Uint8Array): Cose.Signer {
  const name = Bytes.toHex(privateKey)
  const signer = signers.get(name) ?? createP256Signer(privateKey)
  signers.set(name, signer)
  return signer
}
