/** `assay stake` against real contracts: an operator's own bond, what another person delegates, and the ends of both. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { trustAnchorsOf } from '@assay/node/settle/deploy'
import * as Evidence from '@assay/node/settle/evidence'
import { lockFolder } from '@assay/node/settle/folder-lock'
import { openScene } from '@assay/node/settle/scene'
import { openWallet } from '@assay/node/settle/wallet'
import { AssayTokenContract, ContractCall, StakeManagerContract, TrustAnchors } from 'assay/chain'
import { Bytes } from 'assay/protocol'
import { modelsFolder } from '../../apps/cli/src/Context.ts'
import { execute } from '../../apps/cli/src/execute.ts'
import * as Terminal from '../../apps/cli/src/Terminal.ts'

const one = 10n ** 18n
const hex = Bytes.to0x

describe('assay stake', () => {
  let scene: Evidence.Scene
  let work: string
  let other: string
  let node: Evidence.Node
  let nodeText: string
  let log: Evidence.Log
  before(async () => {
    scene = await openScene({ blockTimeSeconds: 0.1 })
    work = mkdtempSync(join(tmpdir(), 'assay-stake-'))
    other = join(work, 'other')
    mkdirSync(other)
    writeFileSync(join(other, 'anchors.json'), TrustAnchors.serialize([trustAnchorsOf(scene.book)]))
    const reader = { chainRpcUrl: scene.chain.url, gatewayUrl: null, operators: [], witnesses: [], rewrites: [] }
    writeFileSync(join(other, 'reader.json'), JSON.stringify(reader))
    node = await Evidence.newNode(scene, Evidence.roleOf.node)
    log = await Evidence.newLog(scene)
    nodeText = Bytes.toHex(node.nodeId)
    // The other person's account holds tokens.
    const { address } = openWallet(join(other, 'client'), 'reporter.key')
    const args = [hex(address), 1_000n * one] as const
    const data = ContractCall.encode({ abi: AssayTokenContract.abi, functionName: 'transfer', args })
    await scene.sender.send({ to: scene.book.stake.token.address, data })
  })
  after(async () => {
    await scene?.close()
    rmSync(work, { recursive: true, force: true })
  })

  /** The operator's home is the scene's own. */
  async function run(args: readonly string[], home = scene.home) {
    const out = { stdout: '', stderr: '' }
    const output = (name: 'stdout' | 'stderr') => ({
      write: (text: string) => {
        out[name] += text
      },
    })
    const env = { ASSAY_HOME: home, ASSAY_CHAIN_RPC: scene.chain.url }
    const terminal = Terminal.create({ stdout: output('stdout'), stderr: output('stderr'), env })
    const stopped = new AbortController().signal
    return { code: await execute({ terminal, env, cwd: work, stopped, modelsFolder }, ['stake', ...args]), ...out }
  }
  async function json(args: readonly string[], home?: string) {
    const ran = await run([...args, '--json'], home)
    const last = ran.stdout.trim().split('\n').at(-1) ?? ''
    assert.ok(last.startsWith('{') || last.startsWith('['), ran.stderr + ran.stdout)
    return { code: ran.code, value: JSON.parse(last) }
  }
  async function isRefused(args: readonly string[], errorCode: string, home?: string) {
    const { code, value } = await json(args, home)
    assert.deepEqual([code, value.error.code], [64, errorCode], args.join(' '))
    return value.error.facts.join('\n') as string
  }
  const statusOf = async (name: string, home?: string) => (await json(['status', name], home)).value.subjects[0]

  test('status: all of the operator at one block, one by its name, and a stranger by its id', async () => {
    const { code, value } = await json(['status'])
    assert.equal(code, 0)
    const { subjects } = value
    assert.deepEqual(
      subjects.map((one: Record<string, string>) => [one.name, one.state, one.selfBond, one.exitDelay, one.openCases]),
      [
        ['node', 'bonded', '1,000 ASY', '3500', '0'],
        ['earlier log', 'bonded', '1,000 ASY', '3500', '0'],
      ],
    )
    assert.equal(subjects[0].operator, hex(scene.wallet.address))
    assert.deepEqual(
      [subjects[0].index, subjects[0].retiredAtBlock, subjects[0].positions[0].active],
      ['1', null, '1,000 ASY'],
    )
    assert.match(value.blockHash, /^0x[0-9a-f]{64}$/)
    assert.equal((await statusOf('node')).subject, nodeText)
    assert.equal((await statusOf(nodeText, other)).selfBond, '1,000 ASY')
    assert.equal((await statusOf('ab'.repeat(32), other)).state, 'unknown')
    await isRefused(['status', 'log9'], 'subject-unknown')
    assert.match((await run(['status'])).stdout, /node[\s\S]*of operator +1,000 ASY active/)
  })

  test('bond and unbond: what leaves cannot be fetched at once', async () => {
    const { value } = await json(['bond', '500.5'])
    assert.equal(value[0].bonded, '500.5 ASY')
    assert.equal((await statusOf('node')).selfBond, '1,500.5 ASY')
    await isRefused(['bond', '1', '--subject', 'ab'.repeat(32)], 'no-stake-taken')
    assert.match(
      await isRefused(['bond', '1000000000'], 'too-few-tokens'),
      /Wanted: 1000000000000000000000000000 units/,
    )
    await isRefused(['unbond', '1500.6'], 'too-little-staked')
    for (const amount of ['0', 'much', '1,5']) assert.equal((await run(['bond', amount])).code, 64)
    const left = await json(['unbond', '500'])
    assert.deepEqual([left.value[0].unbonding, left.value[0].active], ['500 ASY', '1,000.5 ASY'])
    assert.deepEqual((await json(['withdraw'])).value, [])
    assert.match((await run(['withdraw'])).stdout, /nothing is due/)
  })

  test("the operator's account is not used beside its daemon; looking and delegating are", async () => {
    const unlock = lockFolder(scene.home)
    try {
      for (const args of [['bond', '1'], ['unbond', 'all'], ['retire', '--yes'], ['withdraw'], ['claim']])
        await isRefused(args, 'daemon-runs')
      assert.equal((await run(['status'])).code, 0)
    } finally {
      unlock()
    }
    await isRefused(['bond', '1', '--subject', nodeText], 'no-operator', other)
  })

  test('another person delegates, earns and leaves; rewards are shared by what is staked', async () => {
    const { value } = await json(['delegate', nodeText, '100'], other)
    assert.equal(value[0].delegated, '100 ASY')
    assert.equal((await statusOf('node')).delegated, '100 ASY')
    assert.match(await isRefused(['delegate', 'ab'.repeat(32), '1'], 'no-stake-taken', other), /neither registry/)
    await isRefused(['delegate', nodeText, '901'], 'too-few-tokens', other)
    const { stakeManager, token } = scene.book.stake
    const approval = [hex(stakeManager.address), 2n ** 256n - 1n] as const
    const approve = ContractCall.encode({ abi: AssayTokenContract.abi, functionName: 'approve', args: approval })
    await scene.sender.send({ to: token.address, data: approve })
    const args = [hex(node.nodeId), 110_050_000n * 10n ** 12n] as const
    const data = ContractCall.encode({ abi: StakeManagerContract.abi, functionName: 'reward', args })
    await scene.sender.send({ to: stakeManager.address, data })
    const [position] = (await statusOf(nodeText, other)).positions
    // By shares over 2^64, rounded down.
    assert.match(position.rewards, /^(10|9\.9999)/)
    const claimed = await json(['claim', '--subject', nodeText], other)
    assert.equal(claimed.value[0].claimed, position.rewards)
    assert.equal((await json(['claim', '--subject', nodeText], other)).value[0].claimed, '0 ASY')
    assert.match((await json(['claim'])).value[0].claimed, /^(100\.05|100\.0499)/)
    const left = await json(['unbond', 'all', '--subject', nodeText], other)
    assert.deepEqual([left.value[0].unbonding, left.value[0].active], ['100 ASY', '0 ASY'])
    await isRefused(['unbond', 'all', '--subject', nodeText], 'too-little-staked', other)
  })

  test('retired: said twice, and for good', async () => {
    const named = ['--subject', Bytes.toHex(log.logId)]
    assert.equal((await json(['delegate', Bytes.toHex(log.logId), '50'], other)).code, 0)
    await isRefused(['retire', ...named], 'not-confirmed')
    const { value } = await json(['retire', ...named, '--yes'])
    assert.equal(value[0].retired, 'earlier log')
    const { openToAllFromBlock, state } = await statusOf(Bytes.toHex(log.logId))
    assert.deepEqual([state, openToAllFromBlock], ['retired', value[0].openToAllFromBlock])
    assert.match(await isRefused(['bond', '1', ...named], 'no-stake-taken'), /retired/)
    assert.match(await isRefused(['retire', ...named, '--yes'], 'call-reverted'), /SubjectRetired/)
  })

  test('when the time has come everything that left is paid out, and what was retired without asking', async () => {
    await Evidence.mine(scene, 3_600)
    const paid = await json(['withdraw'])
    const named = (rows: Record<string, string>[]) => rows.map(({ of, withdrawn }) => [of, withdrawn])
    assert.deepEqual(named(paid.value), [
      ['node', '500 ASY'],
      ['earlier log', '1,000 ASY'],
    ])
    assert.deepEqual((await json(['withdraw'])).value, [])
    for (const [subject, amount] of [
      [node.nodeId, '100 ASY'],
      [log.logId, '50 ASY'],
    ] as const) {
      const own = await json(['withdraw', '--subject', Bytes.toHex(subject)], other)
      assert.equal(own.value[0].withdrawn, amount)
    }
    assert.equal((await json(['withdraw', '--subject', nodeText], other)).value[0].withdrawn, '0 ASY')
    const { accounts } = (await json(['status', nodeText], other)).value
    assert.match(accounts[0].holds, /^1,0(10|09\.9999)/)
  })

  test('each has examples', async () => {
    for (const name of ['status', 'bond', 'delegate', 'unbond', 'retire', 'withdraw', 'claim']) {
      const { code, stdout } = await run([name, '--help'])
      assert.deepEqual([code, /Examples:\n {2}assay stake /.test(stdout)], [0, true])
    }
  })
})
