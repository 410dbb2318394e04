/** RpcErrors.ts - what can be wrong with an endpoint: it does not answer, does not have something, or says what is not so. */
import * as Bytes from '../protocol/Bytes.ts'
import { UnavailableError, VerificationError } from '../protocol/errors.ts'

/** What an endpoint does not have, or not yet. */
export type Missing = 'block' | 'finality' | 'key-record' | 'log-record' | 'step'

/** Something is not on the chain at this block, by a proof of absence, or by the endpoint's word for blocks; it may come later. */
export class NotOnChainError extends UnavailableError<'not-on-chain'> {
  override readonly name = 'Rpc.NotOnChainError'
  readonly what: Missing
  constructor(what: Missing) {
    super('not-on-chain', `The endpoint does not show this on the chain: ${what}.`, { retryAfterSeconds: 1 })
    this.what = what
  }
}

/** Codes of `Rpc.RequestError`. */
export type RequestErrorCode = 'rpc-unreachable' | 'rpc-refused'

/** A call failed: no answer in time (`rpc-unreachable`), or an answer that says no (`rpc-refused`, see `answer`). */
export class RequestError extends UnavailableError<RequestErrorCode> {
  override readonly name = 'Rpc.RequestError'
  readonly method: string
  /** What the endpoint said, at most 300 characters; empty if it said nothing. */
  readonly answer: string
  /** What a contract answered when it refused the call, at most 4,096 bytes; undefined if nothing came. */
  readonly data: Uint8Array | undefined
  constructor(code: RequestErrorCode, method: string, answer: string, data?: Uint8Array) {
    super(code, code === 'rpc-refused' ? 'The chain endpoint refused a call.' : 'The chain endpoint did not answer.', {
      facts: answer === '' ? [`Method: ${method}`] : [`Method: ${method}`, `Answer: ${answer}`],
      retryAfterSeconds: 1,
    })
    this.method = method
    this.answer = answer
    this.data = data
  }

  /** Keeps of a transport's error what is safe to show: not the URL, not the request. */
  static from(method: string, error: unknown): RequestError {
    const { code, cause, details, data } = error as Refusal & { cause?: Refusal; details?: unknown }
    const isAnswer = typeof code === 'number' || typeof cause?.code === 'number'
    if (!isAnswer || typeof details !== 'string') return new RequestError('rpc-unreachable', method, '')
    return new RequestError('rpc-refused', method, details.slice(0, 300), revertData(data ?? cause?.data))
  }
}

type Refusal = { readonly code?: unknown; readonly data?: unknown }

/** Endpoints give the bytes themselves, or an object around them. */
function revertData(value: unknown): Uint8Array | undefined {
  const data = typeof value === 'object' && value !== null ? (value as { data?: unknown }).data : value
  if (typeof data !== 'string' || !/^0x([0-9a-fA-F]{2}){0,4096}$/.test(data)) return undefined
  return Bytes.from0x(data.toLowerCase())
}

/** Codes of `Rpc.LieError`. */
export type LieErrorCode =
  | 'rpc-chain-id'
  | 'rpc-header-hash'
  | 'rpc-header-number'
  | 'rpc-code-hash'
  | 'rpc-proof'
  | 'rpc-malformed'

const lies: { readonly [code in LieErrorCode]: string } = {
  'rpc-chain-id': 'The chain endpoint serves another chain.',
  'rpc-header-hash': 'The chain endpoint gave a header that does not have the hash it names.',
  'rpc-header-number': 'The chain endpoint gave another block than asked for.',
  'rpc-code-hash': 'The contract at this address has other code than expected.',
  'rpc-proof': 'The chain endpoint gave a state proof that does not hold.',
  'rpc-malformed': 'The chain endpoint gave an answer of another form than the method has.',
}

/** An endpoint's answer contradicts itself or what the caller knows. */
export class LieError extends VerificationError<LieErrorCode> {
  override readonly name = 'Rpc.LieError'
  constructor(code: LieErrorCode, facts: readonly string[], cause?: unknown) {
    super(code, lies[code], { facts, cause })
  }
}
