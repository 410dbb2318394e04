/** execute.ts - one run of the command line: arguments in, exit code out. */
import { CommanderError } from 'commander'
import type { Context } from './Context.ts'
import * as Failure from './Failure.ts'
import * as Program from './program.ts'

/** Runs a command; never throws. */
export async function execute(context: Context, args: readonly string[]): Promise<number> {
  let code = 0
  try {
    await Program.create(context, (done) => {
      code = done
    }).parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    context.terminal.endProgress()
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : Failure.exitCodes.usage
    const options = { isJson: args.includes('--json'), isStopped: context.stopped.aborted }
    return Failure.report(context.terminal, error, options)
  }
}
