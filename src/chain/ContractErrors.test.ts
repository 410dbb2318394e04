import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crypto } from '../crypto/node.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as ContractErrors from './ContractErrors.ts'

const word = (value: bigint) => Bytes.u256(value)

test('an error of any contract of this release by its name; anything else is none', () => {
  // Kept(uint64,uint64), SubjectEnded(bytes32), SameHead()
  const kept = Bytes.concat(selector('Kept(uint64,uint64)'), word(7n), word(9n))
  assert.deepEqual(ContractErrors.parse(kept), { errorName: 'Kept', args: [7n, 9n] })
  const ended = ContractErrors.parse(Bytes.concat(selector('SubjectEnded(bytes32)'), word(1n)))
  assert.equal(ended?.errorName, 'SubjectEnded')
  assert.deepEqual(ContractErrors.parse(selector('SameHead()')), { errorName: 'SameHead', args: [] })
  for (const data of ['', '00', 'deadbeef', Bytes.toHex(kept).slice(0, 40)])
    assert.equal(ContractErrors.parse(Bytes.fromHex(data)), undefined)
})

function selector(signature: string): Uint8Array {
  return crypto.keccak256(Bytes.fromUtf8(signature)).slice(0, 4)
}
