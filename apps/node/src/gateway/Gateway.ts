/** Gateway.ts - the HTTP server: routes, guards and bounds. Source: spec/wire.md section 3. */
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { Bytes } from 'assay/protocol'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import * as ChatRoute from './ChatRoute.ts'
import { ofClientError, RefusedError, toRefusal } from './ErrorTable.ts'
import * as EventStream from './EventStream.ts'
import * as Guards from './Guards.ts'
import * as InferRoute from './InferRoute.ts'
import * as InfoRoutes from './InfoRoutes.ts'
import * as LogRoutes from './LogRoutes.ts'
import { limits } from './limits.ts'
import * as ReceiptRoutes from './ReceiptRoutes.ts'
import type { Served } from './Served.ts'

/** A gateway. */
export type Gateway = {
  /** For tests, which ask it without a socket. */
  readonly app: FastifyInstance
  /** Begins to listen on loopback; gives the URL. */
  readonly listen: (options: { readonly host: string; readonly port: number }) => Promise<string>
  /** Takes no more calls, lets running ones end for a moment, then cuts them. */
  readonly close: () => Promise<void>
}

/** How long running calls may go on after `close`. */
const closeGraceMs = 3_000

/** Paths with the methods that they know, to tell a wrong method from a wrong path. */
const known: readonly (readonly [path: RegExp, methods: string])[] = [
  [/^\/v1\/chat\/completions$/, 'POST'],
  [/^\/v2\/models\/[^/]+\/infer$/, 'POST'],
  [/^\/v1\/(models(\/[^/]+)?|receipts\/.+|heartbeat)$/, 'GET, HEAD'],
  [/^\/v2(\/health\/(live|ready)|\/models\/[^/]+)?$/, 'GET, HEAD'],
  [/^\/log\/[^/]+\/(checkpoint|proof|tile\/.+)$/, 'GET, HEAD'],
  [/^\/\.well-known\/assay\.json$/, 'GET, HEAD'],
]

/**
 * Makes the gateway.
 *
 * - `port`: the one that `Host` must name until `listen` says better
 * - `stalledReaderMs`: how long a reader may take for an answer that is ready
 */
export function create(
  served: Served,
  options: { readonly port?: number; readonly stalledReaderMs?: number } = {},
): Gateway {
  let port = options.port ?? 0
  const app = fastify({
    logger: false,
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    forceCloseConnections: true,
    exposeHeadRoutes: true,
    // A longer path is no path of ours; ids of models have up to 256 bytes.
    routerOptions: { maxParamLength: 300 },
    genReqId: () => `req_${Bytes.toHex(served.random(12))}`,
    http: {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersTimeoutMs,
      // Its absence is answered by the guard, in the shape of all refusals.
      requireHostHeader: false,
      connectionsCheckingInterval: limits.connectionsCheckMs,
    },
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => void answerError(served, error, request, reply as FastifyReply),
  })
  app.server.maxConnections = limits.connections

  app.removeAllContentTypeParsers()
  // The exact bytes are what the receipt commits to; nobody parses them before the strict parser does.
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_, body, done) => done(null, body))
  app.setErrorHandler((error, request, reply) => answerError(served, error, request, reply))
  app.setNotFoundHandler((request) => {
    throw unknownRoute(request)
  })
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
    reply.header('x-content-type-options', 'nosniff')
    Guards.checkCaller(request, reply, port)
    if (request.method === 'POST' && !request.is404) Guards.checkBody(request)
  })
  app.addHook('onSend', async (_, reply) => {
    EventStream.cutStalled(reply.raw, options.stalledReaderMs)
  })
  addRoutes(app, served)

  return {
    app,
    async listen({ host, port: wanted }) {
      await app.listen({ host, port: wanted })
      const address = app.server.address()
      if (address === null || typeof address === 'string') throw new Error('the gateway has no port')
      port = address.port
      return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
    },
    async close() {
      // Idle connections go at once, busy ones after the grace.
      const cut = setTimeout(() => app.server.closeAllConnections(), closeGraceMs)
      app.server.closeIdleConnections()
      try {
        await new Promise<void>((resolve) => {
          if (app.server.listening) app.server.close(() => resolve())
          else resolve()
        })
        await app.close()
      } finally {
        clearTimeout(cut)
      }
    },
  }
}

