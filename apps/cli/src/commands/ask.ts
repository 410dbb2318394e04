/** ask.ts - `assay ask` and `assay infer`: an answer only when its receipt meets the policy under which it was asked. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Exchange, Graded } from 'assay/client'
import { writeWholeFile } from 'assay/client/node'
import { Bytes, errors } from 'assay/protocol'
import { type Policy, Verdict } from 'assay/verify'
import * as Answers from '../Answers.ts'
import { type Context, type GlobalOptions, homeOf } from '../Context.ts'
import * as Network from '../Network.ts'
import * as Policies from '../Policies.ts'
import { printable } from '../Terminal.ts'
import * as Verdicts from '../Verdicts.ts'

export type AnswerOptions = GlobalOptions & {
  readonly save?: string
  readonly wait: Policies.Wait
  readonly policy?: string
  readonly timeout: number
  readonly exact?: boolean
}

export type AskOptions = AnswerOptions & {
  readonly model: string
  readonly system?: string
  readonly maxTokens: number
  readonly temperature: string
  readonly topP: string
  readonly seed: bigint
}

export type InferOptions = AnswerOptions & { readonly input?: string; readonly sample?: number }

/** `assay ask PROMPT`. */
export async function ask(context: Context, prompt: string, options: AskOptions): Promise<number> {
  const { terminal } = context
  if (terminal.isWatched) terminal.say(terminal.style('dim', 'provisional, nothing checked yet:'))
  return run(context, options, {
    target: '/v1/chat/completions',
    body: Answers.chatBody({ ...options, prompt }),
    onData: (data) => terminal.provisional(Answers.pieceOf(data)),
    show: (answer) => {
      const text = Answers.textOf(answer)
      return { json: text, text: printable(text) }
    },
  })
}

/** `assay infer MODEL`. */
export async function infer(context: Context, model: string, options: InferOptions): Promise<number> {
  return run(context, options, {
    target: Answers.inferTarget(model),
    body: inferBody(context, model, options),
    show: (answer) => {
      const outputs = Answers.tensorsOf(answer)
      return { json: outputs, text: JSON.stringify(outputs) }
    },
  })
}

function inferBody(context: Context, model: string, options: InferOptions): Uint8Array {
  if ((options.input === undefined) === (options.sample === undefined))
    throw new InferInputError('give --input or --sample')
  if (options.input !== undefined) {
    const { input } = options
    if (!input.startsWith('@')) return Bytes.fromUtf8(input)
    return readInput(resolve(context.cwd, input.slice(1)))
  }
  const samples = JSON.parse(
    Bytes.toUtf8(readInput(join(context.modelsFolder, modelFolder(model), 'samples.json'))),
  ) as {
    readonly image: readonly number[]
  }[]
  const sample = samples[options.sample ?? -1]
  if (sample === undefined) throw new InferInputError(`the model has samples 0 to ${samples.length - 1}`)
  return Answers.digitsBody(sample.image)
}

/** A model's name as the name of its folder, and never a path. */
function modelFolder(model: string): string {
  if (!/^[a-z0-9][a-z0-9._-]{0,63}$/i.test(model)) throw new InferInputError('this model has no samples here')
  return model
}

function readInput(path: string): Uint8Array {
  try {
    return Uint8Array.from(readFileSync(path))
  } catch {
    throw new InferInputError(`cannot read ${path}`)
  }
}

type Call = {
  readonly target: string
  readonly body: Uint8Array
  readonly onData?: (data: string) => void
  readonly show: (answer: Exchange.Answer) => { readonly json: unknown; readonly text: string }
}

async function run(context: Context, options: AnswerOptions, call: Call): Promise<number> {
  const { terminal } = context
  const policy =
    options.policy === undefined ? Policies.embeddedUpTo(options.wait) : Policies.find(options.policy, context.cwd)
  const { client, isChainSeen } = await Network.openClient(homeOf(context, options), { policy })
  if (!isChainSeen) terminal.say('your chain endpoint does not answer: nothing can rise above what the files show')
  const { onData } = call
  const graded = await client.call(call.target, call.body, {
    signal: context.stopped,
    modes: options.exact === true ? 4 : 0,
    ...(onData === undefined ? {} : { onProvisional: ({ provisional }) => onData(provisional) }),
  })
  const raising = raiseOthers(client, graded.receiptHash)
  const outcome = await gradedAnswer(context, graded, policy, options)
  await raising
  terminal.endProgress()
  if (options.save !== undefined && outcome.verdict.receiptHash === null && graded.receiptHash.startsWith('pending-'))
    terminal.say('no receipt to save yet: no log has pledged it; `assay log raise` goes on with it')
  else if (options.save !== undefined) {
    const path = resolve(context.cwd, options.save)
    writeWholeFile(path, graded.bundle())
    terminal.say(
      `receipt saved: ${options.save} (${graded.bundle().length} bytes; it holds your prompt and the answer)`,
    )
  }
  const { verdict, answer } = outcome
  const shown = answer === undefined ? undefined : call.show(answer)
  if (options.json === true)
    terminal.print(
      JSON.stringify({ receipt: graded.receiptHash, answer: shown?.json ?? null, verdict: Verdicts.toJson(verdict) }),
    )
  else {
    if (shown !== undefined) terminal.print(shown.text, 0)
    terminal.say()
    terminal.say(`${Verdicts.outcomeLine(terminal, verdict)}  ${Verdicts.anchoringLine(verdict)}`)
    terminal.say(`receipt ${graded.receiptHash}`)
    for (const line of Verdicts.lacks(verdict)) terminal.say(`  ${line}`, 12)
    if (shown === undefined) terminal.say('The answer is not shown: its receipt does not meet the policy.')
  }
  return Verdict.exitCode[verdict.outcome]
}

type Outcome = { readonly verdict: Verdict.Verdict; readonly answer: Exchange.Answer | undefined }

async function gradedAnswer(
  context: Context,
  graded: Graded.Graded<Exchange.Answer>,
  policy: Policy.Policy,
  options: AnswerOptions,
): Promise<Outcome> {
  const { terminal } = context
  let last: Verdict.Verdict | undefined
  const onVerdict = (verdict: Verdict.Verdict) => {
    last = verdict
    terminal.progress(progressText(verdict))
  }
  try {
    const answer = await graded.meets(policy, { waitSeconds: options.timeout, onVerdict, signal: context.stopped })
    return { verdict: last ?? (await graded.verdict(policy)), answer }
  } catch (error) {
    if (error instanceof Graded.NotMetError) return { verdict: error.verdict, answer: undefined }
    throw error
  }
}

/** What is there and what is waited for. */
export function progressText(verdict: Verdict.Verdict): string {
  const facts = verdict.anchoring.map((fact) => fact.fact)
  const next = Policies.waits.find((fact) => !facts.includes(fact))
  return `${facts.join(' > ')}${next === undefined ? '' : ` ... waiting for ${next}`}`
}

/** Receipts of earlier calls rise along; what goes wrong with them is theirs, and `assay log pending` shows it. */
async function raiseOthers(client: { raisePending: () => Promise<unknown> }, _own: string): Promise<void> {
  try {
    await client.raisePending()
  } catch (error) {
    if (!errors.BaseError.isInstance(error)) throw error
  }
}

/** There is no input, or two. */
export class InferInputError extends errors.UsageError<'infer-input'> {
  override readonly name = 'ask.InferInputError'
  constructor(problem: string) {
    super('infer-input', 'The input of the tensor call cannot be used.', { facts: [`Problem: ${problem}`] })
  }
}
