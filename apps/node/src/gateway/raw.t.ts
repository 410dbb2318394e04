/** raw.t.ts - bytes sent to a gateway as they are, and what comes back. */
import type { Socket } from 'node:net'

/**
 * Writes the bytes and reads until the answer is done or the other side closes; then the connection is ended.
 *
 * - `isDone`: of the text so far; default: one whole answer
 */
export async function exchange(
  socket: Socket,
  bytes: Buffer | string,
  isDone: (text: string) => boolean = isWhole,
): Promise<string> {
  let text = ''
  await new Promise<void>((resolve, reject) => {
    socket.on('data', (data) => {
      text += data.toString('latin1')
      if (isDone(text)) resolve()
    })
    socket.on('close', () => resolve())
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' || error.code === 'EPIPE' ? resolve() : reject(error),
    )
    socket.write(bytes, 'latin1')
  })
  socket.destroy()
  return text
}

/** Whether the text is an answer with as many bytes of body as it says. */
export function isWhole(text: string): boolean {
  const at = text.indexOf('\r\n\r\n')
  const length = /^content-length: (\d+)\r$/im.exec(text.slice(0, at + 2))?.[1]
  return at >= 0 && length !== undefined && text.length - at - 4 >= Number(length)
}
