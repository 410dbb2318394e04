/** endedLogs.test.ts - a log's key is thrown away when the final state shows that the log has ended and owes nothing, on nobody's bare word. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { AnchorLogContract, Layout, StakeManagerContract } from 'assay/chain'
import { crypto } from 'assay/crypto/node'
import { Bytes } from 'assay/protocol'
import { type Abi, decodeFunctionData, encodeFunctionResult, type Hex } from 'viem'
import { contracts, packed, type Words, worldOf } from '../../../../tests/fakes/Court.ts'
import * as SqliteLogStore from '../log/SqliteLogStore.ts'
import * as scene from '../log/scene.ts'
import type { Registrar } from '../settle/register.ts'
import { replaceEnded, unanchored } from './endedLogs.ts'
import * as Logs from './logs.ts'

const folder = mkdtempSync(join(tmpdir(), 'assay-ended-'))
after(() => rmSync(folder, { recursive: true }))
const logId = new Uint8Array(32).fill(8)
const abi = [...AnchorLogContract.abi, ...StakeManagerContract.abi] as Abi

const [shares, index, , operator] = Layout.stakeSlots(crypto, logId)
const retired: Words = [
  ['stakeManager', shares, packed([0n, 96], [0n, 96], [5n, 40])],
  ['stakeManager', index, packed([10n ** 18n, 64])],
  ['stakeManager', operator, packed([new Uint8Array(20).fill(1), 160])],
]
const ofFault: Words = [
  ['stakeManager', index, packed([0n, 64], [0n, 96], [0n, 32], [0n, 24], [5n, 40])],
  ['stakeManager', operator, packed([new Uint8Array(20).fill(1), 160])],
]
const anchored = (size: bigint): Words[number] => [
  'anchorLog',
  Layout.logHeadSlots(crypto, logId)[0],
  packed([size, 64]),
]

/** What becomes of a log that the endpoint says has ended with all of it anchored; `finalized`: what the final state shows. */
async function became(finalized: Words, answer?: (method: string, params: readonly unknown[]) => unknown) {
  const home = mkdtempSync(join(folder, 'home-'))
  const [key] = Logs.openKeys(home)
  const at = join(home, key.slot.log)
  SqliteLogStore.open({ folder: at, kind: 'log', logId, crypto }).close()
  const said: Readonly<Record<string, unknown>> = {
    logOfKey: Bytes.to0x(logId),
    getSubject: {
      ...{ selfShares: 0n, delegatedShares: 0n, retiredAtBlock: 5, index: 0n, reservedRewards: 0n, capWindow: 0 },
      ...{ capUsed: 0, endedAtBlock: 0, selfUnbonding: 0n, delegatedUnbonding: 0n, heldTokens: 0n, heldRewards: 0n },
      ...{ rewardPerShare: 0n, operator: `0x${'01'.repeat(20)}`, extraPledgeBlocks: 0n },
    },
    getLog: {
      ...{ keyId: Bytes.to0x(logId), operator: `0x${'01'.repeat(20)}`, pledgeBlocks: 600n, x: Bytes.to0x(logId) },
      ...{ y: Bytes.to0x(logId), ed25519Key: Bytes.to0x(logId), headSize: 99n, headRoot: Bytes.to0x(logId) },
    },
  }
  const { court } = worldOf({
    finalized,
    answer: (method, params) => {
      const given = answer?.(method, params)
      if (given !== undefined || method !== 'eth_call') return given
      const { functionName } = decodeFunctionData({ abi, data: (params[0] as { readonly data: Hex }).data })
      return encodeFunctionResult({ abi, functionName, result: said[functionName] as never })
    },
  })
  const book = { anchorLog: contracts.anchorLog, stake: { stakeManager: contracts.stakeManager } }
  const registrar = { crypto, rpc: court.rpc, sender: court.sender, book } as unknown as Registrar
  const { replaced, closing } = await replaceEnded({ home, registrar, keys: [key], patienceMs: 0 })
  const isKept = existsSync(join(at, 'key.json'))
  assert.deepEqual([replaced.length, closing.size], isKept ? [0, 1] : [1, 0])
  return isKept ? 'closing' : 'replaced'
}

test('retired, or ended by a fault, and all of it anchored: the key goes', async () => {
  assert.equal(await became([...retired, anchored(0n)]), 'replaced')
  assert.equal(await became([...ofFault, anchored(0n)]), 'replaced')
})

test('only said to have ended, or not so in the final state: it takes no more heads, and keeps its key', async () => {
  assert.equal(await became([anchored(0n)]), 'closing')
  assert.equal(await became([]), 'closing')
})

test('nor does it go where no block is named as final', async () => {
  const refused = (method: string, [tag]: readonly unknown[]) =>
    method === 'eth_getBlockByNumber' && tag === 'finalized' ? null : undefined
  assert.equal(await became([...retired, anchored(0n)], refused), 'closing')
})

test('what a log holds is owed until the final state has it, whatever is said', async (t) => {
  const at = scene.temporaryFolder(t)
  const { log, close } = await scene.openBoth(at, scene.createChain())
  await log.append(await scene.request(0n))
  await close()
  const own = scene.identity.logId
  const owed = async (size: bigint, mischief?: unknown) => {
    const slot = Layout.logHeadSlots(crypto, own)[0]
    const answer = (method: string, [tag]: readonly unknown[]) =>
      method === 'eth_getBlockByNumber' && tag === 'finalized' ? mischief : undefined
    const { court } = worldOf({ finalized: [['anchorLog', slot, packed([size, 64])]], answer })
    const book = { anchorLog: contracts.anchorLog }
    return unanchored({ rpc: court.rpc, book } as unknown as Registrar, join(at, 'log'), own, 0)
  }
  assert.deepEqual([await owed(0n), await owed(1n), await owed(2n), await owed(1n, null)], [1n, 0n, 0n, 1n])
})
