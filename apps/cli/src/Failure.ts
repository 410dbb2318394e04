/** Failure.ts - errors as a person or a script sees them. No prompt, answer, key or token is in any of them. */
import { Graded } from 'assay/client'
import { errors } from 'assay/protocol'
import { Verdict } from 'assay/verify'
import { printable, type Terminal } from './Terminal.ts'

/** Beside the four of a verdict. Source: sysexits.h for 64, 70 and 75. */
export const exitCodes = { usage: 64, defect: 70, unavailable: 75, stopped: 130 } as const

/** Prints an error (JSON on stdout when asked) and gives the exit code for it. */
export function report(
  terminal: Terminal,
  error: unknown,
  options: { readonly isJson: boolean; readonly isStopped: boolean },
): number {
  if (options.isStopped && !errors.BaseError.isInstance(error)) {
    terminal.say('stopped')
    return exitCodes.stopped
  }
  if (errors.BaseError.isInstance(error)) {
    const { code, action, shortMessage: message, facts } = error
    if (options.isJson) terminal.print(JSON.stringify({ error: { code, action, message, facts } }))
    terminal.say(`${terminal.style('red', 'assay:')} ${printable(message)}`)
    for (const fact of facts) terminal.say(`  ${printable(fact)}`, 4)
    if (code === 'gateway-unreachable') terminal.say('  Is the daemon running? `npm start` starts it.', 4)
    return codeOf(error)
  }
  const { name, stack } = error instanceof Error ? error : new Error(String(error))
  // The message of a foreign error may quote what it was given, so only its place is shown.
  const place = (stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 8)
  if (options.isJson)
    terminal.print(
      JSON.stringify({ error: { code: 'defect', action: 'stop', message: `A defect in Assay: ${name}`, facts: [] } }),
    )
  terminal.say(`${terminal.style('red', 'assay:')} a defect: ${name}`)
  for (const line of place) terminal.say(printable(line), 4)
  return exitCodes.defect
}

function codeOf(error: errors.BaseError): number {
  if (error instanceof Graded.NotMetError) return Verdict.exitCode[error.verdict.outcome]
  if (errors.UsageError.isInstance(error)) return exitCodes.usage
  if (errors.UnavailableError.isInstance(error)) return exitCodes.unavailable
  return errors.PolicyError.isInstance(error) ? Verdict.exitCode.INSUFFICIENT : Verdict.exitCode.INVALID
}
