/** verify.ts - `assay verify` and `assay explain`: what a file is worth to this reader, now. */
import { resolve } from 'node:path'
import { OwnEvidence } from 'assay/client'
import { crypto } from 'assay/crypto/node'
import { Bundle } from 'assay/protocol'
import { recomputeWith, Verdict } from 'assay/verify'
import { type Context, type GlobalOptions, homeOf } from '../Context.ts'
import * as Files from '../Files.ts'
import * as Home from '../Home.ts'
import * as Network from '../Network.ts'
import * as Policies from '../Policies.ts'
import * as Story from '../Story.ts'
import * as Verdicts from '../Verdicts.ts'

export type VerifyOptions = GlobalOptions & {
  readonly policy: string
  readonly recompute?: boolean
  readonly offline?: boolean
  readonly anchors?: string
  readonly fault?: readonly string[]
}

/** `assay verify FILE`. */
export async function verify(context: Context, file: string, options: VerifyOptions): Promise<number> {
  const { terminal } = context
  const policy = Policies.find(options.policy, context.cwd)
  const bytes = Files.readReceipt(resolve(context.cwd, file))
  const faults = (options.fault ?? []).map((path) => Files.readReceipt(resolve(context.cwd, path)))
  let verdict: Verdict.Verdict
  try {
    verdict = await judge(context, bytes, policy, options, faults)
  } catch (error) {
    if (!Verdict.isUnreadable(error)) throw error
    return unreadable(context, error as Bundle.MalformedBundleError, options.json === true)
  }
  terminal.endProgress()
  if (options.json === true) terminal.print(JSON.stringify(Verdicts.toJson(verdict)))
  else Verdicts.printWhole(terminal, verdict)
  return Verdict.exitCode[verdict.outcome]
}

async function judge(
  context: Context,
  bundle: Uint8Array,
  policy: ReturnType<typeof Policies.find>,
  options: VerifyOptions,
  faults: readonly Uint8Array[],
): Promise<Verdict.Verdict> {
  const { terminal } = context
  const home = homeOf(context, options)
  const { reader, notes, chain } = await Network.readerFor(bundle, {
    home,
    offline: options.offline === true,
    anchorsFile: options.anchors === undefined ? undefined : resolve(context.cwd, options.anchors),
  })
  for (const note of notes) terminal.say(note)
  // What was named comes first; of the home's own there is room for the rest.
  const room = Math.max(0, OwnEvidence.maxFiles - faults.length)
  const own = await OwnEvidence.about({ crypto, faults: Home.faultStore(home), chain }, Bundle.parse(bundle), room)
  const executor = options.recompute === true ? await openExecutor(context) : undefined
  try {
    if (executor !== undefined) terminal.progress('running the call again on this machine')
    return await Verdict.verify(crypto, {
      bundle,
      reader,
      policy,
      nowSeconds: BigInt(Math.floor(Date.now() / 1000)),
      faults: [...faults, ...own.files],
      known: own.known,
      ...(executor === undefined ? {} : { recompute: recomputeWith(crypto, executor) }),
    })
  } finally {
    await executor?.close()
  }
}

/** This machine's own engines; loaded only when asked for, because a runtime takes a second to start. */
export async function openExecutor(context: Context) {
  const { createExecutor } = await import('@assay/node/engine/executor')
  return createExecutor(context.modelsFolder)
}

/** Bytes that are no receipt get no verdict: the step is `parse`. */
function unreadable(context: Context, error: Bundle.MalformedBundleError, isJson: boolean): number {
  const { terminal } = context
  terminal.endProgress()
  if (isJson)
    terminal.print(
      JSON.stringify({ error: { step: 'parse', code: error.code, message: error.shortMessage, facts: error.facts } }),
    )
  else {
    terminal.print(terminal.style('red', `UNREADABLE(parse) - ${error.shortMessage}`))
    for (const fact of error.facts) terminal.print(`  ${fact}`)
    terminal.print(terminal.style('dim', '  These bytes are not a receipt (or no longer one). That accuses nobody.'))
  }
  return Verdict.exitCode.INVALID
}

/** `assay explain FILE`: the story that the file tells, and what speaks for it. Needs no network and no policy to be met. */
export async function explain(
  context: Context,
  file: string,
  options: GlobalOptions & { readonly policy: string },
): Promise<number> {
  const { terminal } = context
  const bytes = Files.readReceipt(resolve(context.cwd, file))
  const policy = Policies.find(options.policy, context.cwd)
  try {
    const bundle = Bundle.parse(bytes)
    const verdict = await judge(context, bytes, policy, { ...options, offline: true }, [])
    if (options.json === true) {
      terminal.print(JSON.stringify({ story: Story.tell(bundle), verdict: Verdicts.toJson(verdict) }))
      return 0
    }
    terminal.print(terminal.style('bold', 'What the file says'))
    for (const line of Story.tell(bundle)) terminal.print(`  ${line}`, 6)
    terminal.print()
    terminal.print(terminal.style('bold', 'What speaks for it (from this machine, offline)'))
    Verdicts.printWhole(terminal, verdict)
    return 0
  } catch (error) {
    if (Verdict.isUnreadable(error))
      return unreadable(context, error as Bundle.MalformedBundleError, options.json === true)
    throw error
  }
}