function addRoutes(app: FastifyInstance, served: Served): void {
  const startedSeconds = Math.floor(served.now() / 1000)
  app.post('/v1/chat/completions', (request, reply) => ChatRoute.serve(served, request, reply))
  app.get('/v1/models', () => InfoRoutes.models(served, startedSeconds))
  app.get('/v1/models/:id', (request) => InfoRoutes.model(served, request, startedSeconds))
  app.post('/v2/models/:model/infer', (request, reply) => InferRoute.serve(served, request, reply))
  app.get('/v2', () => InferRoute.server())
  app.get('/v2/models/:model', (request) => InferRoute.metadata(served, request))
  app.get('/v2/health/live', () => ({ live: true }))
  app.get('/v2/health/ready', (_, reply) => InfoRoutes.ready(served, reply))
  app.get('/v1/receipts/:hash', (request) => ReceiptRoutes.byHash(served, request))
  app.get('/v1/receipts/by-order/:orderHash', (request) => ReceiptRoutes.byOrder(served, request))
  app.get('/v1/receipts/:hash/claims', (request, reply) => ReceiptRoutes.claims(served, request, reply))
  app.get('/v1/receipts/:hash/leaves', (request, reply) => ReceiptRoutes.leaves(served, request, reply))
  app.get('/v1/heartbeat', (_, reply) => InfoRoutes.heartbeat(served, reply))
  app.get('/log/:logId/checkpoint', (request, reply) => LogRoutes.checkpoint(served, request, reply))
  app.get('/log/:logId/unanchored', (request, reply) => LogRoutes.unanchored(served, request, reply))
  app.get('/log/:logId/tile/*', (request, reply) => LogRoutes.tile(served, request, reply))
  app.get('/log/:logId/proof', (request, reply) => LogRoutes.proof(served, request, reply))
  app.get('/.well-known/assay.json', () => InfoRoutes.wellKnown(served))
  app.options('*', (request, reply) => {
    const methods = methodsOf(request)
    if (methods === undefined) throw unknownRoute(request)
    return reply
      .code(204)
      .header('allow', `${methods}, OPTIONS`)
      .header('access-control-allow-methods', methods)
      .header(
        'access-control-allow-headers',
        'authorization, content-type, assay-order, assay-order-salt, assay-order-terms, assay-nonce, assay-stream',
      )
      .header('access-control-max-age', '600')
      .send()
  })
}

function answerError(served: Served, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, body, headers } = toRefusal(error)
  // The pattern of the route, not the path: a path may hold anything.
  const route = request.routeOptions?.url ?? 'none'
  const code = (error as { code?: unknown } | null)?.code
  if (status >= 500) {
    served.record({
      event: 'request-failed',
      route,
      status,
      requestId: request.id,
      code: typeof code === 'string' ? code : null,
    })
  }
  reply.header('x-request-id', request.id)
  return reply.code(status).headers(headers).type('application/json; charset=utf-8').send(JSON.stringify(body))
}

/** What is no request has no route; the connection ends with its answer. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const { status, body } = ofClientError(error.code)
  const text = JSON.stringify(body)
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Type: application/json; charset=utf-8\r\n`
  socket.end(`${head}Content-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`)
  // Whoever does not read the answer is cut off all the same.
  socket.setTimeout(1_000, () => socket.destroy())
}

function methodsOf(request: FastifyRequest): string | undefined {
  const [path = ''] = request.url.split('?', 1)
  return known.find(([pattern]) => pattern.test(path))?.[1]
}

function unknownRoute(request: FastifyRequest): RefusedError {
  const methods = methodsOf(request)
  if (methods === undefined) return new RefusedError(404, 'unknown-route', 'There is no such endpoint.')
  return new RefusedError(405, 'method-not-allowed', 'This endpoint does not take this method.', {
    headers: { allow: `${methods}, OPTIONS` },
  })
}
