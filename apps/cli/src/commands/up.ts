/** up.ts - `assay up`: the whole network on this machine, a few real calls with their verdicts, then the gateway. */
import { appendFileSync, readFileSync, renameSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Client, Exchange } from 'assay/client'
import { Graded } from 'assay/client'
import { crypto } from 'assay/crypto/node'
import { Bundle, Head } from 'assay/protocol'
import { policies, recomputeWith, type Verdict } from 'assay/verify'
import * as Adopt from '../Adopt.ts'
import * as Answers from '../Answers.ts'
import { type Context, type GlobalOptions, homeOf } from '../Context.ts'
import type { Home } from '../Home.ts'
import * as Network from '../Network.ts'
import { printable } from '../Terminal.ts'
import * as Verdicts from '../Verdicts.ts'
import { progressText } from './ask.ts'
import { openExecutor } from './verify.ts'

export type UpOptions = GlobalOptions & {
  readonly once?: boolean
  readonly port?: number
  readonly verbose?: boolean
  readonly contracts?: string
  /** Seconds. */
  readonly blockTime?: number
}

/** The rule `development` is final two blocks after an anchor; a minute is many times that. */
const finalSeconds = 60
/** A log file of the daemon larger than this is put aside at start; one older file is kept. */
const maxLogBytes = 8 * 1024 * 1024

type Sample = {
  readonly title: string
  readonly target: string
  readonly body: Uint8Array
  readonly modes: number
  readonly read: (answer: Exchange.Answer) => string
}

type Made = Sample & { readonly graded: Graded.Graded<Exchange.Answer> }

/** One call of the last line; later versions add calls and never change the shape. */
export type Shown = {
  readonly title: string
  readonly mode: 'plain' | 'exact' | 'tee' | 'zk'
  readonly answer: string
  readonly receipt: string
  readonly verdicts: { readonly embedded: Verdict.Verdict; readonly strict: Verdict.Verdict }
}

/** `assay up`. */
export async function up(context: Context, options: UpOptions): Promise<number> {
  const { terminal } = context
  const home = homeOf(context, options)
  const startedMs = performance.now()
  const { startDaemon } = await import('@assay/node/daemon')
  const chainRpcUrl = context.env.ASSAY_CHAIN_RPC
  const daemon = await startDaemon({
    home: home.folder,
    models: context.modelsFolder,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(chainRpcUrl === undefined || chainRpcUrl === '' ? {} : { chainRpcUrl }),
    ...contractsOf(context, options),
    ...(options.blockTime === undefined ? {} : { blockTimeMs: options.blockTime * 1000 }),
    onProgress: (step, detail) => terminal.say(`${terminal.style('dim', step.padEnd(10))}${printable(detail)}`, 10),
    log: recorder(context, home, options.verbose === true),
  })
  const executor = await openExecutor(context)
  try {
    const adopted = await Adopt.adopt(home, daemon)
    for (const note of adopted.notes) terminal.say(`${terminal.style('dim', 'names'.padEnd(10))}${note}`, 10)
    for (const difference of adopted.differences) terminal.say(terminal.style('yellow', `differs   ${difference}`), 10)
    if (adopted.differences.length > 0) terminal.say(Adopt.advice)
    const { client } = await Network.openClient(home, {
      policy: policies.embedded,
      recompute: recomputeWith(crypto, executor),
      gatewayUrl: daemon.endpoints.gateway,
    })
    const shown = await samples(context, client, daemon.models)
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    const isGood = shown.length > 0 && shown.every((call) => call.verdicts.embedded.outcome === 'MEETS')
    if (options.json !== true) summary(context, shown, daemon.endpoints, seconds, options.once === true)
    else {
      const calls = shown.map((call) => ({
        ...call,
        verdicts: { embedded: Verdicts.toJson(call.verdicts.embedded), strict: Verdicts.toJson(call.verdicts.strict) },
      }))
      terminal.say(`verdicts after ${seconds} s`)
      terminal.print(JSON.stringify({ calls, endpoints: daemon.endpoints }))
    }
    if (options.once !== true && !context.stopped.aborted) {
      terminal.say(`serving ${daemon.endpoints.gateway}; Ctrl-C ends it`)
      await client.keepRaising({ signal: context.stopped })
      terminal.say('stopping')
    }
    return isGood ? 0 : 1
  } finally {
    terminal.endProgress()
    await executor.close()
    await daemon.stop()
  }
}

/** Contracts of another operator: named by the option, else by the environment. */
function contractsOf({ cwd, env }: Context, options: UpOptions): { readonly contractsFile?: string } {
  const named = options.contracts ?? env.ASSAY_CONTRACTS ?? ''
  return named === '' ? {} : { contractsFile: resolve(cwd, named) }
}

async function samples(context: Context, client: Client.Client, models: readonly string[]): Promise<Shown[]> {
  const { terminal } = context
  const made: Made[] = []
  for (const sample of plan(context, models)) {
    if (context.stopped.aborted) break
    terminal.progress(`asking    ${sample.title}`)
    const isChat = sample.target.startsWith('/v1/')
    if (isChat && terminal.isWatched)
      terminal.say(terminal.style('dim', `${sample.title} (provisional, nothing checked yet):`))
    const graded = await client.call(sample.target, sample.body, {
      modes: sample.modes,
      signal: context.stopped,
      ...(isChat ? { onProvisional: ({ provisional }) => terminal.provisional(Answers.pieceOf(provisional)) } : {}),
    })
    made.push({ ...sample, graded })
  }
  // One line for all: what the slowest waits for.
  const seen = new Map<string, Verdict.Verdict>()
  const onVerdict = (receipt: string) => (verdict: Verdict.Verdict) => {
    seen.set(receipt, verdict)
    const slowest = [...seen.values()].reduce((a, b) => (b.anchoring.length < a.anchoring.length ? b : a))
    terminal.progress(`waiting   ${progressText(slowest)}`)
  }
  return Promise.all(made.map((call) => show(context, call, onVerdict(call.graded.receiptHash))))
}

