/** The project's own vectors, those that contracts have a part in, answered by the Solidity libraries on a chain. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import * as Anvil from './Anvil.ts'
import { abi, bytecode } from './LibraryHarness.generated.ts'

// biome-ignore lint/suspicious/noExplicitAny: each vector file has its own shape
const casesOf = (name: string): readonly any[] =>
  JSON.parse(readFileSync(join(import.meta.dirname, `../../vectors/${name}.json`), 'utf8')).cases
const hex = (digits: string): Anvil.Hex => `0x${digits}`
const skip = Anvil.isAvailable ? false : '!! no anvil among the installed packages: Solidity is not compared'

describe('own vectors on a chain', { skip }, () => {
  let chain: Anvil.Chain
  let harness: Anvil.Hex
  before(async () => {
    chain = await Anvil.start('osaka')
    harness = await chain.deploy({ abi, bytecode }, [])
  })
  after(() => chain.stop())
  const ask = (functionName: string, ...args: unknown[]) => chain.call(harness, abi, functionName, args)
  const tagBytes = (tag: string) => hex(Buffer.from(`assay/${tag}/v1`).toString('hex'))
  const isSigned = (tag: string, payload: string, signature: string, key: string) =>
    ask('isSigned', tagBytes(tag), hex(payload), hex(signature), hex(key.slice(0, 64)), hex(key.slice(64)))

  test('cose.json', async () => {
    let asked = 0
    for (const vector of casesOf('cose')) {
      if (vector.tag === undefined) continue // envelopes: no contract reads them
      if (vector.sigStructure !== undefined) {
        assert.equal(await ask('toBeSigned', tagBytes(vector.tag), hex(vector.payload)), hex(vector.sigStructure))
      }
      if (vector.keyId !== undefined) {
        const key = [hex(vector.publicKey.slice(0, 64)), hex(vector.publicKey.slice(64))]
        assert.equal(await ask('keyIdOf', ...key), hex(vector.keyId))
      }
      if (vector.signature === undefined || vector.publicKey.length !== 128) continue
      const { tag, payload, signature, publicKey, mustFail } = vector
      assert.equal(await isSigned(tag, payload, signature, publicKey), mustFail === undefined, vector.name)
      asked++
    }
    assert.ok(asked >= 14)
  })

  test('merkle.json', async () => {
    let asked = 0
    for (const vector of casesOf('merkle')) {
      const { name, mustFail, inclusion, consistency } = vector
      if (inclusion !== undefined) {
        const { leafHash, index, size, root } = vector
        const args = [hex(leafHash), BigInt(index), BigInt(size), hex(root), inclusion.map(hex)]
        assert.equal(await ask('isIncluded', ...args), mustFail === undefined, name)
        asked++
      }
      if (consistency !== undefined) {
        const { size1, root1, size2, root2 } = vector
        const args = [BigInt(size1), hex(root1), BigInt(size2), hex(root2), consistency.map(hex)]
        assert.equal(await ask('isConsistent', ...args), mustFail === undefined, name)
        asked++
      }
    }
    assert.ok(asked >= 30)
  })

  test('checkpoint.json, pledge.json, identity.json', async () => {
    const [checkpoint] = casesOf('checkpoint')
    const state = checkpoint.expected
    const stateArgs = [hex(state.anchorLog), hex(state.logId), BigInt(state.size), hex(state.root)]
    assert.equal(await ask('checkpointPayload', ...stateArgs), hex(checkpoint.payload))
    const { payload, signature, publicKey, cosignature, witnessKey } = checkpoint
    assert.equal(await isSigned('checkpoint', payload, signature, publicKey), true)
    assert.equal(await isSigned('cosign', payload, cosignature, witnessKey), true)
    assert.equal(await isSigned('cosign', payload, signature, publicKey), false)

    const [pledge] = casesOf('pledge')
    const { anchorLog, logId, leafHash, leafIndex, issuedAtBlock, issuedAtBlockHash } = pledge.expected
    const numbers = [BigInt(leafIndex), BigInt(issuedAtBlock)]
    const pledgeArgs = [hex(anchorLog), hex(logId), hex(leafHash), ...numbers, hex(issuedAtBlockHash)]
    assert.equal(await ask('pledgePayload', ...pledgeArgs), hex(pledge.payload))
    assert.equal(await isSigned('pledge', pledge.payload, pledge.signature, pledge.publicKey), true)

    const entries = casesOf('identity').filter(({ input }) => input.role !== undefined)
    assert.ok(entries.length > 0)
    for (const { input, payload: expected } of entries) {
      const key = [hex(input.publicKey.slice(0, 64)), hex(input.publicKey.slice(64))]
      assert.equal(await ask('keyPayload', hex(input.contract), hex(input.subject), input.role, ...key), hex(expected))
    }
  })
})
