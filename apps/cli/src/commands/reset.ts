/** reset.ts - `assay reset`: puts folders aside, so that the next start makes new keys; says what that ends. */
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import * as KeyFile from '@assay/node/keys/KeyFile'
import { lockFolder } from '@assay/node/settle/folder-lock'
import { errors } from 'assay/protocol'
import { type Context, type GlobalOptions, homeOf } from '../Context.ts'
import type { Home } from '../Home.ts'

const keyChoices = ['node', 'log', 'log2', 'witness', 'all'] as const
export type ResetOptions = GlobalOptions & {
  readonly keys?: (typeof keyChoices)[number]
  readonly chain?: boolean
  readonly yes?: boolean
}

/** One thing that a reset does. */
type Act = { readonly what: string; readonly ends: string; readonly run: (stamp: string) => void }

/** `assay reset`. */
export async function reset(context: Context, options: ResetOptions): Promise<number> {
  const { terminal } = context
  const home = homeOf(context, options)
  if (options.keys === undefined && options.chain !== true) throw new NothingToResetError()
  if (!existsSync(home.folder)) throw new NothingToResetError()
  // Held until the end, so that no daemon starts in the middle.
  const unlock = lockFolder(home.folder)
  try {
    const acts = plan(home, options)
    for (const act of acts) terminal.say(`${act.what}: ${act.ends}`, 4)
    if (options.yes !== true && !(await isConfirmed(context))) {
      terminal.say('nothing was changed')
      return 1
    }
    const stamp = new Date().toISOString().replace(/[-:.]/g, '')
    for (const act of acts) act.run(stamp)
    if (options.json === true) terminal.print(JSON.stringify({ reset: acts.map((act) => act.what) }))
    else terminal.print('done; the next start makes what is missing')
    return 0
  } finally {
    unlock()
  }
}

function plan(home: Home, options: ResetOptions): Act[] {
  const isAll = options.keys === 'all' || options.chain === true
  const acts: Act[] = []
  const folder = (name: string) => join(home.folder, name)
  const away = (name: string) => (stamp: string) => putAside(folder(name), stamp)
  if (options.chain === true)
    acts.push({
      what: 'chain',
      ends: 'the development chain starts anew, empty; everything anchored on it can be checked only by those who kept its headers',
      run: away('chain'),
    })
  if (isAll || options.keys === 'node')
    acts.push({
      what: 'node',
      ends: 'a new node key with a new epoch and a new sequence; receipts of the old key stay what they are, and the old key stays registered until its operator ends it',
      run: options.chain === true ? away('node') : () => retireNodeKey(folder('node')),
    })
  if (isAll || options.keys === 'log')
    acts.push({
      what: 'log',
      ends: 'a new log with a new identity; pledges of the old log that are not anchored yet are broken for ever, so let them be anchored first',
      run: away('log'),
    })
  if (isAll || options.keys === 'log2')
    acts.push(
      {
        what: 'log2',
        ends: 'the second log gets a new identity; its pledges that are not anchored yet are broken for ever, so let them be anchored first',
        run: away('log2'),
      },
      { what: 'witness2', ends: 'an empty mirror of the new second log', run: away('witness2') },
    )
  if (isAll || options.keys === 'log' || options.keys === 'witness')
    acts.push({
      what: 'witness',
      ends: 'a new witness key and an empty mirror; readers who named the old witness have to name the new one',
      run: away('witness'),
    })
  if (isAll || (options.keys !== 'node' && options.keys !== 'log2'))
    acts.push({
      what: 'reader.json',
      ends: "your names are forgotten; the next start names this machine's own daemon again",
      run: (stamp) => putAside(home.readerFile, stamp),
    })
  if (options.chain === true)
    acts.push({
      what: 'anchors.json',
      ends: 'your trusted headers belong to the chain that ends; kept beside, for `verify --anchors`',
      run: (stamp) => putAside(home.anchorsFile, stamp),
    })
  if (isAll || options.keys === 'log' || options.keys === 'log2')
    acts.push({
      what: 'pending receipts',
      ends: 'what is not final yet will never be; kept beside',
      run: (stamp) => putAside(home.pendingFolder, stamp),
    })
  return acts.filter((act) => act.what !== 'pending receipts' || existsSync(home.pendingFolder))
}

/** A folder or file under another name, without its private keys: nothing may sign with them again. */
function putAside(path: string, stamp: string): void {
  if (!existsSync(path)) return
  const aside = `${path}.before-${stamp}`
  renameSync(path, aside)
  if (statSync(aside).isDirectory()) rmSync(join(aside, 'key.json'), { force: true })
}

/** The key goes, its public half and the receipts it signed stay. */
function retireNodeKey(folder: string): void {
  if (!existsSync(folder) || !readdirSync(folder).includes('key.json')) return
  const found = KeyFile.readPublic(folder, 'node')
  if (found !== undefined) KeyFile.removeKey(folder, found)
}

async function isConfirmed(context: Context): Promise<boolean> {
  if (process.stdin.isTTY !== true) throw new NotConfirmedError()
  const question = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await question.question('Type "reset" to go on: ', { signal: context.stopped })
    return answer.trim() === 'reset'
  } finally {
    question.close()
  }
}

/** Nothing was named, or there is nothing. */
export class NothingToResetError extends errors.UsageError<'nothing-to-reset'> {
  override readonly name = 'reset.NothingToResetError'
  constructor() {
    super('nothing-to-reset', 'There is nothing to reset; name --keys, --chain or both, in a home that exists.')
  }
}

/** Without a terminal, `--yes` has to say it. */
export class NotConfirmedError extends errors.UsageError<'not-confirmed'> {
  override readonly name = 'reset.NotConfirmedError'
  constructor() {
    super('not-confirmed', 'Nobody is there to confirm; say --yes.')
  }
}
