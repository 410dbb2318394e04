// biome-ignore-all lint/complexity/noThisInStatic: isInstance asks about the class it is called on
/**
 * errors.ts - the base of every error that Assay throws. Source: spec/errors.md.
 *
 * Four families tell the reader what to do: `UsageError` (fix the call), `UnavailableError` (try again later),
 * `VerificationError` (stop: what was checked is false) and `PolicyError` (decide: it is true but below your bar).
 * A concrete class sits at the bottom of the module that throws it, and its `code` is a closed union of literals.
 */

const marker: unique symbol = Symbol.for('assay.error')

/** What the reader of an error should do. */
export type Action = 'fix' | 'retry' | 'stop' | 'decide'

/** Options of every error; `facts` are short lines such as `Expected: 32 bytes` and never hold user content or secrets. */
export type ErrorOptions = {
  readonly cause?: unknown
  readonly facts?: readonly string[]
  readonly docsPath?: string
}

const advice: { readonly [action in Action]: string } = {
  fix: 'correct the call or its input; the same call will fail again.',
  retry: 'try again later; nothing is known to be wrong with the evidence.',
  stop: 'do not rely on this data; it is not what it claims to be.',
  decide: 'the data is sound but does not meet the policy; change the policy or refuse.',
}

/** The root of all Assay errors; recognise it across installed copies with `BaseError.isInstance`. */
export abstract class BaseError<Code extends string = string> extends Error {
  abstract readonly action: Action
  /** One kebab-case literal per cause, a closed union per class; spec/errors.md explains those that vectors name. */
  readonly code: Code
  readonly shortMessage: string
  readonly facts: readonly string[]
  readonly docsPath: string | undefined
  readonly [marker] = true

  /** `action` is repeated here because the message needs it before subclass fields exist. */
  protected constructor(action: Action, code: Code, shortMessage: string, options: ErrorOptions) {
    super(render(action, shortMessage, options), options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.shortMessage = shortMessage
    this.facts = options.facts ?? []
    this.docsPath = options.docsPath
  }

  /**
   * Says whether a caught value is an error of this class.
   *
   * `BaseError` and the four families also recognise errors of a second installed copy of the library; for a
   * concrete class from another copy compare `code` instead.
   */
  static isInstance<T extends BaseError>(
    this: { readonly prototype: T; readonly family?: Action | 'any' },
    value: unknown,
  ): value is T {
    if (value instanceof (this as unknown as abstract new (...args: never[]) => T)) return true
    if (!isMarked(value) || !Object.hasOwn(this, 'family')) return false
    return this.family === 'any' || this.family === value.action
  }

  static readonly family: Action | 'any' = 'any'
}

/** The call or its input is wrong: fix it. */
export abstract class UsageError<Code extends string = string> extends BaseError<Code> {
  static override readonly family: Action | 'any' = 'fix'
  readonly action = 'fix'
  constructor(code: Code, shortMessage: string, options: ErrorOptions = {}) {
    super('fix', code, shortMessage, options)
  }
}

/** Something needed is not there at the moment: retry, after `retryAfterSeconds` if it is set. */
export abstract class UnavailableError<Code extends string = string> extends BaseError<Code> {
  static override readonly family: Action | 'any' = 'retry'
  readonly action = 'retry'
  readonly retryAfterSeconds: number | undefined
  constructor(
    code: Code,
    shortMessage: string,
    options: ErrorOptions & { readonly retryAfterSeconds?: number | undefined } = {},
  ) {
    super('retry', code, shortMessage, options)
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

/** Data is not what it claims to be: stop. */
export abstract class VerificationError<Code extends string = string> extends BaseError<Code> {
  static override readonly family: Action | 'any' = 'stop'
  readonly action = 'stop'
  constructor(code: Code, shortMessage: string, options: ErrorOptions = {}) {
    super('stop', code, shortMessage, options)
  }
}

/** Data is sound but below the reader's bar: decide. */
export abstract class PolicyError<Code extends string = string> extends BaseError<Code> {
  static override readonly family: Action | 'any' = 'decide'
  readonly action = 'decide'
  constructor(code: Code, shortMessage: string, options: ErrorOptions = {}) {
    super('decide', code, shortMessage, options)
  }
}

/** An input is larger than a limit that the specification writes down. */
export class LimitError extends UsageError<'limit-exceeded'> {
  override readonly name = 'LimitError'
  constructor(options: {
    readonly what: string
    readonly limit: number | bigint
    readonly got?: number | bigint | undefined
  }) {
    const facts = [`Limit: ${options.limit}`]
    if (options.got !== undefined) facts.push(`Got: ${options.got}`)
    super('limit-exceeded', `${options.what} exceeds the limit.`, { facts })
  }
}

function isMarked(value: unknown): value is { readonly action: unknown } {
  return typeof value === 'object' && value !== null && (value as { [marker]?: unknown })[marker] === true
}

function render(action: Action, shortMessage: string, options: ErrorOptions): string {
  const lines = [shortMessage, ...(options.facts ?? []), `What to do: ${advice[action]}`]
  if (options.docsPath !== undefined) lines.push(`Docs: ${options.docsPath}`)
  return lines.join('\n')
}
