/** cut.ts - `assay cut`: a smaller file of the same receipt, made without any key. */
import { resolve } from 'node:path'
import { writeWholeFile } from 'assay/client/node'
import { crypto } from 'assay/crypto/node'
import { Body, Bundle, errors, Slot } from 'assay/protocol'
import type { Context, GlobalOptions } from '../Context.ts'
import * as Files from '../Files.ts'

export type CutOptions = GlobalOptions & {
  readonly output: string
  readonly hide?: readonly string[]
  readonly dropBody?: readonly string[]
  readonly drop?: readonly string[]
}

const pieces = ['order', 'manifest', 'chain', 'stake', 'checkpoint', 'pledge'] as const

/** What goes when nothing is named: everything from which the prompt can be read or guessed. */
const byDefault: Bundle.Cut = { slots: ['request', 'effectiveRequest'], bodies: ['request', 'effective'] }

/** `assay cut FILE -o OUT`. */
export function cut({ terminal, cwd }: Context, file: string, options: CutOptions): number {
  const bundle = Bundle.parse(Files.readReceipt(resolve(cwd, file)))
  const what = whatOf(options)
  const small = Bundle.serialize(Bundle.cut(crypto, bundle, what))
  writeWholeFile(resolve(cwd, options.output), small)
  const after = Bundle.parse(small)
  const hidden = [...after.hidden.keys()].map(Slot.nameOf)
  const left = Body.names.filter((name) => after.bodies?.[name] !== undefined)
  if (options.json === true)
    terminal.print(JSON.stringify({ output: options.output, bytes: small.length, hidden, bodies: left }))
  else {
    terminal.print(`wrote ${options.output}: ${small.length} bytes`)
    terminal.print(
      `hidden: ${hidden.length === 0 ? 'nothing' : hidden.join(', ')}; bodies left: ${left.length === 0 ? 'none' : left.join(', ')}`,
    )
    if (left.includes('response') || left.includes('output'))
      terminal.print(terminal.style('dim', 'The answer is still in the file. --drop-body all takes it out as well.'))
  }
  return 0
}

function whatOf(options: CutOptions): Bundle.Cut {
  const { hide, dropBody, drop } = options
  if (hide === undefined && dropBody === undefined && drop === undefined) return byDefault
  const slots = (hide ?? []).map((name) => known(name, Slot.names))
  const bodies = dropBody?.includes('all') ? Body.names : (dropBody ?? []).map((name) => known(name, Body.names))
  // A slot that hides a body's commitment is of no use while the body stands beside it: the library takes the body along.
  return { slots, bodies, ...Object.fromEntries((drop ?? []).map((name) => [known(name, pieces), true])) }
}

function known<N extends string>(name: string, names: readonly N[]): N {
  const found = names.find((one) => one === name)
  if (found === undefined) throw new CutNameError(name, names)
  return found
}

/** There is no such thing to take out. */
export class CutNameError extends errors.UsageError<'cut-name'> {
  override readonly name = 'cut.CutNameError'
  constructor(name: string, names: readonly string[]) {
    super('cut-name', 'There is no such thing to take out.', {
      facts: [`Got: ${name.slice(0, 40)}`, `Known: ${names.join(' ')}`],
    })
  }
}
