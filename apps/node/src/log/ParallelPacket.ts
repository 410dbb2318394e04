/** ParallelPacket.ts - jobs for the workers of `Parallel.ts` as one byte string, and their answers as another. */

/** One check or one signature. */
export type Job =
  | { readonly kind: 'verify'; readonly key: Uint8Array; readonly message: Uint8Array; readonly signature: Uint8Array }
  | { readonly kind: 'sign'; readonly key: Uint8Array; readonly message: Uint8Array }

/** Bytes of one answer: a signature, or 1 or 0 in the first byte. */
export const answerBytes = 64

/** Writes jobs: per job kind u8, message length u32, key (64 or 32 bytes), message, signature (64 bytes) when checking. */
export function serialize(jobs: readonly Job[]): Uint8Array<ArrayBuffer> {
  const lengthOf = (job: Job): number => 5 + job.message.length + (job.kind === 'verify' ? 128 : 32)
  const bytes = new Uint8Array(jobs.reduce((sum, job) => sum + lengthOf(job), 0))
  const view = new DataView(bytes.buffer)
  let offset = 0
  const put = (part: Uint8Array): void => {
    bytes.set(part, offset)
    offset += part.length
  }
  for (const job of jobs) {
    bytes[offset] = job.kind === 'verify' ? 0 : 1
    view.setUint32(offset + 1, job.message.length)
    offset += 5
    put(job.key)
    put(job.message)
    if (job.kind === 'verify') put(job.signature)
  }
  return bytes
}

/** Reads what `serialize` wrote in this process; the parts share its memory. */
export function parse(bytes: Uint8Array): Job[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const jobs: Job[] = []
  for (let offset = 0; offset < bytes.length; ) {
    const isVerify = bytes[offset] === 0
    const messageLength = view.getUint32(offset + 1)
    offset += 5
    const take = (length: number): Uint8Array => {
      const part = bytes.subarray(offset, offset + length)
      offset += length
      return part
    }
    const key = take(isVerify ? 64 : 32)
    const message = take(messageLength)
    jobs.push(isVerify ? { kind: 'verify', key, message, signature: take(64) } : { kind: 'sign', key, message })
  }
  return jobs
}

/** The answer to one job, as a copy. */
export function answerAt(answers: Uint8Array, index: number): Uint8Array {
  return answers.slice(index * answerBytes, (index + 1) * answerBytes)
}
