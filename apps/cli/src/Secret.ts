/** Secret.ts - asks a person for a passphrase, without showing it; anywhere else it comes from the environment. */
import * as Passphrase from '@assay/node/keys/Passphrase'
import { errors } from 'assay/protocol'
import type { Context } from './Context.ts'

/** The passphrase of the environment, else what the person types; throws `NoPassphraseError` when nobody is there. */
export async function ask(context: Context, question: string): Promise<string> {
  const given = Passphrase.ofEnvironment(context.env)
  if (given !== undefined) return given
  const { stdin, stderr } = process
  if (stdin.isTTY !== true) throw new NoPassphraseError()
  stderr.write(question)
  return readHidden(stdin, stderr, context.stopped)
}

/** A new passphrase, typed twice unless the environment has it. */
export async function askNew(context: Context): Promise<string> {
  const passphrase = await ask(context, 'New passphrase: ')
  Passphrase.assertStrong(passphrase)
  const again = await ask(context, 'Once more: ')
  if (again !== passphrase) throw new NotTheSameError()
  return passphrase
}

function readHidden(stdin: typeof process.stdin, stderr: typeof process.stderr, stopped: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let typed = ''
    const end = (error?: Error) => {
      stdin.off('data', onData)
      stopped.removeEventListener('abort', onStop)
      stdin.setRawMode(false)
      stdin.pause()
      stderr.write('\n')
      if (error === undefined) resolve(typed)
      else reject(error)
    }
    const onStop = () => end(new NoPassphraseError())
    const onData = (chunk: Buffer) => {
      for (const character of chunk.toString('utf8')) {
        if (character === '\r' || character === '\n') return end()
        // Raw mode gives the keys that would stop the program as characters.
        if (character === '\u0003' || character === '\u0004') return onStop()
        if (character === '\u007f' || character === '\b') typed = [...typed].slice(0, -1).join('')
        else typed += character
      }
    }
    stdin.setRawMode(true)
    stdin.resume()
    stdin.on('data', onData)
    stopped.addEventListener('abort', onStop)
  })
}

/** Nobody is there to type a passphrase, and the environment has none. */
export class NoPassphraseError extends errors.UsageError<'passphrase-missing'> {
  override readonly name = 'Secret.NoPassphraseError'
  constructor() {
    super('passphrase-missing', `No passphrase was given; set ${Passphrase.variable} or use a terminal.`)
  }
}

/** The two passphrases differ. */
export class NotTheSameError extends errors.UsageError<'passphrase-differs'> {
  override readonly name = 'Secret.NotTheSameError'
  constructor() {
    super('passphrase-differs', 'The two passphrases are not the same; nothing was changed.')
  }
}
