/**
 * Guards.ts - who may ask: a local gateway must not be driven by a web page or by a name that was pointed at it.
 *
 * A browser sends `Host` and, for anything but plain navigation, `Origin`; both must be this gateway's own.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { RefusedError } from './ErrorTable.ts'

/** Host names of the loopback interface. */
const loopbackNames = ['127.0.0.1', 'localhost', '[::1]']

/** Checks `Host` and `Origin`, and tells an own page that it may read the answer; throws `RefusedError`. */
export function checkCaller(request: FastifyRequest, reply: FastifyReply, port: number): void {
  const hosts = loopbackNames.map((name) => `${name}:${port}`)
  const host = request.headers.host?.toLowerCase()
  // Node.js keeps the first of two; whoever stands in between may have kept the other.
  const hostLines = request.raw.rawHeaders.filter((text, i) => i % 2 === 0 && text.toLowerCase() === 'host').length
  // A port of 80 is left out by clients.
  const isOwnHost =
    host !== undefined && hostLines === 1 && (hosts.includes(host) || (port === 80 && loopbackNames.includes(host)))
  if (!isOwnHost) throw new RefusedError(403, 'forbidden-host', 'The Host header does not name this gateway.')
  reply.header('vary', 'Origin')
  const { origin } = request.headers
  if (origin === undefined) return
  if (!hosts.some((name) => origin === `http://${name}`)) {
    throw new RefusedError(403, 'forbidden-origin', 'Pages of other origins may not use this gateway.')
  }
  reply.header('access-control-allow-origin', origin)
}

/** Asserts that a body is JSON as it stands: no other encoding, and no other character set than UTF-8. */
export function checkBody(request: FastifyRequest): void {
  const encoding = request.headers['content-encoding']
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new RefusedError(415, 'unsupported-content-encoding', 'The request body must come without Content-Encoding.')
  }
  const type = (request.headers['content-type'] ?? '').toLowerCase().replaceAll(' ', '')
  if (!/^application\/json(;charset="?utf-8"?)?$/.test(type)) {
    throw new RefusedError(415, 'unsupported-media-type', 'The request body must be application/json in UTF-8.')
  }
  if (request.url.includes('?')) {
    throw new RefusedError(
      400,
      'query-not-allowed',
      'This endpoint takes no query: it would not be part of the receipt.',
    )
  }
  // The router decodes escapes, cuts fragments and takes whole URLs; slot 2 names the target as it was sent.
  if (!/^\/[A-Za-z0-9._~/-]*$/.test(request.url)) {
    throw new RefusedError(400, 'target-not-plain', 'The request target must be the plain path of the endpoint.')
  }
}