function plan(context: Context, models: readonly string[]): Sample[] {
  const chat = (model: string) =>
    Answers.chatBody({ model, prompt: 'What is a receipt?', maxTokens: 120, temperature: '0', topP: '1', seed: 0n })
  const image = digit(context.modelsFolder)
  const all: readonly (Sample & { readonly model: string })[] = [
    {
      ...{
        model: 'tiny',
        title: 'chat with tiny, bit for bit repeatable',
        target: '/v1/chat/completions',
        modes: Head.modes.exact,
      },
      ...{ body: chat('tiny'), read: Answers.textOf },
    },
    {
      ...{
        model: 'digits',
        title: `a handwritten ${image.label} read by digits`,
        target: Answers.inferTarget('digits'),
        modes: Head.modes.exact,
      },
      body: Answers.digitsBody(image.image),
      read: (answer) => String(Answers.highest(Answers.tensorsOf(answer)[0]?.data ?? [])),
    },
    {
      ...{
        model: 'tiny-native',
        title: 'chat with tiny on the native runtime',
        target: '/v1/chat/completions',
        modes: 0,
      },
      ...{ body: chat('tiny-native'), read: Answers.textOf },
    },
  ]
  return all.filter(({ model }) => models.includes(model))
}

function digit(modelsFolder: string): { readonly label: number; readonly image: readonly number[] } {
  const text = readFileSync(join(modelsFolder, 'digits', 'samples.json'), 'utf8')
  const all = JSON.parse(text) as { readonly label: number; readonly image: readonly number[] }[]
  return all.find((one) => one.label === 7) ?? (all[0] as (typeof all)[number])
}

/** Waits for `final`, then both verdicts; the answer is shown whatever they say, because what is shown is the verdicts. */
async function show(context: Context, call: Made, onVerdict: (verdict: Verdict.Verdict) => void): Promise<Shown> {
  const { graded } = call
  try {
    await graded.meets(policies.embedded, {
      waitSeconds: finalSeconds,
      onVerdict,
      signal: context.stopped,
    })
  } catch (error) {
    if (!(error instanceof Graded.NotMetError)) throw error
  }
  const [embedded, strict] = [await graded.verdict(policies.embedded), await graded.verdict(policies.strict)]
  const { modeBits } = Head.parse(Bundle.parse(graded.bundle()).receipt.head)
  return {
    title: call.title,
    mode: modeOf(modeBits),
    answer: call.read(graded.unchecked()),
    receipt: graded.receiptHash,
    verdicts: { embedded, strict },
  }
}

function modeOf(modeBits: number): Shown['mode'] {
  if ((modeBits & Head.modes.zk) !== 0) return 'zk'
  if ((modeBits & Head.modes.tee) !== 0) return 'tee'
  return (modeBits & Head.modes.exact) !== 0 ? 'exact' : 'plain'
}

function summary(
  { terminal }: Context,
  shown: readonly Shown[],
  endpoints: { readonly gateway: string; readonly log: string; readonly chain: string },
  seconds: string,
  isOnce: boolean,
): void {
  for (const { title, mode, answer, receipt, verdicts } of shown) {
    terminal.print()
    terminal.print(terminal.style('bold', title))
    terminal.print(`  answer    ${printable(answer).trim()}`, 12)
    terminal.print(`  receipt   ${receipt}`)
    terminal.print(`  mode      ${mode}`)
    terminal.print(
      `  stands    ${Verdicts.anchoringLine(verdicts.embedded)}, ${Verdicts.consequenceLine(verdicts.embedded)}`,
      12,
    )
    terminal.print(`  verdict   ${Verdicts.outcomeLine(terminal, verdicts.embedded)}`)
    for (const line of Verdicts.lacks(verdicts.embedded)) terminal.print(`              ${line}`, 24)
    terminal.print(`  verdict   ${Verdicts.outcomeLine(terminal, verdicts.strict)}; it lacks:`)
    for (const line of Verdicts.lacks(verdicts.strict)) terminal.print(`              ${line}`, 24)
  }
  const first = shown[0]
  if (first !== undefined) {
    terminal.print()
    terminal.print(terminal.style('bold', `Claims of the first receipt, as this machine sees them`))
    terminal.rows(Verdicts.matrix(terminal, first.verdicts.embedded), 2)
  }
  terminal.print()
  terminal.rows([`gateway    ${endpoints.gateway}`, `log        ${endpoints.log}`, `chain      ${endpoints.chain}`])
  terminal.print(terminal.style('dim', `after ${seconds} s`))
  if (isOnce) return
  terminal.print('Ask it:    npx assay ask "What is a receipt?" --save a.receipt')
  terminal.print('Check it:  npx assay verify a.receipt --policy recorded --recompute')
}

/** The daemon's structured lines go to a file of the home, with `--verbose` to stderr as well; they hold no prompt and no answer. */
function recorder(context: Context, home: Home, isVerbose: boolean) {
  const path = join(home.folder, 'daemon.log')
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > maxLogBytes) renameSync(path, `${path}.old`)
  return (record: Readonly<Record<string, unknown>>) => {
    const line = `${JSON.stringify({ at: new Date().toISOString(), ...record })}\n`
    try {
      appendFileSync(path, line, { mode: 0o600 })
    } catch {
      // A log that cannot be written must not stop what it tells about.
    }
    if (isVerbose) context.terminal.say(line.trimEnd())
  }
}
