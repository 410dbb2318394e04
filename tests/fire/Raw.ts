/** Raw.ts - bytes on a socket, as no well-behaved client would send them. */
import { connect, type Socket } from 'node:net'

export type Answer = {
  /** Undefined when the connection ended without one. */
  readonly status: number | undefined
  readonly head: string
  readonly body: string
  /** Whether the server ended the connection. */
  readonly isClosed: boolean
}

/** Opens a connection; errors of it are the server's right. */
export function open(gateway: string): { readonly socket: Socket; readonly received: () => string } {
  const { hostname, port } = new URL(gateway)
  const socket = connect(Number(port), hostname)
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
  })
  socket.on('error', () => {})
  return { socket, received: () => text }
}

/** Sends bytes and waits until the server ends the connection or a whole answer is there, for a bounded time. */
export async function send(gateway: string, bytes: string | Uint8Array, waitMs = 15_000): Promise<Answer> {
  const { socket, received } = open(gateway)
  socket.write(bytes)
  const isClosed = await new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => resolve(false), waitMs)
    socket.once('close', () => {
      clearTimeout(timer)
      resolve(true)
    })
    socket.on('data', () => {
      if (!isWhole(received())) return
      clearTimeout(timer)
      resolve(false)
    })
  })
  socket.destroy()
  return { ...parse(received()), isClosed }
}

/** A request with any headers; `length` overrides the true one. */
export function request(
  gateway: string,
  path: string,
  options: {
    readonly method?: string
    readonly headers?: readonly string[]
    readonly body?: string | Uint8Array
    readonly length?: number
    readonly host?: string
  } = {},
): Uint8Array {
  const { method = 'POST', headers = [], body = '' } = options
  const bytes = Buffer.from(body as string)
  const lines = [
    `${method} ${path} HTTP/1.1`,
    `Host: ${options.host ?? new URL(gateway).host}`,
    ...(headers.some((line) => /^content-type/i.test(line)) ? [] : ['Content-Type: application/json']),
    ...(headers.some((line) => /^(content-length|transfer-encoding)/i.test(line))
      ? []
      : [`Content-Length: ${options.length ?? bytes.length}`]),
    ...headers,
  ]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), bytes])
}

function parse(text: string): Pick<Answer, 'status' | 'head' | 'body'> {
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1]
  const at = text.indexOf('\r\n\r\n')
  return {
    status: status === undefined ? undefined : Number(status),
    head: at < 0 ? text : text.slice(0, at),
    body: at < 0 ? '' : text.slice(at + 4),
  }
}

function isWhole(text: string): boolean {
  const { head, body } = parse(text)
  const length = /^content-length: (\d+)/im.exec(head)?.[1]
  return length !== undefined && body.length >= Number(length)
}
