/** Context.ts - what a command gets from the world; a test gives its own. */
import { join } from 'node:path'
import * as Home from './Home.ts'
import type { Terminal } from './Terminal.ts'

export type Context = {
  readonly terminal: Terminal
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** Resolves when the person asks to stop. */
  readonly stopped: AbortSignal
  /** Folder with one folder per model. */
  readonly modelsFolder: string
}

/** Options that every command has. */
export type GlobalOptions = { readonly home?: string; readonly json?: boolean }

export const modelsFolder: string = join(import.meta.dirname, '..', '..', '..', 'models')

export function homeOf(context: Context, options: GlobalOptions): Home.Home {
  return Home.find({ env: context.env, cwd: context.cwd, home: options.home })
}
