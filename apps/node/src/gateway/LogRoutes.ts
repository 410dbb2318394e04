/** LogRoutes.ts - the log's published files and its proofs. Source: spec/log.md section 5, spec/wire.md section 3; C2SP tlog-tiles. */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { Bytes } from 'assay/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { RefusedError } from './ErrorTable.ts'
import { limits } from './limits.ts'
import type { PublishedLog, Served } from './Served.ts'

/** Exactly the paths that a log publishes; nothing else of its folder can be named. */
const tilePath = /^tile\/(?:entries|[0-9]|[1-5][0-9]|6[0-3])\/(?:x[0-9]{3}\/)*[0-9]{3}(?:\.p\/(?:[1-9][0-9]{0,2}))?$/

/** GET /log/{logId}/checkpoint */
export async function checkpoint(served: Served, request: FastifyRequest, reply: FastifyReply) {
  const bytes = await readPublished(logOf(served, request), 'checkpoint')
  return reply.type('text/plain; charset=utf-8').header('cache-control', 'no-cache').send(bytes)
}

/** GET /log/{logId}/unanchored */
export async function unanchored(served: Served, request: FastifyRequest, reply: FastifyReply) {
  const log = logOf(served, request)
  if (log.unanchored === undefined) throw fileNotFound()
  const checkpoints = log.unanchored().map(({ size, root, signature }) => ({
    size: String(size),
    root: Bytes.toBase64url(root),
    signature: Bytes.toBase64url(signature),
  }))
  reply.header('cache-control', 'no-cache')
  return { checkpoints }
}

/** GET /log/{logId}/tile/... */
export async function tile(served: Served, request: FastifyRequest, reply: FastifyReply) {
  const log = logOf(served, request)
  const path = `tile/${(request.params as { readonly '*': string })['*']}`
  if (path.length > 256 || !tilePath.test(path)) throw fileNotFound()
  const bytes = await readPublished(log, path)
  return reply
    .type('application/octet-stream')
    .header('cache-control', 'public, max-age=31536000, immutable')
    .send(bytes)
}

/** GET /log/{logId}/proof?index=I&size=S */
export async function proof(served: Served, request: FastifyRequest, reply: FastifyReply) {
  const log = logOf(served, request)
  const query = request.query as Readonly<Record<string, unknown>>
  for (const name of Object.keys(query)) if (name !== 'index' && name !== 'size') throw invalid('query')
  const index = integer(query.index, 'index')
  const size = query.size === undefined ? undefined : integer(query.size, 'size')
  const found = await log.proof({ index, size })
  reply.header('cache-control', 'no-cache')
  return {
    size: String(found.size),
    root: Bytes.toBase64url(found.root),
    signature: Bytes.toBase64url(found.signature),
    proof: found.proof.map(Bytes.toBase64url),
    cosignatures: found.cosignatures.map(({ publicKey, signature }) => ({
      publicKey: Bytes.toBase64url(publicKey),
      signature: Bytes.toBase64url(signature),
    })),
  }
}

function logOf({ logs }: Served, request: FastifyRequest): PublishedLog {
  const { logId } = request.params as { readonly logId: string }
  const log = logs.find((one) => Bytes.toHex(one.logId) === logId)
  if (log === undefined) throw new RefusedError(404, 'log-not-found', 'There is no such log here.')
  return log
}

function integer(value: unknown, name: string): bigint {
  if (typeof value !== 'string' || !/^(0|[1-9][0-9]{0,18})$/.test(value)) throw invalid(name)
  return BigInt(value)
}

function invalid(param: string): RefusedError {
  return new RefusedError(400, 'invalid-parameter', 'index and size are decimal numbers.', { param })
}

async function readPublished({ files }: PublishedLog, path: string): Promise<Buffer> {
  const handle = await open(join(files, path), 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') throw fileNotFound()
    throw error
  })
  try {
    const stats = await handle.stat()
    if (!stats.isFile() || stats.size > limits.logFileBytes) throw fileNotFound()
    return await handle.readFile()
  } finally {
    await handle.close()
  }
}

function fileNotFound(): RefusedError {
  return new RefusedError(404, 'file-not-found', 'The log has not published this file.')
}
