import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BaseError, LimitError, PolicyError, UnavailableError, UsageError, VerificationError } from './errors.ts'

class BrokenError extends VerificationError<'broken'> {
  override readonly name = 'BrokenError'
}
class BusyError extends UnavailableError<'busy'> {
  override readonly name = 'BusyError'
}
class LowError extends PolicyError<'low'> {
  override readonly name = 'LowError'
}

describe('errors', () => {
  test('say what happened, the facts, what to do and where to read on', () => {
    const cause = new Error('inner')
    const error = new BrokenError('broken', 'It is broken.', { facts: ['Got: 1'], docsPath: '/x', cause })
    assert.equal(
      error.message,
      'It is broken.\nGot: 1\nWhat to do: do not rely on this data; it is not what it claims to be.\nDocs: /x',
    )
    assert.deepEqual(
      { name: error.name, code: error.code, action: error.action, short: error.shortMessage, facts: error.facts },
      { name: 'BrokenError', code: 'broken', action: 'stop', short: 'It is broken.', facts: ['Got: 1'] },
    )
    assert.equal(error.cause, cause)
    assert.equal(String(error).startsWith('BrokenError: It is broken.'), true)
  })

  test('each family has its action', () => {
    const limit = new LimitError({ what: 'Body', limit: 1, got: 2n })
    assert.deepEqual([limit.action, limit.code, limit.facts], ['fix', 'limit-exceeded', ['Limit: 1', 'Got: 2']])
    assert.equal(new BusyError('busy', 'Busy.', { retryAfterSeconds: 3 }).retryAfterSeconds, 3)
    assert.equal(new BusyError('busy', 'Busy.').action, 'retry')
    assert.equal(new LowError('low', 'Low.').action, 'decide')
  })

  test('isInstance knows the class, its family and the root, and no others', () => {
    const error: unknown = new BrokenError('broken', 'It is broken.')
    assert.deepEqual(
      [BaseError.isInstance(error), VerificationError.isInstance(error), BrokenError.isInstance(error)],
      [true, true, true],
    )
    const others = [
      UsageError.isInstance(error),
      UnavailableError.isInstance(error),
      PolicyError.isInstance(error),
      LimitError.isInstance(error),
      BusyError.isInstance(error),
    ]
    assert.deepEqual(others, [false, false, false, false, false])
    for (const other of [undefined, null, 'x', {}, new Error('x')]) assert.equal(BaseError.isInstance(other), false)
  })

  test('isInstance knows the families of a second installed copy', async () => {
    const copy = (await import(`./errors.ts?${'copy'}`)) as typeof import('./errors.ts')
    const foreign: unknown = new copy.LimitError({ what: 'Body', limit: 1 })
    assert.equal(foreign instanceof BaseError, false)
    assert.equal(BaseError.isInstance(foreign), true)
    assert.equal(UsageError.isInstance(foreign), true)
    assert.equal(VerificationError.isInstance(foreign), false)
    assert.equal(LimitError.isInstance(foreign), false)
  })
})
